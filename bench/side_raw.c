/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The codec and nothing else: the least that a compressed store could cost. Pages
 * are compressed straight to where they stay, in memory that was touched before. A
 * page's first copy lies packed behind the one before; later ones at a random place.
 */
#include <stdlib.h>
#include <string.h>

#include <lz4.h>
#include <zstd.h>

#include "rng.h"
#include "side.h"

struct place {
	uint64_t offset;
	uint32_t length; /* 0: not written yet; PAGE_BYTES: not compressed */
};

struct raw {
	bool zstd;
	int level;
	struct place *places; /* of each page */
	uint32_t *slots;      /* of each page: where later copies go, PAGE_BYTES each */
	char *memory;
	uint32_t pages;
	unsigned threads;
	uint64_t ends[MAX_THREADS]; /* of what is packed, by thread */
	ZSTD_CCtx *compressors[MAX_THREADS];
	ZSTD_DCtx *decompressors[MAX_THREADS];
};

static void *allocate(size_t count, size_t size)
{
	void *memory = malloc(count * size);

	if (!memory)
		stop("no memory");
	memset(memory, 1, count * size);
	return memory;
}

static void raw_clear(void *self)
{
	struct raw *raw = self;

	memset(raw->places, 0, raw->pages * sizeof(*raw->places));
	for (unsigned i = 0; i < raw->threads; i++)
		raw->ends[i] = (uint64_t)share_first(raw->pages, raw->threads, i) * PAGE_BYTES;
}

/* Threads have slots in their own share of the memory only. */
static void scatter(struct raw *raw)
{
	struct rng rng = rng_seeded(1);

	for (uint32_t i = 0; i < raw->pages; i++)
		raw->slots[i] = i;
	for (unsigned i = 0; i < raw->threads; i++) {
		uint32_t first = share_first(raw->pages, raw->threads, i);
		uint32_t end = share_first(raw->pages, raw->threads, i + 1);

		rng_shuffle_u32(&rng, raw->slots + first, end - first);
	}
}

static void *raw_open(const struct side_options *options)
{
	struct raw *raw = allocate(1, sizeof(*raw));

	*raw = (struct raw){ .zstd = !strcmp(options->algorithm, "zstd"),
			     .level = options->level,
			     .pages = options->pages,
			     .threads = options->threads };
	raw->places = allocate(raw->pages, sizeof(*raw->places));
	raw->slots = allocate(raw->pages, sizeof(*raw->slots));
	raw->memory = allocate(raw->pages, PAGE_BYTES);
	for (unsigned i = 0; i < raw->threads; i++) {
		raw->compressors[i] = ZSTD_createCCtx();
		raw->decompressors[i] = ZSTD_createDCtx();
		if (!raw->compressors[i] || !raw->decompressors[i])
			stop("no memory");
	}
	scatter(raw);
	raw_clear(raw);
	return raw;
}

static void raw_close(void *self)
{
	struct raw *raw = self;

	for (unsigned i = 0; i < raw->threads; i++) {
		ZSTD_freeCCtx(raw->compressors[i]);
		ZSTD_freeDCtx(raw->decompressors[i]);
	}
	free(raw->memory);
	free(raw->slots);
	free(raw->places);
	free(raw);
}

/* The length, or 0 if the page does not shrink. */
static uint32_t compress(struct raw *raw, unsigned thread, char *to, const void *bytes)
{
	size_t length;

	if (!raw->zstd)
		return (uint32_t)LZ4_compress_default(bytes, to, PAGE_BYTES, PAGE_BYTES - 1);
	length = ZSTD_compressCCtx(raw->compressors[thread], to, PAGE_BYTES - 1, bytes, PAGE_BYTES,
				   raw->level);
	return ZSTD_isError(length) ? 0 : (uint32_t)length;
}

static void raw_write(void *self, unsigned thread, uint32_t page, const void *bytes)
{
	struct raw *raw = self;
	struct place *place = &raw->places[page];
	bool first = place->length == 0;

	place->offset = first ? raw->ends[thread] : (uint64_t)raw->slots[page] * PAGE_BYTES;
	place->length = compress(raw, thread, raw->memory + place->offset, bytes);
	if (!place->length) {
		memcpy(raw->memory + place->offset, bytes, PAGE_BYTES);
		place->length = PAGE_BYTES;
	}
	if (first)
		raw->ends[thread] += place->length;
}

static void raw_read(void *self, unsigned thread, uint32_t page, void *bytes)
{
	struct raw *raw = self;
	const struct place *place = &raw->places[page];
	const char *from = raw->memory + place->offset;
	size_t length;

	if (place->length == PAGE_BYTES) {
		memcpy(bytes, from, PAGE_BYTES);
		return;
	}
	if (raw->zstd)
		length = ZSTD_decompressDCtx(raw->decompressors[thread], bytes, PAGE_BYTES, from,
					     place->length);
	else
		length = (size_t)LZ4_decompress_safe(from, bytes, (int)place->length, PAGE_BYTES);
	if (length != PAGE_BYTES)
		stop("the codec");
}

const struct side side_raw = {
	.name = "raw",
	.open = raw_open,
	.close = raw_close,
	.write = raw_write,
	.read = raw_read,
	.clear = raw_clear,
};
