/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* The limit: never exceeded, an ordinary error when reached, no trap afterwards. */
#include "testing.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void assert_within_limit(struct zs_pool *pool)
{
	struct zs_pool_stats stats;

	zs_pool_stats(pool, &stats);
	assert_true(stats.total_bytes <= stats.limit_bytes);
	assert_true(stats.peak_bytes <= stats.limit_bytes);
}

static void the_limit_is_reached_but_never_exceeded(void **state)
{
	static const uint64_t limits[] = { 300000, 500000, 1000000, 1 << 20, 3000001, 5 << 20 };
	const struct habitat *habitat = *state;
	size_t i;
	int round;

	for (i = 0; i < COUNT_OF(limits); i++) {
		struct zs_pool_options options = { .limit = limits[i] };
		struct objects objects = { 0 };
		struct rng rng = rng_seeded(i);
		struct rig rig;

		rig_open(&rig, habitat, &options);
		for (round = 0; round < 20; round++) {
			uint32_t largest = rng_between(&rng, 1, 4096);

			assert_int_equal(objects_fill_up(&objects, rig.pool, &rng, 1, largest),
					 ENOSPC);
			assert_int_equal(zs_last_error(rig.pool), ENOSPC);
			assert_within_limit(rig.pool);
			assert_objects_intact(&objects, rig.pool);
			objects_free_random(&objects, rig.pool, &rng, rng_between(&rng, 1, 100));
			if (round % 3 == 0)
				zs_compact(rig.pool);
			assert_within_limit(rig.pool);
			assert_healthy(rig.pool);
		}
		objects_free_all(&objects, rig.pool);
		rig_close(&rig);
	}
}

static void a_limit_can_be_lowered_below_what_is_held_and_raised(void **state)
{
	struct zs_pool_options options = { .compaction = ZS_COMPACTION_MANUAL };
	const struct habitat *habitat = *state;
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(77);
	struct zs_pool_stats stats;
	struct rig rig;
	uint64_t held;

	rig_open(&rig, habitat, &options);
	while (zs_get_total_size_bytes(rig.pool) < MIB(2))
		assert_true(objects_add(&objects, rig.pool, rng_between(&rng, 1, 4096)));
	held = zs_get_total_size_bytes(rig.pool);

	zs_set_limit(rig.pool, held / 2);
	zs_pool_stats(rig.pool, &stats);
	assert_int_equal(stats.limit_bytes, held / 2 & ~(uint64_t)(stats.page_size - 1));
	assert_healthy(rig.pool);
	/* What is free among what is held may be used; no page is taken. */
	assert_int_equal(objects_fill_up(&objects, rig.pool, &rng, 4000, 4096), ENOSPC);
	assert_int_equal(zs_get_total_size_bytes(rig.pool), held);
	while (objects.count)
		objects_free_random(&objects, rig.pool, &rng, 100);
	zs_compact(rig.pool);
	assert_true(objects_fill_up(&objects, rig.pool, &rng, 1, 4096) == ENOSPC);
	assert_true(zs_get_total_size_bytes(rig.pool) <= stats.limit_bytes);
	assert_healthy(rig.pool);

	zs_set_limit(rig.pool, 0);
	zs_pool_stats(rig.pool, &stats);
	assert_int_equal(stats.limit_bytes, 0);
	while (zs_get_total_size_bytes(rig.pool) <= held)
		assert_true(objects_add(&objects, rig.pool, 4000));
	assert_objects_intact(&objects, rig.pool);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

static void most_of_the_limit_can_be_used_for_objects(void **state)
{
	struct zs_pool_options options = { .limit = MIB(8) };
	const struct habitat *habitat = *state;
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(30);
	struct rig rig;
	size_t size;

	only_for_small_pages(*state);
	rig_open(&rig, habitat, &options);
	objects_fill_up(&objects, rig.pool, &rng, 500, 1500);
	for (size = 1500; size > 50; size -= 50) {
		while (objects_add(&objects, rig.pool, size))
			;
	}
	assert_true(objects_payload(&objects) > MIB(7));
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

static void a_refused_call_changes_nothing(void **state)
{
	struct zs_pool_options options = { .limit = MIB(1), .compaction = ZS_COMPACTION_MANUAL };
	const struct habitat *habitat = *state;
	struct zs_pool_stats before, after;
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(31);
	unsigned refused = 0;
	struct rig rig;
	size_t size;

	rig_open(&rig, habitat, &options);
	objects_fill_up(&objects, rig.pool, &rng, 1, 4096);
	for (size = 1; size <= 4096; size++) {
		zs_handle handle;

		zs_pool_stats(rig.pool, &before);
		errno = 0;
		handle = zs_malloc(rig.pool, size);
		zs_pool_stats(rig.pool, &after);
		if (handle) {
			assert_int_equal(after.objects, before.objects + 1);
			zs_free(rig.pool, handle);
			continue;
		}
		refused++;
		assert_int_equal(errno, ENOSPC);
		assert_same_stats(&before, &after);
	}
	assert_true(refused > 100);
	assert_healthy(rig.pool);
	assert_objects_intact(&objects, rig.pool);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

static void after_frees_new_objects_fit_again(void **state)
{
	struct zs_pool_options options = { .limit = MIB(1) };
	const struct habitat *habitat = *state;
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(32);
	struct rig rig;
	size_t full;
	int i;

	rig_open(&rig, habitat, &options);
	assert_int_equal(objects_fill_up(&objects, rig.pool, &rng, 1000, 1000), ENOSPC);
	full = objects.count;
	for (i = 0; i < 500; i++) {
		objects_free_random(&objects, rig.pool, &rng, 10);
		assert_int_equal(objects_fill_up(&objects, rig.pool, &rng, 1000, 1000), ENOSPC);
		assert_true(objects.count > full * 95 / 100);
	}
	assert_objects_intact(&objects, rig.pool);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

static void freeing_everything_gives_everything_back(void **state)
{
	struct zs_pool_options options = { .limit = MIB(4) };
	const struct habitat *habitat = *state;
	struct objects objects = { 0 };
	struct zs_pool_stats stats;
	size_t first = 0;
	struct rig rig;
	int round;

	only_for_small_pages(*state);
	rig_open(&rig, habitat, &options);
	for (round = 0; round < 5; round++) {
		struct rng rng = rng_seeded(33);

		assert_int_equal(objects_fill_up(&objects, rig.pool, &rng, 1, 4096), ENOSPC);
		if (round == 0)
			first = objects.count;
		assert_true(objects.count >= first * 98 / 100);
		objects_free_all(&objects, rig.pool);
		zs_pool_stats(rig.pool, &stats);
		assert_int_equal(stats.objects, 0);
		assert_int_equal(stats.object_bytes, 0);
		assert_true(stats.total_bytes <= KIB(256));
	}
	rig_close(&rig);
}

/* What each of the threads that fill a pool to its limit works with. */
struct filler {
	struct zs_pool *pool;
	uint64_t seed;
	bool failed;
};

static void *fill_and_free(void *data)
{
	struct filler *filler = data;
	struct rng rng = rng_seeded(filler->seed);
	zs_handle handles[1500];
	size_t count = 0;
	int round;

	for (round = 0; round < 10; round++) {
		while (count < COUNT_OF(handles)) {
			handles[count] = zs_malloc(filler->pool, rng_between(&rng, 1, 4096));
			if (!handles[count])
				break;
			count++;
		}
		if (count < COUNT_OF(handles) && errno != ENOSPC)
			filler->failed = true;
		while (count > COUNT_OF(handles) / 8)
			zs_free(filler->pool, handles[--count]);
	}
	while (count)
		zs_free(filler->pool, handles[--count]);
	return NULL;
}

static void eight_threads_together_do_not_exceed_it(void **state)
{
	enum { THREADS = 8 };
	struct zs_pool_options options = { .limit = MIB(4) };
	const struct habitat *habitat = *state;
	struct filler fillers[THREADS];
	pthread_t threads[THREADS];
	struct zs_pool_stats stats;
	struct rig rig;
	uint64_t i;

	rig_open(&rig, habitat, &options);
	for (i = 0; i < THREADS; i++) {
		fillers[i] = (struct filler){ .pool = rig.pool, .seed = i };
		assert_int_equal(pthread_create(&threads[i], NULL, fill_and_free, &fillers[i]), 0);
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_false(fillers[i].failed);
	}
	zs_pool_stats(rig.pool, &stats);
	assert_int_equal(stats.objects, 0);
	assert_true(stats.peak_bytes <= stats.limit_bytes);
	assert_true(stats.peak_bytes > stats.limit_bytes * 3 / 4);
	rig_close(&rig);
}

/* Takes and gives back pages until told to end. */
struct churner {
	struct zs_pool *pool;
	_Atomic bool done;
};

static void *churn_pages(void *data)
{
	struct churner *churner = data;
	zs_handle handles[64];

	while (!churner->done) {
		size_t count = 0;

		while (count < COUNT_OF(handles) &&
		       (handles[count] = zs_malloc(churner->pool, 4096)) != 0)
			count++;
		while (count)
			zs_free(churner->pool, handles[--count]);
	}
	return NULL;
}

/* Whether the pool was seen to grow above a limit of ten pages after that was set. */
static bool grows_above_new_limit(struct zs_pool *pool, size_t page_size)
{
	uint64_t limit = 10 * page_size, least;

	zs_set_limit(pool, limit);
	least = zs_get_total_size_bytes(pool);
	for (int i = 0; i < 20; i++) {
		uint64_t total = zs_get_total_size_bytes(pool);

		if (total > least && total > limit)
			return true;
		if (total < least)
			least = total;
	}
	return false;
}

static void a_limit_holds_from_the_moment_it_is_set(void **state)
{
	enum { THREADS = 3, SETTINGS = 150000 };
	struct zs_pool_options options = { .compaction = ZS_COMPACTION_MANUAL };
	const struct habitat *habitat = *state;
	struct churner churner = { .done = false };
	struct rng rng = rng_seeded(79);
	pthread_t threads[THREADS];
	struct zs_pool_stats stats;
	unsigned above = 0;
	struct rig rig;

	rig_open(&rig, habitat, &options);
	churner.pool = rig.pool;
	zs_pool_stats(rig.pool, &stats);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn_pages, &churner), 0);
	for (int i = 0; i < SETTINGS; i++) {
		zs_set_limit(rig.pool, 0);
		/* Let them get under way, each time to another point. */
		for (uint32_t wait = rng_below(&rng, 300); wait; wait--)
			(void)zs_get_total_pages(rig.pool);
		above += grows_above_new_limit(rig.pool, stats.page_size);
	}
	churner.done = true;
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(above, 0);
	zs_set_limit(rig.pool, 0);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BOTH_HABITATS(the_limit_is_reached_but_never_exceeded),
		IN_BOTH_HABITATS(a_limit_can_be_lowered_below_what_is_held_and_raised),
		IN_BOTH_HABITATS(most_of_the_limit_can_be_used_for_objects),
		IN_BOTH_HABITATS(a_refused_call_changes_nothing),
		IN_BOTH_HABITATS(after_frees_new_objects_fit_again),
		IN_BOTH_HABITATS(freeing_everything_gives_everything_back),
		IN_BOTH_HABITATS(eight_threads_together_do_not_exceed_it),
		IN_BOTH_HABITATS(a_limit_holds_from_the_moment_it_is_set),
	};

	return cmocka_run_group_tests_name("limit", tests, NULL, NULL);
}
