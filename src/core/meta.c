/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Memory for the allocator's own data: pages of the port, each cut into chunks of
 * one size. A page all of whose chunks are free goes back at once. Chunks with
 * handle blocks have pages of their own kind: what such a block was last is
 * still to be read while it is free. Pool lock.
 */
#include "core/quick.h"

/* Differs by page and pool, and cannot be guessed by one who writes into objects. */
uint32_t zs_meta_magic(const struct zs_pool *pool, enum meta_kind kind, uint32_t page)
{
	return (pool->secret ^ page * UINT32_C(0x9e3779b1)) << 1 | (uint32_t)kind;
}

/*
 * Takes a zeroed page. The port's own tables may grow by a page on the way,
 * where it has any.
 */
int zs_page_alloc(struct zs_pool *pool, uint32_t *page)
{
	struct zs_port *port = pool->port;
	size_t charged = pool->contiguous ? 2 : 1;
	uint32_t own = port->own_pages;
	int error = zs_charge(pool, charged);

	if (error) {
		store_relaxed(&pool->refusal, error);
		return error;
	}
	*page = port->ops->page_alloc(port);
	size_t used = (*page == ZS_NO_PAGE ? 0 : 1) + (port->own_pages - own);
	zs_uncharge(pool, charged - used);
	zs_note_peak(pool);
	if (*page != ZS_NO_PAGE)
		return ZS_OK;
	store_relaxed(&pool->refusal, ZS_ENOMEM);
	return ZS_ENOMEM;
}

void zs_page_free(struct zs_pool *pool, uint32_t page)
{
	pool->port->ops->page_free(pool->port, page);
}

static void *chunk_at(const struct zs_pool *pool, uint32_t page, unsigned index)
{
	struct meta_page *meta = zs_meta_page(pool, page);

	return (char *)meta + META_HEAD + ((size_t)index * meta->chunk << REF_SHIFT);
}

static void list_add(struct zs_pool *pool, uint32_t *head, uint32_t page)
{
	struct meta_page *meta = zs_meta_page(pool, page);

	meta->next = *head;
	meta->prev = 0;
	if (*head)
		zs_meta_page(pool, *head)->prev = page;
	*head = page;
}

static void list_remove(struct zs_pool *pool, uint32_t *head, uint32_t page)
{
	struct meta_page *meta = zs_meta_page(pool, page);

	if (meta->prev)
		zs_meta_page(pool, meta->prev)->next = meta->next;
	else
		*head = meta->next;
	if (meta->next)
		zs_meta_page(pool, meta->next)->prev = meta->prev;
}

static uint32_t *list_of(struct zs_pool *pool, enum meta_kind kind, uint32_t chunk)
{
	return kind == META_BLOCKS ? &pool->block_list : &pool->chunk_lists[chunk];
}

static uint32_t new_page(struct zs_pool *pool, enum meta_kind kind, uint32_t chunk)
{
	uint32_t page;

	if (zs_page_alloc(pool, &page) != ZS_OK)
		return 0;
	struct meta_page *meta = zs_meta_page(pool, page);
	meta->chunk = (uint16_t)chunk;
	meta->nchunks = (uint16_t)((pool->page_size - META_HEAD) / (chunk << REF_SHIFT));
	meta->nfree = meta->nchunks;
	meta->first_free = 1;
	for (unsigned i = 0; i < meta->nchunks; i++)
		*(uint32_t *)chunk_at(pool, page, i) = i + 1 < meta->nchunks ? i + 2 : 0;
	meta->magic = zs_meta_magic(pool, kind, page);
	uint32_t end = (uint32_t)(((size_t)page + 1) << (pool->page_shift - REF_SHIFT));
	if (end > load_relaxed(&pool->meta_end))
		store_relaxed(&pool->meta_end, end);
	pool->meta_pages++;
	list_add(pool, list_of(pool, kind, chunk), page);
	return page;
}

/* A zeroed chunk, 0 if no page could be had. Never fails while a page has one free. */
zs_ref zs_meta_alloc(struct zs_pool *pool, enum meta_kind kind, size_t bytes)
{
	uint32_t chunk = (uint32_t)((bytes + 7) >> REF_SHIFT);
	uint32_t *list = list_of(pool, kind, chunk);
	zs_ref ref = 0;

	zs_lock(pool, &pool->lock);
	uint32_t page = *list ? *list : new_page(pool, kind, chunk);
	if (page) {
		struct meta_page *meta = zs_meta_page(pool, page);
		uint32_t *memory = chunk_at(pool, page, meta->first_free - 1u);

		meta->first_free = (uint16_t)*memory;
		if (--meta->nfree == 0) {
			list_remove(pool, list, page);
			list_add(pool, &pool->full_pages, page);
		}
		*memory = 0;
		ref = (zs_ref)((size_t)((char *)memory - pool->meta_base) >> REF_SHIFT);
	}
	zs_unlock(&pool->lock);
	return ref;
}

/* chunk contents but the first word are kept for blocks: see zs_find(). */
void zs_meta_free_locked(struct zs_pool *pool, enum meta_kind kind, zs_ref ref)
{
	size_t offset = (size_t)ref << REF_SHIFT;
	uint32_t page = (uint32_t)(offset >> pool->page_shift);
	struct meta_page *meta = zs_meta_page(pool, page);
	size_t bytes = (size_t)meta->chunk << REF_SHIFT;
	uint32_t *memory = zs_ptr(pool, ref);

	if (kind == META_CHUNKS)
		__builtin_memset(memory, 0, bytes);
	uint32_t *list = list_of(pool, kind, meta->chunk);
	*memory = meta->first_free;
	meta->first_free = (uint16_t)(((offset & (pool->page_size - 1)) - META_HEAD) / bytes + 1);
	if (meta->nfree++ == 0) {
		list_remove(pool, &pool->full_pages, page);
		list_add(pool, list, page);
	}
	if (meta->nfree == meta->nchunks) {
		list_remove(pool, list, page);
		meta->magic = 0;
		zs_page_free(pool, page);
		pool->meta_pages--;
		zs_uncharge(pool, 1);
	}
}

void zs_meta_free(struct zs_pool *pool, enum meta_kind kind, zs_ref ref)
{
	zs_lock(pool, &pool->lock);
	zs_meta_free_locked(pool, kind, ref);
	zs_unlock(&pool->lock);
}

/*
 * Moves a chunk (not a handle block) that shares its page with free ones to the
 * page that chunks of its size are taken from, so that when all have been
 * moved, one such page is left at most. Returns where it is now.
 */
zs_ref zs_meta_pack(struct zs_pool *pool, zs_ref ref)
{
	uint32_t page = (uint32_t)(((size_t)ref << REF_SHIFT) >> pool->page_shift);
	const struct meta_page *meta = zs_meta_page(pool, page);
	size_t bytes = (size_t)meta->chunk << REF_SHIFT;

	zs_lock(pool, &pool->lock);
	bool packed = !meta->nfree || pool->chunk_lists[meta->chunk] == page;
	zs_unlock(&pool->lock);
	/* Somebody may take the last free chunk first: then this takes a page for another. */
	zs_ref to = packed ? 0 : zs_meta_alloc(pool, META_CHUNKS, bytes);
	if (!to)
		return ref;
	__builtin_memcpy(zs_ptr(pool, to), zs_ptr(pool, ref), bytes);
	zs_meta_free(pool, META_CHUNKS, ref);
	return to;
}
