/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Zspages: made, filled from the low end, listed by fullness, trimmed from the
 * high end, given back. Shard lock; zs_decommit() and zs_zspage_release() are called
 * without it, on pages that nobody else uses and zspages that nobody else can reach.
 */
#include "core/quick.h"

/* --- geometry --- */

/* How many slots lie completely in the real pages. */
unsigned zs_real_slots(const struct zs_pool *pool, const struct size_class *class,
		       const struct zspage *zspage)
{
	size_t slots = ((size_t)zspage->pages << pool->page_shift) / class->size;

	return slots < class->slots ? (unsigned)slots : class->slots;
}

unsigned zs_pages_for(const struct zs_pool *pool, const struct size_class *class, unsigned slots)
{
	return (unsigned)(((size_t)slots * class->size + pool->page_size - 1) >> pool->page_shift);
}

/* One more than the highest slot in use. */
unsigned zs_top_slot(const struct size_class *class, const struct zspage *zspage)
{
	for (unsigned w = zs_map_words(class); w-- > 0;) {
		if (zspage->map[w])
			return w * 64 + bit_last64(zspage->map[w]) + 1;
	}
	return 0;
}

/* --- lists --- */

void zs_unlist(const struct zs_pool *pool, struct shard *shard, uint32_t index,
	       struct zspage *zspage)
{
	struct size_class *class = &shard->class[zspage->class];
	unsigned group = zspage->group;

	(void)index;
	if (group == GROUP_NONE)
		return;
	if (zspage->prev)
		zs_zspage(pool, shard, zspage->prev - 1u)->next = zspage->next;
	else
		class->head[group] = zspage->next;
	if (zspage->next)
		zs_zspage(pool, shard, zspage->next - 1u)->prev = zspage->prev;
	if (!class->head[group])
		class->groups &= (uint16_t) ~(1u << group);
	zspage->group = GROUP_NONE;
}

static void enlist(const struct zs_pool *pool, struct shard *shard, uint32_t index,
		   struct zspage *zspage, unsigned group)
{
	struct size_class *class = &shard->class[zspage->class];

	zspage->group = (uint8_t)group;
	zspage->prev = 0;
	zspage->next = class->head[group];
	if (zspage->next)
		zs_zspage(pool, shard, zspage->next - 1u)->prev = (uint16_t)(index + 1);
	class->head[group] = (uint16_t)(index + 1);
	class->groups |= (uint16_t)(1u << group);
}

void zs_relist(struct zs_pool *pool, struct shard *shard, uint32_t index, struct zspage *zspage,
	       unsigned group)
{
	zs_unlist(pool, shard, index, zspage);
	if (group != GROUP_NONE)
		enlist(pool, shard, index, zspage, group);
}

/* --- slots --- */

static unsigned count_below(const struct zspage *zspage, unsigned limit)
{
	unsigned count = 0, w = 0;

	for (; w < limit / 64; w++)
		count += bit_count64(zspage->map[w]);
	if (limit % 64)
		count += bit_count64(zspage->map[w] & ((UINT64_C(1) << limit % 64) - 1));
	return count;
}

/* Moves the limit of a zspage and all that is counted by it. */
void zs_move_limit(struct zs_pool *pool, struct shard *shard, struct zspage *zspage, unsigned limit)
{
	struct size_class *class = &shard->class[zspage->class];
	unsigned room = limit - count_below(zspage, limit);

	(void)pool;
	class->room += room - zspage->room;
	shard->room_bytes += ((uint64_t)room - zspage->room) * class->size;
	zspage->room = (uint16_t)room;
	zspage->limit = (uint16_t)limit;
	zspage->hint = 0;
}

void zs_unkeep(struct zs_pool *pool, struct zspage *zspage)
{
	if (zspage->flags & ZSPAGE_KEPT) {
		zspage->flags &= (uint8_t)~ZSPAGE_KEPT;
		atomic_fetch_sub(&pool->kept_pages, zspage->pages);
	}
}

/* How many pages a source has above its limit. */
unsigned zs_pages_to_leave(const struct zs_pool *pool, const struct shard *shard,
			   const struct zspage *zspage)
{
	const struct size_class *class = &shard->class[zspage->class];

	return zspage->pages - zs_pages_for(pool, class, zspage->limit);
}

/* What is above the limit of a zspage does not wait any more to be given back. */
void zs_unleave(struct zs_pool *pool, struct shard *shard, struct zspage *zspage)
{
	if (likely(!(zspage->flags & ZSPAGE_LEFT)))
		return;
	uint32_t pages = zs_pages_to_leave(pool, shard, zspage);
	zspage->flags &= (uint8_t)~ZSPAGE_LEFT;
	atomic_fetch_sub(&shard->left_pages, pages);
	atomic_fetch_sub(&pool->left_pages, pages);
}

/* --- making and growing --- */

static void release_index(struct zs_pool *pool, struct shard *shard, uint32_t index)
{
	*zs_table(pool, shard, index) = ZTAB_FREE | shard->free_zspage;
	shard->free_zspage = (uint16_t)(index + 1);
}

/* Puts the table's next entry on the list of unused ones. ZS_EBUSY: there is none left. */
static int extend_table(struct zs_pool *pool, struct shard *shard)
{
	uint32_t index = shard->nzspages, chunk = index >> pool->ztab_shift;

	if (chunk >= ZTAB_CHUNKS || index >= MAX_ZSPAGES)
		return ZS_EBUSY;
	if (!shard->ztab[chunk]) {
		shard->ztab[chunk] =
			zs_meta_alloc(pool, META_CHUNKS, sizeof(zs_ref) << pool->ztab_shift);
		if (!shard->ztab[chunk])
			return zs_refusal(pool);
	}
	shard->nzspages++;
	release_index(pool, shard, index);
	return ZS_OK;
}

/* Takes back what extend_table() did last; the entry is unused again. */
static void retract_table(struct zs_pool *pool, struct shard *shard)
{
	uint32_t index = --shard->nzspages, chunk = index >> pool->ztab_shift;

	shard->free_zspage = (uint16_t)*zs_table(pool, shard, index);
	if (index == chunk << pool->ztab_shift) {
		zs_meta_free(pool, META_CHUNKS, shard->ztab[chunk]);
		shard->ztab[chunk] = 0;
	}
}

static uint32_t range_alloc(struct zs_pool *pool)
{
	struct zs_port *port = pool->port;

	int error = zs_charge(pool, 1);

	store_relaxed(&pool->refusal, error ? error : ZS_ENOMEM);
	if (error)
		return ZS_NO_PAGE;
	zs_lock(pool, &pool->lock);
	uint32_t own = port->own_pages;
	uint32_t range = port->ops->range_alloc(port);
	if (port->own_pages == own)
		zs_uncharge(pool, 1);
	if (range != ZS_NO_PAGE)
		pool->places += zs_mix(range);
	zs_note_peak(pool);
	zs_unlock(&pool->lock);
	return range;
}

/* A zspage without real pages, on no list. There is an unused table entry. */
static int new_zspage(struct zs_pool *pool, struct shard *shard, unsigned class, uint32_t *index)
{
	const struct size_class *geometry = &shard->class[class];

	*index = shard->free_zspage - 1u;
	zs_ref ref = zs_meta_alloc(pool, META_CHUNKS,
				   zs_descriptor_bytes(pool, geometry->slots,
						       geometry->pages_per_zspage));
	if (!ref)
		return zs_refusal(pool);
	struct zspage *zspage = zs_ptr(pool, ref);
	zspage->size = geometry->size;
	zspage->class = (uint8_t) class;
	zspage->group = GROUP_NONE;
	if (pool->contiguous) {
		zspage->range = range_alloc(pool);
		if (zspage->range == ZS_NO_PAGE) {
			zs_meta_free(pool, META_CHUNKS, ref);
			return zs_refusal(pool);
		}
	}
	shard->free_zspage = (uint16_t)*zs_table(pool, shard, *index);
	*zs_table(pool, shard, *index) = ref;
	shard->class[class].nzspages++;
	return ZS_OK;
}

/* Takes pages one by one: whatever is scattered about will do. All or none. */
static int take_scattered(struct zs_pool *pool, const struct size_class *class,
			  struct zspage *zspage, unsigned to)
{
	uint32_t *list = zs_page_list(class, zspage);
	unsigned page = zspage->pages;
	int error = ZS_OK;

	zs_lock(pool, &pool->lock);
	for (; page < to && !error; page++)
		error = zs_page_alloc(pool, &list[page]);
	if (error) {
		for (page--; page > zspage->pages; page--) {
			zs_page_free(pool, list[page - 1]);
			zs_uncharge(pool, 1);
		}
	}
	for (page = zspage->pages; page < to && !error; page++)
		pool->places += zs_mix(list[page]);
	zs_unlock(&pool->lock);
	return error;
}

/* Pages that are no longer a zspage's. Pool lock. */
static void forget_places(struct zs_pool *pool, const struct zs_tail *tail)
{
	for (unsigned page = tail->from; !pool->contiguous && page < tail->to; page++)
		pool->places -= zs_mix(zs_page_list(tail->class, tail->zspage)[page]);
}

/* Makes as many more pages real as the next slot needs. */
static int grow(struct zs_pool *pool, struct shard *shard, uint32_t index, struct zspage *zspage)
{
	struct size_class *class = &shard->class[zspage->class];
	unsigned to = zs_pages_for(pool, class, zspage->limit + 1u);
	int error = pool->contiguous ? zs_charge(pool, to - zspage->pages)
				     : take_scattered(pool, class, zspage, to);

	if (error)
		return error;
	class->npages += to - zspage->pages;
	shard->npages += to - zspage->pages;
	zspage->pages = (uint8_t)to;
	zs_note_peak(pool);
	zs_set_trigger(pool, shard);
	zs_move_limit(pool, shard, zspage, zs_real_slots(pool, class, zspage));
	zs_regroup(pool, shard, index, zspage);
	return ZS_OK;
}

/* Takes a zspage out of its shard; the caller releases it once the lock is free. */
static zs_ref detach(struct zs_pool *pool, struct shard *shard, uint32_t index)
{
	zs_ref ref = *zs_table(pool, shard, index);
	struct zspage *zspage = zs_ptr(pool, ref);
	struct size_class *class = &shard->class[zspage->class];

	zs_unkeep(pool, zspage);
	zs_unleave(pool, shard, zspage);
	zs_unlist(pool, shard, index, zspage);
	zs_move_limit(pool, shard, zspage, 0);
	class->nzspages--;
	class->npages -= zspage->pages;
	shard->npages -= zspage->pages;
	release_index(pool, shard, index);
	/* A class that nobody uses any more closes, unless it was open from the start. */
	if (!class->nzspages)
		shard->open &= ~(UINT32_C(1) << zspage->class) | zs_first_open(pool, shard->run);
	zs_lock(pool, &pool->lock);
	pool->releasing_pages += zspage->pages;
	forget_places(pool, &(struct zs_tail){ class, zspage, 0, zspage->pages });
	if (pool->contiguous)
		pool->places -= zs_mix(zspage->range);
	zs_unlock(&pool->lock);
	return ref;
}

/*
 * Compaction was about to empty this zspage, but its room is wanted after all:
 * better than a new page.
 */
void zs_restore_source(struct zs_pool *pool, struct shard *shard, uint32_t index)
{
	struct zspage *zspage = zs_zspage(pool, shard, index);
	struct size_class *class = &shard->class[zspage->class];

	zs_unleave(pool, shard, zspage);
	shard->to_move -= zspage->inuse - count_below(zspage, zspage->limit);
	zspage->flags &= (uint8_t)~ZSPAGE_SOURCE;
	if (!zspage->inuse) {
		zspage->flags |= ZSPAGE_KEPT;
		atomic_fetch_add(&pool->kept_pages, zspage->pages);
	}
	zs_move_limit(pool, shard, zspage, zs_real_slots(pool, class, zspage));
	zs_regroup(pool, shard, index, zspage);
}

/* A new zspage with room for one object. What was done is undone if a page is refused. */
static int add_zspage(struct zs_pool *pool, struct shard *shard, unsigned class)
{
	bool extended = !shard->free_zspage;
	uint32_t index;
	int error = extended ? extend_table(pool, shard) : ZS_OK;

	if (error)
		return error;
	error = new_zspage(pool, shard, class, &index);
	if (!error) {
		error = grow(pool, shard, index, zs_zspage(pool, shard, index));
		if (error)
			zs_zspage_release(pool, &shard->class[class], detach(pool, shard, index));
	}
	if (error && extended)
		retract_table(pool, shard);
	return error;
}

/* --- allocation --- */

/*
 * Room in a slot of a larger class, where there is so much of it that compaction would take a page
 * away: a page that is given back here and taken there costs more time than most allocations, and
 * a 128th of the size too much costs fewer bytes than room that waits for objects of its own.
 */
#define BESIDE_SHIFT 7

static bool take_room_beside(struct zs_pool *pool, struct shard *shard, unsigned class_index,
			     uint32_t *loc)
{
	uint32_t most =
		shard->class[class_index].size + (shard->class[class_index].size >> BESIDE_SHIFT);

	for (unsigned i = class_index + 1; i < SHARD_CLASSES && shard->class[i].size <= most; i++) {
		const struct size_class *class = &shard->class[i];

		if ((size_t) class->room * class->size >= pool->page_size)
			return zs_take_room(pool, shard, i, loc);
	}
	return false;
}

/*
 * A slot in the fullest zspage that has room; else in one that compaction wanted
 * to empty; else in a new page of a zspage that has fewer than it may have; else
 * in a new zspage. EBUSY: the shard has all the zspages it can have.
 */
int zs_slot_alloc(struct zs_pool *pool, struct shard *shard, unsigned class_index, uint32_t *loc)
{
	struct size_class *class = &shard->class[class_index];
	uint32_t index;
	int error;

	if (likely(zs_take_room(pool, shard, class_index, loc)))
		return ZS_OK;
	while (class->head[GROUP_SOURCE]) {
		zs_restore_source(pool, shard, class->head[GROUP_SOURCE] - 1u);
		if (zs_take_room(pool, shard, class_index, loc))
			return ZS_OK;
	}
	if (take_room_beside(pool, shard, class_index, loc))
		return ZS_OK;
	if (class->head[GROUP_GROW]) {
		index = class->head[GROUP_GROW] - 1u;
		error = grow(pool, shard, index, zs_zspage(pool, shard, index));
	} else {
		error = add_zspage(pool, shard, class_index);
	}
	if (!error)
		zs_take_room(pool, shard, class_index, loc);
	return error;
}

/* Whether a zspage that has become empty stays, against the next allocation. */
static bool keep(struct zs_pool *pool, const struct size_class *class, struct zspage *zspage)
{
	if (!pool->contiguous || zspage->flags & ZSPAGE_SOURCE || class->room != zspage->room)
		return false;
	if (zspage->pages > KEPT_PAGES_MAX / 4)
		return false;
	if (atomic_fetch_add(&pool->kept_pages, zspage->pages) + zspage->pages > KEPT_PAGES_MAX) {
		atomic_fetch_sub(&pool->kept_pages, zspage->pages);
		return false;
	}
	zspage->flags |= ZSPAGE_KEPT;
	return true;
}

/* Returns the zspage to be released after unlocking, if it has become empty; else 0. */
zs_ref zs_slot_free(struct zs_pool *pool, struct shard *shard, uint32_t loc)
{
	uint32_t index = loc >> SLOT_BITS;
	unsigned slot = loc & (MAX_SLOTS - 1);
	struct zspage *zspage = zs_zspage(pool, shard, index);
	struct size_class *class = &shard->class[zspage->class];

	zs_give_slot(shard, class, zspage, slot);
	if (unlikely(slot >= zspage->limit) && zspage->flags & ZSPAGE_SOURCE)
		shard->to_move--;
	if (unlikely(!zspage->inuse && !(zspage->flags & ZSPAGE_BUSY)) &&
	    !keep(pool, class, zspage))
		return detach(pool, shard, index);
	zs_regroup(pool, shard, index, zspage);
	return 0;
}

/*
 * After pages of a zspage were given back without the lock: lists it again, or,
 * if it is empty by now, returns it to be released.
 */
zs_ref zs_retire_if_empty(struct zs_pool *pool, struct shard *shard, uint32_t index)
{
	struct zspage *zspage = zs_zspage(pool, shard, index);

	if (!zspage->inuse)
		return detach(pool, shard, index);
	zs_regroup(pool, shard, index, zspage);
	return 0;
}

/* --- giving back --- */

/*
 * Gives pages to the system, where that is how pages go back: of ZS_SPANS_MAX tails at most, with
 * no lock held. They are still counted.
 */
void zs_decommit(struct zs_pool *pool, const struct zs_tail *tails, unsigned count)
{
	struct zs_span spans[ZS_SPANS_MAX];
	unsigned n = 0;

	for (unsigned i = 0; pool->contiguous && i < count; i++) {
		const struct zs_tail *tail = &tails[i];
		size_t first = (size_t)tail->zspage->range * ZS_RANGE_PAGES + tail->from;

		if (tail->to > tail->from)
			spans[n++] = (struct zs_span){
				pool->data_base + (first << pool->page_shift),
				tail->to - tail->from,
			};
	}
	if (!n)
		return;
#if ZS_DEBUG
	zs_debug_no_lock(pool);
#endif
	pool->port->ops->decommit(pool->port, spans, n);
}

/* Pages that were decommitted, or that are single ones, are counted no more. Pool lock. */
static void free_pages(struct zs_pool *pool, const struct zs_tail *tail)
{
	for (unsigned page = tail->from; !pool->contiguous && page < tail->to; page++)
		zs_page_free(pool, zs_page_list(tail->class, tail->zspage)[page]);
	zs_uncharge(pool, tail->to - tail->from);
}

/* Takes a tail that was decommitted from its zspage. Shard lock. */
void zs_cut(struct zs_pool *pool, struct shard *shard, const struct zs_tail *tail)
{
	unsigned pages = tail->to - tail->from;

	shard->class[tail->zspage->class].npages -= pages;
	shard->npages -= pages;
	shard->compacted_pages += pages;
	tail->zspage->pages = (uint8_t)tail->from;
	zs_lock(pool, &pool->lock);
	forget_places(pool, tail);
	free_pages(pool, tail);
	zs_unlock(&pool->lock);
}

/* No shard lock, unless the zspage has no page left. */
void zs_zspage_release(struct zs_pool *pool, const struct size_class *class, zs_ref ref)
{
	struct zspage *zspage = zs_ptr(pool, ref);
	const struct zs_tail whole = { class, zspage, 0, zspage->pages };

	zs_decommit(pool, &whole, 1);
	zs_lock(pool, &pool->lock);
	pool->releasing_pages -= whole.to;
	free_pages(pool, &whole);
	if (pool->contiguous)
		pool->port->ops->range_free(pool->port, zspage->range);
	zs_meta_free_locked(pool, META_CHUNKS, ref);
	zs_unlock(&pool->lock);
}

/* Gives the empty zspages back that were kept. Returns how many pages. */
size_t zs_drop_kept(struct zs_pool *pool)
{
	size_t dropped = 0;

	if (!atomic_load(&pool->kept_pages))
		return 0;
	for (struct shard *s = zs_next_shard(pool, NULL); s; s = zs_next_shard(pool, s)) {
		zs_lock(pool, &s->lock);
		for (uint32_t index = 0; index < s->nzspages; index++) {
			if (*zs_table(pool, s, index) & ZTAB_FREE)
				continue;
			struct zspage *zspage = zs_zspage(pool, s, index);
			if (!(zspage->flags & ZSPAGE_KEPT))
				continue;
			const struct size_class *class = &s->class[zspage->class];
			dropped += zspage->pages;
			s->compacted_pages += zspage->pages;
			zs_ref ref = detach(pool, s, index);
			zs_unlock(&s->lock);
			zs_zspage_release(pool, class, ref);
			zs_lock(pool, &s->lock);
		}
		zs_unlock(&s->lock);
	}
	return dropped;
}
