/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* What is forgotten reads as zeros and gives its memory back, and nothing else is touched. */
#include "store.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "resident.h"

enum { BLOCKS = 16 };

static struct zram *open_filled(uint64_t size)
{
	struct zram_options options = { .size = size };
	struct zram *zram = store_open(&options);
	unsigned char block[BLOCK];

	for (uint64_t at = 0; at < size; at += BLOCK) {
		stamp_fill(block, sizeof(block), stamp_key(PACKED, at / BLOCK));
		zram_pwrite(zram, block, BLOCK, at);
	}
	return zram;
}

static void assert_blocks(struct zram *zram, uint64_t first, uint64_t end)
{
	for (uint64_t i = first; i < end; i++)
		assert_stamp(zram, i, stamp_key(PACKED, i));
}

static void whole_blocks_are_discarded(void **state)
{
	struct zram *zram = open_filled(BLOCKS * BLOCK);

	(void)state;
	assert_int_equal(zram_discard(zram, 3 * BLOCK, 4 * BLOCK), 0);
	assert_blocks(zram, 0, 3);
	assert_bytes(zram, 3 * BLOCK, 4 * BLOCK, 0);
	assert_blocks(zram, 7, BLOCKS);
	assert_int_equal(stats_of(zram).orig_data_size, 12 * BLOCK);
	assert_int_equal(stats_of(zram).notify_free, 4);
	store_close(zram);
}

static void parts_of_blocks_are_left_by_discard(void **state)
{
	struct zram *zram = open_filled(BLOCKS * BLOCK);

	(void)state;
	assert_int_equal(zram_discard(zram, 3 * BLOCK + 1, BLOCK - 1), 0);
	assert_int_equal(zram_discard(zram, 3 * BLOCK, BLOCK - 1), 0);
	assert_int_equal(zram_discard(zram, 3 * BLOCK + 1, 2 * BLOCK - 2), 0);
	assert_int_equal(zram_discard(zram, 5 * BLOCK, 0), 0);
	assert_int_equal(stats_of(zram).notify_free, 0);
	assert_blocks(zram, 0, BLOCKS);
	assert_int_equal(zram_discard(zram, 3 * BLOCK + 1, 2 * BLOCK), 0);
	assert_blocks(zram, 0, 4);
	assert_bytes(zram, 4 * BLOCK, BLOCK, 0);
	assert_blocks(zram, 5, BLOCKS);
	store_close(zram);
}

static void the_last_block_is_complete_at_the_end_of_the_store(void **state)
{
	struct zram *zram = open_filled(10000);
	unsigned char last[10000 - 2 * BLOCK];

	(void)state;
	assert_int_equal(zram_pread(zram, last, sizeof(last), 2 * BLOCK), sizeof(last));
	assert_int_equal(zram_discard(zram, 2 * BLOCK, sizeof(last) - 1), 0);
	assert_contents(zram, 2 * BLOCK, last, sizeof(last));
	assert_int_equal(zram_discard(zram, 2 * BLOCK, sizeof(last)), 0);
	assert_bytes(zram, 2 * BLOCK, sizeof(last), 0);
	assert_blocks(zram, 0, 2);
	store_close(zram);
}

static void a_discard_is_cut_at_the_end_of_the_store(void **state)
{
	struct zram *zram = open_filled(BLOCKS * BLOCK);

	(void)state;
	assert_int_equal(zram_discard(zram, BLOCKS * BLOCK, BLOCK), 0);
	assert_int_equal(zram_discard(zram, UINT64_MAX, UINT64_MAX), 0);
	assert_int_equal(zram_discard(zram, UINT64_MAX - 5, 100), 0);
	assert_blocks(zram, 0, BLOCKS);
	assert_int_equal(zram_discard(zram, 14 * BLOCK, UINT64_MAX), 0);
	assert_blocks(zram, 0, 14);
	assert_bytes(zram, 14 * BLOCK, 2 * BLOCK, 0);
	assert_int_equal(zram_discard(zram, 1, UINT64_MAX), 0);
	assert_blocks(zram, 0, 1);
	assert_int_equal(stats_of(zram).orig_data_size, BLOCK);
	store_close(zram);
}

static void only_blocks_that_were_stored_are_counted_as_freed(void **state)
{
	struct zram *zram = open_filled(BLOCKS * BLOCK);

	(void)state;
	assert_int_equal(zram_discard(zram, 0, BLOCKS * BLOCK), 0);
	assert_int_equal(zram_discard(zram, 0, BLOCKS * BLOCK), 0);
	assert_int_equal(stats_of(zram).notify_free, BLOCKS);
	assert_int_equal(stats_of(zram).orig_data_size, 0);
	store_close(zram);
}

static void a_huge_empty_range_is_discarded_at_once(void **state)
{
	struct zram_options options = { .size = ZRAM_MAX_SIZE };
	struct zram *zram = store_open(&options);

	(void)state;
	write_stamp(zram, UINT64_C(1) << 40, stamp_key(PACKED, 1));
	for (uint64_t i = 0; i < 1000; i++)
		assert_int_equal(zram_discard(zram, i * BLOCK, UINT64_C(1) << 50), 0);
	assert_stamp(zram, UINT64_C(1) << 40, stamp_key(PACKED, 1));
	assert_int_equal(zram_write_zeroes(zram, 1, ZRAM_MAX_SIZE - 1), 0);
	assert_int_equal(stats_of(zram).orig_data_size, 0);
	store_close(zram);
}

static void zeros_are_written_to_parts_of_blocks_too(void **state)
{
	static const struct {
		size_t offset, length;
	} ranges[] = {
		{ 0, 1 },
		{ BLOCK - 1, 2 },
		{ BLOCK, BLOCK },
		{ 2 * BLOCK + 5, 100 },
		{ 3 * BLOCK + 1, BLOCK },
		{ 5 * BLOCK + 1000, 4 * BLOCK },
		{ 11 * BLOCK, 2 * BLOCK + 7 },
		{ BLOCKS * BLOCK - 1, 1 },
		{ 7, 0 },
		{ BLOCKS * BLOCK, 0 },
	};
	struct zram *zram = open_filled(BLOCKS * BLOCK);
	unsigned char model[BLOCKS * BLOCK];

	(void)state;
	assert_int_equal(zram_pread(zram, model, sizeof(model), 0), sizeof(model));
	for (size_t i = 0; i < COUNT_OF(ranges); i++) {
		memset(model + ranges[i].offset, 0, ranges[i].length);
		assert_int_equal(zram_write_zeroes(zram, ranges[i].offset, ranges[i].length), 0);
		assert_contents(zram, 0, model, sizeof(model));
	}
	/* 1; 4 inside the range of 4 blocks less one; 11 and 12. */
	assert_int_equal(stats_of(zram).orig_data_size, (BLOCKS - 1 - 3 - 2) * BLOCK);
	assert_int_equal(stats_of(zram).notify_free, 1 + 3 + 2);
	store_close(zram);
}

static void zeros_beyond_the_end_are_refused_and_nothing_is_done(void **state)
{
	struct zram *zram = open_filled(BLOCKS * BLOCK);

	(void)state;
	assert_refused(zram_write_zeroes(zram, 0, BLOCKS * BLOCK + 1), ENOSPC);
	assert_refused(zram_write_zeroes(zram, BLOCKS * BLOCK, 1), ENOSPC);
	assert_refused(zram_write_zeroes(zram, BLOCK, UINT64_MAX), ENOSPC);
	assert_refused(zram_write_zeroes(zram, UINT64_MAX, 2), ENOSPC);
	assert_blocks(zram, 0, BLOCKS);
	assert_int_equal(zram_write_zeroes(zram, 0, BLOCKS * BLOCK), 0);
	assert_bytes(zram, 0, BLOCKS * BLOCK, 0);
	store_close(zram);
}

/* Memory. */

static struct zram *open_large(uint64_t blocks)
{
	struct zram_options options = { .size = UINT64_C(1) << 40 };
	struct zram *zram = store_open(&options);

	for (uint64_t i = 0; i < blocks; i++)
		write_stamp(zram, i, stamp_key(PACKED, i));
	return zram;
}

static void what_is_discarded_gives_its_memory_back(void **state)
{
	struct zram *zram = open_large(20000);
	uint64_t filled = stats_of(zram).mem_used_total;
	uint64_t table = stats_of(zram).table_bytes;

	(void)state;
	assert_int_equal(zram_discard(zram, 0, UINT64_C(20000) * BLOCK), 0);
	assert_true(stats_of(zram).mem_used_total < filled / 10);
	zram_compact(zram);
	assert_true(stats_of(zram).mem_used_total < MIB(1));
	assert_true(stats_of(zram).table_bytes < table / 4);
	assert_true(stats_of(zram).mem_used_max >= filled);
	store_close(zram);
}

static void the_slot_table_of_scattered_blocks_comes_back(void **state)
{
	struct zram_options options = { .size = UINT64_C(1) << 50 };
	struct zram *zram = store_open(&options);
	uint64_t empty = stats_of(zram).mem_used_total;

	(void)state;
	for (uint64_t i = 0; i < 1000; i++)
		write_stamp(zram, i << 26, stamp_key(PACKED, i));
	assert_true(stats_of(zram).table_bytes < 1000 * 16384);
	assert_int_equal(zram_discard(zram, 0, UINT64_MAX), 0);
	zram_compact(zram);
	assert_true(stats_of(zram).table_bytes < KIB(64));
	assert_true(stats_of(zram).mem_used_total < empty + KIB(256));
	store_close(zram);
}

static void at_the_limit_the_empty_slot_table_makes_room(void **state)
{
	struct zram_options options = { .size = UINT64_C(1) << 62, .mem_limit = MIB(2) };
	struct zram *zram = store_open(&options);

	(void)state;
	/* Each block's place in the table takes some pages that no other one uses. */
	for (uint64_t i = 0; i < 1000; i++) {
		write_stamp(zram, i << 40, stamp_key(PACKED, i));
		assert_int_equal(zram_discard(zram, i << 52, BLOCK), 0);
	}
	assert_int_equal(stats_of(zram).orig_data_size, 0);
	store_close(zram);
}

/* As nbdkit --swap does. Chunks of the slot table are much larger than what is used of them. */
static void locked_memory_is_given_back_too(void **state)
{
	struct zram_options options = { .size = UINT64_C(1) << 50 };
	struct zram_stats stats;
	uint64_t before, held;

	(void)state;
	if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
		print_message("skipped: mlockall: %s\n", strerror(errno));
		skip();
	}
	before = resident_anonymous_bytes();
	struct zram *zram = store_open(&options);
	for (uint64_t i = 0; i < 100; i++)
		write_stamp(zram, i << 26, stamp_key(PACKED, i));
	stats = stats_of(zram);
	held = resident_anonymous_bytes() - before;
	print_message("%llu bytes reported, %llu resident\n",
		      (unsigned long long)stats.mem_used_total, (unsigned long long)held);
	/* The pool opens its address space by a few MiB at a time, all of which is locked. */
	assert_true(held < stats.mem_used_total + MIB(64));
	assert_int_equal(zram_discard(zram, 0, UINT64_MAX), 0);
	zram_compact(zram);
	assert_true(stats_of(zram).table_bytes < KIB(64));
	store_close(zram);
	munlockall();
}

static void compaction_gives_back_what_scattered_discards_left(void **state)
{
	struct zram_options options = { .size = UINT64_C(1) << 40,
					.compaction = ZS_COMPACTION_MANUAL };
	struct zram *zram = store_open(&options);
	struct zram_stats before, after;
	uint64_t given;

	(void)state;
	for (uint64_t i = 0; i < 20000; i++)
		write_stamp(zram, i, stamp_key(PACKED, i));
	for (uint64_t i = 0; i < 20000; i++) {
		if (i % 4)
			assert_int_equal(zram_discard(zram, i * BLOCK, BLOCK), 0);
	}
	before = stats_of(zram);
	given = zram_compact(zram);
	after = stats_of(zram);
	assert_true(given > before.compr_data_size);
	assert_true(before.mem_used_total - after.mem_used_total >= given);
	assert_true(after.pages_compacted > before.pages_compacted);
	assert_true(after.pool_bytes < after.compr_data_size + after.compr_data_size / 10);
	for (uint64_t i = 0; i < 20000; i += 4)
		assert_stamp(zram, i, stamp_key(PACKED, i));
	assert_int_equal(zram_compact(zram), 0);
	store_close(zram);
}

static void compaction_in_slices_does_as_much_as_in_one_go(void **state)
{
	struct zram_options options = { .size = UINT64_C(1) << 40,
					.compaction = ZS_COMPACTION_MANUAL };
	struct zram *zram = store_open(&options);
	uint64_t given, sum = 0;
	unsigned slices = 1;

	(void)state;
	for (uint64_t i = 0; i < 4000; i++)
		write_stamp(zram, i, stamp_key(PACKED, i));
	for (uint64_t i = 0; i < 4000; i++) {
		if (i % 4)
			assert_int_equal(zram_discard(zram, i * BLOCK, BLOCK), 0);
	}
	struct zram_stats before = stats_of(zram);
	/* No time at all: of each call a step. */
	for (; zram_compact_some(zram, 1, &given); slices++)
		sum += given;
	sum += given;
	print_message("%u slices\n", slices);
	assert_true(slices > 100);
	assert_true(sum > before.compr_data_size);
	assert_true(before.mem_used_total - stats_of(zram).mem_used_total >= sum);
	for (uint64_t i = 0; i < 4000; i += 4)
		assert_stamp(zram, i, stamp_key(PACKED, i));
	assert_int_equal(zram_compact_some(zram, 0, NULL), 0);
	assert_int_equal(zram_compact(zram), 0);
	store_close(zram);
}

static void a_reset_store_is_an_empty_one(void **state)
{
	struct zram_options options = { .size = UINT64_C(1) << 40 };
	struct zram *empty = store_open(&options), *zram = open_large(5000);
	struct zram_stats stats;

	(void)state;
	zram_discard(zram, 0, BLOCK);
	assert_int_equal(zram_reset(zram), 0);
	stats = stats_of(zram);
	assert_int_equal(stats.mem_used_total, stats_of(empty).mem_used_total);
	assert_int_equal(stats.orig_data_size, 0);
	assert_int_equal(stats.compr_data_size, 0);
	assert_int_equal(stats.huge_pages_since, 0);
	assert_int_equal(stats.notify_free, 0);
	assert_int_equal(stats.writes, 0);
	assert_int_equal(stats.written_bytes, 0);
	assert_int_equal(stats.reads, 0);
	assert_int_equal(stats.pages_compacted, 0);
	assert_int_equal(stats.disksize, UINT64_C(1) << 40);
	assert_bytes(zram, 0, MIB(1), 0);
	write_stamp(zram, 7, stamp_key(RAW, 7));
	assert_stamp(zram, 7, stamp_key(RAW, 7));
	store_close(zram);
	store_close(empty);
}

static void a_reset_store_keeps_its_attributes(void **state)
{
	static const char *const names[] = { "disksize",    "mem_limit",  "comp_algorithm",
					     "block_size",  "compaction", "algorithm_params",
					     "checksum",    "initstate",  "max_comp_streams",
					     "zero_on_free" };
	struct zram_options options = { .size = 1234567,
					.block_size = 8192,
					.algorithm = "zstd",
					.level = 3,
					.dictionary = "common words",
					.dictionary_size = 12,
					.mem_limit = MIB(100),
					.compaction = ZS_COMPACTION_MANUAL,
					.checksum = ZRAM_CHECKSUM_OFF,
					.max_comp_streams = 3,
					.zero_on_free = 1 };
	struct zram *zram = store_open(&options);
	char before[COUNT_OF(names)][256];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++)
		assert_true(zram_get(zram, names[i], before[i], sizeof(before[i])) > 0);
	write_stamp(zram, 5, stamp_key(PACKED, 5));
	assert_int_equal(zram_reset(zram), 0);
	for (size_t i = 0; i < COUNT_OF(names); i++)
		assert_attribute(zram, names[i], before[i]);
	write_stamp(zram, 5, stamp_key(PACKED, 6));
	assert_stamp(zram, 5, stamp_key(PACKED, 6));
	store_close(zram);
}

static void a_store_can_be_filled_and_reset_again_and_again(void **state)
{
	struct zram_options options = { .size = MIB(4) };
	struct zram *zram = store_open(&options);
	uint64_t empty = stats_of(zram).mem_used_total;

	(void)state;
	for (uint64_t round = 0; round < 20; round++) {
		for (uint64_t i = 0; i < 300; i++)
			write_stamp(zram, i, stamp_key(i % 4, round));
		assert_sound(zram);
		assert_int_equal(zram_reset(zram), 0);
		assert_int_equal(stats_of(zram).mem_used_total, empty);
		assert_sound(zram);
	}
	store_close(zram);
}

/* Sizes. */

static void a_store_grows_and_keeps_what_it_has(void **state)
{
	struct zram *zram = open_filled(10000);
	unsigned char before[10000];

	(void)state;
	assert_int_equal(zram_pread(zram, before, sizeof(before), 0), 10000);
	assert_int_equal(zram_resize(zram, 3 * BLOCK), 0);
	assert_int_equal(zram_size(zram), 3 * BLOCK);
	assert_contents(zram, 0, before, sizeof(before));
	assert_bytes(zram, 10000, 3 * BLOCK - 10000, 0);
	assert_int_equal(zram_resize(zram, ZRAM_MAX_SIZE), 0);
	assert_contents(zram, 0, before, sizeof(before));
	assert_bytes(zram, 10000, BLOCK, 0);
	assert_bytes(zram, ZRAM_MAX_SIZE - BLOCK, BLOCK, 0);
	store_close(zram);
}

static void what_lies_beyond_a_smaller_size_is_gone(void **state)
{
	static const uint64_t sizes[] = { 0, 1, 100, BLOCK, BLOCK + 1, 3 * BLOCK - 1, 5 * BLOCK };
	unsigned char model[BLOCKS * BLOCK];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		struct zram *zram = open_filled(BLOCKS * BLOCK);

		assert_int_equal(zram_pread(zram, model, sizeof(model), 0), sizeof(model));
		memset(model + sizes[i], 0, sizeof(model) - sizes[i]);
		assert_int_equal(zram_resize(zram, sizes[i]), 0);
		assert_int_equal(zram_size(zram), sizes[i]);
		assert_sound(zram);
		assert_int_equal(stats_of(zram).orig_data_size,
				 (sizes[i] + BLOCK - 1) / BLOCK * BLOCK);
		assert_contents(zram, 0, model, sizes[i]);
		assert_int_equal(zram_resize(zram, BLOCKS * BLOCK), 0);
		assert_contents(zram, 0, model, sizeof(model));
		store_close(zram);
	}
}

static void a_shrunk_store_gives_memory_back(void **state)
{
	struct zram *zram = open_large(10000);
	uint64_t filled = stats_of(zram).mem_used_total;

	(void)state;
	assert_int_equal(zram_resize(zram, 10 * BLOCK), 0);
	zram_compact(zram);
	assert_true(stats_of(zram).mem_used_total < filled / 10);
	assert_int_equal(stats_of(zram).orig_data_size, 10 * BLOCK);
	assert_blocks(zram, 0, 10);
	store_close(zram);
}

static void a_size_above_the_maximum_is_refused(void **state)
{
	struct zram *zram = open_filled(BLOCKS * BLOCK);

	(void)state;
	assert_refused(zram_resize(zram, ZRAM_MAX_SIZE + 1), EINVAL);
	assert_refused(zram_resize(zram, UINT64_MAX), EINVAL);
	assert_int_equal(zram_size(zram), BLOCKS * BLOCK);
	assert_blocks(zram, 0, BLOCKS);
	store_close(zram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_blocks_are_discarded),
		cmocka_unit_test(parts_of_blocks_are_left_by_discard),
		cmocka_unit_test(the_last_block_is_complete_at_the_end_of_the_store),
		cmocka_unit_test(a_discard_is_cut_at_the_end_of_the_store),
		cmocka_unit_test(only_blocks_that_were_stored_are_counted_as_freed),
		cmocka_unit_test(a_huge_empty_range_is_discarded_at_once),
		cmocka_unit_test(zeros_are_written_to_parts_of_blocks_too),
		cmocka_unit_test(zeros_beyond_the_end_are_refused_and_nothing_is_done),
		cmocka_unit_test(what_is_discarded_gives_its_memory_back),
		cmocka_unit_test(the_slot_table_of_scattered_blocks_comes_back),
		cmocka_unit_test(at_the_limit_the_empty_slot_table_makes_room),
		cmocka_unit_test(locked_memory_is_given_back_too),
		cmocka_unit_test(compaction_gives_back_what_scattered_discards_left),
		cmocka_unit_test(compaction_in_slices_does_as_much_as_in_one_go),
		cmocka_unit_test(a_reset_store_is_an_empty_one),
		cmocka_unit_test(a_reset_store_keeps_its_attributes),
		cmocka_unit_test(a_store_can_be_filled_and_reset_again_and_again),
		cmocka_unit_test(a_store_grows_and_keeps_what_it_has),
		cmocka_unit_test(what_lies_beyond_a_smaller_size_is_gone),
		cmocka_unit_test(a_shrunk_store_gives_memory_back),
		cmocka_unit_test(a_size_above_the_maximum_is_refused),
	};

	return cmocka_run_group_tests_name("zram-discard", tests, NULL, NULL);
}
