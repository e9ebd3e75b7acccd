/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Pools: made and destroyed, their limits and counts, their locks, their shards.
 */
#include "core/core.h"

/* --- locks --- */

void zs_lock_slow(const struct zs_pool *pool, struct zs_lock *lock)
{
	unsigned tries = 0;

	atomic_fetch_add_explicit(&lock->waiters, 1, memory_order_relaxed);
	do {
		while (load_relaxed(&lock->held))
			pool->port->ops->relax(tries++);
	} while (atomic_exchange_explicit(&lock->held, 1, memory_order_acquire));
	atomic_fetch_sub_explicit(&lock->waiters, 1, memory_order_relaxed);
	store_relaxed(&lock->rounds, load_relaxed(&lock->rounds) + tries);
}

/* So many times one who takes a lock again and again looks whether others wait for it. */
#define PATIENCE 300

/*
 * For one who has just released the lock and has more to do: those who wait
 * come first. Who does not come in that time sleeps, or is not running.
 */
void zs_lock_again(struct zs_pool *pool, struct zs_lock *lock)
{
	for (unsigned tries = 0; load_relaxed(&lock->waiters) && tries < PATIENCE; tries++)
		pool->port->ops->relax(tries < 100 ? 0 : 100);
	zs_lock(pool, lock);
}

struct shard *zs_next_shard(struct zs_pool *pool, const struct shard *shard)
{
	const _Atomic uint32_t *link = shard ? &shard->all_next : &pool->first_shard;
	uint32_t next = atomic_load_explicit(link, memory_order_acquire);

	return next ? zs_shard(pool, next) : NULL;
}

/*
 * Shards are added under the pool lock, so once that is held there are no more.
 * Those that are just being made have no lock that would be known here: they
 * are waited for; and, if settled is set, zspages that have left their shards and are
 * just being given back.
 */
static void lock_all(struct zs_pool *pool, bool settled)
{
	struct shard *last = NULL;

#if ZS_DEBUG
	zs_debug_lock_all(pool);
#endif
	for (unsigned tries = 0;; tries++) {
		for (struct shard *s = zs_next_shard(pool, last); s; s = zs_next_shard(pool, s)) {
			zs_lock_any(pool, &s->lock);
			last = s;
		}
		zs_lock(pool, &pool->lock);
		if (!zs_next_shard(pool, last) && !atomic_load(&pool->unfinished_shards) &&
		    !(settled && pool->releasing_pages))
			return;
		zs_unlock(&pool->lock);
		pool->port->ops->relax(tries);
	}
}

void zs_lock_all(struct zs_pool *pool)
{
	lock_all(pool, false);
}

void zs_unlock_all(struct zs_pool *pool)
{
	/* The pool's last: after it there may be shards that were not locked. */
	for (struct shard *s = zs_next_shard(pool, NULL); s; s = zs_next_shard(pool, s))
		zs_unlock_any(&s->lock);
	zs_unlock(&pool->lock);
#if ZS_DEBUG
	zs_debug_unlock_all(pool);
#endif
}

/* So that nothing is lost in the child which only another thread knows of. */
static void lock_for_fork(void *pool)
{
	lock_all(pool, true);
}

/* Threads that waited for a lock when the process forked do not exist in the child. */
static void unlock_after_fork(void *arg, int in_child)
{
	struct zs_pool *pool = arg;

	if (in_child) {
		store_relaxed(&pool->lock.waiters, 0);
		for (struct shard *s = zs_next_shard(pool, NULL); s; s = zs_next_shard(pool, s))
			store_relaxed(&s->lock.waiters, 0);
	}
	zs_unlock_all(pool);
	for (struct shard *s = zs_next_shard(pool, NULL); in_child && s;
	     s = zs_next_shard(pool, s)) {
		zs_lock(pool, &s->lock);
		zs_relist_busy(pool, s);
		zs_unlock(&s->lock);
	}
}

/* --- errors --- */

static _Atomic int create_error;

void zs_fail(struct zs_pool *pool, int error)
{
	store_relaxed(&pool->last_error, error);
	pool->port->ops->set_error(error);
}

int zs_last_error(struct zs_pool *pool)
{
	return load_relaxed(pool ? &pool->last_error : &create_error);
}

/* --- pages counted --- */

/* How many pages the limit leaves. It may have been set below what there is. */
static size_t room_below_limit(const struct zs_pool *pool, size_t total)
{
	size_t limit = load_relaxed(&pool->limit_pages);

	return limit > total ? limit - total : 0;
}

/*
 * Counts pages that are about to be taken. ZS_ENOSPC: the limit says no. Under a lock
 * of its own, so that a limit that is set holds from then on. A shard's lock or the
 * pool's is held.
 */
int zs_charge(struct zs_pool *pool, size_t pages)
{
	int error = ZS_ENOSPC;

	zs_lock(pool, &pool->charge_lock);
	if (pages <= room_below_limit(pool, load_relaxed(&pool->total_pages))) {
		atomic_fetch_add(&pool->total_pages, pages);
		error = ZS_OK;
	}
	zs_unlock(&pool->charge_lock);
	return error;
}

/* To be called when pages have been taken: what was only charged for a moment does not count. */
void zs_note_peak(struct zs_pool *pool)
{
	size_t total = load_relaxed(&pool->total_pages), peak = load_relaxed(&pool->peak_pages);

	while (total > peak && !atomic_compare_exchange_weak(&pool->peak_pages, &peak, total))
		;
	if (total > load_relaxed(&pool->recent_peak))
		store_relaxed(&pool->recent_peak, total);
}

/* Lets the recent peak come down towards the total by a sixteenth. */
void zs_forget_peak(struct zs_pool *pool)
{
	size_t peak = load_relaxed(&pool->recent_peak);

	if (peak > load_relaxed(&pool->total_pages))
		store_relaxed(&pool->recent_peak, peak - (peak >> 4));
}

void zs_uncharge(struct zs_pool *pool, size_t pages)
{
	atomic_fetch_sub(&pool->total_pages, pages);
}

/* Why metadata could not be had. What was had before it may have gone back since. */
int zs_refusal(struct zs_pool *pool)
{
	return load_relaxed(&pool->refusal);
}

/* --- shards --- */

/* Shards in a row all begin where a reference can lead. */
#define SHARD_BYTES ((sizeof(struct shard) + 7) & ~(size_t)7)

static bool shard_fits_page(size_t page_size)
{
	return sizeof(struct shard) <= page_size - META_HEAD;
}

static void init_shard(struct zs_pool *pool, struct shard *shard, zs_ref ref, unsigned run)
{
	shard->self = ref;
	shard->run = run;
	zs_set_trigger(pool, shard);
	shard->open = zs_first_open(pool, run);
	for (unsigned class = 0; class < SHARD_CLASSES; class ++) {
		unsigned index = run * SHARD_CLASSES + class;

		if (index >= pool->min_class && index < pool->nclasses)
			zs_init_class(pool, &shard->class[class], index);
	}
}

/* Puts a shard on the list of its run and on that of all. Pool lock. */
static void publish_shard(struct zs_pool *pool, struct shard *shard)
{
	struct run *run = &pool->runs[shard->run];
	_Atomic uint32_t *link = &run->first;

	while (load_relaxed(link)) {
		link = &zs_shard(pool, load_relaxed(link))->next;
	}
	atomic_store_explicit(link, shard->self, memory_order_release);
	link = pool->last_shard ? &zs_shard(pool, pool->last_shard)->all_next : &pool->first_shard;
	atomic_store_explicit(link, shard->self, memory_order_release);
	pool->last_shard = shard->self;
}

/* The first shard of a run if it is the one that can be; NULL if it is in use. Pool lock. */
static struct shard *first_of_run(struct zs_pool *pool, unsigned run)
{
	char *memory = pool->shard_memory + run * SHARD_BYTES;
	struct shard *shard = (struct shard *)(void *)memory;

	if (load_relaxed(&pool->runs[run].first))
		return NULL;
	init_shard(pool, shard, (zs_ref)((size_t)(memory - pool->meta_base) >> REF_SHIFT), run);
	publish_shard(pool, shard);
	return shard;
}

/*
 * Makes another shard of a run, which nobody else sees until zs_finish_shard().
 * Where a run can have one shard only, whose memory is there from the start, it
 * is seen at once; ZS_EBUSY: it is in use.
 */
int zs_make_shard(struct zs_pool *pool, unsigned run, struct shard **shard)
{
	int error = ZS_OK;

	/* zs_lock_all() holds the lock, so nothing is begun once it has looked. */
	zs_lock(pool, &pool->lock);
	if (pool->shard_memory)
		*shard = first_of_run(pool, run);
	else
		atomic_fetch_add(&pool->unfinished_shards, 1);
	zs_unlock(&pool->lock);
	if (pool->shard_memory)
		return *shard ? ZS_OK : ZS_EBUSY;
	zs_ref ref = zs_meta_alloc(pool, META_CHUNKS, sizeof(struct shard));
	if (!ref) {
		error = zs_refusal(pool);
		atomic_fetch_sub(&pool->unfinished_shards, 1);
		return error;
	}
	*shard = zs_shard(pool, ref);
	init_shard(pool, *shard, ref, run);
	return ZS_OK;
}

/* Lets everybody use a shard that was made, or, if it is not wanted, takes it back: it is empty. */
void zs_finish_shard(struct zs_pool *pool, struct shard *shard, bool wanted)
{
	if (pool->shard_memory)
		return;
	if (wanted) {
		zs_lock(pool, &pool->lock);
		publish_shard(pool, shard);
		zs_unlock(&pool->lock);
	} else {
		zs_meta_free(pool, META_CHUNKS, shard->self);
	}
	atomic_fetch_sub(&pool->unfinished_shards, 1);
}

/* --- creation --- */

/* Where the parts of the pool's own memory are. */
struct layout {
	size_t runs, buffers, lists, map_memory, shards, total;
	size_t nlists;
};

static size_t align_up(size_t n, size_t to)
{
	return (n + to - 1) & ~(to - 1);
}

static bool is_power_of_two(size_t n)
{
	return n && !(n & (n - 1));
}

/* In 1/1024 of a shard's pages. */
#define DEFAULT_SLACK 8

#define HANDLE_BITS_MAX ((unsigned)sizeof(zs_handle) * 8)

static size_t limit_in_pages(const struct zs_pool *pool, uint64_t limit)
{
	if (!limit || limit >> pool->page_shift >= SIZE_MAX)
		return SIZE_MAX;
	return (size_t)(limit >> pool->page_shift);
}

void zs_set_limit(struct zs_pool *pool, uint64_t limit)
{
	zs_lock(pool, &pool->lock);
	zs_lock(pool, &pool->charge_lock);
	store_relaxed(&pool->limit_pages, limit_in_pages(pool, limit));
	store_relaxed(&pool->held_at_limit, load_relaxed(&pool->total_pages));
	zs_unlock(&pool->charge_lock);
	zs_unlock(&pool->lock);
}

/* Takes the options into a pool that is still on the stack. */
static int take_options(struct zs_pool *pool, const struct zs_pool_options *options)
{
	size_t system_page = options->buffer ? 256 : zs_port_page_size();

	if (!system_page)
		return ZS_EINVAL;
	pool->contiguous = !options->buffer;
	pool->page_size = options->page_size;
	if (!pool->page_size)
		pool->page_size = options->buffer ? 4096 : system_page;
	if (!is_power_of_two(pool->page_size) || pool->page_size < system_page ||
	    pool->page_size > 65536)
		return ZS_EINVAL;
	pool->page_shift = bit_last((uint32_t)pool->page_size);

	pool->max_object_size = options->max_object_size;
	if (!pool->max_object_size)
		pool->max_object_size = pool->page_size;
	if (pool->max_object_size > (options->buffer ? pool->page_size : ZS_MAX_OBJECT_SIZE))
		return ZS_EINVAL;

	pool->alignment = options->alignment ? options->alignment : 8;
	if (!is_power_of_two(pool->alignment) || pool->alignment > 16)
		return ZS_EINVAL;
	pool->alignment_shift = bit_last((uint32_t)pool->alignment);

	pool->map_buffers = options->map_buffers ? options->map_buffers : 2;
	if (pool->map_buffers > 64 || (!options->buffer && options->buffer_size))
		return ZS_EINVAL;
	if (pool->contiguous)
		pool->map_buffers = 0;
	if (options->compaction != ZS_COMPACTION_AUTO &&
	    options->compaction != ZS_COMPACTION_MANUAL)
		return ZS_EINVAL;
	pool->compaction = options->compaction;
	if (options->compaction_slack > 1024)
		return ZS_EINVAL;
	pool->slack = options->compaction_slack ? options->compaction_slack : DEFAULT_SLACK;
	pool->handle_bits = options->handle_bits ? options->handle_bits : HANDLE_BITS_MAX;
	if (pool->handle_bits < 32 || pool->handle_bits > HANDLE_BITS_MAX)
		return ZS_EINVAL;
	if (options->zero_on_free > 1)
		return ZS_EINVAL;
	pool->zero_on_free = options->zero_on_free;
	store_relaxed(&pool->limit_pages, limit_in_pages(pool, options->limit));
	pool->on_misuse = options->on_misuse;
	pool->on_leak = options->on_leak;
	pool->hook_data = options->hook_data;

	const char *name = options->name ? options->name : "zsmalloc";
	for (unsigned i = 0; i < NAME_BYTES - 1 && name[i]; i++)
		pool->name[i] = name[i];
	return ZS_OK;
}

/* As many handles a block as take the fewest bytes of metadata pages each, entry and block. */
static void count_block_handles(struct zs_pool *pool)
{
	size_t page = pool->page_size - META_HEAD, least = SIZE_MAX;
	size_t block = pool->page_size / (page / sizeof(struct handle_block));

	for (unsigned handles = BLOCK_HANDLES_MAX; handles > BLOCK_HANDLES_MAX / 3; handles -= 2) {
		size_t stores = page / (handles * sizeof(uint32_t));

		if (!stores)
			continue;
		size_t bytes = (pool->page_size / stores + block) * 1024 / handles;
		if (bytes < least) {
			least = bytes;
			pool->block_handles = handles;
		}
	}
}

static void count_classes(struct zs_pool *pool)
{
	size_t smallest = pool->page_size / MAX_SLOTS;

	if (smallest > pool->alignment)
		pool->min_class = (unsigned)((smallest - 1) >> pool->alignment_shift);
	pool->nclasses = zs_class_of(pool, pool->max_object_size) + 1;
	pool->nruns = (pool->nclasses + SHARD_CLASSES - 1) / SHARD_CLASSES;
	pool->map_bytes = align_up(zs_class_size(pool, pool->nclasses - 1), 16);
	pool->ztab_shift = pool->page_size >= 512 ? 6 : 5;
	pool->ztab_mask = (1u << pool->ztab_shift) - 1;
	count_block_handles(pool);
}

static struct layout lay_out(const struct zs_pool *pool)
{
	struct layout l;

	l.nlists = pool->page_size / 8 < META_LISTS ? pool->page_size / 8 : META_LISTS;
	l.runs = align_up(sizeof(struct zs_pool), 16);
	l.buffers = align_up(l.runs + pool->nruns * sizeof(struct run), 16);
	l.lists = align_up(l.buffers + pool->map_buffers * sizeof(struct map_buffer), 16);
	l.map_memory = align_up(l.lists + l.nlists * sizeof(uint32_t), 16);
	l.shards = l.map_memory + pool->map_buffers * pool->map_bytes;
	l.total = l.shards;
	if (!shard_fits_page(pool->page_size))
		l.total += pool->nruns * SHARD_BYTES;
	return l;
}

static uint64_t bits_below(unsigned bit)
{
	return bit < 64 ? (UINT64_C(1) << bit) - 1 : UINT64_MAX;
}

/*
 * Divides the bits of a handle: index and reference must have theirs, what is
 * left goes to the generation, then to the tag.
 */
static bool lay_out_handles(struct zs_pool *pool)
{
	uint64_t units = (uint64_t)pool->port->meta_pages << (pool->page_shift - REF_SHIFT);
	unsigned ref_bits = units > 1 ? bit_last64(units - 1) + 1 : 1;
	unsigned left = pool->handle_bits - INDEX_BITS;

	if (ref_bits > 31 || ref_bits >= left)
		return false;
	pool->gen_pos = INDEX_BITS + ref_bits;
	pool->tag_pos = pool->gen_pos + (left - ref_bits < GEN_BITS ? left - ref_bits : GEN_BITS);
	pool->tag_bits = pool->handle_bits - pool->tag_pos;
	pool->ref_mask = (UINT32_C(1) << ref_bits) - 1;
	pool->gen_mask = (1u << (pool->tag_pos - pool->gen_pos)) - 1;
	pool->low_mask = bits_below(pool->tag_pos);
	pool->tag_mask = bits_below(pool->handle_bits) ^ pool->low_mask;
	pool->short_tag = !pool->contiguous || pool->tag_bits < 16;

	uint64_t chance = pool->port->ops->entropy(pool->port);
	pool->tag_factor = (chance * UINT64_C(0x9e3779b97f4a7c15) ^ chance >> 29) | 1;
	pool->secret = (uint32_t)(chance * UINT64_C(0xbf58476d1ce4e5b9) >> 32);
	/* At reference 0 is no block, and perhaps nothing but zeros: no proof of one. */
	if (!(zs_proof_of(pool, 0) >> LIFE_BITS))
		pool->secret = ~pool->secret;
	return true;
}

static int create(const struct zs_pool_options *options, struct zs_pool **created)
{
	struct zs_pool draft = { 0 };
	struct zs_port *port;
	int error = take_options(&draft, options);

	if (error)
		return error;
	count_classes(&draft);
	struct layout l = lay_out(&draft);
	error = zs_port_create(options, draft.page_size, l.total, &port);
	if (error)
		return error;

	char *memory = port->pool_memory;
	struct zs_pool *pool = (struct zs_pool *)(void *)memory;
	__builtin_memcpy(pool, &draft, sizeof(*pool));
	pool->port = port;
	pool->alone = port->alone;
	pool->meta_base = port->meta_base;
	pool->data_base = port->data_base;
	pool->range_bytes = pool->page_size * ZS_RANGE_PAGES;
	pool->runs = (struct run *)(void *)(memory + l.runs);
	pool->buffers = (struct map_buffer *)(void *)(memory + l.buffers);
	pool->chunk_lists = (uint32_t *)(void *)(memory + l.lists);
	pool->map_memory = memory + l.map_memory;
	pool->shard_memory = shard_fits_page(pool->page_size) ? NULL : memory + l.shards;
	store_relaxed(&pool->total_pages, port->own_pages);
	store_relaxed(&pool->peak_pages, port->own_pages);
	if (!lay_out_handles(pool) || port->own_pages > load_relaxed(&pool->limit_pages)) {
		port->ops->destroy(port);
		return ZS_EINVAL;
	}
	pool->sum = zs_sum_of_constants(pool);
	pool->port_sum = zs_sum_of_port(port);
	if (port->ops->watch_fork) {
		error = port->ops->watch_fork(port, lock_for_fork, unlock_after_fork, pool);
		if (error) {
			port->ops->destroy(port);
			return error;
		}
	}
	*created = pool;
	return ZS_OK;
}

struct zs_pool *zs_create_pool(const struct zs_pool_options *options)
{
	static const struct zs_pool_options defaults;
	struct zs_pool *pool = NULL;
	int error = create(options ? options : &defaults, &pool);

	if (error) {
		store_relaxed(&create_error, error);
		zs_port_set_error(error);
	}
	return pool;
}

/* --- destruction --- */

static bool is_pinned(struct zs_pool *pool)
{
	uint64_t pinned = 0;

	for (struct shard *s = zs_next_shard(pool, NULL); s; s = zs_next_shard(pool, s)) {
		zs_lock(pool, &s->lock);
		pinned += s->pinned;
		zs_unlock(&s->lock);
	}
	return pinned != 0;
}

static void report_leaks(struct zs_pool *pool)
{
	for (unsigned index = 0; index < pool->nclasses; index++) {
		uint64_t objects = 0;
		uint32_t next = load_relaxed(&pool->runs[index / SHARD_CLASSES].first);

		while (next) {
			const struct shard *shard = zs_shard(pool, next);

			objects += shard->class[index % SHARD_CLASSES].inuse;
			next = load_relaxed(&shard->next);
		}
		size_t size = zs_class_size(pool, index);
		if (objects)
			pool->on_leak(pool->name, size, objects, objects * size, pool->hook_data);
	}
}

void zs_destroy_pool(struct zs_pool *pool)
{
	if (!pool)
		return;
	if (is_pinned(pool)) {
		zs_misuse(pool, ZS_MISUSE_DESTROY_MAPPED, 0);
		return;
	}
	if (pool->on_leak)
		report_leaks(pool);
	bool zeroed = pool->zero_on_free && !pool->contiguous;
	char *memory = pool->meta_base;
	size_t bytes = (size_t)pool->port->meta_pages << pool->page_shift;
	/* Where the memory stays, a handle used now is refused, as long as nobody writes there. */
	store_relaxed(&pool->meta_end, 0);
	pool->port->ops->destroy(pool->port);
	if (zeroed)
		__builtin_memset(memory, 0, bytes);
}
