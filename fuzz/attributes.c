/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Fuzzer: zram_set() and zram_get() with names and values of any kind. The input is text: a
 * name, a blank, a value, a newline, and so on; a line without a blank is got. Its first
 * byte says how large the buffers for values are.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zram.h>

#include "contents.h"
#include "files.h"

enum { BLOCK = 4096, LINE = 4096 };

static struct {
	unsigned long got, get_refused, set, set_refused;
} tried;

static unsigned char written[BLOCK];

bool fuzz_summary(void)
{
	printf("%lu attributes got, %lu not, %lu set, %lu not\n", tried.got, tried.get_refused,
	       tried.set, tried.set_refused);
	return tried.got + tried.get_refused + tried.set + tried.set_refused != 0;
}

static bool is_attribute(const char *name)
{
	for (const char *const *known = zram_attributes(); *known; known++) {
		if (strcmp(*known, name) == 0)
			return true;
	}
	return false;
}

/* --- getting --------------------------------------------------------------- */

/* The value in a buffer of just that size, so that a byte too many is seen. */
static ssize_t get(struct zram *zram, const char *name, char *value, size_t size)
{
	errno = 0;
	ssize_t length = zram_get(zram, name, value, size);

	if (length < 0) {
		require(errno == (is_attribute(name) ? EACCES : ENOENT));
		tried.get_refused++;
		return -1;
	}
	tried.got++;
	require(length > 0);
	if (size == 0)
		return length;
	size_t kept = (size_t)length < size ? (size_t)length : size - 1;
	require(strlen(value) == kept);
	if (kept == (size_t)length)
		require(value[kept - 1] == '\n');
	return length;
}

static void try_get(struct zram *zram, const char *name, size_t size)
{
	char *value = malloc(size ? size : 1);

	require(value);
	get(zram, name, value, size);
	free(value);
}

/* --- setting --------------------------------------------------------------- */

static uint64_t number_of(struct zram *zram, const char *name)
{
	char value[32];

	require(get(zram, name, value, sizeof(value)) < (ssize_t)sizeof(value));
	return strtoull(value, NULL, 10);
}

/* What was set is what is got. */
static void require_effect(struct zram *zram, const char *name, const char *value)
{
	char got[64];

	value += strspn(value, " \t\n");
	if (!strcmp(name, "disksize"))
		require(number_of(zram, name) == zram_size(zram));
	if (!strcmp(name, "disksize") || !strcmp(name, "mem_limit")) {
		/* Plain decimal numbers; with suffix and base see the tests. */
		size_t digits = strspn(value, "0123456789");
		if (digits && digits < 19 && value[0] != '0' && !value[digits])
			require(number_of(zram, name) == strtoull(value, NULL, 10));
	}
	if (!strcmp(name, "max_comp_streams"))
		require(number_of(zram, name) >= 1 && number_of(zram, name) <= 256);
	if (!strcmp(name, "checksum"))
		require(number_of(zram, name) == (uint64_t)(value[0] - '0'));
	if (!strcmp(name, "compaction")) {
		get(zram, name, got, sizeof(got));
		require(strncmp(got, value, strlen(got) - 1) == 0);
	}
}

static bool may_be_set(const char *name)
{
	static const char *const not [] = { "block_size", "zero_on_free", "initstate", "mm_stat",
					    "io_stat",    "stat",         "classes" };

	for (size_t i = 0; i < COUNT_OF(not ); i++) {
		if (strcmp(not [i], name) == 0)
			return false;
	}
	return true;
}

static void require_refusal(const char *name, int error, bool stored)
{
	static const char *const while_empty[] = { "comp_algorithm", "algorithm_params",
						   "compaction" };
	bool params = strcmp(name, "algorithm_params") == 0, busy = false;

	if (!is_attribute(name)) {
		require(error == ENOENT);
		return;
	}
	if (!may_be_set(name)) {
		require(error == EACCES);
		return;
	}
	for (size_t i = 0; i < COUNT_OF(while_empty); i++)
		busy = busy || strcmp(while_empty[i], name) == 0;
	switch (error) {
	case EINVAL:
	case ENOSPC:
		break;
	case EBUSY:
		require(busy && stored);
		break;
	default: /* of the file of a dictionary */
		require(params && (error == ENOENT || error == EFBIG || error == EIO));
	}
}

static void try_set(struct zram *zram, const char *name, const char *value)
{
	struct zram_stats stats;

	zram_get_stats(zram, &stats);
	errno = 0;
	files_enclose(true);
	int result = zram_set(zram, name, value);
	int error = errno;
	files_enclose(false);
	if (result == 0) {
		require(is_attribute(name) && may_be_set(name));
		require_effect(zram, name, value);
		tried.set++;
		return;
	}
	require(result == -1);
	require_refusal(name, error, stats.orig_data_size != 0);
	tried.set_refused++;
}

/* --- whole inputs ------------------------------------------------------------ */

/* Nothing but a reset or a smaller disk changes what was written. */
static void require_block(struct zram *zram)
{
	unsigned char read[BLOCK];
	ssize_t length = zram_pread(zram, read, BLOCK, 0);

	require(length >= 0);
	if (length == BLOCK && memcmp(read, written, BLOCK) != 0) {
		for (size_t i = 0; i < BLOCK; i++)
			require(read[i] == 0 || read[i] == written[i]);
	}
}

static void run_line(struct zram *zram, char *line, size_t room)
{
	char *blank = strchr(line, ' ');

	if (!blank) {
		try_get(zram, line, room);
		return;
	}
	*blank = '\0';
	if (strcmp(line, "write") == 0)
		zram_pwrite(zram, written, BLOCK, 0);
	else
		try_set(zram, line, blank + 1);
}

void fuzz_one(const uint8_t *data, size_t size)
{
	struct zram_options options = { .size = 16 * BLOCK };
	struct input input = { data, size };
	size_t room = input_byte(&input) * 7;
	struct zram *zram = zram_create(&options);
	char line[LINE];

	require(zram);
	contents_fill(written, BLOCK, 1, 500);
	while (input.left) {
		const uint8_t *end = memchr(input.at, '\n', input.left);
		size_t length = end ? (size_t)(end - input.at) : input.left;
		size_t taken = length + (end != NULL);

		if (length >= LINE)
			break;
		memcpy(line, input_bytes(&input, &taken), length);
		line[length] = '\0';
		run_line(zram, line, room);
	}
	require_block(zram);
	for (const char *const *name = zram_attributes(); *name; name++)
		try_get(zram, *name, 4096);
	zram_destroy(zram);
}
