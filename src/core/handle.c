/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Handles and the entries behind them. A handle spells out where its block is,
 * its index in the block, the generation of the entry, and a tag that only this
 * pool, for this life of the block, could have computed. Nothing is followed
 * before it has been checked.
 */
#include "core/quick.h"

/* --- handles as numbers --- */

/* Whether there is a block, in use or free, at a place where one could be. */
bool zs_is_block(const struct zs_pool *pool, zs_ref ref)
{
	size_t inside = ((size_t)ref << REF_SHIFT) & (pool->page_size - 1);

	return ref && ref < load_relaxed(&pool->meta_end) &&
	       inside <= pool->page_size - sizeof(struct handle_block) &&
	       !((load_relaxed(&zs_block(pool, ref)->key) ^ zs_proof_of(pool, ref)) >> LIFE_BITS);
}

/* --- entries --- */

/* How many live indices are below index. */
static unsigned rank(const struct handle_block *block, unsigned index)
{
	unsigned count = 0, w = 0;

	for (; w < index / 32; w++)
		count += bit_count(block->live[w]);
	return count + bit_count(block->live[w] & ((UINT32_C(1) << index % 32) - 1));
}

uint32_t *zs_packed_entry(const struct zs_pool *pool, struct handle_block *block, unsigned index)
{
	return (uint32_t *)zs_ptr(pool, block->store) + rank(block, index);
}

/* The live index that n others are below. */
unsigned zs_nth_live(const struct handle_block *block, unsigned n)
{
	unsigned w = 0, count;

	while ((count = bit_count(block->live[w])) <= n) {
		n -= count;
		w++;
	}
	uint32_t live = block->live[w];
	while (n--)
		live &= live - 1;
	return w * 32 + bit_first(live);
}

/*
 * Whether a block's page is one of blocks, and the block one of those it was cut
 * into. Where the tag is long, and user data is not where metadata is, the
 * block's own proof does.
 */
bool zs_is_place_of_block(const struct zs_pool *pool, zs_ref ref)
{
	size_t offset = (size_t)ref << REF_SHIFT, inside = offset & (pool->page_size - 1);
	uint32_t page = (uint32_t)(offset >> pool->page_shift);

	if (inside > pool->page_size - sizeof(struct handle_block))
		return false;
	/* Pages below were never anything but the pool's own. */
	return page && zs_meta_page(pool, page)->magic == zs_meta_magic(pool, META_BLOCKS, page) &&
	       inside >= META_HEAD && (inside - META_HEAD) % sizeof(struct handle_block) == 0;
}

/* --- blocks --- */

/*
 * The smallest store that is worth having for so many live entries. Above three
 * quarters it stays full-sized: new handles will come.
 */
static unsigned cap_for(const struct zs_pool *pool, unsigned live)
{
	unsigned step = live < 30 ? 4 : live < 60 ? 8 : 16;
	unsigned cap = (live + 2 + step - 1) / step * step;

	return cap <= pool->block_handles * 3 / 4 ? cap : pool->block_handles;
}

static zs_ref store_alloc(struct zs_pool *pool, struct shard *shard, unsigned cap)
{
	zs_ref store = zs_meta_alloc(pool, META_CHUNKS, cap * sizeof(uint32_t));

	if (store)
		shard->store_bytes += cap * sizeof(uint32_t);
	return store;
}

static void store_free(struct zs_pool *pool, struct shard *shard, zs_ref store, unsigned cap)
{
	zs_meta_free(pool, META_CHUNKS, store);
	shard->store_bytes -= cap * sizeof(uint32_t);
}

/* Generations begin anywhere, so that those of another pool's handles do not fit. */
static uint8_t first_gen(const struct handle_block *block)
{
	return (uint8_t)(load_relaxed(&block->key) * UINT32_C(0x85ebca6b) >> (32 - GEN_BITS));
}

/*
 * The entries of a block are often of about one generation. Each begins somewhere else, those
 * of indices that differ by one bit far apart: so one bit of a handle's index that flips shows
 * even where there is no tag.
 */
static uint32_t spread(unsigned index)
{
	return index * 53;
}

/* An entry that holds no object. */
static uint32_t free_entry(const struct handle_block *block, unsigned index)
{
	return (block->gen + spread(index)) << GEN_SHIFT;
}

/* Notes the generation of an entry that the store is not going to hold. */
static void note_gen(struct handle_block *block, unsigned index, uint32_t entry)
{
	uint32_t mask = (1u << GEN_BITS) - 1, first = first_gen(block);
	uint32_t gen = ((entry >> GEN_SHIFT) - spread(index)) & mask;

	if (((gen - first) & mask) > ((block->gen - first) & mask))
		block->gen = (uint8_t)gen;
}

static zs_ref new_block(struct zs_pool *pool, struct shard *shard)
{
	unsigned cap = pool->block_handles;
	zs_ref ref = zs_meta_alloc(pool, META_BLOCKS, sizeof(struct handle_block));

	if (!ref)
		return 0;
	zs_ref store = store_alloc(pool, shard, cap);
	if (!store) {
		zs_meta_free(pool, META_BLOCKS, ref);
		return 0;
	}
	struct handle_block *block = zs_block(pool, ref);
	block->prev = 0;
	block->next = shard->blocks;
	block->store = store;
	block->cap = (uint8_t)cap;
	block->nlive = 0;
	zs_lock(pool, &pool->lock);
	store_relaxed(&block->key, zs_proof_of(pool, ref) ^ (++pool->block_lives &
							     ((UINT32_C(1) << LIFE_BITS) - 1)));
	zs_unlock(&pool->lock);
	for (unsigned w = 0; w < LIVE_WORDS; w++)
		block->live[w] = 0;
	block->gen = first_gen(block);
	for (unsigned i = 0; i < cap; i++)
		((uint32_t *)zs_ptr(pool, store))[i] = free_entry(block, i);
	store_relaxed(&block->shard, shard->self);
	if (shard->blocks)
		zs_block(pool, shard->blocks)->prev = ref;
	shard->blocks = ref;
	shard->nblocks++;
	shard->free_handles += cap;
	return ref;
}

static void free_block(struct zs_pool *pool, struct shard *shard, zs_ref ref)
{
	struct handle_block *block = zs_block(pool, ref);

	if (shard->cursor == ref) {
		shard->cursor = block->next;
		shard->cursor_index = 0;
	}
	if (shard->hand == ref)
		shard->hand = 0;
	if (block->prev)
		zs_block(pool, block->prev)->next = block->next;
	else
		shard->blocks = block->next;
	if (block->next)
		zs_block(pool, block->next)->prev = block->prev;
	shard->nblocks--;
	shard->free_handles -= pool->block_handles - block->nlive;
	store_free(pool, shard, block->store, block->cap);
	store_relaxed(&block->shard, 0);
	zs_meta_free(pool, META_BLOCKS, ref);
}

/*
 * Packs the live entries of a block into a smaller store, if that saves
 * anything. What is known of the dead ones' generations is the latest of all.
 */
static void shrink_block(struct zs_pool *pool, struct shard *shard, struct handle_block *block,
			 unsigned cap)
{
	if (likely(cap >= block->cap))
		return;
	zs_ref ref = store_alloc(pool, shard, cap);
	if (!ref)
		return;
	const uint32_t *old = zs_ptr(pool, block->store);
	uint32_t *store = zs_ptr(pool, ref);
	if (block->cap == pool->block_handles) {
		for (unsigned i = 0; i < block->cap; i++) {
			note_gen(block, i, old[i]);
			if (zs_is_live(block, i))
				*store++ = old[i];
		}
	} else {
		__builtin_memcpy(store, old, block->nlive * sizeof(*store));
	}
	store_free(pool, shard, block->store, block->cap);
	block->store = ref;
	block->cap = (uint8_t)cap;
}

/* Compaction: sees to it that stores do not lie about in half-empty pages. */
void zs_block_pack(struct zs_pool *pool, struct handle_block *block)
{
	block->store = zs_meta_pack(pool, block->store);
}

/* Gives a block a full-sized store, so that any of its indices can be handed out. */
static bool expand_block(struct zs_pool *pool, struct shard *shard, struct handle_block *block)
{
	unsigned cap = pool->block_handles;

	if (block->cap == cap)
		return true;
	zs_ref ref = store_alloc(pool, shard, cap);
	if (!ref)
		return false;
	const uint32_t *old = zs_ptr(pool, block->store);
	uint32_t *store = zs_ptr(pool, ref);
	for (unsigned i = 0; i < cap; i++)
		store[i] = zs_is_live(block, i) ? *old++ : free_entry(block, i);
	store_free(pool, shard, block->store, block->cap);
	block->store = ref;
	block->cap = (uint8_t)cap;
	return true;
}

/*
 * Looks for a block with a free index, from the one behind the hand on. Only
 * worth its while if they have one in 32 free on the average.
 */
static zs_ref next_block(struct zs_pool *pool, struct shard *shard)
{
	zs_ref ref = shard->hand ? zs_block(pool, shard->hand)->next : shard->blocks;

	for (unsigned tried = 0; tried < shard->nblocks; tried++) {
		if (!ref)
			ref = shard->blocks;
		struct handle_block *block = zs_block(pool, ref);
		unsigned cap = block->cap;
		if (block->nlive < pool->block_handles && expand_block(pool, shard, block)) {
			shard->hand_cap = (uint8_t)cap;
			return ref;
		}
		ref = block->next;
	}
	return 0;
}

/* Sees to it that zs_handle_take() has an index to give. */
int zs_handle_reserve(struct zs_pool *pool, struct shard *shard)
{
	zs_ref ref = 0;

	shard->hand_cap = (uint8_t)pool->block_handles;
	if (likely(zs_has_handle(pool, shard)))
		return ZS_OK;
	if (shard->free_handles > shard->nblocks * pool->block_handles / 32)
		ref = next_block(pool, shard);
	if (!ref) {
		ref = new_block(pool, shard);
		shard->hand_cap = 0;
	}
	if (!ref && shard->free_handles)
		ref = next_block(pool, shard);
	if (!ref)
		return zs_refusal(pool);
	shard->hand = ref;
	shard->hand_index = 0;
	return ZS_OK;
}

/* The index is not needed after all: what was made for it goes. */
void zs_handle_unreserve(struct zs_pool *pool, struct shard *shard)
{
	struct handle_block *block = zs_block(pool, shard->hand);

	if (block->nlive == 0 && shard->hand_cap == 0) {
		free_block(pool, shard, shard->hand);
	} else if (shard->hand_cap && shard->hand_cap < block->cap) {
		shard->hand = 0;
		shrink_block(pool, shard, block, shard->hand_cap);
	}
}

/*
 * The next free index from where the last one was found: going round, each entry
 * rests as long as it can before it is used again.
 */
unsigned zs_free_index(const struct zs_pool *pool, const struct handle_block *block, unsigned from)
{
	uint32_t beyond = from % 32 ? (UINT32_C(1) << from % 32) - 1 : 0;

	for (unsigned w = from / 32;; w = w + 1 < LIVE_WORDS ? w + 1 : 0, beyond = 0) {
		uint32_t taken = block->live[w] | beyond;

		if (w == pool->block_handles / 32)
			taken |= UINT32_MAX << pool->block_handles % 32;
		if (w <= pool->block_handles / 32 && taken != UINT32_MAX)
			return w * 32 + bit_first(~taken);
	}
}

void zs_handle_free(struct zs_pool *pool, const struct zs_object *object)
{
	struct handle_block *block = object->block;
	struct shard *shard = object->shard;
	uint32_t *store = zs_ptr(pool, block->store);
	zs_ref ref = (zs_ref)((size_t)((char *)block - pool->meta_base) >> REF_SHIFT);
	bool keeps_store = zs_keeps_store(pool, shard, block);

	if (block->cap != pool->block_handles) {
		unsigned at = (unsigned)(object->entry - store);

		note_gen(block, object->index, *object->entry);
		__builtin_memmove(&store[at], &store[at + 1],
				  (block->nlive - at - 1u) * sizeof(*store));
	}
	zs_handle_drop(shard, block, object->index);
	if (keeps_store)
		return;
	if (block->nlive == 0)
		free_block(pool, shard, ref);
	else
		shrink_block(pool, shard, block, cap_for(pool, block->nlive));
}

/* --- pins --- */

static struct pin_count *find_pin_count(struct zs_pool *pool, struct shard *shard, zs_handle handle,
					zs_ref **link)
{
	for (*link = &shard->pin_counts; **link;) {
		struct pin_count *count = zs_ptr(pool, **link);

		if (count->handle == handle)
			return count;
		*link = &count->next;
	}
	return NULL;
}

/* One more map of an object. An error: too many to count in the entry, and no page. */
int zs_pin(struct zs_pool *pool, const struct zs_object *object)
{
	uint32_t pins = zs_entry_pins(*object->entry);
	struct shard *shard = object->shard;
	zs_ref *link;

	if (likely(pins < PINS_MANY - 1)) {
		*object->entry += PIN_ONE;
		shard->pinned += pins == 0;
		return ZS_OK;
	}
	if (pins == PINS_MANY) {
		find_pin_count(pool, shard, object->handle, &link)->count++;
		return ZS_OK;
	}
	zs_ref ref = zs_meta_alloc(pool, META_CHUNKS, sizeof(struct pin_count));
	if (!ref)
		return zs_refusal(pool);
	*(struct pin_count *)zs_ptr(pool, ref) = (struct pin_count){ .next = shard->pin_counts,
								     .count = PINS_MANY,
								     .handle = object->handle };
	shard->pin_counts = ref;
	*object->entry += PIN_ONE;
	return ZS_OK;
}

/* One map less. Returns whether it was the last. The object is mapped. */
bool zs_unpin(struct zs_pool *pool, const struct zs_object *object)
{
	uint32_t pins = zs_entry_pins(*object->entry);
	struct shard *shard = object->shard;

	if (unlikely(pins == PINS_MANY)) {
		zs_ref *link;
		struct pin_count *count = find_pin_count(pool, shard, object->handle, &link);

		if (--count->count >= PINS_MANY)
			return false;
		zs_ref ref = *link;
		*link = count->next;
		zs_meta_free(pool, META_CHUNKS, ref);
	}
	*object->entry -= PIN_ONE;
	shard->pinned -= pins == 1;
	return pins == 1;
}
