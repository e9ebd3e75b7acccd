/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* Compaction: predicted, budgeted, resumable, and by itself when automatic. */
#include "testing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { OBJECTS = 20000, SMALLEST = 200, LARGEST = 600 };

static const struct zs_pool_options manual = { .compaction = ZS_COMPACTION_MANUAL };

/* The same sparse pool each time: three quarters of its objects were freed at random. */
static void make_sparse(struct objects *objects, struct zs_pool *pool)
{
	struct rng rng = rng_seeded(20);

	objects_fill(objects, pool, &rng, OBJECTS, SMALLEST, LARGEST);
	objects_free_random(objects, pool, &rng, 75);
}

static uint64_t moved_objects(struct zs_pool *pool)
{
	struct zs_pool_stats stats;

	zs_pool_stats(pool, &stats);
	return stats.moved_objects;
}

static void compaction_gives_back_what_was_predicted(void **state)
{
	const struct habitat *habitat = *state;
	struct objects objects = { 0 };
	struct zs_pool_stats before, after;
	uint64_t predicted, given;
	struct rig rig;

	only_for_small_pages(*state);
	rig_open(&rig, habitat, &manual);
	make_sparse(&objects, rig.pool);
	zs_pool_stats(rig.pool, &before);
	predicted = zs_compactable_bytes(rig.pool);
	assert_int_equal(zs_compactable_bytes(rig.pool), predicted);
	given = zs_compact(rig.pool);
	zs_pool_stats(rig.pool, &after);
	assert_int_equal(given, predicted);
	assert_int_equal((before.data_pages - after.data_pages) * after.page_size, given);
	assert_true(before.total_bytes - after.total_bytes >= given);
	assert_int_equal((after.compacted_pages - before.compacted_pages) * after.page_size, given);
	assert_true(given > MIB(2));
	assert_true(after.data_pages * after.page_size < objects_payload(&objects) * 5 / 4);
	assert_int_equal(after.objects, before.objects);
	assert_objects_intact(&objects, rig.pool);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

static void the_prediction_holds_for_many_pools(void **state)
{
	const struct habitat *habitat = *state;
	uint64_t seed;

	for (seed = 0; seed < 40; seed++) {
		struct rng rng = rng_seeded(seed);
		struct objects objects = { 0 };
		uint32_t smallest = rng_between(&rng, 1, 3000);
		uint64_t predicted, before;
		struct rig rig;

		rig_open(&rig, habitat, &manual);
		objects_fill(&objects, rig.pool, &rng, rng_between(&rng, 1, 3000), smallest,
			     rng_between(&rng, smallest, 4096));
		objects_free_random(&objects, rig.pool, &rng, rng_between(&rng, 0, 99));
		predicted = zs_compactable_bytes(rig.pool);
		before = zs_get_total_size_bytes(rig.pool);
		assert_int_equal(zs_compact(rig.pool), predicted);
		assert_true(before - zs_get_total_size_bytes(rig.pool) >= predicted);
		assert_objects_intact(&objects, rig.pool);
		assert_healthy(rig.pool);
		objects_free_all(&objects, rig.pool);
		rig_close(&rig);
	}
}

static void a_compacted_pool_is_left_alone(void **state)
{
	const struct habitat *habitat = *state;
	struct zs_compact_result result;
	struct objects objects = { 0 };
	uint64_t moved;
	struct rig rig;

	rig_open(&rig, habitat, &manual);
	make_sparse(&objects, rig.pool);
	zs_compact(rig.pool);
	moved = moved_objects(rig.pool);
	assert_true(moved > 0);
	assert_int_equal(zs_compactable_bytes(rig.pool), 0);
	assert_int_equal(zs_compact(rig.pool), 0);
	assert_int_equal(zs_compact_some(rig.pool, NULL, &result), 0);
	assert_int_equal(result.moved_bytes, 0);
	assert_int_equal(result.moved_objects, 0);
	assert_int_equal(result.freed_bytes, 0);
	assert_int_equal(result.remaining_bytes, 0);
	assert_int_equal(result.skipped_zspages, 0);
	assert_int_equal(moved_objects(rig.pool), moved);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

static void an_empty_pool_has_nothing_to_compact(void **state)
{
	const struct habitat *habitat = *state;
	struct rig rig;

	rig_open(&rig, habitat, NULL);
	assert_int_equal(zs_compactable_bytes(rig.pool), 0);
	assert_int_equal(zs_compact(rig.pool), 0);
	assert_int_equal(zs_compact_some(rig.pool, NULL, NULL), 0);
	rig_close(&rig);
}

static void a_class_with_nothing_to_gain_is_not_touched(void **state)
{
	const struct habitat *habitat = *state;
	struct objects objects = { 0 };
	struct rig rig;
	size_t size;

	rig_open(&rig, habitat, &manual);
	assert_true(objects_add(&objects, rig.pool, 64));
	size = zs_object_size(rig.pool, objects.at[0].handle);
	while (objects.count < 1000)
		assert_true(objects_add(&objects, rig.pool, size));
	/* One hole in an early page: no move frees a page. */
	objects_remove(&objects, rig.pool, 100);
	assert_int_equal(zs_compactable_bytes(rig.pool), 0);
	assert_int_equal(zs_compact(rig.pool), 0);
	assert_int_equal(moved_objects(rig.pool), 0);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

static void compaction_of_one_class_leaves_the_others_in_place(void **state)
{
	enum { DENSE = 2000 };
	struct objects dense = { 0 }, sparse = { 0 };
	struct rng rng = rng_seeded(21);
	void **mems = calloc(DENSE, sizeof(*mems));
	struct rig rig;
	size_t i;

	(void)state;
	assert_non_null(mems);
	rig_open(&rig, &process_habitat, &manual);
	while (dense.count < DENSE)
		assert_true(objects_add(&dense, rig.pool, 64));
	while (sparse.count < 10000)
		assert_true(objects_add(&sparse, rig.pool, 256));
	objects_free_random(&sparse, rig.pool, &rng, 60);
	for (i = 0; i < DENSE; i++) {
		mems[i] = zs_map_object(rig.pool, dense.at[i].handle, ZS_MM_RO);
		zs_unmap_object(rig.pool, dense.at[i].handle);
	}
	assert_true(zs_compact(rig.pool) > MIB(1));
	for (i = 0; i < DENSE; i++) {
		assert_ptr_equal(zs_map_object(rig.pool, dense.at[i].handle, ZS_MM_RO), mems[i]);
		zs_unmap_object(rig.pool, dense.at[i].handle);
	}
	assert_objects_intact(&dense, rig.pool);
	assert_objects_intact(&sparse, rig.pool);
	objects_free_all(&dense, rig.pool);
	objects_free_all(&sparse, rig.pool);
	rig_close(&rig);
	free(mems);
}

static uint64_t compact_at_once(const struct habitat *habitat, struct zs_pool_stats *stats)
{
	struct objects objects = { 0 };
	uint64_t given;
	struct rig rig;

	rig_open(&rig, habitat, &manual);
	make_sparse(&objects, rig.pool);
	given = zs_compact(rig.pool);
	zs_pool_stats(rig.pool, stats);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
	return given;
}

static size_t largest_slot(struct zs_pool *pool)
{
	struct zs_class_stats class;
	size_t largest = 0;
	unsigned i;

	for (i = 0; i < zs_class_count(pool); i++) {
		assert_int_equal(zs_class_stats(pool, i, &class), 0);
		if (class.objects)
			largest = class.size;
	}
	return ZS_DEBUG ? largest + 64 : largest; /* its guard bytes move along */
}

/* One step; its result keeps to the budget. Returns what the call returned. */
static int take_step(struct zs_pool *pool, uint64_t bytes, struct zs_compact_result *result)
{
	const struct zs_compact_budget budget = { .bytes = bytes };
	uint64_t total = zs_get_total_size_bytes(pool);
	uint64_t moved = moved_objects(pool);
	size_t largest = largest_slot(pool);
	int more;

	memset(result, 0xFF, sizeof(*result));
	more = zs_compact_some(pool, &budget, result);
	assert_true(result->moved_bytes < bytes + largest);
	assert_true(result->moved_bytes >= result->moved_objects * SMALLEST);
	assert_int_equal(moved_objects(pool) - moved, result->moved_objects);
	assert_true(total - zs_get_total_size_bytes(pool) >= result->freed_bytes);
	assert_int_equal(result->remaining_bytes, zs_compactable_bytes(pool));
	assert_int_equal(result->skipped_zspages, 0);
	if (more)
		assert_true(result->moved_bytes >= bytes);
	else
		assert_int_equal(result->remaining_bytes, 0);
	return more;
}

static void steps_to_a_budget_reach_what_one_compaction_reaches(void **state)
{
	static const uint64_t budgets[] = { 1, 1000, 4096, 50000, 1000000 };
	const struct habitat *habitat = *state;
	struct zs_pool_stats at_once, stepwise;
	uint64_t given = compact_at_once(habitat, &at_once);
	size_t i;

	for (i = 0; i < COUNT_OF(budgets); i++) {
		struct zs_compact_result result;
		struct objects objects = { 0 };
		uint64_t sum = 0;
		unsigned steps = 0;
		struct rig rig;
		int more;

		rig_open(&rig, habitat, &manual);
		make_sparse(&objects, rig.pool);
		do {
			more = take_step(rig.pool, budgets[i], &result);
			sum += result.freed_bytes;
			assert_true(steps++ < OBJECTS);
			if (steps % 1000 == 1)
				assert_healthy(rig.pool);
		} while (more);
		assert_true(steps > 1);
		assert_int_equal(sum, given);
		zs_pool_stats(rig.pool, &stepwise);
		assert_int_equal(stepwise.total_bytes, at_once.total_bytes);
		assert_int_equal(stepwise.data_pages, at_once.data_pages);
		assert_objects_intact(&objects, rig.pool);
		objects_free_all(&objects, rig.pool);
		rig_close(&rig);
	}
}

static void steps_go_on_between_other_calls(void **state)
{
	const struct zs_compact_budget budget = { .bytes = 2000 };
	const struct habitat *habitat = *state;
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(22);
	struct zs_compact_result result;
	struct rig rig;
	int i;

	rig_open(&rig, habitat, &manual);
	make_sparse(&objects, rig.pool);
	for (i = 0; i < 3000; i++) {
		zs_compact_some(rig.pool, &budget, &result);
		objects_remove(&objects, rig.pool, rng_below(&rng, (uint32_t)objects.count));
		objects_fill(&objects, rig.pool, &rng, 1, SMALLEST, LARGEST);
		if (i % 200 == 0)
			assert_healthy(rig.pool);
	}
	assert_true(result.remaining_bytes < MIB(1) / 2);
	assert_objects_intact(&objects, rig.pool);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

static void a_budget_of_time_makes_progress_too(void **state)
{
	const struct zs_compact_budget budget = { .nanoseconds = 1 };
	const struct habitat *habitat = *state;
	struct objects objects = { 0 };
	struct zs_compact_result result;
	uint64_t given, sum = 0;
	unsigned steps = 0;
	struct rig rig;
	int more;

	rig_open(&rig, habitat, &manual);
	make_sparse(&objects, rig.pool);
	given = zs_compactable_bytes(rig.pool);
	do {
		more = zs_compact_some(rig.pool, &budget, &result);
		sum += result.freed_bytes;
		assert_true(steps++ < 2 * OBJECTS);
	} while (more);
	assert_int_equal(sum, given);
	assert_true(habitat->fixed ? steps == 1 : steps > 1);
	assert_objects_intact(&objects, rig.pool);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

static void without_a_budget_one_call_does_all(void **state)
{
	const struct zs_compact_budget unbounded = { 0 };
	const struct habitat *habitat = *state;
	struct objects objects = { 0 };
	struct zs_compact_result result;
	uint64_t predicted;
	struct rig rig;

	rig_open(&rig, habitat, &manual);
	make_sparse(&objects, rig.pool);
	predicted = zs_compactable_bytes(rig.pool);
	assert_int_equal(zs_compact_some(rig.pool, &unbounded, &result), 0);
	assert_int_equal(result.freed_bytes, predicted);
	assert_int_equal(result.remaining_bytes, 0);
	assert_true(result.moved_objects > 0);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

static void pinned_zspages_are_counted_and_predicted_as_if_free(void **state)
{
	struct zs_pool_options options = { .compaction = ZS_COMPACTION_MANUAL, .map_buffers = 64 };
	const struct habitat *habitat = *state;
	struct objects objects = { 0 };
	struct zs_compact_result result;
	uint64_t unpinned, remaining;
	struct rig rig;
	size_t i;

	rig_open(&rig, habitat, &options);
	make_sparse(&objects, rig.pool);
	unpinned = zs_compactable_bytes(rig.pool);
	for (i = 0; i < 60; i++)
		assert_non_null(zs_map_object(rig.pool, objects.at[i * 80].handle, ZS_MM_RO));
	assert_int_equal(zs_compactable_bytes(rig.pool), unpinned);
	assert_int_equal(zs_compact_some(rig.pool, NULL, &result), 0);
	assert_true(result.skipped_zspages > 0 && result.skipped_zspages <= 60);
	assert_true(result.freed_bytes > 0 && result.freed_bytes < unpinned);
	for (i = 0; i < 60; i++)
		zs_unmap_object(rig.pool, objects.at[i * 80].handle);
	remaining = zs_compactable_bytes(rig.pool);
	assert_int_equal(remaining, result.remaining_bytes);
	assert_true(remaining > 0);
	assert_int_equal(zs_compact(rig.pool), remaining);
	assert_objects_intact(&objects, rig.pool);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

static void freed_pages_can_be_used_by_other_sizes(void **state)
{
	struct zs_pool_options options = { .compaction = ZS_COMPACTION_MANUAL,
					   .limit = MIB(4),
					   .buffer_size = MIB(4) };
	const struct habitat *habitat = *state;
	struct objects small = { 0 }, large = { 0 };
	struct rng rng = rng_seeded(23);
	struct rig rig;
	size_t before;

	rig_open(&rig, habitat, &options);
	objects_fill_up(&small, rig.pool, &rng, 100, 300);
	objects_free_random(&small, rig.pool, &rng, 75);
	objects_fill_up(&large, rig.pool, &rng, 2500, 2600);
	before = large.count;
	assert_true(zs_compact(rig.pool) > MIB(1));
	objects_fill_up(&large, rig.pool, &rng, 2500, 2600);
	assert_true(large.count > before + MIB(2) / 2600);
	assert_objects_intact(&small, rig.pool);
	assert_objects_intact(&large, rig.pool);
	objects_free_all(&small, rig.pool);
	objects_free_all(&large, rig.pool);
	rig_close(&rig);
}

/*
 * Frees a random three quarters, then replaces half as many as are left, one by
 * one; returns the footprint in percent of the payload. No explicit compaction.
 */
static unsigned footprint_after_frees(const struct habitat *habitat, enum zs_compaction mode)
{
	struct zs_pool_options options = { .compaction = mode, .buffer_size = MIB(32) };
	struct rng rng = rng_seeded(24);
	struct objects objects = { 0 };
	struct zs_pool_stats stats;
	struct rig rig;
	unsigned percent;
	size_t i;

	rig_open(&rig, habitat, &options);
	objects_fill(&objects, rig.pool, &rng, 40000, 300, 700);
	objects_free_random(&objects, rig.pool, &rng, 75);
	for (i = 0; i < 5000; i++) {
		objects_remove(&objects, rig.pool, rng_below(&rng, (uint32_t)objects.count));
		objects_fill(&objects, rig.pool, &rng, 1, 300, 700);
	}
	assert_objects_intact(&objects, rig.pool);
	zs_pool_stats(rig.pool, &stats);
	assert_true(mode == ZS_COMPACTION_MANUAL ? stats.moved_objects == 0
						 : stats.moved_objects > 0);
	percent = (unsigned)(stats.total_bytes * 100 / objects_payload(&objects));
	print_message("footprint is %u %% of the payload\n", percent);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
	return percent;
}

static void automatic_compaction_keeps_the_footprint_near_the_payload(void **state)
{
	only_for_small_pages(*state);
	assert_true(footprint_after_frees(*state, ZS_COMPACTION_AUTO) <= 125);
}

/* What a pool holds that was churned, in percent of its objects. */
static uint64_t footprint_of_churn(const struct habitat *habitat, unsigned slack)
{
	struct zs_pool_options options = { .compaction_slack = slack };
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(78);
	struct rig rig;
	uint64_t percent;

	rig_open(&rig, habitat, &options);
	objects_fill(&objects, rig.pool, &rng, 4000, 100, 2000);
	for (int i = 0; i < 100; i++) {
		objects_free_random(&objects, rig.pool, &rng, 10);
		while (objects.count < 4000)
			objects_fill(&objects, rig.pool, &rng, 1, 100, 2000);
	}
	percent = zs_get_total_size_bytes(rig.pool) * 100 / objects_payload(&objects);
	assert_healthy(rig.pool);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
	return percent;
}

static void less_slack_makes_a_churned_pool_denser(void **state)
{
	uint64_t tight = footprint_of_churn(*state, 1), wide = footprint_of_churn(*state, 512);

	print_message("slack 1: %llu %%, slack 512: %llu %%\n", (unsigned long long)tight,
		      (unsigned long long)wide);
	assert_true(tight + 2 <= wide);
}

/* A page that is given back is soon wanted again where there are few objects. */
static void few_objects_that_come_and_go_are_left_in_peace(void **state)
{
	enum { LIVE = 64, REPLACED = 20000 };
	struct rng rng = rng_seeded(79);
	struct objects objects = { 0 };
	struct zs_pool_stats stats;
	struct rig rig;

	rig_open(&rig, *state, NULL);
	objects_fill(&objects, rig.pool, &rng, LIVE, 32, 2048);
	for (unsigned i = 0; i < REPLACED; i++) {
		objects_remove(&objects, rig.pool, rng_below(&rng, LIVE));
		objects_fill(&objects, rig.pool, &rng, 1, 32, 2048);
	}
	zs_pool_stats(rig.pool, &stats);
	print_message("%llu pages given back by compaction\n",
		      (unsigned long long)stats.compacted_pages);
	assert_true(stats.compacted_pages < REPLACED / 40);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

/* A program of one thread finds what it mapped last without a look at the handle. */
static void what_was_mapped_last_is_found_where_it_was_moved(void **state)
{
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(80);
	struct rig rig;
	size_t moved = 0;

	rig_open(&rig, *state, &manual);
	for (int round = 0; round < 50; round++) {
		objects_fill(&objects, rig.pool, &rng, 400, SMALLEST, LARGEST);
		objects_free_random(&objects, rig.pool, &rng, 75);
		const struct object *last = &objects.at[0];
		const void *before = zs_map_object(rig.pool, last->handle, ZS_MM_RO);
		zs_unmap_object(rig.pool, last->handle);
		zs_compact(rig.pool);
		const void *after = zs_map_object(rig.pool, last->handle, ZS_MM_RO);
		moved += before != after;
		zs_unmap_object(rig.pool, last->handle);
		assert_objects_intact(&objects, rig.pool);
		objects_free_all(&objects, rig.pool);
	}
	print_message("moved %zu times of 50\n", moved);
	assert_true(moved > 0);
	rig_close(&rig);
}

static void manual_compaction_leaves_the_pool_sparse(void **state)
{
	assert_true(footprint_after_frees(*state, ZS_COMPACTION_MANUAL) >= 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BOTH_HABITATS(compaction_gives_back_what_was_predicted),
		IN_BOTH_HABITATS(the_prediction_holds_for_many_pools),
		IN_BOTH_HABITATS(a_compacted_pool_is_left_alone),
		IN_BOTH_HABITATS(an_empty_pool_has_nothing_to_compact),
		IN_BOTH_HABITATS(a_class_with_nothing_to_gain_is_not_touched),
		cmocka_unit_test(compaction_of_one_class_leaves_the_others_in_place),
		IN_BOTH_HABITATS(steps_to_a_budget_reach_what_one_compaction_reaches),
		IN_BOTH_HABITATS(steps_go_on_between_other_calls),
		IN_BOTH_HABITATS(a_budget_of_time_makes_progress_too),
		IN_BOTH_HABITATS(without_a_budget_one_call_does_all),
		IN_BOTH_HABITATS(pinned_zspages_are_counted_and_predicted_as_if_free),
		IN_BOTH_HABITATS(freed_pages_can_be_used_by_other_sizes),
		IN_BOTH_HABITATS(automatic_compaction_keeps_the_footprint_near_the_payload),
		IN_BOTH_HABITATS(less_slack_makes_a_churned_pool_denser),
		IN_BOTH_HABITATS(few_objects_that_come_and_go_are_left_in_peace),
		IN_BOTH_HABITATS(what_was_mapped_last_is_found_where_it_was_moved),
		IN_BOTH_HABITATS(manual_compaction_leaves_the_pool_sparse),
	};

	return cmocka_run_group_tests_name("compact", tests, NULL, NULL);
}
