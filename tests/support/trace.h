/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The sizes of real compressed pages, as a list in a fixed random order: what
 * the density test and the benchmarks allocate. The file is tab-separated,
 * "size count" a line, '#' starts a comment.
 */
#ifndef ZS_TEST_TRACE_H
#define ZS_TEST_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include "rng.h"

struct trace {
	uint32_t *sizes; /* of count objects, in bytes */
	uint32_t count;
	uint64_t bytes; /* sum of sizes */
};

/*
 * Reads a trace; path NULL is the project's own. Returns 0, or -1 with errno
 * set (EINVAL: the file is not a trace) and the trace empty.
 */
int trace_load(struct trace *trace, const char *path);

void trace_release(struct trace *trace);

void trace_shuffle(struct trace *trace, struct rng *rng);

/* Keeps the first count sizes. */
void trace_truncate(struct trace *trace, uint32_t count);

/* The size of an object picked at random: sizes come as often as in the trace. */
static inline uint32_t trace_draw(const struct trace *trace, struct rng *rng)
{
	return trace->sizes[rng_below(rng, trace->count)];
}

#endif /* ZS_TEST_TRACE_H */
