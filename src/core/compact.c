/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Compaction. A pass over a shard has three parts:
 *   plan: per class, the emptiest zspages become sources as far as the room in
 *         the others holds what is in them; the last one perhaps only from some
 *         page on. A source's limit says from which slot on it is to be empty.
 *         zs_compact() plans with the free slots of larger classes too.
 *   scan: the shard's handle blocks are walked, and each object that lies at or
 *         above the limit of its zspage is moved. There is no table that leads
 *         from slots to handles: it would cost every object, always, what the
 *         walk costs only when there is something to gain.
 *   trim: the pages above the limits go back. Automatic compaction leaves a few of them where
 *         they are, until there are more, in whatever shard: each time pages go back, all
 *         processors that run the program have to be told.
 * The pass can stop after any object and be taken up by any thread; the lock is
 * held for one step of it, which copies one object at most. Objects that are
 * mapped stay, and their zspages with them.
 */
#include "core/quick.h"

/* A zspage of the shard that has one of the flags; NULL: there is none at that place, or it has not. */
static struct zspage *flagged(const struct zs_pool *pool, const struct shard *shard, uint32_t index,
			      unsigned flags)
{
	if (*zs_table(pool, shard, index) & ZTAB_FREE)
		return NULL;
	struct zspage *zspage = zs_zspage(pool, shard, index);
	return zspage->flags & flags ? zspage : NULL;
}

/* --- plan --- */

static unsigned count_from(const struct size_class *class, const struct zspage *zspage,
			   unsigned from)
{
	unsigned count = 0, w = from / 64;

	if (from >= class->slots)
		return 0;
	count = bit_count64(zspage->map[w] >> from % 64);
	for (w++; w < zs_map_words(class); w++)
		count += bit_count64(zspage->map[w]);
	return count;
}

struct source {
	unsigned limit; /* slots that stay */
	unsigned pages; /* that stay */
	uint32_t wants; /* free slots: for the objects from limit on, and those lost there */
	unsigned moves; /* objects from limit on */
};

/*
 * How far down a zspage can be emptied while its class has so many free slots,
 * its own included. Each slot that goes wants one: for its object, or in its own
 * place. So as many go as there is room for, in whole pages.
 */
static struct source plan_source(const struct zs_pool *pool, const struct size_class *class,
				 const struct zspage *zspage, uint32_t room)
{
	unsigned real = zs_real_slots(pool, class, zspage);
	unsigned stay = real > room ? real - room : 0;
	unsigned pages = zs_pages_for(pool, class, stay);

	if (pages >= zspage->pages)
		return (struct source){ real, zspage->pages, 0, 0 };
	size_t fit = ((size_t)pages << pool->page_shift) / class->size;
	unsigned limit = fit < real ? (unsigned)fit : real;
	return (struct source){ limit, pages, real - limit, count_from(class, zspage, limit) };
}

static void make_source(struct zs_pool *pool, struct shard *shard, uint32_t index,
			const struct source *source)
{
	struct zspage *zspage = zs_zspage(pool, shard, index);

	zspage->flags |= ZSPAGE_SOURCE;
	shard->sources[index / 32] |= UINT32_C(1) << index % 32;
	if (zspage->flags & ZSPAGE_KEPT) {
		zspage->flags &= (uint8_t)~ZSPAGE_KEPT;
		atomic_fetch_sub(&pool->kept_pages, zspage->pages);
	}
	zs_move_limit(pool, shard, zspage, source->limit);
	zs_regroup(pool, shard, index, zspage);
	shard->to_move += source->moves;
}

/* Groups in the order in which their zspages are worth emptying: those without room first. */
static const uint8_t emptiest_first[] = { GROUP_SOURCE, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 };

/* Free slots of a class whose pages are real, whether compaction lets them be used or not. */
uint32_t zs_free_slots(const struct zs_pool *pool, const struct shard *shard,
		       const struct size_class *class)
{
	uint32_t count = 0;

	if (shard->pass == PASS_IDLE && !load_relaxed(&shard->left_pages))
		return class->room;
	for (unsigned i = 0; i < sizeof(emptiest_first); i++) {
		for (uint32_t next = class->head[emptiest_first[i]]; next;) {
			const struct zspage *zspage = zs_zspage(pool, shard, next - 1);

			count += zs_real_slots(pool, class, zspage) - zspage->inuse;
			next = zspage->next;
		}
	}
	return count;
}

/*
 * Chooses the sources of a class, the emptiest first, and if make is set (and no
 * pass is under way) makes them so. *lent: free slots of larger classes that the
 * class may use when its own are, as many as those at most; and what that leaves of both.
 * Returns the pages to be gained.
 */
static uint64_t plan_class(struct zs_pool *pool, struct shard *shard, unsigned class_index,
			   uint32_t *lent, bool make)
{
	struct size_class *class = &shard->class[class_index];
	uint32_t own = zs_free_slots(pool, shard, class);
	uint32_t borrowed = *lent < own ? *lent : own, room = own + borrowed;
	uint64_t gain = 0;

	for (unsigned i = 0; i < sizeof(emptiest_first) && room; i++) {
		for (uint32_t next = class->head[emptiest_first[i]]; next && room;) {
			uint32_t index = next - 1;
			const struct zspage *zspage = zs_zspage(pool, shard, index);
			struct source source = plan_source(pool, class, zspage, room);

			next = zspage->next;
			if (source.pages == zspage->pages ||
			    (make && zspage->flags & ZSPAGE_PINNED))
				continue;
			gain += zspage->pages - source.pages;
			room -= source.wants;
			if (make)
				make_source(pool, shard, index, &source);
		}
	}
	*lent += room - borrowed;
	return gain;
}

/*
 * Whether the last objects of a class may move to free slots of larger classes of the
 * shard, which saves nearly every class its last page, half empty. Not in the first run, where
 * slots may be many times as large; nor where who reads an object has made room for a copy of
 * the size that its slot had.
 */
static bool lends(const struct zs_pool *pool, const struct shard *shard)
{
	return pool->contiguous && shard->run;
}

/* The sources of the pass under way, or of one whose tails were left, are none any more. */
static void restore_sources(struct zs_pool *pool, struct shard *shard)
{
	for (uint32_t index = 0; index < shard->nzspages; index++) {
		if (flagged(pool, shard, index, ZSPAGE_SOURCE))
			zs_restore_source(pool, shard, index);
	}
}

/*
 * The larger classes first. What they have left is lent to the smaller ones, if lending is
 * set. Returns the pages to be gained, and by class in gains unless that is NULL.
 */
static uint64_t plan_shard(struct zs_pool *pool, struct shard *shard, bool lending, bool make,
			   uint64_t *gains)
{
	uint32_t lent = 0;
	uint64_t sum = 0;

	if (load_relaxed(&shard->left_pages))
		restore_sources(pool, shard);
	for (unsigned class = SHARD_CLASSES; class -- > 0;) {
		uint64_t gain = shard->class[class].room || !make
					? plan_class(pool, shard, class, &lent, make)
					: 0;

		if (!lending)
			lent = 0;
		if (gains)
			gains[class] = gain;
		sum += gain;
	}
	return sum;
}

uint64_t zs_class_gain(struct zs_pool *pool, struct shard *shard, unsigned class)
{
	uint64_t gains[SHARD_CLASSES];

	plan_shard(pool, shard, lends(pool, shard), false, gains);
	return gains[class];
}

/* --- when --- */

/*
 * By how much room may grow, in 1/1024 of the shard's pages, before automatic
 * compaction looks (pool->slack), and before it acts while many objects are freed.
 */
#define LAZY_SLACK 128

/*
 * A pass on a few pages is soon over, and soon wanted again: in a shard of no more than so many,
 * so many allocations and frees come between two.
 */
#define REST_PAGES      16
#define REST_OPERATIONS 256

/* How many allocations and frees there were; wraps. */
static uint32_t operations(const struct shard *shard)
{
	return 2 * shard->allocations - (uint32_t)shard->objects;
}

static uint64_t slack(const struct zs_pool *pool, const struct shard *shard, unsigned share)
{
	return ((shard->npages * share >> 10) + 2) << pool->page_shift;
}

/* Automatic compaction looks again once room has grown by the pool's slack. */
void zs_set_trigger(const struct zs_pool *pool, struct shard *shard)
{
	if (shard->room_bytes < shard->settled_bytes)
		shard->settled_bytes = shard->room_bytes;
	shard->trigger_bytes = UINT64_MAX;
	if (pool->compaction == ZS_COMPACTION_AUTO)
		shard->trigger_bytes =
			shard->pass == PASS_IDLE
				? shard->settled_bytes + slack(pool, shard, pool->slack)
				: 0;
}

/* What room there is now no pass can help. */
static void settle(const struct zs_pool *pool, struct shard *shard)
{
	shard->settled_bytes = shard->room_bytes;
	zs_set_trigger(pool, shard);
}

/*
 * While the pool is smaller than it was of late many objects are being freed, and
 * what is moved now may be free soon: then room may grow by the lazy share.
 */
static bool is_worthwhile(const struct zs_pool *pool, struct shard *shard)
{
	size_t total = load_relaxed(&pool->total_pages), peak = load_relaxed(&pool->recent_peak);

	if (shard->npages <= REST_PAGES &&
	    operations(shard) - shard->pass_ended < REST_OPERATIONS) {
		shard->trigger_bytes = shard->room_bytes + slack(pool, shard, pool->slack);
		return false;
	}
	if (total + (peak >> 5) >= peak ||
	    shard->room_bytes >
		    shard->settled_bytes +
			    slack(pool, shard, pool->slack > LAZY_SLACK ? pool->slack : LAZY_SLACK))
		return true;
	shard->trigger_bytes = shard->room_bytes + slack(pool, shard, pool->slack);
	return false;
}

/* What was mapped when compaction last came by may be mapped no more. */
static void forget_pinned(const struct zs_pool *pool, struct shard *shard)
{
	if (!shard->met_pinned)
		return;
	shard->met_pinned = false;
	for (uint32_t index = 0; index < shard->nzspages; index++) {
		struct zspage *zspage = flagged(pool, shard, index, ZSPAGE_PINNED);

		if (zspage)
			zspage->flags &= (uint8_t)~ZSPAGE_PINNED;
	}
}

/* Starts a pass if there is anything to gain. */
static bool begin_pass(struct zs_pool *pool, struct shard *shard, bool lending)
{
	__builtin_memset(shard->sources, 0, sizeof(shard->sources));
	uint64_t gain = plan_shard(pool, shard, lending, true, NULL);

	settle(pool, shard);
	if (!gain)
		return false;
	shard->trigger_bytes = pool->compaction == ZS_COMPACTION_AUTO ? 0 : UINT64_MAX;
	shard->pass = PASS_SCAN;
	shard->cursor = shard->blocks;
	shard->cursor_index = 0;
	return true;
}

/* --- scan --- */

/* What one step did. */
struct step {
	uint64_t moved_bytes;
	uint64_t freed_pages;
	unsigned skipped; /* sources in which a mapped object was met */
	bool over;        /* the pass has ended */
};

/*
 * Takes a slot for an object of a class: in the next larger one that has room if it has none
 * itself. What was planned fits in any order: whoever takes more than was lent to him leaves
 * as much in the classes above, where those that he took it from may go too.
 */
static bool take_slot(struct zs_pool *pool, struct shard *shard, unsigned class, uint32_t *loc)
{
	unsigned end = lends(pool, shard) ? SHARD_CLASSES : class + 1;

	for (; class < end; class ++) {
		if (zs_take_room(pool, shard, class, loc))
			return true;
	}
	return false;
}

#if ZS_DEBUG
/* The footer lies at the end of the slot, which may be larger than the old one. */
static void move_footer(struct zs_pool *pool, struct shard *shard, uint32_t from, uint32_t to)
{
	struct zspage *source = zs_zspage(pool, shard, from >> SLOT_BITS);
	struct zspage *target = zs_zspage(pool, shard, to >> SLOT_BITS);

	zs_debug_move(&(struct debug_slot){ pool, &shard->class[source->class], source,
					    from & (MAX_SLOTS - 1) },
		      &(struct debug_slot){ pool, &shard->class[target->class], target,
					    to & (MAX_SLOTS - 1) });
}
#endif

/* Moves an object away; returns whether there was room for it. */
static bool move_object(struct zs_pool *pool, struct shard *shard, uint32_t *entry,
			struct step *step, zs_ref *empty)
{
	uint32_t from = *entry & LOC_MASK, to;
	struct zspage *source = zs_zspage(pool, shard, from >> SLOT_BITS);
	struct size_class *class = &shard->class[source->class];

	if (!take_slot(pool, shard, source->class, &to))
		return false;
	zs_slot_copy(pool, class, zs_zspage(pool, shard, to >> SLOT_BITS), to & (MAX_SLOTS - 1),
		     source, from & (MAX_SLOTS - 1));
#if ZS_DEBUG
	move_footer(pool, shard, from, to);
#endif
	*entry = (*entry & ~LOC_MASK) | to;
	if (unlikely(pool->zero_on_free))
		zs_slot_zero(pool, class, source, from & (MAX_SLOTS - 1));
	step->moved_bytes += class->size;
	shard->moved_objects++;
	*empty = zs_slot_free(pool, shard, from);
	return true;
}

/* Whether an entry's object may have to be moved: most are not even in a source. */
static inline bool is_in_source(const struct shard *shard, uint32_t entry)
{
	uint32_t index = entry >> SLOT_BITS & (MAX_ZSPAGES - 1);

	return shard->sources[index / 32] >> index % 32 & 1;
}

/* Whether an entry's object is to be moved; notes the mapped ones. */
static bool is_to_move(const struct zs_pool *pool, struct shard *shard, uint32_t entry,
		       struct step *step)
{
	uint32_t loc = entry & LOC_MASK;
	struct zspage *zspage = zs_zspage(pool, shard, loc >> SLOT_BITS);

	if (likely((loc & (MAX_SLOTS - 1)) < zspage->limit || !(zspage->flags & ZSPAGE_SOURCE)))
		return false;
	if (likely(!zs_entry_pins(entry)))
		return true;
	step->skipped += !(zspage->flags & ZSPAGE_PINNED);
	zspage->flags |= ZSPAGE_PINNED;
	shard->met_pinned = true;
	return false;
}

/*
 * The entry of the first object from index *index on that is to be moved, NULL if the
 * block has none. Goes over the entries as they lie: nearly all are of other zspages.
 */
static uint32_t *next_to_move(const struct zs_pool *pool, struct shard *shard,
			      struct handle_block *block, struct step *step, unsigned *index)
{
	bool packed = block->cap != pool->block_handles;
	uint32_t *store = zs_ptr(pool, load_relaxed(&block->store));
	uint32_t *entry = packed ? zs_packed_entry(pool, block, *index) : store + *index;
	const uint32_t *end = store + (packed ? block->nlive : block->cap);

	for (; entry < end; entry++) {
		if (likely(!is_in_source(shard, *entry)))
			continue;
		unsigned at = (unsigned)(entry - store);
		*index = packed ? zs_nth_live(block, at) : at;
		if (zs_is_live(block, *index) && is_to_move(pool, shard, *entry, step))
			return entry;
	}
	return NULL;
}

/*
 * Visits the entries of the block under the cursor up to the first that can be
 * moved. The emptied zspage, if any, is released without the lock.
 */
static void scan_block(struct zs_pool *pool, struct shard *shard, struct step *step)
{
	if (!shard->cursor || !shard->to_move) {
		shard->pass = PASS_TRIM;
		shard->cursor = 0;
		shard->cursor_index = 0;
		return;
	}
	struct handle_block *block = zs_block(pool, shard->cursor);
	if (shard->cursor_index == 0)
		zs_block_pack(pool, block);
	uint32_t *entry;
	for (unsigned i = shard->cursor_index;
	     i < pool->block_handles && (entry = next_to_move(pool, shard, block, step, &i)); i++) {
		zs_ref empty = 0;
		const struct size_class *class =
			&shard->class[zs_zspage(pool, shard, (*entry & LOC_MASK) >> SLOT_BITS)
					      ->class];
		if (!move_object(pool, shard, entry, step, &empty))
			continue;
		shard->cursor_index = i + 1;
		if (empty) {
			unsigned pages = ((struct zspage *)zs_ptr(pool, empty))->pages;

			step->freed_pages += pages;
			shard->compacted_pages += pages;
			zs_unlock(&shard->lock);
			zs_zspage_release(pool, class, empty);
			zs_lock(pool, &shard->lock);
		}
		return;
	}
	shard->cursor = block->next;
	shard->cursor_index = 0;
}

/* --- trim --- */

/* The next source in the shard's table, NULL if there is none left; its index is the cursor's. */
static struct zspage *next_source(const struct zs_pool *pool, struct shard *shard)
{
	struct zspage *zspage = NULL;

	while (shard->cursor_index < shard->nzspages &&
	       !(zspage = flagged(pool, shard, shard->cursor_index, ZSPAGE_SOURCE)))
		shard->cursor_index++;
	return zspage;
}

static void end_pass(const struct zs_pool *pool, struct shard *shard, struct step *step)
{
	shard->pass = PASS_IDLE;
	shard->pass_ended = operations(shard);
	settle(pool, shard);
	step->over = true;
}

#define AWAIT_TRIES 1000

/* What goes back with one system call. */
struct cuts {
	struct zs_tail tail[ZS_SPANS_MAX];
	struct shard *shard[ZS_SPANS_MAX];
	uint32_t index[ZS_SPANS_MAX]; /* of the zspage in the shard */
	unsigned count;
	size_t pages;
};

/*
 * What a source has above its limit (or above an object that had to stay) goes back. Until the zspage is listed again nobody else takes a slot
 * there, and its pages are still counted: so all is well in the child of a fork.
 */
static void add_tail(struct zs_pool *pool, struct shard *shard, uint32_t index, struct cuts *cuts)
{
	struct zspage *zspage = zs_zspage(pool, shard, index);
	const struct size_class *class = &shard->class[zspage->class];
	unsigned top = zs_top_slot(class, zspage);
	unsigned from = zs_pages_for(pool, class, top > zspage->limit ? top : zspage->limit);

	/* First: who finds none left sees those that are busy. */
	atomic_fetch_add(&pool->busy_zspages, 1);
	zs_unleave(pool, shard, zspage);
	shard->to_move -= count_from(class, zspage, zspage->limit);
	zs_unlist(pool, shard, index, zspage);
	zspage->flags &= (uint8_t)~ZSPAGE_SOURCE;
	zspage->flags |= ZSPAGE_BUSY;
	cuts->tail[cuts->count] = (struct zs_tail){ class, zspage, from, zspage->pages };
	cuts->shard[cuts->count] = shard;
	cuts->index[cuts->count++] = index;
	cuts->pages += zspage->pages - from;
}

/* What was left in any shard. No shard's lock is held. */
static void add_left(struct zs_pool *pool, struct cuts *cuts)
{
	for (struct shard *s = zs_next_shard(pool, NULL); s && load_relaxed(&pool->left_pages);
	     s = zs_next_shard(pool, s)) {
		if (!load_relaxed(&s->left_pages))
			continue;
		zs_lock(pool, &s->lock);
		for (uint32_t index = 0; index < s->nzspages && cuts->count < ZS_SPANS_MAX;
		     index++) {
			if (flagged(pool, s, index, ZSPAGE_LEFT))
				add_tail(pool, s, index, cuts);
		}
		zs_unlock(&s->lock);
	}
}

/* Lists a zspage again that was busy, or, if it is empty, lets it go. */
static void relist(struct zs_pool *pool, struct shard *shard, uint32_t index)
{
	struct zspage *zspage = zs_zspage(pool, shard, index);
	const struct size_class *class = &shard->class[zspage->class];
	bool real = zspage->pages != 0;

	zspage->flags &= (uint8_t)~ZSPAGE_BUSY;
	zs_move_limit(pool, shard, zspage, zs_real_slots(pool, class, zspage));
	zs_ref empty = zs_retire_if_empty(pool, shard, index);
	atomic_fetch_sub(&pool->busy_zspages, 1);
	if (!empty)
		return;
	/* Only pages are given back without the lock; and a fork waits for nothing else. */
	if (!real) {
		zs_zspage_release(pool, class, empty);
		return;
	}
	zs_unlock(&shard->lock);
	zs_zspage_release(pool, class, empty);
	zs_lock(pool, &shard->lock);
}

/* Gives all that back and lists the zspages again. No shard's lock is held. */
static void give_back(struct zs_pool *pool, const struct cuts *cuts)
{
	zs_decommit(pool, cuts->tail, cuts->count);
	for (unsigned i = 0; i < cuts->count; i++) {
		struct shard *shard = cuts->shard[i];

		zs_lock(pool, &shard->lock);
		zs_cut(pool, shard, &cuts->tail[i]);
		relist(pool, shard, cuts->index[i]);
		zs_unlock(&shard->lock);
	}
}

/* Gives back what automatic compaction left. Returns how many pages. No shard's lock is held. */
size_t zs_give_left(struct zs_pool *pool)
{
	struct cuts cuts;

	cuts.count = 0;
	cuts.pages = 0;
	add_left(pool, &cuts);
	give_back(pool, &cuts);
	return cuts.pages;
}

/*
 * Waits, within reason, for pages that other threads are giving back. Returns whether there may be
 * other threads: then some may have come back before. No lock is held.
 */
bool zs_await_pages(struct zs_pool *pool)
{
	if (*pool->alone)
		return false;
	for (unsigned tries = 0; tries < AWAIT_TRIES; tries++) {
		zs_lock(pool, &pool->lock);
		bool under_way = pool->releasing_pages || atomic_load(&pool->busy_zspages);
		zs_unlock(&pool->lock);
		if (!under_way)
			break;
		pool->port->ops->relax(tries);
	}
	return true;
}

/*
 * In the child of a fork: threads that were about to list zspages again do not exist there. The
 * pages that they gave back, or not yet, are there again when they are touched.
 */
void zs_relist_busy(struct zs_pool *pool, struct shard *shard)
{
	for (uint32_t index = 0; index < shard->nzspages; index++) {
		if (flagged(pool, shard, index, ZSPAGE_BUSY))
			relist(pool, shard, index);
	}
}

/*
 * Leaves what the sources have above their limits where it is, if that is little, with what was
 * left before: until it goes back with more, or is taken into use again. The cursor is behind them then.
 */
static void leave_tails(struct zs_pool *pool, struct shard *shard)
{
	size_t share = load_relaxed(&pool->total_pages) >> LEFT_SHIFT;
	size_t most = share < LEFT_PAGES_MAX ? share : LEFT_PAGES_MAX;
	uint32_t pages = 0, first = shard->cursor_index;
	struct zspage *zspage;

	if (!pool->contiguous || shard->to_move)
		return;
	for (; (zspage = next_source(pool, shard)); shard->cursor_index++) {
		/* An empty one would be kept if it were wanted again, and those are counted. */
		if (!zspage->inuse)
			break;
		pages += zs_pages_to_leave(pool, shard, zspage);
	}
	shard->cursor_index = first;
	if (zspage)
		return;
	if (atomic_fetch_add(&pool->left_pages, pages) + pages > most) {
		atomic_fetch_sub(&pool->left_pages, pages);
		return;
	}
	atomic_fetch_add(&shard->left_pages, pages);
	for (; (zspage = next_source(pool, shard)); shard->cursor_index++)
		zspage->flags |= ZSPAGE_LEFT;
}

/* Gives back what the next sources have above their limits, and what was left elsewhere. */
static void trim_sources(struct zs_pool *pool, struct shard *shard, struct step *step)
{
	struct cuts cuts;

	cuts.count = 0;
	cuts.pages = 0;
	while (cuts.count < ZS_SPANS_MAX && next_source(pool, shard))
		add_tail(pool, shard, shard->cursor_index, &cuts);
	if (!cuts.count) {
		end_pass(pool, shard, step);
		return;
	}
	zs_unlock(&shard->lock);
	add_left(pool, &cuts);
	give_back(pool, &cuts);
	zs_lock(pool, &shard->lock);
	step->freed_pages = cuts.pages;
}

/*
 * One step of the pass under way. The lock is held before and after, not always between. patient:
 * pages need not go back at once.
 */
static struct step do_step(struct zs_pool *pool, struct shard *shard, bool patient)
{
	struct step step = { 0 };

	if (shard->pass == PASS_TRIM && patient)
		leave_tails(pool, shard);
	if (shard->pass == PASS_SCAN)
		scan_block(pool, shard, &step);
	else if (shard->pass == PASS_TRIM)
		trim_sources(pool, shard, &step);
	else
		step.over = true;
	return step;
}

/*
 * What an allocation or a free does for automatic compaction at most, in a pass
 * that began when there was little room, and in one that was put off.
 */
#define AUTO_STEPS  8
#define AUTO_BYTES  2048
#define LAZY_FACTOR 4

/*
 * Automatic compaction: each allocation and each free in a shard that has
 * enough to gain takes a few steps, as many as it takes to keep up with frees
 * that go on.
 */
void zs_compact_step_auto(struct zs_pool *pool, struct shard *shard)
{
	uint64_t moved = 0;

	if (shard->pass == PASS_IDLE) {
		if (!is_worthwhile(pool, shard))
			return;
		forget_pinned(pool, shard);
		if (!begin_pass(pool, shard, false))
			return;
	}
	unsigned factor = shard->room_bytes >> pool->page_shift > shard->npages >> 4 ? LAZY_FACTOR
										     : 1;
	for (unsigned i = 0; i < AUTO_STEPS * factor && moved < AUTO_BYTES * factor; i++) {
		struct step step = do_step(pool, shard, true);

		if (step.over || step.freed_pages)
			return;
		moved += step.moved_bytes;
	}
}

/* --- the calls --- */

struct meter {
	struct zs_compact_budget budget;
	uint64_t deadline; /* 0: none */
	struct zs_compact_result result;
};

static uint64_t deadline(uint64_t now, uint64_t nanoseconds)
{
	return nanoseconds < UINT64_MAX - now ? now + nanoseconds : UINT64_MAX;
}

static bool spent(const struct zs_pool *pool, const struct meter *meter)
{
	if (meter->budget.bytes && meter->result.moved_bytes >= meter->budget.bytes)
		return true;
	return meter->deadline && pool->port->ops->now() >= meter->deadline;
}

static void add_step(const struct zs_pool *pool, struct meter *meter, const struct step *step)
{
	meter->result.moved_bytes += step->moved_bytes;
	meter->result.moved_objects += step->moved_bytes != 0;
	meter->result.freed_bytes += step->freed_pages << pool->page_shift;
	meter->result.skipped_zspages += step->skipped;
}

/* A full compaction plans anew: what a pass under way planned may be long ago. */
static void abandon_pass(struct zs_pool *pool, struct shard *shard)
{
	restore_sources(pool, shard);
	shard->pass = PASS_IDLE;
	shard->cursor = 0;
	zs_set_trigger(pool, shard);
}

/* Returns whether the budget ended it. */
static bool compact_shard(struct zs_pool *pool, struct shard *shard, struct meter *meter)
{
	bool again = true;

	zs_lock(pool, &shard->lock);
	if (shard->pass != PASS_IDLE && !meter->budget.bytes && !meter->deadline)
		abandon_pass(pool, shard);
	if (shard->pass == PASS_IDLE)
		forget_pinned(pool, shard);
	while (again) {
		/* A pass that gains nothing, because of what is mapped, is the last. */
		again = shard->pass != PASS_IDLE;
		if (shard->pass == PASS_IDLE && !begin_pass(pool, shard, lends(pool, shard)))
			break;
		/* However small the budget, a step is done: calls that go on get on. */
		for (struct step step = { 0 }; !step.over;) {
			step = do_step(pool, shard, false);
			again |= step.freed_pages != 0;
			add_step(pool, meter, &step);
			/* Let others in. */
			zs_unlock(&shard->lock);
			if (!step.over && spent(pool, meter))
				return true;
			zs_lock_again(pool, &shard->lock);
		}
	}
	zs_unlock(&shard->lock);
	return false;
}

int zs_compact_some(struct zs_pool *pool, const struct zs_compact_budget *budget,
		    struct zs_compact_result *result)
{
	struct meter meter = { .deadline = 0 };
	bool stopped = false;

	if (budget)
		meter.budget = *budget;
	if (meter.budget.nanoseconds && pool->port->ops->now)
		meter.deadline = deadline(pool->port->ops->now(), meter.budget.nanoseconds);
	meter.result.freed_bytes = (zs_drop_kept(pool) + zs_give_left(pool)) << pool->page_shift;
	for (struct shard *s = zs_next_shard(pool, NULL); s && !stopped; s = zs_next_shard(pool, s))
		stopped = compact_shard(pool, s, &meter);
	/* Sources that were empty, of a pass that was given up; what other threads left meanwhile. */
	meter.result.freed_bytes += (zs_drop_kept(pool) + zs_give_left(pool)) << pool->page_shift;
	if (result) {
		meter.result.remaining_bytes = zs_compactable_bytes(pool);
		*result = meter.result;
	}
	return stopped;
}

uint64_t zs_compact(struct zs_pool *pool)
{
	struct zs_compact_result result;

	zs_compact_some(pool, NULL, &result);
	return result.freed_bytes;
}

uint64_t zs_compactable_bytes(struct zs_pool *pool)
{
	uint64_t pages = 0;

	for (struct shard *s = zs_next_shard(pool, NULL); s; s = zs_next_shard(pool, s)) {
		zs_lock(pool, &s->lock);
		pages += plan_shard(pool, s, lends(pool, s), false, NULL);
		zs_unlock(&s->lock);
	}
	return pages << pool->page_shift;
}
