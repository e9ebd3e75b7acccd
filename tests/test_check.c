/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* zs_check() finds nothing to complain of in pools that were used rightly. */
#include "testing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void count_report(const char *what, void *data)
{
	print_error("zs_check: %s\n", what);
	++*(unsigned *)data;
}

static void assert_nothing_broken(struct zs_pool *pool)
{
	unsigned reports = 0;

	assert_int_equal(zs_check(pool, count_report, &reports), 0);
	assert_int_equal(reports, 0);
	assert_int_equal(zs_check(pool, NULL, NULL), 0);
}

static void a_fresh_pool_is_sound(void **state)
{
	const struct habitat *habitat = *state;
	struct rig rig;

	rig_open(&rig, habitat, NULL);
	assert_nothing_broken(rig.pool);
	rig_close(&rig);
}

static void a_pool_is_sound_after_each_of_many_calls(void **state)
{
	const struct habitat *habitat = *state;
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(60);
	struct rig rig;
	int i;

	rig_open(&rig, habitat, NULL);
	for (i = 0; i < 3000; i++) {
		if (objects.count == 0 || rng_percent(&rng, i < 1500 ? 60 : 40))
			objects_fill(&objects, rig.pool, &rng, 1, 1, 4096);
		else
			objects_remove(&objects, rig.pool,
				       rng_below(&rng, (uint32_t)objects.count));
		if (rng_percent(&rng, 2))
			zs_compact(rig.pool);
		assert_nothing_broken(rig.pool);
	}
	assert_objects_intact(&objects, rig.pool);
	objects_free_all(&objects, rig.pool);
	assert_nothing_broken(rig.pool);
	rig_close(&rig);
}

static void a_pool_is_sound_while_objects_are_mapped(void **state)
{
	struct zs_pool_options options = { .map_buffers = 8 };
	const struct habitat *habitat = *state;
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(61);
	struct rig rig;
	size_t i, k;

	rig_open(&rig, habitat, &options);
	objects_fill(&objects, rig.pool, &rng, 2000, 1, 4096);
	for (i = 0; i < 8; i++) {
		for (k = 0; k <= i; k++)
			assert_non_null(zs_map_object(rig.pool, objects.at[i * 200].handle,
						      k % 2 ? ZS_MM_RO : ZS_MM_RW));
		assert_nothing_broken(rig.pool);
		zs_compact(rig.pool);
		assert_nothing_broken(rig.pool);
	}
	for (i = 0; i < 8; i++) {
		for (k = 0; k <= i; k++)
			zs_unmap_object(rig.pool, objects.at[i * 200].handle);
		assert_nothing_broken(rig.pool);
	}
	assert_objects_intact(&objects, rig.pool);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

static void a_pool_is_sound_after_failed_calls(void **state)
{
	struct zs_pool_options options = { .limit = KIB(512) };
	const struct habitat *habitat = *state;
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(62);
	struct rig rig;
	int i;

	rig_open_tolerant(&rig, habitat, &options);
	for (i = 0; i < 100; i++) {
		objects_fill_up(&objects, rig.pool, &rng, 1, 2000);
		assert_nothing_broken(rig.pool);
		assert_int_equal(zs_malloc(rig.pool, 0), 0);
		assert_int_equal(zs_malloc(rig.pool, SIZE_MAX), 0);
		assert_null(zs_map_object(rig.pool, 12345, ZS_MM_RW));
		zs_unmap_object(rig.pool, objects.at[0].handle);
		assert_int_equal(rig.faults.count, 2);
		rig.faults.count = 0;
		assert_nothing_broken(rig.pool);
		objects_free_random(&objects, rig.pool, &rng, 30);
		assert_nothing_broken(rig.pool);
	}
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

static void checking_changes_nothing(void **state)
{
	const struct habitat *habitat = *state;
	struct zs_pool_stats before, after;
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(63);
	struct rig rig;

	rig_open(&rig, habitat, NULL);
	objects_fill(&objects, rig.pool, &rng, 2000, 1, 4096);
	objects_free_random(&objects, rig.pool, &rng, 50);
	zs_pool_stats(rig.pool, &before);
	assert_nothing_broken(rig.pool);
	zs_pool_stats(rig.pool, &after);
	assert_same_stats(&before, &after);
	assert_objects_intact(&objects, rig.pool);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BOTH_HABITATS(a_fresh_pool_is_sound),
		IN_BOTH_HABITATS(a_pool_is_sound_after_each_of_many_calls),
		IN_BOTH_HABITATS(a_pool_is_sound_while_objects_are_mapped),
		IN_BOTH_HABITATS(a_pool_is_sound_after_failed_calls),
		IN_BOTH_HABITATS(checking_changes_nothing),
	};

	return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}
