/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Sequences of the allocator's calls, right ones and wrong ones, in both habitats, against
 * a list of what should be there. The first bytes choose the pool. As a fuzzer, and for
 * long random sequences (see sequences.h).
 */
#include "sequences.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zsmalloc.h>

#include "pattern.h"

#define COUNTS(X)                                                                              \
	X(zs_create_pool), X(zs_destroy_pool), X(zs_malloc), X(zs_free), X(zs_map_object),     \
		X(zs_unmap_object), X(zs_obj_read_begin), X(zs_obj_read_end), X(zs_obj_write), \
		X(zs_object_size), X(zs_huge_class_size), X(zs_lookup_class_index),            \
		X(zs_class_count), X(zs_set_limit), X(zs_compact), X(zs_compact_some),         \
		X(zs_compactable_bytes), X(zs_get_total_size_bytes), X(zs_get_total_pages),    \
		X(zs_pool_stats), X(zs_class_stats), X(zs_for_each_zspage), X(zs_check),       \
		X(zs_last_error), X(pools_in_process), X(pools_in_buffer), X(pools_refused),   \
		X(mapped_rw_in_process), X(mapped_ro_in_process), X(mapped_wo_in_process),     \
		X(mapped_rw_in_buffer), X(mapped_ro_in_buffer), X(mapped_wo_in_buffer),        \
		X(read_as_copy), X(out_of_limit), X(out_of_pages), X(out_of_map_buffers),      \
		X(out_of_map_counts), X(moved_by_call), X(compactions_interrupted),            \
		X(compactions_past_mapped), X(misuses_noticed), X(leaked), X(buffers_zeroed)

enum { COUNTS(SEQUENCE_ENUM), ALL_COUNTS };
struct sequence_count sequence_counts[] = { COUNTS(SEQUENCE_COUNT) };
const size_t sequence_count_count = ALL_COUNTS;

#define zs_create_pool(...)          COUNTED(zs_create_pool, __VA_ARGS__)
#define zs_destroy_pool(...)         COUNTED(zs_destroy_pool, __VA_ARGS__)
#define zs_malloc(...)               COUNTED(zs_malloc, __VA_ARGS__)
#define zs_free(...)                 COUNTED(zs_free, __VA_ARGS__)
#define zs_map_object(...)           COUNTED(zs_map_object, __VA_ARGS__)
#define zs_unmap_object(...)         COUNTED(zs_unmap_object, __VA_ARGS__)
#define zs_obj_read_begin(...)       COUNTED(zs_obj_read_begin, __VA_ARGS__)
#define zs_obj_read_end(...)         COUNTED(zs_obj_read_end, __VA_ARGS__)
#define zs_obj_write(...)            COUNTED(zs_obj_write, __VA_ARGS__)
#define zs_object_size(...)          COUNTED(zs_object_size, __VA_ARGS__)
#define zs_huge_class_size(...)      COUNTED(zs_huge_class_size, __VA_ARGS__)
#define zs_lookup_class_index(...)   COUNTED(zs_lookup_class_index, __VA_ARGS__)
#define zs_class_count(...)          COUNTED(zs_class_count, __VA_ARGS__)
#define zs_set_limit(...)            COUNTED(zs_set_limit, __VA_ARGS__)
#define zs_compact(...)              COUNTED(zs_compact, __VA_ARGS__)
#define zs_compact_some(...)         COUNTED(zs_compact_some, __VA_ARGS__)
#define zs_compactable_bytes(...)    COUNTED(zs_compactable_bytes, __VA_ARGS__)
#define zs_get_total_size_bytes(...) COUNTED(zs_get_total_size_bytes, __VA_ARGS__)
#define zs_get_total_pages(...)      COUNTED(zs_get_total_pages, __VA_ARGS__)
#define zs_pool_stats(...)           COUNTED(zs_pool_stats, __VA_ARGS__)
#define zs_class_stats(...)          COUNTED(zs_class_stats, __VA_ARGS__)
#define zs_for_each_zspage(...)      COUNTED(zs_for_each_zspage, __VA_ARGS__)
#define zs_check(...)                COUNTED(zs_check, __VA_ARGS__)
#define zs_last_error(...)           COUNTED(zs_last_error, __VA_ARGS__)

enum { LIVE = 4096, FREED = 64, MAPS = 10, BUFFER = 8 << 20, GUARD = 64, PAYLOAD = 12 << 20 };

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
	size_t pinned; /* of them, mapped */
	size_t payload;
	uint64_t next_tag;
	zs_handle freed[FREED];
	size_t freed_count;
	bool limited;     /* now or earlier */
	bool relimited;   /* another limit was set than that which it was made for */
	uint64_t limit;   /* now; 0: none */
	uint64_t ceiling; /* with a limit: it must not hold more now */
	bool underway;    /* perhaps a compaction */
	bool leak;        /* objects, at the end */
	unsigned long faults;
	uint64_t leaked;
} model;

static unsigned char arena[GUARD + 16 + BUFFER + GUARD];
static unsigned char copy[ZS_MAX_OBJECT_SIZE];

bool fuzz_summary(void)
{
	printf("%lu pools (%lu more refused), %lu calls, %lu misuses noticed, %lu checks\n",
	       sequence_counts[COUNT_pools_in_process].count +
		       sequence_counts[COUNT_pools_in_buffer].count,
	       sequence_counts[COUNT_pools_refused].count, sequence_calls(),
	       sequence_counts[COUNT_misuses_noticed].count, sequence_counts[COUNT_zs_check].count);
	return sequence_counts[COUNT_zs_malloc].count && sequence_counts[COUNT_zs_check].count;
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
	HAPPENED(misuses_noticed);
}

static void note_leak(const char *name, size_t class_size, uint64_t objects, uint64_t bytes,
		      void *data)
{
	(void)name;
	(void)data;
	require(bytes == class_size * objects);
	model.leaked += objects;
	HAPPENED(leaked);
}

static void complain(const char *what, void *data)
{
	(void)data;
	fprintf(stderr, "zs_check: %s\n", what);
}

static void check(void)
{
	require(zs_check(model.pool, complain, NULL) == 0);
}

static void choose_options(struct input *input, struct zs_pool_options *options)
{
	static const size_t pages[] = { 0, 4096, 16384, 65536, 256, 512, 1024, 300 };
	static const size_t maxima[] = { 0, 1, 33, 100, 256, 1000, 4096, 9000, 16384, 65536 };
	static const size_t buffers[] = { 64 << 10, 200 << 10, 300001, 1 << 20,
					  8000,     20000,     BUFFER, 3 << 20 };
	static const size_t limits[] = { 0, 0, 1 << 20, 256 << 10, 5 << 20, 100000, 40000 };
	static const unsigned bits[] = { 0, 0, 64, 40, 36, 32, 31, 48 };
	bool fixed = input_byte(input) % 2;
	unsigned compaction;

	*options = (struct zs_pool_options){ .on_misuse = note_fault, .on_leak = note_leak };
	options->max_object_size = maxima[input_below(input, COUNT_OF(maxima))];
	options->limit = limits[input_below(input, COUNT_OF(limits))];
	options->alignment = (size_t)1 << input_below(input, 5);
	options->page_size = pages[input_below(input, COUNT_OF(pages))];
	options->map_buffers = input_below(input, 5);
	compaction = input_byte(input);
	options->compaction = compaction % 2 ? ZS_COMPACTION_MANUAL : ZS_COMPACTION_AUTO;
	options->zero_on_free = compaction / 2 % 2;
	options->compaction_slack = input_below(input, 4) * 300;
	options->handle_bits = bits[input_below(input, COUNT_OF(bits))];
	if (fixed) {
		options->buffer = arena + GUARD + input_below(input, 16);
		options->buffer_size = buffers[input_below(input, COUNT_OF(buffers))];
	}
}

/* Before a buffer, and after it: where the largest ends. What a pool has no use for stays as it is. */
static void set_guards(void)
{
	unsigned char *begin = model.options.buffer;

	if (begin)
		memset(arena, 0xA5, (size_t)(begin - arena));
	if (begin && model.options.zero_on_free)
		memset(begin, 0, model.options.buffer_size);
	memset(arena + sizeof(arena) - GUARD, 0xA5, GUARD);
}

/* Whether there is a pool. */
static bool model_open(struct input *input)
{
	struct zs_pool_stats stats;

	memset(&model, 0, sizeof(model));
	choose_options(input, &model.options);
	model.leak = input_below(input, 2);
	model.limited = model.options.limit != 0;
	model.limit = model.ceiling = model.options.limit;
	set_guards();
	errno = 0;
	model.pool = zs_create_pool(&model.options);
	if (!model.pool) {
		require(errno == EINVAL || errno == ENOMEM);
		require(zs_last_error(NULL) == errno);
		HAPPENED(pools_refused);
		return false;
	}
	if (model.options.buffer)
		HAPPENED(pools_in_buffer);
	else
		HAPPENED(pools_in_process);
	zs_pool_stats(model.pool, &stats);
	model.max_object_size = stats.max_object_size;
	require(stats.objects == 0 && zs_huge_class_size(model.pool) <= stats.page_size);
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

/* What a pool that zeroes leaves of a buffer. */
static void require_zeros(void)
{
	const unsigned char *bytes = model.options.buffer;

	if (!bytes || !model.options.zero_on_free)
		return;
	require(bytes[0] == 0 && !memcmp(bytes, bytes + 1, model.options.buffer_size - 1));
	HAPPENED(buffers_zeroed);
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

static void count_map(enum zs_mapmode mode)
{
	bool buffer = model.options.buffer != NULL;

	sequence_counts[(buffer ? COUNT_mapped_rw_in_buffer : COUNT_mapped_rw_in_process) +
			(int)mode]
		.count++;
}

/* A map may be refused only if map buffers, or pages to count many of them, ran out. */
static void require_no_map(const struct object *object)
{
	if (errno == EBUSY) {
		require(model.options.buffer && object->maps == 0);
		require(model.pinned >=
			(model.options.map_buffers ? model.options.map_buffers : 2));
		HAPPENED(out_of_map_buffers);
		return;
	}
	require(errno == ENOMEM && object->maps >= 6);
	require(model.options.buffer || model.limited);
	HAPPENED(out_of_map_counts);
}

static void *map(const struct object *object, enum zs_mapmode mode)
{
	void *mem;

	errno = 0;
	mem = zs_map_object(model.pool, object->handle, mode);
	if (mem) {
		require((uintptr_t)mem % model.options.alignment == 0);
		count_map(mode);
	} else {
		require_no_map(object);
	}
	return mem;
}

static void unmap(const struct object *object)
{
	zs_unmap_object(model.pool, object->handle);
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
}

static void require_refusal(void)
{
	require((zs_last_error)(model.pool) == errno);
	if (errno == ENOSPC) {
		require(model.limited);
		HAPPENED(out_of_limit);
		return;
	}
	require(errno == ENOMEM);
	require(model.options.buffer || (model.options.limit && model.relimited));
	HAPPENED(out_of_pages);
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
	enum zs_mapmode mode = input_below(input, 2) ? ZS_MM_RW : ZS_MM_WO;

	if (object && !object->maps)
		write_object(object, mode);
}

/* What was written to a map buffer is in the object's own pages after the last unmap only. */
static bool is_half_written(const struct object *object)
{
	return model.options.buffer && object->maps && object->mode[0] == ZS_MM_WO;
}

/* With a place for a copy, or without where none is needed. */
static void *read_begin(const struct object *object, bool place)
{
	void *mem;

	errno = 0;
	mem = zs_obj_read_begin(model.pool, object->handle,
				place || model.options.buffer ? copy : NULL);
	if (mem == copy)
		HAPPENED(read_as_copy);
	if (!mem)
		require(errno == ENOMEM && object->maps >= 6);
	return mem;
}

static void do_obj_read(struct input *input)
{
	struct object *object = choose(input);
	void *mem = object ? read_begin(object, object->size % 2) : NULL;

	if (!mem)
		return;
	require(is_half_written(object) || holds(object, mem));
	zs_obj_read_end(model.pool, object->handle, mem);
}

/* All of it anew, or the first bytes as they were. */
static void do_obj_write(struct input *input)
{
	struct object *object = choose(input);
	bool whole = input_below(input, 2);
	size_t length = whole ? SIZE_MAX : input_below(input, 65536);

	if (!object || object->maps)
		return;
	if (whole)
		object->tag = model.next_tag++;
	length = whole ? object->size : length % (object->size + 1);
	pattern_fill(copy, object->size, object->tag);
	zs_obj_write(model.pool, object->handle, copy, length);
}

/* Write only if it is not mapped yet: else what others see of it would be undefined. */
static void do_pin(struct input *input)
{
	static const enum zs_mapmode modes[] = { ZS_MM_RO, ZS_MM_RW, ZS_MM_WO, ZS_MM_RO };
	struct object *object = choose(input);
	enum zs_mapmode mode = modes[input_below(input, COUNT_OF(modes))];
	void *mem;

	if (!object || object->maps == MAPS)
		return;
	if (object->maps && mode == ZS_MM_WO)
		mode = ZS_MM_RW;
	mem = map(object, mode);
	if (!mem)
		return;
	if (mode == ZS_MM_WO) {
		object->tag = model.next_tag++;
		pattern_fill(mem, object->size, object->tag);
	}
	require(holds(object, mem));
	model.pinned += object->maps == 0;
	object->mode[object->maps] = mode;
	object->mem[object->maps++] = mem;
}

static void unpin(struct object *object)
{
	object->maps--;
	model.pinned -= object->maps == 0;
	require(holds(object, object->mem[object->maps]));
	unmap(object);
}

/* The next one that is pinned. */
static void do_unpin(struct input *input)
{
	size_t index = input_below(input, LIVE);

	for (size_t i = 0; model.pinned && i < model.count; i++) {
		struct object *object = &model.objects[(index + i) % model.count];

		if (object->maps) {
			unpin(object);
			return;
		}
	}
}

/* A prediction is a page a class off while a compaction is under way, as automatic ones may be. */
static uint64_t off_by(void)
{
	struct zs_pool_stats stats;

	if (!model.underway && model.options.compaction == ZS_COMPACTION_MANUAL)
		return 0;
	zs_pool_stats(model.pool, &stats);
	return stats.classes * (uint64_t)stats.page_size;
}

static void do_compact(struct input *input)
{
	uint64_t predicted = zs_compactable_bytes(model.pool), off = off_by(), given;

	(void)input;
	given = zs_compact(model.pool);
	require(given <= predicted + off);
	if (model.pinned) {
		HAPPENED(compactions_past_mapped);
		model.underway = true;
		return;
	}
	require(given + off >= predicted);
	model.underway = false;
}

static void do_compact_some(struct input *input)
{
	struct zs_compact_budget budget = { .bytes = input_below(input, 65536) };
	uint64_t predicted = zs_compactable_bytes(model.pool), off = off_by();
	struct zs_compact_result result = { 0 };
	bool told = input_below(input, 2);
	int more;

	if (budget.bytes % 8 == 7)
		budget.nanoseconds = 1 + budget.bytes;
	more = zs_compact_some(model.pool, &budget, told ? &result : NULL);
	require(more == 0 || more == 1);
	require(result.freed_bytes <= predicted + off);
	if (more)
		HAPPENED(compactions_interrupted);
	if (result.moved_objects)
		HAPPENED(moved_by_call);
	model.underway = true;
}

/* --- the limit -------------------------------------------------------------- */

/* For the model's own books: not counted as a call. */
static uint64_t total_bytes(void)
{
	return (zs_get_total_size_bytes)(model.pool);
}

static void do_limit(struct input *input)
{
	uint64_t limit = (uint64_t)input_below(input, 65536) * 64;

	if (limit % 512 == 0)
		limit = 0;
	zs_set_limit(model.pool, limit);
	model.limited = model.relimited = true;
	model.limit = limit;
	model.ceiling = limit > total_bytes() ? limit : total_bytes();
}

/* Nothing is taken as long as more is held than the limit. */
static void require_limit(void)
{
	uint64_t total = total_bytes();

	if (!model.limit)
		return;
	require(total <= model.ceiling);
	model.ceiling = total > model.limit ? total : model.limit;
}

/* --- what it says ----------------------------------------------------------- */

static uint64_t pinned_objects(void)
{
	uint64_t count = 0;

	for (size_t i = 0; i < model.count; i++)
		count += model.objects[i].maps != 0;
	return count;
}

static void add_zspage(const struct zs_zspage_info *info, void *data)
{
	struct zs_pool_stats *sums = data;

	require(info->objects <= info->slots && info->pages <= info->pages_max);
	sums->objects += info->objects;
	sums->data_pages += info->pages;
	sums->zspages++;
}

/* The smallest that has room, if all are open; the first ones may be too small to be used. */
static void require_class(size_t size)
{
	struct zs_class_stats class;
	unsigned index = zs_lookup_class_index(model.pool, size);

	require(zs_class_stats(model.pool, index, &class) == 0);
	require(size <= class.size);
	if (index > zs_lookup_class_index(model.pool, 0))
		require(zs_class_stats(model.pool, index - 1, &class) == 0 && class.size < size);
}

static void do_look(struct input *input)
{
	const struct object *object = choose(input);
	unsigned index = input_below(input, 65536);
	struct zs_pool_stats stats, sums = { 0 };
	struct zs_class_stats class;

	zs_pool_stats(model.pool, &stats);
	require(stats.objects == model.count);
	require(stats.mapped_objects == model.pinned && model.pinned == pinned_objects());
	require(stats.total_bytes == stats.object_bytes + stats.free_bytes + stats.tail_bytes +
					     stats.handle_bytes + stats.metadata_bytes);
	require(stats.total_bytes == zs_get_total_size_bytes(model.pool));
	require(stats.total_bytes == zs_get_total_pages(model.pool) * stats.page_size);
	require(stats.total_bytes <= stats.peak_bytes);
	if (model.options.limit && !model.relimited)
		require(stats.peak_bytes <= stats.limit_bytes);
	require(stats.object_bytes >= model.payload);
	require(stats.classes == zs_class_count(model.pool));
	zs_for_each_zspage(model.pool, add_zspage, &sums);
	require(sums.objects == model.count);
	require(sums.data_pages == stats.data_pages && sums.zspages == stats.zspages);
	errno = 0;
	if (zs_class_stats(model.pool, index, &class))
		require(errno == EINVAL && index >= stats.classes);
	if (object) {
		require(zs_object_size(model.pool, object->handle) >= object->size);
		require_class(object->size);
	}
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
	if (zs_object_size(model.pool, handle)) {
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
	bool near = input_below(input, 2);
	unsigned bit = input_below(input, 8 * sizeof(handle));

	if (object && near)
		handle = object->handle ^ (zs_handle)1 << bit;
	if (handle && !is_live(handle))
		try_handle(handle);
}

static void do_stale(struct input *input)
{
	size_t kept = model.freed_count < FREED ? model.freed_count : FREED;
	size_t index = input_below(input, FREED);
	zs_handle handle = kept ? model.freed[index % kept] : 0;

	if (handle && !is_live(handle))
		try_handle(handle);
}

static void do_wrong(struct input *input)
{
	struct object *object = choose(input);

	errno = 0;
	require(zs_malloc(model.pool, 0) == 0 && errno == EINVAL);
	require(zs_last_error(model.pool) == EINVAL);
	require(zs_malloc(model.pool, model.max_object_size + 1) == 0 && errno == EMSGSIZE);
	require(zs_malloc(model.pool, SIZE_MAX - input_byte(input)) == 0 && errno == EMSGSIZE);
	zs_free(model.pool, 0);
	zs_destroy_pool(NULL);
	expect_faults(0);
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

const struct sequence_step sequence_steps[] = {
	{ "malloc", do_malloc, false },     { "malloc", do_malloc, false },
	{ "malloc", do_malloc, false },     { "fill", do_fill, false },
	{ "fill", do_fill, false },         { "free", do_free, false },
	{ "free", do_free, false },         { "thin", do_thin, false },
	{ "read", do_read, false },         { "read", do_read, false },
	{ "write", do_write, false },       { "write", do_write, false },
	{ "compact", do_compact, true },    { "limit", do_limit, true },
	{ "look", do_look, true },          { "wrong", do_wrong, true },
	{ "check", do_check, true },        { "compact_some", do_compact_some, false },
	{ "pin", do_pin, false },           { "pin", do_pin, false },
	{ "unpin", do_unpin, false },       { "obj_write", do_obj_write, false },
	{ "obj_read", do_obj_read, false }, { "forged", do_forged, true },
	{ "stale", do_stale, true },
};
const size_t sequence_step_count = COUNT_OF(sequence_steps);
const unsigned long sequence_operations = 30000000;

void sequence_prepare(void)
{
}

unsigned sequence_open(struct input *input)
{
	return model_open(input) ? 1 : 0;
}

void sequence_take(struct input *input)
{
	sequence_steps[input_below(input, COUNT_OF(sequence_steps))].take(input);
	expect_faults(0);
	require_limit();
}

static void verify_all(void)
{
	for (size_t i = 0; i < model.count; i++) {
		struct object *object = &model.objects[i];
		void *mem = is_half_written(object) ? NULL : read_begin(object, true);

		while (object->maps)
			unpin(object);
		if (!mem) { /* or too often mapped to be counted once more */
			mem = read_begin(object, true);
			require(mem);
		}
		require(holds(object, mem));
		zs_obj_read_end(model.pool, object->handle, mem);
	}
}

void sequence_close(void)
{
	struct zs_pool_stats stats;
	uint64_t left;

	verify_all();
	check();
	zs_compact(model.pool);
	verify_all();
	check();
	while (model.count && !model.leak)
		drop(&model.objects[model.count / 2]);
	left = model.count;
	check();
	zs_pool_stats(model.pool, &stats);
	require(stats.objects == left && stats.mapped_objects == 0);
	zs_destroy_pool(model.pool);
	require(model.leaked == left);
	expect_faults(0);
	require_guards();
	require_zeros();
}

void fuzz_one(const uint8_t *data, size_t size)
{
	struct input input = { data, size };

	if (!sequence_open(&input))
		return;
	while (input.left)
		sequence_take(&input);
	sequence_close();
}
