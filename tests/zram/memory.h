/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * This process' own memory, searched and changed behind everybody's back: how
 * stored bytes are found and damaged without a look into the store.
 */
#ifndef ZRAM_TEST_MEMORY_H
#define ZRAM_TEST_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes to look for. Kept inverted, or the search would find its own copy. */
struct needle {
	unsigned char inverted[65536];
	size_t size;
};

void needle_set(struct needle *needle, const void *bytes, size_t size);

/*
 * The addresses at which these bytes lie in private anonymous memory, at most
 * room of them. Returns how many there are. Mappings of more than 1 GiB are
 * left out: they are a sanitizer's.
 */
size_t memory_find(const struct needle *needle, uintptr_t *addresses, size_t room);

/* Inverts a bit; the memory may be such as must not be touched. */
void memory_flip(uintptr_t address, unsigned bit);

#endif /* ZRAM_TEST_MEMORY_H */
