/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* Mapping pins: modes, nesting, many at once, many threads, and compaction meanwhile. */
#include "testing.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static uint64_t mapped_objects(struct zs_pool *pool)
{
	struct zs_pool_stats stats;

	zs_pool_stats(pool, &stats);
	return stats.mapped_objects;
}

static void what_is_written_through_one_mode_is_read_through_another(void **state)
{
	const struct habitat *habitat = *state;
	struct rig rig;
	size_t size;

	rig_open(&rig, habitat, NULL);
	for (size = 1; size <= 4096; size += 61) {
		zs_handle handle = zs_malloc(rig.pool, size);
		void *mem = zs_map_object(rig.pool, handle, ZS_MM_WO);

		pattern_fill(mem, size, 1);
		zs_unmap_object(rig.pool, handle);
		mem = zs_map_object(rig.pool, handle, ZS_MM_RW);
		assert_true(pattern_holds(mem, size, 1));
		pattern_fill(mem, size, 2);
		zs_unmap_object(rig.pool, handle);
		mem = zs_map_object(rig.pool, handle, ZS_MM_RO);
		assert_true(pattern_holds(mem, size, 2));
		zs_unmap_object(rig.pool, handle);
		zs_free(rig.pool, handle);
	}
	rig_close(&rig);
}

static void a_change_of_one_byte_leaves_its_neighbours(void **state)
{
	const struct habitat *habitat = *state;
	struct rng rng = rng_seeded(7);
	struct object left, middle, right;
	unsigned char copy[700];
	struct rig rig;
	size_t i;

	rig_open(&rig, habitat, NULL);
	assert_true(object_make(rig.pool, &left, sizeof(copy), 1));
	assert_true(object_make(rig.pool, &middle, sizeof(copy), 2));
	assert_true(object_make(rig.pool, &right, sizeof(copy), 3));
	pattern_fill(copy, sizeof(copy), 2);
	for (i = 0; i < 1000; i++) {
		size_t at = rng_below(&rng, sizeof(copy));
		unsigned char *mem = zs_map_object(rig.pool, middle.handle, ZS_MM_RW);

		mem[at] ^= 0xFF;
		copy[at] ^= 0xFF;
		zs_unmap_object(rig.pool, middle.handle);
	}
	assert_memory_equal(zs_map_object(rig.pool, middle.handle, ZS_MM_RO), copy, sizeof(copy));
	zs_unmap_object(rig.pool, middle.handle);
	assert_true(object_intact(rig.pool, &left));
	assert_true(object_intact(rig.pool, &right));
	object_free(rig.pool, &left);
	object_free(rig.pool, &middle);
	object_free(rig.pool, &right);
	rig_close(&rig);
}

static void in_a_process_all_modes_are_the_same_address(void **state)
{
	struct rig rig;
	zs_handle handle;
	void *mem;

	(void)state;
	rig_open(&rig, &process_habitat, NULL);
	handle = zs_malloc(rig.pool, 3000);
	mem = zs_map_object(rig.pool, handle, ZS_MM_RW);
	assert_ptr_equal(zs_map_object(rig.pool, handle, ZS_MM_RO), mem);
	assert_ptr_equal(zs_map_object(rig.pool, handle, ZS_MM_WO), mem);
	assert_ptr_equal(zs_obj_read_begin(rig.pool, handle, NULL), mem);
	zs_obj_read_end(rig.pool, handle, mem);
	zs_unmap_object(rig.pool, handle);
	zs_unmap_object(rig.pool, handle);
	zs_unmap_object(rig.pool, handle);
	zs_free(rig.pool, handle);
	rig_close(&rig);
}

/* Leaves every fourth object alive, so that compaction has something to do. */
static void make_sparse(struct objects *objects, struct zs_pool *pool, size_t count)
{
	struct rng rng = rng_seeded(8);

	objects_fill(objects, pool, &rng, count, 200, 600);
	objects_free_random(objects, pool, &rng, 75);
}

static void an_object_stays_pinned_until_as_many_unmaps_as_maps(void **state)
{
	const struct habitat *habitat = *state;
	struct zs_pool_options options = { .compaction = ZS_COMPACTION_MANUAL };
	struct objects objects = { 0 };
	struct object *object;
	struct rig rig;
	void *mem;
	int i;

	rig_open(&rig, habitat, &options);
	make_sparse(&objects, rig.pool, 8000);
	object = &objects.at[objects.count / 2];
	mem = zs_map_object(rig.pool, object->handle, ZS_MM_RO);
	assert_ptr_equal(zs_map_object(rig.pool, object->handle, ZS_MM_RO), mem);
	assert_ptr_equal(zs_map_object(rig.pool, object->handle, ZS_MM_RO), mem);
	assert_int_equal(mapped_objects(rig.pool), 1);
	for (i = 0; i < 3; i++) {
		zs_compact(rig.pool);
		assert_ptr_equal(zs_map_object(rig.pool, object->handle, ZS_MM_RO), mem);
		zs_unmap_object(rig.pool, object->handle);
		assert_true(pattern_holds(mem, object->size, object->tag));
		assert_int_equal(mapped_objects(rig.pool), 1);
		zs_unmap_object(rig.pool, object->handle);
	}
	assert_int_equal(mapped_objects(rig.pool), 0);
	assert_objects_intact(&objects, rig.pool);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

static void maps_nest_far_beyond_six(void **state)
{
	static const int depths[] = { 6, 7, 8, 9, 31, 63, 64, 65, 300, 70000 };
	const struct habitat *habitat = *state;
	struct object object, other;
	struct rig rig;
	size_t i;
	int k;

	rig_open_tolerant(&rig, habitat, NULL);
	assert_true(object_make(rig.pool, &object, 100, 1));
	assert_true(object_make(rig.pool, &other, 100, 2));
	for (i = 0; i < COUNT_OF(depths); i++) {
		void *mem = zs_map_object(rig.pool, object.handle, ZS_MM_RO);

		for (k = 1; k < depths[i]; k++)
			assert_ptr_equal(zs_map_object(rig.pool, object.handle, ZS_MM_RO), mem);
		assert_healthy(rig.pool);
		for (k = 1; k < depths[i]; k++)
			zs_unmap_object(rig.pool, object.handle);
		assert_int_equal(mapped_objects(rig.pool), 1);
		assert_true(pattern_holds(mem, object.size, object.tag));
		zs_unmap_object(rig.pool, object.handle);
		assert_int_equal(mapped_objects(rig.pool), 0);
		assert_no_fault(&rig.faults);
		zs_unmap_object(rig.pool, object.handle);
		assert_one_fault(&rig.faults, ZS_MISUSE_NOT_MAPPED, object.handle);
	}
	assert_true(object_intact(rig.pool, &other));
	object_free(rig.pool, &object);
	object_free(rig.pool, &other);
	rig_close(&rig);
}

/* Adds an object of that size that does not straddle two pages. */
static void add_in_one_page(struct objects *objects, struct zs_pool *pool, size_t size)
{
	unsigned char local_copy[4096];
	zs_handle handle;
	void *mem;

	for (;;) {
		assert_true(objects_add(objects, pool, size));
		handle = objects->at[objects->count - 1].handle;
		mem = zs_obj_read_begin(pool, handle, local_copy);
		zs_obj_read_end(pool, handle, mem);
		if (mem != local_copy)
			return;
		objects->count--; /* stays where it is: its place is not to be used again */
	}
}

static void many_objects_nest_deeply_at_the_same_time(void **state)
{
	enum { OBJECTS = 500, DEPTH = 20 };
	const struct habitat *habitat = *state;
	struct objects objects = { 0 };
	struct rig rig;
	size_t i, k;

	rig_open(&rig, habitat, NULL);
	while (objects.count < OBJECTS)
		add_in_one_page(&objects, rig.pool, 64);
	for (k = 0; k < DEPTH; k++) {
		for (i = 0; i < OBJECTS; i++)
			assert_non_null(zs_map_object(rig.pool, objects.at[i].handle, ZS_MM_RO));
	}
	assert_int_equal(mapped_objects(rig.pool), OBJECTS);
	assert_healthy(rig.pool);
	for (k = DEPTH; k-- > 0;) {
		for (i = 0; i < OBJECTS; i++)
			zs_unmap_object(rig.pool, objects.at[i].handle);
		assert_int_equal(mapped_objects(rig.pool), k ? OBJECTS : 0);
	}
	assert_objects_intact(&objects, rig.pool);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

static void any_number_of_objects_is_mapped_at_once(void **state)
{
	enum { OBJECTS = 20000 };
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(9);
	const void **mems = malloc(OBJECTS * sizeof(*mems));
	struct rig rig;
	size_t i;

	(void)state;
	assert_non_null(mems);
	rig_open(&rig, &process_habitat, NULL);
	objects_fill(&objects, rig.pool, &rng, OBJECTS, 1, 4096);
	for (i = 0; i < OBJECTS; i++)
		mems[i] = zs_map_object(rig.pool, objects.at[i].handle, ZS_MM_RO);
	assert_int_equal(mapped_objects(rig.pool), OBJECTS);
	for (i = 0; i < OBJECTS; i++) {
		assert_non_null(mems[i]);
		assert_true(pattern_holds(mems[i], objects.at[i].size, objects.at[i].tag));
	}
	assert_healthy(rig.pool);
	for (i = 0; i < OBJECTS; i++)
		zs_unmap_object(rig.pool, objects.at[i].handle);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
	free(mems);
}

/* One object, used by several threads. */
struct meeting {
	struct zs_pool *pool;
	struct object object;
	void *mem;
	pthread_barrier_t barrier;
	atomic_int failures;
};

static void *map_together(void *data)
{
	struct meeting *meeting = data;
	int i;

	for (i = 0; i < 200; i++) {
		const void *mem = zs_map_object(meeting->pool, meeting->object.handle, ZS_MM_RO);

		pthread_barrier_wait(&meeting->barrier);
		if (mem != meeting->mem ||
		    !pattern_holds(mem, meeting->object.size, meeting->object.tag))
			atomic_fetch_add(&meeting->failures, 1);
		pthread_barrier_wait(&meeting->barrier);
		zs_unmap_object(meeting->pool, meeting->object.handle);
	}
	return NULL;
}

static void several_threads_map_the_same_object_at_once(void **state)
{
	enum { THREADS = 4 };
	const struct habitat *habitat = *state;
	pthread_t threads[THREADS];
	struct meeting meeting = { .mem = NULL };
	struct rig rig;
	int i;

	rig_open(&rig, habitat, NULL);
	meeting.pool = rig.pool;
	assert_true(object_make(rig.pool, &meeting.object, 1000, 1));
	meeting.mem = zs_map_object(rig.pool, meeting.object.handle, ZS_MM_RO);
	assert_int_equal(pthread_barrier_init(&meeting.barrier, NULL, THREADS), 0);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, map_together, &meeting), 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&meeting.barrier);
	assert_int_equal(atomic_load(&meeting.failures), 0);
	assert_int_equal(mapped_objects(rig.pool), 1);
	zs_unmap_object(rig.pool, meeting.object.handle);
	assert_int_equal(mapped_objects(rig.pool), 0);
	object_free(rig.pool, &meeting.object);
	rig_close(&rig);
}

static void *write_and_unmap(void *data)
{
	struct meeting *meeting = data;

	pattern_fill(meeting->mem, meeting->object.size, meeting->object.tag);
	zs_unmap_object(meeting->pool, meeting->object.handle);
	return NULL;
}

static void another_thread_may_unmap(void **state)
{
	const struct habitat *habitat = *state;
	struct meeting meeting = { .object = { .tag = 5 } };
	pthread_t thread;
	struct rig rig;

	rig_open(&rig, habitat, NULL);
	meeting.pool = rig.pool;
	for (meeting.object.size = 100; meeting.object.size < 4096; meeting.object.size += 500) {
		meeting.object.handle = zs_malloc(rig.pool, meeting.object.size);
		meeting.mem = zs_map_object(rig.pool, meeting.object.handle, ZS_MM_WO);
		assert_non_null(meeting.mem);
		assert_int_equal(pthread_create(&thread, NULL, write_and_unmap, &meeting), 0);
		pthread_join(thread, NULL);
		assert_int_equal(mapped_objects(rig.pool), 0);
		assert_true(object_intact(rig.pool, &meeting.object));
		object_free(rig.pool, &meeting.object);
	}
	rig_close(&rig);
}

/* Every n-th object, pinned and where it was. */
struct pins {
	void *mem[64];
	size_t index[64];
	size_t count;
};

static void pin_some(struct pins *pins, const struct objects *objects, struct zs_pool *pool,
		     size_t count)
{
	size_t i;

	memset(pins, 0, sizeof(*pins));
	for (i = 0; i < count; i++) {
		size_t index = i * (objects->count / count);
		void *mem = zs_map_object(pool, objects->at[index].handle, ZS_MM_RO);

		if (!mem) { /* a straddling object more than there are map buffers */
			assert_int_equal(errno, EBUSY);
			continue;
		}
		pins->mem[pins->count] = mem;
		pins->index[pins->count++] = index;
	}
}

static void assert_pins_did_not_move(const struct pins *pins, const struct objects *objects,
				     struct zs_pool *pool)
{
	size_t i;

	for (i = 0; i < pins->count; i++) {
		const struct object *object = &objects->at[pins->index[i]];

		assert_true(pattern_holds(pins->mem[i], object->size, object->tag));
		assert_ptr_equal(zs_map_object(pool, object->handle, ZS_MM_RO), pins->mem[i]);
		zs_unmap_object(pool, object->handle);
	}
}

static void unpin(const struct pins *pins, const struct objects *objects, struct zs_pool *pool)
{
	size_t i;

	for (i = 0; i < pins->count; i++)
		zs_unmap_object(pool, objects->at[pins->index[i]].handle);
}

static void pinned_objects_stay_while_compaction_moves_the_rest(void **state)
{
	const struct habitat *habitat = *state;
	struct zs_pool_options options = { .compaction = ZS_COMPACTION_MANUAL, .map_buffers = 64 };
	struct zs_compact_result result;
	struct objects objects = { 0 };
	struct pins pins;
	struct rig rig;
	uint64_t rest;

	rig_open(&rig, habitat, &options);
	make_sparse(&objects, rig.pool, 20000);
	pin_some(&pins, &objects, rig.pool, 60);
	assert_int_equal(pins.count, 60);
	assert_int_equal(mapped_objects(rig.pool), 60);
	assert_int_equal(zs_compact_some(rig.pool, NULL, &result), 0);
	assert_true(result.moved_objects > 100);
	assert_true(result.freed_bytes > MIB(1));
	assert_true(result.skipped_zspages > 0);
	assert_true(result.skipped_zspages <= 60);
	assert_pins_did_not_move(&pins, &objects, rig.pool);
	assert_healthy(rig.pool);
	unpin(&pins, &objects, rig.pool);
	rest = zs_compactable_bytes(rig.pool);
	assert_int_equal(zs_compact(rig.pool), rest);
	assert_int_equal(zs_compact_some(rig.pool, NULL, &result), 0);
	assert_int_equal(result.skipped_zspages, 0);
	assert_objects_intact(&objects, rig.pool);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

static void pinned_objects_stay_while_automatic_compaction_runs(void **state)
{
	const struct habitat *habitat = *state;
	struct zs_pool_options options = { .map_buffers = 64 };
	struct objects pinned = { 0 }, objects = { 0 };
	struct rng rng = rng_seeded(10);
	struct zs_pool_stats stats;
	struct pins pins;
	struct rig rig;
	int i;

	rig_open(&rig, habitat, &options);
	while (pinned.count < 60) {
		objects_fill(&pinned, rig.pool, &rng, 1, 200, 600);
		objects_fill(&objects, rig.pool, &rng, 200, 200, 600);
	}
	pin_some(&pins, &pinned, rig.pool, 60);
	assert_int_equal(pins.count, 60);
	objects_free_random(&objects, rig.pool, &rng, 75);
	for (i = 0; i < 10000; i++) {
		objects_remove(&objects, rig.pool, rng_below(&rng, (uint32_t)objects.count));
		objects_fill(&objects, rig.pool, &rng, 1, 200, 600);
	}
	zs_pool_stats(rig.pool, &stats);
	assert_true(stats.moved_objects > 0);
	assert_pins_did_not_move(&pins, &pinned, rig.pool);
	unpin(&pins, &pinned, rig.pool);
	assert_objects_intact(&objects, rig.pool);
	assert_objects_intact(&pinned, rig.pool);
	objects_free_all(&objects, rig.pool);
	objects_free_all(&pinned, rig.pool);
	rig_close(&rig);
}

static void an_object_being_read_does_not_move(void **state)
{
	struct zs_pool_options options = { .compaction = ZS_COMPACTION_MANUAL };
	unsigned char local_copy[4096];
	const struct habitat *habitat = *state;
	struct objects objects = { 0 };
	struct object *object;
	struct rig rig;
	void *mem;
	size_t i;

	rig_open(&rig, habitat, &options);
	make_sparse(&objects, rig.pool, 8000);
	object = &objects.at[objects.count - 1];
	mem = zs_obj_read_begin(rig.pool, object->handle, local_copy);
	assert_non_null(mem);
	assert_int_equal(mapped_objects(rig.pool), 1);
	zs_compact(rig.pool);
	assert_true(pattern_holds(mem, object->size, object->tag));
	zs_obj_read_end(rig.pool, object->handle, mem);
	assert_int_equal(mapped_objects(rig.pool), 0);
	for (i = 0; i < objects.count; i++) {
		object = &objects.at[i];
		mem = zs_obj_read_begin(rig.pool, object->handle, local_copy);
		assert_true(pattern_holds(mem, object->size, object->tag));
		zs_obj_read_end(rig.pool, object->handle, mem);
	}
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

static void obj_write_writes_from_the_start_and_leaves_the_rest(void **state)
{
	const struct habitat *habitat = *state;
	unsigned char expected[4096], part[4096];
	struct rng rng = rng_seeded(11);
	struct objects objects = { 0 };
	struct rig rig;
	size_t i;

	rig_open(&rig, habitat, NULL);
	objects_fill(&objects, rig.pool, &rng, 2000, 1, 4096);
	pattern_fill(part, sizeof(part), UINT64_MAX / 3);
	for (i = 0; i < objects.count; i++) {
		struct object *object = &objects.at[i];
		size_t length = rng_between(&rng, 0, (uint32_t)object->size);

		pattern_fill(expected, object->size, object->tag);
		memcpy(expected, part, length);
		zs_obj_write(rig.pool, object->handle, part, length);
		assert_memory_equal(zs_map_object(rig.pool, object->handle, ZS_MM_RO), expected,
				    object->size);
		zs_unmap_object(rig.pool, object->handle);
		zs_obj_write(rig.pool, object->handle, expected, 0);
		pattern_fill(expected, object->size, object->tag);
		zs_obj_write(rig.pool, object->handle, expected, object->size);
	}
	assert_objects_intact(&objects, rig.pool);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

/* Maps up to depth times; returns how often that worked. */
static int map_deeply(const struct rig *rig, zs_handle handle, int depth)
{
	int done;

	for (done = 0; done < depth; done++) {
		errno = 0;
		if (zs_map_object(rig->pool, handle, ZS_MM_RO))
			continue;
		if (errno == EBUSY && rig->buffer && done == 0)
			return 0; /* straddles */
		assert_int_equal(errno, ENOMEM);
		assert_true(done >= 6);
		break;
	}
	return done;
}

static void without_memory_six_maps_nest_and_further_ones_may_be_refused(void **state)
{
	enum { DEPTH = 12 };
	const struct habitat *habitat = *state;
	struct zs_pool_options options = { .limit = MIB(1), .buffer_size = MIB(1) };
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(12);
	unsigned refused = 0;
	struct rig rig;
	int *depths;
	size_t i;

	rig_open_tolerant(&rig, habitat, &options);
	objects_fill_up(&objects, rig.pool, &rng, 64, 64);
	depths = calloc(objects.count, sizeof(*depths));
	assert_non_null(depths);
	for (i = 0; i < objects.count; i++) {
		depths[i] = map_deeply(&rig, objects.at[i].handle, DEPTH);
		refused += depths[i] && depths[i] < DEPTH;
	}
	assert_true(refused > 0);
	assert_healthy(rig.pool);
	for (i = 0; i < objects.count; i++) {
		for (; depths[i]; depths[i]--)
			zs_unmap_object(rig.pool, objects.at[i].handle);
	}
	assert_int_equal(mapped_objects(rig.pool), 0);
	assert_no_fault(&rig.faults);
	assert_objects_intact(&objects, rig.pool);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
	free(depths);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BOTH_HABITATS(what_is_written_through_one_mode_is_read_through_another),
		IN_BOTH_HABITATS(a_change_of_one_byte_leaves_its_neighbours),
		cmocka_unit_test(in_a_process_all_modes_are_the_same_address),
		IN_BOTH_HABITATS(an_object_stays_pinned_until_as_many_unmaps_as_maps),
		IN_BOTH_HABITATS(maps_nest_far_beyond_six),
		IN_BOTH_HABITATS(many_objects_nest_deeply_at_the_same_time),
		cmocka_unit_test(any_number_of_objects_is_mapped_at_once),
		IN_BOTH_HABITATS(several_threads_map_the_same_object_at_once),
		IN_BOTH_HABITATS(another_thread_may_unmap),
		IN_BOTH_HABITATS(pinned_objects_stay_while_compaction_moves_the_rest),
		IN_BOTH_HABITATS(pinned_objects_stay_while_automatic_compaction_runs),
		IN_BOTH_HABITATS(an_object_being_read_does_not_move),
		IN_BOTH_HABITATS(obj_write_writes_from_the_start_and_leaves_the_rest),
		IN_BOTH_HABITATS(without_memory_six_maps_nest_and_further_ones_may_be_refused),
	};

	return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
