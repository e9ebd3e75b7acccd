/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* Allocating and freeing: sizes, handles, contents, alignment, size classes. */
#include "testing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void assert_malloc_fails(struct zs_pool *pool, size_t size, int error)
{
	struct zs_pool_stats before, after;

	zs_pool_stats(pool, &before);
	errno = 0;
	assert_true(zs_malloc(pool, size) == 0);
	assert_int_equal(errno, error);
	assert_int_equal(zs_last_error(pool), error);
	zs_pool_stats(pool, &after);
	assert_same_stats(&before, &after);
}

static void sizes_from_1_to_the_maximum_are_served_and_no_others(void **state)
{
	static const size_t maxima[] = { 1, 31, 32, 33, 100, 2048, 4096, 65536 };
	const struct habitat *habitat = *state;
	size_t i;

	for (i = 0; i < COUNT_OF(maxima); i++) {
		struct zs_pool_options options = { .max_object_size = maxima[i],
						   .page_size = maxima[i] > 4096 ? 65536 : 0 };
		struct object smallest, largest;
		struct rig rig;

		rig_open(&rig, habitat, &options);
		assert_malloc_fails(rig.pool, 0, EINVAL);
		assert_malloc_fails(rig.pool, maxima[i] + 1, EMSGSIZE);
		assert_malloc_fails(rig.pool, SIZE_MAX, EMSGSIZE);
		assert_malloc_fails(rig.pool, SIZE_MAX / 2, EMSGSIZE);
		assert_true(object_make(rig.pool, &smallest, 1, 1));
		assert_true(object_make(rig.pool, &largest, maxima[i], 2));
		assert_true(object_intact(rig.pool, &smallest));
		assert_true(object_intact(rig.pool, &largest));
		object_free(rig.pool, &smallest);
		object_free(rig.pool, &largest);
		rig_close(&rig);
	}
}

static int compare_handles(const void *a, const void *b)
{
	zs_handle x = *(const zs_handle *)a, y = *(const zs_handle *)b;

	return (x > y) - (x < y);
}

static void no_handle_is_zero_or_given_to_two_objects(void **state)
{
	enum { HANDLES = 50000 };
	const struct habitat *habitat = *state;
	zs_handle *handles = malloc(HANDLES * sizeof(*handles));
	struct rng rng = rng_seeded(3);
	struct rig rig;
	size_t i;

	assert_non_null(handles);
	rig_open(&rig, habitat, NULL);
	for (i = 0; i < HANDLES; i++) {
		handles[i] = zs_malloc(rig.pool, rng_between(&rng, 1, 200));
		assert_true(handles[i] != 0);
	}
	qsort(handles, HANDLES, sizeof(*handles), compare_handles);
	for (i = 1; i < HANDLES; i++)
		assert_true(handles[i - 1] != handles[i]);
	for (i = 0; i < HANDLES; i++)
		zs_free(rig.pool, handles[i]);
	rig_close(&rig);
	free(handles);
}

static void a_handle_does_not_come_back_at_once(void **state)
{
	const struct habitat *habitat = *state;
	struct rig rig;
	zs_handle old, new;
	int i;

	rig_open(&rig, habitat, NULL);
	old = zs_malloc(rig.pool, 100);
	for (i = 0; i < 100; i++) {
		zs_free(rig.pool, old);
		new = zs_malloc(rig.pool, 100);
		assert_true(new != 0);
		assert_true(new != old);
		old = new;
	}
	zs_free(rig.pool, old);
	rig_close(&rig);
}

/*
 * Nor for as long as its entry has generations, also if there was none meanwhile, as most of a
 * block's objects were freed and it was packed. Shorter handles have fewer generations.
 */
static void a_handle_does_not_come_back_in_sixty_rounds(void **state)
{
	enum { ROUNDS = 60, MOST = 500, FEWEST = 20, HANDLES = ROUNDS * (MOST - FEWEST) + FEWEST };
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(60);
	struct rig rig;
	size_t made = 0;

	if (sizeof(zs_handle) < 8)
		skip();
	zs_handle *handles = malloc(HANDLES * sizeof(*handles));
	assert_non_null(handles);
	rig_open(&rig, *state, NULL);
	for (unsigned round = 0; round < ROUNDS; round++) {
		while (objects.count < MOST) {
			assert_true(objects_add(&objects, rig.pool, 100));
			handles[made++] = objects.at[objects.count - 1].handle;
		}
		while (objects.count > FEWEST)
			objects_remove(&objects, rig.pool,
				       rng_below(&rng, (uint32_t)objects.count));
	}
	assert_int_equal(made, HANDLES);
	qsort(handles, HANDLES, sizeof(*handles), compare_handles);
	for (size_t i = 1; i < HANDLES; i++)
		assert_true(handles[i] != handles[i - 1]);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
	free(handles);
}

static void freeing_handle_0_is_ignored(void **state)
{
	const struct habitat *habitat = *state;
	struct zs_pool_stats before, after;
	struct rig rig;

	rig_open(&rig, habitat, NULL);
	zs_pool_stats(rig.pool, &before);
	zs_free(rig.pool, 0);
	zs_pool_stats(rig.pool, &after);
	assert_same_stats(&before, &after);
	rig_close(&rig);
}

static void contents_survive_among_many_objects(void **state)
{
	const struct habitat *habitat = *state;
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(4);
	struct rig rig;
	int round;

	rig_open(&rig, habitat, NULL);
	objects_fill(&objects, rig.pool, &rng, 4000, 1, 4096);
	objects_fill(&objects, rig.pool, &rng, 4000, 1, 100);
	for (round = 0; round < 5; round++) {
		objects_free_random(&objects, rig.pool, &rng, 50);
		assert_objects_intact(&objects, rig.pool);
		objects_fill(&objects, rig.pool, &rng, 2000, 1, 3000);
		assert_objects_intact(&objects, rig.pool);
		assert_healthy(rig.pool);
	}
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

static void every_size_is_stored_whole(void **state)
{
	const struct habitat *habitat = *state;
	struct objects objects = { 0 };
	struct rig rig;
	size_t size;

	rig_open(&rig, habitat, NULL);
	for (size = 1; size <= 4096; size++)
		assert_true(objects_add(&objects, rig.pool, size));
	assert_objects_intact(&objects, rig.pool);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

static void addresses_are_multiples_of_the_alignment(void **state)
{
	const struct habitat *habitat = *state;
	struct rng rng = rng_seeded(5);
	size_t alignment, i;

	for (alignment = 0; alignment <= 16; alignment = alignment ? 2 * alignment : 1) {
		struct zs_pool_options options = { .alignment = alignment };
		size_t multiple = alignment ? alignment : 8;
		struct objects objects = { 0 };
		struct rig rig;

		rig_open(&rig, habitat, &options);
		objects_fill(&objects, rig.pool, &rng, 2000, 1, 200);
		objects_fill(&objects, rig.pool, &rng, 1000, 1, 4096);
		for (i = 0; i < objects.count; i++) {
			void *mem = zs_map_object(rig.pool, objects.at[i].handle, ZS_MM_RO);

			assert_non_null(mem);
			assert_int_equal((uintptr_t)mem % multiple, 0);
			zs_unmap_object(rig.pool, objects.at[i].handle);
		}
		assert_objects_intact(&objects, rig.pool);
		objects_free_all(&objects, rig.pool);
		rig_close(&rig);
	}
}

static uint64_t footprint_of(const struct habitat *habitat, size_t alignment, size_t size)
{
	struct zs_pool_options options = { .alignment = alignment };
	struct objects objects = { 0 };
	uint64_t bytes;
	struct rig rig;

	rig_open(&rig, habitat, &options);
	while (objects.count < 30000)
		assert_true(objects_add(&objects, rig.pool, size));
	bytes = zs_get_total_size_bytes(rig.pool);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
	return bytes;
}

static void a_smaller_alignment_packs_more_densely(void **state)
{
	const struct habitat *habitat = *state;

	only_for_small_pages(*state);
	if (ZS_DEBUG)
		skip(); /* guard bytes blur the sizes */
	assert_true(footprint_of(habitat, 1, 33) + 30000 * 6 < footprint_of(habitat, 8, 33));
	assert_true(footprint_of(habitat, 8, 33) + 30000 * 6 < footprint_of(habitat, 16, 33));
}

static void the_size_of_an_object_is_never_below_what_was_asked(void **state)
{
	const struct habitat *habitat = *state;
	struct objects objects = { 0 };
	struct rig rig;
	size_t size, i;

	rig_open(&rig, habitat, NULL);
	for (size = 1; size <= 4096; size += size < 300 ? 1 : 37)
		assert_true(objects_add(&objects, rig.pool, size));
	for (i = 0; i < objects.count; i++)
		assert_true(zs_object_size(rig.pool, objects.at[i].handle) >= objects.at[i].size);
	objects_free_random(&objects, rig.pool, &(struct rng){ .state = { 1 } }, 50);
	zs_compact(rig.pool);
	for (i = 0; i < objects.count; i++)
		assert_true(zs_object_size(rig.pool, objects.at[i].handle) >= objects.at[i].size);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

static void each_size_has_the_smallest_class_that_holds_it(void **state)
{
	const struct habitat *habitat = *state;
	struct zs_class_stats class, smaller;
	unsigned index, last = 0;
	struct rig rig;
	size_t size;

	only_for_small_pages(*state);
	rig_open(&rig, habitat, NULL);
	for (size = 1; size <= 4096; size++) {
		index = zs_lookup_class_index(rig.pool, size);
		assert_true(index >= last);
		last = index;
		assert_int_equal(zs_class_stats(rig.pool, index, &class), 0);
		assert_true(class.size >= size);
		if (index == 0)
			continue;
		assert_int_equal(zs_class_stats(rig.pool, index - 1, &smaller), 0);
		assert_true(smaller.size < (ZS_DEBUG ? class.size : size));
	}
	assert_int_equal(zs_lookup_class_index(rig.pool, 0), zs_lookup_class_index(rig.pool, 1));
	assert_int_equal(zs_lookup_class_index(rig.pool, 4097), last);
	assert_int_equal(zs_lookup_class_index(rig.pool, SIZE_MAX), last);
	assert_true(last < zs_class_count(rig.pool));
	rig_close(&rig);
}

static void a_large_size_has_the_smallest_class_that_holds_it(void **state)
{
	const struct zs_pool_options options = { .max_object_size = 65536 };
	struct zs_class_stats class, smaller;
	struct rig rig;

	(void)state;
	rig_open(&rig, &process_habitat, &options);
	for (size_t size = 4000; size <= 65536; size += 8) {
		unsigned index = zs_lookup_class_index(rig.pool, size);

		assert_int_equal(zs_class_stats(rig.pool, index, &class), 0);
		assert_int_equal(zs_class_stats(rig.pool, index - 1, &smaller), 0);
		assert_true(class.size >= size);
		assert_true(smaller.size < (ZS_DEBUG ? class.size : size));
	}
	rig_close(&rig);
}

static void class_indices_end_at_the_class_count(void **state)
{
	const struct habitat *habitat = *state;
	struct zs_class_stats class;
	struct zs_pool_stats stats;
	struct rig rig;
	unsigned i, count;

	rig_open(&rig, habitat, NULL);
	count = zs_class_count(rig.pool);
	zs_pool_stats(rig.pool, &stats);
	assert_true(count > 0);
	assert_int_equal(stats.classes, count);
	for (i = 0; i < count; i++)
		assert_int_equal(zs_class_stats(rig.pool, i, &class), 0);
	errno = 0;
	assert_int_equal(zs_class_stats(rig.pool, count, &class), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(zs_class_stats(rig.pool, (unsigned)-1, &class), -1);
	rig_close(&rig);
}

static void the_pages_of_a_zspage_are_chosen_for_little_waste(void **state)
{
	const struct habitat *habitat = *state;
	struct zs_class_stats class;
	struct rig rig;
	unsigned i;

	only_for_small_pages(*state);
	/* The slots of debug builds have footers, which are not part of a class's size. */
	if (ZS_DEBUG)
		skip();
	rig_open(&rig, habitat, NULL);
	for (i = 0; i < zs_class_count(rig.pool); i++) {
		size_t bytes, single, waste;

		assert_int_equal(zs_class_stats(rig.pool, i, &class), 0);
		bytes = class.pages_per_zspage * (size_t)4096;
		assert_true(class.objs_per_zspage >= 1);
		assert_true(class.objs_per_zspage * class.size <= bytes);
		assert_true(bytes - class.objs_per_zspage * class.size < class.size);
		waste = (bytes - class.objs_per_zspage * class.size) * 1000 / bytes;
		single = class.size <= 4096 ? 4096 % class.size * 1000 / 4096 : 1000;
		assert_true(waste <= single);
		assert_true(waste <= 125);
	}
	rig_close(&rig);
}

static void at_the_huge_class_size_an_object_takes_a_whole_page(void **state)
{
	const struct habitat *habitat = *state;
	struct zs_class_stats class;
	struct rig rig;
	size_t huge;

	only_for_small_pages(*state);
	rig_open(&rig, habitat, NULL);
	huge = zs_huge_class_size(rig.pool);
	assert_true(huge > 1 && huge <= 4096);
	zs_class_stats(rig.pool, zs_lookup_class_index(rig.pool, huge), &class);
	assert_true(class.objs_per_zspage <= class.pages_per_zspage);
	zs_class_stats(rig.pool, zs_lookup_class_index(rig.pool, huge - 1), &class);
	assert_true(class.objs_per_zspage > class.pages_per_zspage);
	rig_close(&rig);
}

static void fresh_objects_are_poisoned_in_a_debug_build(void **state)
{
	const struct habitat *habitat = *state;
	static const unsigned char old[200] = { 0 };
	unsigned char now[200];
	struct rig rig;
	zs_handle handle;
	int round, poisoned = 0;

	if (!ZS_DEBUG) {
		print_message("skipped: not a debug build\n");
		skip();
	}
	rig_open(&rig, habitat, NULL);
	for (round = 0; round < 10; round++) {
		handle = zs_malloc(rig.pool, sizeof(now));
		memcpy(now, zs_map_object(rig.pool, handle, ZS_MM_RW), sizeof(now));
		poisoned += now[0] != 0 && memcmp(now, now + 1, sizeof(now) - 1) == 0;
		zs_unmap_object(rig.pool, handle);
		zs_obj_write(rig.pool, handle, old, sizeof(old));
		zs_free(rig.pool, handle);
	}
	assert_int_equal(poisoned, 10);
	rig_close(&rig);
}

/* The zspages of a pool with one class, fullest last. */
struct fullness {
	unsigned objects[64];
	unsigned slots;
	size_t count;
};

static void note_fullness(const struct zs_zspage_info *info, void *data)
{
	struct fullness *fullness = data;

	if (fullness->count < COUNT_OF(fullness->objects))
		fullness->objects[fullness->count] = info->objects;
	fullness->slots = info->slots;
	fullness->count++;
}

static int compare_unsigned(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return (x > y) - (x < y);
}

static void look_at_fullness(struct zs_pool *pool, struct fullness *fullness)
{
	memset(fullness, 0, sizeof(*fullness));
	zs_for_each_zspage(pool, note_fullness, fullness);
	assert_true(fullness->count <= COUNT_OF(fullness->objects));
	qsort(fullness->objects, fullness->count, sizeof(unsigned), compare_unsigned);
}

/* A size near 64 whose class is open from the first object on, so that it stays the same. */
static size_t add_first_object(struct zs_pool *pool, struct objects *objects)
{
	size_t size;

	assert_true(objects_add(objects, pool, 64));
	size = zs_object_size(pool, objects->at[0].handle);
	objects_remove(objects, pool, 0);
	assert_true(objects_add(objects, pool, size));
	return size;
}

/* Fills zspages of one class and frees 8 % more of the slots of each than of the last. */
static void make_staircase(struct zs_pool *pool, struct objects *objects, unsigned zspages)
{
	struct fullness fullness;
	size_t size = add_first_object(pool, objects), slots, i, k, kept = 0;

	look_at_fullness(pool, &fullness);
	slots = fullness.slots;
	while (objects->count < zspages * slots)
		assert_true(objects_add(objects, pool, size));
	for (i = 0; i < zspages; i++) {
		for (k = 0; k < slots * i * 8 / 100; k++)
			object_free(pool, &objects->at[i * slots + k]);
	}
	for (i = 0; i < objects->count; i++) {
		if (objects->at[i].handle)
			objects->at[kept++] = objects->at[i];
	}
	objects->count = kept;
}

static void new_objects_go_to_the_fullest_zspage_with_room(void **state)
{
	enum { ZSPAGES = 10, ADDED = 5 };
	const struct habitat *habitat = *state;
	struct zs_pool_options options = { .compaction = ZS_COMPACTION_MANUAL };
	struct fullness before, after;
	struct objects objects = { 0 };
	struct rig rig;
	size_t i, size, half = ZSPAGES / 2;

	rig_open(&rig, habitat, &options);
	make_staircase(rig.pool, &objects, ZSPAGES);
	size = objects.at[0].size;
	look_at_fullness(rig.pool, &before);
	assert_int_equal(before.count, ZSPAGES);
	assert_true(before.objects[0] < before.objects[ZSPAGES - 2]);
	for (i = 0; i < ADDED; i++)
		assert_true(objects_add(&objects, rig.pool, size));
	look_at_fullness(rig.pool, &after);
	assert_int_equal(after.count, ZSPAGES);
	for (i = 0; i < half; i++)
		assert_int_equal(before.objects[i], after.objects[i]);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

static void empty_zspages_are_given_back_at_once(void **state)
{
	enum { ZSPAGES = 20 };
	const struct habitat *habitat = *state;
	struct zs_pool_options options = { .compaction = ZS_COMPACTION_MANUAL };
	struct zs_pool_stats full, half, empty;
	struct objects objects = { 0 };
	struct fullness fullness;
	struct rig rig;
	size_t slots, size;

	rig_open(&rig, habitat, &options);
	size = add_first_object(rig.pool, &objects);
	look_at_fullness(rig.pool, &fullness);
	slots = fullness.slots;
	while (objects.count < ZSPAGES * slots)
		assert_true(objects_add(&objects, rig.pool, size));
	zs_pool_stats(rig.pool, &full);
	while (objects.count > ZSPAGES / 2 * slots)
		objects_remove(&objects, rig.pool, objects.count - 1);
	zs_pool_stats(rig.pool, &half);
	assert_true(half.zspages <= ZSPAGES / 2 + 1);
	assert_true(half.data_pages <= full.data_pages * 6 / 10);
	assert_true(half.total_bytes < full.total_bytes);
	objects_free_all(&objects, rig.pool);
	zs_pool_stats(rig.pool, &empty);
	assert_int_equal(empty.objects, 0);
	assert_true(empty.zspages <= 1);
	assert_true(empty.data_pages <= full.data_pages / ZSPAGES);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BOTH_HABITATS(sizes_from_1_to_the_maximum_are_served_and_no_others),
		IN_BOTH_HABITATS(no_handle_is_zero_or_given_to_two_objects),
		IN_BOTH_HABITATS(a_handle_does_not_come_back_at_once),
		IN_BOTH_HABITATS(a_handle_does_not_come_back_in_sixty_rounds),
		IN_BOTH_HABITATS(freeing_handle_0_is_ignored),
		IN_BOTH_HABITATS(contents_survive_among_many_objects),
		IN_BOTH_HABITATS(every_size_is_stored_whole),
		IN_BOTH_HABITATS(addresses_are_multiples_of_the_alignment),
		IN_BOTH_HABITATS(a_smaller_alignment_packs_more_densely),
		IN_BOTH_HABITATS(the_size_of_an_object_is_never_below_what_was_asked),
		IN_BOTH_HABITATS(each_size_has_the_smallest_class_that_holds_it),
		cmocka_unit_test(a_large_size_has_the_smallest_class_that_holds_it),
		IN_BOTH_HABITATS(class_indices_end_at_the_class_count),
		IN_BOTH_HABITATS(the_pages_of_a_zspage_are_chosen_for_little_waste),
		IN_BOTH_HABITATS(at_the_huge_class_size_an_object_takes_a_whole_page),
		IN_BOTH_HABITATS(fresh_objects_are_poisoned_in_a_debug_build),
		IN_BOTH_HABITATS(new_objects_go_to_the_fullest_zspage_with_room),
		IN_BOTH_HABITATS(empty_zspages_are_given_back_at_once),
	};

	return cmocka_run_group_tests_name("malloc", tests, NULL, NULL);
}
