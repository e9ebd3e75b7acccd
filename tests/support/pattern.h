/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Contents that can be checked later without a copy: every byte follows from a
 * key, so an object that was lost, cut or swapped with another is noticed.
 */
#ifndef ZS_TEST_PATTERN_H
#define ZS_TEST_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "rng.h"

static inline uint64_t pattern_word(uint64_t key, size_t index)
{
	return key + index * UINT64_C(0x9e3779b97f4a7c15);
}

static inline void pattern_fill(void *memory, size_t size, uint64_t key)
{
	unsigned char *at = memory;
	size_t words = size / sizeof(uint64_t);
	uint64_t word;

	key = rng_mix(key);
	for (size_t i = 0; i < words; i++) {
		word = pattern_word(key, i);
		memcpy(at + i * sizeof(word), &word, sizeof(word));
	}
	word = pattern_word(key, words);
	memcpy(at + words * sizeof(word), &word, size % sizeof(word));
}

static inline bool pattern_holds(const void *memory, size_t size, uint64_t key)
{
	const unsigned char *at = memory;
	size_t words = size / sizeof(uint64_t);
	uint64_t difference = 0;
	uint64_t word;
	uint64_t found;

	key = rng_mix(key);
	for (size_t i = 0; i < words; i++) {
		memcpy(&found, at + i * sizeof(found), sizeof(found));
		difference |= found ^ pattern_word(key, i);
	}
	word = pattern_word(key, words);
	return difference == 0 && !memcmp(at + words * sizeof(word), &word, size % sizeof(word));
}

#endif /* ZS_TEST_PATTERN_H */
