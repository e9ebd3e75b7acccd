/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Memory between two pages that cannot be touched: a step beyond it ends the process,
 * also in a library that no sanitizer was built into.
 */
#ifndef FUZZ_GUARDED_H
#define FUZZ_GUARDED_H

#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"

struct guarded {
	unsigned char *start, *end;
};

static inline struct guarded guarded_make(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (size + page - 1) / page * page;
	unsigned char *at =
		mmap(NULL, whole + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	require(at != MAP_FAILED);
	require(mprotect(at + page, whole, PROT_READ | PROT_WRITE) == 0);
	return (struct guarded){ at + page, at + page + whole };
}

static inline void guarded_free(struct guarded *guarded)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	munmap(guarded->start - page, (size_t)(guarded->end - guarded->start) + 2 * page);
}

/* Room for size bytes, flush with the one end or the other. */
static inline unsigned char *guarded_at(const struct guarded *guarded, size_t size, bool at_end)
{
	require(size <= (size_t)(guarded->end - guarded->start));
	return at_end ? guarded->end - size : guarded->start;
}

#endif /* FUZZ_GUARDED_H */
