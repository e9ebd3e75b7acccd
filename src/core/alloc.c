/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * zs_malloc() and zs_free(): which class, which shard, a slot, a handle.
 */
#include "core/quick.h"

/* --- classes open as they pay --- */

/* The width of the range of sizes that go to an open class: from the one below it. */
static size_t class_width(const struct zs_pool *pool, const struct shard *shard, unsigned class,
			  int below)
{
	unsigned base = shard->run * SHARD_CLASSES;
	size_t lower = base + (unsigned)(below + 1) ? zs_class_size(pool, base + (unsigned)below)
						    : 0;

	return shard->class[class].size - lower;
}

/*
 * The open class that takes a size of this class. A wide class costs each object
 * a part of its width in rounding, a further class costs half a page on the
 * average: when the objects' loss has grown to that, the class in the middle of
 * the range opens, if more of its objects go into a zspage. *opened: the bit of the class that was opened, or 0.
 */
static unsigned target_class(const struct zs_pool *pool, struct shard *shard, unsigned class,
			     uint32_t *opened)
{
	unsigned target = class + bit_first(shard->open >> class);

	*opened = 0;
	if (likely(target == class))
		return target;
	uint32_t lower = shard->open & ((UINT32_C(1) << class) - 1);
	int below = lower ? (int)bit_last(lower) : -1;
	size_t width = class_width(pool, shard, target, below);
	if (shard->class[target].inuse * (uint64_t)width <= pool->page_size)
		return target;

	unsigned middle = (unsigned)(below + 1 + (int)target) / 2;
	if (middle == target || shard->run * SHARD_CLASSES + middle < pool->min_class)
		return target;
	const struct size_class *finer = &shard->class[middle], *wider = &shard->class[target];
	if (finer->slots * wider->pages_per_zspage <= wider->slots * finer->pages_per_zspage)
		return target;
	*opened = UINT32_C(1) << middle;
	shard->open |= *opened;
	return middle >= class ? middle : target;
}

/* --- allocation --- */

/*
 * How far to go for a slot: room there is, if it is plenty; room there is; new
 * pages; or, when nothing else is to be had, room in any larger class of the shard.
 */
enum growth { PLENTY_ONLY, ROOM_ONLY, MAY_GROW, ANY_ROOM };

/* So much that another lane may have some of it. */
static bool has_plenty(const struct zs_pool *pool, const struct shard *shard)
{
	return shard->room_bytes >> pool->page_shift > (shard->npages >> 4) + 16;
}

/* Whether a shard may give a slot of a class without a new page. */
static bool may_give(const struct zs_pool *pool, const struct shard *shard, unsigned class,
		     enum growth growth)
{
	return shard->class[class].room && (growth != PLENTY_ONLY || has_plenty(pool, shard));
}

/* Counts how long threads waited for the shard; what they wait now and then is forgiven. */
static void note_crowding(struct zs_pool *pool, struct shard *shard)
{
	struct run *run = &pool->runs[shard->run];
	uint32_t crowding = load_relaxed(&run->crowding) + load_relaxed(&shard->lock.rounds);

	store_relaxed(&shard->lock.rounds, 0);
	/* Small pages have one shard a run, so there is nothing to divide. */
	if (pool->shard_memory || load_relaxed(&run->crowding) >= SPREAD_AFTER)
		return;
	crowding = crowding > FORGIVEN ? crowding - FORGIVEN : 0;
	store_relaxed(&run->crowding, crowding < SPREAD_AFTER ? crowding : SPREAD_AFTER);
}

/* EBUSY: there is no room, and growing is not allowed or not possible. */
static int malloc_in(struct zs_pool *pool, struct shard *shard, unsigned class, size_t size,
		     enum growth growth, zs_handle *handle)
{
	uint32_t opened, loc, *entry;
	int error;

	zs_lock(pool, &shard->lock);
	unsigned target = target_class(pool, shard, class, &opened);
	while (growth == ANY_ROOM && !shard->class[target].room && target < SHARD_CLASSES - 1)
		target++;
	if (growth != MAY_GROW && !may_give(pool, shard, target, growth))
		error = ZS_EBUSY;
	else
		error = zs_handle_reserve(pool, shard);
	if (likely(!error)) {
		error = zs_slot_alloc(pool, shard, target, &loc);
		if (unlikely(error))
			zs_handle_unreserve(pool, shard);
	}
	if (unlikely(error)) {
		shard->open &= ~opened;
		zs_unlock(&shard->lock);
		return error;
	}
	*handle = zs_handle_take(pool, shard, loc, &entry);
	if (unlikely(++shard->allocations % 64 == 0)) {
		zs_forget_peak(pool);
		note_crowding(pool, shard);
		/* Compaction that was put off while much was freed may be worthwhile by now. */
		zs_set_trigger(pool, shard);
	}
#if ZS_DEBUG
	struct zspage *zspage = zs_zspage(pool, shard, loc >> SLOT_BITS);
	zs_debug_alloc(&(struct debug_slot){ pool, &shard->class[zspage->class], zspage,
					     loc & (MAX_SLOTS - 1) },
		       size);
#endif
	(void)size;
	if (unlikely(zs_wants_compaction(shard)))
		zs_compact_step_auto(pool, shard);
	zs_unlock(&shard->lock);
	return ZS_OK;
}

static struct shard *next_in_run(const struct zs_pool *pool, const struct shard *shard)
{
	uint32_t next = atomic_load_explicit(&shard->next, memory_order_acquire);

	return next ? zs_shard(pool, next) : NULL;
}

/* What a malloc wants, and the shard that it tries first. */
struct request {
	struct run *run;
	struct shard *hint;
	unsigned lane;
	unsigned class; /* in the run */
	size_t size;
};

static void set_hint(const struct request *request, const struct shard *shard)
{
	atomic_store_explicit(&request->run->hint[request->lane], shard->self,
			      memory_order_release);
}

/*
 * The first object of a shard is allocated before others see the shard, so that
 * nothing is left of it if that fails.
 */
static int malloc_in_new_shard(struct zs_pool *pool, const struct request *request,
			       zs_handle *handle)
{
	struct shard *shard;
	int error = zs_make_shard(pool, (unsigned)(request->run - pool->runs), &shard);

	/* Somebody made the only one there can be, just now: that will do. */
	if (error == ZS_EBUSY && !request->hint) {
		shard = zs_shard(pool, load_relaxed(&request->run->first));
		set_hint(request, shard);
		error = malloc_in(pool, shard, request->class, request->size, MAY_GROW, handle);
		return error == ZS_EBUSY ? ZS_ENOMEM : error;
	}
	if (error)
		return error == ZS_EBUSY ? ZS_ENOMEM : error;
	error = malloc_in(pool, shard, request->class, request->size, MAY_GROW, handle);
	zs_finish_shard(pool, shard, !error);
	if (!error)
		set_hint(request, shard);
	return error;
}

/* The next shard of a run, going round. */
static struct shard *next_around(const struct zs_pool *pool, const struct request *request,
				 const struct shard *shard)
{
	struct shard *next = next_in_run(pool, shard);

	return next ? next : zs_shard(pool, load_relaxed(&request->run->first));
}

/* Whether a shard is where another lane allocates: its room is left to that, unless it is plenty. */
static bool is_taken(const struct request *request, const struct shard *shard)
{
	for (unsigned lane = 0; lane < LANES; lane++) {
		if (lane != request->lane && load_relaxed(&request->run->hint[lane]) == shard->self)
			return shard != request->hint;
	}
	return false;
}

/* Shards of a run that are asked for room before one of them grows. */
#define MAX_ASKED 16

/* Asks the shards of a run in turn, from the hint on. ZS_EBUSY: none has room, or may grow. */
static int malloc_around(struct zs_pool *pool, const struct request *request, enum growth growth,
			 int most, struct shard **shard, zs_handle *handle)
{
	int error = ZS_EBUSY;

	*shard = request->hint;
	for (int asked = 0; asked < most; asked++) {
		bool taken = is_taken(request, *shard);
		if (!taken || growth == ROOM_ONLY)
			error = malloc_in(pool, *shard, request->class, request->size,
					  taken ? PLENTY_ONLY : growth, handle);
		if (error != ZS_EBUSY)
			break;
		*shard = next_around(pool, request, *shard);
		if (*shard == request->hint)
			break;
	}
	return error;
}

/* No page could be had: what room the shards of other lanes have is not left to them. */
static int malloc_in_others(struct zs_pool *pool, const struct request *request, int error,
			    zs_handle *handle)
{
	struct shard *shard = next_around(pool, request, request->hint);

	for (; shard != request->hint; shard = next_around(pool, request, shard)) {
		if (malloc_in(pool, shard, request->class, request->size, ROOM_ONLY, handle) ==
		    ZS_OK)
			return ZS_OK;
	}
	return error;
}

/*
 * Once a run has several shards, room in any of them comes before a new page,
 * within reason; a new shard comes last. The shard that had room is tried first from
 * now on, unless it may be another lane's.
 */
static int malloc_in_run(struct zs_pool *pool, const struct request *request, zs_handle *handle)
{
	struct shard *shard;
	int error = malloc_around(pool, request, ROOM_ONLY, MAX_ASKED, &shard, handle);

	if (!error && load_relaxed(&request->run->crowding) < SPREAD_AFTER)
		set_hint(request, shard);
	if (error != ZS_EBUSY)
		return error;
	error = malloc_around(pool, request, MAY_GROW, INT32_MAX, &shard, handle);
	if (!error)
		set_hint(request, shard);
	if (error == ZS_EBUSY)
		error = malloc_in_new_shard(pool, request, handle);
	return error ? malloc_in_others(pool, request, error, handle) : ZS_OK;
}

static unsigned lane_of(const struct run *run)
{
	if (likely(load_relaxed(&run->crowding) < SPREAD_AFTER))
		return 0;
	return zs_port_lane() % LANES;
}

/*
 * What nearly every call is: the shard that is tried first has the class open, a zspage with
 * room and a handle. Returns 0 if not, and then has done nothing.
 */
static ALWAYS_INLINE zs_handle malloc_quickly(struct zs_pool *pool, size_t size, bool alone)
{
	unsigned class = zs_class_of(pool, size);
	struct run *run = &pool->runs[class / SHARD_CLASSES];
	uint32_t hint = atomic_load_explicit(&run->hint[lane_of(run)], memory_order_acquire);
	struct shard *shard = zs_shard(pool, hint);
	zs_handle handle = 0;
	uint32_t loc, *entry;

	if (unlikely(!hint) || unlikely(!alone && load_relaxed(&shard->lock.held)))
		return 0;
	if (!alone)
		zs_lock(pool, &shard->lock);
	class %= SHARD_CLASSES;
	if (likely(shard->open >> class & 1) && likely(zs_has_handle(pool, shard)) &&
	    likely(!zs_wants_compaction(shard)) && likely((shard->allocations + 1) % 64)) {
		const struct zspage *zspage = zs_take_room(pool, shard, class, &loc);

		if (likely(zspage)) {
			handle = zs_handle_take(pool, shard, loc, &entry);
			shard->allocations++;
			if (alone && pool->contiguous)
				zs_remember(pool, handle, entry, shard, zspage,
					    loc & (MAX_SLOTS - 1));
		}
	}
	if (!alone)
		zs_unlock(&shard->lock);
	return handle;
}

static int malloc_of_class(struct zs_pool *pool, unsigned class, size_t size, zs_handle *handle)
{
	struct request request = {
		.run = &pool->runs[class / SHARD_CLASSES],
		.class = class % SHARD_CLASSES,
		.size = size,
	};
	request.lane = lane_of(request.run);
	uint32_t hint =
		atomic_load_explicit(&request.run->hint[request.lane], memory_order_acquire);
	if (unlikely(!hint)) {
		int error = malloc_in_new_shard(pool, &request, handle);

		/* Where there are no pages for a lane's own shard the others' will do. */
		hint = atomic_load_explicit(&request.run->first, memory_order_acquire);
		if (likely(!error) || !hint)
			return error;
	}

	struct shard *shard = request.hint = zs_shard(pool, hint);
	if (likely(!load_relaxed(&shard->next) && hint == load_relaxed(&request.run->first))) {
		int error = malloc_in(pool, shard, request.class, size, MAY_GROW, handle);
		if (likely(error != ZS_EBUSY))
			return error;
	}
	return malloc_in_run(pool, &request, handle);
}

/* Room in a slot that is too large is better than none. */
static int malloc_anywhere(struct zs_pool *pool, unsigned class, size_t size, zs_handle *handle)
{
	for (unsigned run = class / SHARD_CLASSES; run < pool->nruns; run++) {
		uint32_t first = atomic_load(&pool->runs[run].first);
		struct shard *shard = first ? zs_shard(pool, first) : NULL;

		for (; shard; shard = next_in_run(pool, shard)) {
			if (malloc_in(pool, shard, class % SHARD_CLASSES, size, ANY_ROOM, handle) ==
			    ZS_OK)
				return ZS_OK;
		}
		/* In the next run every class is large enough. */
		class = (run + 1) * SHARD_CLASSES;
	}
	return ZS_ENOMEM;
}

/* No page could be had: what is held back or could be squeezed out is better used than refused. */
static int malloc_the_last(struct zs_pool *pool, unsigned class, size_t size, zs_handle *handle,
			   int error)
{
	uint64_t given = zs_drop_kept(pool) + zs_give_left(pool);

	if ((zs_await_pages(pool) || given) && malloc_of_class(pool, class, size, handle) == ZS_OK)
		return ZS_OK;
	if (pool->compaction == ZS_COMPACTION_AUTO) {
		given = zs_compact(pool);
		if ((zs_await_pages(pool) || given) &&
		    malloc_of_class(pool, class, size, handle) == ZS_OK)
			return ZS_OK;
	}
	return malloc_anywhere(pool, class, size, handle) == ZS_OK ? ZS_OK : error;
}

static NOINLINE zs_handle malloc_locked(struct zs_pool *pool, size_t size)
{
	zs_handle handle = ZS_DEBUG ? 0 : malloc_quickly(pool, size, false);

	if (likely(handle))
		return handle;
	unsigned class = zs_class_of(pool, size);
	int error = malloc_of_class(pool, class, size, &handle);
	if (unlikely(error))
		error = malloc_the_last(pool, class, size, &handle, error);
	if (unlikely(error))
		zs_fail(pool, error);
	return handle;
}

zs_handle zs_malloc(struct zs_pool *pool, size_t size)
{
	if (unlikely(size - 1 >= pool->max_object_size)) {
		zs_fail(pool, size ? ZS_EMSGSIZE : ZS_EINVAL);
		return 0;
	}
	zs_handle handle = zs_is_alone(pool) ? malloc_quickly(pool, size, true) : 0;
	return likely(handle) ? handle : malloc_locked(pool, size);
}

/* --- freeing --- */

static NOINLINE void compact_a_step(struct zs_pool *pool, struct shard *shard)
{
	zs_lock(pool, &shard->lock);
	zs_compact_step_auto(pool, shard);
	zs_unlock(&shard->lock);
}

/*
 * What nearly every call is, for one who is alone: neither the object's zspage nor its block of
 * handles becomes another for it. Returns false if not, and then has done nothing.
 */
static ALWAYS_INLINE bool free_alone(struct zs_pool *pool, zs_handle handle)
{
	struct zs_object object;

	if (unlikely(!zs_find_alone(pool, handle, &object)))
		return false;
	uint32_t loc = *object.entry & (LOC_MASK | PIN_MASK), index = loc >> SLOT_BITS;
	unsigned slot = loc & (MAX_SLOTS - 1);
	struct shard *shard = object.shard;
	/* With pins above it the number is none: a mapped object is not freed. */
	if (unlikely(index >= shard->nzspages) ||
	    unlikely(*zs_table(pool, shard, index) & ZTAB_FREE))
		return false;
	struct zspage *zspage = zs_zspage(pool, shard, index);
	if (unlikely(slot >= zspage->limit) ||
	    unlikely(!(zspage->map[slot / 64] >> slot % 64 & 1)) || unlikely(zspage->inuse == 1) ||
	    unlikely(!zs_keeps_store(pool, shard, object.block)))
		return false;
	store_relaxed(&pool->recent.handle, 0);
	zs_handle_drop(shard, object.block, object.index);
	zs_give_slot(shard, &shard->class[zspage->class], zspage, slot);
	zs_regroup(pool, shard, index, zspage);
	if (unlikely(zs_wants_compaction(shard)))
		compact_a_step(pool, shard);
	return true;
}

static NOINLINE void free_locked(struct zs_pool *pool, zs_handle handle)
{
	struct zs_object object;

	if (!handle || !zs_find(pool, handle, &object))
		return;
	struct shard *shard = object.shard;
	uint32_t loc = *object.entry & LOC_MASK;
	if (unlikely(!zs_is_object(pool, shard, loc))) {
		zs_unlock(&shard->lock);
		zs_misuse(pool, ZS_MISUSE_CORRUPT, handle);
		return;
	}
	const struct zspage *zspage = zs_zspage(pool, shard, loc >> SLOT_BITS);
	const struct size_class *class = &shard->class[zspage->class];
	if (unlikely(zs_entry_pins(*object.entry))) {
		zs_unlock(&shard->lock);
		zs_misuse(pool, ZS_MISUSE_FREE_MAPPED, handle);
		return;
	}
#if ZS_DEBUG
	struct debug_slot slot = { pool, class, zs_zspage(pool, shard, loc >> SLOT_BITS),
				   loc & (MAX_SLOTS - 1) };
	if (!zs_debug_intact(&slot)) {
		zs_unlock(&shard->lock);
		zs_misuse(pool, ZS_MISUSE_OVERRUN, handle);
		return;
	}
	zs_debug_free(&slot);
#endif
	if (unlikely(pool->zero_on_free))
		zs_slot_zero(pool, class, zs_zspage(pool, shard, loc >> SLOT_BITS),
			     loc & (MAX_SLOTS - 1));
	zs_handle_free(pool, &object);
	zs_ref empty = zs_slot_free(pool, shard, loc);
	if (unlikely(empty)) {
		zs_unlock(&shard->lock);
		zs_zspage_release(pool, class, empty);
		zs_lock(pool, &shard->lock);
	}
	if (unlikely(zs_wants_compaction(shard)))
		zs_compact_step_auto(pool, shard);
	zs_unlock(&shard->lock);
}

void zs_free(struct zs_pool *pool, zs_handle handle)
{
	if (!zs_is_alone(pool) || unlikely(pool->zero_on_free) ||
	    unlikely(!free_alone(pool, handle)))
		free_locked(pool, handle);
}
