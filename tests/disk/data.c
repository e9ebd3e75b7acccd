/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Writes test data to standard output: data BYTES SEED. Pages of every kind that a store treats
 * in its own way, mixed: zeros, one word repeated, noise, and noise and repetition in various
 * shares. The same for the same seed; a longer run begins like a shorter one.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"

#define PAGE_WORDS 512

static void fill_page(struct rng *rng, uint64_t page[PAGE_WORDS])
{
	uint64_t word = rng_next(rng);
	uint32_t kind = rng_below(rng, 16);
	/* How many words of sixteen are noise. */
	uint32_t noise = kind < 2 ? 0 : kind < 4 ? 16 : kind - 2;

	if (kind == 0)
		word = 0;
	for (size_t i = 0; i < PAGE_WORDS; i++)
		page[i] = rng_below(rng, 16) < noise ? rng_next(rng) : word;
}

int main(int argc, char **argv)
{
	uint64_t page[PAGE_WORDS];

	if (argc != 3) {
		fprintf(stderr, "usage: %s BYTES SEED\n", argv[0]);
		return 2;
	}
	uint64_t left = strtoull(argv[1], NULL, 0);
	struct rng rng = rng_seeded(strtoull(argv[2], NULL, 0));

	while (left) {
		size_t bytes = left < sizeof(page) ? (size_t)left : sizeof(page);

		fill_page(&rng, page);
		if (fwrite(page, 1, bytes, stdout) != bytes)
			return 1;
		left -= bytes;
	}
	return fflush(stdout) ? 1 : 0;
}
