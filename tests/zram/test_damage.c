/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Stored bytes that were changed behind the store's back are noticed: the block
 * reads as EIO, never as something else, the others are fine, and to write the
 * block again heals it.
 */
#include "memory.h"
#include "store.h"

#include <stdlib.h>

#include <lz4.h>

enum { BLOCKS = 50, VICTIM = 23, COPIES = 16 };

/* Where a block's bytes lie: as an object, and perhaps in a buffer used on the way. */
struct place {
	uintptr_t at[COPIES];
	size_t count;
	size_t size;
};

static void find_bytes(struct place *place, void *bytes, size_t size)
{
	static struct needle needle;

	needle_set(&needle, bytes, size);
	memset(bytes, 0, size);
	place->size = size;
	place->count = memory_find(&needle, place->at, COPIES);
	assert_in_range(place->count, 1, COPIES);
}

static void damage(const struct place *place, size_t byte, unsigned bit)
{
	for (size_t i = 0; i < place->count; i++)
		memory_flip(place->at[i] + byte, bit);
}

static struct zram *open_filled(const struct zram_options *wanted, enum stamp stamp)
{
	struct zram_options options = *wanted;
	struct zram *zram;

	options.size = (uint64_t)BLOCKS * (options.block_size ? options.block_size : BLOCK);
	zram = store_open(&options);
	for (uint64_t i = 0; i < BLOCKS; i++)
		write_stamp(zram, i, stamp_key(stamp, i));
	return zram;
}

/* Bytes of the victim that every codec keeps as they are: random ones, near its start. */
static void find_literals(struct place *place, size_t block_size, enum stamp stamp)
{
	unsigned char *block = malloc(block_size), literals[48];

	assert_non_null(block);
	stamp_fill(block, block_size, stamp_key(stamp, VICTIM));
	memcpy(literals, block + 64, sizeof(literals));
	memset(block, 0, block_size);
	free(block);
	find_bytes(place, literals, sizeof(literals));
}

static void assert_others_fine(struct zram *zram, enum stamp stamp)
{
	for (uint64_t i = 0; i < BLOCKS; i++) {
		if (i != VICTIM)
			assert_stamp(zram, i, stamp_key(stamp, i));
	}
}

static void assert_victim_damaged(struct zram *zram)
{
	size_t size = zram_block_size(zram);
	unsigned char *block = malloc(size);

	assert_non_null(block);
	assert_refused(zram_pread(zram, block, size, VICTIM * size), EIO);
	assert_refused(zram_pread(zram, block, 1, VICTIM * size + size - 1), EIO);
	free(block);
}

/* One victim, damaged, not trusted, healed. */
static void damage_and_heal(const struct zram_options *options, enum stamp stamp)
{
	struct zram *zram = open_filled(options, stamp);
	size_t size = zram_block_size(zram);
	struct place place;

	find_literals(&place, size, stamp);
	assert_others_fine(zram, stamp);
	damage(&place, 20, 3);
	assert_victim_damaged(zram);
	assert_others_fine(zram, stamp);
	damage(&place, 20, 3);
	assert_stamp(zram, VICTIM, stamp_key(stamp, VICTIM));
	damage(&place, 0, 7);
	assert_victim_damaged(zram);
	/* Even the same contents must be written anew. */
	write_stamp(zram, VICTIM, stamp_key(stamp, VICTIM));
	assert_stamp(zram, VICTIM, stamp_key(stamp, VICTIM));
	assert_others_fine(zram, stamp);
	assert_int_equal(stats_of(zram).unchanged_blocks, 0);
	store_close(zram);
}

static void a_flipped_bit_is_noticed_whatever_the_algorithm(void **state)
{
	(void)state;
	for (const char *const *name = zram_algorithms(); *name; name++) {
		for (size_t size = 4096; size <= 65536; size *= 4) {
			struct zram_options options = { .algorithm = *name, .block_size = size };

			damage_and_heal(&options, PACKED);
			damage_and_heal(&options, RAW);
		}
	}
}

/* What zram_pread() says of every bit of an object of LZ4, and of one stored as it is. */
static void assert_every_bit_noticed(struct zram *zram, const struct place *place)
{
	unsigned char block[BLOCK];

	for (size_t byte = 0; byte < place->size; byte++) {
		unsigned bit = (unsigned)(rng_mix(byte) % 8);

		damage(place, byte, bit);
		assert_refused(zram_pread(zram, block, BLOCK, VICTIM * BLOCK), EIO);
		damage(place, byte, bit);
	}
}

static void every_byte_of_an_object_counts(void **state)
{
	const struct zram_options options = { .size = 0 };
	struct zram *zram = open_filled(&options, PACKED);
	char block[BLOCK], packed[LZ4_COMPRESSBOUND(BLOCK)];
	struct place place;
	int size;

	(void)state;
	stamp_fill(block, BLOCK, stamp_key(PACKED, VICTIM));
	size = LZ4_compress_default(block, packed, BLOCK, sizeof(packed));
	assert_in_range(size, 100, 3000);
	find_bytes(&place, packed, (size_t)size);
	assert_every_bit_noticed(zram, &place);
	assert_others_fine(zram, PACKED);
	assert_stamp(zram, VICTIM, stamp_key(PACKED, VICTIM));
	assert_int_equal(stats_of(zram).damaged_blocks, place.size);
	assert_int_equal(stats_of(zram).failed_reads, place.size);
	store_close(zram);
}

static void every_byte_of_a_block_stored_as_it_is_counts(void **state)
{
	const struct zram_options options = { .size = 0 };
	struct zram *zram = open_filled(&options, RAW);
	unsigned char block[BLOCK];
	struct place place;

	(void)state;
	stamp_fill(block, BLOCK, stamp_key(RAW, VICTIM));
	find_bytes(&place, block, BLOCK);
	assert_every_bit_noticed(zram, &place);
	assert_others_fine(zram, RAW);
	assert_stamp(zram, VICTIM, stamp_key(RAW, VICTIM));
	store_close(zram);
}

static struct zram *open_damaged(struct place *place)
{
	const struct zram_options options = { .size = 0 };
	struct zram *zram = open_filled(&options, PACKED);

	find_literals(place, BLOCK, PACKED);
	damage(place, 5, 5);
	return zram;
}

static void a_read_of_many_blocks_stops_before_the_damaged_one(void **state)
{
	struct place place;
	struct zram *zram = open_damaged(&place);
	unsigned char *bytes = malloc(BLOCKS * BLOCK);
	struct zram_stats before, after;

	(void)state;
	assert_non_null(bytes);
	before = stats_of(zram);
	assert_int_equal(zram_pread(zram, bytes, BLOCKS * BLOCK, 0), VICTIM * BLOCK);
	for (uint64_t i = 0; i < VICTIM; i++)
		assert_true(stamp_holds(bytes + i * BLOCK, BLOCK));
	assert_int_equal(zram_pread(zram, bytes, 3 * BLOCK, VICTIM * BLOCK - 100), 100);
	assert_refused(zram_pread(zram, bytes, 3 * BLOCK, VICTIM * BLOCK), EIO);
	assert_int_equal(zram_pread(zram, bytes, BLOCK, (VICTIM + 1) * BLOCK), BLOCK);
	after = stats_of(zram);
	assert_int_equal(after.failed_reads, before.failed_reads + 3);
	assert_int_equal(after.damaged_blocks, before.damaged_blocks + 3);
	assert_int_equal(after.failed_writes, before.failed_writes);
	free(bytes);
	store_close(zram);
}

static void a_part_of_a_damaged_block_cannot_be_written(void **state)
{
	struct place place;
	struct zram *zram = open_damaged(&place);
	unsigned char bytes[3 * BLOCK];

	(void)state;
	memset(bytes, 0x5A, sizeof(bytes));
	assert_refused(zram_pwrite(zram, bytes, 100, VICTIM * BLOCK + 7), EIO);
	assert_refused(zram_write_zeroes(zram, VICTIM * BLOCK + 7, 100), EIO);
	assert_int_equal(zram_pwrite(zram, bytes, 2 * BLOCK - 1, (VICTIM - 1) * BLOCK), BLOCK);
	assert_bytes(zram, (VICTIM - 1) * BLOCK, BLOCK, 0x5A);
	assert_true(stats_of(zram).failed_writes >= 2);
	assert_victim_damaged(zram);
	damage(&place, 5, 5);
	assert_stamp(zram, VICTIM, stamp_key(PACKED, VICTIM));
	store_close(zram);
}

static void a_write_of_the_whole_heals(void **state)
{
	struct place place;
	struct zram *zram = open_damaged(&place);
	unsigned char bytes[3 * BLOCK];

	(void)state;
	memset(bytes, 0x5A, sizeof(bytes));
	assert_int_equal(zram_pwrite(zram, bytes, sizeof(bytes), (VICTIM - 1) * BLOCK),
			 sizeof(bytes));
	assert_bytes(zram, (VICTIM - 1) * BLOCK, sizeof(bytes), 0x5A);
	store_close(zram);
}

static void a_discard_heals_too(void **state)
{
	struct place place;
	struct zram *zram = open_damaged(&place);

	(void)state;
	assert_int_equal(zram_discard(zram, VICTIM * BLOCK, BLOCK), 0);
	assert_bytes(zram, VICTIM * BLOCK, BLOCK, 0);
	assert_others_fine(zram, PACKED);
	store_close(zram);
	zram = open_damaged(&place);
	assert_int_equal(zram_write_zeroes(zram, VICTIM * BLOCK - 5, BLOCK + 10), 0);
	assert_bytes(zram, VICTIM * BLOCK, BLOCK, 0);
	store_close(zram);
}

static void a_damaged_block_stays_damaged_when_it_is_moved(void **state)
{
	struct zram_options options = { .compaction = ZS_COMPACTION_MANUAL };
	struct zram *zram = open_filled(&options, RAW);
	struct place place;

	(void)state;
	find_literals(&place, BLOCK, RAW);
	damage(&place, 5, 5);
	for (uint64_t i = 0; i < BLOCKS; i++) {
		if (i != VICTIM && i % 5)
			assert_int_equal(zram_discard(zram, i * BLOCK, BLOCK), 0);
	}
	zram_compact(zram);
	assert_victim_damaged(zram);
	for (uint64_t i = 0; i < BLOCKS; i += 5)
		assert_stamp(zram, i, stamp_key(RAW, i));
	store_close(zram);
}

/* Not checked, the contents may be anything, but the store and its neighbours live. */
static void without_checksums_damage_harms_one_block_at_most(void **state)
{
	unsigned long noticed = 0, tries = 0;

	(void)state;
	for (const char *const *name = codecs; *name; name++) {
		struct zram_options options = { .algorithm = *name, .checksum = ZRAM_CHECKSUM_OFF };
		unsigned char block[BLOCK + 8];
		struct place place;
		struct zram *zram;

		if (!has_algorithm(*name))
			continue;
		zram = open_filled(&options, PACKED);
		find_literals(&place, BLOCK, PACKED);
		/* From the headers before the literals to what follows them. */
		for (size_t byte = 0; byte < 400; byte++) {
			struct place near = place;

			for (size_t i = 0; i < near.count; i++)
				near.at[i] -= 80;
			damage(&near, byte, (unsigned)(byte % 8));
			memset(block + BLOCK, 0x77, 8);
			if (zram_pread(zram, block, BLOCK, VICTIM * BLOCK) < 0) {
				assert_int_equal(errno, EIO);
				noticed++;
			}
			assert_int_equal(block[BLOCK], 0x77);
			assert_int_equal(block[BLOCK + 7], 0x77);
			damage(&near, byte, (unsigned)(byte % 8));
			tries++;
		}
		assert_others_fine(zram, PACKED);
		assert_stamp(zram, VICTIM, stamp_key(PACKED, VICTIM));
		store_close(zram);
	}
	print_message("%lu of %lu noticed by the codecs alone\n", noticed, tries);
}

/* "Blocks written without are never checked": the switch is for writes to come. */
static void checksums_can_be_switched_while_running(void **state)
{
	struct zram_options options = { .checksum = ZRAM_CHECKSUM_OFF };
	struct zram *zram = open_filled(&options, RAW);
	unsigned char block[BLOCK];
	struct place place;

	(void)state;
	set_attribute(zram, "checksum", "1");
	find_literals(&place, BLOCK, RAW);
	damage(&place, 1, 1);
	assert_int_equal(zram_pread(zram, block, BLOCK, VICTIM * BLOCK), BLOCK);
	assert_false(stamp_holds(block, BLOCK));
	write_stamp(zram, VICTIM, stamp_key(RAW, VICTIM));
	find_literals(&place, BLOCK, RAW);
	damage(&place, 1, 1);
	assert_victim_damaged(zram);
	set_attribute(zram, "checksum", "0");
	assert_others_fine(zram, RAW);
	write_stamp(zram, VICTIM, stamp_key(RAW, VICTIM));
	assert_stamp(zram, VICTIM, stamp_key(RAW, VICTIM));
	store_close(zram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flipped_bit_is_noticed_whatever_the_algorithm),
		cmocka_unit_test(every_byte_of_an_object_counts),
		cmocka_unit_test(every_byte_of_a_block_stored_as_it_is_counts),
		cmocka_unit_test(a_read_of_many_blocks_stops_before_the_damaged_one),
		cmocka_unit_test(a_part_of_a_damaged_block_cannot_be_written),
		cmocka_unit_test(a_write_of_the_whole_heals),
		cmocka_unit_test(a_discard_heals_too),
		cmocka_unit_test(a_damaged_block_stays_damaged_when_it_is_moved),
		cmocka_unit_test(without_checksums_damage_harms_one_block_at_most),
		cmocka_unit_test(checksums_can_be_switched_while_running),
	};

	return cmocka_run_group_tests_name("zram-damage", tests, NULL, NULL);
}
