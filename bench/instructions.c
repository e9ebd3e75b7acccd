/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What bench/instructions.sh counts: 200,000 times free and malloc, map and unmap, and
 * zs_obj_write(), each in a function of its own, in a pool of 20,000 objects of 100 to 3,100 bytes.
 * The argument "zero" sets zero_on_free.
 */
#include <stdlib.h>
#include <string.h>
#include <zsmalloc.h>

#include "rng.h"

enum { OBJECTS = 20000, CALLS = 200000 };

static zs_handle handles[OBJECTS];
static struct rng rng;

static zs_handle make(struct zs_pool *pool)
{
	return zs_malloc(pool, 100 + rng_below(&rng, 3000));
}

__attribute__((noinline)) static void free_and_malloc(struct zs_pool *pool)
{
	for (unsigned i = 0; i < CALLS; i++) {
		zs_handle *handle = &handles[rng_below(&rng, OBJECTS)];

		zs_free(pool, *handle);
		*handle = make(pool);
	}
}

__attribute__((noinline)) static void map_and_unmap(struct zs_pool *pool)
{
	for (unsigned i = 0; i < CALLS; i++) {
		zs_map_object(pool, handles[i % OBJECTS], ZS_MM_RO);
		zs_unmap_object(pool, handles[i % OBJECTS]);
	}
}

__attribute__((noinline)) static void write_100(struct zs_pool *pool)
{
	char bytes[100] = { 0 };

	for (unsigned i = 0; i < CALLS; i++)
		zs_obj_write(pool, handles[i % OBJECTS], bytes, sizeof(bytes));
}

int main(int argc, char **argv)
{
	struct zs_pool_options options = {
		.compaction = ZS_COMPACTION_MANUAL,
		.zero_on_free = argc > 1 && !strcmp(argv[1], "zero"),
	};
	struct zs_pool *pool = zs_create_pool(&options);

	if (!pool)
		return EXIT_FAILURE;
	rng = rng_seeded(1);
	for (unsigned i = 0; i < OBJECTS; i++)
		handles[i] = make(pool);
	free_and_malloc(pool);
	map_and_unmap(pool);
	write_100(pool);
	zs_destroy_pool(pool);
	return EXIT_SUCCESS;
}
