/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The allocator under faults: whatever is refused it, and when, a call that fails says so
 * with a documented error and has changed nothing, and the pool goes on.
 */
#include "testing.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/core.h"
#include "inject.h"
#include "ports.h"

#define OBJECTS 16384
#define MAPS    64
#define THREADS 4

/* What kind of pool, what is in it when the faults begin, and what is done then. */
struct plan {
	const struct habitat *habitat;
	struct zs_pool_options options;
	uint32_t count; /* objects to make, before scale */
	uint32_t min, max;
	uint32_t before; /* objects there already; then */
	uint32_t freed;  /* so many per cent of them freed */
};

static struct world {
	const struct plan *plan;
	struct rig rig;
	struct zs_pool *pool;
	struct rng rng;
	struct object objects[OBJECTS];
	size_t count;
	uint64_t next_tag;
	unsigned looks; /* at the whole pool after a refusal, in this run */
} w;

static uint32_t amount(void)
{
	uint32_t count = w.plan->count * scale;

	return count < OBJECTS / 2 ? count : OBJECTS / 2;
}

static void assert_sound_pool(void)
{
	assert_healthy(w.pool);
	assert_pages_add_up(w.pool);
}

/* --- calls, and what is true when they are refused --- */

struct before {
	uint64_t pages;
	uint32_t own_pages;
};

static struct before look(void)
{
	return (struct before){ zs_get_total_pages(w.pool), w.pool->port->own_pages };
}

static void after_refusal(const struct before *before, int error)
{
	struct zs_pool_stats stats;
	uint64_t grown = w.pool->port->own_pages - before->own_pages;

	assert_int_equal(error, zs_last_error(w.pool));
	assert_true(error == ENOMEM || (error == ENOSPC && w.plan->options.limit));
	assert_true(refusals() || w.plan->options.limit);
	/* A page of the port's own bitmap may have become real; compaction may have helped. */
	assert_true(zs_get_total_pages(w.pool) <= before->pages + grown);
	if (w.looks++ >= 4)
		return;
	zs_pool_stats(w.pool, &stats);
	assert_int_equal(stats.objects, w.count);
	assert_sound_pool();
}

/* Where all map buffers are in use an object can be written all the same. */
static void write_object(const struct object *object)
{
	static unsigned char bytes[65536];
	void *memory = zs_map_object(w.pool, object->handle, ZS_MM_WO);

	if (memory) {
		pattern_fill(memory, object->size, object->tag);
		zs_unmap_object(w.pool, object->handle);
		return;
	}
	assert_int_equal(errno, EBUSY);
	pattern_fill(bytes, object->size, object->tag);
	zs_obj_write(w.pool, object->handle, bytes, object->size);
}

static bool make_into(struct object *object, size_t size, uint64_t tag)
{
	errno = 0;
	*object = (struct object){ zs_malloc(w.pool, size), size, tag };
	if (!object->handle)
		return false;
	write_object(object);
	return true;
}

static bool make(size_t size)
{
	struct before before = look();

	assert_true(w.count < OBJECTS);
	if (make_into(&w.objects[w.count], size, w.next_tag)) {
		w.next_tag++;
		w.count++;
		return true;
	}
	after_refusal(&before, errno);
	return false;
}

static void drop(size_t index)
{
	zs_free(w.pool, w.objects[index].handle);
	w.objects[index] = w.objects[--w.count];
}

static void drop_some(uint32_t per_cent)
{
	for (size_t frees = w.count * per_cent / 100; frees; frees--)
		drop(rng_below(&w.rng, (uint32_t)w.count));
}

static size_t any_size(void)
{
	return rng_between(&w.rng, w.plan->min, w.plan->max);
}

static void assert_all_intact(void)
{
	for (size_t i = 0; i < w.count; i++)
		assert_true(object_intact(w.pool, &w.objects[i]));
}

/* --- begin and end of every scenario --- */

static void open_pool(const void *arg)
{
	memset(&w, 0, sizeof(w) - sizeof(w.objects));
	w.plan = arg;
	w.count = 0;
	w.rng = rng_seeded(41);
	rig_open(&w.rig, w.plan->habitat, &w.plan->options);
	w.pool = w.rig.pool;
	for (uint32_t i = 0; i < w.plan->before; i++)
		make(any_size());
	drop_some(w.plan->freed);
	w.looks = 0;
}

static void assert_usable(void)
{
	size_t largest = w.plan->max;

	drop_some(50);
	assert_true(make(1));
	assert_true(make(largest / 2 + 1));
	assert_true(make(largest));
	assert_all_intact();
	assert_sound_pool();
}

static void close_pool(void)
{
	assert_sound_pool();
	assert_all_intact();
	zs_set_limit(w.pool, w.plan->options.limit);
	assert_usable();
	drop_some(100);
	assert_sound_pool();
	zs_compact(w.pool);
	assert_sound_pool();
	rig_close(&w.rig);
}

/* --- what is done --- */

static void fill(void)
{
	unsigned in_a_row = 0;

	/* Where everything is refused, a while of that will do. */
	for (uint32_t i = amount(); i && in_a_row < 60; i--)
		in_a_row = make(any_size()) ? 0 : in_a_row + 1;
}

static void churn(void)
{
	for (uint32_t i = amount(); i; i--) {
		make(any_size());
		if (w.count > w.plan->count / 2 || (w.count && rng_percent(&w.rng, 20)))
			drop(rng_below(&w.rng, (uint32_t)w.count));
	}
}

/* Most of what there was has gone: handle blocks are packed, and then wanted again. */
static void pack_and_fill(void)
{
	zs_compact(w.pool);
	fill();
}

/* It becomes large, nearly empty, and large again. */
static void breathe(void)
{
	for (unsigned round = 0; round < 3; round++) {
		fill();
		drop_some(90);
	}
}

static void empty_and_fill(void)
{
	for (unsigned round = 0; round < 6; round++) {
		fill();
		drop_some(100);
	}
}

/* Frees and compaction need no memory: they do all they can, or as if nothing was refused. */
static void compact(void)
{
	uint64_t predicted = zs_compactable_bytes(w.pool);

	assert_int_equal(zs_compact(w.pool), predicted);
	drop_some(50);
	assert_true(zs_compact(w.pool) > 0);
	assert_sound_pool();
}

static void compact_by_and_by(void)
{
	const struct zs_compact_budget budget = { .bytes = 3000 };
	struct zs_compact_result result;

	for (uint32_t i = amount(); i; i--) {
		zs_compact_some(w.pool, &budget, &result);
		make(any_size());
		if (w.count && i % 2)
			drop(rng_below(&w.rng, (uint32_t)w.count));
	}
}

/* Mapped objects stay where they are, with their contents. */
static void map_across_compaction(void)
{
	struct {
		const struct object *object;
		unsigned char *address;
	} maps[MAPS];
	size_t mapped = 0, step = w.count / MAPS + 1;

	for (size_t i = 0; i < w.count && mapped < MAPS; i += step) {
		const struct object *object = &w.objects[i];

		errno = 0;
		maps[mapped].object = object;
		maps[mapped].address =
			zs_map_object(w.pool, object->handle, i % 2 ? ZS_MM_RW : ZS_MM_RO);
		if (maps[mapped].address)
			mapped++;
		else
			assert_int_equal(errno, EBUSY);
	}
	assert_true(mapped > 0);
	zs_compact(w.pool);
	fill();
	zs_compact_some(w.pool, &(struct zs_compact_budget){ .bytes = 5000 }, NULL);
	for (size_t i = 0; i < mapped; i++) {
		assert_true(
			pattern_holds(maps[i].address, maps[i].object->size, maps[i].object->tag));
		zs_unmap_object(w.pool, maps[i].object->handle);
	}
}

/* From the seventh map of one object on a counter is needed. */
static void map_often(void)
{
	enum { MAPPED = 40, TIMES = 9 };
	unsigned maps[MAPPED] = { 0 };

	for (unsigned turn = 0; turn < TIMES; turn++) {
		for (size_t i = 0; i < MAPPED; i++) {
			struct before before = look();
			void *address = zs_map_object(w.pool, w.objects[i].handle, ZS_MM_RO);

			if (address) {
				maps[i]++;
				assert_true(pattern_holds(address, w.objects[i].size,
							  w.objects[i].tag));
			} else if (errno != EBUSY) {
				assert_true(maps[i] >= PINS_MANY - 1);
				after_refusal(&before, errno);
			}
		}
	}
	zs_compact(w.pool);
	for (size_t i = 0; i < MAPPED; i++) {
		for (; maps[i]; maps[i]--)
			zs_unmap_object(w.pool, w.objects[i].handle);
	}
}

static void read_often(void)
{
	enum { READERS = 9 };
	static unsigned char copies[READERS][65536];

	for (size_t i = 0; i < 40; i++) {
		const struct object *object = &w.objects[i];
		void *at[READERS];

		for (size_t k = 0; k < READERS; k++) {
			errno = 0;
			at[k] = zs_obj_read_begin(w.pool, object->handle, copies[k]);
			assert_true(at[k] ? pattern_holds(at[k], object->size, object->tag)
					  : errno == ENOMEM && refusals());
		}
		for (size_t k = 0; k < READERS; k++) {
			if (at[k])
				zs_obj_read_end(w.pool, object->handle, at[k]);
		}
	}
}

/* Objects are written by copying, and grow in place as far as they have room. */
static void rewrite(void)
{
	unsigned char bytes[4096];

	for (uint32_t i = amount(); i; i--) {
		struct object *object;

		if (make(any_size()) && w.count > 20)
			drop(rng_below(&w.rng, (uint32_t)w.count));
		if (!w.count)
			continue;
		object = &w.objects[rng_below(&w.rng, (uint32_t)w.count)];
		object->tag = w.next_tag++;
		object->size = zs_object_size(w.pool, object->handle);
		pattern_fill(bytes, object->size, object->tag);
		zs_obj_write(w.pool, object->handle, bytes, object->size);
	}
}

/* Never above the limit, whatever is refused besides. */
static void meet_limit(void)
{
	for (unsigned round = 0; round < 3; round++) {
		for (uint32_t i = amount(); i; i--) {
			make(any_size());
			assert_true(zs_get_total_size_bytes(w.pool) <= w.plan->options.limit);
		}
		drop_some(50);
	}
}

static void move_limit(void)
{
	for (uint32_t i = 0; i < amount(); i++) {
		if (i % 32 == 0) {
			uint64_t total = zs_get_total_size_bytes(w.pool);

			zs_set_limit(w.pool, i % 96 == 0 ? 0 : total + i % 64 * 1024 - 16384);
		}
		make(any_size());
		if (w.count && i % 3 == 0)
			drop(rng_below(&w.rng, (uint32_t)w.count));
	}
}

static void ignore_zspage(const struct zs_zspage_info *info, void *data)
{
	*(uint64_t *)data += info->objects;
}

/* What the pool says of itself needs no memory and adds up at any moment. */
static void ask(void)
{
	for (uint32_t i = amount(); i; i--) {
		struct zs_pool_stats stats;
		struct zs_class_stats class;
		uint64_t objects = 0;
		size_t size = any_size();

		make(size);
		zs_pool_stats(w.pool, &stats);
		assert_int_equal(stats.objects, w.count);
		assert_int_equal(stats.total_bytes, stats.object_bytes + stats.free_bytes +
							    stats.tail_bytes + stats.handle_bytes +
							    stats.metadata_bytes);
		assert_int_equal(
			zs_class_stats(w.pool, zs_lookup_class_index(w.pool, size), &class), 0);
		if (i % 16 == 0) {
			zs_for_each_zspage(w.pool, ignore_zspage, &objects);
			assert_int_equal(objects, w.count);
		}
	}
}

/* Every class gets an object, so every run a shard. */
static void all_classes(void)
{
	for (size_t size = w.plan->min; size <= w.plan->max; size += size / 16 + 1)
		make(size);
}

/* Of one size each: classes open where they pay, and close. */
static void few_sizes(void)
{
	for (unsigned round = 0; round < 2; round++) {
		for (uint32_t i = amount(); i; i--)
			make(w.plan->min + i % 5 * (w.plan->max - w.plan->min) / 5);
		drop_some(95);
	}
}

struct filler {
	pthread_t thread;
	struct object objects[256];
	size_t count;
};

static atomic_bool wrong;

/* No assertions here: a thread cannot fail a test. */
static void *fill_and_free(void *data)
{
	struct filler *filler = data;
	struct rng rng = rng_seeded((uintptr_t)filler);

	for (uint32_t i = amount(); i; i--) {
		struct object *object = &filler->objects[filler->count];

		if (filler->count == COUNT_OF(filler->objects) || (filler->count && i % 3 == 0))
			zs_free(w.pool, filler->objects[--filler->count].handle);
		else if (object_make(w.pool, object, rng_between(&rng, w.plan->min, w.plan->max),
				     i))
			filler->count++;
		else if ((errno != ENOMEM && errno != EBUSY) || !refusals())
			atomic_store(&wrong, true);
		if (i % 64 == 0 && zs_check(w.pool, NULL, NULL))
			atomic_store(&wrong, true);
	}
	return NULL;
}

static void threads(void)
{
	static struct filler fillers[THREADS];

	atomic_store(&wrong, false);
	for (size_t i = 0; i < THREADS; i++) {
		fillers[i].count = 0;
		assert_int_equal(
			pthread_create(&fillers[i].thread, NULL, fill_and_free, &fillers[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(fillers[i].thread, NULL);
	disarm();
	assert_false(atomic_load(&wrong));
	for (size_t i = 0; i < THREADS; i++) {
		for (; fillers[i].count; fillers[i].count--) {
			assert_true(
				object_intact(w.pool, &fillers[i].objects[fillers[i].count - 1]));
			zs_free(w.pool, fillers[i].objects[fillers[i].count - 1].handle);
		}
	}
}

/* --- pools that are made under faults --- */

static struct {
	struct zs_pool_options options;
	unsigned char *buffer;
	struct zs_pool *pools[3];
} made;

static void prepare_to_make(const void *arg)
{
	const struct plan *plan = arg;

	memset(&made, 0, sizeof(made));
	made.options = plan->options;
	if (!plan->habitat->fixed)
		return;
	made.options.buffer_size = plan->habitat->buffer_size;
	made.buffer = malloc(COUNT_OF(made.pools) * made.options.buffer_size);
	assert_non_null(made.buffer);
}

static void make_pools(void)
{
	for (size_t i = 0; i < COUNT_OF(made.pools); i++) {
		if (made.buffer)
			made.options.buffer = made.buffer + i * made.options.buffer_size;
		errno = 0;
		made.pools[i] = zs_create_pool(&made.options);
		if (!made.pools[i]) {
			assert_int_equal(errno, ENOMEM);
			assert_int_equal(zs_last_error(NULL), ENOMEM);
			assert_true(refusals() > 0);
			continue;
		}
		w.pool = made.pools[i];
		struct object object;
		if (make_into(&object, 1000, i))
			zs_free(w.pool, object.handle);
		else
			assert_true(errno == ENOMEM && refusals());
	}
}

static void use_and_destroy(void)
{
	for (size_t i = 0; i < COUNT_OF(made.pools); i++) {
		struct object object;

		w.pool = made.pools[i];
		if (!w.pool)
			continue;
		assert_true(make_into(&object, 500, i));
		assert_true(object_intact(w.pool, &object));
		zs_free(w.pool, object.handle);
		assert_sound_pool();
		zs_destroy_pool(w.pool);
	}
	free(made.buffer);
}

/* --- all of them --- */

static struct habitat mib_buffer = { .fixed = true, .buffer_size = MIB(1) };

/* A plan for each habitat. Map buffers are for the fixed one, where objects straddle pages. */
#define PLANS(name, ...)                                                         \
	static const struct plan name##_process = { .habitat = &process_habitat, \
						    .options.map_buffers = 8,    \
						    __VA_ARGS__ },               \
				 name##_buffer = { .habitat = &mib_buffer,       \
						   .options.map_buffers = 8,     \
						   __VA_ARGS__ }

#define MANUAL .options.compaction = ZS_COMPACTION_MANUAL

PLANS(mixed, .count = 160, .min = 1, .max = 4096);
PLANS(small, .count = 1200, .min = 1, .max = 64);
PLANS(middle, .count = 160, .min = 300, .max = 1800);
PLANS(churned, .count = 160, .min = 1, .max = 4096);
PLANS(churned_by_hand, MANUAL, .count = 160, .min = 1, .max = 4096);
PLANS(sparse, MANUAL, .count = 120, .min = 100, .max = 3000, .before = 300, .freed = 70);
PLANS(packed, MANUAL, .count = 4500, .min = 8, .max = 32, .before = 2500, .freed = 92);
PLANS(full, .count = 60, .min = 16, .max = 48, .before = 200);
PLANS(limited, .options.limit = KIB(200), .count = 45, .min = 1, .max = 4096);
PLANS(limits, .options.limit = MIB(8), .count = 100, .min = 1, .max = 4096);
PLANS(dense, .options.alignment = 1, .count = 300, .min = 1, .max = 300);
PLANS(short_handles, .options.handle_bits = 32, .options.limit = MIB(2), .count = 70, .min = 1,
      .max = 4096);
PLANS(making, .options.max_object_size = 2048);

static const struct plan large = { .habitat = &process_habitat,
				   .options = { .max_object_size = 65536 },
				   .count = 80,
				   .min = 4000,
				   .max = 65536 },
			 huge_pages = { .habitat = &process_habitat,
					.options = { .page_size = 65536, .max_object_size = 65536 },
					.count = 80,
					.min = 1,
					.max = 65536 },
			 small_pages = { .habitat = &mib_buffer,
					 .options.page_size = 256,
					 .count = 250,
					 .min = 1,
					 .max = 256 },
			 kib_pages = { .habitat = &mib_buffer,
				       .options = { .page_size = 1024,
						    .compaction = ZS_COMPACTION_MANUAL },
				       .count = 150,
				       .min = 1,
				       .max = 1024,
				       .before = 300,
				       .freed = 60 };

#define BOTH(title, work, plan)                                                     \
	{ title ", process", open_pool, work, close_pool, &plan##_process },        \
	{                                                                           \
		title ", fixed buffer", open_pool, work, close_pool, &plan##_buffer \
	}

static const struct scenario scenarios[] = {
	{ "create, process", prepare_to_make, make_pools, use_and_destroy, &making_process },
	{ "create, fixed buffer", prepare_to_make, make_pools, use_and_destroy, &making_buffer },
	BOTH("fill", fill, mixed),
	BOTH("fill with small objects", fill, small),
	BOTH("every byte a size", fill, dense),
	BOTH("an object of every class", all_classes, mixed),
	BOTH("classes open and close", few_sizes, middle),
	BOTH("churn, automatic compaction", churn, churned),
	BOTH("churn, no compaction", churn, churned_by_hand),
	BOTH("large, small, large", breathe, middle),
	BOTH("full and empty in turn", empty_and_fill, full),
	BOTH("handle blocks packed and unpacked", pack_and_fill, packed),
	{ "compaction, process", open_pool, compact, close_pool, &sparse_process },
	BOTH("compaction by a budget", compact_by_and_by, sparse),
	BOTH("map across compaction", map_across_compaction, sparse),
	BOTH("nine maps of one object", map_often, full),
	BOTH("nine readers of one object", read_often, full),
	BOTH("objects rewritten", rewrite, churned),
	BOTH("at the limit", meet_limit, limited),
	BOTH("the limit moves", move_limit, limits),
	BOTH("statistics", ask, mixed),
	BOTH("short handles", fill, short_handles),
	BOTH("four threads", threads, middle),
	{ "objects of 64 KiB", open_pool, churn, close_pool, &large },
	{ "pages of 64 KiB", open_pool, churn, close_pool, &huge_pages },
	{ "pages of 256 bytes", open_pool, churn, close_pool, &small_pages },
	{ "pages of 1 KiB, compaction by a budget", open_pool, compact_by_and_by, close_pool,
	  &kib_pages },
};

static void every_refusal_is_reported_and_changes_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(scenarios); i++)
		run_scenario(&scenarios[i]);
	print_total(5000);
}

/* In a process compaction asks the system to take pages back; nothing else is asked for. */
static void compaction_in_a_buffer_asks_for_nothing(void **state)
{
	static const struct scenario compaction = { "compaction, fixed buffer", open_pool, compact,
						    close_pool, &sparse_buffer };

	(void)state;
	assert_asks_for_nothing(&compaction);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_refusal_is_reported_and_changes_nothing),
		cmocka_unit_test(compaction_in_a_buffer_asks_for_nothing),
	};

	take_arguments(argc, argv);
	return cmocka_run_group_tests_name("faults-pool", tests, NULL, NULL);
}
