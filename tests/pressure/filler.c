/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* See filler.h. */
#include "filler.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <zram.h>
#include <zsmalloc.h>

#include "pattern.h"

enum { BLOCK = 4096 };

struct filler {
	struct zs_pool *pool;
	struct zram *store;
	uint64_t places;
	zs_handle handles[]; /* of a pool's places */
};

/* Not on the heap: what is in it is to cost nothing while memory is scarce. */
static struct filler *filler_new(uint64_t places)
{
	size_t bytes = sizeof(struct filler) + places * sizeof(zs_handle);
	struct filler *filler = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (filler == MAP_FAILED)
		return NULL;
	filler->places = places;
	return filler;
}

static void filler_free(struct filler *filler)
{
	munmap(filler, sizeof(*filler) + filler->places * sizeof(zs_handle));
}

/* --- a pool --- */

static size_t size_of(uint64_t key)
{
	return 1 + rng_mix(key) % BLOCK;
}

static struct filler *pool_make(uint64_t places, uint64_t limit)
{
	struct zs_pool_options options = { .name = "pressure", .limit = limit };
	struct filler *filler = filler_new(places);

	if (!filler)
		return NULL;
	filler->pool = zs_create_pool(&options);
	if (filler->pool)
		return filler;
	filler_free(filler);
	return NULL;
}

static int pool_put(struct filler *filler, uint64_t place, uint64_t key)
{
	size_t size = size_of(key);
	zs_handle handle = zs_malloc(filler->pool, size);
	void *at = handle ? zs_map_object(filler->pool, handle, ZS_MM_WO) : NULL;

	if (!handle)
		return errno;
	if (!at)
		return errno ? errno : EIO;
	pattern_fill(at, size, key);
	zs_unmap_object(filler->pool, handle);
	filler->handles[place] = handle;
	return 0;
}

static bool pool_holds(struct filler *filler, uint64_t place, uint64_t key)
{
	zs_handle handle = filler->handles[place];

	if (!key)
		return !handle;

	const void *at = handle ? zs_map_object(filler->pool, handle, ZS_MM_RO) : NULL;

	if (!at)
		return false;

	bool whole = pattern_holds(at, size_of(key), key);

	zs_unmap_object(filler->pool, handle);
	return whole;
}

static void pool_drop(struct filler *filler, uint64_t place)
{
	zs_free(filler->pool, filler->handles[place]);
	filler->handles[place] = 0;
}

static uint64_t pool_counted(struct filler *filler)
{
	return zs_get_total_size_bytes(filler->pool);
}

static uint64_t pool_most(struct filler *filler)
{
	(void)filler;
	return 0;
}

static void print_broken(const char *what, void *data)
{
	(void)data;
	printf("zs_check: %s\n", what);
}

static bool pool_is_sound(struct filler *filler)
{
	return zs_check(filler->pool, print_broken, NULL) == 0;
}

static void pool_destroy(struct filler *filler)
{
	zs_destroy_pool(filler->pool);
	filler_free(filler);
}

const struct filler_kind pool_filler = {
	.name = "pool",
	.make = pool_make,
	.put = pool_put,
	.holds = pool_holds,
	.drop = pool_drop,
	.counted = pool_counted,
	.most = pool_most,
	.is_sound = pool_is_sound,
	.destroy = pool_destroy,
};

/* --- a store --- */

static struct filler *store_make(uint64_t places, uint64_t limit)
{
	struct zram_options options = {
		.size = places * BLOCK,
		.mem_limit = limit,
		.max_comp_streams = 8,
	};
	struct filler *filler = filler_new(0);

	if (!filler)
		return NULL;
	filler->store = zram_create(&options);
	if (filler->store)
		return filler;
	filler_free(filler);
	return NULL;
}

/* A quarter each: one word, noise, and noise in front of that word. */
static void fill_block(unsigned char *block, uint64_t key)
{
	static const size_t noise[] = { 8, BLOCK, BLOCK / 2, BLOCK / 5 / 8 * 8 };
	struct rng rng = rng_seeded(key);
	size_t mixed = noise[key % 4];

	for (size_t at = 0; at < BLOCK; at += sizeof(key)) {
		uint64_t word = at != 0 && at < mixed ? rng_next(&rng) : key;

		memcpy(block + at, &word, sizeof(word));
	}
}

static int store_put(struct filler *filler, uint64_t place, uint64_t key)
{
	unsigned char block[BLOCK];

	fill_block(block, key);
	return zram_pwrite(filler->store, block, BLOCK, place * BLOCK) == BLOCK ? 0 : errno;
}

static bool store_holds(struct filler *filler, uint64_t place, uint64_t key)
{
	unsigned char block[BLOCK], wanted[BLOCK] = { 0 };

	if (key)
		fill_block(wanted, key);
	return zram_pread(filler->store, block, BLOCK, place * BLOCK) == BLOCK &&
	       !memcmp(block, wanted, BLOCK);
}

static void store_drop(struct filler *filler, uint64_t place)
{
	zram_discard(filler->store, place * BLOCK, BLOCK);
}

static struct zram_stats stats_of(struct filler *filler)
{
	struct zram_stats stats;

	zram_get_stats(filler->store, &stats);
	return stats;
}

static uint64_t store_counted(struct filler *filler)
{
	return stats_of(filler).mem_used_total;
}

static uint64_t store_most(struct filler *filler)
{
	return stats_of(filler).mem_used_max;
}

static bool store_is_sound(struct filler *filler)
{
	struct zram_stats stats = stats_of(filler);
	struct zs_pool_stats pool;

	zram_pool_stats(filler->store, &pool);
	return stats.mem_used_total == stats.pool_bytes + stats.table_bytes + stats.stream_bytes +
					       stats.own_bytes &&
	       stats.pool_bytes == pool.total_bytes && pool.mapped_objects == 0 &&
	       pool.objects == stats.orig_data_size / BLOCK - stats.same_pages &&
	       stats.mem_used_max >= stats.mem_used_total && stats.damaged_blocks == 0;
}

static void store_destroy(struct filler *filler)
{
	zram_destroy(filler->store);
	filler_free(filler);
}

const struct filler_kind store_filler = {
	.name = "store",
	.make = store_make,
	.put = store_put,
	.may_replace = true,
	.holds = store_holds,
	.drop = store_drop,
	.counted = store_counted,
	.most = store_most,
	.is_sound = store_is_sound,
	.destroy = store_destroy,
};
