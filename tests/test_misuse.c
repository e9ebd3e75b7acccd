/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Wrong use is noticed before anything is touched: with a handler that returns, the call
 * does nothing. How the process ends without one is in test_misuse_lines.c, how surely
 * a wrong handle is told from a good one in test_forged.c.
 */
#include "core/quick.h"
#include "testing.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { VICTIM_BYTES = 100 };

/* With 64 bits a handle proves which pool gave it out; with 32 it cannot. */
#define HANDLES_ARE_TAGGED (sizeof(zs_handle) >= 8)

/* The scene of a crime, shared between a parent and the child that commits it. */
struct crime {
	struct zs_pool *pool;
	struct zs_pool *other_pool;
	struct object bystander;
	zs_handle victim;   /* alive, VICTIM_BYTES */
	zs_handle stale;    /* freed */
	zs_handle replaced; /* freed, and something else allocated since */
	zs_handle foreign;  /* alive in other_pool */
	zs_handle handle;   /* the one that was misused */
	uintptr_t result;   /* of the wrong call, where it has one */
	unsigned long *faults;
};

static unsigned char scratch[65536];

/* The calls that take a handle, each made with one that is no good. */
static void call_free(struct crime *crime)
{
	zs_free(crime->pool, crime->handle);
}

static void call_map(struct crime *crime)
{
	crime->result = (uintptr_t)zs_map_object(crime->pool, crime->handle, ZS_MM_RW);
}

static void call_unmap(struct crime *crime)
{
	zs_unmap_object(crime->pool, crime->handle);
}

static void call_read_begin(struct crime *crime)
{
	crime->result = (uintptr_t)zs_obj_read_begin(crime->pool, crime->handle, scratch);
}

static void call_read_end(struct crime *crime)
{
	zs_obj_read_end(crime->pool, crime->handle, scratch);
}

static void call_write(struct crime *crime)
{
	zs_obj_write(crime->pool, crime->handle, scratch, 8);
}

static void call_size(struct crime *crime)
{
	crime->result = zs_object_size(crime->pool, crime->handle);
}

static const struct {
	const char *name;
	void (*make)(struct crime *crime);
} calls[] = {
	{ "zs_free", call_free },
	{ "zs_map_object", call_map },
	{ "zs_unmap_object", call_unmap },
	{ "zs_obj_read_begin", call_read_begin },
	{ "zs_obj_read_end", call_read_end },
	{ "zs_obj_write", call_write },
	{ "zs_object_size", call_size },
};

static void use_zero(struct crime *crime)
{
	crime->handle = 0;
}

static void use_forged(struct crime *crime)
{
	crime->handle = (zs_handle)UINT64_C(0x123456789ABCDEF1);
}

static void use_address(struct crime *crime)
{
	crime->handle = (zs_handle)(uintptr_t)crime;
}

static void use_damaged(struct crime *crime)
{
	crime->handle = ~crime->victim;
}

static void use_foreign(struct crime *crime)
{
	crime->handle = crime->foreign;
}

static void use_stale(struct crime *crime)
{
	crime->handle = crime->stale;
}

static void use_replaced(struct crime *crime)
{
	crime->handle = crime->replaced;
}

static const struct {
	const char *name;
	void (*choose)(struct crime *crime);
	enum zs_misuse fault;
} bad_handles[] = {
	{ "0", use_zero, ZS_MISUSE_BAD_HANDLE },
	{ "a forged handle", use_forged, ZS_MISUSE_BAD_HANDLE },
	{ "an address", use_address, ZS_MISUSE_BAD_HANDLE },
	{ "a damaged handle", use_damaged, ZS_MISUSE_BAD_HANDLE },
	{ "a handle of another pool", use_foreign, ZS_MISUSE_BAD_HANDLE },
	{ "a freed handle", use_stale, ZS_MISUSE_STALE_HANDLE },
	{ "a freed handle whose place was given away", use_replaced, ZS_MISUSE_STALE_HANDLE },
};

/* Is that call with that handle wrong, and can that be noticed? */
static bool is_misuse(size_t bad_handle, size_t call)
{
	if (bad_handles[bad_handle].choose == use_zero)
		return calls[call].make != call_free;
	return bad_handles[bad_handle].choose != use_foreign || HANDLES_ARE_TAGGED;
}

/* Crimes of other kinds. */
static void free_a_mapped_object(struct crime *crime)
{
	zs_map_object(crime->pool, crime->victim, ZS_MM_RO);
	zs_free(crime->pool, crime->victim);
}

static void free_an_object_being_read(struct crime *crime)
{
	zs_obj_read_begin(crime->pool, crime->victim, scratch);
	zs_free(crime->pool, crime->victim);
}

static void unmap_an_object_never_mapped(struct crime *crime)
{
	zs_unmap_object(crime->pool, crime->victim);
}

static void unmap_once_too_often(struct crime *crime)
{
	zs_map_object(crime->pool, crime->victim, ZS_MM_RO);
	zs_map_object(crime->pool, crime->victim, ZS_MM_RO);
	zs_unmap_object(crime->pool, crime->victim);
	zs_unmap_object(crime->pool, crime->victim);
	zs_unmap_object(crime->pool, crime->victim);
}

static void end_a_read_that_never_began(struct crime *crime)
{
	zs_obj_read_end(crime->pool, crime->victim, scratch);
}

static void destroy_with_an_object_mapped(struct crime *crime)
{
	crime->handle = 0;
	zs_map_object(crime->pool, crime->victim, ZS_MM_RO);
	zs_destroy_pool(crime->pool);
}

static void write_one_byte_more_than_the_slot(struct crime *crime)
{
	zs_obj_write(crime->pool, crime->victim, scratch,
		     zs_object_size(crime->pool, crime->victim) + 1);
}

static void write_very_much_more_than_the_slot(struct crime *crime)
{
	zs_obj_write(crime->pool, crime->victim, scratch, SIZE_MAX);
}

static const struct {
	const char *name;
	void (*commit)(struct crime *crime);
	enum zs_misuse fault;
	unsigned maps_left; /* maps of the victim that are still open afterwards */
} crimes[] = {
	{ "free mapped", free_a_mapped_object, ZS_MISUSE_FREE_MAPPED, 1 },
	{ "free while read", free_an_object_being_read, ZS_MISUSE_FREE_MAPPED, 1 },
	{ "unmap unmapped", unmap_an_object_never_mapped, ZS_MISUSE_NOT_MAPPED, 0 },
	{ "unmap twice", unmap_once_too_often, ZS_MISUSE_NOT_MAPPED, 0 },
	{ "read end", end_a_read_that_never_began, ZS_MISUSE_NOT_MAPPED, 0 },
	{ "destroy mapped", destroy_with_an_object_mapped, ZS_MISUSE_DESTROY_MAPPED, 1 },
	{ "write slot + 1", write_one_byte_more_than_the_slot, ZS_MISUSE_OVERRUN, 0 },
	{ "write SIZE_MAX", write_very_much_more_than_the_slot, ZS_MISUSE_OVERRUN, 0 },
};

/* Two pools; the one that will be misused is called "culprit". */
struct scene {
	struct rig rig;
	struct rig other;
	struct crime *crime;
};

static void scene_open(struct scene *scene, const struct habitat *habitat, bool tolerant)
{
	struct zs_pool_options options = { .name = "culprit", .buffer_size = KIB(256) };
	struct crime *crime = mmap(NULL, sizeof(*crime), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(crime != MAP_FAILED);
	scene->crime = crime;
	(tolerant ? rig_open_tolerant : rig_open)(&scene->rig, habitat, &options);
	rig_open(&scene->other, habitat, &options);
	crime->pool = scene->rig.pool;
	crime->other_pool = scene->other.pool;
	crime->faults = &scene->rig.faults.count;
	assert_true(object_make(crime->pool, &crime->bystander, VICTIM_BYTES, 1));
	crime->replaced = zs_malloc(crime->pool, VICTIM_BYTES);
	zs_free(crime->pool, crime->replaced);
	crime->victim = zs_malloc(crime->pool, VICTIM_BYTES);
	crime->stale = zs_malloc(crime->pool, VICTIM_BYTES);
	assert_true(zs_malloc(crime->pool, VICTIM_BYTES) != 0);
	zs_free(crime->pool, crime->stale);
	crime->foreign = zs_malloc(crime->other_pool, VICTIM_BYTES);
	assert_true(crime->victim && crime->stale && crime->foreign);
	crime->handle = crime->victim;
	crime->result = 0;
}

static void scene_close(struct scene *scene)
{
	zs_free(scene->crime->other_pool, scene->crime->foreign);
	rig_close(&scene->other);
	rig_close(&scene->rig);
	munmap(scene->crime, sizeof(*scene->crime));
}

static void bad_handles_are_refused_by_every_call(void **state)
{
	const struct habitat *habitat = *state;
	size_t h, c;

	for (h = 0; h < COUNT_OF(bad_handles); h++) {
		for (c = 0; c < COUNT_OF(calls); c++) {
			struct zs_pool_stats before, after;
			struct scene scene;

			if (!is_misuse(h, c))
				continue;
			scene_open(&scene, habitat, true);
			bad_handles[h].choose(scene.crime);
			scene.crime->result = 0;
			zs_pool_stats(scene.rig.pool, &before);
			calls[c].make(scene.crime);
			zs_pool_stats(scene.rig.pool, &after);
			if (scene.rig.faults.fault != bad_handles[h].fault)
				print_error("%s with %s\n", calls[c].name, bad_handles[h].name);
			assert_ptr_equal(scene.rig.faults.pool, scene.rig.pool);
			assert_one_fault(&scene.rig.faults, bad_handles[h].fault,
					 scene.crime->handle);
			assert_int_equal(scene.crime->result, 0);
			assert_same_stats(&before, &after);
			assert_true(object_intact(scene.rig.pool, &scene.crime->bystander));
			scene_close(&scene);
		}
	}
}

static void after_other_misuse_the_call_did_nothing(void **state)
{
	const struct habitat *habitat = *state;
	struct zs_pool_stats stats;
	size_t i;

	for (i = 0; i < COUNT_OF(crimes); i++) {
		struct scene scene;

		scene_open(&scene, habitat, true);
		crimes[i].commit(scene.crime);
		if (scene.rig.faults.fault != crimes[i].fault)
			print_error("%s\n", crimes[i].name);
		if (crimes[i].fault == ZS_MISUSE_DESTROY_MAPPED)
			scene.crime->handle = scene.rig.faults.handle;
		assert_ptr_equal(scene.rig.faults.pool, scene.rig.pool);
		assert_one_fault(&scene.rig.faults, crimes[i].fault, scene.crime->handle);
		zs_pool_stats(scene.rig.pool, &stats);
		assert_int_equal(stats.mapped_objects, crimes[i].maps_left);
		if (crimes[i].maps_left)
			zs_unmap_object(scene.rig.pool, scene.crime->victim);
		assert_true(object_intact(scene.rig.pool, &scene.crime->bystander));
		zs_free(scene.rig.pool, scene.crime->victim);
		scene_close(&scene);
	}
}

static bool names_handle(const char *line, zs_handle handle)
{
	char hexadecimal[32], decimal[32];

	snprintf(hexadecimal, sizeof(hexadecimal), "%" PRIxPTR, handle);
	snprintf(decimal, sizeof(decimal), "%" PRIuPTR, handle);
	return strstr(line, hexadecimal) || strstr(line, decimal);
}

static void the_message_for_a_handler_is_one_line_without_newline(void **state)
{
	const struct habitat *habitat = *state;
	struct scene scene;

	scene_open(&scene, habitat, true);
	scene.crime->handle = scene.crime->stale;
	call_free(scene.crime);
	assert_one_fault(&scene.rig.faults, ZS_MISUSE_STALE_HANDLE, scene.crime->stale);
	assert_null(strchr(scene.rig.faults.message, '\n'));
	assert_non_null(strstr(scene.rig.faults.message, "culprit"));
	assert_true(names_handle(scene.rig.faults.message, scene.crime->stale));
	scene_close(&scene);
}

static void look_inside(struct zs_pool *pool, enum zs_misuse fault, zs_handle handle,
			const char *message, void *data)
{
	struct zs_pool_stats stats;

	(void)fault;
	(void)handle;
	(void)message;
	zs_pool_stats(pool, &stats);
	zs_check(pool, NULL, NULL);
	zs_free(pool, zs_malloc(pool, VICTIM_BYTES));
	++*(int *)data;
}

static void no_lock_is_held_while_a_handler_runs(void **state)
{
	const struct habitat *habitat = *state;
	int called = 0;
	struct zs_pool_options options = { .on_misuse = look_inside, .hook_data = &called };
	zs_handle stale, mapped;
	struct rig rig;

	rig_open(&rig, habitat, &options);
	stale = zs_malloc(rig.pool, VICTIM_BYTES);
	mapped = zs_malloc(rig.pool, VICTIM_BYTES);
	zs_free(rig.pool, stale);
	zs_free(rig.pool, stale);
	zs_map_object(rig.pool, stale, ZS_MM_RO);
	zs_unmap_object(rig.pool, mapped);
	zs_obj_write(rig.pool, mapped, scratch, sizeof(scratch));
	zs_map_object(rig.pool, mapped, ZS_MM_RO);
	zs_free(rig.pool, mapped);
	zs_destroy_pool(rig.pool);
	assert_int_equal(called, 6);
	zs_unmap_object(rig.pool, mapped);
	zs_free(rig.pool, mapped);
	rig_close(&rig);
}

/* Writes one byte just past the object; noticed when it is unmapped or freed. */
static void overrun_by_one_byte(struct rig *rig, zs_handle handle, size_t size)
{
	unsigned char *mem = zs_map_object(rig->pool, handle, ZS_MM_RW);

	assert_non_null(mem);
	mem[size] ^= 0xFF;
	zs_unmap_object(rig->pool, handle);
	if (rig->faults.count == 0)
		zs_free(rig->pool, handle);
}

static void a_byte_written_past_the_object_is_noticed_in_a_debug_build(void **state)
{
	const struct habitat *habitat = *state;
	size_t size;

	if (!ZS_DEBUG) {
		print_message("skipped: not a debug build\n");
		skip();
	}
	for (size = 1; size < 4096; size += size < 140 ? 1 : 211) {
		struct rig rig;
		zs_handle handle;

		rig_open_tolerant(&rig, habitat, NULL);
		handle = zs_malloc(rig.pool, size);
		overrun_by_one_byte(&rig, handle, size);
		if (rig.faults.count != 1)
			print_error("one byte past an object of %zu bytes\n", size);
		assert_one_fault(&rig.faults, ZS_MISUSE_OVERRUN, handle);
		zs_destroy_pool(rig.pool);
		rig_assert_guards(&rig);
		free(rig.guarded);
	}
}

static void a_write_through_a_read_only_map_is_noticed_in_a_debug_build(void **state)
{
	const struct habitat *habitat = *state;
	size_t size;

	if (!ZS_DEBUG) {
		print_message("skipped: not a debug build\n");
		skip();
	}
	for (size = 1; size < 4096; size += 97) {
		struct object object;
		struct rig rig;
		unsigned char *mem;

		rig_open_tolerant(&rig, habitat, NULL);
		assert_true(object_make(rig.pool, &object, size, 1));
		mem = zs_map_object(rig.pool, object.handle, ZS_MM_RO);
		mem[size / 2] ^= 1;
		zs_unmap_object(rig.pool, object.handle);
		assert_one_fault(&rig.faults, ZS_MISUSE_RO_WRITTEN, object.handle);
		zs_destroy_pool(rig.pool);
		rig_assert_guards(&rig);
		free(rig.guarded);
	}
}

/* The chance that a pool gets: see meson.build. */
static bool unlucky;
ssize_t __real_getrandom(void *to, size_t length, unsigned flags);
ssize_t __wrap_getrandom(void *to, size_t length, unsigned flags);

ssize_t __wrap_getrandom(void *to, size_t length, unsigned flags)
{
	if (!unlucky)
		return __real_getrandom(to, length, flags);
	memset(to, 0, length);
	return (ssize_t)length;
}

/* One pool in 4,096 took the zeros where no block is for a block: its secret was such. */
static void zero_is_no_handle_of_any_pool(void **state)
{
	struct rig rig;

	(void)state;
	unlucky = true;
	rig_open_tolerant(&rig, &process_habitat, NULL);
	unlucky = false;
	assert_true(zs_malloc(rig.pool, 100));
	assert_null(zs_map_object(rig.pool, 0, ZS_MM_RO));
	assert_one_fault(&rig.faults, ZS_MISUSE_BAD_HANDLE, 0);
	zs_destroy_pool(rig.pool);
}

/* The blocks of their handles are gone too. */
static void handles_of_a_pool_that_was_emptied_are_stale(void **state)
{
	struct objects objects = { 0 };
	zs_handle handles[1000];
	struct rng rng = rng_seeded(7);
	struct rig rig;

	rig_open_tolerant(&rig, *state, NULL);
	objects_fill(&objects, rig.pool, &rng, COUNT_OF(handles), 100, 100);
	for (size_t i = 0; i < COUNT_OF(handles); i++)
		handles[i] = objects.at[i].handle;
	objects_free_all(&objects, rig.pool);
	for (size_t i = 0; i < COUNT_OF(handles); i++) {
		unsigned long before = rig.faults.count;

		assert_null(zs_map_object(rig.pool, handles[i], ZS_MM_RO));
		assert_true(rig.faults.count > before);
	}
	rig.faults.count = 0;
	rig_close(&rig);
}

/* Memory that was overwritten: an entry leads where there is no zspage, or no object. */
static void what_leads_nowhere_is_not_freed(void **state)
{
	struct zs_object object = { 0 };
	struct rig rig;

	rig_open_tolerant(&rig, *state, NULL);
	zs_handle handle = zs_malloc(rig.pool, 3500), other = zs_malloc(rig.pool, 3500);
	assert_true(handle && other && zs_find(rig.pool, other, &object));
	uint32_t free = *object.entry & LOC_MASK;
	zs_unlock(&object.shard->lock);
	zs_free(rig.pool, other);
	assert_true(zs_find(rig.pool, handle, &object));
	zs_unlock(&object.shard->lock);
	uint32_t right = *object.entry;
	assert_false(zs_is_object(rig.pool, object.shard, free));
	*object.entry = (right & ~LOC_MASK) | free;
	zs_free(rig.pool, handle);
	assert_one_fault(&rig.faults, ZS_MISUSE_CORRUPT, handle);
	*object.entry = right;
	zs_ref *table = zs_table(rig.pool, object.shard, right >> SLOT_BITS & (MAX_ZSPAGES - 1));
	zs_ref used = *table;
	*table |= ZTAB_FREE;
	zs_free(rig.pool, handle);
	assert_one_fault(&rig.faults, ZS_MISUSE_CORRUPT, handle);
	*table = used;
	/* The slot behind the last, if the map has a bit for it, and that says that it is in use. */
	struct zspage *zspage = zs_zspage(rig.pool, object.shard, (right & LOC_MASK) >> SLOT_BITS);
	unsigned beyond = object.shard->class[zspage->class].slots;
	if (beyond % 64) {
		zspage->map[beyond / 64] |= UINT64_C(1) << beyond % 64;
		*object.entry = (right & ~(MAX_SLOTS - 1)) | beyond;
		zs_free(rig.pool, handle);
		assert_one_fault(&rig.faults, ZS_MISUSE_CORRUPT, handle);
		zspage->map[beyond / 64] &= ~(UINT64_C(1) << beyond % 64);
	}
	/* The zspage behind the last. */
	uint32_t none = object.shard->nzspages;
	zs_ref *unused = zs_table(rig.pool, object.shard, none), before = *unused;
	*unused = used;
	*object.entry = (right & ~LOC_MASK) | none << SLOT_BITS | (right & (MAX_SLOTS - 1));
	zs_free(rig.pool, handle);
	assert_one_fault(&rig.faults, ZS_MISUSE_CORRUPT, handle);
	*unused = before;
	*object.entry = right;
	zs_free(rig.pool, handle);
	assert_no_fault(&rig.faults);
	rig_close(&rig);
}

/* The largest class is wider than the largest object. */
static void a_write_to_what_was_allocated_last_has_to_fit(void **state)
{
	enum { LARGEST = 1001 };
	static const char bytes[2 * LARGEST];
	struct rig rig;

	rig_open_tolerant(&rig, *state, &(struct zs_pool_options){ .max_object_size = LARGEST });
	for (size_t size = 90; size <= LARGEST; size += 911) {
		zs_handle handle = zs_malloc(rig.pool, size);
		size_t room = zs_object_size(rig.pool, handle);

		zs_free(rig.pool, handle);
		handle = zs_malloc(rig.pool, size);
		zs_obj_write(rig.pool, handle, bytes, room);
		assert_no_fault(&rig.faults);
		zs_free(rig.pool, handle);
		handle = zs_malloc(rig.pool, size);
		zs_map_object(rig.pool, handle, ZS_MM_RO);
		zs_unmap_object(rig.pool, handle);
		zs_obj_write(rig.pool, handle, bytes, room + 1);
		assert_one_fault(&rig.faults, ZS_MISUSE_OVERRUN, handle);
		zs_free(rig.pool, handle);
	}
	rig_close(&rig);
}

/* A program of one thread finds what it mapped last without a look at the handle. */
static void what_was_mapped_last_is_gone_once_it_is_freed(void **state)
{
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(6);
	struct rig rig;

	rig_open_tolerant(&rig, *state, NULL);
	objects_fill(&objects, rig.pool, &rng, 1000, 100, 100);
	for (size_t i = 0; i < 10; i++) {
		zs_handle handle = objects.at[i * 10].handle;

		assert_non_null(zs_map_object(rig.pool, handle, ZS_MM_RO));
		zs_unmap_object(rig.pool, handle);
		objects_remove(&objects, rig.pool, i * 10);
		assert_null(zs_map_object(rig.pool, handle, ZS_MM_RO));
		assert_one_fault(&rig.faults, ZS_MISUSE_STALE_HANDLE, handle);
		zs_obj_write(rig.pool, handle, "gone", 4);
		assert_one_fault(&rig.faults, ZS_MISUSE_STALE_HANDLE, handle);
		zs_unmap_object(rig.pool, handle);
		assert_one_fault(&rig.faults, ZS_MISUSE_STALE_HANDLE, handle);
		zs_free(rig.pool, handle);
		assert_one_fault(&rig.faults, ZS_MISUSE_STALE_HANDLE, handle);
	}
	assert_objects_intact(&objects, rig.pool);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BOTH_HABITATS(bad_handles_are_refused_by_every_call),
		IN_BOTH_HABITATS(after_other_misuse_the_call_did_nothing),
		IN_BOTH_HABITATS(the_message_for_a_handler_is_one_line_without_newline),
		IN_BOTH_HABITATS(no_lock_is_held_while_a_handler_runs),
		IN_BOTH_HABITATS(a_byte_written_past_the_object_is_noticed_in_a_debug_build),
		IN_BOTH_HABITATS(a_write_through_a_read_only_map_is_noticed_in_a_debug_build),
		cmocka_unit_test(zero_is_no_handle_of_any_pool),
		IN_BOTH_HABITATS(handles_of_a_pool_that_was_emptied_are_stale),
		IN_BOTH_HABITATS(what_leads_nowhere_is_not_freed),
		IN_BOTH_HABITATS(a_write_to_what_was_allocated_last_has_to_fit),
		IN_BOTH_HABITATS(what_was_mapped_last_is_gone_once_it_is_freed),
	};

	return cmocka_run_group_tests_name("misuse", tests, NULL, NULL);
}
