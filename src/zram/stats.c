/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* What the store has counted, and what it holds. */
#include "zram/store.h"

/* Differences of several streams: while they change the sum may be behind, even below 0. */
static uint64_t gauge(struct zram *zram, enum counter counter)
{
	uint64_t sum = streams_count(&zram->streams, counter);

	return (int64_t)sum < 0 ? 0 : sum;
}

/* Reads what is held, and whether it is of one moment: what one part gives another may take. */
static bool read_parts(struct zram *zram, struct zram_stats *stats)
{
	uint64_t held = atomic_load(&zram->budget.held);

	stats->pool_bytes = zs_get_total_size_bytes(zram->pool);
	stats->table_bytes = zram->table->bytes;
	stats->stream_bytes = zram->streams.bytes + codec_bytes(zram->codec);
	stats->own_bytes = ZRAM_OWN_BYTES;
	return stats->own_bytes + stats->table_bytes + stats->stream_bytes == held &&
	       atomic_load(&zram->budget.held) == held;
}

static void count_memory(struct zram *zram, struct zram_stats *stats)
{
	struct zs_pool_stats pool;

	zs_pool_stats(zram->pool, &pool);
	stats->pages_compacted = pool.compacted_pages;
	for (unsigned tries = 0; tries < 1000 && !read_parts(zram, stats); tries++)
		;
	stats->mem_used_total =
		stats->pool_bytes + stats->table_bytes + stats->stream_bytes + stats->own_bytes;
	budget_raise_peak(&zram->budget, stats->mem_used_total);
	stats->mem_limit = zram->budget.limit;
	stats->mem_used_max = zram->budget.peak;
}

void zram_get_stats(struct zram *zram, struct zram_stats *stats)
{
	struct streams *streams = &zram->streams;
	struct stream *stream = stream_take(streams);

	*stats = (struct zram_stats){
		.orig_data_size = gauge(zram, STORED_BLOCKS) * zram->block_size,
		.compr_data_size = gauge(zram, STORED_BYTES),
		.same_pages = gauge(zram, SAME_BLOCKS),
		.huge_pages = gauge(zram, RAW_BLOCKS),
		.huge_pages_since = streams_count(streams, RAW_WRITES),
		.failed_reads = streams_count(streams, FAILED_READS),
		.failed_writes = streams_count(streams, FAILED_WRITES),
		.invalid_io = streams_count(streams, INVALID_IO),
		.notify_free = streams_count(streams, FREED_BLOCKS),
		.reads = streams_count(streams, READS),
		.read_bytes = streams_count(streams, READ_BYTES),
		.writes = streams_count(streams, WRITES),
		.written_bytes = streams_count(streams, WRITTEN_BYTES),
		.unchanged_blocks = streams_count(streams, UNCHANGED_BLOCKS),
		.damaged_blocks = streams_count(streams, DAMAGED_BLOCKS),
		.disksize = zram->size,
		.block_size = zram->block_size,
	};
	count_memory(zram, stats);
	stream_release(streams, stream);
}

void zram_pool_stats(struct zram *zram, struct zs_pool_stats *stats)
{
	struct stream *stream = stream_take(&zram->streams);

	zs_pool_stats(zram->pool, stats);
	stream_release(&zram->streams, stream);
}

int zram_class_stats(struct zram *zram, unsigned index, struct zs_class_stats *stats)
{
	struct stream *stream = stream_take(&zram->streams);
	int result = zs_class_stats(zram->pool, index, stats);

	stream_release(&zram->streams, stream);
	return result;
}
