/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Random order, the same wherever the same seed and number are given: the pool
 * and malloc are made to free the same objects in the same order.
 */
#ifndef SHUFFLE_H
#define SHUFFLE_H

#include <stdint.h>

void shuffle(uint32_t *items, uint32_t count, uint64_t seed);

#endif /* SHUFFLE_H */
