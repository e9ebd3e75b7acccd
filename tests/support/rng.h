/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Random numbers that are the same on every machine and in every run:
 * xoshiro256** seeded through splitmix64 (Blackman and Vigna,
 * https://prng.di.unimi.it/). Not for secrets.
 */
#ifndef ZS_TEST_RNG_H
#define ZS_TEST_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng {
	uint64_t state[4]; /* never all zero */
};

/* One step of splitmix64: also a good mixer for hashing a number. */
static inline uint64_t rng_mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static inline struct rng rng_seeded(uint64_t seed)
{
	struct rng rng;

	for (size_t i = 0; i < 4; i++)
		rng.state[i] = rng_mix(seed + i * UINT64_C(0x9e3779b97f4a7c15));
	return rng;
}

static inline uint64_t rng_rotate(uint64_t x, unsigned bits)
{
	return (x << bits) | (x >> (64 - bits));
}

static inline uint64_t rng_next(struct rng *rng)
{
	uint64_t *s = rng->state;
	uint64_t result = rng_rotate(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rng_rotate(s[3], 45);
	return result;
}

/* 0 to bound - 1; bound at least 1. Uneven by less than bound / 2^32. */
static inline uint32_t rng_below(struct rng *rng, uint32_t bound)
{
	return (uint32_t)(((rng_next(rng) >> 32) * bound) >> 32);
}

/* min to max, both included. */
static inline uint32_t rng_between(struct rng *rng, uint32_t min, uint32_t max)
{
	return min + rng_below(rng, max - min + 1);
}

static inline void rng_shuffle_u32(struct rng *rng, uint32_t *values, size_t count)
{
	for (size_t left = count; left > 1; left--) {
		size_t pick = rng_below(rng, (uint32_t)left);
		uint32_t last = values[left - 1];

		values[left - 1] = values[pick];
		values[pick] = last;
	}
}

#endif /* ZS_TEST_RNG_H */
