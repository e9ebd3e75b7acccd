/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * zero_on_free of a store: of blocks that were overwritten or discarded nothing is to be found
 * in the process any more: not in the pool, the slot table, the buffers of calls, or the heap.
 * All memory that can be written is searched for pieces of the blocks, at every byte; but for
 * the stack, and, with zstd, whose contexts keep pieces, what is neither pool nor buffers. The
 * same search has to find something where the option is not set.
 */
#include "store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* "zram/store.h" is the tests' own here. */
#include "../src/zram/store.h"
#include "core/core.h"

enum {
	BLOCKS = 240,
	NEEDLE = 8,
	APART = 32, /* bytes from one needle of a block to the next */
	NEEDLES = BLOCK / APART,
	HASH_BITS = 18,
	MAX_MAPPING = 1 << 30, /* what is larger is a sanitizer's */
};

/* What is searched for, mixed, so that the search does not find its own tables. */
static struct {
	uint64_t mixed[1u << HASH_BITS];
	unsigned short owner[1u << HASH_BITS]; /* block + 1 */
	unsigned char found[1u << HASH_BITS];
} table;

static unsigned long searched;
/* Each has other blocks: what one has left in the heap is not the next one's. */
static unsigned run;
static unsigned char block[BLOCK], scratch[BLOCK];

/* --- blocks ---------------------------------------------------------------- */

/* Blocks of every kind: raw, packed, one word, and packed in whose place another can be put. */
static size_t random_bytes(unsigned number)
{
	static const size_t bytes[] = { BLOCK, BLOCK / 2, NEEDLE, 1000, 3000 };

	return bytes[number % COUNT_OF(bytes)];
}

/* Chance that nobody else has: the contents of block number in its life. */
static void fill(unsigned char *to, unsigned number, unsigned life, size_t bytes)
{
	struct rng rng = rng_seeded(10000 * (uint64_t)run + 1000 * (uint64_t)life + number);

	memset(to, 0, BLOCK);
	for (size_t at = 0; at + NEEDLE <= bytes; at += NEEDLE) {
		uint64_t word = rng_next(&rng);

		memcpy(to + at, &word, sizeof(word));
	}
	/* One word only: then the block is filled with it. */
	for (size_t at = NEEDLE; bytes == NEEDLE && at < BLOCK; at += NEEDLE)
		memcpy(to + at, to, NEEDLE);
}

/* No copy stays with the test. */
static void forget(void)
{
	memset(block, 0, sizeof(block));
	memset(scratch, 0, sizeof(scratch));
	__asm__ volatile("" ::: "memory");
}

/* --- needles --------------------------------------------------------------- */

static uint64_t mixed(const unsigned char *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return zs_mix(word + 77) | 1;
}

static uint32_t find(uint64_t key)
{
	uint32_t at = (uint32_t)(key >> (64 - HASH_BITS));

	while (table.mixed[at] && table.mixed[at] != key)
		at = (at + 1) & ((1u << HASH_BITS) - 1);
	return at;
}

static void add_needles(unsigned number)
{
	for (size_t at = 0; at + NEEDLE <= random_bytes(number); at += APART) {
		uint32_t entry = find(mixed(block + at));

		table.mixed[entry] = mixed(block + at);
		table.owner[entry] = (unsigned short)(number + 1);
	}
}

static void search(const unsigned char *from, size_t bytes)
{
	searched += bytes;
	for (size_t at = 0; at + NEEDLE <= bytes; at++) {
		uint32_t entry = find(mixed(from + at));

		if (table.mixed[entry] && table.found[entry] < UINT8_MAX)
			table.found[entry]++;
	}
}

static bool is_in(const void *address, uintptr_t from, uintptr_t to)
{
	return (uintptr_t)address >= from && (uintptr_t)address < to;
}

static bool is_part_of_pool(const struct zs_pool *pool, uintptr_t from, uintptr_t to)
{
	return is_in(pool, from, to) || is_in(pool->port->meta_base, from, to) ||
	       is_in(pool->port->data_base, from, to);
}

static void search_mappings(const struct zram *zram, bool everything)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		uintptr_t from, to;
		char mode[5];

		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &from, &to, mode) != 3 ||
		    mode[0] != 'r' || mode[1] != 'w' || strstr(line, "[stack") ||
		    to - from > MAX_MAPPING)
			continue;
		if (everything || (zram && is_part_of_pool(zram->pool, from, to)))
			search((const unsigned char *)from, to - from);
	}
	fclose(maps);
}

static void search_all(const struct zram *zram, bool everything)
{
	memset(table.found, 0, sizeof(table.found));
	searched = 0;
	search_mappings(zram, everything);
	for (unsigned i = 0; zram && !everything && i < zram->streams.made; i++) {
		const struct kit *kit = &zram->streams.stream[i]->kit;

		search((const unsigned char *)kit->compressed, BLOCK);
		search((const unsigned char *)kit->block, BLOCK);
	}
}

/* --- what is done to the store --------------------------------------------- */

static bool stays(unsigned number)
{
	return number % 4 == 3;
}

static void write_block(struct zram *zram, unsigned number)
{
	assert_int_equal(zram_pwrite(zram, block, BLOCK, (uint64_t)number * BLOCK), BLOCK);
}

static void write_secrets(struct zram *zram)
{
	run++;
	memset(&table, 0, sizeof(table));
	for (unsigned number = 0; number < BLOCKS; number++) {
		fill(block, number, 0, random_bytes(number));
		add_needles(number);
		write_block(zram, number);
	}
}

/* Something a little shorter: it often fits where the old object was. */
static void overwrite(struct zram *zram, unsigned number)
{
	fill(block, number, 1, random_bytes(number) > 16 ? random_bytes(number) - 16 : 8);
	write_block(zram, number);
}

static void overwrite_in_parts(struct zram *zram, unsigned number)
{
	fill(block, number, 2, BLOCK / 4);
	for (size_t at = 0; at < BLOCK; at += BLOCK / 8)
		assert_int_equal(zram_pwrite(zram, block + at, BLOCK / 8,
					     (uint64_t)number * BLOCK + at),
				 BLOCK / 8);
}

static void read_back(struct zram *zram, unsigned number)
{
	size_t part = 100 + number % 1000;

	assert_int_equal(zram_pread(zram, scratch, BLOCK, (uint64_t)number * BLOCK), BLOCK);
	fill(block, number, 0, random_bytes(number));
	assert_memory_equal(scratch, block, BLOCK);
	assert_int_equal(zram_pread(zram, scratch, part, (uint64_t)number * BLOCK + 50),
			 (ssize_t)part);
}

static void destroy_some_of_it(struct zram *zram)
{
	for (unsigned number = 0; number < BLOCKS; number++) {
		if (number % 4 == 0)
			assert_int_equal(zram_discard(zram, (uint64_t)number * BLOCK, BLOCK), 0);
		else if (number % 4 == 1)
			overwrite(zram, number);
		else if (number % 4 == 2)
			overwrite_in_parts(zram, number);
	}
	zram_compact(zram);
	for (unsigned number = 0; number < BLOCKS; number++) {
		if (stays(number))
			read_back(zram, number);
	}
}

struct count {
	unsigned long dead; /* needles found of blocks that are no more, or found twice */
	unsigned long alive;
	unsigned long searched; /* bytes */
};

static struct count count_found(void)
{
	struct count count = { 0, 0, searched };

	for (size_t i = 0; i < COUNT_OF(table.found); i++) {
		if (!table.found[i])
			continue;
		unsigned number = table.owner[i] - 1u;
		/* The word of a block that is filled with it may come by chance of reading. */
		if (stays(number) && table.found[i] == 1)
			count.alive++;
		else
			count.dead++;
	}
	return count;
}

static struct count remains(const char *algorithm, unsigned zero, bool everything)
{
	struct zram_options options = { .size = MIB(4),
					.algorithm = algorithm,
					.zero_on_free = zero };
	struct zram *zram = store_open(&options);
	struct count count, end;

	write_secrets(zram);
	destroy_some_of_it(zram);
	forget();
	search_all(zram, everything);
	count = count_found();
	store_close(zram);
	forget();
	search_all(NULL, everything);
	end = count_found();
	/* Destroyed: what was alive is gone too. */
	assert_true(!zero || end.dead + end.alive == 0);
	return count;
}

static void of_what_was_overwritten_or_discarded_nothing_is_left(void **state)
{
	(void)state;
	for (const char *const *name = zram_algorithms(); *name; name++) {
		bool everything = !UNDER_ASAN && strcmp(*name, "zstd") != 0;
		struct count without = remains(*name, 0, everything);
		struct count with = remains(*name, 1, everything);

		print_message("%s: without zero_on_free %lu pieces found, with it %lu; alive %lu "
			      "(%lu bytes searched)\n",
			      *name, without.dead, with.dead, with.alive, with.searched);
		assert_int_equal(with.dead, 0);
		assert_true(without.dead > 0);
		assert_true(with.alive > 0);
	}
}

static void after_a_reset_nothing_is_left(void **state)
{
	struct zram_options options = { .size = MIB(4), .zero_on_free = 1 };
	struct zram *zram = store_open(&options);
	struct count count;

	(void)state;
	write_secrets(zram);
	forget();
	assert_int_equal(zram_reset(zram), 0);
	search_all(zram, !UNDER_ASAN);
	count = count_found();
	assert_int_equal(count.dead + count.alive, 0);
	assert_attribute(zram, "zero_on_free", "1\n");
	store_close(zram);
}

/*
 * An object that takes another one's place is shorter by a few bytes at most: by as many as a
 * size class is wide. Of these the old ones may be left.
 */
static void behind_an_object_nothing_is_left_of_the_one_before(void **state)
{
	struct zram_options options = { .size = MIB(4), .algorithm = "lz4", .zero_on_free = 1 };
	struct zram *zram = store_open(&options);
	unsigned long shorter = 0;
	zs_handle before = 0;
	size_t longest = 0;

	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		struct place place;

		/* Zeros in front: so the object ends in bytes that are none. */
		fill(block, 0, i, BLOCK);
		memset(block, 0, BLOCK - 1000 + i % 20);
		write_block(zram, 0);
		assert_true(table_find(zram->table, 0, &place));
		zs_handle handle = (zs_handle)slot_handle(&place);
		size_t length = slot_code(place.slot), size = zs_object_size(zram->pool, handle);
		const char *object = zs_map_object(zram->pool, handle, ZS_MM_RO);

		longest = handle == before && longest > length ? longest : length;
		shorter += handle == before && longest > length;
		/* What a debug build has in the rest of a slot is its own. */
		for (size_t at = length; at < (ZS_DEBUG ? longest : size); at++)
			assert_int_equal(object[at], 0);
		zs_unmap_object(zram->pool, handle);
		before = handle;
	}
	print_message("%lu objects in the place of a longer one\n", shorter);
	assert_true(shorter > 0);
	store_close(zram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_what_was_overwritten_or_discarded_nothing_is_left),
		cmocka_unit_test(after_a_reset_nothing_is_left),
		cmocka_unit_test(behind_an_object_nothing_is_left_of_the_one_before),
	};

	return cmocka_run_group_tests_name("zero_on_free of a store", tests, NULL, NULL);
}
