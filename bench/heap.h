/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * One face for the two kinds of allocator that are measured: a pool of ours, or
 * (BENCH_MALLOC) malloc, the C library's or whichever is preloaded.
 */
#ifndef ZS_BENCH_HEAP_H
#define ZS_BENCH_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef BENCH_MALLOC
#include <malloc.h>
#include <stdlib.h>

typedef void *heap_object;

/* max_object_size 0: the default. */
static inline bool heap_create(bool manual_compaction, size_t max_object_size)
{
	(void)manual_compaction;
	(void)max_object_size;
	return true;
}

static inline void heap_destroy(void)
{
}

/* There when the library is preloaded: jemalloc, mimalloc, tcmalloc. */
__attribute__((weak)) int mallctl(const char *, void *, size_t *, void *, size_t);
__attribute__((weak)) void mi_collect(bool force);
__attribute__((weak)) void MallocExtension_ReleaseFreeMemory(void);

/* What each has for giving back what it does not need. */
static inline void heap_compact(void)
{
	if (mallctl)
		mallctl("arena.4096.purge", NULL, NULL, NULL, 0); /* of all arenas */
	else if (mi_collect)
		mi_collect(true);
	else if (MallocExtension_ReleaseFreeMemory)
		MallocExtension_ReleaseFreeMemory();
	else
		malloc_trim(0);
}

static inline heap_object heap_alloc(size_t size)
{
	return malloc(size);
}

static inline void heap_free(heap_object object)
{
	free(object);
}

static inline void *heap_open_to_write(heap_object object)
{
	return object;
}

static inline const void *heap_open_to_read(heap_object object)
{
	return object;
}

static inline void heap_close(heap_object object)
{
	(void)object;
}

#else
#include <zsmalloc.h>

typedef zs_handle heap_object;

static struct zs_pool *heap_pool;

static inline bool heap_create(bool manual_compaction, size_t max_object_size)
{
	struct zs_pool_options options = {
		.name = "bench",
		.max_object_size = max_object_size,
		.compaction = manual_compaction ? ZS_COMPACTION_MANUAL : ZS_COMPACTION_AUTO,
	};

	heap_pool = zs_create_pool(&options);
	return heap_pool != NULL;
}

static inline void heap_destroy(void)
{
	zs_destroy_pool(heap_pool);
}

static inline void heap_compact(void)
{
	zs_compact(heap_pool);
}

static inline heap_object heap_alloc(size_t size)
{
	return zs_malloc(heap_pool, size);
}

static inline void heap_free(heap_object object)
{
	zs_free(heap_pool, object);
}

static inline void *heap_open_to_write(heap_object object)
{
	return zs_map_object(heap_pool, object, ZS_MM_WO);
}

static inline const void *heap_open_to_read(heap_object object)
{
	return zs_map_object(heap_pool, object, ZS_MM_RO);
}

static inline void heap_close(heap_object object)
{
	zs_unmap_object(heap_pool, object);
}

#endif /* BENCH_MALLOC */

#endif /* ZS_BENCH_HEAP_H */
