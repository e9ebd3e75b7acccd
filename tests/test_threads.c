/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Eight threads allocate, free, map and verify; objects change hands; some are
 * mapped by all. Meanwhile one thread compacts and one looks at the figures.
 * Usage: test_threads [operations a thread [seed]]
 */
#include "testing.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { WORKERS = 8, OWN = 200, SHARED = 64, MAILBOXES = 32, LARGEST = 3000 };

static unsigned long operations = UNDER_TSAN ? 3000 : ZS_DEBUG || UNDER_ASAN ? 10000 : 40000;
static uint64_t seed = 1;

struct workshop {
	struct zs_pool *pool;
	bool fixed;
	struct objects shared;                    /* read by all, never changed */
	_Atomic(struct object *) mail[MAILBOXES]; /* from any thread to any other */
	atomic_bool done;
	atomic_ulong failures;
	atomic_ulong verified;
	atomic_ulong compacted_bytes;
	atomic_ulong looks;
};

struct worker {
	struct workshop *workshop;
	struct rng rng;
	struct object own[OWN];
	size_t count;
	uint64_t next_tag;
};

static void complain(struct workshop *workshop, const char *what)
{
	if (atomic_fetch_add(&workshop->failures, 1) < 10)
		print_error("%s (errno %d)\n", what, errno);
}

/* Maps; with a few map buffers shared by all that may take several tries. */
static void *map_patiently(struct workshop *workshop, zs_handle handle, enum zs_mapmode mode)
{
	void *mem;

	do {
		errno = 0;
		mem = zs_map_object(workshop->pool, handle, mode);
		if (!mem && errno == EBUSY && workshop->fixed)
			sched_yield();
	} while (!mem && errno == EBUSY && workshop->fixed);
	if (!mem)
		complain(workshop, "cannot map");
	return mem;
}

static void verify(struct workshop *workshop, const struct object *object)
{
	const void *mem = map_patiently(workshop, object->handle, ZS_MM_RO);

	if (!mem)
		return;
	if (!pattern_holds(mem, object->size, object->tag))
		complain(workshop, "wrong contents");
	zs_unmap_object(workshop->pool, object->handle);
	atomic_fetch_add(&workshop->verified, 1);
}

static void verify_by_reading(struct workshop *workshop, const struct object *object)
{
	unsigned char local_copy[LARGEST + 1096];
	void *mem = zs_obj_read_begin(workshop->pool, object->handle, local_copy);

	if (!mem || !pattern_holds(mem, object->size, object->tag))
		complain(workshop, "wrong contents read");
	zs_obj_read_end(workshop->pool, object->handle, mem);
	atomic_fetch_add(&workshop->verified, 1);
}

static void rewrite(struct worker *worker, struct object *object)
{
	void *mem = map_patiently(worker->workshop, object->handle, ZS_MM_WO);

	if (!mem)
		return;
	object->tag = worker->next_tag++;
	pattern_fill(mem, object->size, object->tag);
	zs_unmap_object(worker->workshop->pool, object->handle);
}

static void make_one(struct worker *worker)
{
	struct object *object = &worker->own[worker->count];

	object->size = rng_between(&worker->rng, 1, LARGEST);
	object->handle = zs_malloc(worker->workshop->pool, object->size);
	if (!object->handle) {
		complain(worker->workshop, "cannot allocate");
		return;
	}
	rewrite(worker, object);
	worker->count++;
}

static void free_one(struct worker *worker, size_t index)
{
	verify(worker->workshop, &worker->own[index]);
	zs_free(worker->workshop->pool, worker->own[index].handle);
	worker->own[index] = worker->own[--worker->count];
}

/* Leaves an own object in a mailbox, and frees the one that was there. */
static void exchange_one(struct worker *worker, size_t index)
{
	size_t box = rng_below(&worker->rng, MAILBOXES);
	struct object *letter = malloc(sizeof(*letter)), *found;

	*letter = worker->own[index];
	worker->own[index] = worker->own[--worker->count];
	found = atomic_exchange(&worker->workshop->mail[box], letter);
	if (!found)
		return;
	verify(worker->workshop, found);
	zs_free(worker->workshop->pool, found->handle);
	free(found);
}

static void take_step(struct worker *worker)
{
	struct workshop *workshop = worker->workshop;
	uint32_t dice = rng_below(&worker->rng, 100);
	size_t index;

	if (worker->count == 0 || (dice < 40 && worker->count < OWN)) {
		make_one(worker);
		return;
	}
	index = rng_below(&worker->rng, (uint32_t)worker->count);
	if (dice < 60)
		free_one(worker, index);
	else if (dice < 65)
		exchange_one(worker, index);
	else if (dice < 75)
		verify(workshop, &workshop->shared.at[rng_below(&worker->rng, SHARED)]);
	else if (dice < 80)
		verify_by_reading(workshop, &workshop->shared.at[rng_below(&worker->rng, SHARED)]);
	else if (dice < 88)
		verify(workshop, &worker->own[index]);
	else if (dice < 92)
		verify_by_reading(workshop, &worker->own[index]);
	else
		rewrite(worker, &worker->own[index]);
}

static void *work(void *data)
{
	struct worker *worker = data;
	unsigned long i;

	for (i = 0; i < operations; i++)
		take_step(worker);
	while (worker->count)
		free_one(worker, worker->count - 1);
	return NULL;
}

static void *compact_meanwhile(void *data)
{
	struct workshop *workshop = data;
	struct rng rng = rng_seeded(seed);

	while (!atomic_load(&workshop->done)) {
		struct zs_compact_budget budget = { .bytes = rng_between(&rng, 1, 100000) };
		struct zs_compact_result result;
		uint64_t bytes;

		if (rng_percent(&rng, 10)) {
			bytes = zs_compact(workshop->pool);
		} else {
			zs_compact_some(workshop->pool, &budget, &result);
			bytes = result.freed_bytes;
		}
		atomic_fetch_add(&workshop->compacted_bytes, bytes);
		sched_yield();
	}
	return NULL;
}

static void glance_at_zspage(const struct zs_zspage_info *info, void *data)
{
	if (info->objects > info->slots)
		complain(data, "more objects than slots");
}

static void *look_meanwhile(void *data)
{
	struct workshop *workshop = data;
	struct zs_pool_stats stats;
	struct zs_class_stats class;
	unsigned i;

	while (!atomic_load(&workshop->done)) {
		zs_pool_stats(workshop->pool, &stats);
		for (i = 0; i < zs_class_count(workshop->pool); i += 7)
			zs_class_stats(workshop->pool, i, &class);
		zs_for_each_zspage(workshop->pool, glance_at_zspage, workshop);
		zs_compactable_bytes(workshop->pool);
		if (zs_get_total_size_bytes(workshop->pool) == 0)
			complain(workshop, "a pool of no bytes");
		if (zs_check(workshop->pool, NULL, NULL))
			complain(workshop, "zs_check");
		atomic_fetch_add(&workshop->looks, 1);
		sched_yield();
	}
	return NULL;
}

static void misused(struct zs_pool *pool, enum zs_misuse fault, zs_handle handle,
		    const char *message, void *data)
{
	(void)pool;
	(void)fault;
	(void)handle;
	complain(data, message);
}

static void run_workers(struct workshop *workshop)
{
	struct worker *workers = calloc(WORKERS, sizeof(*workers));
	pthread_t threads[WORKERS], compactor, observer;
	uint64_t i;

	assert_non_null(workers);
	assert_int_equal(pthread_create(&compactor, NULL, compact_meanwhile, workshop), 0);
	assert_int_equal(pthread_create(&observer, NULL, look_meanwhile, workshop), 0);
	for (i = 0; i < WORKERS; i++) {
		workers[i].workshop = workshop;
		workers[i].rng = rng_seeded(seed + i);
		workers[i].next_tag = (i + 1) << 40;
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&workshop->done, true);
	pthread_join(compactor, NULL);
	pthread_join(observer, NULL);
	free(workers);
}

static void empty_mailboxes(struct workshop *workshop)
{
	size_t i;

	for (i = 0; i < MAILBOXES; i++) {
		struct object *left = atomic_load(&workshop->mail[i]);

		if (!left)
			continue;
		verify(workshop, left);
		zs_free(workshop->pool, left->handle);
		free(left);
	}
}

static void work_together(const struct habitat *habitat, enum zs_compaction mode)
{
	struct workshop *workshop = calloc(1, sizeof(*workshop));
	struct zs_pool_options options = {
		.compaction = mode, .map_buffers = 4, .on_misuse = misused, .hook_data = workshop
	};
	struct rng rng = rng_seeded(seed);
	struct zs_pool_stats stats;
	struct rig rig;

	assert_non_null(workshop);
	rig_open(&rig, habitat, &options);
	workshop->pool = rig.pool;
	workshop->fixed = habitat->fixed;
	objects_fill(&workshop->shared, rig.pool, &rng, SHARED, 1, LARGEST);
	run_workers(workshop);
	empty_mailboxes(workshop);
	assert_objects_intact(&workshop->shared, rig.pool);
	objects_free_all(&workshop->shared, rig.pool);
	zs_pool_stats(rig.pool, &stats);
	print_message("%lu verified, %lu bytes compacted, %" PRIu64 " moved, %lu looks\n",
		      atomic_load(&workshop->verified), atomic_load(&workshop->compacted_bytes),
		      stats.moved_objects, atomic_load(&workshop->looks));
	assert_int_equal(atomic_load(&workshop->failures), 0);
	assert_true(atomic_load(&workshop->verified) > operations);
	assert_true(stats.moved_objects > 0);
	assert_true(atomic_load(&workshop->looks) > 0);
	assert_int_equal(stats.objects, 0);
	assert_int_equal(stats.mapped_objects, 0);
	rig_close(&rig);
	free(workshop);
}

static void threads_share_a_pool_that_compacts_by_itself(void **state)
{
	work_together(*state, ZS_COMPACTION_AUTO);
}

static void threads_share_a_pool_that_is_compacted_by_hand(void **state)
{
	work_together(*state, ZS_COMPACTION_MANUAL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		IN_BOTH_HABITATS(threads_share_a_pool_that_compacts_by_itself),
		IN_BOTH_HABITATS(threads_share_a_pool_that_is_compacted_by_hand),
	};

	if (argc > 1)
		operations = strtoul(argv[1], NULL, 0);
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 0);
	print_message("%lu operations a thread, seed %" PRIu64 "\n", operations, seed);
	return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
