/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Eight threads allocate, free, map in all modes, read, write and verify; objects
 * change hands; some are used by all at the same time. Meanwhile one thread
 * compacts, one looks at the figures and checks, one sets limits. In debug builds
 * locks that are taken in the wrong order end the program.
 * Usage: test_threads [--seconds N] [operations a thread [seed]]
 * The operations are shared out among four pools: both habitats, compacted by
 * themselves and by hand.
 */
#include "testing.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/core.h"
#include "form.h"

enum {
	WORKERS = 8,
	OWN = 300,
	SHARED = 32,
	MAILBOXES = 32,
	LARGEST = 3000,
	POOLS = 4,
	STRIDE = 16
};

static struct form form;

enum kind {
	MALLOC,
	MALLOC_REFUSED, /* the limit was reached */
	FREE,
	MAP_RO,
	MAP_RW,
	MAP_WO,
	MAP_REFUSED, /* no map buffer, or the limit leaves no counter for a seventh map */
	READ,
	WRITE,
	SIZE,
	REPLACE, /* an object that all use gets another size */
	COMPACT,
	STATS,
	KINDS
};

static const char *const kind_names[KINDS] = {
	[MALLOC] = "malloc",
	[MALLOC_REFUSED] = "malloc refused",
	[FREE] = "free",
	[MAP_RO] = "map RO",
	[MAP_RW] = "map RW",
	[MAP_WO] = "map WO",
	[MAP_REFUSED] = "map refused",
	[READ] = "obj_read",
	[WRITE] = "obj_write",
	[SIZE] = "object_size",
	[REPLACE] = "replace",
	[COMPACT] = "compact_some",
	[STATS] = "stats",
};

/*
 * An object that all use. Who uses it (from map to unmap) holds users for reading, who gives it
 * another place for writing. Its contents, size and version (tag) are guarded by bytes: the
 * allocator keeps no reader from a writer.
 */
struct common {
	pthread_rwlock_t users;
	pthread_rwlock_t bytes;
	struct object object;
	_Atomic(const void *) seen_at; /* its address when it was last used */
	/*
	 * Where objects may straddle, what is mapped is a copy: then some are only mapped,
	 * others only read and written by zs_obj_read_begin() and zs_obj_write().
	 */
	bool may_map, may_copy;
};

struct workshop {
	struct zs_pool *pool;
	bool fixed;
	struct common shared[SHARED];
	_Atomic(struct object *) mail[MAILBOXES]; /* from any thread to any other */
	atomic_bool done;
	atomic_ulong steps;
	atomic_ulong failures;
	atomic_ulong found_moved; /* uses of a shared object that had been moved since the last */
	atomic_ulong compactions;
	atomic_ulong checks;
	atomic_ulong limits;
};

struct worker {
	struct workshop *workshop;
	struct rng rng;
	struct object own[OWN];
	size_t count;
	bool shrinking;
	uint64_t next_tag;
	unsigned long done[KINDS];
	unsigned char bytes[4096 + 1096]; /* for zs_obj_write(), and copies of what straddles */
};

static void complain(struct workshop *workshop, const char *what)
{
	if (atomic_fetch_add(&workshop->failures, 1) < 10)
		print_error("%s (errno %d)\n", what, errno);
}

/* --- one object, nobody else there --- */

/* With a few map buffers shared by all it may take several tries. */
static void *map_patiently(struct worker *worker, zs_handle handle, enum zs_mapmode mode)
{
	struct workshop *workshop = worker->workshop;
	void *mem;

	for (;;) {
		errno = 0;
		mem = zs_map_object(workshop->pool, handle, mode);
		if (mem || errno != EBUSY || !workshop->fixed)
			break;
		worker->done[MAP_REFUSED]++;
		sched_yield();
	}
	if (!mem)
		complain(workshop, "cannot map");
	return mem;
}

static void verify(struct worker *worker, const struct object *object)
{
	struct workshop *workshop = worker->workshop;
	const void *mem;

	if (rng_percent(&worker->rng, 50)) {
		mem = map_patiently(worker, object->handle, ZS_MM_RO);
		if (!mem)
			return;
		worker->done[MAP_RO]++;
		if (!pattern_holds(mem, object->size, object->tag))
			complain(workshop, "wrong contents");
		zs_unmap_object(workshop->pool, object->handle);
		return;
	}
	void *copy = zs_obj_read_begin(workshop->pool, object->handle, worker->bytes);
	worker->done[READ]++;
	if (!copy || !pattern_holds(copy, object->size, object->tag))
		complain(workshop, "wrong contents read");
	zs_obj_read_end(workshop->pool, object->handle, copy);
}

static void rewrite(struct worker *worker, struct object *object)
{
	struct workshop *workshop = worker->workshop;
	uint64_t tag = worker->next_tag++;

	if (rng_percent(&worker->rng, 30)) {
		pattern_fill(worker->bytes, object->size, tag);
		zs_obj_write(workshop->pool, object->handle, worker->bytes, object->size);
		worker->done[WRITE]++;
	} else {
		void *mem = map_patiently(worker, object->handle, ZS_MM_WO);

		if (!mem)
			return;
		worker->done[MAP_WO]++;
		pattern_fill(mem, object->size, tag);
		zs_unmap_object(workshop->pool, object->handle);
	}
	object->tag = tag;
}

/* Allocates and writes; false if the limit says no. */
static bool make(struct worker *worker, struct object *object)
{
	object->size = rng_between(&worker->rng, 1, LARGEST);
	errno = 0;
	object->handle = zs_malloc(worker->workshop->pool, object->size);
	if (!object->handle) {
		worker->done[MALLOC_REFUSED]++;
		if (errno != ENOSPC)
			complain(worker->workshop, "cannot allocate");
		return false;
	}
	worker->done[MALLOC]++;
	rewrite(worker, object);
	return true;
}

static void drop(struct worker *worker, const struct object *object)
{
	verify(worker, object);
	zs_free(worker->workshop->pool, object->handle);
	worker->done[FREE]++;
}

/* --- objects of one's own --- */

static void make_one(struct worker *worker)
{
	worker->count += make(worker, &worker->own[worker->count]);
}

static void free_one(struct worker *worker, size_t index)
{
	drop(worker, &worker->own[index]);
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
	drop(worker, found);
	free(found);
}

static void use_own(struct worker *worker)
{
	size_t index = rng_below(&worker->rng, (uint32_t)worker->count);
	struct object *object = &worker->own[index];
	uint32_t dice = rng_below(&worker->rng, 100);

	if (dice < 15) {
		exchange_one(worker, index);
	} else if (dice < 55) {
		verify(worker, object);
	} else if (dice < 95) {
		rewrite(worker, object);
	} else {
		if (zs_object_size(worker->workshop->pool, object->handle) < object->size)
			complain(worker->workshop, "smaller than it was asked for");
		worker->done[SIZE]++;
	}
}

/* --- objects of all --- */

static void note_place(struct workshop *workshop, struct common *common, const void *mem)
{
	const void *before = atomic_exchange(&common->seen_at, mem);

	if (before && before != mem)
		atomic_fetch_add(&workshop->found_moved, 1);
}

static void check_common(struct workshop *workshop, const struct common *common, const void *mem)
{
	if (!pattern_holds(mem, common->object.size, common->object.tag))
		complain(workshop, "not the version that was written last");
}

/* Others may have it mapped, for the same or something else, and have or free other objects. */
static void linger(struct worker *worker)
{
	if (rng_percent(&worker->rng, 10))
		sched_yield();
}

/* Who maps an object WO, writes all of it before anybody looks. */
static void map_common(struct worker *worker, struct common *common, enum zs_mapmode mode)
{
	static const enum kind kinds[] = {
		[ZS_MM_RO] = MAP_RO, [ZS_MM_RW] = MAP_RW, [ZS_MM_WO] = MAP_WO
	};
	struct workshop *workshop = worker->workshop;

	if (mode == ZS_MM_WO)
		pthread_rwlock_wrlock(&common->bytes);
	errno = 0;
	void *mem = zs_map_object(workshop->pool, common->object.handle, mode);
	if (!mem) {
		worker->done[MAP_REFUSED]++;
		if (errno != ENOMEM && (errno != EBUSY || !workshop->fixed))
			complain(workshop, "cannot map an object of all");
		if (mode == ZS_MM_WO)
			pthread_rwlock_unlock(&common->bytes);
		return;
	}
	worker->done[kinds[mode]]++;
	linger(worker);
	if (mode == ZS_MM_RO)
		pthread_rwlock_rdlock(&common->bytes);
	else if (mode == ZS_MM_RW)
		pthread_rwlock_wrlock(&common->bytes);
	if (!workshop->fixed)
		note_place(workshop, common, mem);
	if (mode != ZS_MM_WO)
		check_common(workshop, common, mem);
	if (mode != ZS_MM_RO)
		pattern_fill(mem, common->object.size, ++common->object.tag);
	pthread_rwlock_unlock(&common->bytes);
	linger(worker);
	zs_unmap_object(workshop->pool, common->object.handle);
}

static void read_common(struct worker *worker, struct common *common)
{
	struct workshop *workshop = worker->workshop;

	pthread_rwlock_rdlock(&common->bytes);
	void *mem = zs_obj_read_begin(workshop->pool, common->object.handle, worker->bytes);
	if (!mem) {
		worker->done[MAP_REFUSED]++;
		pthread_rwlock_unlock(&common->bytes);
		return;
	}
	worker->done[READ]++;
	if (mem != worker->bytes)
		note_place(workshop, common, mem);
	check_common(workshop, common, mem);
	pthread_rwlock_unlock(&common->bytes);
	linger(worker);
	zs_obj_read_end(workshop->pool, common->object.handle, mem);
}

static void write_common(struct worker *worker, struct common *common)
{
	struct object *object = &common->object;

	pthread_rwlock_wrlock(&common->bytes);
	pattern_fill(worker->bytes, object->size, ++object->tag);
	zs_obj_write(worker->workshop->pool, object->handle, worker->bytes, object->size);
	worker->done[WRITE]++;
	pthread_rwlock_unlock(&common->bytes);
}

/* Unless somebody uses it just now. */
static void replace_common(struct worker *worker, struct common *common)
{
	struct object object;

	if (pthread_rwlock_trywrlock(&common->users))
		return;
	if (make(worker, &object)) {
		drop(worker, &common->object);
		common->object = object;
		atomic_store(&common->seen_at, NULL);
		worker->done[REPLACE]++;
	}
	pthread_rwlock_unlock(&common->users);
}

static void use_common(struct worker *worker)
{
	struct common *common = &worker->workshop->shared[rng_below(&worker->rng, SHARED)];
	uint32_t dice = rng_below(&worker->rng, 100);

	if (dice < 5) {
		replace_common(worker, common);
		return;
	}
	pthread_rwlock_rdlock(&common->users);
	if (common->may_map && (!common->may_copy || dice < 65))
		map_common(worker, common, (enum zs_mapmode)rng_below(&worker->rng, 3));
	else if (dice < 80)
		read_common(worker, common);
	else
		write_common(worker, common);
	pthread_rwlock_unlock(&common->users);
}

/* --- the threads --- */

static void compact_some(struct worker *worker)
{
	const struct zs_compact_budget budget = { .bytes = rng_between(&worker->rng, 1, 5000) };

	zs_compact_some(worker->workshop->pool, &budget, NULL);
	worker->done[COMPACT]++;
}

static void look(struct worker *worker)
{
	struct zs_pool *pool = worker->workshop->pool;
	struct zs_class_stats class;

	if (zs_class_stats(pool, rng_below(&worker->rng, zs_class_count(pool)), &class) ||
	    zs_get_total_size_bytes(pool) == 0)
		complain(worker->workshop, "figures");
	worker->done[STATS]++;
}

/* Now most of the steps allocate, now most free: so there is something to compact. */
static void take_step(struct worker *worker)
{
	uint32_t dice = rng_below(&worker->rng, 100);

	if (worker->count == OWN)
		worker->shrinking = true;
	else if (worker->count < OWN / 8)
		worker->shrinking = false;

	if (!worker->count || (worker->count < OWN && dice < (worker->shrinking ? 10 : 35)))
		make_one(worker);
	else if (dice < 45)
		free_one(worker, rng_below(&worker->rng, (uint32_t)worker->count));
	else if (dice < 75)
		use_common(worker);
	else if (dice < 98)
		use_own(worker);
	else if (dice < 99)
		compact_some(worker);
	else
		look(worker);
}

static void *work(void *data)
{
	struct worker *worker = data;

	for (unsigned long i = 0; i < form.count / POOLS; i++) {
		take_step(worker);
		if (i % STRIDE == 0)
			atomic_fetch_add(&worker->workshop->steps, STRIDE);
	}
	while (worker->count)
		free_one(worker, worker->count - 1);
	return NULL;
}

/*
 * What goes on beside the workers keeps pace with them, however fast they are. False: they
 * are done.
 */
static bool wait_for_steps(struct workshop *workshop, unsigned long steps)
{
	unsigned long begin = atomic_load(&workshop->steps);

	while (!atomic_load(&workshop->done) && atomic_load(&workshop->steps) - begin < steps)
		nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
	return !atomic_load(&workshop->done);
}

static void *compact_meanwhile(void *data)
{
	struct workshop *workshop = data;
	struct rng rng = rng_seeded(form.seed);

	do {
		const struct zs_compact_budget budget = { .bytes = rng_between(&rng, 1, 100000) };

		if (rng_percent(&rng, 10))
			zs_compact(workshop->pool);
		else
			zs_compact_some(workshop->pool, &budget, NULL);
		atomic_fetch_add(&workshop->compactions, 1);
	} while (wait_for_steps(workshop, 100));
	return NULL;
}

static void glance_at_zspage(const struct zs_zspage_info *info, void *data)
{
	if (info->objects > info->slots)
		complain(data, "more objects than slots");
}

static void print_broken(const char *what, void *data)
{
	errno = 0;
	complain(data, what);
}

static void *check_meanwhile(void *data)
{
	struct workshop *workshop = data;
	struct zs_pool_stats stats;

	do {
		zs_check(workshop->pool, print_broken, workshop);
		zs_pool_stats(workshop->pool, &stats);
		if (stats.objects < SHARED)
			complain(workshop, "objects are missing from the figures");
		zs_for_each_zspage(workshop->pool, glance_at_zspage, workshop);
		zs_compactable_bytes(workshop->pool);
		atomic_fetch_add(&workshop->checks, 1);
	} while (wait_for_steps(workshop, 500));
	return NULL;
}

/* A limit below what there is is kept to: from then on the pool only shrinks. */
static void *limit_meanwhile(void *data)
{
	struct workshop *workshop = data;
	struct zs_pool *pool = workshop->pool;
	struct rng rng = rng_seeded(form.seed + 77);

	do {
		uint64_t total = zs_get_total_size_bytes(pool);
		uint64_t limit = total / 100 * rng_between(&rng, 70, 130);

		zs_set_limit(pool, limit);
		total = zs_get_total_size_bytes(pool);
		for (int i = 0; i < 10; i++) {
			wait_for_steps(workshop, 30);
			if (zs_get_total_size_bytes(pool) > (total > limit ? total : limit))
				complain(workshop, "the limit is passed");
		}
		zs_set_limit(pool, 0);
		atomic_fetch_add(&workshop->limits, 1);
	} while (wait_for_steps(workshop, 1000));
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

static struct worker *run_workers(struct workshop *workshop)
{
	static void *(*const beside[])(void *) = { compact_meanwhile, check_meanwhile,
						   limit_meanwhile };
	struct worker *workers = calloc(WORKERS, sizeof(*workers));
	pthread_t threads[WORKERS], others[COUNT_OF(beside)];

	assert_non_null(workers);
	for (size_t i = 0; i < COUNT_OF(beside); i++)
		assert_int_equal(pthread_create(&others[i], NULL, beside[i], workshop), 0);
	for (uint64_t i = 0; i < WORKERS; i++) {
		workers[i].workshop = workshop;
		workers[i].rng = rng_seeded(form.seed * WORKERS + i);
		workers[i].next_tag = (i + 1) << 40;
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (size_t i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&workshop->done, true);
	for (size_t i = 0; i < COUNT_OF(beside); i++)
		pthread_join(others[i], NULL);
	return workers;
}

static void open_workshop(struct workshop *workshop, const struct habitat *habitat,
			  struct zs_pool *pool)
{
	struct rng rng = rng_seeded(form.seed);

	workshop->pool = pool;
	workshop->fixed = habitat->fixed;
	for (size_t i = 0; i < SHARED; i++) {
		struct common *common = &workshop->shared[i];

		pthread_rwlock_init(&common->users, NULL);
		pthread_rwlock_init(&common->bytes, NULL);
		common->may_map = !habitat->fixed || i % 2 == 0;
		common->may_copy = !habitat->fixed || i % 2 == 1;
		assert_true(object_make(pool, &common->object, rng_between(&rng, 1, LARGEST), i));
	}
}

static void close_workshop(struct workshop *workshop)
{
	for (size_t i = 0; i < SHARED; i++) {
		struct common *common = &workshop->shared[i];

		assert_true(object_intact(workshop->pool, &common->object));
		object_free(workshop->pool, &common->object);
		pthread_rwlock_destroy(&common->users);
		pthread_rwlock_destroy(&common->bytes);
	}
	for (size_t i = 0; i < MAILBOXES; i++) {
		struct object *left = atomic_load(&workshop->mail[i]);

		if (!left)
			continue;
		assert_true(object_intact(workshop->pool, left));
		object_free(workshop->pool, left);
		free(left);
	}
}

/* Whether all went well; every kind of call has to have been made. */
static void judge(struct workshop *workshop, const struct worker *workers)
{
	unsigned long sums[KINDS] = { 0 };
	struct zs_pool_stats stats;

	for (size_t i = 0; i < WORKERS; i++) {
		for (size_t kind = 0; kind < KINDS; kind++)
			sums[kind] += workers[i].done[kind];
	}
	zs_pool_stats(workshop->pool, &stats);
	for (size_t kind = 0; kind < KINDS; kind++)
		print_message("%s%s %lu", kind ? ", " : "", kind_names[kind], sums[kind]);
	print_message("\n%lu compactions moved %" PRIu64
		      " objects, %lu times one that all use between "
		      "two uses; %lu checks, %lu limits\n",
		      atomic_load(&workshop->compactions), stats.moved_objects,
		      atomic_load(&workshop->found_moved), atomic_load(&workshop->checks),
		      atomic_load(&workshop->limits));
	assert_int_equal(atomic_load(&workshop->failures), 0);
	for (size_t kind = 0; kind < KINDS; kind++)
		assert_true(sums[kind] || kind == MALLOC_REFUSED || kind == MAP_REFUSED);
	assert_true(stats.moved_objects > 0);
	assert_true(atomic_load(&workshop->compactions) > 0);
	assert_true(atomic_load(&workshop->checks) > 0);
	assert_true(atomic_load(&workshop->limits) > 0);
	assert_int_equal(stats.mapped_objects, 0);
}

static void work_together(const struct habitat *habitat, enum zs_compaction mode)
{
	struct workshop *workshop = calloc(1, sizeof(*workshop));
	struct zs_pool_options options = {
		.compaction = mode, .map_buffers = 3, .on_misuse = misused, .hook_data = workshop
	};
	struct zs_pool_stats stats;
	struct rig rig;

	assert_non_null(workshop);
	rig_open(&rig, habitat, &options);
	open_workshop(workshop, habitat, rig.pool);
	struct worker *workers = run_workers(workshop);
	judge(workshop, workers);
	free(workers);
	close_workshop(workshop);
	zs_pool_stats(rig.pool, &stats);
	assert_int_equal(stats.objects, 0);
	assert_int_equal(atomic_load(&workshop->failures), 0);
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

#if ZS_DEBUG

/* --- the order of locks --- */

struct order {
	const char *says; /* in debug builds; NULL: the order is right */
	void (*take)(struct zs_pool *pool, struct shard *first, struct shard *second);
};

static void right_order(struct zs_pool *pool, struct shard *first, struct shard *second)
{
	zs_lock(pool, &first->lock);
	zs_lock(pool, &pool->lock);
	zs_lock(pool, &pool->charge_lock);
	zs_unlock(&pool->charge_lock);
	zs_unlock(&pool->lock);
	zs_unlock(&first->lock);
	zs_lock(pool, &second->lock);
	zs_unlock(&second->lock);
}

static void shard_after_pool(struct zs_pool *pool, struct shard *first, struct shard *second)
{
	(void)second;
	zs_lock(pool, &pool->lock);
	zs_lock(pool, &first->lock);
}

static void two_shards(struct zs_pool *pool, struct shard *first, struct shard *second)
{
	zs_lock(pool, &first->lock);
	zs_lock(pool, &second->lock);
}

static void one_shard_twice(struct zs_pool *pool, struct shard *first, struct shard *second)
{
	(void)second;
	zs_lock(pool, &first->lock);
	zs_lock(pool, &first->lock);
}

static void pool_twice(struct zs_pool *pool, struct shard *first, struct shard *second)
{
	(void)first, (void)second;
	zs_lock(pool, &pool->lock);
	zs_lock(pool, &pool->lock);
}

static void pool_after_charge(struct zs_pool *pool, struct shard *first, struct shard *second)
{
	(void)second;
	zs_lock(pool, &first->lock);
	zs_lock(pool, &pool->charge_lock);
	zs_lock(pool, &pool->lock);
}

static void charge_alone(struct zs_pool *pool, struct shard *first, struct shard *second)
{
	(void)first, (void)second;
	zs_lock(pool, &pool->charge_lock);
}

static void all_after_shard(struct zs_pool *pool, struct shard *first, struct shard *second)
{
	(void)second;
	zs_lock(pool, &first->lock);
	zs_lock_all(pool);
}

static void misuse_with_lock(struct zs_pool *pool, struct shard *first, struct shard *second)
{
	(void)second;
	zs_lock(pool, &first->lock);
	zs_misuse(pool, ZS_MISUSE_CORRUPT, 0);
}

static void call_back(const struct zs_zspage_info *info, void *pool)
{
	(void)info;
	zs_malloc(pool, 1);
}

static void visit_calls_back(struct zs_pool *pool, struct shard *first, struct shard *second)
{
	(void)first, (void)second;
	zs_for_each_zspage(pool, call_back, pool);
}

static void report_back(const char *what, void *pool)
{
	(void)what;
	zs_malloc(pool, 1);
}

static void report_calls_back(struct zs_pool *pool, struct shard *first, struct shard *second)
{
	(void)second;
	first->pinned++; /* so that there is something to report */
	zs_check(pool, report_back, pool);
}

static const struct order orders[] = {
	{ NULL, right_order },
	{ "a shard's lock with the pool's lock", shard_after_pool },
	{ "a shard's lock with a shard's lock", two_shards },
	{ "a shard's lock with a shard's lock", one_shard_twice },
	{ "the pool's lock with the pool's lock", pool_twice },
	{ "the pool's lock with charge_lock", pool_after_charge },
	{ "charge_lock with no other", charge_alone },
	{ "a shard's lock with a shard's lock", all_after_shard },
	{ "a system call or a misuse handler with a shard's lock", misuse_with_lock },
	{ "a shard's lock with a shard's lock", visit_calls_back },
	{ "a shard's lock with the pool's lock", report_calls_back },
};

static int lock_in_order(void *arg)
{
	const struct order *order = arg;
	const struct zs_pool_options options = { .name = "locks" };
	struct zs_pool *pool = zs_create_pool(&options);

	if (!pool || !zs_malloc(pool, 100) || !zs_malloc(pool, 3000))
		return 1;
	struct shard *first = zs_next_shard(pool, NULL);
	order->take(pool, first, zs_next_shard(pool, first));
	return 0;
}

static void locks_in_the_wrong_order_end_a_debug_program(void **state)
{
	struct child child;
	char line[256];
	unsigned noticed = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(orders); i++) {
		struct order order = orders[i];

		run_child(lock_in_order, &order, &child);
		assert_int_equal(child.code, order.says ? -1 : 0);
		assert_int_equal(child.signal, order.says ? SIGABRT : 0);
		snprintf(line, sizeof(line),
			 "zsmalloc: pool \"locks\": locks in the wrong order: %s\n", order.says);
		assert_string_equal(child.text, order.says ? line : "");
		noticed += order.says != NULL;
	}
	print_message("%u wrong orders, all noticed\n", noticed);
}

#endif

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#if ZS_DEBUG
		cmocka_unit_test(locks_in_the_wrong_order_end_a_debug_program),
#endif
		IN_BOTH_HABITATS(threads_share_a_pool_that_compacts_by_itself),
		IN_BOTH_HABITATS(threads_share_a_pool_that_is_compacted_by_hand),
	};
	int failed;

	form = form_parse(argc, argv, UNDER_TSAN || UNDER_ASAN || ZS_DEBUG ? 50000 : 1000000);
	do {
		print_message("%d threads x %lu operations, seed %" PRIu64 "\n", WORKERS,
			      form.count, form.seed);
		failed = cmocka_run_group_tests_name("threads", tests, NULL, NULL);
	} while (!failed && form_again(&form));
	return failed;
}
