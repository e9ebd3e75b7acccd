/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The slot table: for each block that was ever written a slot that says how it is
 * stored, and that is the block's lock. 11 bytes a slot; nothing for blocks that were
 * never written, in steps of one page.
 *
 * Slots are in leaves of one page, leaves in chunks of address space, whose pages
 * become real when they are written, and chunks in a radix tree. A leaf whose
 * blocks are all empty goes back to the system, under the eyes of those who use
 * it: the page stays where it was and reads as zeros, and a zero slot is an empty,
 * unlocked one.
 *
 * Nodes and chunks go only while nobody else uses the table.
 */
#ifndef ZRAM_TABLE_H
#define ZRAM_TABLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "zram/budget.h"

/*
 * head: bit 3 a writer has the slot or waits for its readers, bits 0..2 readers, bits
 * 4..15 what is stored: enum slot_code, or the object's length in units.
 * The rest is read and written with the slot locked. Pieces of 2 bytes, as a slot
 * is aligned for no more.
 */
struct slot {
	_Atomic uint16_t head;
	uint16_t word[4]; /* the low 32 bits of the handle and the checksum; or the repeated word */
};

#define SLOT_READERS    7u
#define SLOT_WRITER     8u
#define SLOT_LOCK       15u
#define SLOT_CODE_SHIFT 4

/* So many maps of one object the allocator counts without help. */
#define SLOT_READERS_MAX 6u

enum slot_code {
	SLOT_EMPTY = 0,         /* reads as zeros */
	SLOT_LENGTH_MAX = 4093, /* up to here: a compressed object of so many units */
	SLOT_RAW = 4094,        /* an object of the block size, not compressed */
	SLOT_SAME = 4095        /* no object: one word, repeated */
};

#define LEAF_BYTES 4096u
#define LEAF_SLOTS 372u

struct leaf {
	struct slot slot[LEAF_SLOTS];
	uint8_t high[LEAF_SLOTS]; /* bits 32..39 of the handle; or slot_sum_of() the word */
	uint32_t unused;
};

#define CHUNK_LEAVES 512u

struct chunk {
	_Atomic uint64_t present[CHUNK_LEAVES / 64]; /* a bit a leaf: counted in the budget */
	char unused[LEAF_BYTES - CHUNK_LEAVES / 8];
	struct leaf leaf[CHUNK_LEAVES];
};

#define NODE_BITS   9u
#define NODE_LEVELS 4u

struct node {
	void *_Atomic child[1u << NODE_BITS]; /* struct node, on the lowest level struct chunk */
};

struct table {
	struct node root;
	pthread_mutex_t lock; /* for growing and shrinking */
	struct budget *budget;
	_Atomic uint64_t bytes; /* counted in the budget. Written under lock */
};

/* Where a block's slot is. */
struct place {
	struct chunk *chunk;
	struct leaf *leaf;
	struct slot *slot;
	unsigned leaf_index; /* in the chunk */
	unsigned index;      /* in the leaf */
};

struct table *table_create(struct budget *budget);
void table_destroy(struct table *table);

/* Whether the block's slot is there. If not, the block was never written, or is empty again. */
bool table_find(struct table *table, uint64_t block, struct place *place);

/* On to the next block's, which must be in the same leaf if it is to be used. */
static inline void place_step(struct place *place)
{
	place->index++;
	place->slot++;
}

/*
 * Makes sure that it is there, and locks it for writing. Returns 0, ENOMEM or
 * ENOSPC (nothing is locked then).
 */
int table_lock(struct table *table, uint64_t block, struct place *place);

/* The first block from block on whose slot is there, UINT64_MAX if there is none. */
uint64_t table_next(struct table *table, uint64_t block);

/*
 * Gives the leaf back if all of its slots are empty and nobody uses them. To be called by
 * who found a slot empty that it had locked: that may have made the page real again.
 */
void table_trim(struct table *table, const struct place *place);

/* Does so for all leaves; returns the bytes given back. */
uint64_t table_trim_all(struct table *table);

/* Whether there are chunks without leaves. */
bool table_is_loose(struct table *table);

/* Gives them back, and nodes without chunks. Nobody else uses the table. Returns the bytes. */
uint64_t table_prune(struct table *table);

/* --- slots --- */

void slot_wait(unsigned tries);

static inline unsigned slot_code(const struct slot *slot)
{
	return atomic_load_explicit(&slot->head, memory_order_acquire) >> SLOT_CODE_SHIFT;
}

static inline void slot_lock_read(struct slot *slot)
{
	uint16_t head = atomic_load_explicit(&slot->head, memory_order_relaxed);
	unsigned tries = 0;

	for (;;) {
		if (head & SLOT_WRITER || (head & SLOT_READERS) >= SLOT_READERS_MAX) {
			slot_wait(tries++);
			head = atomic_load_explicit(&slot->head, memory_order_relaxed);
		} else if (atomic_compare_exchange_weak_explicit(
				   &slot->head, &head, (uint16_t)(head + 1), memory_order_acquire,
				   memory_order_relaxed)) {
			return;
		}
	}
}

static inline void slot_unlock_read(struct slot *slot)
{
	atomic_fetch_sub_explicit(&slot->head, 1, memory_order_release);
}

/* Shuts others out at once, then waits for the readers that are in. */
static inline void slot_lock_write(struct slot *slot)
{
	unsigned tries = 0;

	while (atomic_fetch_or_explicit(&slot->head, SLOT_WRITER, memory_order_acquire) &
	       SLOT_WRITER)
		slot_wait(tries++);
	for (tries = 0; atomic_load_explicit(&slot->head, memory_order_acquire) & SLOT_READERS;)
		slot_wait(tries++);
}

static inline void slot_unlock_write(struct slot *slot, unsigned code)
{
	uint16_t head = (uint16_t)(code << SLOT_CODE_SHIFT);

	/* Of two that empty the last slots of a leaf one has to see it so: table_trim(). */
	if (code == SLOT_EMPTY)
		atomic_store(&slot->head, head);
	else
		atomic_store_explicit(&slot->head, head, memory_order_release);
}

static inline uint64_t slot_word(const struct place *place)
{
	uint64_t word;

	memcpy(&word, place->slot->word, sizeof(word));
	return word;
}

/*
 * Eight bits that stand where an object's handle has its last: the factor has no eight equal
 * bits in a row, so one bit of the word that flips always shows, any other change all but once
 * in 256.
 */
static inline uint8_t slot_sum_of(uint64_t word)
{
	return (uint8_t)(word * UINT64_C(0x9e3779b97f4a7c15) >> 56);
}

static inline void slot_set_word(const struct place *place, uint64_t word)
{
	memcpy(place->slot->word, &word, sizeof(word));
	place->leaf->high[place->index] = slot_sum_of(word);
}

/* Whether the repeated word is what it was when it was set. */
static inline bool slot_word_intact(const struct place *place)
{
	return place->leaf->high[place->index] == slot_sum_of(slot_word(place));
}

static inline uint64_t slot_handle(const struct place *place)
{
	uint32_t low;

	memcpy(&low, place->slot->word, sizeof(low));
	return low | (uint64_t)place->leaf->high[place->index] << 32;
}

static inline uint32_t slot_checksum(const struct place *place)
{
	uint32_t sum;

	memcpy(&sum, place->slot->word + 2, sizeof(sum));
	return sum;
}

static inline void slot_set_object(const struct place *place, uint64_t handle, uint32_t checksum)
{
	uint32_t low = (uint32_t)handle;

	memcpy(place->slot->word, &low, sizeof(low));
	memcpy(place->slot->word + 2, &checksum, sizeof(checksum));
	place->leaf->high[place->index] = (uint8_t)(handle >> 32);
}

#endif
