/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
#include "zram/budget.h"

#include <errno.h>
#include <zsmalloc.h>

#define load(p)     atomic_load_explicit(p, memory_order_relaxed)
#define store(p, v) atomic_store_explicit(p, v, memory_order_relaxed)

void budget_init(struct budget *budget, struct zs_pool *pool)
{
	*budget = (struct budget){ .pool = pool };
	pthread_mutex_init(&budget->lock, NULL);
}

void budget_destroy(struct budget *budget)
{
	pthread_mutex_destroy(&budget->lock);
}

/* Gives the pool what the limit leaves over. 0 would be no limit: a byte is no page either. */
static void limit_pool(struct budget *budget, uint64_t held)
{
	uint64_t limit = load(&budget->limit);

	if (!limit)
		zs_set_limit(budget->pool, 0);
	else
		zs_set_limit(budget->pool, limit > held ? limit - held : 1);
}

int budget_take(struct budget *budget, size_t bytes)
{
	int error = 0;

	pthread_mutex_lock(&budget->lock);
	uint64_t limit = load(&budget->limit), held = load(&budget->held);
	if (limit) {
		/* The pool cannot grow into what is asked for once it was told. */
		limit_pool(budget, held + bytes);
		if (zs_get_total_size_bytes(budget->pool) + held + bytes > limit) {
			limit_pool(budget, held);
			error = ENOSPC;
		}
	}
	if (!error)
		atomic_store(&budget->held, held + bytes);
	pthread_mutex_unlock(&budget->lock);
	if (!error)
		budget_note_peak(budget);
	return error;
}

void budget_give(struct budget *budget, size_t bytes)
{
	pthread_mutex_lock(&budget->lock);
	atomic_store(&budget->held, load(&budget->held) - bytes);
	limit_pool(budget, load(&budget->held));
	pthread_mutex_unlock(&budget->lock);
}

void budget_set_limit(struct budget *budget, uint64_t limit)
{
	pthread_mutex_lock(&budget->lock);
	store(&budget->limit, limit);
	limit_pool(budget, load(&budget->held));
	pthread_mutex_unlock(&budget->lock);
}

void budget_set_pool(struct budget *budget, struct zs_pool *pool)
{
	pthread_mutex_lock(&budget->lock);
	budget->pool = pool;
	limit_pool(budget, load(&budget->held));
	pthread_mutex_unlock(&budget->lock);
}

uint64_t budget_total(struct budget *budget)
{
	uint64_t held, pool;

	/* Of one moment: what one gives back the other may take. */
	do {
		held = atomic_load(&budget->held);
		pool = zs_get_total_size_bytes(budget->pool);
	} while (atomic_load(&budget->held) != held);
	return held + pool;
}

void budget_raise_peak(struct budget *budget, uint64_t total)
{
	uint64_t peak = load(&budget->peak);

	while (total > peak && !atomic_compare_exchange_weak(&budget->peak, &peak, total))
		;
}

void budget_note_peak(struct budget *budget)
{
	budget_raise_peak(budget, budget_total(budget));
}
