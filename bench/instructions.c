/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What bench/instructions.sh counts: calls in a pool of 20,000 objects of 32 sizes, one after
 * the other in random order, as a program of one thread makes them. An argument names what is
 * done 200,000 times: "replace" frees an object and allocates another, "map" maps one and unmaps
 * it, "hot" the same one each time, "write" writes 96 bytes into one. "zero" as well: with
 * zero_on_free. "threads": with a second thread about.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zsmalloc.h>

#include "rng.h"

enum { OBJECTS = 20000, CALLS = 200000, SIZES = 32 };

static zs_handle handles[OBJECTS];
static struct rng rng;

static zs_handle *any(void)
{
	return &handles[rng_below(&rng, OBJECTS)];
}

static zs_handle make(struct zs_pool *pool)
{
	return zs_malloc(pool, (1 + rng_below(&rng, SIZES)) * 96);
}

static void do_calls(struct zs_pool *pool, const char *what)
{
	static const char bytes[96];

	for (unsigned i = 0; i < CALLS; i++) {
		zs_handle *handle = strcmp(what, "hot") ? any() : handles;

		if (!strcmp(what, "replace")) {
			zs_free(pool, *handle);
			*handle = make(pool);
		} else if (!strcmp(what, "map") || !strcmp(what, "hot")) {
			zs_map_object(pool, *handle, ZS_MM_RO);
			zs_unmap_object(pool, *handle);
		} else {
			zs_obj_write(pool, *handle, bytes, sizeof(bytes));
		}
	}
}

static pthread_mutex_t end = PTHREAD_MUTEX_INITIALIZER;

static void *wait_for_end(void *data)
{
	pthread_mutex_lock(&end);
	pthread_mutex_unlock(&end);
	return data;
}

static bool has(int argc, char **argv, const char *word)
{
	for (int i = 2; i < argc; i++) {
		if (!strcmp(argv[i], word))
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	struct zs_pool_options options = {
		.compaction = ZS_COMPACTION_MANUAL,
		.zero_on_free = has(argc, argv, "zero"),
	};
	bool threads = has(argc, argv, "threads");
	pthread_t other;
	struct zs_pool *pool;

	pthread_mutex_lock(&end);
	if (argc < 2 || (threads && pthread_create(&other, NULL, wait_for_end, NULL)))
		return EXIT_FAILURE;
	pool = zs_create_pool(&options);
	if (!pool)
		return EXIT_FAILURE;
	rng = rng_seeded(1);
	for (unsigned i = 0; i < OBJECTS; i++)
		handles[i] = make(pool);
	do_calls(pool, argv[1]);
	zs_destroy_pool(pool);
	pthread_mutex_unlock(&end);
	if (threads)
		pthread_join(other, NULL);
	return EXIT_SUCCESS;
}
