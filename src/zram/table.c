/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
#include "zram/table.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

#define NODE_MASK ((1u << NODE_BITS) - 1)
#define CHUNKS    (UINT64_C(1) << NODE_LEVELS * NODE_BITS)

_Static_assert(sizeof(struct slot) == 10, "slots are packed");
_Static_assert(sizeof(struct leaf) == LEAF_BYTES, "a leaf is a page");
_Static_assert(sizeof(struct chunk) == (CHUNK_LEAVES + 1) * LEAF_BYTES, "leaves begin at pages");

void slot_wait(unsigned tries)
{
	if (tries < 64) {
#if defined(__x86_64__) || defined(__i386__)
		__builtin_ia32_pause();
#endif
	} else if (tries < 96) {
		sched_yield();
	} else {
		nanosleep(&(struct timespec){ .tv_nsec = 50000 }, NULL);
	}
}

struct table *table_create(struct budget *budget)
{
	struct table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	pthread_mutex_init(&table->lock, NULL);
	table->budget = budget;
	return table;
}

static void free_below(struct node *node, unsigned level)
{
	for (unsigned i = 0; i <= NODE_MASK; i++) {
		void *child = node->child[i];

		if (!child)
			continue;
		if (level == 0) {
			munmap(child, sizeof(struct chunk));
		} else {
			free_below(child, level - 1);
			free(child);
		}
	}
}

void table_destroy(struct table *table)
{
	if (!table)
		return;
	free_below(&table->root, NODE_LEVELS - 1);
	budget_give(table->budget, table->bytes);
	pthread_mutex_destroy(&table->lock);
	free(table);
}

/* --- finding --- */

/*
 * The chunk of that number, or NULL. Then *end is the number after the last one
 * that is missing for the same reason.
 */
static struct chunk *find_chunk(struct table *table, uint64_t number, uint64_t *end)
{
	void *child = &table->root;

	for (unsigned level = NODE_LEVELS; level-- > 0;) {
		struct node *node = child;
		unsigned shift = level * NODE_BITS;

		child = atomic_load_explicit(&node->child[number >> shift & NODE_MASK],
					     memory_order_acquire);
		if (!child) {
			*end = ((number >> shift) + 1) << shift;
			return NULL;
		}
	}
	return child;
}

static bool is_present(struct chunk *chunk, unsigned leaf)
{
	return atomic_load_explicit(&chunk->present[leaf / 64], memory_order_acquire) >> leaf % 64 &
	       1;
}

static void place_in(struct place *place, struct chunk *chunk, uint64_t block)
{
	place->chunk = chunk;
	place->leaf_index = (unsigned)(block / LEAF_SLOTS % CHUNK_LEAVES);
	place->leaf = &chunk->leaf[place->leaf_index];
	place->index = (unsigned)(block % LEAF_SLOTS);
	place->slot = &place->leaf->slot[place->index];
}

bool table_find(struct table *table, uint64_t block, struct place *place)
{
	uint64_t end;
	struct chunk *chunk = find_chunk(table, block / LEAF_SLOTS / CHUNK_LEAVES, &end);

	if (!chunk)
		return false;
	place_in(place, chunk, block);
	return is_present(chunk, place->leaf_index);
}

/* The first leaf from leaf on that is present, CHUNK_LEAVES if there is none. */
static unsigned next_present(struct chunk *chunk, unsigned leaf)
{
	for (unsigned w = leaf / 64; w < CHUNK_LEAVES / 64; w++) {
		uint64_t word = atomic_load_explicit(&chunk->present[w], memory_order_acquire);

		if (w == leaf / 64)
			word &= UINT64_MAX << leaf % 64;
		if (word)
			return w * 64 + (unsigned)__builtin_ctzll(word);
	}
	return CHUNK_LEAVES;
}

uint64_t table_next(struct table *table, uint64_t block)
{
	uint64_t leaf = block / LEAF_SLOTS, number = leaf / CHUNK_LEAVES;

	while (number < CHUNKS) {
		uint64_t end = number + 1;
		struct chunk *chunk = find_chunk(table, number, &end);

		if (chunk) {
			unsigned next = next_present(chunk, (unsigned)(leaf % CHUNK_LEAVES));

			if (next < CHUNK_LEAVES) {
				uint64_t first = (number * CHUNK_LEAVES + next) * LEAF_SLOTS;
				return first > block ? first : block;
			}
		}
		number = end;
		leaf = number * CHUNK_LEAVES;
	}
	return UINT64_MAX;
}

/* --- growing --- */

/* Gives pages back, also those of a process that locks all its memory. */
static bool give_back(void *start, size_t bytes)
{
	return madvise(start, bytes, MADV_DONTNEED) == 0 ||
	       madvise(start, bytes, MADV_DONTNEED_LOCKED) == 0;
}

/*
 * Of a chunk one page is wanted, not a huge one (refused where there are none), nor all,
 * as a process gets them that locks what it maps.
 */
static void only_when_written(void *start, size_t bytes)
{
	madvise(start, bytes, MADV_NOHUGEPAGE);
	give_back(start, bytes);
}

/* Charged memory for a node, or a chunk with no leaf yet. */
static int make_child(struct table *table, bool is_chunk, void **child)
{
	int error = budget_take(table->budget, LEAF_BYTES);

	if (error)
		return error;
	if (is_chunk) {
		*child = mmap(NULL, sizeof(struct chunk), PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (*child == MAP_FAILED)
			*child = NULL;
		else
			only_when_written(*child, sizeof(struct chunk));
	} else {
		*child = calloc(1, sizeof(struct node));
	}
	if (!*child) {
		budget_give(table->budget, LEAF_BYTES);
		return ENOMEM;
	}
	table->bytes += LEAF_BYTES;
	return 0;
}

/* Lock held. */
static int make_chunk(struct table *table, uint64_t number, struct chunk **chunk)
{
	void *child = &table->root;

	for (unsigned level = NODE_LEVELS; level-- > 0;) {
		void *_Atomic *link =
			&((struct node *)child)->child[number >> level * NODE_BITS & NODE_MASK];

		child = *link;
		if (!child) {
			int error = make_child(table, level == 0, &child);

			if (error)
				return error;
			atomic_store_explicit(link, child, memory_order_release);
		}
	}
	*chunk = child;
	return 0;
}

static int make_present(struct table *table, uint64_t block, struct place *place)
{
	pthread_mutex_lock(&table->lock);
	struct chunk *chunk = NULL;
	int error = make_chunk(table, block / LEAF_SLOTS / CHUNK_LEAVES, &chunk);
	if (!error) {
		place_in(place, chunk, block);
		if (!is_present(chunk, place->leaf_index)) {
			error = budget_take(table->budget, LEAF_BYTES);
			if (!error) {
				table->bytes += LEAF_BYTES;
				atomic_fetch_or(&chunk->present[place->leaf_index / 64],
						UINT64_C(1) << place->leaf_index % 64);
			}
		}
	}
	pthread_mutex_unlock(&table->lock);
	return error;
}

int table_lock(struct table *table, uint64_t block, struct place *place)
{
	bool gone = false;

	for (;;) {
		int error = 0;

		if (!table_find(table, block, place))
			error = make_present(table, block, place);
		if (error) {
			if (gone)
				table_trim(table, place);
			return error;
		}
		slot_lock_write(place->slot);
		/* While a slot is locked its leaf stays, but it may have gone just before. */
		if (is_present(place->chunk, place->leaf_index))
			return 0;
		slot_unlock_write(place->slot, SLOT_EMPTY);
		gone = true;
	}
}

/* --- shrinking --- */

/* Locks all slots of a leaf if all are empty and unlocked. Returns how many were locked. */
static unsigned lock_empty(struct leaf *leaf)
{
	unsigned i = 0;

	/* Mostly there is something in it: do not write before that is known. */
	for (; i < LEAF_SLOTS; i++) {
		if (atomic_load_explicit(&leaf->slot[i].head, memory_order_relaxed))
			return 0;
	}
	for (i = 0; i < LEAF_SLOTS; i++) {
		uint16_t empty = 0;

		if (!atomic_compare_exchange_strong_explicit(&leaf->slot[i].head, &empty,
							     SLOT_WRITER, memory_order_acquire,
							     memory_order_relaxed))
			break;
	}
	return i;
}

static void unlock_empty(struct leaf *leaf, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		slot_unlock_write(&leaf->slot[i], SLOT_EMPTY);
}

/*
 * Lock held. Returns whether a leaf was given back. One that is not present may be real all the
 * same, because somebody locked a slot of it when it had just gone.
 */
static bool trim_leaf(struct table *table, struct chunk *chunk, unsigned index)
{
	struct leaf *leaf = &chunk->leaf[index];
	uint64_t bit = UINT64_C(1) << index % 64;
	bool present = is_present(chunk, index);

	unsigned locked = lock_empty(leaf);
	if (locked < LEAF_SLOTS) {
		unlock_empty(leaf, locked);
		return false;
	}
	atomic_fetch_and(&chunk->present[index / 64], ~bit);
	/* The locks go with the page: from here on all slots are zero, which is unlocked. */
	if (!give_back(leaf, LEAF_BYTES)) {
		if (present)
			atomic_fetch_or(&chunk->present[index / 64], bit);
		unlock_empty(leaf, LEAF_SLOTS);
		return false;
	}
	if (present) {
		table->bytes -= LEAF_BYTES;
		budget_give(table->budget, LEAF_BYTES);
	}
	return present;
}

/* Where pages are larger than leaves, they are kept until the table is emptied. */
static bool can_trim(void)
{
	return sysconf(_SC_PAGESIZE) <= (long)LEAF_BYTES;
}

/*
 * Whether some block of a leaf is not empty. Who empties it will look again: stores that empty a
 * slot and these loads are in one order.
 */
static bool is_in_use(const struct leaf *leaf)
{
	for (unsigned i = 0; i < LEAF_SLOTS; i++) {
		if (atomic_load(&leaf->slot[i].head) >> SLOT_CODE_SHIFT)
			return true;
	}
	return false;
}

void table_trim(struct table *table, const struct place *place)
{
	if (is_in_use(place->leaf) || !can_trim())
		return;
	pthread_mutex_lock(&table->lock);
	trim_leaf(table, place->chunk, place->leaf_index);
	pthread_mutex_unlock(&table->lock);
}

uint64_t table_trim_all(struct table *table)
{
	uint64_t bytes = 0, block = 0;
	struct place place;

	if (!can_trim())
		return 0;
	while ((block = table_next(table, block)) != UINT64_MAX) {
		if (table_find(table, block, &place)) {
			pthread_mutex_lock(&table->lock);
			if (trim_leaf(table, place.chunk, place.leaf_index))
				bytes += LEAF_BYTES;
			pthread_mutex_unlock(&table->lock);
		}
		block = (block / LEAF_SLOTS + 1) * LEAF_SLOTS;
	}
	return bytes;
}

/* --- chunks and nodes --- */

static bool is_empty(struct chunk *chunk)
{
	return next_present(chunk, 0) == CHUNK_LEAVES;
}

/* Lock held. */
static bool has_empty_chunk(const struct node *node, unsigned level)
{
	for (unsigned i = 0; i <= NODE_MASK; i++) {
		void *child = node->child[i];

		if (child && (level ? has_empty_chunk(child, level - 1) : is_empty(child)))
			return true;
	}
	return false;
}

bool table_is_loose(struct table *table)
{
	pthread_mutex_lock(&table->lock);
	bool loose = has_empty_chunk(&table->root, NODE_LEVELS - 1);
	pthread_mutex_unlock(&table->lock);
	return loose;
}

/* Returns whether nothing is left below the node. */
static bool prune_below(struct table *table, struct node *node, unsigned level)
{
	bool empty = true;

	for (unsigned i = 0; i <= NODE_MASK; i++) {
		void *child = node->child[i];

		if (!child)
			continue;
		if (level ? !prune_below(table, child, level - 1) : !is_empty(child)) {
			empty = false;
			continue;
		}
		node->child[i] = NULL;
		table->bytes -= LEAF_BYTES;
		if (level)
			free(child);
		else
			munmap(child, sizeof(struct chunk));
	}
	return empty;
}

uint64_t table_prune(struct table *table)
{
	uint64_t before = table->bytes;

	pthread_mutex_lock(&table->lock);
	prune_below(table, &table->root, NODE_LEVELS - 1);
	budget_give(table->budget, before - table->bytes);
	pthread_mutex_unlock(&table->lock);
	return before - table->bytes;
}
