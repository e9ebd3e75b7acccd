/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Reads the plugin's parameters into struct zram_options. What one value may be is checked
 * here, to name it and what it must be; whether they go together is for the library to
 * say, and is found out by asking it to make such a store.
 */
#define _GNU_SOURCE
#define NBDKIT_API_VERSION 2
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nbdkit-plugin.h>

#include "parameters.h"

#define MAX_STREAMS 256

const char parameters_help[] =
	"[size=]SIZE              size of the disk, sparse (required)\n"
	"block-size=SIZE          what is compressed at a time: 4K (default) to 64K\n"
	"algorithm=NAME           lz4 (default), zstd, ...: see nbdkit zram --dump-plugin\n"
	"level=N                  of the algorithm's own scale; 0 (default): its default\n"
	"dictionary=FILE          what blocks have in common, for algorithms that can use it\n"
	"limit=SIZE|auto          memory for everything; 0: none; auto (default): what\n"
	"                         the server's cgroup allows (also: mem_limit)\n"
	"compaction=auto|manual   manual: only when the control socket asks for it\n"
	"checksum=on|off          whether damage to what is stored is noticed\n"
	"zero-on-free=off|on      on: what is overwritten or discarded is zeroed\n"
	"streams=N                requests worked on at a time (also: max_comp_streams)\n"
	"control=PATH             Unix socket for the zram command";

/* --- single values --------------------------------------------------------- */

static int set_size(struct parameters *parameters, const char *key, const char *value)
{
	int64_t size = nbdkit_parse_size(value);
	if (size < 0)
		return -1;
	if ((uint64_t)size > ZRAM_MAX_SIZE) {
		nbdkit_error("%s=%s: the most is %" PRIu64, key, value, ZRAM_MAX_SIZE);
		return -1;
	}
	parameters->store.size = (uint64_t)size;
	parameters->size_given = true;
	return 0;
}

static int set_block_size(struct parameters *parameters, const char *key, const char *value)
{
	int64_t size = nbdkit_parse_size(value);
	if (size < 0)
		return -1;
	if (size < (int64_t)ZRAM_MIN_BLOCK_SIZE || size > (int64_t)ZRAM_MAX_BLOCK_SIZE ||
	    (size & (size - 1)) != 0) {
		nbdkit_error("%s=%s: must be a power of two from %zu to %zu", key, value,
			     ZRAM_MIN_BLOCK_SIZE, ZRAM_MAX_BLOCK_SIZE);
		return -1;
	}
	parameters->store.block_size = (size_t)size;
	return 0;
}

static int set_algorithm(struct parameters *parameters, const char *key, const char *value)
{
	for (const char *const *name = zram_algorithms(); *name != NULL; name++)
		if (strcmp(*name, value) == 0) {
			parameters->store.algorithm = value;
			return 0;
		}
	nbdkit_error("%s=%s: must be one of: %s", key, value, parameters_algorithms());
	return -1;
}

/* nbdkit_parse_int() says of "x" that it is empty. */
static bool read_int(const char *value, int *number)
{
	char *end;
	errno = 0;
	long n = strtol(value, &end, 10);
	*number = (int)n;
	return errno == 0 && end != value && *end == '\0' && n >= INT_MIN && n <= INT_MAX;
}

/* Whether the algorithm has it is seen in parameters_check(). */
static int set_level(struct parameters *parameters, const char *key, const char *value)
{
	if (read_int(value, &parameters->store.level))
		return 0;
	nbdkit_error("%s=%s: must be a number", key, value);
	return -1;
}

static int set_dictionary(struct parameters *parameters, const char *key, const char *value)
{
	(void)key;
	parameters->dictionary = value;
	return 0;
}

static int set_limit(struct parameters *parameters, const char *key, const char *value)
{
	(void)key;
	bool automatic = strcmp(value, "auto") == 0;
	int64_t limit = automatic ? 0 : nbdkit_parse_size(value);
	if (limit < 0)
		return -1;
	parameters->store.mem_limit = (uint64_t)limit;
	parameters->limit = automatic ? NULL : value;
	return 0;
}

/* Returns whether it is the second, or -1. */
static int choose(const char *key, const char *value, const char *first, const char *second)
{
	if (strcmp(value, first) == 0)
		return 0;
	if (strcmp(value, second) == 0)
		return 1;
	nbdkit_error("%s=%s: must be %s or %s", key, value, first, second);
	return -1;
}

static int set_compaction(struct parameters *parameters, const char *key, const char *value)
{
	int manual = choose(key, value, "auto", "manual");
	if (manual < 0)
		return -1;
	parameters->store.compaction = manual ? ZS_COMPACTION_MANUAL : ZS_COMPACTION_AUTO;
	return 0;
}

static int set_checksum(struct parameters *parameters, const char *key, const char *value)
{
	int off = choose(key, value, "on", "off");
	if (off < 0)
		return -1;
	parameters->store.checksum = off ? ZRAM_CHECKSUM_OFF : ZRAM_CHECKSUM_ON;
	return 0;
}

static int set_zero_on_free(struct parameters *parameters, const char *key, const char *value)
{
	int on = choose(key, value, "off", "on");
	if (on < 0)
		return -1;
	parameters->store.zero_on_free = (unsigned)on;
	return 0;
}

static int set_streams(struct parameters *parameters, const char *key, const char *value)
{
	int streams;
	if (!read_int(value, &streams) || streams < 1 || streams > MAX_STREAMS) {
		nbdkit_error("%s=%s: must be a number from 1 to %d", key, value, MAX_STREAMS);
		return -1;
	}
	parameters->store.max_comp_streams = (unsigned)streams;
	return 0;
}

static int set_control(struct parameters *parameters, const char *key, const char *value)
{
	(void)key;
	parameters->control = value;
	return 0;
}

static const struct {
	const char *key;
	int (*set)(struct parameters *parameters, const char *key, const char *value);
} known[] = {
	{ "size", set_size },
	{ "block-size", set_block_size },
	{ "block_size", set_block_size },
	{ "algorithm", set_algorithm },
	{ "level", set_level },
	{ "dictionary", set_dictionary },
	{ "limit", set_limit },
	{ "mem_limit", set_limit },
	{ "compaction", set_compaction },
	{ "checksum", set_checksum },
	{ "zero-on-free", set_zero_on_free },
	{ "zero_on_free", set_zero_on_free },
	{ "streams", set_streams },
	{ "max_comp_streams", set_streams },
	{ "control", set_control },
};

int parameters_set(struct parameters *parameters, const char *key, const char *value)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(known[i].key, key) == 0)
			return known[i].set(parameters, key, value);
	nbdkit_error("unknown parameter: %s (nbdkit zram --help lists them)", key);
	return -1;
}

const char *parameters_algorithms(void)
{
	static char names[128];
	size_t used = 0;
	for (const char *const *name = zram_algorithms(); *name != NULL; name++) {
		int n = snprintf(names + used, sizeof(names) - used, "%s%s", used == 0 ? "" : " ",
				 *name);
		if ((size_t)n >= sizeof(names) - used)
			break;
		used += (size_t)n;
	}
	return names;
}

/* --- all together ---------------------------------------------------------- */

static int read_all(int fd, char *buffer, size_t size)
{
	while (size != 0) {
		ssize_t n = read(fd, buffer, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EIO; /* it became shorter meanwhile */
		if (n <= 0)
			return -1;
		buffer += n;
		size -= (size_t)n;
	}
	return 0;
}

static int read_dictionary(struct parameters *parameters, int fd)
{
	struct stat file;
	if (fstat(fd, &file) != 0)
		goto failed;
	if (!S_ISREG(file.st_mode) || file.st_size == 0 ||
	    file.st_size > (off_t)ZRAM_MAX_DICTIONARY) {
		nbdkit_error("dictionary=%s: must be a file of 1 to %zu bytes",
			     parameters->dictionary, ZRAM_MAX_DICTIONARY);
		return -1;
	}
	parameters->store.dictionary_size = (size_t)file.st_size;
	parameters->dictionary_bytes = malloc(parameters->store.dictionary_size);
	parameters->store.dictionary = parameters->dictionary_bytes;
	if (parameters->dictionary_bytes != NULL &&
	    read_all(fd, parameters->dictionary_bytes, parameters->store.dictionary_size) == 0)
		return 0;
failed:
	nbdkit_error("dictionary=%s: %m", parameters->dictionary);
	return -1;
}

int parameters_complete(struct parameters *parameters)
{
	if (!parameters->size_given) {
		nbdkit_error("the size is missing: nbdkit zram SIZE");
		return -1;
	}
	if (parameters->dictionary == NULL)
		return 0;
	/* Neither a pipe nor a device shall make us wait. */
	int fd = open(parameters->dictionary, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		nbdkit_error("dictionary=%s: %m", parameters->dictionary);
		return -1;
	}
	int result = read_dictionary(parameters, fd);
	close(fd);
	return result;
}

static bool possible(const struct zram_options *options)
{
	struct zram *trial = zram_create(options);
	int error = errno;
	zram_destroy(trial);
	errno = error;
	return trial != NULL;
}

/* What is to blame is that without which the library would make the store. */
static void blame(const struct parameters *parameters)
{
	struct zram_options rest = parameters->store;
	const char *algorithm = rest.algorithm != NULL ? rest.algorithm : "lz4";
	rest.mem_limit = 0;
	if (possible(&rest)) {
		nbdkit_error("limit=%s: not enough for an empty disk with these parameters",
			     parameters->limit);
		return;
	}
	rest.dictionary = NULL;
	rest.dictionary_size = 0;
	if (possible(&rest)) {
		nbdkit_error("dictionary=%s: is broken, or algorithm %s cannot use it",
			     parameters->dictionary, algorithm);
		return;
	}
	rest.level = 0;
	if (possible(&rest)) {
		nbdkit_error("level=%d: algorithm %s has no such level", parameters->store.level,
			     algorithm);
		return;
	}
	nbdkit_error("the store cannot be made: %m");
}

int parameters_check(const struct parameters *parameters)
{
	if (possible(&parameters->store))
		return 0;
	if (errno == EINVAL)
		blame(parameters);
	else
		nbdkit_error("the store cannot be made: %m");
	return -1;
}

void parameters_free_dictionary(struct parameters *parameters)
{
	free(parameters->dictionary_bytes);
	parameters->dictionary_bytes = NULL;
	parameters->store.dictionary = NULL;
}
