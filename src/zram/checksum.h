/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* The checksum of a stored object. The same on every machine. */
#ifndef ZRAM_CHECKSUM_H
#define ZRAM_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

uint32_t zram_checksum_baseline(const void *object, size_t length);
uint32_t zram_checksum_avx2(const void *object, size_t length);

/* Never 0, which stands for: none was made. */
static inline uint32_t zram_checksum(const void *object, size_t length)
{
#if ZRAM_AVX2
	if (__builtin_cpu_supports("avx2"))
		return zram_checksum_avx2(object, length);
#endif
	return zram_checksum_baseline(object, length);
}

#endif
