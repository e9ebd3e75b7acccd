/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What store.c measures side by side: anything that keeps 4 KiB pages under a
 * number. Each is in a file of its own: side_raw.c, side_store.c, side_device.c.
 */
#ifndef ZRAM_BENCH_SIDE_H
#define ZRAM_BENCH_SIDE_H

#include <stdbool.h>
#include <stdint.h>

#define PAGE_BYTES  4096
#define MAX_THREADS 64

struct side_options {
	const char *algorithm; /* lz4 or zstd */
	int level;             /* of zstd */
	uint32_t pages;
	unsigned threads;
	const char *device;            /* of side_device: a block device of which nothing is used */
	const unsigned char *contents; /* pages * PAGE_BYTES: all that will be written */
};

#define WRITES 3 /* of each page, between two calls of clear() */

/*
 * Each thread writes and reads pages of its own share only (see share_first()). All pages
 * are written once, and each of the contents by one page, before any is written again.
 * Failures end the program.
 */
struct side {
	const char *name;
	void *(*open)(const struct side_options *options);
	void (*close)(void *self);
	void (*write)(void *self, unsigned thread, uint32_t page, const void *bytes);
	void (*read)(void *self, unsigned thread, uint32_t page, void *bytes);
	void (*discard)(void *self, uint32_t page); /* NULL: there is no such thing */
	void (*clear)(void *self);                  /* as it was after open() */
	/* What the pages came to, and what memory they take in all. NULL: not known. */
	void (*bytes)(void *self, uint64_t *compressed, uint64_t *used);
};

extern const struct side side_raw;
extern const struct side side_store;
extern const struct side side_unchecked; /* the store without checksums */
extern const struct side side_device;

/* The first page of a thread's share; that of thread == threads is the end. */
static inline uint32_t share_first(uint32_t pages, unsigned threads, unsigned thread)
{
	return (uint32_t)((uint64_t)pages * thread / threads);
}

/* Ends the program; says errno too. */
_Noreturn void stop(const char *what);

#endif /* ZRAM_BENCH_SIDE_H */
