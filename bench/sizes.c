/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Makes a trace of what it reads: cuts it into pages of 4 KiB, compresses each with LZ4
 * and prints how many came to which size, as tests/data has it. Pages filled with one
 * word are left out: a store keeps no object for them.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <lz4.h>

#define PAGE_BYTES 4096

static uint32_t counts[PAGE_BYTES + 1];

static uint32_t compressed_size(const char *page)
{
	char packed[LZ4_COMPRESSBOUND(PAGE_BYTES)];
	int size = LZ4_compress_default(page, packed, PAGE_BYTES, sizeof(packed));

	return size > 0 && size < PAGE_BYTES ? (uint32_t)size : PAGE_BYTES;
}

int main(void)
{
	static char page[PAGE_BYTES];

	while (fread(page, PAGE_BYTES, 1, stdin) == 1) {
		if (memcmp(page, page + sizeof(uint64_t), PAGE_BYTES - sizeof(uint64_t)) != 0)
			counts[compressed_size(page)]++;
	}
	for (uint32_t size = 1; size <= PAGE_BYTES; size++) {
		if (counts[size])
			printf("%" PRIu32 "\t%" PRIu32 "\n", size, counts[size]);
	}
	return ferror(stdin) ? 1 : 0;
}
