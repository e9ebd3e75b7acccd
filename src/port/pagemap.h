/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * A bitmap of numbered things (pages, ranges) of which the lowest free one is
 * handed out first, so that what is in use stays together at the low end.
 * The words belong to the caller and start out zero.
 */
#ifndef ZS_PAGEMAP_H
#define ZS_PAGEMAP_H

#include <stdint.h>

struct pagemap {
	uint32_t *words;
	uint32_t count; /* numbers are below this */
	uint32_t hint;  /* no number below hint * 32 is free */
	uint32_t high;  /* numbers from here on were never taken */
};

/* Takes the lowest free number; UINT32_MAX if there is none. */
static inline uint32_t pagemap_take(struct pagemap *map)
{
	uint32_t words = (map->count + 31) / 32;

	for (uint32_t w = map->hint; w < words; w++) {
		map->hint = w;
		if (map->words[w] == UINT32_MAX)
			continue;
		uint32_t number = w * 32 + (uint32_t)__builtin_ctz(~map->words[w]);
		if (number >= map->count)
			return UINT32_MAX;
		map->words[w] |= UINT32_C(1) << (number % 32);
		if (number >= map->high)
			map->high = number + 1;
		return number;
	}
	return UINT32_MAX;
}

static inline void pagemap_release(struct pagemap *map, uint32_t number)
{
	map->words[number / 32] &= ~(UINT32_C(1) << (number % 32));
	if (number / 32 < map->hint)
		map->hint = number / 32;
}

#endif /* ZS_PAGEMAP_H */
