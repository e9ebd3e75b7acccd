/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The checker checked: each field of the allocator's own data is made wrong, one after the
 * other, and zs_check() has to complain; put right again, it must not. What it cannot notice
 * has to be harmless: the words say why, and with the wrong value in place objects are
 * allocated, freed and moved, and all is well afterwards.
 */
#include "testing.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/quick.h"
#include "fields.h"

#define OBJECTS 3000
#define MAPS    9

struct scene {
	struct zs_pool *pool;
	unsigned char *buffer; /* NULL: in the process */
	struct object objects[OBJECTS];
	const struct object *mapped; /* more often than an entry can count */
	struct shard *shard;         /* of mapped, and what else is its */
	struct handle_block *block;
	uint32_t *entry;
	struct zspage *zspage; /* with room */
	struct size_class *class;
};

static void look_up(struct scene *scene, const struct object *mapped)
{
	struct zs_object object = { 0 };

	assert_true(zs_find(scene->pool, mapped->handle, &object));
	zs_unlock(&object.shard->lock);
	scene->mapped = mapped;
	scene->shard = object.shard;
	scene->block = object.block;
	scene->entry = object.entry;
	scene->zspage =
		zs_zspage(scene->pool, scene->shard, (*scene->entry & LOC_MASK) >> SLOT_BITS);
	scene->class = &scene->shard->class[scene->zspage->class];
}

static void fill_scene(struct scene *scene)
{
	for (size_t i = 0; i < OBJECTS; i++)
		assert_true(object_make(scene->pool, &scene->objects[i], 1500 + i % 5 * 64, i));
	for (size_t i = 0; i < OBJECTS; i++) {
		if (i % 7 < 3)
			object_free(scene->pool, &scene->objects[i]);
	}
}

/* Whether it has been mapped so that it has a map buffer, where there are any. */
static bool try_map(struct scene *scene, const struct object *object)
{
	struct zs_pool *pool = scene->pool;

	if (!object->handle)
		return false;
	for (size_t i = 0; i < MAPS; i++)
		assert_non_null(zs_map_object(pool, object->handle, i ? ZS_MM_RO : ZS_MM_RW));
	look_up(scene, object);
	if ((!scene->buffer || pool->buffers[0].handle) && scene->zspage->room)
		return true;
	for (size_t i = 0; i < MAPS; i++)
		zs_unmap_object(pool, object->handle);
	return false;
}

static void open_scene(struct scene *scene, bool fixed)
{
	struct zs_pool_options options = { .compaction = ZS_COMPACTION_MANUAL };
	size_t i = 0;

	memset(scene, 0, sizeof(*scene));
	if (fixed) {
		scene->buffer = malloc(MIB(8));
		options.buffer = scene->buffer;
		options.buffer_size = MIB(8);
	}
	scene->pool = zs_create_pool(&options);
	assert_non_null(scene->pool);
	fill_scene(scene);
	while (!try_map(scene, &scene->objects[i]))
		assert_true(++i < OBJECTS);
	assert_healthy(scene->pool);
}

static void unmap_all(struct scene *scene)
{
	for (size_t i = 0; scene->mapped && i < MAPS; i++)
		zs_unmap_object(scene->pool, scene->mapped->handle);
	scene->mapped = NULL;
}

static void close_scene(struct scene *scene)
{
	unmap_all(scene);
	zs_destroy_pool(scene->pool);
	free(scene->buffer);
}

/* --- what is noticed --- */

static void remember(const char *what, void *data)
{
	snprintf(data, 160, "%s", what);
}

/* Adds delta to a field of so many bytes, checks, and takes it away again. */
static void corrupt(struct scene *scene, const char *name, void *field, size_t size, uint64_t delta)
{
	char text[160] = "";
	uint64_t value = 0, wrong, seen = 0;

	memcpy(&value, field, size);
	wrong = value + delta;
	memcpy(field, &wrong, size);
	unsigned long broken = zs_check(scene->pool, remember, text);
	memcpy(&seen, field, size);
	assert_memory_equal(&seen, &wrong, size);
	memcpy(field, &value, size);
	if (!broken)
		print_error("%s + %llu: not noticed\n", name, (unsigned long long)delta);
	else
		assert_true(text[0] != '\0');
	fields_tried(broken != 0);
	assert_int_equal(zs_check(scene->pool, NULL, NULL), 0);
}

/* A field of a structure of that name, which is at that place. */
#define WRONG(scene, type, at, field, delta)                                        \
	do {                                                                        \
		const struct type *checked_type = (at);                             \
                                                                                    \
		(void)checked_type;                                                 \
		fields_note(#type, #field, NOTICED, NULL);                          \
		corrupt(scene, #type "." #field, (void *)(uintptr_t) & (at)->field, \
			sizeof((at)->field), (uint64_t)(delta));                    \
	} while (0)

#define WRONG_BOTH(scene, type, at, field)         \
	do {                                       \
		WRONG(scene, type, at, field, 1);  \
		WRONG(scene, type, at, field, -1); \
	} while (0)

#define NOTE(type, field, verdict, why)                   \
	do {                                              \
		(void)offsetof(struct type, field);       \
		fields_note(#type, #field, verdict, why); \
	} while (0)

static void corrupt_shard(struct scene *s)
{
	struct shard *shard = s->shard, *first = zs_next_shard(s->pool, NULL);

	WRONG_BOTH(s, shard, shard, self);
	WRONG(s, shard, shard, next, shard->self);
	WRONG(s, shard, first, all_next, -first->all_next);
	WRONG(s, shard, shard, run, 1);
	WRONG(s, shard, shard, open, -0x80);
	WRONG_BOTH(s, shard, shard, objects);
	WRONG_BOTH(s, shard, shard, room_bytes);
	WRONG_BOTH(s, shard, shard, npages);
	WRONG_BOTH(s, shard, shard, pinned);
	WRONG_BOTH(s, shard, shard, blocks);
	WRONG_BOTH(s, shard, shard, hand);
	WRONG(s, shard, shard, hand_index, 128);
	WRONG_BOTH(s, shard, shard, nblocks);
	WRONG_BOTH(s, shard, shard, free_handles);
	WRONG_BOTH(s, shard, shard, store_bytes);
	WRONG(s, shard, shard, pin_counts, UINT32_MAX);
	WRONG_BOTH(s, shard, shard, nzspages);
	WRONG(s, shard, shard, free_zspage, 1);
	WRONG(s, shard, shard, ztab[0], 1);
	WRONG(s, shard, shard, ztab[0], -shard->ztab[0]);
	WRONG(s, shard, shard, pass, 3);
	WRONG(s, shard, shard, cursor, 1);
	WRONG_BOTH(s, shard, shard, to_move);
	WRONG_BOTH(s, shard, shard, left_pages);
	NOTE(shard, lock, SUM, NULL);
	NOTE(shard, class, SUM, NULL);
}

static void corrupt_class(struct scene *s)
{
	struct size_class *class = s->class;

	WRONG_BOTH(s, size_class, class, size);
	WRONG_BOTH(s, size_class, class, slots);
	WRONG_BOTH(s, size_class, class, pages_per_zspage);
	WRONG_BOTH(s, size_class, class, band_factor);
	WRONG_BOTH(s, size_class, class, inuse);
	WRONG_BOTH(s, size_class, class, room);
	WRONG_BOTH(s, size_class, class, nzspages);
	WRONG_BOTH(s, size_class, class, npages);
	WRONG_BOTH(s, size_class, class, groups);
	for (unsigned group = 0; group < NR_GROUPS; group++)
		WRONG(s, size_class, class, head[group], 1);
}

static void corrupt_zspage(struct scene *s)
{
	struct zspage *zspage = s->zspage;

	if (s->pool->contiguous)
		WRONG_BOTH(s, zspage, zspage, range);
	else
		/* The list of its pages follows its map. */
		WRONG_BOTH(s, zspage, zspage, map[zs_map_words(s->class)]);
	WRONG_BOTH(s, zspage, zspage, size);
	WRONG_BOTH(s, zspage, zspage, inuse);
	WRONG_BOTH(s, zspage, zspage, room);
	WRONG_BOTH(s, zspage, zspage, limit);
	WRONG(s, zspage, zspage, next, 1);
	WRONG(s, zspage, zspage, prev, 1);
	WRONG_BOTH(s, zspage, zspage, class);
	WRONG_BOTH(s, zspage, zspage, group);
	WRONG_BOTH(s, zspage, zspage, pages);
	for (unsigned bit = 0; bit < 8; bit++)
		WRONG(s, zspage, zspage, flags, 1u << bit);
	WRONG(s, zspage, zspage, hint, zs_map_words(s->class) - zspage->hint);
	WRONG_BOTH(s, zspage, zspage, map[0]);
	WRONG(s, zspage, zspage, map[zs_map_words(s->class) - 1u], UINT64_C(1) << 63);
}

static void corrupt_handles(struct scene *s)
{
	struct handle_block *block = s->block;
	struct pin_count *count = zs_ptr(s->pool, s->shard->pin_counts);
	struct entry_word {
		uint32_t entry;
	} *word = (struct entry_word *)(void *)s->entry;

	WRONG(s, handle_block, block, next, 1);
	WRONG(s, handle_block, block, prev, 1);
	WRONG_BOTH(s, handle_block, block, shard);
	WRONG(s, handle_block, block, store, UINT32_MAX);
	WRONG(s, handle_block, block, store, -block->store);
	WRONG(s, handle_block, block, key, 1u << LIFE_BITS);
	WRONG(s, handle_block, block, cap, block->nlive - block->cap - 1);
	WRONG_BOTH(s, handle_block, block, nlive);
	WRONG(s, handle_block, block, live[0], block->live[0] & 1 ? -1 : 1);
	WRONG(s, pin_count, count, next, 1);
	WRONG(s, pin_count, count, count, -5);
	WRONG(s, pin_count, count, handle, 1);
	/* Slot, zspage, pins, generation. */
	WRONG(s, entry_word, word, entry, 1);
	WRONG(s, entry_word, word, entry, UINT32_C(1) << SLOT_BITS);
	WRONG(s, entry_word, word, entry, PIN_ONE);
	WRONG(s, entry_word, word, entry, -PIN_ONE);
	WRONG(s, entry_word, word, entry, UINT32_C(1) << GEN_SHIFT);
}

/* What is fixed when the pool is made. */
static void corrupt_constants(struct scene *s)
{
	struct zs_pool *pool = s->pool;

	WRONG_BOTH(s, zs_pool, pool, alone);
	WRONG_BOTH(s, zs_pool, pool, page_size);
	WRONG_BOTH(s, zs_pool, pool, page_shift);
	WRONG(s, zs_pool, pool, contiguous, pool->contiguous ? -1 : 1);
	WRONG(s, zs_pool, pool, zero_on_free, 1);
	WRONG_BOTH(s, zs_pool, pool, max_object_size);
	WRONG_BOTH(s, zs_pool, pool, alignment);
	WRONG_BOTH(s, zs_pool, pool, alignment_shift);
	WRONG_BOTH(s, zs_pool, pool, min_class);
	WRONG_BOTH(s, zs_pool, pool, nclasses);
	WRONG_BOTH(s, zs_pool, pool, nruns);
	WRONG_BOTH(s, zs_pool, pool, ztab_shift);
	WRONG_BOTH(s, zs_pool, pool, ztab_mask);
	WRONG_BOTH(s, zs_pool, pool, meta_base);
	WRONG_BOTH(s, zs_pool, pool, data_base);
	WRONG_BOTH(s, zs_pool, pool, range_bytes);
	WRONG_BOTH(s, zs_pool, pool, block_handles);
	WRONG_BOTH(s, zs_pool, pool, handle_bits);
	WRONG_BOTH(s, zs_pool, pool, gen_pos);
	WRONG_BOTH(s, zs_pool, pool, tag_pos);
	WRONG_BOTH(s, zs_pool, pool, tag_bits);
	WRONG_BOTH(s, zs_pool, pool, gen_mask);
	WRONG_BOTH(s, zs_pool, pool, ref_mask);
	WRONG(s, zs_pool, pool, short_tag, pool->short_tag ? -1 : 1);
	WRONG_BOTH(s, zs_pool, pool, low_mask);
	WRONG_BOTH(s, zs_pool, pool, tag_mask);
	WRONG_BOTH(s, zs_pool, pool, tag_factor);
	WRONG_BOTH(s, zs_pool, pool, secret);
	WRONG_BOTH(s, zs_pool, pool, chunk_lists);
	WRONG_BOTH(s, zs_pool, pool, runs);
	WRONG(s, zs_pool, pool, compaction, 1);
	WRONG_BOTH(s, zs_pool, pool, slack);
	WRONG_BOTH(s, zs_pool, pool, on_misuse);
	WRONG_BOTH(s, zs_pool, pool, on_leak);
	WRONG_BOTH(s, zs_pool, pool, hook_data);
	WRONG_BOTH(s, zs_pool, pool, name[3]);
	WRONG_BOTH(s, zs_pool, pool, map_buffers);
	WRONG_BOTH(s, zs_pool, pool, buffers);
	WRONG_BOTH(s, zs_pool, pool, map_memory);
	WRONG_BOTH(s, zs_pool, pool, map_bytes);
	WRONG_BOTH(s, zs_pool, pool, shard_memory);
	WRONG_BOTH(s, zs_pool, pool, sum);
	WRONG_BOTH(s, zs_pool, pool, port_sum);
	/* Beyond the end of its memory nothing is read: the sum is compared first. */
	WRONG_BOTH(s, zs_pool, pool, port);
}

static void corrupt_port(struct scene *s)
{
	struct zs_port *port = s->pool->port;

	WRONG_BOTH(s, zs_port, port, ops);
	WRONG_BOTH(s, zs_port, port, page_size);
	WRONG_BOTH(s, zs_port, port, meta_base);
	WRONG_BOTH(s, zs_port, port, meta_pages);
	WRONG_BOTH(s, zs_port, port, data_base);
	WRONG_BOTH(s, zs_port, port, pool_memory);
	WRONG_BOTH(s, zs_port, port, alone);
	WRONG_BOTH(s, zs_port, port, own_pages);
}

static void corrupt_pool(struct scene *s)
{
	struct zs_pool *pool = s->pool;
	struct run *run = &pool->runs[s->shard->run];

	WRONG(s, zs_pool, pool, limit_pages, -(pool->limit_pages - 1));
	WRONG_BOTH(s, zs_pool, pool, total_pages);
	WRONG(s, zs_pool, pool, peak_pages, -pool->peak_pages);
	WRONG(s, zs_pool, pool, kept_pages, 1);
	WRONG(s, zs_pool, pool, left_pages, 1);
	WRONG(s, zs_pool, pool, busy_zspages, 1);
	WRONG(s, zs_pool, pool, meta_end, -(pool->meta_end / 2));
	WRONG(s, zs_pool, pool, meta_end, UINT32_MAX - pool->meta_end);
	WRONG(s, zs_pool, pool, block_list, 1);
	WRONG(s, zs_pool, pool, full_pages, 1);
	WRONG_BOTH(s, zs_pool, pool, meta_pages);
	WRONG(s, zs_pool, pool, releasing_pages, 1);
	WRONG_BOTH(s, zs_pool, pool, places);
	WRONG(s, zs_pool, pool, first_shard, -pool->first_shard);
	WRONG_BOTH(s, zs_pool, pool, last_shard);
	NOTE(zs_pool, lock, SUM, NULL);
	NOTE(zs_pool, charge_lock, SUM, NULL);
	WRONG_BOTH(s, run, run, first);
	WRONG(s, run, run, first, -run->first);
	WRONG_BOTH(s, run, run, hint[0]);
	WRONG(s, run, run, crowding, SPREAD_AFTER + 1);
}

static void corrupt_meta_page(struct scene *s)
{
	struct meta_page *meta = zs_meta_page(s->pool, s->pool->block_list);

	WRONG_BOTH(s, meta_page, meta, magic);
	WRONG(s, meta_page, meta, chunk, 1);
	WRONG_BOTH(s, meta_page, meta, nchunks);
	WRONG_BOTH(s, meta_page, meta, nfree);
	WRONG(s, meta_page, meta, first_free, 1000);
	WRONG(s, meta_page, meta, next, 1);
	WRONG(s, meta_page, meta, prev, 1);
}

static void corrupt_map_buffer(struct scene *s)
{
	struct map_buffer *used = &s->pool->buffers[0], *unused = &s->pool->buffers[1];

	WRONG_BOTH(s, map_buffer, used, handle);
	WRONG(s, map_buffer, used, handle, -used->handle);
	WRONG(s, map_buffer, used, maps, 1);
	WRONG(s, map_buffer, used, maps, -used->maps);
	WRONG_BOTH(s, map_buffer, used, dirty);
	WRONG(s, map_buffer, unused, handle, 1);
	WRONG(s, map_buffer, unused, maps, 1);
	WRONG(s, map_buffer, unused, dirty, 1);
}

static void every_field_made_wrong_is_noticed(void **state)
{
	const struct habitat *habitat = *state;
	static struct scene scene;

	open_scene(&scene, habitat->fixed);
	corrupt_shard(&scene);
	corrupt_class(&scene);
	corrupt_zspage(&scene);
	corrupt_handles(&scene);
	corrupt_constants(&scene);
	corrupt_port(&scene);
	corrupt_pool(&scene);
	corrupt_meta_page(&scene);
	if (habitat->fixed)
		corrupt_map_buffer(&scene);
	close_scene(&scene);
}

/* --- what cannot be noticed --- */

/* With a wrong value in place the pool is used; then all is well. */
static void use(struct scene *scene)
{
	unmap_all(scene);
	for (size_t i = 0; i < OBJECTS; i += 2) {
		if (scene->objects[i].handle)
			object_free(scene->pool, &scene->objects[i]);
		else
			assert_true(
				object_make(scene->pool, &scene->objects[i], 1500 + i % 7 * 50, i));
	}
	zs_compact(scene->pool);
	for (size_t i = 1; i < OBJECTS; i += 4) {
		if (!scene->objects[i].handle)
			assert_true(
				object_make(scene->pool, &scene->objects[i], 900 + i % 7 * 50, i));
	}
	zs_compact(scene->pool);
	assert_healthy(scene->pool);
	for (size_t i = 0; i < OBJECTS; i++) {
		if (scene->objects[i].handle)
			assert_true(object_intact(scene->pool, &scene->objects[i]));
	}
	for (size_t i = 0; i < OBJECTS; i++) {
		if (scene->objects[i].handle)
			object_free(scene->pool, &scene->objects[i]);
	}
	zs_compact(scene->pool);
	assert_healthy(scene->pool);
}

/* The scene's is opened for each. */
#define TOLERATED(type, at, field, wrong, why)    \
	do {                                      \
		open_scene(&scene, fixed);        \
		(at)->field = (wrong);            \
		assert_healthy(scene.pool);       \
		use(&scene);                      \
		close_scene(&scene);              \
		NOTE(type, field, HARMLESS, why); \
	} while (0)

static void tolerate_shard(bool fixed)
{
	static struct scene scene;

	TOLERATED(shard, scene.shard, allocations, 63,
		  "it is only counted to the next multiple of 64, when the recent peak fades");
	TOLERATED(shard, scene.shard, hand_cap, 3,
		  "set by each zs_handle_reserve() before it is read");
	TOLERATED(shard, scene.shard, hand_index, scene.pool->block_handles - 1,
		  "only where the search for a free index begins; it goes round");
	TOLERATED(shard, scene.shard, cursor_index, 77,
		  "begins anew with each part of a pass; in one, a wrong one leaves objects where "
		  "they are, and the next pass plans anew");
	TOLERATED(shard, scene.shard, sources[0], UINT32_MAX,
		  "a look at a zspage that is no source; a source that has no bit: noticed");
	TOLERATED(shard, scene.shard, pass_ended, 12345,
		  "a pass begins a few operations sooner or later");
	TOLERATED(shard, scene.shard, met_pinned, true,
		  "true: a look at all zspages for nothing. False while one has the flag: noticed");
	TOLERATED(shard, scene.shard, settled_bytes, UINT64_MAX / 2,
		  "decides when compaction looks, not what it does; set anew by each look");
	TOLERATED(shard, scene.shard, trigger_bytes, 1,
		  "decides when compaction looks, not what it does; set anew when the shard grows");
	TOLERATED(shard, scene.shard, moved_objects, 12345, "a statistic: nothing depends on it");
	TOLERATED(shard, scene.shard, compacted_pages, 12345, "a statistic: nothing depends on it");
	TOLERATED(shard, scene.shard, open, scene.shard->open | 0x7e,
		  "more classes open than pay cost room at most; a class that is none: noticed");
	TOLERATED(shard, scene.shard, pass, PASS_SCAN,
		  "a scan with nothing to visit ends at once; any other wrong one: noticed");
}

static void tolerate_rest(bool fixed)
{
	static struct scene scene;

	TOLERATED(handle_block, scene.block, gen, (uint8_t)(scene.block->gen ^ 0x55),
		  "no live handle depends on it; a stale one passes by a chance of 2^-7, as is "
		  "documented for those whose neighbours were freed");
	TOLERATED(zs_pool, scene.pool, held_at_limit, SIZE_MAX,
		  "only says what is no breach of the limit, to zs_check()");
	TOLERATED(zs_pool, scene.pool, limit_pages, SIZE_MAX / 2,
		  "a setting: each value is one. What is below the total: noticed");
	TOLERATED(zs_pool, scene.pool, peak_pages, SIZE_MAX / 2,
		  "a statistic. Below the total: noticed");
	TOLERATED(zs_pool, scene.pool, recent_peak, SIZE_MAX / 2,
		  "decides how lazily compaction begins; fades");
	TOLERATED(zs_pool, scene.pool, last_error, 77,
		  "what was told the caller of a call that is over");
	TOLERATED(zs_pool, scene.pool, refusal, 77,
		  "set whenever a page is refused, and read right after that");
	TOLERATED(zs_pool, scene.pool, block_lives, 5,
		  "makes keys of new blocks differ: handles of a block freed long ago may pass by "
		  "2^-7 more often. Those of live objects keep theirs");
	TOLERATED(recent, &scene.pool->recent, handle, 77,
		  "every lock that is taken forgets it, zs_check()'s among them");
	TOLERATED(recent, &scene.pool->recent, entry, NULL, "read if there is a handle only");
	TOLERATED(recent, &scene.pool->recent, shard, NULL, "read if there is a handle only");
	TOLERATED(recent, &scene.pool->recent, address, NULL, "read if there is a handle only");
	NOTE(zs_pool, recent, HARMLESS, "see struct recent");
	TOLERATED(zs_lock, &scene.shard->lock, waiters, 3,
		  "who has more to do waits for them for a bounded time before it goes on");
	TOLERATED(run, &scene.pool->runs[scene.shard->run], crowding, SPREAD_AFTER,
		  "threads spread over more shards, which costs half-used pages");
	TOLERATED(zs_lock, &scene.shard->lock, rounds, UINT32_MAX, "as crowding");
	NOTE(zs_lock, held, STANDSTILL,
	     "cannot be told from a lock that is held: all who want it wait");
	NOTE(zs_pool, unfinished_shards, STANDSTILL,
	     "cannot be told from shards being made: who wants all locks waits");
}

static void what_cannot_be_noticed_is_harmless(void **state)
{
	const struct habitat *habitat = *state;

	tolerate_shard(habitat->fixed);
	tolerate_rest(habitat->fixed);
}

/* --- and none is forgotten --- */

static void no_field_is_forgotten(void **state)
{
	static const char *const not_kept[] = {
		"zs_object",   "zs_tail", "debug_slot", /* on the stack of one call */
		"zs_port_ops", "zs_span", "zs_held",    /* code; arguments; of debug builds */
		NULL,
	};

	(void)state;
	fields_compare(SOURCE_ROOT "/src/core/core.h", not_kept);
	fields_compare(SOURCE_ROOT "/src/port/port.h", not_kept);
	fields_print("allocator");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BOTH_HABITATS(every_field_made_wrong_is_noticed),
		IN_BOTH_HABITATS(what_cannot_be_noticed_is_harmless),
		cmocka_unit_test(no_field_is_forgotten),
	};

	return cmocka_run_group_tests_name("fields", tests, NULL, NULL);
}
