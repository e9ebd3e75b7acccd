/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * zram.h used wrongly. Each case is a program of its own, run as a child: the library says
 * nothing and ends no process; what it can refuse is refused with the errno of zram.h, and
 * the store is as it was. A store of NULL is a pointer like any other: SIGSEGV.
 */
#include "store.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define TRY_CREATE(...) create((const struct zram_options){ __VA_ARGS__ })

enum { SIZE = 1 << 20, WELL = 0 };

static struct zram *zram; /* with a block of 'x' in the middle of zeros */
static char bytes[2 * BLOCK];

static int result(long long value)
{
	return value < 0 ? errno : WELL;
}

static int create(const struct zram_options options)
{
	struct zram *made = zram_create(&options);

	return made ? WELL : errno;
}

static int visit(const struct zram_extent *extent, void *data)
{
	(void)extent;
	(void)data;
	return 0;
}

#define CASE(name, expression)     \
	static int name(void)      \
	{                          \
		return expression; \
	}

CASE(size_above_most, TRY_CREATE(.size = ZRAM_MAX_SIZE + 1))
CASE(block_of_no_power, TRY_CREATE(.block_size = 5000))
CASE(block_too_small, TRY_CREATE(.block_size = 512))
CASE(block_too_large, TRY_CREATE(.block_size = 1 << 17))
CASE(unknown_algorithm, TRY_CREATE(.algorithm = "deflate"))
CASE(unknown_level, TRY_CREATE(.algorithm = "zstd", .level = 1000))
CASE(dictionary_for_none, TRY_CREATE(.algorithm = "none", .dictionary = "x", .dictionary_size = 1))
CASE(dictionary_of_null, TRY_CREATE(.dictionary_size = 100))
CASE(dictionary_too_large,
     TRY_CREATE(.dictionary = bytes, .dictionary_size = ZRAM_MAX_DICTIONARY + 1))
CASE(limit_of_a_byte, TRY_CREATE(.mem_limit = 1))
CASE(unknown_compaction, TRY_CREATE(.compaction = (enum zs_compaction)7))
CASE(unknown_checksum, TRY_CREATE(.checksum = (enum zram_checksum)7))
CASE(too_many_streams, TRY_CREATE(.max_comp_streams = 257))
CASE(unknown_zero_on_free, TRY_CREATE(.zero_on_free = 2))
CASE(read_of_too_much, result(zram_pread(zram, bytes, (size_t)SSIZE_MAX + 1, 0)))
CASE(read_of_nothing_beyond, result(zram_pread(zram, NULL, 0, UINT64_MAX)))
CASE(read_beyond, result(zram_pread(zram, bytes, BLOCK, SIZE)))
CASE(read_at_the_last_byte, result(zram_pread(zram, bytes, BLOCK, UINT64_MAX)))
CASE(write_of_too_much, result(zram_pwrite(zram, bytes, (size_t)SSIZE_MAX + 1, 0)))
CASE(write_beyond, result(zram_pwrite(zram, bytes, BLOCK, SIZE)))
CASE(write_at_the_last_byte, result(zram_pwrite(zram, bytes, BLOCK, UINT64_MAX)))
CASE(zeroes_beyond, result(zram_write_zeroes(zram, SIZE - BLOCK, 2 * BLOCK)))
CASE(zeroes_past_the_end_of_numbers, result(zram_write_zeroes(zram, BLOCK, UINT64_MAX)))
CASE(discard_beyond, result(zram_discard(zram, SIZE, UINT64_MAX)))
CASE(discard_at_the_last_byte, result(zram_discard(zram, UINT64_MAX, UINT64_MAX)))
CASE(extents_beyond, result(zram_get_extents(zram, UINT64_MAX, UINT64_MAX, visit, NULL)))
CASE(resize_above_most, result(zram_resize(zram, ZRAM_MAX_SIZE + 1)))
CASE(get_what_is_not, result(zram_get(zram, "memory", bytes, sizeof(bytes))))
CASE(get_what_can_be_set, result(zram_get(zram, "reset", bytes, sizeof(bytes))))
CASE(get_into_nothing, result(zram_get(zram, "stat", NULL, 0)))
CASE(set_what_is_not, result(zram_set(zram, "memory", "1")))
CASE(set_what_can_be_got, result(zram_set(zram, "zero_on_free", "1")))
CASE(set_no_number, result(zram_set(zram, "mem_limit", "much")))
CASE(set_a_number_too_large, result(zram_set(zram, "disksize", "99999999999999999999")))
CASE(set_while_stored, result(zram_set(zram, "comp_algorithm", "zstd")))
CASE(set_no_file, result(zram_set(zram, "algorithm_params", "dict=/nonexistent/file")))
CASE(class_that_is_not, result(zram_class_stats(zram, UINT_MAX, &(struct zs_class_stats){ 0 })))
CASE(destroy_null, (zram_destroy(NULL), WELL))
CASE(read_from_null, result(zram_pread(NULL, bytes, BLOCK, 0)))
CASE(write_to_null, result(zram_pwrite(NULL, bytes, BLOCK, 0)))
CASE(reset_of_null, result(zram_reset(NULL)))
CASE(size_of_null, result((long long)zram_size(NULL)))

static const struct deed {
	const char *name;
	int (*commit)(void);
	int error;  /* what it returns */
	int signal; /* or what it ends with */
} deeds[] = {
	{ "a size above the most", size_above_most, EINVAL, 0 },
	{ "blocks of 5000 bytes", block_of_no_power, EINVAL, 0 },
	{ "blocks of 512 bytes", block_too_small, EINVAL, 0 },
	{ "blocks of 128 KiB", block_too_large, EINVAL, 0 },
	{ "an unknown algorithm", unknown_algorithm, EINVAL, 0 },
	{ "a level that zstd has not", unknown_level, EINVAL, 0 },
	{ "a dictionary for none", dictionary_for_none, EINVAL, 0 },
	{ "a dictionary at NULL", dictionary_of_null, EINVAL, 0 },
	{ "a dictionary that is too large", dictionary_too_large, EINVAL, 0 },
	{ "a limit of one byte", limit_of_a_byte, EINVAL, 0 },
	{ "no such compaction", unknown_compaction, EINVAL, 0 },
	{ "no such checksum", unknown_checksum, EINVAL, 0 },
	{ "257 streams", too_many_streams, EINVAL, 0 },
	{ "zero_on_free of 2", unknown_zero_on_free, EINVAL, 0 },
	{ "a read of more than SSIZE_MAX", read_of_too_much, EINVAL, 0 },
	{ "a read of nothing to NULL", read_of_nothing_beyond, WELL, 0 },
	{ "a read beyond the end", read_beyond, WELL, 0 },
	{ "a read at 2^64 - 1", read_at_the_last_byte, WELL, 0 },
	{ "a write of more than SSIZE_MAX", write_of_too_much, EINVAL, 0 },
	{ "a write beyond the end", write_beyond, ENOSPC, 0 },
	{ "a write at 2^64 - 1", write_at_the_last_byte, ENOSPC, 0 },
	{ "zeroes beyond the end", zeroes_beyond, ENOSPC, 0 },
	{ "zeroes beyond 2^64", zeroes_past_the_end_of_numbers, ENOSPC, 0 },
	{ "a discard beyond the end", discard_beyond, WELL, 0 },
	{ "a discard at 2^64 - 1", discard_at_the_last_byte, WELL, 0 },
	{ "extents beyond the end", extents_beyond, WELL, 0 },
	{ "a new size above the most", resize_above_most, EINVAL, 0 },
	{ "get of no attribute", get_what_is_not, ENOENT, 0 },
	{ "get of one that can be set only", get_what_can_be_set, EACCES, 0 },
	{ "get into no buffer", get_into_nothing, WELL, 0 },
	{ "set of no attribute", set_what_is_not, ENOENT, 0 },
	{ "set of one that can be got only", set_what_can_be_got, EACCES, 0 },
	{ "set of no number", set_no_number, EINVAL, 0 },
	{ "set of a number that is too large", set_a_number_too_large, EINVAL, 0 },
	{ "another algorithm with blocks stored", set_while_stored, EBUSY, 0 },
	{ "a dictionary that is no file", set_no_file, EINVAL, 0 },
	{ "a class that is not", class_that_is_not, EINVAL, 0 },
	{ "destroy NULL", destroy_null, WELL, 0 },
	{ "a read from NULL", read_from_null, 0, SIGSEGV },
	{ "a write to NULL", write_to_null, 0, SIGSEGV },
	{ "a reset of NULL", reset_of_null, 0, SIGSEGV },
	{ "the size of NULL", size_of_null, 0, SIGSEGV },
};

/* Whether the store is what it was. */
static bool is_unchanged(void)
{
	struct zram_stats stats;

	zram_get_stats(zram, &stats);
	if (stats.disksize != SIZE || stats.orig_data_size != BLOCK)
		return false;
	if (zram_pread(zram, bytes, BLOCK, SIZE / 2) != BLOCK)
		return false;
	for (size_t i = 0; i < BLOCK; i++) {
		if (bytes[i] != 'x')
			return false;
	}
	return true;
}

static int do_deed(void *arg)
{
	const struct deed *deed = arg;

	zram = zram_create(&(struct zram_options){ .size = SIZE });
	memset(bytes, 'x', BLOCK);
	if (!zram || zram_pwrite(zram, bytes, BLOCK, SIZE / 2) != BLOCK)
		return 254;
	int error = deed->commit();
	return is_unchanged() ? error : 255;
}

static void misuse_is_refused_and_nothing_is_said(void **state)
{
	unsigned programs = 0, wrong = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(deeds); i++) {
		const struct deed *deed = &deeds[i];
		struct child child;

		/* The undefined-behaviour sanitizer would comment on it. */
		if (deed->signal && UNDER_ASAN)
			continue;
		run_child(do_deed, (void *)(uintptr_t)deed, &child);
		programs++;
		if (child.signal == deed->signal && child.text_bytes == 0 &&
		    (deed->signal || child.code == deed->error))
			continue;
		wrong++;
		print_error("%s: signal %d, code %d, not signal %d, code %d: %s\n", deed->name,
			    child.signal, child.code, deed->signal, deed->error, child.text);
	}
	print_message("store: %u programs that do one wrong thing, %u ended otherwise\n", programs,
		      wrong);
	assert_int_equal(wrong, 0);
	assert_true(programs >= 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(misuse_is_refused_and_nothing_is_said),
	};

	return cmocka_run_group_tests_name("misuse of a store", tests, NULL, NULL);
}
