/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What programs seldom get to: tables that are full, a lock that is held just
 * then, options at the far end. Some of it can only be brought about from inside.
 */
#include "testing.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/quick.h"

/* --- shards and their tables --- */

static unsigned count_shards(struct zs_pool *pool)
{
	unsigned count = 0;

	for (struct shard *s = zs_next_shard(pool, NULL); s; s = zs_next_shard(pool, s))
		count++;
	return count;
}

/* Debug builds write to what they allocate, sanitizers to more than that: gigabytes here. */
enum { SHARDS = UNDER_ASAN || UNDER_TSAN || ZS_DEBUG || sizeof(void *) == 4 ? 1 : 18 };

/* Four of these are a zspage. They are not touched, so they take addresses only. */
enum { LARGE = 65536, LARGE_A_SHARD = 4 * MAX_ZSPAGES };

/*
 * When the tables of all shards of a run are full another shard is made; room in the shards
 * that are asked comes before a new page; and however many shards there are, what is freed in
 * any of them can be had again.
 */
static void a_run_has_as_many_shards_as_it_needs(void **state)
{
	struct zs_pool_options options = { .max_object_size = LARGE,
					   .compaction = ZS_COMPACTION_MANUAL };
	size_t count = (size_t)SHARDS * LARGE_A_SHARD + 1;
	zs_handle *handles = malloc(count * sizeof(*handles));
	struct rig rig;

	(void)state;
	assert_non_null(handles);
	rig_open(&rig, &process_habitat, &options);
	for (size_t i = 0; i < count; i++) {
		handles[i] = zs_malloc(rig.pool, LARGE);
		assert_true(handles[i]);
		if (i % LARGE_A_SHARD == 0)
			assert_int_equal(count_shards(rig.pool), i / LARGE_A_SHARD + 1);
	}
	assert_healthy(rig.pool);
	uint64_t pages = zs_get_total_pages(rig.pool);
	for (unsigned shard = 0; shard <= SHARDS; shard++) {
		size_t victim = (size_t)shard * LARGE_A_SHARD;

		zs_free(rig.pool, handles[victim]);
		handles[victim] = zs_malloc(rig.pool, LARGE);
		assert_true(handles[victim]);
	}
	/* One shard too many to be asked, so its room was not seen. */
	assert_in_range(zs_get_total_pages(rig.pool), pages - 64, pages + (SHARDS > 16 ? 64 : 0));
	assert_int_equal(count_shards(rig.pool), SHARDS + 1);
	assert_healthy(rig.pool);
	for (size_t i = 0; i < count; i++)
		zs_free(rig.pool, handles[i]);
	rig_close(&rig);
	free(handles);
}

/* Pages that a shard does not fit in: one shard a run, for which memory is set aside. */
static void where_a_run_has_one_shard_its_table_is_the_end(void **state)
{
	struct zs_pool_options options = { .page_size = 256,
					   .max_object_size = 240,
					   .buffer_size = MIB(4),
					   .compaction = ZS_COMPACTION_MANUAL };
	struct objects objects = { 0 };
	struct zs_pool_stats full, stats;
	struct rig rig;

	(void)state;
	rig_open(&rig, &buffer_habitat, &options);
	while (objects_add(&objects, rig.pool, 240))
		;
	assert_int_equal(errno, ENOMEM);
	zs_pool_stats(rig.pool, &full);
	assert_in_range(full.total_bytes, MIB(1), MIB(3));
	assert_int_equal(count_shards(rig.pool), 1);
	assert_healthy(rig.pool);
	/* Nothing is left of what was refused, and it stays refused. */
	for (unsigned i = 0; i < 10; i++) {
		assert_false(objects_add(&objects, rig.pool, 1 + i * 25));
		assert_int_equal(errno, ENOMEM);
	}
	zs_pool_stats(rig.pool, &stats);
	assert_same_stats(&full, &stats);
	/* A small object takes the place of a large one rather than none. */
	objects_remove(&objects, rig.pool, objects.count / 2);
	assert_true(objects_add(&objects, rig.pool, 8));
	assert_false(objects_add(&objects, rig.pool, 8));
	assert_objects_intact(&objects, rig.pool);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

/*
 * The last page of a buffer is one too few for what needs two at once (debug builds have such
 * slots): it is given back, and what fits fits again.
 */
static void what_is_refused_leaves_all_pages_to_others(void **state)
{
	(void)state;
	for (size_t pages = 40; pages < 48; pages++) {
		struct zs_pool_options options = { .buffer_size = pages * 4096,
						   .compaction = ZS_COMPACTION_MANUAL };
		struct objects objects = { 0 };
		struct rng rng = rng_seeded(pages);
		struct rig rig;
		size_t count = 0;

		rig_open(&rig, &buffer_habitat, &options);
		for (unsigned round = 0; round < 4; round++) {
			assert_int_equal(objects_fill_up(&objects, rig.pool, &rng, 4096, 4096),
					 ENOMEM);
			assert_true(objects.count > 20 && (!count || objects.count == count));
			count = objects.count;
			while (objects_add(&objects, rig.pool, 40))
				;
			assert_healthy(rig.pool);
			assert_objects_intact(&objects, rig.pool);
			objects_free_all(&objects, rig.pool);
		}
		objects_forget(&objects);
		rig_close(&rig);
	}
}

/* --- no lock at all --- */

/*
 * In a program of one thread what is usual takes no lock, as it would be let go of then. This
 * test comes first: a program that has had threads may count as one that has.
 */
static void one_who_is_alone_takes_no_lock(void **state)
{
	struct zs_pool_options options = { .compaction = ZS_COMPACTION_MANUAL };
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(1);
	char local[128]; /* such a class is open from the start */
	struct rig rig;

	(void)state;
	rig_open(&rig, &process_habitat, &options);
	/* A handle with a short tag is not usual. */
	if (!zs_is_alone(rig.pool) || rig.pool->short_tag) {
		rig_close(&rig);
		skip();
	}
	objects_fill(&objects, rig.pool, &rng, 50, sizeof(local), sizeof(local));
	struct zs_lock *lock = &zs_next_shard(rig.pool, NULL)->lock;
	store_relaxed(&lock->held, 1);
	for (size_t i = 0; i < 10; i++) {
		zs_handle handle = objects.at[i * 3].handle;

		assert_non_null(zs_map_object(rig.pool, handle, ZS_MM_RO));
		zs_unmap_object(rig.pool, handle);
		assert_true(load_relaxed(&lock->held));
		handle = objects.at[i * 3 + 1].handle;
		assert_non_null(zs_obj_read_begin(rig.pool, handle, local));
		zs_obj_read_end(rig.pool, handle, local);
		assert_true(load_relaxed(&lock->held));
		objects_remove(&objects, rig.pool, i * 3 + 2);
		assert_true(load_relaxed(&lock->held));
		assert_true(objects_add(&objects, rig.pool, sizeof(local)));
		assert_true(load_relaxed(&lock->held));
	}
	store_relaxed(&lock->held, 0);
	assert_objects_intact(&objects, rig.pool);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

/* --- a lock that is held --- */

struct caller {
	struct zs_pool *pool;
	zs_handle handle;
	unsigned lane;
};

static void *allocate(void *arg)
{
	struct caller *caller = arg;

	caller->lane = zs_port_lane() % LANES;
	caller->handle = zs_malloc(caller->pool, 100);
	return NULL;
}

/* Allocates in a thread while the lock is held, which it has to wait for. */
static void collide(struct zs_pool *pool, struct zs_lock *lock)
{
	struct caller caller = { .pool = pool };
	pthread_t thread;

	zs_lock(pool, lock);
	assert_int_equal(pthread_create(&thread, NULL, allocate, &caller), 0);
	while (load_relaxed(&lock->waiters) == 0)
		sched_yield();
	assert_false(caller.handle);
	zs_unlock(lock);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(caller.handle);
}

static void *look_up(void *arg)
{
	const struct caller *caller = arg;

	zs_object_size(caller->pool, caller->handle);
	return NULL;
}

/* Uses a handle in a thread that waits for the lock, which is let go of with *word another. */
static void change_meanwhile(struct rig *rig, zs_handle handle, struct zs_lock *lock,
			     _Atomic uint32_t *word, uint32_t value)
{
	struct caller caller = { .pool = rig->pool, .handle = handle };
	uint32_t before = load_relaxed(word);
	pthread_t thread;

	zs_lock(rig->pool, lock);
	assert_int_equal(pthread_create(&thread, NULL, look_up, &caller), 0);
	while (load_relaxed(&lock->waiters) == 0)
		sched_yield();
	store_relaxed(word, value);
	zs_unlock(lock);
	assert_int_equal(pthread_join(thread, NULL), 0);
	store_relaxed(word, before);
}

/* A handle's block is freed while a call waits for its shard, or freed and made anew. */
static void a_block_that_went_meanwhile_is_not_followed(void **state)
{
	struct rig rig;

	rig_open_tolerant(&rig, *state, NULL);
	zs_handle handle = zs_malloc(rig.pool, 100);
	assert_true(handle);
	struct shard *shard = zs_next_shard(rig.pool, NULL);
	struct handle_block *block = zs_block(rig.pool, shard->blocks);
	change_meanwhile(&rig, handle, &shard->lock, &block->shard, 0);
	assert_one_fault(&rig.faults, ZS_MISUSE_STALE_HANDLE, handle);
	change_meanwhile(&rig, handle, &shard->lock, &block->key, load_relaxed(&block->key) ^ 1);
	assert_one_fault(&rig.faults, ZS_MISUSE_STALE_HANDLE, handle);
	change_meanwhile(&rig, handle, &shard->lock, &block->key, load_relaxed(&block->key));
	assert_no_fault(&rig.faults);
	zs_free(rig.pool, handle);
	rig_close(&rig);
}

/* Threads of all lanes allocate; of those that need the lock of the first shard it is not held. */
static void allocate_in_lanes(struct zs_pool *pool, struct shard *first)
{
	unsigned seen = 0;

	while (seen != (1u << LANES) - 1) {
		struct caller caller = { .pool = pool };
		/* The next thread's lane is not known before it is there: the last one's tells. */
		static unsigned next = 1;
		bool held = next != 0 && seen;
		pthread_t thread;

		if (held)
			zs_lock(pool, &first->lock);
		assert_int_equal(pthread_create(&thread, NULL, allocate, &caller), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		if (held)
			zs_unlock(&first->lock);
		assert_true(caller.handle);
		seen |= 1u << caller.lane;
		next = (caller.lane + 1) % LANES;
	}
}

/* As if threads had waited so long for the shard, and what 64 allocations make of it. */
static void wait_and_allocate(struct zs_pool *pool, struct shard *shard, uint32_t rounds)
{
	store_relaxed(&shard->lock.rounds, rounds);
	for (unsigned i = 0; i < 64; i++)
		assert_true(zs_malloc(pool, 100));
	assert_int_equal(load_relaxed(&shard->lock.rounds), 0);
}

/* Who has to wait for a lock leaves word of how long. */
static void waiting_is_counted(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig, &buffer_habitat, NULL);
	assert_true(zs_malloc(rig.pool, 100));
	struct shard *shard = zs_next_shard(rig.pool, NULL);
	for (unsigned k = 0; load_relaxed(&shard->lock.rounds) == 0; k++) {
		assert_true(k < 1000);
		collide(rig.pool, &shard->lock);
	}
	assert_int_equal(load_relaxed(&shard->lock.waiters), 0);
	rig_close(&rig);
}

/*
 * Threads that wait long enough divide a run among them, but where it has one shard only:
 * then those of other lanes allocate while the lock of the first shard is held.
 */
static void waiting_divides_where_shards_can_be_made(void **state)
{
	static const size_t page_sizes[] = { 4096, 256 };

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(page_sizes); i++) {
		struct zs_pool_options options = { .page_size = page_sizes[i] };
		struct rig rig;

		rig_open(&rig, &buffer_habitat, &options);
		assert_true(zs_malloc(rig.pool, 100));
		struct shard *shard = zs_next_shard(rig.pool, NULL);
		struct run *run = &rig.pool->runs[shard->run];
		wait_and_allocate(rig.pool, shard, FORGIVEN + SPREAD_AFTER / 2);
		wait_and_allocate(rig.pool, shard, FORGIVEN + SPREAD_AFTER);
		assert_int_equal(load_relaxed(&run->crowding),
				 page_sizes[i] == 256 ? 0 : SPREAD_AFTER);
		if (page_sizes[i] != 256) {
			/* What is divided stays so. */
			wait_and_allocate(rig.pool, shard, 0);
			assert_int_equal(load_relaxed(&run->crowding), SPREAD_AFTER);
			allocate_in_lanes(rig.pool, shard);
			assert_int_equal(count_shards(rig.pool), LANES);
		}
		assert_healthy(rig.pool);
		rig_close(&rig);
	}
}

static void *allocate_some(void *pool)
{
	for (unsigned i = 0; i < 10; i++)
		assert_true(zs_malloc(pool, 500));
	return NULL;
}

/* As many threads as there are lanes are one of each. */
static void allocate_in_each_lane(struct zs_pool *pool)
{
	for (unsigned i = 0; i < LANES; i++) {
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, allocate_some, pool), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
	}
}

/*
 * At the limit the room of any lane will do for an object, whether or not its own has a shard:
 * compaction of the whole pool, which went before, is no work for each allocation.
 */
static void at_the_limit_lanes_share_before_they_compact(void **state)
{
	/* It never begins by itself. */
	const struct zs_pool_options options = { .compaction_slack = 1024 };

	(void)state;
	for (unsigned own = 0; own < 2; own++) {
		struct objects objects = { 0 };
		struct zs_pool_stats stats;
		struct rig rig;
		struct rng rng = rng_seeded(own);

		rig_open(&rig, &buffer_habitat, &options);
		objects_fill(&objects, rig.pool, &rng, 2000, 500, 500);
		struct run *run = &rig.pool->runs[zs_next_shard(rig.pool, NULL)->run];
		store_relaxed(&run->crowding, SPREAD_AFTER);
		if (own)
			allocate_in_each_lane(rig.pool);
		assert_int_equal(count_shards(rig.pool), own ? LANES : 1);
		zs_set_limit(rig.pool, zs_get_total_size_bytes(rig.pool));
		for (unsigned i = 0; i < 80; i++)
			objects_remove(&objects, rig.pool, i * 20);
		assert_true(zs_compactable_bytes(rig.pool));
		allocate_in_each_lane(rig.pool);
		zs_pool_stats(rig.pool, &stats);
		assert_int_equal(stats.moved_objects, 0);
		assert_int_equal(stats.compacted_pages, 0);
		assert_healthy(rig.pool);
		objects_forget(&objects);
		rig_close(&rig);
	}
}

/* Who waits a little now and then shares a shard, and its half-used pages, for ever. */
static void waiting_now_and_then_is_forgiven(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig, &buffer_habitat, NULL);
	assert_true(zs_malloc(rig.pool, 100));
	struct shard *shard = zs_next_shard(rig.pool, NULL);
	struct run *run = &rig.pool->runs[shard->run];
	for (unsigned k = 0; k < 100; k++) {
		wait_and_allocate(rig.pool, shard, 2 * FORGIVEN);
		assert_int_equal(load_relaxed(&run->crowding), FORGIVEN);
		wait_and_allocate(rig.pool, shard, 0);
		assert_int_equal(load_relaxed(&run->crowding), 0);
	}
	assert_int_equal(count_shards(rig.pool), 1);
	assert_healthy(rig.pool);
	rig_close(&rig);
}

/* --- what zs_check() must not be led astray by --- */

/* Makes one thing wrong, sees zs_check() complain and come to an end, and puts it right again. */
static void assert_noticed(struct zs_pool *pool, const char *what, void *at, size_t size,
			   uint64_t value)
{
	uint64_t right = 0;

	memcpy(&right, at, size);
	assert_memory_not_equal(at, &value, size);
	memcpy(at, &value, size);
	if (!zs_check(pool, NULL, NULL)) {
		print_error("%s: not noticed\n", what);
		fail();
	}
	memcpy(at, &right, size);
	assert_healthy(pool);
}

#define NOTICED(pool, lvalue, wrong) \
	assert_noticed(pool, #lvalue " = " #wrong, &(lvalue), sizeof(lvalue), wrong)

/* Three zspages of the largest class; the second one goes again, so its table entry is free. */
static struct shard *make_three(struct zs_pool *pool)
{
	zs_handle handles[192];
	unsigned slots = 0;
	struct shard *shard;

	handles[0] = zs_malloc(pool, pool->max_object_size);
	assert_true(handles[0]);
	shard = zs_next_shard(pool, NULL);
	slots = shard->class[zs_zspage(pool, shard, 0)->class].slots;
	assert_in_range(slots, 2, COUNT_OF(handles) / 3);
	for (unsigned i = 1; i < 3 * slots; i++) {
		handles[i] = zs_malloc(pool, pool->max_object_size);
		assert_true(handles[i]);
	}
	for (unsigned i = slots - 1; i < 2 * slots; i++)
		zs_free(pool, handles[i]);
	assert_int_equal(shard->nzspages, 3);
	assert_int_equal(shard->free_zspage, 2);
	return shard;
}

static void zspages_that_lead_astray_are_noticed(void **state)
{
	struct zs_pool_options options = { .max_object_size = 60000,
					   .compaction = ZS_COMPACTION_MANUAL };
	struct rig rig;

	(void)state;
	rig_open_tolerant(&rig, &process_habitat, &options);
	struct zs_pool *pool = rig.pool;
	struct shard *shard = make_three(pool);
	struct zspage *zspage = zs_zspage(pool, shard, 0);
	struct size_class *class = &shard->class[zspage->class];
	struct handle_block *block = zs_block(pool, shard->blocks);
	uint32_t *entry = zs_entry(pool, block, bit_first(block->live[0]));

	NOTICED(pool, class->head[zspage->group], 2);
	NOTICED(pool, shard->free_zspage, 4u);
	NOTICED(pool, *zs_table(pool, shard, 1), ZTAB_FREE | 2);
	NOTICED(pool, *zs_table(pool, shard, 0), load_relaxed(&pool->meta_end));
	NOTICED(pool, zspage->class, SHARD_CLASSES - 1);
	NOTICED(pool, zspage->hint, 100);
	NOTICED(pool, *entry, (*entry & ~LOC_MASK) | 1u << SLOT_BITS);
	/* Nor is it followed when its object is freed. */
	zs_handle handle =
		zs_handle_of(pool, shard->blocks, bit_first(block->live[0]), *entry >> GEN_SHIFT);
	uint32_t right = *entry;
	*entry = (right & ~LOC_MASK) | 1u << SLOT_BITS;
	zs_free(pool, handle);
	assert_one_fault(&rig.faults, ZS_MISUSE_CORRUPT, handle);
	*entry = right;
	NOTICED(pool, shard->open, shard->open | UINT32_C(1) << (SHARD_CLASSES - 1));
	NOTICED(pool, shard->run, pool->nruns);
	rig_close(&rig);
}

static void blocks_that_lead_astray_are_noticed(void **state)
{
	const struct habitat *habitat = *state;
	struct rig rig;

	rig_open(&rig, habitat, NULL);
	struct zs_pool *pool = rig.pool;
	zs_handle handle = zs_malloc(pool, 50);
	assert_true(handle);
	struct shard *shard = zs_next_shard(pool, NULL);
	struct handle_block *block = zs_block(pool, shard->blocks);
	uint32_t end = load_relaxed(&pool->meta_end);

	NOTICED(pool, block->cap, pool->block_handles + 1);
	NOTICED(pool, block->cap, pool->block_handles - 1);
	NOTICED(pool, block->live[LIVE_WORDS - 1], UINT32_C(1) << 31);
	NOTICED(pool, block->next, shard->blocks);
	NOTICED(pool, shard->blocks, end);
	NOTICED(pool, shard->blocks, (uint32_t)(pool->page_size >> REF_SHIFT) * 2 - 1);
	zs_free(pool, handle);
	assert_int_equal(block->nlive, 0);
	NOTICED(pool, shard->hand, 0);
	rig_close(&rig);
}

static void pages_that_lead_astray_are_noticed(void **state)
{
	const struct habitat *habitat = *state;
	uint32_t chunk = sizeof(struct handle_block) / 8;
	struct rig rig;

	rig_open(&rig, habitat, NULL);
	struct zs_pool *pool = rig.pool;
	assert_true(zs_malloc(pool, 50));
	struct meta_page *meta = zs_meta_page(pool, pool->block_list);
	uint32_t *first = (uint32_t *)(void *)((char *)meta + META_HEAD +
					       (size_t)(meta->first_free - 1) * chunk * 8);

	NOTICED(pool, *first, meta->first_free);
	NOTICED(pool, meta->nfree, 0);
	NOTICED(pool, meta->nfree, meta->nchunks);
	NOTICED(pool, meta->next, pool->block_list);
	NOTICED(pool, pool->block_list, pool->port->meta_pages);
	NOTICED(pool, pool->chunk_lists[200], pool->block_list);
	NOTICED(pool, pool->chunk_lists[200], pool->port->meta_pages);
	rig_close(&rig);
}

/* A zspage is kept when it is empty; without saying so it is one that was forgotten. */
static void an_empty_zspage_that_is_not_kept_is_noticed(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig, &process_habitat, NULL);
	zs_free(rig.pool, zs_malloc(rig.pool, 50));
	struct shard *shard = zs_next_shard(rig.pool, NULL);
	struct zspage *zspage = zs_zspage(rig.pool, shard, 0);
	assert_int_equal(zspage->flags, ZSPAGE_KEPT);
	NOTICED(rig.pool, zspage->flags, 0);
	rig_close(&rig);
}

/* --- debug builds --- */

#if ZS_DEBUG
/* What lies behind an object is looked at to its last byte, by every call that could. */
static void a_footer_that_was_written_to_is_noticed(void **state)
{
	const struct habitat *habitat = *state;
	struct rig rig;

	rig_open_tolerant(&rig, habitat, NULL);
	zs_handle handle = zs_malloc(rig.pool, 50);
	assert_true(handle);
	size_t size = zs_object_size(rig.pool, handle);
	for (size_t byte = size; byte < size + ZS_FOOTER; byte++) {
		unsigned char *bytes = zs_map_object(rig.pool, handle, ZS_MM_RW);

		assert_non_null(bytes);
		/* The sum and the mark that the object was written to are made anew. */
		if (byte >= size + 8 && byte < size + 14) {
			zs_unmap_object(rig.pool, handle);
			continue;
		}
		bytes[byte] ^= 0x80;
		zs_unmap_object(rig.pool, handle);
		assert_one_fault(&rig.faults, ZS_MISUSE_OVERRUN, handle);
		assert_int_equal(zs_check(rig.pool, NULL, NULL), 1);
		zs_obj_write(rig.pool, handle, "x", 1);
		assert_one_fault(&rig.faults, ZS_MISUSE_OVERRUN, handle);
		zs_free(rig.pool, handle);
		assert_one_fault(&rig.faults, ZS_MISUSE_OVERRUN, handle);
		bytes[byte] ^= 0x80;
	}
	/* To write while it is mapped to be read is no fault: it was not written through the map. */
	assert_non_null(zs_map_object(rig.pool, handle, ZS_MM_RO));
	zs_obj_write(rig.pool, handle, "x", 1);
	zs_unmap_object(rig.pool, handle);
	rig_close(&rig);
}
#endif

/* --- what is said --- */

static void what_is_broken_is_counted_without_a_report_too(void **state)
{
	const struct habitat *habitat = *state;
	struct rig rig;

	rig_open(&rig, habitat, NULL);
	assert_true(zs_malloc(rig.pool, 1));
	rig.pool->meta_pages++;
	assert_true(zs_check(rig.pool, NULL, NULL) > 0);
	rig.pool->meta_pages--;
	assert_int_equal(zs_check(rig.pool, NULL, NULL), 0);
	rig_close(&rig);
}

static int free_twice_in_silence(void *arg)
{
	struct zs_pool *pool = zs_create_pool(NULL);
	zs_handle handle = pool ? zs_malloc(pool, 1) : 0;

	(void)arg;
	if (!handle)
		return 1;
	close(STDERR_FILENO);
	zs_free(pool, handle);
	zs_free(pool, handle);
	return 0;
}

static void misuse_ends_the_process_though_nobody_can_be_told(void **state)
{
	struct child child;

	(void)state;
	run_child(free_twice_in_silence, NULL, &child);
	assert_int_equal(child.signal, SIGABRT);
	assert_int_equal(child.text_bytes, 0);
}

static void a_name_that_is_too_long_is_cut(void **state)
{
	struct zs_pool_options options = { .name = "a name that is rather too long for a pool" };
	const struct habitat *habitat = *state;
	char expected[200];
	struct rig rig;

	rig_open_tolerant(&rig, habitat, &options);
	zs_free(rig.pool, 8);
	assert_int_equal(rig.faults.count, 1);
	snprintf(expected, sizeof(expected),
		 "zsmalloc: pool \"%.31s\": handle 0x8: ", options.name);
	assert_memory_equal(rig.faults.message, expected, strlen(expected));
	rig.faults.count = 0;
	rig_close(&rig);
}

/* --- options and sizes --- */

static void assert_no_pool(const struct zs_pool_options *options)
{
	errno = 0;
	assert_null(zs_create_pool(options));
	assert_int_equal(errno, EINVAL);
	assert_int_equal(zs_last_error(NULL), ZS_EINVAL);
}

static void a_size_without_a_buffer_is_refused(void **state)
{
	(void)state;
	assert_no_pool(&(struct zs_pool_options){ .buffer_size = 65536 });
}

/* Its pages could not be numbered. The memory that there is not is not looked at. */
static void a_buffer_of_too_many_pages_is_refused(void **state)
{
	struct zs_pool_options options = { .page_size = 256 };
	void *memory = malloc(65536);

	(void)state;
	assert_non_null(memory);
	options.buffer = memory;
	if (sizeof(size_t) > 4) {
		options.buffer_size = (size_t)-65536;
		assert_no_pool(&options);
		options.buffer_size = ((size_t)(UINT32_C(1) << 30) << 8) + 512;
		assert_no_pool(&options);
	}
	options.buffer_size = 256;
	assert_no_pool(&options);
	free(memory);
}

/* References to metadata have 31 bits. Nothing but the buffer's begin is touched. */
static void a_buffer_of_more_than_16_gib_is_refused(void **state)
{
	struct zs_pool_options options = { .page_size = 4096 };
	size_t size = sizeof(size_t) > 4 ? (size_t)(UINT64_C(17) << 30) : 0;
	void *memory;

	(void)state;
	if (!size)
		skip();
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		skip();
	options.buffer = memory;
	options.buffer_size = size;
	assert_no_pool(&options);
	options.buffer_size = (size_t)(UINT64_C(16) << 30);
	struct zs_pool *pool = zs_create_pool(&options);
	assert_non_null(pool);
	assert_true(zs_malloc(pool, 1));
	assert_healthy(pool);
	zs_destroy_pool(pool);
	munmap(memory, size);
}

static void no_class_is_huge_if_no_object_is(void **state)
{
	struct zs_pool_options options = { .max_object_size = 1000 };
	const struct habitat *habitat = *state;
	struct rig rig;

	rig_open(&rig, habitat, &options);
	assert_int_equal(zs_huge_class_size(rig.pool), 4096);
	rig_close(&rig);
}

/* --- maps --- */

/* A reader of an object that lies on two pages has a copy, and no map buffer to be put back. */
static void a_reader_may_unmap_like_everybody(void **state)
{
	const struct habitat *habitat = *state;
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(5);
	struct rig rig;
	char copy[4096]; /* as much as a slot may have */

	rig_open(&rig, habitat, NULL);
	objects_fill(&objects, rig.pool, &rng, 50, 2500, 3000);
	for (size_t i = 0; i < objects.count; i++) {
		assert_non_null(zs_obj_read_begin(rig.pool, objects.at[i].handle, copy));
		zs_unmap_object(rig.pool, objects.at[i].handle);
	}
	assert_objects_intact(&objects, rig.pool);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

/* The seventh map of an object needs memory for a counter. */
static void more_maps_than_an_entry_counts_may_be_refused(void **state)
{
	struct zs_pool_options options = { .map_buffers = 8 };
	const struct habitat *habitat = *state;
	char copy[4096];
	struct rig rig;

	rig_open(&rig, habitat, &options);
	zs_handle handle = zs_malloc(rig.pool, 100);
	assert_true(handle);
	for (unsigned i = 1; i < PINS_MANY; i++)
		assert_non_null(zs_map_object(rig.pool, handle, ZS_MM_RO));
	zs_set_limit(rig.pool, zs_get_total_size_bytes(rig.pool));
	errno = 0;
	assert_null(zs_map_object(rig.pool, handle, ZS_MM_RO));
	assert_int_equal(errno, ENOMEM);
	errno = 0;
	assert_null(zs_obj_read_begin(rig.pool, handle, copy));
	assert_int_equal(errno, ENOMEM);
	assert_healthy(rig.pool);
	zs_set_limit(rig.pool, 0);
	assert_non_null(zs_obj_read_begin(rig.pool, handle, copy));
	zs_obj_read_end(rig.pool, handle, copy);
	for (unsigned i = 1; i < PINS_MANY; i++)
		zs_unmap_object(rig.pool, handle);
	zs_free(rig.pool, handle);
	rig_close(&rig);
}

/* --- handles that nobody was given --- */

/* Wherever a handle leads in the pages of the allocator's own data, also to a page's last bytes. */
static void a_number_that_leads_into_metadata_is_no_handle(void **state)
{
	const struct habitat *habitat = *state;
	struct rig rig;

	rig_open_tolerant(&rig, habitat, NULL);
	zs_handle handle = zs_malloc(rig.pool, 50);
	assert_true(handle);
	uint32_t end = load_relaxed(&rig.pool->meta_end) + 1000;
	for (zs_handle ref = 1; ref < end; ref++) {
		zs_handle forged = ref << INDEX_BITS;

		if (forged == handle)
			continue;
		zs_free(rig.pool, forged);
		/* Where handles have no tag, a place where a block is passes for an old handle. */
		enum zs_misuse fault = ZS_MISUSE_BAD_HANDLE;
		if (!rig.pool->tag_bits && rig.faults.fault == ZS_MISUSE_STALE_HANDLE)
			fault = ZS_MISUSE_STALE_HANDLE;
		assert_one_fault(&rig.faults, fault, forged);
	}
	/* Genuine in all, but that no block has so many handles. */
	struct shard *shard = zs_next_shard(rig.pool, NULL);
	for (unsigned index = rig.pool->block_handles; index < 1u << INDEX_BITS; index++) {
		zs_handle forged = zs_handle_of(rig.pool, shard->blocks, index, 0);

		zs_free(rig.pool, forged);
		assert_one_fault(&rig.faults, ZS_MISUSE_STALE_HANDLE, forged);
	}
	zs_free(rig.pool, handle);
	rig_close(&rig);
}

/*
 * Pages of 1 KiB are cut into blocks without a rest. So the last one of the highest page of
 * metadata ends where the metadata does, if pages that became free below it serve for the rest.
 */
static void the_last_block_of_the_metadata_is_a_block(void **state)
{
	struct zs_pool_options options = { .page_size = 1024,
					   .buffer_size = MIB(1),
					   .compaction = ZS_COMPACTION_MANUAL };
	struct objects objects = { 0 }, below = { 0 };
	struct rng rng = rng_seeded(7);
	struct rig rig;
	zs_ref hand, end;

	(void)state;
	assert_int_equal((options.page_size - META_HEAD) % sizeof(struct handle_block), 0);
	rig_open(&rig, &buffer_habitat, &options);
	objects_fill(&objects, rig.pool, &rng, 1, 16, 16);
	struct shard *shard = zs_next_shard(rig.pool, NULL);
	objects_fill(&below, rig.pool, &rng, 300, 1024, 1024);
	do {
		assert_true(objects_add(&objects, rig.pool, 16));
		hand = shard->hand;
		end = load_relaxed(&rig.pool->meta_end);
		if (end - hand < options.page_size >> REF_SHIFT)
			objects_free_all(&below, rig.pool);
	} while (hand + sizeof(struct handle_block) / 8 < end);
	assert_objects_intact(&objects, rig.pool);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_who_is_alone_takes_no_lock),
		cmocka_unit_test(a_run_has_as_many_shards_as_it_needs),
		cmocka_unit_test(where_a_run_has_one_shard_its_table_is_the_end),
		cmocka_unit_test(what_is_refused_leaves_all_pages_to_others),
		IN_BOTH_HABITATS(a_block_that_went_meanwhile_is_not_followed),
		cmocka_unit_test(waiting_is_counted),
		cmocka_unit_test(waiting_divides_where_shards_can_be_made),
		cmocka_unit_test(waiting_now_and_then_is_forgiven),
		cmocka_unit_test(at_the_limit_lanes_share_before_they_compact),
		cmocka_unit_test(zspages_that_lead_astray_are_noticed),
		IN_BOTH_HABITATS(blocks_that_lead_astray_are_noticed),
		IN_BOTH_HABITATS(pages_that_lead_astray_are_noticed),
		cmocka_unit_test(an_empty_zspage_that_is_not_kept_is_noticed),
#if ZS_DEBUG
		IN_BOTH_HABITATS(a_footer_that_was_written_to_is_noticed),
#endif
		IN_BOTH_HABITATS(what_is_broken_is_counted_without_a_report_too),
		cmocka_unit_test(misuse_ends_the_process_though_nobody_can_be_told),
		IN_BOTH_HABITATS(a_name_that_is_too_long_is_cut),
		cmocka_unit_test(a_size_without_a_buffer_is_refused),
		cmocka_unit_test(a_buffer_of_too_many_pages_is_refused),
		cmocka_unit_test(a_buffer_of_more_than_16_gib_is_refused),
		IN_BOTH_HABITATS(no_class_is_huge_if_no_object_is),
		IN_BOTH_HABITATS(a_reader_may_unmap_like_everybody),
		IN_BOTH_HABITATS(more_maps_than_an_entry_counts_may_be_refused),
		IN_BOTH_HABITATS(a_number_that_leads_into_metadata_is_no_handle),
		cmocka_unit_test(the_last_block_of_the_metadata_is_a_block),
	};

	return cmocka_run_group_tests_name("branches", tests, NULL, NULL);
}
