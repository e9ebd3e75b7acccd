/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* What all tests of zram.h share; see store.h. */
#include "store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

const char *const codecs[] = { "lz4", "lz4hc", "zstd", "lzo", NULL };

bool has_algorithm(const char *name)
{
	for (const char *const *at = zram_algorithms(); *at; at++) {
		if (!strcmp(*at, name))
			return true;
	}
	return false;
}

static void put_word(unsigned char *block, size_t index, uint64_t word)
{
	memcpy(block + index * sizeof(word), &word, sizeof(word));
}

/* How many words of such a block are random: what they take is what it compresses to. */
static size_t random_words(size_t words, uint64_t key)
{
	size_t least = words / 16, most = words * 2 / 3;

	switch ((enum stamp)(key & 3)) {
	case RAW:
		return words;
	case PACKED:
		return least + rng_mix(key) % (most - least);
	case THIN:
		return 3;
	case FILLED:
		break;
	}
	return 0;
}

void stamp_fill(void *block, size_t size, uint64_t key)
{
	size_t words = size / sizeof(uint64_t), random = random_words(words, key);
	struct rng rng = rng_seeded(key);

	put_word(block, 0, key);
	for (size_t i = 1; i < words; i++)
		put_word(block, i, i < random ? rng_next(&rng) : key);
}

uint64_t stamp_of(const void *block)
{
	uint64_t key;

	memcpy(&key, block, sizeof(key));
	return key;
}

bool stamp_holds(const void *block, size_t size)
{
	unsigned char expected[ZRAM_MAX_BLOCK_SIZE];

	stamp_fill(expected, size, stamp_of(block));
	return !memcmp(block, expected, size);
}

struct zram *store_open(const struct zram_options *options)
{
	struct zram *zram = zram_create(options);

	if (!zram)
		print_error("zram_create: %s\n", strerror(errno));
	assert_non_null(zram);
	return zram;
}

void store_close(struct zram *zram)
{
	assert_sound(zram);
	zram_destroy(zram);
}

struct zram_stats stats_of(struct zram *zram)
{
	struct zram_stats stats;

	zram_get_stats(zram, &stats);
	return stats;
}

struct extent_sums {
	uint64_t next;
	uint64_t stored_blocks;
	uint64_t block_size;
	unsigned last_flags;
};

static int add_extent(const struct zram_extent *extent, void *data)
{
	struct extent_sums *sums = data;

	assert_true(extent->length > 0);
	assert_int_equal(extent->offset, sums->next);
	assert_int_not_equal(extent->flags, sums->last_flags);
	assert_true(extent->flags == 0 || extent->flags == ZRAM_EXTENT_ZERO ||
		    extent->flags == (ZRAM_EXTENT_HOLE | ZRAM_EXTENT_ZERO));
	assert_int_equal(extent->offset % sums->block_size, 0);
	sums->next += extent->length;
	sums->last_flags = extent->flags;
	if (!(extent->flags & ZRAM_EXTENT_HOLE))
		sums->stored_blocks += (extent->length + sums->block_size - 1) / sums->block_size;
	return 0;
}

static void assert_extents_agree(struct zram *zram, const struct zram_stats *stats)
{
	struct extent_sums sums = { .block_size = stats->block_size, .last_flags = ~0u };

	assert_int_equal(zram_get_extents(zram, 0, UINT64_MAX, add_extent, &sums), 0);
	assert_int_equal(sums.next, stats->disksize);
	assert_int_equal(sums.stored_blocks * stats->block_size, stats->orig_data_size);
}

static void assert_mm_stat_agrees(struct zram *zram, const struct zram_stats *stats)
{
	uint64_t numbers[9];
	char expected[512];
	size_t length = 0;

	memcpy(numbers, stats, sizeof(numbers));
	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		length += (size_t)snprintf(expected + length, sizeof(expected) - length,
					   "%" PRIu64 " ", numbers[i]);
	expected[length - 1] = '\n';
	assert_attribute(zram, "mm_stat", expected);
}

void assert_sound(struct zram *zram)
{
	struct zram_stats stats = stats_of(zram);
	struct zs_pool_stats pool;
	uint64_t blocks = stats.orig_data_size / stats.block_size;

	zram_pool_stats(zram, &pool);
	assert_int_equal(stats.mem_used_total, stats.pool_bytes + stats.table_bytes +
						       stats.stream_bytes + stats.own_bytes);
	assert_int_equal(stats.pool_bytes, pool.total_bytes);
	assert_true(stats.mem_used_max >= stats.mem_used_total);
	assert_int_equal(stats.disksize, zram_size(zram));
	assert_int_equal(stats.block_size, zram_block_size(zram));
	assert_int_equal(stats.orig_data_size % stats.block_size, 0);
	assert_true(stats.same_pages + stats.huge_pages <= blocks);
	assert_true(stats.huge_pages <= stats.huge_pages_since);
	assert_int_equal(pool.objects, blocks - stats.same_pages);
	assert_int_equal(pool.mapped_objects, 0);
	assert_true(stats.compr_data_size <= pool.object_bytes);
	assert_true(stats.compr_data_size >= stats.huge_pages * stats.block_size);
	assert_true(stats.compr_data_size <= (blocks - stats.same_pages) * stats.block_size);
	assert_extents_agree(zram, &stats);
	assert_mm_stat_agrees(zram, &stats);
}

void write_stamp(struct zram *zram, uint64_t block, uint64_t key)
{
	size_t size = zram_block_size(zram);
	unsigned char bytes[ZRAM_MAX_BLOCK_SIZE];

	stamp_fill(bytes, size, key);
	assert_int_equal(zram_pwrite(zram, bytes, size, block * size), size);
}

void assert_stamp(struct zram *zram, uint64_t block, uint64_t key)
{
	size_t size = zram_block_size(zram);
	unsigned char bytes[ZRAM_MAX_BLOCK_SIZE];

	assert_int_equal(zram_pread(zram, bytes, size, block * size), size);
	assert_int_equal(stamp_of(bytes), key);
	assert_true(stamp_holds(bytes, size));
}

void assert_bytes(struct zram *zram, uint64_t offset, size_t size, unsigned char byte)
{
	unsigned char *expected = malloc(size + 1);

	assert_non_null(expected);
	memset(expected, byte, size);
	assert_contents(zram, offset, expected, size);
	free(expected);
}

void assert_contents(struct zram *zram, uint64_t offset, const void *expected, size_t size)
{
	unsigned char *found = malloc(size + 1);

	assert_non_null(found);
	memset(found, 0xA5, size + 1);
	assert_int_equal(zram_pread(zram, found, size, offset), size);
	assert_int_equal(found[size], 0xA5);
	if (size)
		assert_memory_equal(found, expected, size);
	free(found);
}

void assert_attribute(struct zram *zram, const char *name, const char *expected)
{
	char value[512];
	ssize_t length = zram_get(zram, name, value, sizeof(value));

	assert_true(length >= 0 && (size_t)length < sizeof(value));
	assert_int_equal(length, strlen(value));
	assert_string_equal(value, expected);
}

uint64_t number_attribute(struct zram *zram, const char *name)
{
	char value[64], *end;
	uint64_t number;

	assert_true(zram_get(zram, name, value, sizeof(value)) > 0);
	number = strtoull(value, &end, 10);
	assert_string_equal(end, "\n");
	return number;
}

void set_attribute(struct zram *zram, const char *name, const char *value)
{
	if (zram_set(zram, name, value) == 0)
		return;
	print_error("%s = \"%s\": %s\n", name, value, strerror(errno));
	fail();
}
