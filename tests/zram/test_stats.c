/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* The figures: what each counts, that they add up, and the forms they are told in. */
#include "resident.h"
#include "store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static struct zram *open_one(void)
{
	struct zram_options options = { .size = MIB(64) };

	return store_open(&options);
}

static void requests_are_counted_with_their_bytes(void **state)
{
	struct zram *zram = open_one();
	unsigned char bytes[3 * BLOCK] = { 0 };
	struct zram_stats stats;

	(void)state;
	assert_int_equal(zram_pwrite(zram, "some", 4, 10), 4);
	memset(bytes, 1, sizeof(bytes));
	assert_int_equal(zram_pwrite(zram, bytes, sizeof(bytes), 100), sizeof(bytes));
	assert_int_equal(zram_pread(zram, bytes, sizeof(bytes), 5), sizeof(bytes));
	assert_int_equal(zram_pread(zram, bytes, 7, 5), 7);
	assert_int_equal(zram_pread(zram, bytes, 100, MIB(64) - 20), 20);
	stats = stats_of(zram);
	assert_int_equal(stats.writes, 2);
	assert_int_equal(stats.written_bytes, 4 + sizeof(bytes));
	assert_int_equal(stats.reads, 3);
	assert_int_equal(stats.read_bytes, sizeof(bytes) + 7 + 20);
	assert_int_equal(stats.failed_reads, 0);
	assert_int_equal(stats.failed_writes, 0);
	store_close(zram);
}

static void requests_beyond_the_end_are_invalid(void **state)
{
	struct zram *zram = open_one();
	unsigned char byte = 1;

	(void)state;
	assert_int_equal(stats_of(zram).invalid_io, 0);
	assert_int_equal(zram_pread(zram, &byte, 1, MIB(64)), 0);
	assert_int_equal(zram_pwrite(zram, &byte, 1, MIB(64)), -1);
	assert_int_equal(stats_of(zram).invalid_io, 2);
	store_close(zram);
}

/* With so many blocks of each kind. */
static void blocks_are_counted_by_what_they_are(void **state)
{
	struct zram *zram = open_one();
	struct zram_stats stats;

	(void)state;
	for (uint64_t i = 0; i < 100; i++)
		write_stamp(zram, i, stamp_key(i < 40 ? PACKED : i < 70 ? RAW : FILLED, i));
	stats = stats_of(zram);
	assert_int_equal(stats.orig_data_size, 100 * BLOCK);
	assert_int_equal(stats.same_pages, 30);
	assert_int_equal(stats.huge_pages, 30);
	assert_true(stats.compr_data_size > 30 * BLOCK);
	assert_true(stats.compr_data_size < 70 * BLOCK);
	assert_sound(zram);
	for (uint64_t i = 0; i < 100; i++)
		write_stamp(zram, i, stamp_key(i < 40 ? FILLED : i < 70 ? PACKED : RAW, i));
	stats = stats_of(zram);
	assert_int_equal(stats.orig_data_size, 100 * BLOCK);
	assert_int_equal(stats.same_pages, 40);
	assert_int_equal(stats.huge_pages, 30);
	assert_int_equal(stats.huge_pages_since, 60);
	store_close(zram);
}

static void the_figures_add_up_in_every_state(void **state)
{
	static const struct zram_options kinds[] = {
		{ .size = MIB(16) },
		{ .size = MIB(16), .block_size = 65536, .algorithm = "zstd" },
		{ .size = MIB(16), .algorithm = "none", .compaction = ZS_COMPACTION_MANUAL },
		{ .size = MIB(16), .mem_limit = MIB(4) },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		struct zram *zram = store_open(&kinds[i]);
		size_t size = zram_block_size(zram);
		uint64_t blocks = MIB(16) / size;
		struct rng rng = rng_seeded(i);

		assert_sound(zram);
		for (int round = 0; round < 10; round++) {
			unsigned char block[ZRAM_MAX_BLOCK_SIZE];

			for (uint64_t j = 0; j < blocks / 8; j++) {
				stamp_fill(block, size, stamp_key(rng_below(&rng, 4), j));
				zram_pwrite(zram, block, size,
					    rng_below(&rng, (uint32_t)blocks) * size);
			}
			assert_sound(zram);
			zram_discard(zram, rng_below(&rng, (uint32_t)blocks) * size, MIB(2));
			assert_sound(zram);
			if (round % 3 == 2)
				zram_compact(zram);
			assert_sound(zram);
		}
		store_close(zram);
	}
}

static void the_peak_is_the_most_that_was_held(void **state)
{
	struct zram *zram = open_one();
	uint64_t most = 0;

	(void)state;
	for (uint64_t i = 0; i < 2000; i++) {
		if (i % 500 < 350)
			write_stamp(zram, i, stamp_key(RAW, i));
		else
			zram_discard(zram, (i - 350) * BLOCK, BLOCK);
		if (stats_of(zram).mem_used_total > most)
			most = stats_of(zram).mem_used_total;
		assert_true(stats_of(zram).mem_used_max >= most);
	}
	assert_true(stats_of(zram).mem_used_max <= most + MIB(1));
	store_close(zram);
}

static void what_compaction_gives_back_is_counted(void **state)
{
	struct zram_options options = { .size = MIB(64), .compaction = ZS_COMPACTION_MANUAL };
	struct zram *zram = store_open(&options);
	struct zs_pool_stats pool;
	uint64_t given;

	(void)state;
	for (uint64_t i = 0; i < 3000; i++)
		write_stamp(zram, i, stamp_key(PACKED, i));
	for (uint64_t i = 0; i < 3000; i++) {
		if (i % 4)
			zram_discard(zram, i * BLOCK, BLOCK);
	}
	assert_int_equal(stats_of(zram).pages_compacted, 0);
	given = zram_compact(zram);
	zram_pool_stats(zram, &pool);
	assert_true(given > 0);
	assert_int_equal(stats_of(zram).pages_compacted, pool.compacted_pages);
	assert_true(stats_of(zram).pages_compacted * pool.page_size <= given);
	store_close(zram);
}

static void assert_nothing_is_held_untold(const struct zram_options *options)
{
	uint64_t before = resident_anonymous_bytes(), resident, reported;
	struct zram *zram = store_open(options);

	for (uint64_t i = 0; i < 100; i++)
		write_stamp(zram, i, stamp_key(i % 4, i));
	for (uint64_t i = 0; i < 100; i++)
		assert_stamp(zram, i, stamp_key(i % 4, i));
	resident = resident_anonymous_bytes() - before;
	reported = stats_of(zram).mem_used_total;
	if ((int64_t)(resident - reported) >= 256 * 1024)
		print_error("%s, level %d, blocks of %zu: resident %" PRIu64
			    " bytes, reported %" PRIu64 "\n",
			    options->algorithm, options->level, zram_block_size(zram), resident,
			    reported);
	/* The C library's own few, and the test's stack. */
	assert_true((int64_t)(resident - reported) < 256 * 1024);
	store_close(zram);
}

static void the_system_holds_no_more_than_is_told(void **state)
{
	static const struct zram_options kinds[] = {
		{ .algorithm = "none" },
		{ .algorithm = "lz4" },
		{ .algorithm = "lz4hc" },
		{ .algorithm = "lz4hc", .level = 12 },
		{ .algorithm = "zstd" },
		{ .algorithm = "zstd", .level = 1 },
		{ .algorithm = "zstd", .level = 9 },
		{ .algorithm = "zstd", .level = 19 },
		{ .algorithm = "lzo" },
	};
	unsigned char dictionary[ZRAM_MAX_BLOCK_SIZE];

	(void)state;
	if (UNDER_ASAN || UNDER_TSAN || !resident_anonymous_bytes()) {
		print_message("skipped: the resident size is not the store's, or not told\n");
		skip();
	}
	stamp_fill(dictionary, sizeof(dictionary), stamp_key(PACKED, 1));
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		struct zram_options options = kinds[i];

		if (!has_algorithm(options.algorithm))
			continue;
		options.size = MIB(16);
		assert_nothing_is_held_untold(&options);
		options.block_size = 65536;
		assert_nothing_is_held_untold(&options);
		if (!strcmp(options.algorithm, "none") || !strcmp(options.algorithm, "lzo"))
			continue;
		options.dictionary = dictionary;
		options.dictionary_size = sizeof(dictionary);
		assert_nothing_is_held_untold(&options);
	}
}

/* stat: every field, in order, a line each. */
static void stat_tells_every_field_in_order(void **state)
{
	static const char *const names[] = {
		"orig_data_size",  "compr_data_size", "mem_used_total",
		"mem_limit",       "mem_used_max",    "same_pages",
		"pages_compacted", "huge_pages",      "huge_pages_since",
		"failed_reads",    "failed_writes",   "invalid_io",
		"notify_free",     "reads",           "read_bytes",
		"writes",          "written_bytes",   "unchanged_blocks",
		"damaged_blocks",  "pool_bytes",      "table_bytes",
		"stream_bytes",    "own_bytes",       "disksize",
		"block_size",
	};
	struct zram *zram = open_one();
	struct zram_stats stats;
	uint64_t numbers[COUNT_OF(names)];
	char expected[4096], value[4096];
	size_t length = 0;

	(void)state;
	for (uint64_t i = 0; i < 50; i++)
		write_stamp(zram, i, stamp_key(i % 4, i));
	stats = stats_of(zram);
	assert_int_equal(sizeof(stats), sizeof(numbers));
	memcpy(numbers, &stats, sizeof(numbers));
	for (size_t i = 0; i < COUNT_OF(names); i++)
		length += (size_t)snprintf(expected + length, sizeof(expected) - length,
					   "%s %" PRIu64 "\n", names[i], numbers[i]);
	assert_true(zram_get(zram, "stat", value, sizeof(value)) > 0);
	assert_string_equal(value, expected);
	store_close(zram);
}

static void io_stat_has_the_kernels_order(void **state)
{
	struct zram *zram = open_one();
	unsigned char byte = 1;
	char expected[128];
	struct zram_stats stats;

	(void)state;
	write_stamp(zram, 1, stamp_key(RAW, 1));
	write_stamp(zram, 2, stamp_key(RAW, 2));
	zram_discard(zram, 0, UINT64_MAX);
	zram_pread(zram, &byte, 1, MIB(64));
	stats = stats_of(zram);
	assert_int_equal(stats.notify_free, 2);
	snprintf(expected, sizeof(expected), "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
		 stats.failed_reads, stats.failed_writes, stats.invalid_io, stats.notify_free);
	assert_attribute(zram, "io_stat", expected);
	store_close(zram);
}

static const char *next_line(const char *line)
{
	const char *end = strchr(line, '\n');

	assert_non_null(end);
	return end + 1;
}

/* A line of the table says what zram_class_stats() says of that class. */
static void assert_line_of(struct zram *zram, const char *line, uint64_t *objects)
{
	struct zs_class_stats class;
	uint64_t n[9], bands[ZS_FULLNESS_BANDS];
	const char *at = line;
	char *end;

	for (size_t i = 0; i < COUNT_OF(n); i++) {
		n[i] = strtoull(at, &end, 10);
		assert_true(end > at);
		at = end;
	}
	for (size_t i = 0; i < ZS_FULLNESS_BANDS; i++) {
		bands[i] = strtoull(at, &end, 10);
		assert_true(end > at);
		at = end;
	}
	assert_int_equal(*at, '\n');
	assert_int_equal(zram_class_stats(zram, (unsigned)n[0], &class), 0);
	assert_int_equal(n[1], class.size);
	assert_int_equal(n[2], class.open);
	assert_int_equal(n[3], class.pages_per_zspage);
	assert_int_equal(n[4], class.objs_per_zspage);
	assert_int_equal(n[5], class.objects);
	assert_int_equal(n[6], class.free_slots);
	assert_int_equal(n[7], class.pages);
	assert_int_equal(n[8], class.reclaimable_bytes);
	assert_true(class.pages > 0);
	for (size_t i = 0; i < ZS_FULLNESS_BANDS; i++)
		assert_int_equal(bands[i], class.zspages[i]);
	*objects += class.objects;
}

static void classes_is_a_table_of_those_that_hold_pages(void **state)
{
	static const char header[] = "class size open pages_per_zspage objs_per_zspage objects "
				     "free_slots pages reclaimable_bytes "
				     "b0 b10 b20 b30 b40 b50 b60 b70 b80 b90 b100";
	struct zram *zram = open_one();
	char table[65536], words[1024] = "", *word, *rest;
	size_t length = 0;
	struct zs_pool_stats pool;
	uint64_t objects = 0;
	const char *line;

	(void)state;
	for (uint64_t i = 0; i < 400; i++)
		write_stamp(zram, i, stamp_key(i % 4, i));
	zram_discard(zram, 0, 50 * BLOCK);
	assert_in_range(zram_get(zram, "classes", table, sizeof(table)), 1, sizeof(table) - 1);
	line = next_line(table);
	for (; *line; line = next_line(line))
		assert_line_of(zram, line, &objects);
	zram_pool_stats(zram, &pool);
	assert_int_equal(objects, pool.objects);
	*strchr(table, '\n') = '\0';
	for (word = strtok_r(table, " \t", &rest); word; word = strtok_r(NULL, " \t", &rest))
		length += (size_t)snprintf(words + length, sizeof(words) - length, "%s%s",
					   length ? " " : "", word);
	assert_string_equal(words, header);
	store_close(zram);
}

static void there_is_no_class_beyond_the_last(void **state)
{
	struct zram *zram = open_one();
	struct zs_class_stats class;
	struct zs_pool_stats pool;
	uint64_t objects = 0;

	(void)state;
	for (uint64_t i = 0; i < 100; i++)
		write_stamp(zram, i, stamp_key(PACKED, i));
	zram_pool_stats(zram, &pool);
	for (unsigned i = 0; i < pool.classes; i++) {
		assert_int_equal(zram_class_stats(zram, i, &class), 0);
		objects += class.objects;
	}
	assert_int_equal(objects, 100);
	assert_refused(zram_class_stats(zram, pool.classes, &class), EINVAL);
	assert_refused(zram_class_stats(zram, ~0u, &class), EINVAL);
	store_close(zram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_counted_with_their_bytes),
		cmocka_unit_test(requests_beyond_the_end_are_invalid),
		cmocka_unit_test(blocks_are_counted_by_what_they_are),
		cmocka_unit_test(the_figures_add_up_in_every_state),
		cmocka_unit_test(the_peak_is_the_most_that_was_held),
		cmocka_unit_test(what_compaction_gives_back_is_counted),
		cmocka_unit_test(the_system_holds_no_more_than_is_told),
		cmocka_unit_test(stat_tells_every_field_in_order),
		cmocka_unit_test(io_stat_has_the_kernels_order),
		cmocka_unit_test(classes_is_a_table_of_those_that_hold_pages),
		cmocka_unit_test(there_is_no_class_beyond_the_last),
	};

	return cmocka_run_group_tests_name("zram-stats", tests, NULL, NULL);
}
