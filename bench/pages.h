/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The pages that the store is measured with: those of a file, without the ones
 * filled with one word (a store keeps no object for them); or made up so that LZ4
 * brings them to about the sizes of the trace.
 */
#ifndef ZRAM_BENCH_PAGES_H
#define ZRAM_BENCH_PAGES_H

#include <stdint.h>

struct pages {
	unsigned char *bytes; /* page-aligned, count times PAGE_BYTES */
	uint32_t count;
};

/* At most max pages; path NULL: made up. Failures end the program. */
struct pages pages_get(const char *path, uint32_t max);

void pages_release(struct pages *pages);

#endif /* ZRAM_BENCH_PAGES_H */
