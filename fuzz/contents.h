/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* Blocks that compress to more or less, and dictionaries for them. */
#ifndef FUZZ_CONTENTS_H
#define FUZZ_CONTENTS_H

#include <stddef.h>
#include <stdint.h>

/*
 * So many bytes of noise, each of them followed by some of a text: noise is about what
 * a codec cannot make smaller. The same key gives the same bytes.
 */
void contents_fill(void *block, size_t size, uint64_t key, size_t noise);

enum dictionary { NO_DICTIONARY, RAW_DICTIONARY, TRAINED_DICTIONARY, DICTIONARIES };

/* Returns its size; 0 if there is none. */
size_t contents_dictionary(enum dictionary kind, const void **bytes);

#endif /* FUZZ_CONTENTS_H */
