/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What the operating system says: the time, and how much memory this process
 * holds. Nothing here asks the allocator.
 */
#ifndef MEASURE_H
#define MEASURE_H

#include <stddef.h>
#include <stdint.h>

/* Nanoseconds of a clock that only goes forward. */
uint64_t now_ns(void);

/* Bytes of anonymous memory that this process holds, in RAM or swapped; 0 if it cannot be told. */
uint64_t resident_bytes(void);

/*
 * Zeroed memory whose pages are all real at once, so that writing to it later
 * does not change resident_bytes(). NULL if memory is short.
 */
void *resident_array(size_t bytes);
void resident_array_free(void *array, size_t bytes);

#endif /* MEASURE_H */
