/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The checker checked: each field of the allocator's own data is made wrong, one
 * after the other, and zs_check() has to complain; put right again, it must not.
 * The only test that looks behind the public header.
 */
#include "testing.h"

#include "core/core.h"

#define OBJECTS 3000

struct scene {
	struct zs_pool *pool;
	zs_handle handles[OBJECTS];
	zs_handle mapped;    /* more often than an entry can count */
	struct shard *shard; /* of mapped */
	struct handle_block *block;
	uint32_t *entry;
	struct zspage *zspage; /* with room */
	struct size_class *class;
	unsigned long tried, noticed;
};

static void open_scene(struct scene *scene)
{
	const struct zs_pool_options options = { .compaction = ZS_COMPACTION_MANUAL };
	int i;

	memset(scene, 0, sizeof(*scene));
	scene->pool = zs_create_pool(&options);
	assert_non_null(scene->pool);
	for (i = 0; i < OBJECTS; i++) {
		scene->handles[i] = zs_malloc(scene->pool, 1500 + (size_t)(i % 5) * 64);
		assert_true(scene->handles[i] != 0);
	}
	for (i = 0; i < OBJECTS; i++) {
		if (i % 7 < 3) {
			zs_free(scene->pool, scene->handles[i]);
			scene->handles[i] = 0;
		}
	}
	scene->mapped = scene->handles[6];
	for (i = 0; i < 9; i++)
		assert_non_null(zs_map_object(scene->pool, scene->mapped, ZS_MM_RO));

	struct zs_object object;
	assert_true(zs_find(scene->pool, scene->mapped, &object));
	zs_unlock(&object.shard->lock);
	scene->shard = object.shard;
	scene->block = object.block;
	scene->entry = object.entry;
	scene->zspage =
		zs_zspage(scene->pool, scene->shard, (*scene->entry & LOC_MASK) >> SLOT_BITS);
	scene->class = &scene->shard->class[scene->zspage->class];
	assert_true(scene->zspage->room > 0);
	assert_int_equal(zs_check(scene->pool, NULL, NULL), 0);
}

static void close_scene(struct scene *scene)
{
	int i;

	for (i = 0; i < 9; i++)
		zs_unmap_object(scene->pool, scene->mapped);
	zs_destroy_pool(scene->pool);
}

static void remember(const char *what, void *data)
{
	strncpy(data, what, 159);
}

/* Adds delta to a field of so many bytes, checks, and takes it away again. */
static void corrupt(struct scene *scene, const char *name, void *field, size_t size, uint64_t delta)
{
	char text[160] = "";
	uint64_t value = 0, wrong, seen = 0;

	memcpy(&value, field, size);
	wrong = value + delta;
	memcpy(field, &wrong, size);
	scene->tried++;
	unsigned long broken = zs_check(scene->pool, remember, text);
	memcpy(&seen, field, size);
	assert_memory_equal(&seen, &wrong, size);
	memcpy(field, &value, size);
	if (!broken)
		print_error("%s + %llu: not noticed\n", name, (unsigned long long)delta);
	else
		assert_true(text[0] != '\0');
	scene->noticed += broken != 0;
	assert_int_equal(zs_check(scene->pool, NULL, NULL), 0);
}

#define CORRUPT(scene, field, delta) \
	corrupt(scene, #field, &(field), sizeof(field), (uint64_t)(delta))
#define CORRUPT_BOTH(scene, field)         \
	do {                               \
		CORRUPT(scene, field, 1);  \
		CORRUPT(scene, field, -1); \
	} while (0)

static void corrupt_shard(struct scene *s)
{
	struct shard *shard = s->shard;

	CORRUPT_BOTH(s, shard->self);
	CORRUPT(s, shard->run, 1);
	CORRUPT(s, shard->open, -0x80);
	CORRUPT_BOTH(s, shard->objects);
	CORRUPT_BOTH(s, shard->room_bytes);
	CORRUPT_BOTH(s, shard->npages);
	CORRUPT_BOTH(s, shard->pinned);
	CORRUPT_BOTH(s, shard->blocks);
	CORRUPT_BOTH(s, shard->hand);
	CORRUPT_BOTH(s, shard->nblocks);
	CORRUPT_BOTH(s, shard->free_handles);
	CORRUPT_BOTH(s, shard->store_bytes);
	CORRUPT(s, shard->pin_counts, UINT32_MAX);
	CORRUPT_BOTH(s, shard->nzspages);
	CORRUPT(s, shard->free_zspage, 1);
	/* One more would be a scan that has nothing to visit: harmless, it ends at once. */
	CORRUPT(s, shard->pass, 3);
	CORRUPT(s, shard->cursor, 1);
	CORRUPT_BOTH(s, shard->to_move);
}

static void corrupt_class(struct scene *s)
{
	struct size_class *class = s->class;
	unsigned group;

	CORRUPT_BOTH(s, class->size);
	CORRUPT_BOTH(s, class->slots);
	CORRUPT_BOTH(s, class->pages_per_zspage);
	CORRUPT_BOTH(s, class->band_factor);
	CORRUPT_BOTH(s, class->inuse);
	CORRUPT_BOTH(s, class->room);
	CORRUPT_BOTH(s, class->nzspages);
	CORRUPT_BOTH(s, class->npages);
	CORRUPT_BOTH(s, class->groups);
	for (group = 0; group < NR_GROUPS; group++)
		CORRUPT(s, class->head[group], 1);
}

static void corrupt_zspage(struct scene *s)
{
	struct zspage *zspage = s->zspage;

	CORRUPT_BOTH(s, zspage->inuse);
	CORRUPT_BOTH(s, zspage->room);
	CORRUPT_BOTH(s, zspage->limit);
	CORRUPT(s, zspage->next, 1);
	CORRUPT(s, zspage->prev, 1);
	CORRUPT_BOTH(s, zspage->class);
	CORRUPT_BOTH(s, zspage->group);
	CORRUPT_BOTH(s, zspage->pages);
	CORRUPT(s, zspage->flags, ZSPAGE_SOURCE);
	CORRUPT(s, zspage->flags, ZSPAGE_BUSY);
	CORRUPT(s, zspage->flags, ZSPAGE_KEPT);
	CORRUPT(s, zspage->hint, s->class->map_words - zspage->hint);
	CORRUPT_BOTH(s, zspage->map[0]);
	CORRUPT(s, zspage->map[s->class->map_words - 1u], UINT64_C(1) << 63);
}

static void corrupt_handles(struct scene *s)
{
	struct handle_block *block = s->block;
	struct pin_count *count = zs_ptr(s->pool, s->shard->pin_counts);

	CORRUPT(s, block->next, 1);
	CORRUPT(s, block->prev, 1);
	CORRUPT_BOTH(s, block->shard);
	CORRUPT(s, block->store, UINT32_MAX);
	CORRUPT(s, block->key, 1u << LIFE_BITS);
	CORRUPT(s, block->cap, block->nlive - block->cap - 1);
	CORRUPT_BOTH(s, block->nlive);
	CORRUPT(s, block->live[0], block->live[0] & 1 ? -1 : 1);
	CORRUPT(s, *s->entry, 1);
	CORRUPT(s, *s->entry, UINT32_C(1) << SLOT_BITS);
	CORRUPT(s, *s->entry, PIN_ONE);
	CORRUPT(s, *s->entry, -PIN_ONE);
	CORRUPT(s, *s->entry, UINT32_C(1) << GEN_SHIFT);
	CORRUPT(s, count->count, -5);
	CORRUPT(s, count->handle, 1);
}

static void corrupt_pool(struct scene *s)
{
	struct zs_pool *pool = s->pool;
	uint32_t page = pool->block_list;
	struct meta_page *meta = zs_meta_page(pool, page);

	CORRUPT_BOTH(s, pool->total_pages);
	CORRUPT(s, pool->peak_pages, -pool->peak_pages);
	CORRUPT(s, pool->kept_pages, 1);
	CORRUPT(s, pool->limit_pages, -(pool->limit_pages - 1));
	CORRUPT_BOTH(s, pool->meta_pages);
	CORRUPT(s, pool->releasing_pages, 1);
	CORRUPT(s, pool->block_list, 1);
	CORRUPT_BOTH(s, pool->port->own_pages);
	CORRUPT_BOTH(s, meta->magic);
	CORRUPT_BOTH(s, meta->nchunks);
	CORRUPT_BOTH(s, meta->nfree);
	CORRUPT(s, meta->prev, 1);
	CORRUPT(s, meta->chunk, 1);
	CORRUPT(s, meta->first_free, 1000);
}

static void every_field_made_wrong_is_noticed(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene);
	corrupt_shard(&scene);
	corrupt_class(&scene);
	corrupt_zspage(&scene);
	corrupt_handles(&scene);
	corrupt_pool(&scene);
	print_message("%lu of %lu corruptions noticed\n", scene.noticed, scene.tried);
	assert_true(scene.tried >= 100);
	assert_int_equal(scene.noticed, scene.tried);
	close_scene(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_field_made_wrong_is_noticed) };

	return cmocka_run_group_tests_name("corrupt", tests, NULL, NULL);
}
