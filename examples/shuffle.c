/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * A Fisher-Yates shuffle driven by splitmix64 (Steele, Lea, Flood: "Fast
 * splittable pseudorandom number generators", OOPSLA 2014).
 */
#include "shuffle.h"

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

void shuffle(uint32_t *items, uint32_t count, uint64_t seed)
{
	for (uint32_t left = count; left > 1; left--) {
		/* A 32-bit draw scaled to 0..left-1: the bias is below left in 2^32. */
		uint32_t pick = (uint32_t)((next_random(&seed) >> 32) * left >> 32);
		uint32_t item = items[pick];

		items[pick] = items[left - 1];
		items[left - 1] = item;
	}
}
