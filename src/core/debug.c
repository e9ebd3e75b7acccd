/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What debug builds (ZS_DEBUG) add: slots end in a footer that knows what was
 * asked for, the bytes between object and footer have a known value, fresh and
 * freed memory is poisoned, an object that is only mapped to be read must not
 * change, and locks must be taken in their order. Shard lock.
 */
#include "core/core.h"

#if ZS_DEBUG

/* --- the order of locks --- */

void zs_debug_lock(const struct zs_pool *pool, const struct zs_lock *lock)
{
	struct zs_held *held = zs_port_held();

	if (!held)
		return;
	if (!held->shard_lock && !held->pool_lock)
		held->pool = pool;
	if (pool != held->pool)
		return;
	if (held->pool_lock || (held->shard_lock && lock != &pool->lock))
		pool->port->ops->die("zsmalloc: locks are taken in the wrong order");
	if (lock == &pool->lock)
		held->pool_lock = lock;
	else
		held->shard_lock = lock;
}

void zs_debug_unlock(const struct zs_lock *lock)
{
	struct zs_held *held = zs_port_held();

	if (!held)
		return;
	if (lock == held->pool_lock)
		held->pool_lock = NULL;
	if (lock == held->shard_lock)
		held->shard_lock = NULL;
}

/* --- slots --- */

#define POISON_FRESH 0x5a
#define POISON_FREED 0x6b
#define POISON_PAD   0xbb
#define CANARY       UINT32_C(0xc0ffee11)

struct footer {
	uint32_t size;    /* asked of zs_malloc(), or the most that zs_obj_write() was given */
	uint32_t sum;     /* of the object when it was first mapped to be read */
	uint32_t written; /* mapped to be written since it was last not mapped at all */
	uint32_t canary;
};

_Static_assert(sizeof(struct footer) == ZS_FOOTER, "classes make room for the footer");

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

static bool is_filled(const struct debug_slot *s, size_t from, size_t to, unsigned char value)
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

/* FNV-1a. */
static uint32_t sum_of(const struct debug_slot *s, size_t size)
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
	store(s, &(struct footer){ .size = (uint32_t)size, .canary = CANARY });
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

/* How much of the slot the object takes. */
size_t zs_debug_size(const struct debug_slot *s)
{
	return load(s).size;
}

/* Whether nothing was written past the object's end. */
bool zs_debug_intact(const struct debug_slot *s)
{
	struct footer footer = load(s);

	return footer.canary == CANARY && footer.size <= footer_at(s) &&
	       is_filled(s, footer.size, footer_at(s), POISON_PAD);
}

void zs_debug_map(const struct debug_slot *s, enum zs_mapmode mode, bool first)
{
	struct footer footer = load(s);

	if (first) {
		footer.written = 0;
		footer.sum = sum_of(s, footer.size);
	}
	footer.written |= mode != ZS_MM_RO;
	store(s, &footer);
}

/* At the last unmap: whether an object that was only to be read still is what it was. */
bool zs_debug_ro_intact(const struct debug_slot *s)
{
	struct footer footer = load(s);

	return footer.written || footer.sum == sum_of(s, footer.size);
}

#endif
