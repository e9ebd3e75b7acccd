/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The store, with checksums and without. A call for each page.
 */
#include <zram.h>

#include "side.h"

static void *create(const struct side_options *options, enum zram_checksum checksum)
{
	const struct zram_options zram_options = {
		.size = (uint64_t)options->pages * PAGE_BYTES,
		.block_size = PAGE_BYTES,
		.algorithm = options->algorithm,
		.level = options->level,
		.checksum = checksum,
	};
	struct zram *zram = zram_create(&zram_options);

	if (!zram)
		stop("zram_create");
	return zram;
}

static void *store_open(const struct side_options *options)
{
	return create(options, ZRAM_CHECKSUM_ON);
}

static void *unchecked_open(const struct side_options *options)
{
	return create(options, ZRAM_CHECKSUM_OFF);
}

static void store_close(void *self)
{
	zram_destroy(self);
}

static void store_write(void *self, unsigned thread, uint32_t page, const void *bytes)
{
	(void)thread;
	if (zram_pwrite(self, bytes, PAGE_BYTES, (uint64_t)page * PAGE_BYTES) != PAGE_BYTES)
		stop("zram_pwrite");
}

static void store_read(void *self, unsigned thread, uint32_t page, void *bytes)
{
	(void)thread;
	if (zram_pread(self, bytes, PAGE_BYTES, (uint64_t)page * PAGE_BYTES) != PAGE_BYTES)
		stop("zram_pread");
}

static void store_discard(void *self, uint32_t page)
{
	if (zram_discard(self, (uint64_t)page * PAGE_BYTES, PAGE_BYTES))
		stop("zram_discard");
}

static void store_clear(void *self)
{
	if (zram_reset(self))
		stop("zram_reset");
}

static void store_bytes(void *self, uint64_t *compressed, uint64_t *used)
{
	struct zram_stats stats;

	zram_get_stats(self, &stats);
	*compressed = stats.compr_data_size;
	*used = stats.mem_used_total;
}

#define STORE(its_name, its_open)                                                   \
	{                                                                           \
		.name = (its_name), .open = (its_open), .close = store_close,       \
		.write = store_write, .read = store_read, .discard = store_discard, \
		.clear = store_clear, .bytes = store_bytes,                         \
	}

const struct side side_store = STORE("store", store_open);
const struct side side_unchecked = STORE("store-unchecked", unchecked_open);
