/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What debug builds (ZS_DEBUG) add: slots end in a footer that knows what was
 * asked for, the bytes between object and footer have a known value, fresh and
 * freed memory is poisoned, an object that is only mapped to be read must not
 * change, and locks must be taken in their order. Shard lock.
 */
#include "core/core.h"
#include "core/text.h"

#if ZS_DEBUG

/* --- the order of locks --- */

/* In the order in which they may be taken: see core.h. One of each at most. */
enum rank { RANK_SHARD, RANK_POOL, RANK_CHARGE };

_Static_assert(RANK_CHARGE + 1 == ZS_LOCK_RANKS, "struct zs_held has a place for each");

static const char *const lock_names[] = {
	[RANK_SHARD] = "a shard's lock",
	[RANK_POOL] = "the pool's lock",
	[RANK_CHARGE] = "charge_lock",
};

static void stop(const struct zs_pool *pool, const char *taken, const char *held)
{
	struct line line = { .length = 0 };

	say(&line, "zsmalloc: pool \"");
	say(&line, pool->name);
	say(&line, "\": locks in the wrong order: ");
	say(&line, taken);
	say(&line, " with ");
	say(&line, held);
	pool->port->ops->die(line.text);
}

/* The highest rank held of a pool, -1: none. A lock of another pool hides those of this one. */
static int highest(const struct zs_held *held, const struct zs_pool *pool)
{
	int rank = ZS_LOCK_RANKS - 1;

	while (rank >= 0 && (held->pool != pool || !held->lock[rank]))
		rank--;
	return rank;
}

static void take(const struct zs_pool *pool, enum rank rank, const void *lock)
{
	struct zs_held *held = zs_port_held();

	if (!held)
		return;
	if (highest(held, held->pool) < 0)
		held->pool = pool;
	if (pool != held->pool)
		return;
	int most = highest(held, pool);
	if (most >= (int)rank)
		stop(pool, lock_names[rank], lock_names[most]);
	if (most < 0 && rank == RANK_CHARGE)
		stop(pool, lock_names[rank], "no other");
	held->lock[rank] = lock;
}

static void release(const void *lock)
{
	struct zs_held *held = zs_port_held();

	for (int rank = 0; held && rank < ZS_LOCK_RANKS; rank++) {
		if (held->lock[rank] == lock)
			held->lock[rank] = NULL;
	}
}

void zs_debug_lock(const struct zs_pool *pool, const struct zs_lock *lock)
{
	if (lock == &pool->lock)
		take(pool, RANK_POOL, lock);
	else if (lock == &pool->charge_lock)
		take(pool, RANK_CHARGE, lock);
	else
		take(pool, RANK_SHARD, lock);
}

void zs_debug_unlock(const struct zs_lock *lock)
{
	release(lock);
}

/* The pool itself stands for the locks of all its shards. */
void zs_debug_lock_all(const struct zs_pool *pool)
{
	take(pool, RANK_SHARD, pool);
}

void zs_debug_unlock_all(const struct zs_pool *pool)
{
	release(pool);
}

/* Where none may be held. */
void zs_debug_no_lock(const struct zs_pool *pool)
{
	const struct zs_held *held = zs_port_held();
	int most = held ? highest(held, pool) : -1;

	if (most >= 0)
		stop(pool, "a system call or a misuse handler", lock_names[most]);
}

/* --- slots --- */

#define POISON_FRESH 0x5a
#define POISON_FREED 0x6b
#define POISON_PAD   0xbb
#define CANARY       UINT32_C(0xc0ffee11)
#define LAST_CANARY  0xbadeu

/* A canary at either end: for what is written past this object, and before the next. */
struct footer {
	uint32_t canary;
	uint32_t size;    /* asked of zs_malloc(), or the most that zs_obj_write() was given */
	uint32_t sum;     /* of the object when it was first mapped to be read */
	uint16_t written; /* mapped to be written since it was last not mapped at all */
	uint16_t last_canary;
};

_Static_assert(sizeof(struct footer) == ZS_FOOTER, "classes make room for the footer");
_Static_assert(offsetof(struct footer, size) == ZS_CANARY, "it begins with a canary");

static size_t footer_at(const struct debug_slot *s)
{
	return s->class->size - sizeof(struct footer);
}

static struct footer load(const struct debug_slot *s)
{
	struct footer footer;

	zs_slot_read(s->pool, s->class, s->zspage, s->slot, footer_at(s), &footer, sizeof(footer));
	return footer;
}

static void store(const struct debug_slot *s, const struct footer *footer)
{
	zs_slot_write(s->pool, s->class, s->zspage, s->slot, footer_at(s), footer, sizeof(*footer));
}

/* Slots are looked at in pieces: they may straddle pages. */
#define PIECE 256u

static size_t piece_at(size_t from, size_t to)
{
	return to - from < PIECE ? to - from : PIECE;
}

static void fill(const struct debug_slot *s, size_t from, size_t to, unsigned char value)
{
	unsigned char piece[PIECE];

	__builtin_memset(piece, value, sizeof(piece));
	for (size_t length; from < to; from += length) {
		length = piece_at(from, to);
		zs_slot_write(s->pool, s->class, s->zspage, s->slot, from, piece, length);
	}
}

__attribute__((no_sanitize("thread"))) static bool
is_filled(const struct debug_slot *s, size_t from, size_t to, unsigned char value)
{
	unsigned char piece[PIECE];

	for (size_t length; from < to; from += length) {
		length = piece_at(from, to);
		zs_slot_read(s->pool, s->class, s->zspage, s->slot, from, piece, length);
		for (size_t i = 0; i < length; i++) {
			if (piece[i] != value)
				return false;
		}
	}
	return true;
}

/* FNV-1a. Looks at copies only, which ThreadSanitizer need not watch byte by byte. */
__attribute__((no_sanitize("thread"))) static uint32_t sum_of(const struct debug_slot *s,
							      size_t size)
{
	uint32_t sum = UINT32_C(2166136261);
	unsigned char piece[PIECE];

	for (size_t from = 0, length; from < size; from += length) {
		length = piece_at(from, size);
		zs_slot_read(s->pool, s->class, s->zspage, s->slot, from, piece, length);
		for (size_t i = 0; i < length; i++)
			sum = (sum ^ piece[i]) * UINT32_C(16777619);
	}
	return sum;
}

void zs_debug_alloc(const struct debug_slot *s, size_t size)
{
	fill(s, 0, size, POISON_FRESH);
	fill(s, size, footer_at(s), POISON_PAD);
	store(s, &(struct footer){
			 .size = (uint32_t)size, .canary = CANARY, .last_canary = LAST_CANARY });
}

void zs_debug_free(const struct debug_slot *s)
{
	fill(s, 0, s->class->size, POISON_FREED);
}

/* zs_obj_write() may fill the whole slot. */
void zs_debug_extend(const struct debug_slot *s, size_t size)
{
	struct footer footer = load(s);

	if (footer.size < size) {
		footer.size = (uint32_t)size;
		store(s, &footer);
	}
}

/*
 * An object's bytes have been copied to a slot that is as large, or larger: what follows them
 * there is what it was, up to its end.
 */
void zs_debug_move(const struct debug_slot *from, const struct debug_slot *to)
{
	struct footer footer = load(from);

	fill(to, footer_at(from), footer_at(to), POISON_PAD);
	store(to, &footer);
}

/* How much of the slot the object takes. */
size_t zs_debug_size(const struct debug_slot *s)
{
	return load(s).size;
}

/* Whether nothing was written past the object's end. */
bool zs_debug_intact(const struct debug_slot *s)
{
	struct footer footer = load(s);

	return footer.canary == CANARY && footer.last_canary == LAST_CANARY &&
	       footer.size <= footer_at(s) && is_filled(s, footer.size, footer_at(s), POISON_PAD);
}

void zs_debug_map(const struct debug_slot *s, enum zs_mapmode mode, bool first)
{
	struct footer footer = load(s);

	if (first) {
		footer.written = 0;
		footer.sum = sum_of(s, footer.size);
	}
	footer.written = footer.written || mode != ZS_MM_RO;
	store(s, &footer);
}

/* At the last unmap: whether an object that was only to be read still is what it was. */
bool zs_debug_ro_intact(const struct debug_slot *s)
{
	struct footer footer = load(s);

	return footer.written || footer.sum == sum_of(s, footer.size);
}

#endif
