/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* Compiled once more for wider registers, under the name that CHECKSUM then is. */
#include "zram/checksum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#ifndef CHECKSUM
#define CHECKSUM zram_checksum_baseline
#endif

uint32_t CHECKSUM(const void *object, size_t length)
{
	uint32_t sum = (uint32_t)XXH3_64bits(object, length);

	return sum ? sum : 1;
}
