/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Random sequences of all calls against a trivial model: an array of what should
 * be there. Many kinds of pool in both habitats; ends with everything freed.
 * Usage: test_random [operations in all [seed]]
 */
#include "testing.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PINS = 24, LIVE = 1500, CHECK_EVERY = 2000 };

static unsigned long operations = ZS_DEBUG ? 250000 : 1000000;
static uint64_t seed = 1;

static const struct kind {
	bool fixed;
	struct zs_pool_options options;
} kinds[] = {
	{ false, { .page_size = 0 } },
	{ false, { .alignment = 1 } },
	{ false, { .alignment = 16, .max_object_size = 1000 } },
	{ false, { .page_size = 16384, .max_object_size = 16384 } },
	{ false, { .page_size = 65536, .max_object_size = 65536, .limit = 24 << 20 } },
	{ false, { .max_object_size = 33, .compaction = ZS_COMPACTION_MANUAL } },
	{ false, { .limit = 1 << 20 } },
	{ false,
	  { .max_object_size = 9000, .limit = 5 << 20, .compaction = ZS_COMPACTION_MANUAL } },
	{ true, { .buffer_size = 8 << 20 } },
	{ true, { .page_size = 256, .buffer_size = 200 << 10, .map_buffers = 1 } },
	{ true,
	  { .page_size = 256, .buffer_size = 64 << 10, .max_object_size = 100, .alignment = 1 } },
	{ true, { .page_size = 512, .buffer_size = 300001, .alignment = 16 } },
	{ true,
	  { .page_size = 1024,
	    .buffer_size = 1 << 20,
	    .alignment = 4,
	    .compaction = ZS_COMPACTION_MANUAL } },
	{ true, { .page_size = 4096, .buffer_size = 1 << 20, .map_buffers = 64 } },
	{ true, { .page_size = 16384, .buffer_size = 6 << 20, .limit = 4 << 20 } },
	{ true, { .page_size = 65536, .buffer_size = 16 << 20, .alignment = 2 } },
};

/* An object kept mapped over other calls. */
struct pin {
	zs_handle handle;
	void *mem;
	enum zs_mapmode mode;
};

struct model {
	struct rig rig;
	const struct kind *kind;
	struct rng rng;
	struct objects objects;
	size_t aim; /* so many objects, for now */
	size_t max_object_size;
	unsigned map_buffers;
	struct pin pins[PINS];
	size_t pin_count;
	zs_handle freed[64];
	size_t freed_count;
	unsigned long refusals;
	unsigned char *local_copy;
};

static size_t pins_of(const struct model *model, zs_handle handle)
{
	size_t i, count = 0;

	for (i = 0; i < model->pin_count; i++)
		count += model->pins[i].handle == handle;
	return count;
}

static size_t choose_size(struct model *model)
{
	uint32_t largest = (uint32_t)model->max_object_size;
	uint32_t small = largest < 64 ? largest : 64;

	switch (rng_below(&model->rng, 8)) {
	case 0:
		return largest;
	case 1:
	case 2:
		return rng_between(&model->rng, 1, small);
	case 3:
		return rng_between(&model->rng, largest - largest / 4, largest);
	default:
		return rng_between(&model->rng, 1, largest);
	}
}

static struct object *choose_object(struct model *model)
{
	if (model->objects.count == 0)
		return NULL;
	return &model->objects.at[rng_below(&model->rng, (uint32_t)model->objects.count)];
}

/* A refused map is right only if map buffers or pages ran out. */
static void assert_map_may_fail(const struct model *model, zs_handle handle)
{
	if (errno == EBUSY) {
		assert_true(model->kind->fixed);
		assert_true(model->pin_count >= model->map_buffers);
		assert_int_equal(pins_of(model, handle), 0);
		return;
	}
	assert_int_equal(errno, ENOMEM);
	assert_true(pins_of(model, handle) >= 6);
	assert_true(model->kind->fixed || model->kind->options.limit);
}

static void *map(struct model *model, const struct object *object, enum zs_mapmode mode)
{
	void *mem;

	errno = 0;
	mem = zs_map_object(model->rig.pool, object->handle, mode);
	if (!mem)
		assert_map_may_fail(model, object->handle);
	return mem;
}

static void op_malloc(struct model *model)
{
	struct object object;
	void *mem;

	object.size = choose_size(model);
	object.tag = model->objects.next_tag++;
	errno = 0;
	object.handle = zs_malloc(model->rig.pool, object.size);
	if (!object.handle) {
		model->refusals++;
		if (errno == ENOSPC)
			assert_true(model->kind->options.limit != 0);
		else
			assert_true(errno == ENOMEM && model->kind->fixed);
		model->aim = model->objects.count * 3 / 4;
		return;
	}
	mem = map(model, &object, ZS_MM_WO);
	if (mem) {
		pattern_fill(mem, object.size, object.tag);
		zs_unmap_object(model->rig.pool, object.handle);
	} else {
		pattern_fill(model->local_copy, object.size, object.tag);
		zs_obj_write(model->rig.pool, object.handle, model->local_copy, object.size);
	}
	if (model->objects.count == model->objects.room) {
		model->objects.room += LIVE;
		model->objects.at =
			realloc(model->objects.at, model->objects.room * sizeof(object));
		assert_non_null(model->objects.at);
	}
	model->objects.at[model->objects.count++] = object;
}

static void op_free(struct model *model)
{
	struct object *object = choose_object(model);

	if (!object || pins_of(model, object->handle))
		return;
	model->freed[model->freed_count++ % COUNT_OF(model->freed)] = object->handle;
	objects_remove(&model->objects, model->rig.pool, (size_t)(object - model->objects.at));
}

static void op_read_map(struct model *model)
{
	const struct object *object = choose_object(model);
	const void *mem;

	if (!object)
		return;
	mem = map(model, object, ZS_MM_RO);
	if (!mem)
		return;
	assert_true(pattern_holds(mem, object->size, object->tag));
	zs_unmap_object(model->rig.pool, object->handle);
}

static void op_write_map(struct model *model)
{
	struct object *object = choose_object(model);
	bool whole = rng_percent(&model->rng, 50);
	void *mem;

	if (!object || pins_of(model, object->handle))
		return;
	mem = map(model, object, whole ? ZS_MM_WO : ZS_MM_RW);
	if (!mem)
		return;
	if (!whole)
		assert_true(pattern_holds(mem, object->size, object->tag));
	object->tag = model->objects.next_tag++;
	pattern_fill(mem, object->size, object->tag);
	zs_unmap_object(model->rig.pool, object->handle);
}

static void op_read(struct model *model)
{
	const struct object *object = choose_object(model);
	void *mem;

	if (!object)
		return;
	mem = zs_obj_read_begin(model->rig.pool, object->handle, model->local_copy);
	if (!mem) {
		assert_int_equal(errno, ENOMEM);
		assert_map_may_fail(model, object->handle);
		return;
	}
	assert_true(pattern_holds(mem, object->size, object->tag));
	zs_obj_read_end(model->rig.pool, object->handle, mem);
}

static void op_write(struct model *model)
{
	struct object *object = choose_object(model);

	if (!object || pins_of(model, object->handle))
		return;
	if (rng_percent(&model->rng, 50)) { /* the first bytes as they were */
		pattern_fill(model->local_copy, object->size, object->tag);
		zs_obj_write(model->rig.pool, object->handle, model->local_copy,
			     rng_between(&model->rng, 0, (uint32_t)object->size));
		return;
	}
	object->tag = model->objects.next_tag++;
	pattern_fill(model->local_copy, object->size, object->tag);
	zs_obj_write(model->rig.pool, object->handle, model->local_copy, object->size);
}

static const struct object *find_object(const struct model *model, zs_handle handle)
{
	size_t i;

	for (i = 0; i < model->objects.count; i++) {
		if (model->objects.at[i].handle == handle)
			return &model->objects.at[i];
	}
	fail();
	return NULL;
}

static void op_pin(struct model *model)
{
	const struct object *object = choose_object(model);
	struct pin *pin = &model->pins[model->pin_count];

	if (!object || model->pin_count == PINS)
		return;
	if (model->pin_count && rng_percent(&model->rng, 50))
		object = find_object(
			model,
			model->pins[rng_below(&model->rng, (uint32_t)model->pin_count)].handle);
	pin->handle = object->handle;
	pin->mode = rng_percent(&model->rng, 50) ? ZS_MM_RO : ZS_MM_RW;
	pin->mem = map(model, object, pin->mode);
	if (pin->mem)
		model->pin_count++;
}

static void op_unpin(struct model *model)
{
	const struct object *object;
	struct pin *pin;

	if (model->pin_count == 0)
		return;
	pin = &model->pins[rng_below(&model->rng, (uint32_t)model->pin_count)];
	object = find_object(model, pin->handle);
	assert_true(pattern_holds(pin->mem, object->size, object->tag));
	zs_unmap_object(model->rig.pool, pin->handle);
	*pin = model->pins[--model->pin_count];
}

/*
 * A prediction made while a compaction is under way may be a page off for some
 * classes: a few, not all.
 */
static uint64_t off_by(const struct model *model, uint64_t predicted)
{
	struct zs_pool_stats stats;

	zs_pool_stats(model->rig.pool, &stats);
	return predicted / 8 + 4 * stats.page_size;
}

static void op_compact(struct model *model)
{
	struct zs_compact_budget budget = { .bytes = rng_between(&model->rng, 0, 20000),
					    .nanoseconds = rng_percent(&model->rng, 20) ? 10000
											: 0 };
	struct zs_compact_result result;
	uint64_t predicted = zs_compactable_bytes(model->rig.pool), given;

	if (rng_percent(&model->rng, 70)) {
		zs_compact_some(model->rig.pool, &budget, &result);
		if (model->pin_count == 0)
			assert_true(result.freed_bytes <= predicted + off_by(model, predicted));
		return;
	}
	given = zs_compact(model->rig.pool);
	if (model->pin_count == 0) {
		assert_true(given <= predicted + off_by(model, predicted));
		assert_true(given + off_by(model, predicted) >= predicted);
	}
}

static void op_look(struct model *model)
{
	const struct object *object = choose_object(model);
	struct zs_pool_stats stats;
	size_t i, k, pinned = 0;

	zs_pool_stats(model->rig.pool, &stats);
	assert_int_equal(stats.objects, model->objects.count);
	for (i = 0; i < model->pin_count; i++) {
		for (k = 0; k < i && model->pins[k].handle != model->pins[i].handle; k++)
			;
		pinned += k == i;
	}
	assert_int_equal(stats.mapped_objects, pinned);
	assert_int_equal(stats.total_bytes, stats.object_bytes + stats.free_bytes +
						    stats.tail_bytes + stats.handle_bytes +
						    stats.metadata_bytes);
	if (stats.limit_bytes)
		assert_true(stats.peak_bytes <= stats.limit_bytes);
	if (object)
		assert_true(zs_object_size(model->rig.pool, object->handle) >= object->size);
}

static void op_wrong(struct model *model)
{
	size_t kept = model->freed_count < COUNT_OF(model->freed) ? model->freed_count
								  : COUNT_OF(model->freed);

	errno = 0;
	assert_true(zs_malloc(model->rig.pool, 0) == 0 && errno == EINVAL);
	assert_true(zs_malloc(model->rig.pool, model->max_object_size + 1) == 0 &&
		    errno == EMSGSIZE);
	zs_free(model->rig.pool, 0);
	assert_no_fault(&model->rig.faults);
	if (kept == 0 || sizeof(zs_handle) < 8)
		return;
	zs_free(model->rig.pool, model->freed[rng_below(&model->rng, (uint32_t)kept)]);
	assert_int_equal(model->rig.faults.count, 1);
	assert_true(model->rig.faults.fault == ZS_MISUSE_STALE_HANDLE ||
		    model->rig.faults.fault == ZS_MISUSE_BAD_HANDLE);
	model->rig.faults.count = 0;
	if (model->pin_count == 0)
		return;
	zs_free(model->rig.pool, model->pins[0].handle);
	assert_one_fault(&model->rig.faults, ZS_MISUSE_FREE_MAPPED, model->pins[0].handle);
}

static void take_step(struct model *model)
{
	static const struct {
		unsigned until; /* of 1000 */
		void (*op)(struct model *model);
	} others[] = {
		{ 250, op_read_map }, { 450, op_write_map }, { 600, op_read },
		{ 750, op_write },    { 850, op_pin },       { 950, op_unpin },
		{ 970, op_compact },  { 985, op_look },      { 1000, op_wrong },
	};
	uint32_t dice = rng_below(&model->rng, 1000);
	size_t i;

	if (rng_percent(&model->rng, 50)) {
		bool grow = model->objects.count < model->aim;

		(rng_percent(&model->rng, grow ? 75 : 25) ? op_malloc : op_free)(model);
		return;
	}
	for (i = 0; dice >= others[i].until; i++)
		;
	others[i].op(model);
}

static void model_open(struct model *model, const struct kind *kind)
{
	struct habitat habitat = { .fixed = kind->fixed };
	struct zs_pool_stats stats;

	memset(model, 0, sizeof(*model));
	model->kind = kind;
	model->rng = rng_seeded(seed);
	rig_open_tolerant(&model->rig, &habitat, &kind->options);
	zs_pool_stats(model->rig.pool, &stats);
	model->max_object_size = stats.max_object_size;
	model->map_buffers = kind->options.map_buffers ? kind->options.map_buffers : 2;
	model->local_copy = malloc(model->max_object_size + 64);
	assert_non_null(model->local_copy);
}

static void model_close(struct model *model)
{
	struct zs_pool_stats stats;

	while (model->pin_count)
		op_unpin(model);
	assert_objects_intact(&model->objects, model->rig.pool);
	objects_free_all(&model->objects, model->rig.pool);
	zs_pool_stats(model->rig.pool, &stats);
	assert_int_equal(stats.objects, 0);
	assert_int_equal(stats.object_bytes, 0);
	free(model->local_copy);
	rig_close(&model->rig);
}

static void random_calls_agree_with_the_model(void **state)
{
	const struct kind *kind = *state;
	unsigned long i, share = operations / COUNT_OF(kinds);
	struct model *model = malloc(sizeof(*model));

	assert_non_null(model);
	model_open(model, kind);
	for (i = 0; i < share; i++) {
		if (i % 5000 == 0)
			model->aim = rng_below(&model->rng, LIVE);
		take_step(model);
		assert_no_fault(&model->rig.faults);
		if (i % CHECK_EVERY == 0)
			assert_healthy(model->rig.pool);
		if (i % (10 * CHECK_EVERY) == 0)
			rig_assert_guards(&model->rig);
	}
	print_message("%lu operations, %zu objects left, %lu refusals\n", share,
		      model->objects.count, model->refusals);
	model_close(model);
	free(model);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[COUNT_OF(kinds)];
	char names[COUNT_OF(kinds)][96];
	size_t i;

	if (argc > 1)
		operations = strtoul(argv[1], NULL, 0);
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 0);
	print_message("%lu operations, seed %" PRIu64 "\n", operations, seed);
	for (i = 0; i < COUNT_OF(kinds); i++) {
		const struct zs_pool_options *options = &kinds[i].options;

		snprintf(names[i], sizeof(names[i]),
			 "random calls (%s, page %zu, maximum %zu, alignment %zu)",
			 kinds[i].fixed ? "fixed buffer" : "process", options->page_size,
			 options->max_object_size, options->alignment);
		tests[i] = (struct CMUnitTest){ .name = names[i],
						.test_func = random_calls_agree_with_the_model,
						.initial_state = (void *)(uintptr_t)&kinds[i] };
	}
	return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
