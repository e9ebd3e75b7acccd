/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* The store as text: what the kernel has in /sys/block/zram0, under the same names. */
#include "zram/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- text that is written, like snprintf() --- */

struct text {
	char *at;
	size_t size;   /* of the buffer */
	size_t length; /* of the text, also where it does not fit */
};

__attribute__((format(printf, 2, 3))) static void put(struct text *text, const char *format, ...)
{
	size_t used = text->length < text->size ? text->length : text->size;
	va_list args;

	va_start(args, format);
	/* Its results are short, and the format is right: it does not fail. */
	text->length += (size_t)vsnprintf(text->at ? text->at + used : NULL, text->size - used,
					  format, args);
	va_end(args);
}

/* --- text that is read --- */

static const char *skip_blanks(const char *text)
{
	return text + strspn(text, " \t\n");
}

/* A number as the kernel's memparse() reads it; *end: what follows. */
static bool parse_number(const char *text, uint64_t *value, const char **end)
{
	static const char units[] = "KMGTPE";
	const char *unit;
	char *after;
	int letter;

	text = skip_blanks(text);
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	unsigned long long number = strtoull(text, &after, 0);
	if (errno)
		return false;
	/* Either case. */
	letter = *after & ~0x20;
	unit = letter ? strchr(units, letter) : NULL;
	if (unit) {
		unsigned shift = 10 * (unsigned)(unit - units + 1);

		if (number > UINT64_MAX >> shift)
			return false;
		number <<= shift;
		after++;
	}
	*value = number;
	*end = after;
	return true;
}

static bool parse_size(const char *text, uint64_t *value)
{
	const char *end;

	return parse_number(text, value, &end) && *skip_blanks(end) == '\0';
}

/* Whether the text is that word, but for blanks around it. */
static bool is_word(const char *text, const char *word)
{
	size_t length = strlen(word);

	text = skip_blanks(text);
	return strncmp(text, word, length) == 0 && *skip_blanks(text + length) == '\0';
}

/* --- attributes that are numbers --- */

static void get_disksize(struct zram *zram, struct text *text)
{
	put(text, "%" PRIu64 "\n", zram_size(zram));
}

static int set_disksize(struct zram *zram, const char *value)
{
	uint64_t size;

	if (!parse_size(value, &size))
		return EINVAL;
	return zram_resize(zram, size) ? errno : 0;
}

static void get_mem_limit(struct zram *zram, struct text *text)
{
	put(text, "%" PRIu64 "\n", (uint64_t)zram->budget.limit);
}

static int set_mem_limit(struct zram *zram, const char *value)
{
	uint64_t limit;

	if (!parse_size(value, &limit))
		return EINVAL;
	streams_quiesce(&zram->streams);
	budget_set_limit(&zram->budget, limit);
	streams_resume(&zram->streams);
	return 0;
}

static void get_mem_used_max(struct zram *zram, struct text *text)
{
	struct zram_stats stats;

	zram_get_stats(zram, &stats);
	put(text, "%" PRIu64 "\n", stats.mem_used_max);
}

static int set_mem_used_max(struct zram *zram, const char *value)
{
	struct stream *stream;

	if (!is_word(value, "0"))
		return EINVAL;
	stream = stream_take(&zram->streams);
	zram->budget.peak = 0;
	budget_note_peak(&zram->budget);
	stream_release(&zram->streams, stream);
	return 0;
}

static void get_max_comp_streams(struct zram *zram, struct text *text)
{
	put(text, "%u\n", (unsigned)zram->streams.max);
}

static int set_max_comp_streams(struct zram *zram, const char *value)
{
	uint64_t max;

	if (!parse_size(value, &max) || max == 0 || max > STREAMS_MAX)
		return EINVAL;
	streams_set_max(&zram->streams, (unsigned)max);
	return 0;
}

static void get_block_size(struct zram *zram, struct text *text)
{
	put(text, "%zu\n", zram->block_size);
}

static void get_initstate(struct zram *zram, struct text *text)
{
	(void)zram;
	put(text, "1\n");
}

static void get_checksum(struct zram *zram, struct text *text)
{
	put(text, "%d\n", zram->checksum);
}

static int set_checksum(struct zram *zram, const char *value)
{
	bool on = is_word(value, "1");

	if (!on && !is_word(value, "0"))
		return EINVAL;
	zram->checksum = on;
	return 0;
}

static void get_zero_on_free(struct zram *zram, struct text *text)
{
	put(text, "%d\n", zram->zero_on_free);
}

/* --- what can be set while nothing is stored --- */

/* Runs change with the store to itself. */
static int while_empty(struct zram *zram, int (*change)(struct zram *, const void *),
		       const void *arg)
{
	int error = EBUSY;

	streams_quiesce(&zram->streams);
	if (streams_count(&zram->streams, STORED_BLOCKS) == 0)
		error = change(zram, arg);
	streams_resume(&zram->streams);
	return error;
}

static void get_compaction(struct zram *zram, struct text *text)
{
	struct stream *stream = stream_take(&zram->streams);

	put(text, "%s\n", zram->compaction == ZS_COMPACTION_AUTO ? "auto" : "manual");
	stream_release(&zram->streams, stream);
}

static int change_compaction(struct zram *zram, const void *arg)
{
	return zram_empty(zram, *(const enum zs_compaction *)arg);
}

static int set_compaction(struct zram *zram, const char *value)
{
	enum zs_compaction compaction = ZS_COMPACTION_AUTO;

	if (is_word(value, "manual"))
		compaction = ZS_COMPACTION_MANUAL;
	else if (!is_word(value, "auto"))
		return EINVAL;
	return while_empty(zram, change_compaction, &compaction);
}

static void get_comp_algorithm(struct zram *zram, struct text *text)
{
	const char *const *names = zram_algorithms();
	struct stream *stream = stream_take(&zram->streams);

	for (size_t i = 0; names[i]; i++) {
		bool current = strcmp(names[i], zram->codec->ops->name) == 0;

		put(text, "%s%s%s%s", i ? " " : "", current ? "[" : "", names[i],
		    current ? "]" : "");
	}
	stream_release(&zram->streams, stream);
	put(text, "\n");
}

/* Another algorithm begins with its own level, and without a dictionary. */
static int change_algorithm(struct zram *zram, const void *name)
{
	return zram_change_codec(zram, &(struct codec_options){ .algorithm = name,
								.block_size = zram->block_size });
}

static int set_comp_algorithm(struct zram *zram, const char *value)
{
	const char *const *names = zram_algorithms();

	for (size_t i = 0; names[i]; i++) {
		if (is_word(value, names[i]))
			return while_empty(zram, change_algorithm, names[i]);
	}
	return EINVAL;
}

static void get_algorithm_params(struct zram *zram, struct text *text)
{
	struct stream *stream = stream_take(&zram->streams);

	put(text, "level=%d dict_size=%zu\n", zram->codec->level, zram->codec->dictionary_size);
	stream_release(&zram->streams, stream);
}

/*
 * The contents of a file, for free(). NULL and errno if it cannot be read, is too large, or
 * is none: neither a pipe nor a device is to be waited for.
 */
static void *read_file(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat file;
	char *bytes = NULL;
	int error = 0;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode))
		error = EINVAL;
	else if (file.st_size == 0 || file.st_size > (off_t)ZRAM_MAX_DICTIONARY)
		error = file.st_size ? EFBIG : EINVAL;
	else if (!(bytes = malloc((size_t)file.st_size)))
		error = ENOMEM;
	/* A file that changes meanwhile is none to begin with. */
	else if (read(fd, bytes, (size_t)file.st_size) != file.st_size)
		error = EIO;
	close(fd);
	if (error) {
		free(bytes);
		errno = error;
		return NULL;
	}
	*size = (size_t)file.st_size;
	return bytes;
}

struct params {
	bool has_level;
	int level;
	char *dictionary_path; /* in the caller's copy of the value */
	void *dictionary;
	size_t dictionary_size;
};

/* "level=N", "dict=PATH", in any order. Cuts the text into words. */
static bool parse_params(char *text, struct params *params)
{
	char *rest = NULL;

	for (char *word = strtok_r(text, " \t\n", &rest); word;
	     word = strtok_r(NULL, " \t\n", &rest)) {
		char *end;

		if (strncmp(word, "level=", 6) == 0) {
			long level = strtol(word + 6, &end, 10);

			if (end == word + 6 || *end || level < -(1 << 20) || level > 1 << 20)
				return false;
			params->level = (int)level;
			params->has_level = true;
		} else if (strncmp(word, "dict=", 5) == 0) {
			params->dictionary_path = word + 5;
		} else {
			return false;
		}
	}
	return params->has_level || params->dictionary_path;
}

/* What is not named stays. */
static int change_params(struct zram *zram, const void *arg)
{
	const struct params *params = arg;
	const struct codec *codec = zram->codec;
	bool other = params->dictionary_path != NULL;

	return zram_change_codec(
		zram,
		&(struct codec_options){
			.algorithm = codec->ops->name,
			.block_size = zram->block_size,
			.level = params->has_level ? params->level : codec->level,
			.dictionary = other ? params->dictionary : codec->dictionary,
			.dictionary_size = other ? params->dictionary_size : codec->dictionary_size,
		});
}

static int set_algorithm_params(struct zram *zram, const char *value)
{
	struct params params = { 0 };
	char *copy = strdup(value);
	int error = copy ? 0 : ENOMEM;

	if (!error && !parse_params(copy, &params))
		error = EINVAL;
	/* dict= without a path takes the dictionary away. */
	if (!error && params.dictionary_path && *params.dictionary_path) {
		params.dictionary = read_file(params.dictionary_path, &params.dictionary_size);
		/* Other errors mean that there is no such attribute, or that it cannot be set. */
		if (!params.dictionary)
			error = errno == ENOMEM ? ENOMEM : EINVAL;
	}
	if (!error)
		error = while_empty(zram, change_params, &params);
	free(params.dictionary);
	free(copy);
	return error;
}

/* --- commands --- */

static int set_compact(struct zram *zram, const char *value)
{
	(void)value;
	zram_compact(zram);
	return 0;
}

static int set_reset(struct zram *zram, const char *value)
{
	(void)value;
	return zram_reset(zram) ? errno : 0;
}

/* --- statistics --- */

static void get_mm_stat(struct zram *zram, struct text *text)
{
	struct zram_stats s;

	zram_get_stats(zram, &s);
	put(text, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, s.orig_data_size,
	    s.compr_data_size, s.mem_used_total, s.mem_limit, s.mem_used_max);
	put(text, " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", s.same_pages,
	    s.pages_compacted, s.huge_pages, s.huge_pages_since);
}

static void get_io_stat(struct zram *zram, struct text *text)
{
	struct zram_stats s;

	zram_get_stats(zram, &s);
	put(text, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", s.failed_reads,
	    s.failed_writes, s.invalid_io, s.notify_free);
}

#define FIELD(name)                                      \
	{                                                \
#name, offsetof(struct zram_stats, name) \
	}

static void get_stat(struct zram *zram, struct text *text)
{
	static const struct {
		const char *name;
		size_t offset;
	} fields[] = {
		FIELD(orig_data_size),  FIELD(compr_data_size), FIELD(mem_used_total),
		FIELD(mem_limit),       FIELD(mem_used_max),    FIELD(same_pages),
		FIELD(pages_compacted), FIELD(huge_pages),      FIELD(huge_pages_since),
		FIELD(failed_reads),    FIELD(failed_writes),   FIELD(invalid_io),
		FIELD(notify_free),     FIELD(reads),           FIELD(read_bytes),
		FIELD(writes),          FIELD(written_bytes),   FIELD(unchanged_blocks),
		FIELD(damaged_blocks),  FIELD(pool_bytes),      FIELD(table_bytes),
		FIELD(stream_bytes),    FIELD(own_bytes),       FIELD(disksize),
		FIELD(block_size),
	};
	struct zram_stats stats;

	_Static_assert(sizeof(fields) / sizeof(fields[0]) * sizeof(uint64_t) == sizeof(stats),
		       "every field has a line");
	zram_get_stats(zram, &stats);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		uint64_t value;

		memcpy(&value, (const char *)&stats + fields[i].offset, sizeof(value));
		put(text, "%s %" PRIu64 "\n", fields[i].name, value);
	}
}

static void get_classes(struct zram *zram, struct text *text)
{
	struct zs_class_stats c;

	put(text, "class size open pages_per_zspage objs_per_zspage objects free_slots pages "
		  "reclaimable_bytes b0 b10 b20 b30 b40 b50 b60 b70 b80 b90 b100\n");
	for (unsigned index = 0; zram_class_stats(zram, index, &c) == 0; index++) {
		if (!c.pages)
			continue;
		put(text, "%u %zu %u %u %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, index,
		    c.size, c.open, c.pages_per_zspage, c.objs_per_zspage, c.objects, c.free_slots,
		    c.pages, c.reclaimable_bytes);
		for (unsigned band = 0; band < ZS_FULLNESS_BANDS; band++)
			put(text, " %" PRIu64, c.zspages[band]);
		put(text, "\n");
	}
}

/* --- all of them --- */

static const struct attribute {
	const char *name;
	void (*get)(struct zram *, struct text *);
	int (*set)(struct zram *, const char *); /* returns 0 or an errno */
} attributes[] = {
	{ "disksize", get_disksize, set_disksize },
	{ "mem_limit", get_mem_limit, set_mem_limit },
	{ "mem_used_max", get_mem_used_max, set_mem_used_max },
	{ "comp_algorithm", get_comp_algorithm, set_comp_algorithm },
	{ "algorithm_params", get_algorithm_params, set_algorithm_params },
	{ "max_comp_streams", get_max_comp_streams, set_max_comp_streams },
	{ "block_size", get_block_size, NULL },
	{ "checksum", get_checksum, set_checksum },
	{ "compaction", get_compaction, set_compaction },
	{ "zero_on_free", get_zero_on_free, NULL },
	{ "initstate", get_initstate, NULL },
	{ "compact", NULL, set_compact },
	{ "reset", NULL, set_reset },
	{ "mm_stat", get_mm_stat, NULL },
	{ "io_stat", get_io_stat, NULL },
	{ "stat", get_stat, NULL },
	{ "classes", get_classes, NULL },
};

#define COUNT (sizeof(attributes) / sizeof(attributes[0]))

const char *const *zram_attributes(void)
{
	static const char *const names[] = {
		"disksize",       "mem_limit",        "mem_used_max",
		"comp_algorithm", "algorithm_params", "max_comp_streams",
		"block_size",     "checksum",         "compaction",
		"zero_on_free",   "initstate",        "compact",
		"reset",          "mm_stat",          "io_stat",
		"stat",           "classes",          NULL,
	};

	_Static_assert(sizeof(names) / sizeof(names[0]) == COUNT + 1, "every attribute has a name");
	return names;
}

static const struct attribute *find(const char *name)
{
	for (size_t i = 0; i < COUNT; i++) {
		if (strcmp(attributes[i].name, name) == 0)
			return &attributes[i];
	}
	return NULL;
}

ssize_t zram_get(struct zram *zram, const char *name, char *value, size_t size)
{
	const struct attribute *attribute = find(name);
	struct text text = { .at = size ? value : NULL, .size = size };

	if (!attribute || !attribute->get) {
		errno = attribute ? EACCES : ENOENT;
		return -1;
	}
	attribute->get(zram, &text);
	return (ssize_t)text.length;
}

int zram_set(struct zram *zram, const char *name, const char *value)
{
	const struct attribute *attribute = find(name);
	int error = ENOENT;

	if (attribute)
		error = attribute->set ? attribute->set(zram, value) : EACCES;
	if (!error)
		return 0;
	errno = error;
	return -1;
}
