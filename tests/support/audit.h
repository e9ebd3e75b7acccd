/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Does what a pool says of itself add up? For a pool that no other thread uses
 * meanwhile.
 */
#ifndef ZS_TEST_AUDIT_H
#define ZS_TEST_AUDIT_H

#include <stdint.h>

#include <zsmalloc.h>

#include "tally.h"

/*
 * Debug builds guard each slot with bytes that are not in the sizes that they tell:
 * they are held to no target, and bytes are not compared class by class.
 */
#if defined(ZS_DEBUG) && ZS_DEBUG
#define AUDIT_TARGETS 0
#else
#define AUDIT_TARGETS 1
#endif

/* What the program knows of the pool from its own books. */
struct audit_books {
	const char *phase; /* for the messages */
	uint64_t objects;  /* alive */
	uint64_t payload;  /* bytes asked for, of the objects alive */
};

/*
 * Checks that zs_check() holds, that the pool's statistics equal the sum of its
 * classes', the zspages shown one by one, its totals and the books. stats gets the
 * pool's statistics.
 */
void audit_pool(struct tally *tally, struct zs_pool *pool, const struct audit_books *books,
		struct zs_pool_stats *stats);

/*
 * Compacts the pool and checks that zs_compact() says it gave back what was
 * predicted, that the total fell by that at least, and that nothing is left to gain.
 * Prints predicted and given.
 */
void audit_compaction(struct tally *tally, struct zs_pool *pool, const char *phase);

#endif /* ZS_TEST_AUDIT_H */
