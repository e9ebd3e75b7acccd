/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Reads or makes up the pages that the store is measured with.
 */
#define _POSIX_C_SOURCE 200809L

#include "pages.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"
#include "side.h"
#include "trace.h"

/* What LZ4 takes for a match and the literals before it, next to the literals. */
#define SEQUENCE_BYTES 3
#define MIN_MATCH      4
#define MIN_LITERALS   4
#define MAX_LITERALS   20

static bool is_same_filled(const unsigned char *page)
{
	return !memcmp(page, page + sizeof(uint64_t), PAGE_BYTES - sizeof(uint64_t));
}

static void read_pages(struct pages *pages, const char *path, uint32_t max)
{
	FILE *file = fopen(path, "rb");

	if (!file)
		stop(path);
	while (pages->count < max) {
		unsigned char *page = pages->bytes + (size_t)pages->count * PAGE_BYTES;

		if (fread(page, PAGE_BYTES, 1, file) != 1)
			break;
		if (!is_same_filled(page))
			pages->count++;
	}
	if (ferror(file))
		stop(path);
	fclose(file);
}

static void fill_random(unsigned char *to, uint32_t length, struct rng *rng)
{
	for (uint32_t i = 0; i < length; i++)
		to[i] = (unsigned char)rng_next(rng);
}

/* Literals and copies of what is before them, so many that about size bytes are left. */
static void make_page(unsigned char *page, uint32_t size, struct rng *rng)
{
	uint32_t at = MAX_LITERALS < size ? MAX_LITERALS : size;

	fill_random(page, at, rng);
	if (size >= PAGE_BYTES) {
		fill_random(page, PAGE_BYTES, rng);
		return;
	}
	while (at < PAGE_BYTES) {
		uint32_t literals = rng_between(rng, MIN_LITERALS, MAX_LITERALS);
		uint32_t cost = literals + SEQUENCE_BYTES;
		uint32_t match = cost * PAGE_BYTES / size - literals;
		uint32_t from = rng_below(rng, at);

		if (literals > PAGE_BYTES - at)
			literals = PAGE_BYTES - at;
		fill_random(page + at, literals, rng);
		at += literals;
		if (match < MIN_MATCH)
			match = MIN_MATCH;
		for (; match > 0 && at < PAGE_BYTES; match--)
			page[at++] = page[from++];
	}
}

static void make_pages(struct pages *pages, uint32_t max)
{
	struct rng rng = rng_seeded(1);
	struct trace trace;

	if (trace_load(&trace, NULL))
		stop("the trace");
	for (; pages->count < max; pages->count++)
		make_page(pages->bytes + (size_t)pages->count * PAGE_BYTES,
			  trace_draw(&trace, &rng), &rng);
	trace_release(&trace);
}

struct pages pages_get(const char *path, uint32_t max)
{
	struct pages pages = { .bytes = aligned_alloc(PAGE_BYTES, (size_t)max * PAGE_BYTES) };

	if (!pages.bytes)
		stop("no memory");
	if (path)
		read_pages(&pages, path, max);
	else
		make_pages(&pages, max);
	return pages;
}

void pages_release(struct pages *pages)
{
	free(pages->bytes);
}
