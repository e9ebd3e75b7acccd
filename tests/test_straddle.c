/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The fixed buffer without an MMU: objects that straddle two scattered pages are
 * copied through map buffers, and only they. An object straddles iff
 * zs_obj_read_begin() returns the caller's copy.
 */
#include "testing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const size_t page_sizes[] = { 256, 512, 1024, 4096, 16384, 65536 };

static unsigned char local_copy[65536];

static bool straddles(struct zs_pool *pool, const struct object *object)
{
	void *mem = zs_obj_read_begin(pool, object->handle, local_copy);
	bool copied = mem == local_copy;

	assert_non_null(mem);
	assert_true(pattern_holds(mem, object->size, object->tag));
	zs_obj_read_end(pool, object->handle, mem);
	return copied;
}

static void open_with_pages(struct rig *rig, size_t page_size, unsigned map_buffers)
{
	struct zs_pool_options options = { .page_size = page_size,
					   .map_buffers = map_buffers,
					   .compaction = ZS_COMPACTION_MANUAL,
					   .buffer_size = KIB(512) + 64 * page_size };

	rig_open_tolerant(rig, &buffer_habitat, &options);
}

/* Allocates objects of 5/8 of a page until count of them straddle; the others follow. */
static void make_straddling(struct objects *straddling, struct objects *whole, struct zs_pool *pool,
			    size_t page_size, size_t count)
{
	struct objects all = { 0 };
	size_t i, found = 0;

	while (found < count) {
		if (!objects_add(&all, pool, page_size * 5 / 8))
			fail_msg("only %zu of %zu objects straddle", found, all.count);
		found += straddles(pool, &all.at[all.count - 1]);
	}
	for (i = 0; i < all.count; i++) {
		struct objects *kind = straddles(pool, &all.at[i]) ? straddling : whole;

		if (kind->count == kind->room) {
			kind->room += 256;
			kind->at = realloc(kind->at, kind->room * sizeof(*kind->at));
			assert_non_null(kind->at);
		}
		kind->at[kind->count++] = all.at[i];
	}
	objects_forget(&all);
}

static void objects_of_all_sizes_are_stored_across_pages(void **state)
{
	size_t p;

	(void)state;
	for (p = 0; p < COUNT_OF(page_sizes); p++) {
		struct objects objects = { 0 };
		struct rng rng = rng_seeded(p);
		size_t i, straddling = 0;
		struct rig rig;

		open_with_pages(&rig, page_sizes[p], 2);
		objects_fill_up(&objects, rig.pool, &rng, 1, (uint32_t)page_sizes[p]);
		for (i = 0; i < objects.count; i++)
			straddling += straddles(rig.pool, &objects.at[i]);
		assert_true(straddling > 0);
		assert_true(straddling < objects.count);
		assert_objects_intact(&objects, rig.pool);
		objects_free_random(&objects, rig.pool, &rng, 60);
		assert_true(zs_compact(rig.pool) > 0);
		assert_objects_intact(&objects, rig.pool);
		assert_healthy(rig.pool);
		rig_assert_guards(&rig);
		objects_free_all(&objects, rig.pool);
		rig_close(&rig);
	}
}

static void reading_copies_only_what_straddles(void **state)
{
	size_t p, i;

	(void)state;
	for (p = 0; p < COUNT_OF(page_sizes); p++) {
		struct objects objects = { 0 };
		struct rng rng = rng_seeded(p);
		struct rig rig;

		open_with_pages(&rig, page_sizes[p], 1);
		objects_fill_up(&objects, rig.pool, &rng, 1, (uint32_t)page_sizes[p]);
		for (i = 0; i < objects.count; i++) {
			struct object *object = &objects.at[i];
			const unsigned char *mem;
			void *mapped;

			memset(local_copy, 0xEE, sizeof(local_copy));
			mem = zs_obj_read_begin(rig.pool, object->handle, local_copy);
			mapped = zs_map_object(rig.pool, object->handle, ZS_MM_RO);
			if (mem == local_copy) {
				assert_ptr_not_equal(mapped, mem);
			} else {
				assert_ptr_equal(mapped, mem);
				assert_true(mem >= rig.buffer);
				assert_true(mem + object->size <= rig.buffer + rig.buffer_size);
				assert_int_equal(local_copy[0], 0xEE);
			}
			zs_unmap_object(rig.pool, object->handle);
			zs_obj_read_end(rig.pool, object->handle, (void *)(uintptr_t)mem);
		}
		objects_free_all(&objects, rig.pool);
		rig_close(&rig);
	}
}

static void the_copy_takes_no_more_than_the_objects_size(void **state)
{
	struct objects straddling = { 0 }, whole = { 0 };
	size_t p, i;

	(void)state;
	for (p = 0; p < COUNT_OF(page_sizes); p++) {
		struct rig rig;

		open_with_pages(&rig, page_sizes[p], 1);
		make_straddling(&straddling, &whole, rig.pool, page_sizes[p], 10);
		for (i = 0; i < straddling.count; i++) {
			zs_handle handle = straddling.at[i].handle;
			size_t size = zs_object_size(rig.pool, handle);
			unsigned char *copy = malloc(size + 1);

			assert_non_null(copy);
			copy[size] = 0xEE;
			assert_ptr_equal(zs_obj_read_begin(rig.pool, handle, copy), copy);
			zs_obj_read_end(rig.pool, handle, copy);
			assert_int_equal(copy[size], 0xEE);
			free(copy);
		}
		objects_free_all(&straddling, rig.pool);
		objects_free_all(&whole, rig.pool);
		rig_close(&rig);
	}
}

static void what_is_written_read_only_is_not_copied_back(void **state)
{
	size_t p, i;

	(void)state;
	for (p = 0; p < COUNT_OF(page_sizes); p++) {
		struct objects straddling = { 0 }, whole = { 0 };
		struct rig rig;

		open_with_pages(&rig, page_sizes[p], 1);
		make_straddling(&straddling, &whole, rig.pool, page_sizes[p], 10);
		for (i = 0; i < straddling.count; i++) {
			struct object *object = &straddling.at[i];
			void *mem = zs_map_object(rig.pool, object->handle, ZS_MM_RO);

			assert_true(pattern_holds(mem, object->size, object->tag));
			memset(mem, 0xDD, object->size);
			zs_unmap_object(rig.pool, object->handle);
			if (ZS_DEBUG)
				assert_one_fault(&rig.faults, ZS_MISUSE_RO_WRITTEN, object->handle);
			assert_true(object_intact(rig.pool, object));
		}
		assert_objects_intact(&whole, rig.pool);
		objects_free_all(&straddling, rig.pool);
		objects_free_all(&whole, rig.pool);
		rig_close(&rig);
	}
}

static void mapping_write_only_does_not_read_the_object(void **state)
{
	size_t p, i;

	(void)state;
	for (p = 0; p < COUNT_OF(page_sizes); p++) {
		struct objects straddling = { 0 }, whole = { 0 };
		struct rig rig;

		open_with_pages(&rig, page_sizes[p], 1);
		make_straddling(&straddling, &whole, rig.pool, page_sizes[p], 10);
		for (i = 1; i < straddling.count; i++) {
			struct object *object = &straddling.at[i];
			void *mem;

			/* Something else was in the only map buffer last. */
			assert_true(object_intact(rig.pool, &straddling.at[i - 1]));
			mem = zs_map_object(rig.pool, object->handle, ZS_MM_WO);
			assert_non_null(mem);
			if (!ZS_DEBUG) /* which has to keep the bytes past the object */
				assert_false(pattern_holds(mem, object->size, object->tag));
			object->tag += UINT64_C(1) << 40;
			pattern_fill(mem, object->size, object->tag);
			zs_unmap_object(rig.pool, object->handle);
			assert_true(object_intact(rig.pool, object));
		}
		assert_objects_intact(&straddling, rig.pool);
		assert_objects_intact(&whole, rig.pool);
		objects_free_all(&straddling, rig.pool);
		objects_free_all(&whole, rig.pool);
		rig_close(&rig);
	}
}

static void as_many_straddling_objects_are_mapped_as_there_are_buffers(void **state)
{
	static const unsigned map_buffers[] = { 0, 1, 2, 3, 17, 64 };
	size_t b, i;

	(void)state;
	for (b = 0; b < COUNT_OF(map_buffers); b++) {
		unsigned available = map_buffers[b] ? map_buffers[b] : 2;
		struct objects straddling = { 0 }, whole = { 0 };
		struct zs_pool_stats before, after;
		struct object *last;
		struct rig rig;

		open_with_pages(&rig, 1024, map_buffers[b]);
		make_straddling(&straddling, &whole, rig.pool, 1024, available + 1);
		for (i = 0; i < available; i++)
			assert_non_null(zs_map_object(rig.pool, straddling.at[i].handle,
						      i % 2 ? ZS_MM_RW : ZS_MM_RO));
		last = &straddling.at[available];
		zs_pool_stats(rig.pool, &before);
		for (i = 0; i < 3; i++) {
			errno = 0;
			assert_null(zs_map_object(rig.pool, last->handle, (enum zs_mapmode)i));
			assert_int_equal(errno, EBUSY);
			assert_int_equal(zs_last_error(rig.pool), EBUSY);
		}
		zs_pool_stats(rig.pool, &after);
		assert_same_stats(&before, &after);
		assert_int_equal(after.mapped_objects, available);
		assert_objects_intact(&whole, rig.pool);
		zs_unmap_object(rig.pool, straddling.at[0].handle);
		assert_true(object_intact(rig.pool, last));
		for (i = 1; i < available; i++)
			zs_unmap_object(rig.pool, straddling.at[i].handle);
		assert_objects_intact(&straddling, rig.pool);
		objects_free_all(&straddling, rig.pool);
		objects_free_all(&whole, rig.pool);
		rig_close(&rig);
	}
}

static void reading_and_writing_need_no_map_buffer(void **state)
{
	struct objects straddling = { 0 }, whole = { 0 };
	struct object *object;
	struct rig rig;
	void *mem;

	(void)state;
	open_with_pages(&rig, 1024, 1);
	make_straddling(&straddling, &whole, rig.pool, 1024, 3);
	assert_non_null(zs_map_object(rig.pool, straddling.at[0].handle, ZS_MM_RO));
	object = &straddling.at[1];
	assert_null(zs_map_object(rig.pool, object->handle, ZS_MM_RO));
	pattern_fill(local_copy, object->size, 77);
	zs_obj_write(rig.pool, object->handle, local_copy, object->size);
	object->tag = 77;
	memset(local_copy, 0, sizeof(local_copy));
	mem = zs_obj_read_begin(rig.pool, object->handle, local_copy);
	assert_ptr_equal(mem, local_copy);
	assert_true(pattern_holds(mem, object->size, object->tag));
	zs_obj_read_end(rig.pool, object->handle, mem);
	zs_unmap_object(rig.pool, straddling.at[0].handle);
	assert_objects_intact(&straddling, rig.pool);
	objects_free_all(&straddling, rig.pool);
	objects_free_all(&whole, rig.pool);
	rig_close(&rig);
}

static void maps_of_one_straddling_object_share_a_buffer(void **state)
{
	struct objects straddling = { 0 }, whole = { 0 };
	struct object *object;
	struct rig rig;
	void *mem;
	int i;

	(void)state;
	open_with_pages(&rig, 1024, 1);
	make_straddling(&straddling, &whole, rig.pool, 1024, 1);
	object = &straddling.at[0];
	mem = zs_map_object(rig.pool, object->handle, ZS_MM_RO);
	assert_ptr_equal(zs_map_object(rig.pool, object->handle, ZS_MM_RW), mem);
	for (i = 0; i < 10; i++)
		assert_ptr_equal(zs_map_object(rig.pool, object->handle, ZS_MM_RO), mem);
	object->tag = 99;
	pattern_fill(mem, object->size, object->tag);
	for (i = 0; i < 12; i++)
		zs_unmap_object(rig.pool, object->handle);
	assert_no_fault(&rig.faults);
	assert_true(object_intact(rig.pool, object));
	objects_free_all(&straddling, rig.pool);
	objects_free_all(&whole, rig.pool);
	rig_close(&rig);
}

static void the_whole_buffer_is_used_and_nothing_outside_it(void **state)
{
	size_t p, size;

	(void)state;
	for (p = 0; p < COUNT_OF(page_sizes); p++) {
		size_t page = page_sizes[p], spare = 8 * page + page / 2;
		struct objects objects = { 0 };
		uint64_t total;
		struct rig rig;

		open_with_pages(&rig, page, 1);
		for (size = page; size; size = size * 7 / 8) {
			while (objects_add(&objects, rig.pool, size))
				;
			assert_int_equal(errno, ENOMEM);
		}
		total = zs_get_total_size_bytes(rig.pool);
		assert_true(total <= rig.buffer_size);
		assert_true(total + spare >= rig.buffer_size);
		assert_objects_intact(&objects, rig.pool);
		assert_healthy(rig.pool);
		rig_assert_guards(&rig);
		objects_free_all(&objects, rig.pool);
		rig_close(&rig);
	}
}

static void pages_need_not_be_neighbours(void **state)
{
	size_t p;

	(void)state;
	for (p = 0; p < COUNT_OF(page_sizes); p++) {
		size_t page = page_sizes[p];
		struct objects stay = { 0 }, go = { 0 }, objects = { 0 };
		struct rng rng = rng_seeded(p);
		struct rig rig;

		/* Two classes take pages in turn; when one goes it leaves no run of pages. */
		open_with_pages(&rig, page, 1);
		while (objects_add(&stay, rig.pool, page) &&
		       objects_add(&go, rig.pool, page * 3 / 4))
			;
		objects_free_all(&go, rig.pool);
		objects_fill_up(&objects, rig.pool, &rng, (uint32_t)page * 5 / 8,
				(uint32_t)page * 5 / 8);
		assert_true(objects.count > stay.count * 3 / 4);
		assert_objects_intact(&objects, rig.pool);
		assert_objects_intact(&stay, rig.pool);
		assert_healthy(rig.pool);
		objects_free_all(&objects, rig.pool);
		objects_free_all(&stay, rig.pool);
		rig_close(&rig);
	}
}

static void objects_larger_than_a_page_are_refused_or_work(void **state)
{
	struct zs_pool_options options = { .page_size = 1024,
					   .max_object_size = 4096,
					   .buffer_size = MIB(1) };
	unsigned char *buffer = malloc(options.buffer_size);
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(13);
	struct zs_pool *pool;

	(void)state;
	assert_non_null(buffer);
	options.buffer = buffer;
	errno = 0;
	pool = zs_create_pool(&options);
	if (!pool) {
		assert_int_equal(errno, EINVAL);
		free(buffer);
		return;
	}
	objects_fill(&objects, pool, &rng, 100, 1, 4096);
	assert_objects_intact(&objects, pool);
	objects_free_all(&objects, pool);
	assert_healthy(pool);
	zs_destroy_pool(pool);
	free(buffer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_of_all_sizes_are_stored_across_pages),
		cmocka_unit_test(reading_copies_only_what_straddles),
		cmocka_unit_test(the_copy_takes_no_more_than_the_objects_size),
		cmocka_unit_test(what_is_written_read_only_is_not_copied_back),
		cmocka_unit_test(mapping_write_only_does_not_read_the_object),
		cmocka_unit_test(as_many_straddling_objects_are_mapped_as_there_are_buffers),
		cmocka_unit_test(reading_and_writing_need_no_map_buffer),
		cmocka_unit_test(maps_of_one_straddling_object_share_a_buffer),
		cmocka_unit_test(the_whole_buffer_is_used_and_nothing_outside_it),
		cmocka_unit_test(pages_need_not_be_neighbours),
		cmocka_unit_test(objects_larger_than_a_page_are_refused_or_work),
	};

	return cmocka_run_group_tests_name("straddle", tests, NULL, NULL);
}
