/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* A store never holds more than its limit, and a write that it refuses has changed nothing. */
#include "store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { BLOCKS = 4000, THREADS = 4, AT_ONCE = 16 };

static void assert_within_limit(struct zram *zram)
{
	struct zram_stats stats = stats_of(zram);

	assert_true(stats.mem_used_total <= stats.mem_limit);
	assert_true(stats.mem_used_max <= stats.mem_limit);
}

static struct zram *open_limited(uint64_t limit, const char *algorithm, size_t block_size)
{
	struct zram_options options = { .size = (uint64_t)BLOCKS * block_size,
					.block_size = block_size,
					.algorithm = algorithm,
					.mem_limit = limit };

	return store_open(&options);
}

/* Writes stamps from the first block on until one is refused; returns how many were not. */
static uint64_t fill_up(struct zram *zram, enum stamp stamp)
{
	size_t size = zram_block_size(zram);
	unsigned char block[ZRAM_MAX_BLOCK_SIZE];

	for (uint64_t i = 0; i < BLOCKS; i++) {
		stamp_fill(block, size, stamp_key(stamp, i));
		errno = 0;
		if (zram_pwrite(zram, block, size, i * size) == (ssize_t)size)
			continue;
		assert_int_equal(errno, ENOSPC);
		return i;
	}
	return BLOCKS;
}

static void assert_filled(struct zram *zram, enum stamp stamp, uint64_t count)
{
	size_t size = zram_block_size(zram);

	for (uint64_t i = 0; i < count; i++)
		assert_stamp(zram, i, stamp_key(stamp, i));
	assert_bytes(zram, count * size, 3 * size, 0);
}

static void a_store_fills_to_its_limit_and_not_beyond(void **state)
{
	(void)state;
	for (const char *const *name = zram_algorithms(); *name; name++) {
		for (size_t size = 4096; size <= 65536; size *= 4) {
			struct zram *zram = open_limited(MIB(3), *name, size);
			uint64_t count = fill_up(zram, PACKED);
			struct zram_stats stats;

			assert_in_range(count, 1, BLOCKS - 4);
			assert_within_limit(zram);
			stats = stats_of(zram);
			assert_int_equal(stats.failed_writes, 1);
			assert_int_equal(stats.orig_data_size, count * size);
			assert_true(stats.mem_used_total > stats.mem_limit / 4 * 3);
			assert_filled(zram, PACKED, count);
			store_close(zram);
		}
	}
}

/* Rewriting each with more bytes than there is room for. */
static void a_refused_rewrite_leaves_the_old_contents(void **state)
{
	struct zram *zram = open_limited(MIB(2), "lz4", BLOCK);
	unsigned char block[BLOCK];
	unsigned refused = 0;
	uint64_t count;

	(void)state;
	count = fill_up(zram, PACKED);
	for (uint64_t i = 0; i < count; i++) {
		stamp_fill(block, sizeof(block), stamp_key(RAW, i));
		errno = 0;
		if (zram_pwrite(zram, block, BLOCK, i * BLOCK) == BLOCK) {
			assert_stamp(zram, i, stamp_key(RAW, i));
			continue;
		}
		refused++;
		assert_int_equal(errno, ENOSPC);
		assert_stamp(zram, i, stamp_key(PACKED, i));
		assert_within_limit(zram);
	}
	assert_true(refused > count / 2);
	assert_int_equal(stats_of(zram).failed_writes, 1 + refused);
	store_close(zram);
}

static void a_refused_part_of_a_block_leaves_all_of_it(void **state)
{
	struct zram *zram = open_limited(MIB(2), "lz4", 16384);
	unsigned char noise[8192];
	struct rng rng = rng_seeded(1);
	unsigned refused = 0;
	uint64_t count;

	(void)state;
	count = fill_up(zram, PACKED);
	for (size_t at = 0; at < sizeof(noise); at++)
		noise[at] = (unsigned char)rng_next(&rng);
	for (uint64_t i = 0; i < count; i++) {
		errno = 0;
		if (zram_pwrite(zram, noise, sizeof(noise), i * 16384 + 8192) >= 0)
			continue;
		refused++;
		assert_int_equal(errno, ENOSPC);
		assert_stamp(zram, i, stamp_key(PACKED, i));
	}
	assert_true(refused > 0);
	store_close(zram);
}

/* With every limit another block is the one that does not fit. */
static void a_write_of_many_blocks_says_how_far_it_got(void **state)
{
	unsigned char *bytes = malloc(AT_ONCE * BLOCK);
	bool seen[AT_ONCE + 1] = { false };
	unsigned kinds = 0;

	(void)state;
	assert_non_null(bytes);
	for (uint64_t i = 0; i < AT_ONCE; i++)
		stamp_fill(bytes + i * BLOCK, BLOCK, stamp_key(RAW, i));
	for (uint64_t limit = KIB(1200); limit < KIB(1400); limit += 2048) {
		struct zram *zram = open_limited(limit, "lz4", BLOCK);
		ssize_t done;
		uint64_t at = 0;

		do {
			done = zram_pwrite(zram, bytes, AT_ONCE * BLOCK, at);
			at += done > 0 ? (uint64_t)done : 0;
		} while (done == AT_ONCE * BLOCK);
		assert_within_limit(zram);
		if (done < 0) {
			assert_int_equal(errno, ENOSPC);
			done = 0;
		}
		assert_int_equal(done % BLOCK, 0);
		seen[done / BLOCK] = true;
		for (uint64_t block = 0; block < at / BLOCK; block++)
			assert_stamp(zram, block, stamp_key(RAW, block % AT_ONCE));
		assert_bytes(zram, at, AT_ONCE * BLOCK, 0);
		/* A call for that block alone says why. */
		assert_refused(zram_pwrite(zram, bytes + done, BLOCK, at), ENOSPC);
		store_close(zram);
	}
	for (size_t i = 0; i <= AT_ONCE; i++)
		kinds += seen[i];
	print_message("%u different lengths\n", kinds);
	assert_true(kinds > AT_ONCE / 2);
	free(bytes);
}

static void a_refused_write_may_begin_and_end_inside_blocks(void **state)
{
	struct zram *zram = open_limited(MIB(2), "lz4", BLOCK);
	unsigned char *noise = malloc(BLOCKS * BLOCK), before[BLOCK];
	struct rng rng = rng_seeded(2);
	uint64_t count;
	ssize_t done;

	(void)state;
	assert_non_null(noise);
	for (size_t at = 0; at < BLOCKS * BLOCK; at++)
		noise[at] = (unsigned char)rng_next(&rng);
	write_stamp(zram, 0, stamp_key(PACKED, 0));
	assert_int_equal(zram_pread(zram, before, 100, 0), 100);
	done = zram_pwrite(zram, noise, (BLOCKS - 1) * BLOCK, 100);
	assert_true(done > 0);
	assert_int_equal((done + 100) % BLOCK, 0);
	assert_contents(zram, 0, before, 100);
	assert_contents(zram, 100, noise, (size_t)done);
	assert_bytes(zram, 100 + (uint64_t)done, 5 * BLOCK, 0);
	count = stats_of(zram).orig_data_size / BLOCK;
	assert_int_equal(count, (100 + done) / BLOCK);
	assert_within_limit(zram);
	free(noise);
	store_close(zram);
}

static void a_full_store_takes_what_needs_no_memory(void **state)
{
	struct zram *zram = open_limited(MIB(2), "lz4", BLOCK);
	uint64_t count = fill_up(zram, RAW);

	(void)state;
	write_stamp(zram, 0, stamp_key(RAW, 0));
	write_stamp(zram, 1, stamp_key(FILLED, 1));
	assert_stamp(zram, 1, stamp_key(FILLED, 1));
	assert_int_equal(zram_discard(zram, 2 * BLOCK, BLOCK), 0);
	assert_int_equal(zram_write_zeroes(zram, 3 * BLOCK, BLOCK), 0);
	assert_stamp(zram, 0, stamp_key(RAW, 0));
	assert_bytes(zram, 2 * BLOCK, 2 * BLOCK, 0);
	for (uint64_t i = 4; i < count; i++)
		assert_stamp(zram, i, stamp_key(RAW, i));
	store_close(zram);
}

/* The same number of blocks again, as often as one likes. */
static void what_is_discarded_makes_room(void **state)
{
	struct zram *zram = open_limited(MIB(2), "lz4", BLOCK);
	uint64_t first = fill_up(zram, RAW);

	(void)state;
	for (int round = 0; round < 10; round++) {
		assert_int_equal(zram_discard(zram, 0, (uint64_t)BLOCKS * BLOCK), 0);
		assert_true(fill_up(zram, RAW) + first / 50 + 2 >= first);
		assert_within_limit(zram);
	}
	assert_int_equal(zram_reset(zram), 0);
	assert_true(fill_up(zram, RAW) + first / 50 + 2 >= first);
	store_close(zram);
}

/* Holes all over: only objects moved together make room for one more. */
static void a_full_store_compacts_before_it_refuses(void **state)
{
	struct zram_options options = { .size = BLOCKS * BLOCK, .mem_limit = MIB(2) };

	(void)state;
	for (int mode = 0; mode < 2; mode++) {
		struct zram *zram;
		uint64_t count, again = 0;

		options.compaction = mode ? ZS_COMPACTION_MANUAL : ZS_COMPACTION_AUTO;
		zram = store_open(&options);
		count = fill_up(zram, PACKED);
		for (uint64_t i = 0; i < count; i += 2)
			assert_int_equal(zram_discard(zram, i * BLOCK, BLOCK), 0);
		if (mode == 1)
			zram_compact(zram);
		for (uint64_t i = 0; i < count; i += 2) {
			unsigned char block[BLOCK];

			stamp_fill(block, BLOCK, stamp_key(RAW, i));
			if (zram_pwrite(zram, block, BLOCK, i * BLOCK) != BLOCK)
				break;
			again++;
		}
		/* Of half the blocks, at 1500 bytes in the mean, into raw ones. */
		assert_true(again > count / 8);
		for (uint64_t i = 1; i < count; i += 2)
			assert_stamp(zram, i, stamp_key(PACKED, i));
		assert_within_limit(zram);
		store_close(zram);
	}
}

static void the_limit_can_be_raised(void **state)
{
	struct zram *zram = open_limited(MIB(2), "lz4", BLOCK);
	uint64_t low = fill_up(zram, RAW), high;

	(void)state;
	set_attribute(zram, "mem_limit", "4M");
	high = fill_up(zram, RAW);
	assert_true(high > low + 400);
	assert_within_limit(zram);
	assert_filled(zram, RAW, high);
	set_attribute(zram, "mem_limit", "0");
	assert_int_equal(fill_up(zram, RAW), BLOCKS);
	store_close(zram);
}

static void below_what_is_held_the_limit_refuses_what_is_new_and_loses_nothing(void **state)
{
	struct zram *zram = open_limited(0, "lz4", BLOCK);
	unsigned char block[BLOCK];
	uint64_t held, more = 0;

	(void)state;
	for (uint64_t i = 0; i < 1000; i++)
		write_stamp(zram, i, stamp_key(i == 7 ? THIN : RAW, i));
	held = stats_of(zram).mem_used_total;
	set_attribute(zram, "mem_limit", "2M");
	assert_int_equal(number_attribute(zram, "mem_limit"), MIB(2));
	stamp_fill(block, sizeof(block), stamp_key(RAW, 5000));
	/* Room that is held already may be used. */
	while (zram_pwrite(zram, block, BLOCK, (2000 + more) * BLOCK) == BLOCK)
		assert_true(++more < 16);
	assert_int_equal(errno, ENOSPC);
	assert_refused(zram_pwrite(zram, block, BLOCK, 7 * BLOCK), ENOSPC);
	assert_true(stats_of(zram).mem_used_total <= held);
	for (uint64_t i = 0; i < 1000; i++)
		assert_stamp(zram, i, stamp_key(i == 7 ? THIN : RAW, i));
	for (uint64_t i = 0; i < more; i++)
		assert_stamp(zram, 2000 + i, stamp_key(RAW, 5000));
	assert_bytes(zram, (2000 + more) * BLOCK, BLOCK, 0);
	assert_int_equal(zram_discard(zram, 0, 900 * BLOCK), 0);
	zram_compact(zram);
	assert_true(stats_of(zram).mem_used_total <= MIB(2));
	assert_int_equal(zram_pwrite(zram, block, BLOCK, 7 * BLOCK), BLOCK);
	assert_stamp(zram, 7, stamp_key(RAW, 5000));
	store_close(zram);
}

static void zeros_that_need_memory_may_be_refused(void **state)
{
	struct zram *zram = open_limited(MIB(2), "lz4", 65536);
	uint64_t count = fill_up(zram, RAW);
	int result;

	(void)state;
	for (uint64_t i = 0; i < count; i++) {
		errno = 0;
		result = zram_write_zeroes(zram, i * 65536 + 65536 - 64, 64);
		if (result)
			assert_int_equal(errno, ENOSPC);
		assert_within_limit(zram);
		if (result == 0)
			assert_bytes(zram, i * 65536 + 65536 - 64, 64, 0);
		else
			assert_stamp(zram, i, stamp_key(RAW, i));
	}
	store_close(zram);
}

/* Threads. */

struct crowd {
	struct zram *zram;
	atomic_bool done;
	atomic_ulong refused;
	atomic_ulong above; /* times that more than the limit was held */
	atomic_ulong wrong;
};

struct member {
	struct crowd *crowd;
	uint64_t number;
};

static void *write_and_discard(void *data)
{
	struct member *member = data;
	struct crowd *crowd = member->crowd;
	struct rng rng = rng_seeded(member->number);
	unsigned long rounds = UNDER_TSAN || UNDER_ASAN ? 3000 : 12000;
	unsigned char block[BLOCK];

	for (unsigned long i = 0; i < rounds; i++) {
		uint64_t number =
			member->number + THREADS * (uint64_t)rng_below(&rng, BLOCKS / THREADS);

		if (rng_percent(&rng, 20)) {
			zram_discard(crowd->zram, number * BLOCK, BLOCK);
			continue;
		}
		stamp_fill(block, BLOCK, stamp_key(rng_below(&rng, 4), i));
		errno = 0;
		if (zram_pwrite(crowd->zram, block, BLOCK, number * BLOCK) == BLOCK)
			continue;
		if (errno != ENOSPC)
			atomic_fetch_add(&crowd->wrong, 1);
		atomic_fetch_add(&crowd->refused, 1);
	}
	return NULL;
}

static void *watch(void *data)
{
	struct crowd *crowd = data;

	while (!atomic_load(&crowd->done)) {
		struct zram_stats stats;

		zram_get_stats(crowd->zram, &stats);
		if (stats.mem_used_max > MIB(2))
			atomic_fetch_add(&crowd->above, 1);
	}
	return NULL;
}

static void many_threads_together_stay_within_the_limit(void **state)
{
	struct crowd crowd = { .zram = open_limited(MIB(2), "lz4", BLOCK) };
	struct member members[THREADS];
	pthread_t threads[THREADS], watcher;
	unsigned char block[BLOCK];

	(void)state;
	assert_int_equal(pthread_create(&watcher, NULL, watch, &crowd), 0);
	for (uint64_t i = 0; i < THREADS; i++) {
		members[i] = (struct member){ &crowd, i };
		assert_int_equal(pthread_create(&threads[i], NULL, write_and_discard, &members[i]),
				 0);
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&crowd.done, true);
	pthread_join(watcher, NULL);
	print_message("%lu refused\n", atomic_load(&crowd.refused));
	assert_true(atomic_load(&crowd.refused) > 100);
	assert_int_equal(atomic_load(&crowd.above), 0);
	assert_int_equal(atomic_load(&crowd.wrong), 0);
	assert_within_limit(crowd.zram);
	for (uint64_t i = 0; i < BLOCKS; i++) {
		assert_int_equal(zram_pread(crowd.zram, block, BLOCK, i * BLOCK), BLOCK);
		assert_true(stamp_holds(block, BLOCK));
	}
	store_close(crowd.zram);
}

struct overwriter {
	struct zram *zram;
	uint64_t seed;
	unsigned refused;
};

static void *overwrite(void *data)
{
	struct overwriter *self = data;
	struct rng rng = rng_seeded(self->seed);
	unsigned char block[BLOCK];

	for (unsigned i = 0; i < 6000; i++) {
		uint64_t number = rng_below(&rng, BLOCKS);

		/* Of the kind it was, so that all blocks together stay as large as they are. */
		stamp_fill(block, BLOCK, stamp_key(number % 4, rng_next(&rng)));
		if (zram_pwrite(self->zram, block, BLOCK, number * BLOCK) != BLOCK)
			self->refused++;
	}
	return NULL;
}

/* While one call compacts, others must not be told that there is no memory. */
static void none_is_refused_while_another_makes_room(void **state)
{
	enum { OVERWRITERS = 8 };
	struct zram_options options = { .size = (uint64_t)BLOCKS * BLOCK,
					.compaction = ZS_COMPACTION_MANUAL,
					.max_comp_streams = OVERWRITERS };
	struct zram *zram = store_open(&options);
	struct overwriter overwriters[OVERWRITERS];
	pthread_t threads[OVERWRITERS];
	unsigned refused = 0;

	(void)state;
	for (uint64_t i = 0; i < OVERWRITERS; i++)
		overwriters[i] = (struct overwriter){ .zram = zram, .seed = i };
	/* What all blocks take at once, and what the threads have under way. */
	for (uint64_t i = 0; i < BLOCKS; i++)
		write_stamp(zram, i, stamp_key(i % 4, i));
	zram_compact(zram);
	struct zram_stats stats = stats_of(zram);
	char limit[32];
	snprintf(limit, sizeof(limit), "%llu", (unsigned long long)stats.mem_used_total + KIB(400));
	assert_int_equal(zram_set(zram, "mem_limit", limit), 0);
	for (size_t i = 0; i < OVERWRITERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, overwrite, &overwriters[i]), 0);
	for (size_t i = 0; i < OVERWRITERS; i++) {
		pthread_join(threads[i], NULL);
		refused += overwriters[i].refused;
	}
	print_message("%u refused\n", refused);
	assert_within_limit(zram);
	assert_int_equal(refused, 0);
	store_close(zram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_store_fills_to_its_limit_and_not_beyond),
		cmocka_unit_test(a_refused_rewrite_leaves_the_old_contents),
		cmocka_unit_test(a_refused_part_of_a_block_leaves_all_of_it),
		cmocka_unit_test(a_write_of_many_blocks_says_how_far_it_got),
		cmocka_unit_test(a_refused_write_may_begin_and_end_inside_blocks),
		cmocka_unit_test(a_full_store_takes_what_needs_no_memory),
		cmocka_unit_test(what_is_discarded_makes_room),
		cmocka_unit_test(a_full_store_compacts_before_it_refuses),
		cmocka_unit_test(the_limit_can_be_raised),
		cmocka_unit_test(
			below_what_is_held_the_limit_refuses_what_is_new_and_loses_nothing),
		cmocka_unit_test(zeros_that_need_memory_may_be_refused),
		cmocka_unit_test(many_threads_together_stay_within_the_limit),
		cmocka_unit_test(none_is_refused_while_another_makes_room),
	};

	return cmocka_run_group_tests_name("zram-limit", tests, NULL, NULL);
}
