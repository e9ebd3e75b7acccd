/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What nearly every call does, to be inlined into the calls: a handle is looked up, a slot and
 * a handle are taken. Whatever is out of the ordinary is left to the files that own the data.
 *
 * While the program has one thread, the calls that end without calling anything else take no
 * lock: nobody could hold it. zs_is_alone() is asked anew in each call.
 */
#ifndef ZS_QUICK_H
#define ZS_QUICK_H

#include "core/core.h"

/* Whether a call may do without locks. Debug builds see every lock and check every object. */
static inline bool zs_is_alone(const struct zs_pool *pool)
{
	return !ZS_DEBUG && likely(*pool->alone);
}

/* --- handles --- */

/* The bits of a handle above those of low: nobody else can compute them. */
static inline uint64_t zs_tag_of(const struct zs_pool *pool, uint32_t key, uint64_t low)
{
	return (low ^ key) * pool->tag_factor & pool->tag_mask;
}

static inline zs_handle zs_handle_of(const struct zs_pool *pool, zs_ref ref, unsigned index,
				     uint32_t gen)
{
	uint64_t low = index | (uint64_t)ref << INDEX_BITS |
		       (uint64_t)(gen & pool->gen_mask) << pool->gen_pos;

	return (zs_handle)(low | zs_tag_of(pool, load_relaxed(&zs_block(pool, ref)->key), low));
}

/* The block that a handle was made for, NULL if there is none. Follows nothing unproven. */
static inline struct handle_block *zs_block_of(const struct zs_pool *pool, zs_handle handle,
					       uint32_t *key)
{
	zs_ref ref = (zs_ref)(handle >> INDEX_BITS) & pool->ref_mask;
	uint64_t low = handle & pool->low_mask;

	if (unlikely(ref + sizeof(struct handle_block) / 8 > load_relaxed(&pool->meta_end)) ||
	    unlikely(pool->short_tag && !zs_is_place_of_block(pool, ref)))
		return NULL;
	struct handle_block *block = zs_block(pool, ref);
	*key = atomic_load_explicit(&block->key, memory_order_acquire);
	if (unlikely((*key ^ zs_proof_of(pool, ref)) >> LIFE_BITS) ||
	    unlikely(zs_tag_of(pool, *key, low) != (handle ^ low)))
		return NULL;
	return block;
}

/* A handle's entry in its block; NULL: its object was freed. Nothing changes meanwhile. */
static inline uint32_t *zs_live_entry(const struct zs_pool *pool, struct handle_block *block,
				      zs_handle handle)
{
	unsigned index = (unsigned)handle & INDEX_MASK;

	if (unlikely(!zs_is_live(block, index)))
		return NULL;
	uint32_t *entry = zs_entry(pool, block, index);
	uint32_t gens = *entry >> GEN_SHIFT ^ (uint32_t)(handle >> pool->gen_pos);
	return likely(!(gens & pool->gen_mask)) ? entry : NULL;
}

/*
 * Finds the live object of a handle and locks its shard. If there is none, the
 * misuse is reported and nothing is locked.
 */
static ALWAYS_INLINE bool zs_find(struct zs_pool *pool, zs_handle handle, struct zs_object *object)
{
	uint32_t key;
	struct handle_block *block = zs_block_of(pool, handle, &key);

	if (unlikely(!block))
		return zs_misuse(pool, ZS_MISUSE_BAD_HANDLE, handle), false;
	/*
	 * 0: the block is free, but what it was last is still to be read. Another key: its page
	 * may have been taken for something else just now, and what was read be no shard.
	 */
	uint32_t ref = atomic_load_explicit(&block->shard, memory_order_acquire);
	if (unlikely(!ref) || unlikely(load_relaxed(&block->key) != key))
		return zs_misuse(pool, ZS_MISUSE_STALE_HANDLE, handle), false;

	struct shard *shard = zs_shard(pool, ref);
	unsigned index = (unsigned)handle & INDEX_MASK;
	/* Two cache misses at once: the entry and the lock. */
	__builtin_prefetch((uint32_t *)zs_ptr(pool, load_relaxed(&block->store)) + index, 1);
	zs_lock(pool, &shard->lock);
	/* Only the shard's lock keeps its blocks, so look again. */
	uint32_t *entry = NULL;
	if (likely(load_relaxed(&block->shard) == ref) && likely(load_relaxed(&block->key) == key))
		entry = zs_live_entry(pool, block, handle);
	enum zs_misuse fault = ZS_MISUSE_STALE_HANDLE;
	/* Without debug checks only zs_free() looks: what it does cannot be undone. */
	if (ZS_DEBUG && entry && !zs_is_object(pool, shard, *entry & LOC_MASK)) {
		fault = ZS_MISUSE_CORRUPT;
		entry = NULL;
	}
	if (unlikely(!entry)) {
		zs_unlock(&shard->lock);
		return zs_misuse(pool, fault, handle), false;
	}
	*object = (struct zs_object){ shard, block, index, entry, handle };
	return true;
}

/*
 * The same for one who is alone, and only what is usual: a long tag, a full-sized store. No lock,
 * nothing is reported, nothing called.
 */
static ALWAYS_INLINE bool zs_find_alone(struct zs_pool *pool, zs_handle handle,
					struct zs_object *object)
{
	uint32_t key;

	if (unlikely(pool->short_tag))
		return false;
	struct handle_block *block = zs_block_of(pool, handle, &key);
	if (unlikely(!block))
		return false;
	uint32_t ref = load_relaxed(&block->shard);
	if (unlikely(!ref) || unlikely(block->cap != pool->block_handles))
		return false;
	uint32_t *entry = zs_live_entry(pool, block, handle);
	if (unlikely(!entry))
		return false;
	*object = (struct zs_object){ zs_shard(pool, ref), block, (unsigned)handle & INDEX_MASK,
				      entry, handle };
	return true;
}

/* Whether the next handle is there without a look around. */
static inline bool zs_has_handle(const struct zs_pool *pool, const struct shard *shard)
{
	return likely(shard->hand) &&
	       likely(zs_block(pool, shard->hand)->nlive < pool->block_handles);
}

/* Never fails after zs_handle_reserve(). *place: its entry. */
static inline zs_handle zs_handle_take(struct zs_pool *pool, struct shard *shard, uint32_t loc,
				       uint32_t **place)
{
	struct handle_block *block = zs_block(pool, shard->hand);
	unsigned index = shard->hand_index;
	uint32_t free = ~block->live[index / 32] >> index % 32;

	index += free ? bit_first(free) : 0;
	if (unlikely(!free) || unlikely(index >= pool->block_handles))
		index = zs_free_index(pool, block, shard->hand_index);
	shard->hand_index = (uint8_t)(index + 1 < pool->block_handles ? index + 1 : 0);
	uint32_t *entry = (uint32_t *)zs_ptr(pool, load_relaxed(&block->store)) + index;
	uint32_t gen = (*entry >> GEN_SHIFT) + 1;

	*entry = gen << GEN_SHIFT | loc;
	*place = entry;
	block->live[index / 32] |= UINT32_C(1) << index % 32;
	block->nlive++;
	shard->free_handles--;
	shard->objects++;
	return zs_handle_of(pool, shard->hand, index, gen);
}

/* Whether a block's store stays as it is if one of the objects goes. */
static inline bool zs_keeps_store(const struct zs_pool *pool, const struct shard *shard,
				  const struct handle_block *block)
{
	/* A full-sized one is not packed before a quarter is free, and the hand's never. */
	return likely(block->nlive > pool->block_handles * 3 / 4 + 1) ||
	       block == zs_block(pool, shard->hand);
}

/* A handle is not in use any more. */
static inline void zs_handle_drop(struct shard *shard, struct handle_block *block, unsigned index)
{
	block->live[index / 32] &= ~(UINT32_C(1) << index % 32);
	block->nlive--;
	shard->free_handles++;
	shard->objects--;
}

/* --- slots --- */

static inline unsigned zs_group_of(const struct size_class *class, const struct zspage *zspage)
{
	if (likely(zspage->room) && likely(!(zspage->flags & ZSPAGE_BUSY)))
		return zspage->inuse * class->band_factor >> 16;
	if (unlikely(zspage->flags & ZSPAGE_BUSY))
		return GROUP_NONE;
	if (unlikely(zspage->flags & ZSPAGE_SOURCE))
		return GROUP_SOURCE;
	return zspage->pages < class->pages_per_zspage ? GROUP_GROW : GROUP_NONE;
}

/* Puts a zspage on the list where it belongs now. */
static inline void zs_regroup(struct zs_pool *pool, struct shard *shard, uint32_t index,
			      struct zspage *zspage)
{
	unsigned group = zs_group_of(&shard->class[zspage->class], zspage);

	if (unlikely(group != zspage->group))
		zs_relist(pool, shard, index, zspage, group);
}

/* Takes the lowest slot below the limit; there is room. */
static inline unsigned zs_take_slot(struct shard *shard, struct size_class *class,
				    struct zspage *zspage)
{
	unsigned w = zspage->hint;

	if (unlikely(zspage->map[w] == UINT64_MAX)) {
		while (zspage->map[++w] == UINT64_MAX)
			;
		zspage->hint = (uint16_t)w;
	}
	unsigned bit = bit_first64(~zspage->map[w]);
	zspage->map[w] |= UINT64_C(1) << bit;
	zspage->inuse++;
	zspage->room--;
	class->inuse++;
	class->room--;
	shard->room_bytes -= class->size;
	return w * 64 + bit;
}

/* A slot in the fullest zspage of a class that has room, *loc in it. NULL: there is none. */
static ALWAYS_INLINE struct zspage *zs_take_room(struct zs_pool *pool, struct shard *shard,
						 unsigned class_index, uint32_t *loc)
{
	struct size_class *class = &shard->class[class_index];
	uint32_t bands = class->groups & BAND_MASK;

	if (unlikely(!bands))
		return NULL;
	uint32_t index = class->head[bit_last(bands)] - 1u;
	struct zspage *zspage = zs_zspage(pool, shard, index);
	if (unlikely(zspage->flags & ZSPAGE_KEPT))
		zs_unkeep(pool, zspage);
	*loc = index << SLOT_BITS | zs_take_slot(shard, class, zspage);
	zs_regroup(pool, shard, index, zspage);
	return zspage;
}

/* A slot holds no object any more. */
static inline void zs_give_slot(struct shard *shard, struct size_class *class,
				struct zspage *zspage, unsigned slot)
{
	zspage->map[slot / 64] &= ~(UINT64_C(1) << slot % 64);
	zspage->inuse--;
	class->inuse--;
	if (unlikely(slot >= zspage->limit))
		return;
	zspage->room++;
	class->room++;
	shard->room_bytes += zspage->size;
	if (slot / 64 < zspage->hint)
		zspage->hint = (uint16_t)(slot / 64);
}

/* --- the object of the next call --- */

/* For one who is alone, where addresses are contiguous. Returns the object's. */
static inline char *zs_remember(struct zs_pool *pool, zs_handle handle, uint32_t *entry,
				struct shard *shard, const struct zspage *zspage, unsigned slot)
{
	store_relaxed(&pool->recent.handle, handle);
	pool->recent.entry = entry;
	pool->recent.shard = shard;
	return pool->recent.address = zs_contiguous_address(pool, zspage, slot);
}

static inline bool zs_is_recent(const struct zs_pool *pool, zs_handle handle)
{
	return likely(handle == load_relaxed(&pool->recent.handle)) && likely(handle);
}

#endif /* ZS_QUICK_H */
