/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Fuzzer: sequences of the allocator's calls, right ones and wrong ones, in both habitats,
 * against a list of what should be there. The first bytes choose the pool.
 */
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zsmalloc.h>

#include "pattern.h"

enum { LIVE = 1024, FREED = 64, MAPS = 10, BUFFER = 1 << 20, GUARD = 64, PAYLOAD = 12 << 20 };

struct object {
	zs_handle handle;
	size_t size;
	uint64_t tag;
	unsigned maps;
	void *mem[MAPS];
	enum zs_mapmode mode[MAPS];
};

static struct {
	struct zs_pool *pool;
	struct zs_pool_options options;
	size_t max_object_size;
	struct object objects[LIVE];
	size_t count;
	size_t payload;
	uint64_t next_tag;
	zs_handle freed[FREED];
	size_t freed_count;
	bool limited;   /* now or earlier */
	bool relimited; /* another limit was set than that which it was made for */
	unsigned long faults;
	uint64_t leaked;
} model;

static struct {
	unsigned long pools, refused_pools, calls, refusals, faults, forged_accepted, checks;
} tried;

static unsigned char arena[GUARD + 16 + BUFFER + GUARD];
static unsigned char copy[ZS_MAX_OBJECT_SIZE];

bool fuzz_summary(void)
{
	printf("%lu pools (%lu more refused), %lu calls, %lu refused, %lu misuses noticed, %lu wrong "
	       "handles taken, %lu checks\n",
	       tried.pools, tried.refused_pools, tried.calls, tried.refusals, tried.faults,
	       tried.forged_accepted, tried.checks);
	return tried.pools && tried.calls && tried.checks;
}

/* --- the pool -------------------------------------------------------------- */

static void note_fault(struct zs_pool *pool, enum zs_misuse fault, zs_handle handle,
		       const char *message, void *data)
{
	(void)pool;
	(void)fault;
	(void)handle;
	(void)data;
	require(strchr(message, '\n') == NULL);
	model.faults++;
	tried.faults++;
}

static void note_leak(const char *name, size_t class_size, uint64_t objects, uint64_t bytes,
		      void *data)
{
	(void)name;
	(void)data;
	require(bytes == class_size * objects);
	model.leaked += objects;
}

static void complain(const char *what, void *data)
{
	(void)data;
	fprintf(stderr, "zs_check: %s\n", what);
}

static void check(void)
{
	tried.checks++;
	require(zs_check(model.pool, complain, NULL) == 0);
}

static void choose_options(struct input *input, struct zs_pool_options *options)
{
	static const size_t pages[] = { 0, 4096, 16384, 65536, 256, 512, 1024, 300 };
	static const size_t maxima[] = { 0, 1, 33, 100, 256, 1000, 4096, 9000, 16384, 65536 };
	static const size_t buffers[] = { 64 << 10, 200 << 10, 300001, 1 << 20, 8000, 20000 };
	static const size_t limits[] = { 0, 0, 1 << 20, 256 << 10, 5 << 20, 100000, 40000 };
	static const unsigned bits[] = { 0, 0, 64, 40, 36, 32, 31, 48 };
	bool fixed = input_byte(input) % 2;

	*options = (struct zs_pool_options){
		.page_size = pages[input_below(input, COUNT_OF(pages))],
		.max_object_size = maxima[input_below(input, COUNT_OF(maxima))],
		.alignment = (size_t)1 << input_below(input, 5),
		.limit = limits[input_below(input, COUNT_OF(limits))],
		.handle_bits = bits[input_below(input, COUNT_OF(bits))],
		.compaction = input_below(input, 2) ? ZS_COMPACTION_MANUAL : ZS_COMPACTION_AUTO,
		.compaction_slack = input_below(input, 4) * 300,
		.map_buffers = input_below(input, 5),
		.on_misuse = note_fault,
		.on_leak = note_leak,
	};
	if (fixed) {
		options->buffer = arena + GUARD + input_below(input, 16);
		options->buffer_size = buffers[input_below(input, COUNT_OF(buffers))];
	}
}

/* Whether there is a pool. */
static bool model_open(struct input *input)
{
	struct zs_pool_stats stats;

	memset(&model, 0, sizeof(model));
	choose_options(input, &model.options);
	model.limited = model.options.limit != 0;
	memset(arena, 0xA5, GUARD + 16);
	memset(arena + sizeof(arena) - GUARD, 0xA5, GUARD);
	errno = 0;
	model.pool = zs_create_pool(&model.options);
	if (!model.pool) {
		require(errno == EINVAL || errno == ENOMEM);
		require(zs_last_error(NULL) == errno);
		tried.refused_pools++;
		return false;
	}
	tried.pools++;
	zs_pool_stats(model.pool, &stats);
	model.max_object_size = stats.max_object_size;
	require(stats.objects == 0);
	return true;
}

static void require_guards(void)
{
	const unsigned char *begin = model.options.buffer;

	if (!begin)
		return;
	for (const unsigned char *at = arena; at < begin; at++)
		require(*at == 0xA5);
	for (const unsigned char *at = arena + sizeof(arena) - GUARD; at < arena + sizeof(arena);
	     at++)
		require(*at == 0xA5);
}

/* --- what should be there --------------------------------------------------- */

static struct object *choose(struct input *input)
{
	size_t index = input_below(input, LIVE);

	return model.count ? &model.objects[index % model.count] : NULL;
}

static bool holds(const struct object *object, const void *mem)
{
	return pattern_holds(mem, object->size, object->tag);
}

/* A map may be refused only if map buffers, or pages to count many of them, ran out. */
static void *map(const struct object *object, enum zs_mapmode mode)
{
	void *mem;

	errno = 0;
	mem = zs_map_object(model.pool, object->handle, mode);
	tried.calls++;
	if (mem) {
		require((uintptr_t)mem % model.options.alignment == 0);
		return mem;
	}
	require(errno == EBUSY || errno == ENOMEM);
	if (errno == EBUSY)
		require(model.options.buffer && object->maps == 0);
	else
		require(object->maps >= 6 && (model.options.buffer || model.limited));
	tried.refusals++;
	return NULL;
}

static void unmap(const struct object *object)
{
	zs_unmap_object(model.pool, object->handle);
	tried.calls++;
}

/* Nothing else is to be noticed than what was done wrong. */
static void expect_faults(unsigned long count)
{
	require(model.faults == count);
	model.faults = 0;
}

/* Through a map, or, if there is none to be had, by a copy. */
static void write_object(struct object *object, enum zs_mapmode mode)
{
	void *mem = map(object, mode);

	if (mem) {
		if (mode == ZS_MM_RW)
			require(holds(object, mem));
		object->tag = model.next_tag++;
		pattern_fill(mem, object->size, object->tag);
		unmap(object);
		return;
	}
	object->tag = model.next_tag++;
	pattern_fill(copy, object->size, object->tag);
	zs_obj_write(model.pool, object->handle, copy, object->size);
	tried.calls++;
}

static void require_refusal(void)
{
	require(errno == ENOSPC || errno == ENOMEM);
	if (errno == ENOSPC)
		require(model.limited);
	else
		require(model.options.buffer || (model.options.limit && model.relimited));
	tried.refusals++;
}

/* Whether there was room. */
static bool add(size_t size)
{
	struct object *object = &model.objects[model.count];
	unsigned bits = model.options.handle_bits;

	if (model.count == LIVE || model.payload + size > PAYLOAD)
		return false;
	memset(object, 0, sizeof(*object));
	errno = 0;
	tried.calls++;
	object->size = size;
	object->handle = zs_malloc(model.pool, size);
	if (!object->handle) {
		require_refusal();
		return false;
	}
	if (bits && bits < 8 * sizeof(zs_handle))
		require(object->handle >> bits == 0);
	model.count++;
	model.payload += size;
	write_object(object, ZS_MM_WO);
	return true;
}

/* The last takes its place. */
static void drop(struct object *object)
{
	model.freed[model.freed_count++ % FREED] = object->handle;
	model.payload -= object->size;
	zs_free(model.pool, object->handle);
	tried.calls++;
	*object = model.objects[--model.count];
}

/* --- steps ----------------------------------------------------------------- */

static size_t choose_size(struct input *input)
{
	size_t most = model.max_object_size;

	switch (input_below(input, 4)) {
	case 0:
		return most - input_byte(input) % most;
	case 1:
		return 1 + input_byte(input) % most;
	default:
		return 1 + input_below(input, 65536) % most;
	}
}

static void do_malloc(struct input *input)
{
	add(choose_size(input));
}

/* Many of nearly one size. */
static void do_fill(struct input *input)
{
	size_t size = choose_size(input), vary = input_below(input, 9);
	unsigned count = input_byte(input);

	for (unsigned i = 0; i < count; i++) {
		size_t less = vary ? i % vary : 0;

		if (!add(size > less ? size - less : size))
			break;
	}
}

static void do_free(struct input *input)
{
	struct object *object = choose(input);

	if (object && !object->maps)
		drop(object);
}

/* One in some, which leaves all zspages sparse. */
static void do_thin(struct input *input)
{
	size_t step = 1 + input_below(input, 9), from = input_byte(input);

	for (size_t i = from; i < model.count; i += step) {
		if (!model.objects[i].maps)
			drop(&model.objects[i]);
	}
}

static void do_read(struct input *input)
{
	struct object *object = choose(input);
	const void *mem = object ? map(object, ZS_MM_RO) : NULL;

	if (!mem)
		return;
	require(holds(object, mem));
	unmap(object);
}

static void do_write(struct input *input)
{
	struct object *object = choose(input);

	if (object && !object->maps)
		write_object(object, input_below(input, 2) ? ZS_MM_RW : ZS_MM_WO);
}

static void do_obj_read(struct input *input)
{
	struct object *object = choose(input);
	void *mem;

	if (!object)
		return;
	errno = 0;
	mem = zs_obj_read_begin(model.pool, object->handle, copy);
	tried.calls++;
	if (!mem) {
		require(errno == ENOMEM && object->maps >= 6);
		return;
	}
	require(holds(object, mem));
	zs_obj_read_end(model.pool, object->handle, mem);
}

static void do_obj_write(struct input *input)
{
	struct object *object = choose(input);
	bool whole = input_below(input, 2);
	size_t length;

	if (!object || object->maps)
		return;
	if (whole)
		object->tag = model.next_tag++;
	length = whole ? object->size : input_below(input, 65536) % (object->size + 1);
	pattern_fill(copy, object->size, object->tag);
	zs_obj_write(model.pool, object->handle, copy, length);
	tried.calls++;
}

static void do_pin(struct input *input)
{
	struct object *object = choose(input);
	enum zs_mapmode mode = input_below(input, 2) ? ZS_MM_RW : ZS_MM_RO;
	void *mem;

	if (!object || object->maps == MAPS)
		return;
	mem = map(object, mode);
	if (!mem)
		return;
	object->mode[object->maps] = mode;
	object->mem[object->maps++] = mem;
	require(holds(object, mem));
}

static void unpin(struct object *object)
{
	object->maps--;
	require(holds(object, object->mem[object->maps]));
	unmap(object);
}

/* The next one that is pinned. */
static void do_unpin(struct input *input)
{
	size_t index = input_below(input, LIVE);

	for (size_t i = 0; i < model.count; i++) {
		struct object *object = &model.objects[(index + i) % model.count];

		if (object->maps) {
			unpin(object);
			return;
		}
	}
}

static void do_compact(struct input *input)
{
	(void)input;
	zs_compact(model.pool);
	tried.calls++;
}

static void do_compact_some(struct input *input)
{
	struct zs_compact_budget budget = { .bytes = input_below(input, 65536) };
	struct zs_compact_result result;
	int more = zs_compact_some(model.pool, &budget, input_below(input, 2) ? &result : NULL);

	require(more == 0 || more == 1);
	tried.calls++;
}

static void do_limit(struct input *input)
{
	uint64_t limit = (uint64_t)input_below(input, 65536) * 64;

	zs_set_limit(model.pool, limit);
	model.limited = model.relimited = true;
	tried.calls++;
}

static uint64_t pinned_objects(void)
{
	uint64_t count = 0;

	for (size_t i = 0; i < model.count; i++)
		count += model.objects[i].maps != 0;
	return count;
}

static void count_zspage(const struct zs_zspage_info *info, void *data)
{
	*(uint64_t *)data += info->objects;
}

static void do_look(struct input *input)
{
	const struct object *object = choose(input);
	struct zs_pool_stats stats;
	struct zs_class_stats class;
	uint64_t seen = 0;

	zs_pool_stats(model.pool, &stats);
	require(stats.objects == model.count);
	require(stats.mapped_objects == pinned_objects());
	require(stats.total_bytes == stats.object_bytes + stats.free_bytes + stats.tail_bytes +
					     stats.handle_bytes + stats.metadata_bytes);
	require(stats.total_bytes == zs_get_total_size_bytes(model.pool));
	require(stats.total_bytes == zs_get_total_pages(model.pool) * stats.page_size);
	require(stats.object_bytes >= model.payload);
	require(stats.classes == zs_class_count(model.pool));
	zs_for_each_zspage(model.pool, count_zspage, &seen);
	require(seen == model.count);
	errno = 0;
	if (zs_class_stats(model.pool, input_below(input, 65536), &class))
		require(errno == EINVAL);
	zs_compactable_bytes(model.pool);
	if (object)
		require(zs_object_size(model.pool, object->handle) >= object->size);
	tried.calls += 7;
}

static void do_check(struct input *input)
{
	(void)input;
	check();
}

/* --- wrong ones ------------------------------------------------------------ */

/*
 * A handle that is none must be noticed, but for the chance that zs_handle states.
 * Either way asking for the size does no harm.
 */
static void try_handle(zs_handle handle)
{
	size_t size = zs_object_size(model.pool, handle);

	tried.calls++;
	if (size) {
		tried.forged_accepted++;
		expect_faults(0);
		return;
	}
	expect_faults(1);
	zs_free(model.pool, handle);
	expect_faults(1);
	require(zs_map_object(model.pool, handle, ZS_MM_RW) == NULL);
	expect_faults(1);
	zs_unmap_object(model.pool, handle);
	expect_faults(1);
	require(zs_obj_read_begin(model.pool, handle, copy) == NULL);
	expect_faults(1);
	zs_obj_write(model.pool, handle, copy, 1);
	expect_faults(1);
	tried.calls += 5;
}

static bool is_live(zs_handle handle)
{
	for (size_t i = 0; i < model.count; i++) {
		if (model.objects[i].handle == handle)
			return true;
	}
	return false;
}

static void do_forged(struct input *input)
{
	const struct object *object = choose(input);
	zs_handle handle = (zs_handle)input_u64(input);

	if (object && input_below(input, 2))
		handle = object->handle ^ (zs_handle)1 << input_below(input, 8 * sizeof(handle));
	if (handle && !is_live(handle))
		try_handle(handle);
}

static void do_stale(struct input *input)
{
	size_t kept = model.freed_count < FREED ? model.freed_count : FREED;
	zs_handle handle = kept ? model.freed[input_below(input, FREED) % kept] : 0;

	if (handle && !is_live(handle))
		try_handle(handle);
}

static void do_wrong(struct input *input)
{
	struct object *object = choose(input);

	errno = 0;
	require(zs_malloc(model.pool, 0) == 0 && errno == EINVAL);
	require(zs_malloc(model.pool, model.max_object_size + 1) == 0 && errno == EMSGSIZE);
	require(zs_malloc(model.pool, SIZE_MAX - input_byte(input)) == 0 && errno == EMSGSIZE);
	zs_free(model.pool, 0);
	expect_faults(0);
	tried.calls += 4;
	if (!object)
		return;
	if (object->maps)
		zs_free(model.pool, object->handle);
	else
		zs_unmap_object(model.pool, object->handle);
	expect_faults(1);
	if (zs_object_size(model.pool, object->handle) < sizeof(copy)) {
		zs_obj_write(model.pool, object->handle, copy,
			     zs_object_size(model.pool, object->handle) + 1);
		expect_faults(1);
	}
	if (object->maps) {
		zs_destroy_pool(model.pool);
		expect_faults(1);
	}
}

/* --- a whole sequence ------------------------------------------------------- */

static void step(struct input *input)
{
	static void (*const steps[])(struct input *) = {
		do_malloc, do_malloc,    do_malloc,       do_fill,   do_fill,
		do_free,   do_free,      do_thin,         do_read,   do_read,
		do_write,  do_write,     do_compact,      do_limit,  do_look,
		do_wrong,  do_check,     do_compact_some, do_pin,    do_pin,
		do_unpin,  do_obj_write, do_obj_read,     do_forged, do_stale,
	};

	steps[input_below(input, COUNT_OF(steps))](input);
	expect_faults(0);
}

static void verify_all(void)
{
	for (size_t i = 0; i < model.count; i++) {
		struct object *object = &model.objects[i];
		void *mem = zs_obj_read_begin(model.pool, object->handle, copy);

		while (object->maps)
			unpin(object);
		if (!mem) { /* too often mapped to be counted once more */
			mem = zs_obj_read_begin(model.pool, object->handle, copy);
			require(mem);
		}
		require(holds(object, mem));
		zs_obj_read_end(model.pool, object->handle, mem);
	}
}

static void model_close(bool leak)
{
	struct zs_pool_stats stats;
	uint64_t left;

	verify_all();
	check();
	zs_compact(model.pool);
	verify_all();
	check();
	while (model.count && !leak)
		drop(&model.objects[model.count / 2]);
	left = model.count;
	check();
	zs_pool_stats(model.pool, &stats);
	require(stats.objects == left && stats.mapped_objects == 0);
	zs_destroy_pool(model.pool);
	require(model.leaked == left);
	expect_faults(0);
	require_guards();
}

void fuzz_one(const uint8_t *data, size_t size)
{
	struct input input = { data, size };

	if (!model_open(&input))
		return;
	bool leak = input_below(&input, 2);
	while (input.left)
		step(&input);
	model_close(leak);
}
