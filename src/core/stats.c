/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What the pool says of itself. Every byte is counted once.
 */
#include "core/core.h"

uint64_t zs_get_total_pages(struct zs_pool *pool)
{
	return load_relaxed(&pool->total_pages);
}

uint64_t zs_get_total_size_bytes(struct zs_pool *pool)
{
	return zs_get_total_pages(pool) << pool->page_shift;
}

/* What of a slot is the user's. */
static size_t usable_size(size_t size)
{
	return size > ZS_FOOTER ? size - ZS_FOOTER : 0;
}

static void add_shard(const struct zs_pool *pool, const struct shard *shard,
		      struct zs_pool_stats *stats)
{
	for (unsigned i = 0; i < SHARD_CLASSES; i++) {
		const struct size_class *class = &shard->class[i];

		/* Footers of debug builds count as tails. */
		uint64_t size = usable_size(class->size);

		stats->object_bytes += class->inuse * size;
		stats->free_bytes += zs_free_slots(pool, shard, class) * size;
		stats->zspages += class->nzspages;
	}
	stats->objects += shard->objects;
	stats->data_pages += shard->npages;
	stats->mapped_objects += shard->pinned;
	stats->handle_bytes += shard->nblocks * sizeof(struct handle_block) + shard->store_bytes;
	stats->moved_objects += shard->moved_objects;
	stats->compacted_pages += shard->compacted_pages;
}

void zs_pool_stats(struct zs_pool *pool, struct zs_pool_stats *stats)
{
	*stats = (struct zs_pool_stats){
		.page_size = pool->page_size,
		.max_object_size = pool->max_object_size,
		.classes = pool->nclasses,
	};
	for (struct shard *s = zs_next_shard(pool, NULL); s; s = zs_next_shard(pool, s)) {
		zs_lock(pool, &s->lock);
		add_shard(pool, s, stats);
		zs_unlock(&s->lock);
	}
	stats->total_bytes = zs_get_total_size_bytes(pool);
	stats->peak_bytes = (uint64_t)load_relaxed(&pool->peak_pages) << pool->page_shift;
	size_t limit = load_relaxed(&pool->limit_pages);
	if (limit != SIZE_MAX)
		stats->limit_bytes = (uint64_t)limit << pool->page_shift;

	uint64_t data = stats->data_pages << pool->page_shift;
	stats->tail_bytes = data - stats->object_bytes - stats->free_bytes;
	/* Others may have freed meanwhile. */
	if (stats->total_bytes > data + stats->handle_bytes)
		stats->metadata_bytes = stats->total_bytes - data - stats->handle_bytes;
}

/* --- classes and zspages --- */

static unsigned band_of(unsigned objects, unsigned slots)
{
	return objects * 10 / slots;
}

/* Calls visit for each zspage of a class in a shard, which is locked. */
static void visit_class(struct zs_pool *pool, struct shard *shard, unsigned class,
			void (*visit)(const struct zs_zspage_info *, void *), void *data)
{
	const struct size_class *geometry = &shard->class[class];

	if (!geometry->nzspages)
		return;
	for (uint32_t index = 0; index < shard->nzspages; index++) {
		if (*zs_table(pool, shard, index) & ZTAB_FREE)
			continue;
		const struct zspage *zspage = zs_zspage(pool, shard, index);
		if (zspage->class != class)
			continue;
		struct zs_zspage_info info = {
			.class_size = geometry->size - ZS_FOOTER,
			.class_index = shard->run * SHARD_CLASSES + class,
			.slots = geometry->slots,
			.objects = zspage->inuse,
			.pages = zspage->pages,
			.pages_max = geometry->pages_per_zspage,
		};
		visit(&info, data);
	}
}

static void visit_index(struct zs_pool *pool, unsigned index,
			void (*visit)(const struct zs_zspage_info *, void *),
			void (*visit_shard)(struct zs_pool *, struct shard *, unsigned, void *),
			void *data)
{
	uint32_t next = atomic_load_explicit(&pool->runs[index / SHARD_CLASSES].first,
					     memory_order_acquire);

	while (next) {
		struct shard *shard = zs_shard(pool, next);

		zs_lock(pool, &shard->lock);
		visit_class(pool, shard, index % SHARD_CLASSES, visit, data);
		if (visit_shard)
			visit_shard(pool, shard, index % SHARD_CLASSES, data);
		zs_unlock(&shard->lock);
		next = atomic_load_explicit(&shard->next, memory_order_acquire);
	}
}

void zs_for_each_zspage(struct zs_pool *pool,
			void (*visit)(const struct zs_zspage_info *info, void *data), void *data)
{
	for (unsigned index = 0; index < pool->nclasses; index++)
		visit_index(pool, index, visit, NULL, data);
}

static void count_zspage(const struct zs_zspage_info *info, void *data)
{
	struct zs_class_stats *stats = data;

	stats->zspages[band_of(info->objects, info->slots)]++;
}

static void add_class(struct zs_pool *pool, struct shard *shard, unsigned class, void *data)
{
	struct zs_class_stats *stats = data;

	stats->open |= shard->open >> class & 1;
	stats->objects += shard->class[class].inuse;
	stats->free_slots += zs_free_slots(pool, shard, &shard->class[class]);
	stats->pages += shard->class[class].npages;
	stats->reclaimable_bytes += zs_class_gain(pool, shard, class) << pool->page_shift;
}

int zs_class_stats(struct zs_pool *pool, unsigned index, struct zs_class_stats *stats)
{
	struct size_class geometry = { 0 };

	if (index >= pool->nclasses) {
		zs_fail(pool, ZS_EINVAL);
		return -1;
	}
	zs_init_class(pool, &geometry, index < pool->min_class ? pool->min_class : index);
	*stats = (struct zs_class_stats){
		.size = usable_size(zs_class_size(pool, index)),
		.pages_per_zspage = geometry.pages_per_zspage,
		.objs_per_zspage = geometry.slots,
	};
	visit_index(pool, index, count_zspage, add_class, stats);
	return 0;
}
