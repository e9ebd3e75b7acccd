/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* What is written is read, at any offset and length, up to the end and not beyond. */
#include "store.h"

#include <limits.h>
#include <stdlib.h>

/* A store of four blocks, each of its bytes known. */
struct plain {
	struct zram *zram;
	unsigned char bytes[4 * 8192];
	size_t size;
};

static void plain_open(struct plain *plain, size_t block_size, size_t size)
{
	struct zram_options options = { .size = size, .block_size = block_size };

	plain->size = size;
	plain->zram = store_open(&options);
	for (size_t at = 0; at < size; at++)
		plain->bytes[at] = (unsigned char)rng_mix(at / 3);
	assert_int_equal(zram_pwrite(plain->zram, plain->bytes, size, 0), size);
}

static const size_t edges[] = { 0,    1,    7,    8,    4095,  4096,  4097,  5000,
				8191, 8192, 8193, 9999, 12288, 12289, 16383, 16384 };

static void any_part_is_read(void **state)
{
	struct plain plain;

	(void)state;
	plain_open(&plain, 4096, 4 * 4096);
	for (size_t i = 0; i < COUNT_OF(edges); i++) {
		for (size_t j = i; j < COUNT_OF(edges); j++)
			assert_contents(plain.zram, edges[i], plain.bytes + edges[i],
					edges[j] - edges[i]);
	}
	store_close(plain.zram);
}

static void any_part_is_written_and_nothing_else(void **state)
{
	struct plain plain;
	unsigned char value = 0;

	(void)state;
	plain_open(&plain, 4096, 4 * 4096);
	for (size_t i = 0; i < COUNT_OF(edges); i++) {
		for (size_t j = i; j < COUNT_OF(edges); j++) {
			size_t length = edges[j] - edges[i];

			memset(plain.bytes + edges[i], ++value, length);
			assert_int_equal(zram_pwrite(plain.zram, plain.bytes + edges[i], length,
						     edges[i]),
					 length);
			assert_contents(plain.zram, 0, plain.bytes, plain.size);
		}
	}
	store_close(plain.zram);
}

static void a_part_of_a_block_never_written_has_zeros_around_it(void **state)
{
	struct zram_options options = { .size = MIB(1) };
	struct zram *zram = store_open(&options);

	(void)state;
	assert_int_equal(zram_pwrite(zram, "word", 4, 5 * BLOCK + 100), 4);
	assert_bytes(zram, 0, 5 * BLOCK + 100, 0);
	assert_contents(zram, 5 * BLOCK + 100, "word", 4);
	assert_bytes(zram, 5 * BLOCK + 104, MIB(1) - 5 * BLOCK - 104, 0);
	store_close(zram);
}

/* A size that is no multiple of the block size. */
static void requests_are_cut_at_the_end(void **state)
{
	struct plain plain;
	unsigned char found[8192], more[8192];

	(void)state;
	plain_open(&plain, 4096, 10000);
	memset(more, 3, sizeof(more));
	assert_int_equal(zram_pread(plain.zram, found, 8192, 9000), 1000);
	assert_memory_equal(found, plain.bytes + 9000, 1000);
	assert_int_equal(zram_pread(plain.zram, found, 1, 9999), 1);
	assert_int_equal(zram_pread(plain.zram, found, 1, 10000), 0);
	assert_int_equal(zram_pread(plain.zram, found, 8192, 1 << 20), 0);
	assert_int_equal(zram_pread(plain.zram, found, 8192, UINT64_MAX), 0);
	assert_int_equal(zram_pwrite(plain.zram, more, 8192, 9000), 1000);
	assert_contents(plain.zram, 0, plain.bytes, 9000);
	assert_bytes(plain.zram, 9000, 1000, 3);
	assert_refused(zram_pwrite(plain.zram, more, 1, 10000), ENOSPC);
	assert_refused(zram_pwrite(plain.zram, more, 8192, UINT64_MAX), ENOSPC);
	assert_refused(zram_pwrite(plain.zram, more, 1, UINT64_MAX - 100), ENOSPC);
	assert_bytes(plain.zram, 9000, 1000, 3);
	store_close(plain.zram);
}

static void nothing_is_read_or_written_with_a_count_of_0(void **state)
{
	struct plain plain;
	unsigned char byte = 1;

	(void)state;
	plain_open(&plain, 4096, 10000);
	assert_int_equal(zram_pread(plain.zram, &byte, 0, 0), 0);
	assert_int_equal(zram_pread(plain.zram, &byte, 0, 10000), 0);
	assert_int_equal(zram_pwrite(plain.zram, &byte, 0, 5), 0);
	assert_int_equal(zram_pwrite(plain.zram, &byte, 0, 10000), 0);
	assert_int_equal(zram_pwrite(plain.zram, &byte, 0, UINT64_MAX), 0);
	assert_contents(plain.zram, 0, plain.bytes, 10000);
	store_close(plain.zram);
}

static void a_count_above_ssize_max_is_refused(void **state)
{
	struct plain plain;
	unsigned char byte = 1;

	(void)state;
	plain_open(&plain, 4096, 10000);
	assert_refused(zram_pread(plain.zram, &byte, (size_t)SSIZE_MAX + 1, 0), EINVAL);
	assert_refused(zram_pwrite(plain.zram, &byte, (size_t)SSIZE_MAX + 1, 0), EINVAL);
	assert_refused(zram_pread(plain.zram, &byte, SIZE_MAX, 9999), EINVAL);
	assert_refused(zram_pwrite(plain.zram, &byte, SIZE_MAX, 9999), EINVAL);
	assert_contents(plain.zram, 0, plain.bytes, 10000);
	store_close(plain.zram);
}

static void an_empty_disk_holds_nothing(void **state)
{
	struct zram *zram = store_open(NULL);
	unsigned char byte = 1;

	(void)state;
	assert_int_equal(zram_pread(zram, &byte, 1, 0), 0);
	assert_refused(zram_pwrite(zram, &byte, 1, 0), ENOSPC);
	assert_int_equal(zram_discard(zram, 0, UINT64_MAX), 0);
	assert_int_equal(zram_flush(zram), 0);
	store_close(zram);
}

static void the_largest_disk_costs_what_is_written(void **state)
{
	const uint64_t size = ZRAM_MAX_SIZE, last = size / BLOCK - 1;
	static const uint64_t blocks[] = { 0, 1, 511, 512, 1u << 20, UINT64_C(1) << 32 };
	struct zram_options options = { .size = size };
	struct zram *zram = store_open(&options);
	uint64_t empty = stats_of(zram).mem_used_total;

	(void)state;
	assert_bytes(zram, size - 9000, 9000, 0);
	assert_bytes(zram, size / 3, 9000, 0);
	write_stamp(zram, last, stamp_key(RAW, 9));
	assert_true(stats_of(zram).mem_used_total - empty < KIB(256));
	for (size_t i = 0; i < COUNT_OF(blocks); i++)
		write_stamp(zram, blocks[i], stamp_key(PACKED, i));
	assert_true(stats_of(zram).mem_used_total - empty < MIB(1));
	for (size_t i = 0; i < COUNT_OF(blocks); i++)
		assert_stamp(zram, blocks[i], stamp_key(PACKED, i));
	assert_stamp(zram, last, stamp_key(RAW, 9));
	assert_bytes(zram, (last - 1) * BLOCK, BLOCK, 0);
	assert_refused(zram_pwrite(zram, "x", 1, size), ENOSPC);
	assert_int_equal(zram_discard(zram, 0, size), 0);
	assert_int_equal(stats_of(zram).orig_data_size, 0);
	store_close(zram);
}

static void flush_has_nothing_to_wait_for(void **state)
{
	struct plain plain;

	(void)state;
	plain_open(&plain, 4096, 10000);
	assert_int_equal(zram_flush(plain.zram), 0);
	assert_contents(plain.zram, 0, plain.bytes, 10000);
	store_close(plain.zram);
}

static void a_store_of_large_blocks_takes_small_requests(void **state)
{
	struct zram_options options = { .size = 5 * 65536 + 777, .block_size = 65536 };
	unsigned char *model = calloc(1, options.size);
	struct zram *zram = store_open(&options);
	struct rng rng = rng_seeded(5);

	(void)state;
	assert_non_null(model);
	for (int i = 0; i < 400; i++) {
		uint32_t at = rng_below(&rng, (uint32_t)options.size);
		uint32_t length = rng_below(&rng, (uint32_t)options.size - at + 1) % 3000;

		for (uint32_t byte = 0; byte < length; byte++)
			model[at + byte] = (unsigned char)rng_next(&rng);
		assert_int_equal(zram_pwrite(zram, model + at, length, at), length);
	}
	assert_contents(zram, 0, model, options.size);
	free(model);
	store_close(zram);
}

/* Same-filled blocks. */

static void fill_words(unsigned char *block, size_t size, uint64_t word)
{
	for (size_t at = 0; at < size; at += sizeof(word))
		memcpy(block + at, &word, sizeof(word));
}

static void a_block_of_one_word_takes_no_object(void **state)
{
	static const uint64_t words[] = { 1,
					  UINT64_MAX,
					  UINT64_C(0x0101010101010101),
					  UINT64_C(0x8000000000000000),
					  UINT64_C(0x0000000100000001),
					  UINT64_C(0x123456789abcdef0) };

	(void)state;
	for (size_t size = 4096; size <= 65536; size *= 4) {
		struct zram_options options = { .size = 16 * size, .block_size = size };
		struct zram *zram = store_open(&options);
		unsigned char block[65536];
		struct zram_stats stats;

		for (size_t i = 0; i < COUNT_OF(words); i++) {
			fill_words(block, size, words[i]);
			assert_int_equal(zram_pwrite(zram, block, size, i * size), size);
		}
		stats = stats_of(zram);
		assert_int_equal(stats.same_pages, COUNT_OF(words));
		assert_int_equal(stats.orig_data_size, COUNT_OF(words) * size);
		assert_int_equal(stats.compr_data_size, 0);
		for (size_t i = 0; i < COUNT_OF(words); i++) {
			fill_words(block, size, words[i]);
			assert_contents(zram, i * size, block, size);
		}
		store_close(zram);
	}
}

static void a_block_that_differs_in_one_byte_is_not_the_same(void **state)
{
	static const size_t places[] = { 0, 1, 7, 8, 2047, 4088, 4095 };
	struct zram_options options = { .size = MIB(1) };
	struct zram *zram = store_open(&options);
	unsigned char block[BLOCK];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(places); i++) {
		fill_words(block, sizeof(block), UINT64_C(0x1122334455667788));
		block[places[i]] ^= 0x40;
		assert_int_equal(zram_pwrite(zram, block, BLOCK, i * BLOCK), BLOCK);
		assert_contents(zram, i * BLOCK, block, BLOCK);
	}
	assert_int_equal(stats_of(zram).same_pages, 0);
	store_close(zram);
}

static void parts_that_make_a_block_the_same_free_its_object(void **state)
{
	struct zram_options options = { .size = MIB(1) };
	struct zram *zram = store_open(&options);
	unsigned char half[BLOCK / 2];

	(void)state;
	write_stamp(zram, 0, stamp_key(RAW, 1));
	assert_int_equal(stats_of(zram).same_pages, 0);
	memset(half, 0x77, sizeof(half));
	assert_int_equal(zram_pwrite(zram, half, sizeof(half), 0), sizeof(half));
	assert_int_equal(zram_pwrite(zram, half, sizeof(half), BLOCK / 2), sizeof(half));
	assert_int_equal(stats_of(zram).same_pages, 1);
	assert_int_equal(stats_of(zram).compr_data_size, 0);
	assert_bytes(zram, 0, BLOCK, 0x77);
	half[0] = 0;
	assert_int_equal(zram_pwrite(zram, half, 1, 5), 1);
	assert_int_equal(stats_of(zram).same_pages, 0);
	assert_bytes(zram, 0, 5, 0x77);
	assert_bytes(zram, 5, 1, 0);
	assert_bytes(zram, 6, BLOCK - 6, 0x77);
	store_close(zram);
}

/* Raw blocks. */

static void a_block_that_does_not_shrink_is_stored_as_it_is_and_counted(void **state)
{
	struct zram_options options = { .size = MIB(1) };

	(void)state;
	for (const char *const *name = codecs; *name; name++) {
		struct zram *zram;

		if (!has_algorithm(*name))
			continue;
		options.algorithm = *name;
		zram = store_open(&options);
		for (uint64_t i = 0; i < 10; i++)
			write_stamp(zram, i, stamp_key(RAW, i));
		assert_int_equal(stats_of(zram).huge_pages, 10);
		assert_int_equal(stats_of(zram).compr_data_size, 10 * BLOCK);
		for (uint64_t i = 0; i < 4; i++)
			write_stamp(zram, i, stamp_key(THIN, i));
		write_stamp(zram, 4, stamp_key(FILLED, 4));
		write_stamp(zram, 5, stamp_key(RAW, 1000));
		assert_int_equal(zram_discard(zram, 6 * BLOCK, BLOCK), 0);
		assert_int_equal(stats_of(zram).huge_pages, 4);
		assert_int_equal(stats_of(zram).huge_pages_since, 11);
		assert_true(stats_of(zram).compr_data_size < 4 * BLOCK + 4 * 200);
		store_close(zram);
	}
}

static void without_an_algorithm_all_blocks_are_stored_as_they_are(void **state)
{
	struct zram_options options = { .size = MIB(1), .algorithm = "none" };
	struct zram *zram = store_open(&options);

	(void)state;
	for (uint64_t i = 0; i < 10; i++)
		write_stamp(zram, i, stamp_key(THIN, i));
	write_stamp(zram, 10, stamp_key(FILLED, 10));
	assert_int_equal(stats_of(zram).compr_data_size, 10 * BLOCK);
	assert_int_equal(stats_of(zram).same_pages, 1);
	assert_int_equal(stats_of(zram).huge_pages, 10);
	for (uint64_t i = 0; i < 10; i++)
		assert_stamp(zram, i, stamp_key(THIN, i));
	store_close(zram);
}

/* Unchanged blocks. */

static void a_block_with_these_contents_already_is_left_alone(void **state)
{
	struct zram_options options = { .size = MIB(1) };
	struct zram *zram = store_open(&options);
	unsigned char part[BLOCK];
	struct zram_stats before, after;

	(void)state;
	for (uint64_t i = 0; i < 8; i++)
		write_stamp(zram, i, stamp_key(i % 4, i));
	before = stats_of(zram);
	assert_int_equal(before.unchanged_blocks, 0);
	for (uint64_t i = 0; i < 8; i++)
		write_stamp(zram, i, stamp_key(i % 4, i));
	stamp_fill(part, sizeof(part), stamp_key(PACKED, 2));
	assert_int_equal(zram_pwrite(zram, part + 100, 50, 2 * BLOCK + 100), 50);
	after = stats_of(zram);
	assert_int_equal(after.unchanged_blocks, 9);
	assert_int_equal(after.huge_pages_since, before.huge_pages_since);
	assert_int_equal(after.mem_used_total, before.mem_used_total);
	assert_int_equal(after.compr_data_size, before.compr_data_size);
	for (uint64_t i = 0; i < 8; i++)
		assert_stamp(zram, i, stamp_key(i % 4, i));
	write_stamp(zram, 1, stamp_key(RAW, 100));
	assert_int_equal(stats_of(zram).unchanged_blocks, 9);
	assert_stamp(zram, 1, stamp_key(RAW, 100));
	store_close(zram);
}

static void one_changed_byte_is_a_change(void **state)
{
	struct zram_options options = { .size = MIB(1) };
	struct zram *zram = store_open(&options);
	unsigned char block[BLOCK];

	(void)state;
	for (uint64_t stamp = 0; stamp < 4; stamp++) {
		stamp_fill(block, sizeof(block), stamp_key(stamp, 7));
		for (size_t at = 0; at < BLOCK; at += 455) {
			assert_int_equal(zram_pwrite(zram, block, BLOCK, 0), BLOCK);
			block[at] ^= 1;
			assert_int_equal(zram_pwrite(zram, block, BLOCK, 0), BLOCK);
			assert_contents(zram, 0, block, BLOCK);
		}
	}
	store_close(zram);
}

static void zeros_written_where_nothing_is_read_as_zeros_and_take_no_object(void **state)
{
	struct zram_options options = { .size = MIB(1) };
	struct zram *zram = store_open(&options);
	unsigned char *zeros = calloc(1, MIB(1));

	(void)state;
	assert_non_null(zeros);
	assert_int_equal(zram_pwrite(zram, zeros, MIB(1), 0), MIB(1));
	assert_bytes(zram, 0, MIB(1), 0);
	assert_int_equal(stats_of(zram).compr_data_size, 0);
	free(zeros);
	store_close(zram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_part_is_read),
		cmocka_unit_test(any_part_is_written_and_nothing_else),
		cmocka_unit_test(a_part_of_a_block_never_written_has_zeros_around_it),
		cmocka_unit_test(requests_are_cut_at_the_end),
		cmocka_unit_test(nothing_is_read_or_written_with_a_count_of_0),
		cmocka_unit_test(a_count_above_ssize_max_is_refused),
		cmocka_unit_test(an_empty_disk_holds_nothing),
		cmocka_unit_test(the_largest_disk_costs_what_is_written),
		cmocka_unit_test(flush_has_nothing_to_wait_for),
		cmocka_unit_test(a_store_of_large_blocks_takes_small_requests),
		cmocka_unit_test(a_block_of_one_word_takes_no_object),
		cmocka_unit_test(a_block_that_differs_in_one_byte_is_not_the_same),
		cmocka_unit_test(parts_that_make_a_block_the_same_free_its_object),
		cmocka_unit_test(a_block_that_does_not_shrink_is_stored_as_it_is_and_counted),
		cmocka_unit_test(without_an_algorithm_all_blocks_are_stored_as_they_are),
		cmocka_unit_test(a_block_with_these_contents_already_is_left_alone),
		cmocka_unit_test(one_changed_byte_is_a_change),
		cmocka_unit_test(zeros_written_where_nothing_is_read_as_zeros_and_take_no_object),
	};

	return cmocka_run_group_tests_name("zram-io", tests, NULL, NULL);
}
