/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* What is stored is told in order, without gaps, merged, and at once on a huge disk. */
#include "store.h"

#include <stdlib.h>

enum { HOLE = ZRAM_EXTENT_HOLE | ZRAM_EXTENT_ZERO };

struct list {
	struct zram_extent at[64];
	size_t count;
	size_t stop_at; /* 0: never */
};

static int note(const struct zram_extent *extent, void *data)
{
	struct list *list = data;

	assert_true(list->count < COUNT_OF(list->at));
	list->at[list->count++] = *extent;
	return list->stop_at && list->count == list->stop_at ? 42 : 0;
}

static void assert_extents(struct zram *zram, uint64_t offset, uint64_t length,
			   const struct zram_extent *expected, size_t count)
{
	struct list list = { .count = 0 };

	assert_int_equal(zram_get_extents(zram, offset, length, note, &list), 0);
	assert_int_equal(list.count, count);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(list.at[i].offset, expected[i].offset);
		assert_int_equal(list.at[i].length, expected[i].length);
		assert_int_equal(list.at[i].flags, expected[i].flags);
	}
}

static void an_empty_store_is_one_hole(void **state)
{
	static const uint64_t sizes[] = { 1, BLOCK, 10000, UINT64_C(1) << 40, ZRAM_MAX_SIZE };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		struct zram_options options = { .size = sizes[i] };
		const struct zram_extent hole = { 0, sizes[i], HOLE };
		struct zram *zram = store_open(&options);

		assert_extents(zram, 0, sizes[i], &hole, 1);
		assert_extents(zram, 0, UINT64_MAX, &hole, 1);
		store_close(zram);
	}
}

static void nothing_is_told_of_nothing(void **state)
{
	struct zram_options options = { .size = MIB(1) };
	struct zram *empty = store_open(NULL), *zram = store_open(&options);

	(void)state;
	assert_extents(empty, 0, 0, NULL, 0);
	assert_extents(empty, 0, UINT64_MAX, NULL, 0);
	assert_extents(zram, 5 * BLOCK, 0, NULL, 0);
	assert_extents(zram, MIB(1), 1, NULL, 0);
	assert_extents(zram, UINT64_MAX, UINT64_MAX, NULL, 0);
	store_close(zram);
	store_close(empty);
}

static void neighbours_of_one_kind_are_one_extent(void **state)
{
	struct zram_options options = { .size = 20 * BLOCK };
	const struct zram_extent expected[] = {
		{ 0, 3 * BLOCK, HOLE },          { 3 * BLOCK, 4 * BLOCK, 0 },
		{ 7 * BLOCK, 8 * BLOCK, HOLE },  { 15 * BLOCK, BLOCK, 0 },
		{ 16 * BLOCK, 3 * BLOCK, HOLE }, { 19 * BLOCK, BLOCK, 0 },
	};
	struct zram *zram = store_open(&options);

	(void)state;
	write_stamp(zram, 3, stamp_key(RAW, 3));
	write_stamp(zram, 4, stamp_key(PACKED, 4));
	write_stamp(zram, 5, stamp_key(FILLED, 5));
	write_stamp(zram, 6, stamp_key(THIN, 6));
	for (uint64_t i = 10; i < 13; i++)
		write_stamp(zram, i, stamp_key(PACKED, i));
	assert_int_equal(zram_discard(zram, 10 * BLOCK, 3 * BLOCK), 0);
	write_stamp(zram, 15, stamp_key(FILLED, 15));
	write_stamp(zram, 19, stamp_key(RAW, 19));
	assert_extents(zram, 0, 20 * BLOCK, expected, COUNT_OF(expected));
	store_close(zram);
}

static void extents_are_cut_to_the_range(void **state)
{
	struct zram_options options = { .size = 10 * BLOCK + 77 };
	const struct zram_extent inside = { 5 * BLOCK + 10, 20, 0 };
	const struct zram_extent across[] = {
		{ 4 * BLOCK + 1, BLOCK - 1, HOLE },
		{ 5 * BLOCK, 2 * BLOCK, 0 },
		{ 7 * BLOCK, 5, HOLE },
	};
	const struct zram_extent tail[] = {
		{ 9 * BLOCK, BLOCK, HOLE },
		{ 10 * BLOCK, 77, 0 },
	};
	struct zram *zram = store_open(&options);

	(void)state;
	write_stamp(zram, 5, stamp_key(RAW, 5));
	write_stamp(zram, 6, stamp_key(THIN, 6));
	assert_int_equal(zram_pwrite(zram, "tail", 4, 10 * BLOCK), 4);
	assert_extents(zram, 5 * BLOCK + 10, 20, &inside, 1);
	assert_extents(zram, 4 * BLOCK + 1, 3 * BLOCK + 4, across, COUNT_OF(across));
	assert_extents(zram, 9 * BLOCK, UINT64_MAX, tail, COUNT_OF(tail));
	store_close(zram);
}

static void a_block_of_zeros_reads_as_zeros(void **state)
{
	struct zram_options options = { .size = 4 * BLOCK };
	const struct zram_extent expected[] = {
		{ 0, BLOCK, 0 },
		{ BLOCK, BLOCK, ZRAM_EXTENT_ZERO },
		{ 2 * BLOCK, BLOCK, 0 },
		{ 3 * BLOCK, BLOCK, HOLE },
	};
	struct zram *zram = store_open(&options);

	(void)state;
	for (uint64_t i = 0; i < 3; i++)
		write_stamp(zram, i, stamp_key(PACKED, i));
	write_stamp(zram, 1, 0);
	assert_extents(zram, 0, 4 * BLOCK, expected, COUNT_OF(expected));
	store_close(zram);
}

static void the_visit_can_stop(void **state)
{
	struct zram_options options = { .size = 20 * BLOCK };
	struct zram *zram = store_open(&options);
	struct list list = { .stop_at = 3 };

	(void)state;
	for (uint64_t i = 0; i < 20; i += 2)
		write_stamp(zram, i, stamp_key(THIN, i));
	assert_int_equal(zram_get_extents(zram, 0, 20 * BLOCK, note, &list), 42);
	assert_int_equal(list.count, 3);
	store_close(zram);
}

static int read_it(const struct zram_extent *extent, void *data)
{
	struct zram *zram = data;
	unsigned char block[BLOCK];

	if (extent->flags == 0) {
		assert_int_equal(zram_pread(zram, block, BLOCK, extent->offset), BLOCK);
		assert_true(stamp_holds(block, BLOCK));
		stats_of(zram);
		assert_int_equal(zram_discard(zram, extent->offset, extent->length), 0);
		assert_int_equal(zram_pwrite(zram, "x", 1, extent->offset + BLOCK), 1);
	}
	return 0;
}

static void the_visit_may_call_into_the_store(void **state)
{
	struct zram_options options = { .size = 1000 * BLOCK };
	struct zram *zram = store_open(&options);

	(void)state;
	for (uint64_t i = 0; i < 500; i += 3)
		write_stamp(zram, i, stamp_key(PACKED, i));
	assert_int_equal(zram_get_extents(zram, 0, 500 * BLOCK, read_it, zram), 0);
	store_close(zram);
}

/* Nothing but what was ever written may be walked: else this would take years. */
static void a_huge_disk_is_told_at_once(void **state)
{
	struct zram_options options = { .size = ZRAM_MAX_SIZE };
	const uint64_t places[] = { 5, UINT64_C(1) << 20, (UINT64_C(1) << 51) - 2 };
	const struct zram_extent expected[] = {
		{ 0, places[0] * BLOCK, HOLE },
		{ places[0] * BLOCK, BLOCK, 0 },
		{ (places[0] + 1) * BLOCK, (places[1] - places[0] - 1) * BLOCK, HOLE },
		{ places[1] * BLOCK, BLOCK, 0 },
		{ (places[1] + 1) * BLOCK, (places[2] - places[1] - 1) * BLOCK, HOLE },
		{ places[2] * BLOCK, BLOCK, 0 },
	};
	struct zram *zram = store_open(&options);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(places); i++)
		write_stamp(zram, places[i], stamp_key(PACKED, i));
	for (int i = 0; i < 1000; i++)
		assert_extents(zram, 0, ZRAM_MAX_SIZE, expected, COUNT_OF(expected));
	assert_int_equal(zram_discard(zram, 0, ZRAM_MAX_SIZE), 0);
	zram_compact(zram);
	assert_extents(zram, 0, UINT64_MAX, &(struct zram_extent){ 0, ZRAM_MAX_SIZE, HOLE }, 1);
	store_close(zram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_store_is_one_hole),
		cmocka_unit_test(nothing_is_told_of_nothing),
		cmocka_unit_test(neighbours_of_one_kind_are_one_extent),
		cmocka_unit_test(extents_are_cut_to_the_range),
		cmocka_unit_test(a_block_of_zeros_reads_as_zeros),
		cmocka_unit_test(the_visit_can_stop),
		cmocka_unit_test(the_visit_may_call_into_the_store),
		cmocka_unit_test(a_huge_disk_is_told_at_once),
	};

	return cmocka_run_group_tests_name("zram-extents", tests, NULL, NULL);
}
