/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Eight threads read and write the same and neighbouring blocks: who reads sees one
 * version or another, never a mixture; who alone writes a block sees what it wrote last.
 * Meanwhile others discard, compact, look at the figures, set limits, change the size, and
 * fork.
 * Usage: test_threads [--seconds N] [operations a thread [seed]]
 * The operations are shared out among the stores.
 */
#include "store.h"
#include "zram/table.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "form.h"

enum { THREADS = 8, BLOCKS = 256, COMMON = 4, LARGEST = 16384 };

/* In how many stores operations are done, by form.count / RUNS operations a thread each. */
enum { RUNS = 19 };

static struct form form;

struct crowd {
	struct zram *zram;
	size_t block_size;
	atomic_bool done;
	atomic_ulong wrong;
	atomic_ulong read;
	atomic_ulong written;
	atomic_ulong refused;
	atomic_ulong discarded;
	atomic_ulong looks;
};

struct member {
	struct crowd *crowd;
	unsigned number;
	struct rng rng;
	uint64_t key[BLOCKS / THREADS]; /* of the blocks that nobody else writes; 0: zeros */
	unsigned char bytes[2 * LARGEST];
};

static void complain(struct crowd *crowd, const char *what, uint64_t block)
{
	if (atomic_fetch_add(&crowd->wrong, 1) < 10)
		print_error("%s, block %" PRIu64 " (errno %d)\n", what, block, errno);
}

static void write_whole(struct member *member, uint64_t block)
{
	size_t size = member->crowd->block_size;
	uint64_t key = stamp_key(rng_below(&member->rng, 4), rng_next(&member->rng) >> 4);

	stamp_fill(member->bytes, size, key);
	if (zram_pwrite(member->crowd->zram, member->bytes, size, block * size) != (ssize_t)size)
		complain(member->crowd, "cannot write", block);
	atomic_fetch_add(&member->crowd->written, 1);
}

static void read_whole(struct member *member, uint64_t block)
{
	size_t size = member->crowd->block_size;

	if (zram_pread(member->crowd->zram, member->bytes, size, block * size) != (ssize_t)size)
		complain(member->crowd, "cannot read", block);
	else if (!stamp_holds(member->bytes, size))
		complain(member->crowd, "torn", block);
	atomic_fetch_add(&member->crowd->read, 1);
}

/* Two neighbours in one request: each is whole, though they need not go together. */
static void read_two(struct member *member, uint64_t block)
{
	size_t size = member->crowd->block_size;

	if (zram_pread(member->crowd->zram, member->bytes, 2 * size, block * size) !=
	    (ssize_t)(2 * size))
		complain(member->crowd, "cannot read two", block);
	else if (!stamp_holds(member->bytes, size) || !stamp_holds(member->bytes + size, size))
		complain(member->crowd, "torn in two", block);
}

static void discard(struct member *member, uint64_t block)
{
	size_t size = member->crowd->block_size;

	zram_discard(member->crowd->zram, block * size, size);
	atomic_fetch_add(&member->crowd->discarded, 1);
}

static void step_anywhere(struct member *member)
{
	uint64_t block = rng_below(&member->rng, BLOCKS - 1);
	uint32_t dice = rng_below(&member->rng, 100);

	if (dice < 40)
		write_whole(member, block);
	else if (dice < 80)
		read_whole(member, block);
	else if (dice < 90)
		read_two(member, block);
	else
		discard(member, block);
}

static void step_on_few(struct member *member)
{
	uint64_t block = rng_below(&member->rng, COMMON);

	/* Two write, the others read. */
	if (member->number < 2)
		write_whole(member, block);
	else
		read_whole(member, block);
}

static void *look(void *data)
{
	struct crowd *crowd = data;
	struct zs_pool_stats pool;
	struct zram_stats stats;

	while (!atomic_load(&crowd->done)) {
		zram_get_stats(crowd->zram, &stats);
		zram_pool_stats(crowd->zram, &pool);
		if (stats.mem_used_total == 0 || stats.mem_used_max < stats.mem_limit)
			complain(crowd, "figures", 0);
		zram_compact(crowd->zram);
		atomic_fetch_add(&crowd->looks, 1);
		sched_yield();
	}
	return NULL;
}

struct job {
	struct member *member;
	void (*step)(struct member *);
};

static void *work(void *data)
{
	struct job *job = data;

	for (unsigned long i = 0; i < form.count / RUNS; i++)
		job->step(job->member);
	return NULL;
}

static uint64_t moved;        /* objects, in all stores */
static unsigned long refused; /* writes, likewise */

/* Runs one kind of step in all members, and the observer beside them. */
static void run_crowd(struct crowd *crowd, void (*step)(struct member *), void *(*beside)(void *))
{
	struct member *members = calloc(THREADS, sizeof(*members));
	struct job jobs[THREADS];
	pthread_t threads[THREADS], observer;
	struct zs_pool_stats pool;

	assert_non_null(members);
	atomic_store(&crowd->done, false);
	assert_int_equal(pthread_create(&observer, NULL, beside, crowd), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		members[i].crowd = crowd;
		members[i].number = i;
		members[i].rng = rng_seeded(form.seed * THREADS + i);
		jobs[i] = (struct job){ &members[i], step };
		assert_int_equal(pthread_create(&threads[i], NULL, work, &jobs[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&crowd->done, true);
	pthread_join(observer, NULL);
	free(members);
	zram_pool_stats(crowd->zram, &pool);
	print_message("%lu read, %lu written, %lu refused, %lu discarded, %" PRIu64
		      " objects moved, %lu looks\n",
		      atomic_load(&crowd->read), atomic_load(&crowd->written),
		      atomic_load(&crowd->refused), atomic_load(&crowd->discarded),
		      pool.moved_objects, atomic_load(&crowd->looks));
	assert_int_equal(atomic_load(&crowd->wrong), 0);
	assert_true(atomic_load(&crowd->looks) > 0);
	moved += pool.moved_objects;
	refused += atomic_load(&crowd->refused);
}

static void share_a_store(const struct zram_options *wanted, void (*step)(struct member *),
			  void *(*beside)(void *))
{
	struct zram_options options = *wanted;
	struct crowd crowd = { .block_size = options.block_size };

	options.size = BLOCKS * options.block_size;
	crowd.zram = store_open(&options);
	run_crowd(&crowd, step, beside);
	store_close(crowd.zram);
}

static const struct zram_options stores[] = {
	{ .block_size = 4096 },
	{ .block_size = 4096, .checksum = ZRAM_CHECKSUM_OFF, .max_comp_streams = 1 },
	{ .block_size = 16384, .algorithm = "zstd", .max_comp_streams = 2 },
	{ .block_size = 4096, .algorithm = "none", .compaction = ZS_COMPACTION_MANUAL },
};

static void no_reader_sees_a_mixture(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(stores); i++)
		share_a_store(&stores[i], step_anywhere, look);
}

static void readers_of_a_block_that_is_replaced_see_the_old_or_the_new(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(stores); i++)
		share_a_store(&stores[i], step_on_few, look);
}

/* Each thread owns some bytes of every block: parts written at once must not undo each other. */
static void step_on_own_bytes(struct member *member)
{
	struct crowd *crowd = member->crowd;
	size_t share = crowd->block_size / THREADS;
	uint64_t block = rng_below(&member->rng, COMMON);
	uint64_t at = block * crowd->block_size + member->number * share;
	unsigned char *bytes = member->bytes + block * share, found[LARGEST / THREADS];

	if (zram_pread(crowd->zram, found, share, at) != (ssize_t)share ||
	    memcmp(found, bytes, share) != 0)
		complain(crowd, "a part was undone", block);
	memset(bytes, (int)rng_next(&member->rng), share);
	bytes[rng_below(&member->rng, (uint32_t)share)] = (unsigned char)rng_next(&member->rng);
	if (zram_pwrite(crowd->zram, bytes, share, at) != (ssize_t)share)
		complain(crowd, "cannot write a part", block);
	atomic_fetch_add(&crowd->written, 1);
}

static void parts_of_one_block_do_not_undo_each_other(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(stores); i++)
		share_a_store(&stores[i], step_on_own_bytes, look);
}

/* --- refused writes --- */

static void check_own(struct member *member, uint64_t block, uint64_t key)
{
	struct crowd *crowd = member->crowd;
	size_t size = crowd->block_size;

	if (zram_pread(crowd->zram, member->bytes, size, block * size) != (ssize_t)size)
		complain(crowd, "cannot read its own", block);
	else if (stamp_of(member->bytes) != key || !stamp_holds(member->bytes, size))
		complain(crowd, "not what was written last", block);
	atomic_fetch_add(&crowd->read, 1);
}

/* Blocks are divided among the threads; each looks into those of others, too. */
static void step_on_own_blocks(struct member *member)
{
	struct crowd *crowd = member->crowd;
	size_t size = crowd->block_size, mine = rng_below(&member->rng, BLOCKS / THREADS);
	uint64_t block = mine * THREADS + member->number, *key = &member->key[mine];
	uint32_t dice = rng_below(&member->rng, 100);

	if (dice < 20) {
		read_whole(member, rng_below(&member->rng, BLOCKS));
	} else if (dice < 40) {
		check_own(member, block, *key);
	} else if (dice < 50) {
		discard(member, block);
		*key = 0;
	} else {
		uint64_t new = stamp_key(rng_below(&member->rng, 4), rng_next(&member->rng) >> 4);

		stamp_fill(member->bytes, size, new);
		errno = 0;
		if (zram_pwrite(crowd->zram, member->bytes, size, block * size) == (ssize_t)size) {
			atomic_fetch_add(&crowd->written, 1);
			*key = new;
		} else {
			atomic_fetch_add(&crowd->refused, 1);
			if (errno != ENOSPC)
				complain(crowd, "cannot write its own", block);
			check_own(member, block, *key);
		}
	}
}

/* Limits that are now too low, now none. */
static void *limit(void *data)
{
	struct crowd *crowd = data;
	struct rng rng = rng_seeded(form.seed);
	struct zram_stats stats;
	char value[32];

	while (!atomic_load(&crowd->done)) {
		zram_get_stats(crowd->zram, &stats);
		snprintf(value, sizeof(value), "%" PRIu64,
			 stats.mem_used_total / 100 * rng_between(&rng, 60, 140));
		if (zram_set(crowd->zram, "mem_limit", value))
			complain(crowd, "cannot set a limit", 0);
		for (int i = 0; i < 10; i++)
			sched_yield();
		zram_compact(crowd->zram);
		if (zram_set(crowd->zram, "mem_limit", "0"))
			complain(crowd, "cannot lift the limit", 0);
		atomic_fetch_add(&crowd->looks, 1);
		sched_yield();
	}
	return NULL;
}

static void a_refused_write_leaves_what_was_there(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(stores); i++)
		share_a_store(&stores[i], step_on_own_blocks, limit);
	assert_true(refused > 0);
}

/* --- fork --- */

/* ThreadSanitizer would end a child that starts after threads were. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "die_after_fork=0";
}

/* A child may not call into the store; that it exists does no harm. */
static void *fork_and_exit(void *data)
{
	struct crowd *crowd = data;
	int status;

	while (!atomic_load(&crowd->done)) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
			complain(crowd, "a child", 0);
		atomic_fetch_add(&crowd->looks, 1);
	}
	return NULL;
}

static void the_parent_goes_on_after_fork(void **state)
{
	(void)state;
	share_a_store(&stores[0], step_on_own_blocks, fork_and_exit);
}

/* Sizes from half to all of the store; what was cut off reads as zeros or is refused. */
static void *resize(void *data)
{
	struct crowd *crowd = data;
	struct rng rng = rng_seeded(form.seed);

	while (!atomic_load(&crowd->done)) {
		uint64_t blocks = rng_between(&rng, BLOCKS / 2, BLOCKS);

		if (zram_resize(crowd->zram, blocks * crowd->block_size))
			complain(crowd, "cannot resize", blocks);
		if (rng_percent(&rng, 10) && zram_reset(crowd->zram))
			complain(crowd, "cannot reset", 0);
		atomic_fetch_add(&crowd->looks, 1);
		sched_yield();
	}
	zram_resize(crowd->zram, BLOCKS * crowd->block_size);
	return NULL;
}

static void step_on_a_changing_size(struct member *member)
{
	struct crowd *crowd = member->crowd;
	size_t size = crowd->block_size;
	uint64_t block = rng_below(&member->rng, BLOCKS);
	ssize_t done;

	if (rng_percent(&member->rng, 50)) {
		stamp_fill(member->bytes, size,
			   stamp_key(rng_below(&member->rng, 4), rng_next(&member->rng) >> 4));
		done = zram_pwrite(crowd->zram, member->bytes, size, block * size);
		if (done != (ssize_t)size && (done != -1 || errno != ENOSPC || block < BLOCKS / 2))
			complain(crowd, "cannot write", block);
		atomic_fetch_add(&crowd->written, 1);
		return;
	}
	done = zram_pread(crowd->zram, member->bytes, size, block * size);
	if (done == 0 ? block < BLOCKS / 2 : done != (ssize_t)size)
		complain(crowd, "cannot read", block);
	if (done == (ssize_t)size && !stamp_holds(member->bytes, size))
		complain(crowd, "torn", block);
	atomic_fetch_add(&crowd->read, 1);
}

static void the_size_changes_and_the_store_is_reset_under_load(void **state)
{
	struct zram_options options = { .size = BLOCKS * BLOCK };
	struct crowd crowd = { .zram = store_open(&options), .block_size = BLOCK };

	(void)state;
	run_crowd(&crowd, step_on_a_changing_size, resize);
	store_close(crowd.zram);
}

/* Every kind of call that looks or tunes, while blocks come and go. */
static int see(const struct zram_extent *extent, void *data)
{
	uint64_t *next = data;

	if (extent->offset != *next || extent->length == 0)
		return 1;
	*next += extent->length;
	return 0;
}

static void *look_and_tune(void *data)
{
	static const char *const values[] = { "1", "2", "5", "256" };
	struct crowd *crowd = data;
	struct rng rng = rng_seeded(form.seed);
	char value[65536];

	while (!atomic_load(&crowd->done)) {
		uint64_t next = 0;

		for (const char *const *name = zram_attributes(); *name; name++) {
			if (zram_get(crowd->zram, *name, value, sizeof(value)) < 0 &&
			    errno != EACCES)
				complain(crowd, *name, 0);
		}
		if (zram_get_extents(crowd->zram, 0, UINT64_MAX, see, &next) ||
		    next != BLOCKS * crowd->block_size)
			complain(crowd, "extents", next);
		if (zram_set(crowd->zram, "max_comp_streams", values[rng_below(&rng, 4)]) ||
		    zram_set(crowd->zram, "checksum", rng_percent(&rng, 50) ? "0" : "1") ||
		    zram_set(crowd->zram, "mem_limit", "1G"))
			complain(crowd, "cannot set", 0);
		atomic_fetch_add(&crowd->looks, 1);
		sched_yield();
	}
	return NULL;
}

static void the_store_is_looked_at_and_tuned_under_load(void **state)
{
	struct zram_options options = { .size = BLOCKS * BLOCK };
	struct crowd crowd = { .zram = store_open(&options), .block_size = BLOCK };

	(void)state;
	run_crowd(&crowd, step_anywhere, look_and_tune);
	store_close(crowd.zram);
}

/* --- the last blocks of a leaf --- */

enum { LEAVES = 1000 };

struct last_blocks {
	struct zram *zram;
	atomic_uint arrived; /* of both threads, at all leaves so far */
};

/* One of the two blocks of each leaf, at the moment when the other thread does the other. */
static void discard_one_of_two(struct last_blocks *last, unsigned which)
{
	for (uint64_t leaf = 0; leaf < LEAVES; leaf++) {
		atomic_fetch_add(&last->arrived, 1);
		for (unsigned i = 1; atomic_load(&last->arrived) < 2 * (leaf + 1); i++)
			if (i % 4096 == 0)
				sched_yield();
		zram_discard(last->zram, (leaf * LEAF_SLOTS + which) * BLOCK, BLOCK);
	}
}

static void *discard_second(void *data)
{
	discard_one_of_two(data, 1);
	return NULL;
}

static void a_leaf_goes_whoever_discards_its_last_block(void **state)
{
	struct zram_options options = { .size = (uint64_t)LEAVES * LEAF_SLOTS * BLOCK };
	struct last_blocks last = { .zram = store_open(&options) };
	pthread_t second;

	(void)state;
	for (uint64_t leaf = 0; leaf < LEAVES; leaf++) {
		write_stamp(last.zram, leaf * LEAF_SLOTS, stamp_key(FILLED, 1));
		write_stamp(last.zram, leaf * LEAF_SLOTS + 1, stamp_key(FILLED, 1));
	}
	uint64_t bytes = stats_of(last.zram).table_bytes;
	assert_int_equal(pthread_create(&second, NULL, discard_second, &last), 0);
	discard_one_of_two(&last, 0);
	assert_int_equal(pthread_join(second, NULL), 0);
	assert_int_equal(stats_of(last.zram).table_bytes, bytes - (uint64_t)LEAVES * LEAF_BYTES);
	store_close(last.zram);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_reader_sees_a_mixture),
		cmocka_unit_test(readers_of_a_block_that_is_replaced_see_the_old_or_the_new),
		cmocka_unit_test(parts_of_one_block_do_not_undo_each_other),
		cmocka_unit_test(a_refused_write_leaves_what_was_there),
		cmocka_unit_test(the_parent_goes_on_after_fork),
		cmocka_unit_test(the_size_changes_and_the_store_is_reset_under_load),
		cmocka_unit_test(the_store_is_looked_at_and_tuned_under_load),
		cmocka_unit_test(a_leaf_goes_whoever_discards_its_last_block),
	};

	int failed;

	form = form_parse(argc, argv, UNDER_TSAN || UNDER_ASAN || ZS_DEBUG ? 30000 : 200000);
	do {
		print_message("%d threads x %lu operations, seed %" PRIu64 "\n", THREADS,
			      form.count, form.seed);
		moved = refused = 0;
		failed = cmocka_run_group_tests_name("zram-threads", tests, NULL, NULL);
		print_message("%" PRIu64 " objects moved in all\n", moved);
	} while (!failed && moved && form_again(&form));
	return failed || !moved;
}
