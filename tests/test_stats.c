/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* The figures add up, in every state of a pool, and from every side. */
#include "testing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What zs_for_each_zspage() shows of one class, or of all. */
struct sums {
	uint64_t zspages;
	uint64_t objects;
	uint64_t pages;
	uint64_t bands[ZS_FULLNESS_BANDS];
};

/* Filled by see_zspage(); classes come in ascending order. */
struct seen {
	struct sums all;
	struct sums *classes;
	unsigned count;
	unsigned last_class;
	unsigned wrong;
};

static void add_zspage(struct sums *sums, const struct zs_zspage_info *info)
{
	sums->zspages++;
	sums->objects += info->objects;
	sums->pages += info->pages;
	sums->bands[info->objects * 10 / info->slots]++;
}

static void see_zspage(const struct zs_zspage_info *info, void *data)
{
	struct seen *seen = data;

	if (info->class_index >= seen->count || info->class_index < seen->last_class ||
	    info->slots == 0 || info->objects > info->slots || info->pages > info->pages_max ||
	    info->class_size == 0) {
		seen->wrong++;
		return;
	}
	seen->last_class = info->class_index;
	add_zspage(&seen->all, info);
	add_zspage(&seen->classes[info->class_index], info);
}

static void assert_class_as_seen(const struct zs_class_stats *class, const struct sums *seen)
{
	uint64_t zspages = 0;
	unsigned band;

	assert_int_equal(class->objects, seen->objects);
	assert_int_equal(class->pages, seen->pages);
	for (band = 0; band < ZS_FULLNESS_BANDS; band++) {
		assert_int_equal(class->zspages[band], seen->bands[band]);
		zspages += class->zspages[band];
	}
	assert_int_equal(zspages, seen->zspages);
	assert_true(class->pages <= zspages * class->pages_per_zspage);
	assert_true(class->objects + class->free_slots <= zspages * class->objs_per_zspage);
	assert_true(class->objs_per_zspage >= 1);
	assert_true(class->open <= 1);
	assert_true(class->reclaimable_bytes <= class->pages * 65536);
}

/* Everything that must agree, for a pool that no other thread uses meanwhile. */
static void assert_figures_agree(struct zs_pool *pool)
{
	uint64_t objects = 0, object_bytes = 0, free_bytes = 0, pages = 0, reclaimable = 0;
	struct zs_pool_stats stats;
	struct seen seen = { .count = zs_class_count(pool) };
	unsigned i;

	seen.classes = calloc(seen.count, sizeof(*seen.classes));
	assert_non_null(seen.classes);
	zs_for_each_zspage(pool, see_zspage, &seen);
	assert_int_equal(seen.wrong, 0);
	zs_pool_stats(pool, &stats);
	for (i = 0; i < seen.count; i++) {
		struct zs_class_stats class;

		assert_int_equal(zs_class_stats(pool, i, &class), 0);
		assert_class_as_seen(&class, &seen.classes[i]);
		objects += class.objects;
		object_bytes += class.objects * class.size;
		free_bytes += class.free_slots * class.size;
		pages += class.pages;
		reclaimable += class.reclaimable_bytes;
	}
	free(seen.classes);
	assert_int_equal(stats.objects, objects);
	assert_int_equal(stats.object_bytes, object_bytes);
	assert_int_equal(stats.free_bytes, free_bytes);
	assert_int_equal(stats.data_pages, pages);
	assert_int_equal(stats.objects, seen.all.objects);
	assert_int_equal(stats.zspages, seen.all.zspages);
	assert_int_equal(stats.data_pages, seen.all.pages);
	assert_int_equal(stats.data_pages * stats.page_size,
			 stats.object_bytes + stats.free_bytes + stats.tail_bytes);
	assert_int_equal(stats.total_bytes, stats.object_bytes + stats.free_bytes +
						    stats.tail_bytes + stats.handle_bytes +
						    stats.metadata_bytes);
	assert_int_equal(stats.total_bytes, zs_get_total_size_bytes(pool));
	assert_int_equal(stats.total_bytes, zs_get_total_pages(pool) * stats.page_size);
	assert_true(stats.peak_bytes >= stats.total_bytes);
	assert_int_equal(reclaimable, zs_compactable_bytes(pool));
}

static void figures_agree_in_every_state(void **state)
{
	static const struct {
		uint32_t smallest, largest;
	} sizes[] = { { 1, 4096 }, { 1, 32 }, { 24, 24 }, { 2000, 2100 }, { 4096, 4096 } };
	const struct habitat *habitat = *state;
	size_t i;
	int round;

	for (i = 0; i < COUNT_OF(sizes); i++) {
		struct objects objects = { 0 };
		struct rng rng = rng_seeded(i);
		struct rig rig;

		rig_open(&rig, habitat, NULL);
		assert_figures_agree(rig.pool);
		for (round = 0; round < 10; round++) {
			objects_fill(&objects, rig.pool, &rng, rng_between(&rng, 1, 800),
				     sizes[i].smallest, sizes[i].largest);
			assert_figures_agree(rig.pool);
			objects_free_random(&objects, rig.pool, &rng, rng_below(&rng, 100));
			assert_figures_agree(rig.pool);
			if (round % 2)
				zs_compact(rig.pool);
			assert_figures_agree(rig.pool);
		}
		objects_free_all(&objects, rig.pool);
		assert_figures_agree(rig.pool);
		rig_close(&rig);
	}
}

static void figures_agree_for_every_page_size(void **state)
{
	size_t page;

	(void)state;
	for (page = 256; page <= 65536; page *= 2) {
		struct zs_pool_options options = { .page_size = page,
						   .compaction = ZS_COMPACTION_MANUAL };
		struct objects objects = { 0 };
		struct rng rng = rng_seeded(page);
		struct zs_pool_stats stats;
		struct rig rig;

		rig_open(&rig, &buffer_habitat, &options);
		objects_fill(&objects, rig.pool, &rng, 200, 1, (uint32_t)page);
		assert_figures_agree(rig.pool);
		objects_free_random(&objects, rig.pool, &rng, 60);
		assert_figures_agree(rig.pool);
		zs_pool_stats(rig.pool, &stats);
		assert_int_equal(stats.page_size, page);
		assert_int_equal(stats.max_object_size, page);
		objects_free_all(&objects, rig.pool);
		rig_close(&rig);
	}
}

static void objects_are_counted_one_by_one(void **state)
{
	const struct habitat *habitat = *state;
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(70);
	struct zs_pool_stats stats;
	uint64_t slots = 0;
	struct rig rig;
	size_t i;

	rig_open(&rig, habitat, NULL);
	for (i = 1; i <= 500; i++) {
		objects_fill(&objects, rig.pool, &rng, 1, 1, 4096);
		zs_pool_stats(rig.pool, &stats);
		assert_int_equal(stats.objects, i);
	}
	for (i = 0; i < objects.count; i++)
		slots += zs_object_size(rig.pool, objects.at[i].handle);
	if (ZS_DEBUG) /* a part of each slot is the guard's */
		assert_true(stats.object_bytes >= slots);
	else
		assert_int_equal(stats.object_bytes, slots);
	assert_true(stats.object_bytes >= objects_payload(&objects));
	for (i = 500; i > 0; i--) {
		objects_remove(&objects, rig.pool, 0);
		zs_pool_stats(rig.pool, &stats);
		assert_int_equal(stats.objects, i - 1);
	}
	assert_int_equal(stats.object_bytes, 0);
	objects_forget(&objects);
	rig_close(&rig);
}

static void the_peak_is_the_most_that_was_held(void **state)
{
	struct zs_pool_options options = { .compaction = ZS_COMPACTION_MANUAL };
	const struct habitat *habitat = *state;
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(71);
	struct zs_pool_stats stats;
	uint64_t most = 0, last_peak = 0;
	struct rig rig;
	int i;

	rig_open(&rig, habitat, &options);
	for (i = 0; i < 4000; i++) {
		if (i % 1000 < 600)
			objects_fill(&objects, rig.pool, &rng, 1, 1, 4096);
		else
			objects_remove(&objects, rig.pool, 0);
		zs_pool_stats(rig.pool, &stats);
		if (stats.total_bytes > most)
			most = stats.total_bytes;
		assert_true(stats.peak_bytes >= most);
		assert_true(stats.peak_bytes >= last_peak);
		last_peak = stats.peak_bytes;
	}
	/* Between two looks a call may have held a few pages that it gave back. */
	assert_true(stats.peak_bytes <= most + 8 * stats.page_size);
	objects_free_all(&objects, rig.pool);
	zs_pool_stats(rig.pool, &stats);
	assert_true(stats.peak_bytes >= last_peak);
	assert_true(stats.peak_bytes > stats.total_bytes + last_peak / 2);
	rig_close(&rig);
}

static void compaction_is_counted_where_it_happened(void **state)
{
	struct zs_pool_options options = { .compaction = ZS_COMPACTION_MANUAL };
	const struct habitat *habitat = *state;
	struct zs_compact_result result;
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(72);
	struct zs_pool_stats stats;
	uint64_t moved = 0, freed = 0;
	struct rig rig;
	int round;

	rig_open(&rig, habitat, &options);
	for (round = 0; round < 4; round++) {
		objects_fill(&objects, rig.pool, &rng, 3000, 100, 900);
		objects_free_random(&objects, rig.pool, &rng, 70);
		zs_pool_stats(rig.pool, &stats);
		assert_int_equal(stats.moved_objects, moved);
		assert_int_equal(stats.compacted_pages * stats.page_size, freed);
		zs_compact_some(rig.pool, NULL, &result);
		assert_true(result.freed_bytes > 0);
		moved += result.moved_objects;
		freed += result.freed_bytes;
		zs_pool_stats(rig.pool, &stats);
		assert_int_equal(stats.moved_objects, moved);
		assert_int_equal(stats.compacted_pages * stats.page_size, freed);
	}
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

static void reclaimable_bytes_are_found_in_their_class(void **state)
{
	struct zs_pool_options options = { .compaction = ZS_COMPACTION_MANUAL };
	const struct habitat *habitat = *state;
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(73);
	struct zs_class_stats class;
	uint64_t reclaimable = 0, bytes;
	unsigned i;
	struct rig rig;

	rig_open(&rig, habitat, &options);
	while (objects.count < 5000)
		assert_true(objects_add(&objects, rig.pool, 128));
	objects_free_random(&objects, rig.pool, &rng, 80);
	for (i = 0; i < zs_class_count(rig.pool); i++) {
		assert_int_equal(zs_class_stats(rig.pool, i, &class), 0);
		if (!class.objects)
			assert_int_equal(class.reclaimable_bytes, 0);
		if (class.objects > 500)
			assert_true(class.reclaimable_bytes > 0);
		reclaimable += class.reclaimable_bytes;
	}
	bytes = zs_compact(rig.pool);
	assert_int_equal(bytes, reclaimable);
	assert_true(bytes > 5000 * 128 / 2);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BOTH_HABITATS(figures_agree_in_every_state),
		cmocka_unit_test(figures_agree_for_every_page_size),
		IN_BOTH_HABITATS(objects_are_counted_one_by_one),
		IN_BOTH_HABITATS(the_peak_is_the_most_that_was_held),
		IN_BOTH_HABITATS(compaction_is_counted_where_it_happened),
		IN_BOTH_HABITATS(reclaimable_bytes_are_found_in_their_class),
	};

	return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
