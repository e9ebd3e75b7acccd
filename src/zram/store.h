/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The store's data, shared by the files that implement zram.h.
 *
 * Locks, in the order in which they may be taken: a stream (who quiesces: all of
 * them), streams.lock, reclaim, a slot, table.lock, budget.lock; then the pool's own. A
 * thread has one stream and one slot at most. Everything that may be exchanged
 * (table, pool, codec) is used with a stream taken, and exchanged with all of them.
 */
#ifndef ZRAM_STORE_H
#define ZRAM_STORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "zram.h"
#include "zram/budget.h"
#include "zram/codec.h"
#include "zram/stream.h"
#include "zram/table.h"

struct zram {
	struct budget budget;
	struct streams streams;
	struct codec *codec;
	struct table *table;
	struct zs_pool *pool;
	enum zs_compaction compaction;
	size_t block_size;    /* constant */
	unsigned block_shift; /* constant */
	unsigned unit;        /* bytes in which lengths are kept: block_size / 4096. Constant */
	size_t raw_from; /* bytes: what is no smaller when compressed is stored raw. Constant */
	pthread_mutex_t reclaim; /* one call at a time looks for memory that can be freed */
	bool zero_on_free;       /* constant */
	_Atomic uint64_t size;
	_Atomic bool checksum;
};

/* What the store itself takes. */
#define ZRAM_OWN_BYTES (sizeof(struct zram) + sizeof(struct table) + sizeof(struct codec))

/*
 * While quiesced: begins anew, with an empty pool of that kind and an empty table.
 * Returns 0 or ENOMEM, and then nothing has changed.
 */
int zram_empty(struct zram *zram, enum zs_compaction compaction);

/*
 * While quiesced and nothing is stored: goes over to another algorithm. Returns 0, EINVAL,
 * ENOMEM or ENOSPC, and then nothing has changed.
 */
int zram_change_codec(struct zram *zram, const struct codec_options *options);

#endif
