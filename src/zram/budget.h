/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What a store holds in all, and the limit on it: the pool's pages, counted by the
 * pool, and everything beside them (slot table, streams, the store itself), counted
 * here. The pool's own limit is always what the store's limit leaves over.
 */
#ifndef ZRAM_BUDGET_H
#define ZRAM_BUDGET_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct zs_pool;

struct budget {
	pthread_mutex_t lock;
	struct zs_pool *pool;
	_Atomic uint64_t limit; /* bytes, 0: none. Lock */
	_Atomic uint64_t held;  /* bytes beside the pool's. Written under lock */
	_Atomic uint64_t peak;  /* the most that budget_total() was seen to be */
};

void budget_init(struct budget *budget, struct zs_pool *pool);
void budget_destroy(struct budget *budget);

/* Counts bytes that are about to be taken. Returns 0, or ENOSPC if the limit says no. */
int budget_take(struct budget *budget, size_t bytes);

/* Counts bytes that were given back, or are going to be at once. */
void budget_give(struct budget *budget, size_t bytes);

void budget_set_limit(struct budget *budget, uint64_t limit);

/* The store got another pool. */
void budget_set_pool(struct budget *budget, struct zs_pool *pool);

uint64_t budget_total(struct budget *budget);

/* Called with a total that was seen. */
void budget_raise_peak(struct budget *budget, uint64_t total);

/* Called where the total may have grown. */
void budget_note_peak(struct budget *budget);

#endif
