/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The codec and nothing else: the least that a compressed store could cost whose bytes
 * lie where those of the store do. Compressed bytes lie by their length, as the store's
 * lie by size class: those of a length side by side in the order of their writing. What
 * is written again goes elsewhere. As with the store, pages are compressed into a buffer,
 * since where they go depends on what they come to; and memory is new when it is filled.
 */
#define _DEFAULT_SOURCE

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <lz4.h>
#include <zstd.h>

#include "side.h"

#define STEP    8 /* of length */
#define LENGTHS (PAGE_BYTES / STEP + 1)
#define AREAS   2
#define LINE    64               /* bytes of a cache line: no two counters are in one */
#define ROOM    (2 * PAGE_BYTES) /* more than any codec needs */

struct place {
	uint32_t length; /* PAGE_BYTES: not compressed */
	uint32_t writes;
	uint64_t offset;
};

struct thread {
	ZSTD_CCtx *compressor;
	ZSTD_DCtx *decompressor;
	char buffer[ROOM];
};

struct raw {
	bool zstd;
	int level;
	uint32_t pages;
	unsigned threads;
	struct place *places;    /* of each page */
	char *memory;            /* AREAS times area_bytes */
	uint64_t area_bytes;     /* all contents, compressed */
	uint64_t first[LENGTHS]; /* in an area, where those of a length begin */
	_Atomic uint64_t next[WRITES][LENGTHS][LINE / sizeof(uint64_t)]; /* the first of a line */
	struct thread thread[MAX_THREADS];
};

static uint32_t compress(struct raw *raw, struct thread *thread, const void *bytes)
{
	size_t length;

	if (raw->zstd)
		length = ZSTD_compressCCtx(thread->compressor, thread->buffer, ROOM, bytes,
					   PAGE_BYTES, raw->level);
	else
		length = (size_t)LZ4_compress_default(bytes, thread->buffer, PAGE_BYTES, ROOM);
	return length > 0 && length < PAGE_BYTES ? (uint32_t)length : PAGE_BYTES;
}

static uint32_t length_class(uint32_t length)
{
	return (length + STEP - 1) / STEP;
}

/* The n-th writing of all pages goes to area n modulo AREAS. */
static void raw_clear(void *self)
{
	struct raw *raw = self;

	memset(raw->places, 0, raw->pages * sizeof(*raw->places));
	if (madvise(raw->memory, raw->area_bytes, MADV_DONTNEED))
		stop("madvise");
	for (unsigned n = 0; n < WRITES; n++) {
		for (unsigned i = 0; i < LENGTHS; i++)
			atomic_store(&raw->next[n][i][0],
				     n % AREAS * raw->area_bytes + raw->first[i]);
	}
}

/* What there is of each length is known beforehand; a store would not know. */
static void lay_out(struct raw *raw, const unsigned char *contents)
{
	uint64_t bytes[LENGTHS] = { 0 };

	for (uint32_t i = 0; i < raw->pages; i++) {
		uint32_t length = compress(raw, &raw->thread[0], contents + (size_t)i * PAGE_BYTES);

		bytes[length_class(length)] += length_class(length) * STEP;
	}
	for (unsigned i = 0; i < LENGTHS; i++) {
		raw->first[i] = raw->area_bytes;
		raw->area_bytes += bytes[i];
	}
	raw->area_bytes = (raw->area_bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

static void *raw_open(const struct side_options *options)
{
	struct raw *raw = calloc(1, sizeof(*raw));

	if (!raw)
		stop("no memory");
	raw->zstd = !strcmp(options->algorithm, "zstd");
	raw->level = options->level;
	raw->pages = options->pages;
	raw->threads = options->threads;
	for (unsigned i = 0; i < raw->threads; i++) {
		raw->thread[i].compressor = ZSTD_createCCtx();
		raw->thread[i].decompressor = ZSTD_createDCtx();
		if (!raw->thread[i].compressor || !raw->thread[i].decompressor)
			stop("no memory");
	}
	lay_out(raw, options->contents);
	raw->places = malloc(raw->pages * sizeof(*raw->places));
	raw->memory = mmap(NULL, AREAS * raw->area_bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!raw->places || raw->memory == MAP_FAILED)
		stop("no memory");
	memset(raw->memory, 1, AREAS * raw->area_bytes);
	raw_clear(raw);
	return raw;
}

static void raw_close(void *self)
{
	struct raw *raw = self;

	for (unsigned i = 0; i < raw->threads; i++) {
		ZSTD_freeCCtx(raw->thread[i].compressor);
		ZSTD_freeDCtx(raw->thread[i].decompressor);
	}
	munmap(raw->memory, AREAS * raw->area_bytes);
	free(raw->places);
	free(raw);
}

static void raw_write(void *self, unsigned thread, uint32_t page, const void *bytes)
{
	struct raw *raw = self;
	struct place *place = &raw->places[page];
	uint32_t length = compress(raw, &raw->thread[thread], bytes);
	uint32_t class = length_class(length);

	place->offset = atomic_fetch_add_explicit(&raw->next[place->writes][class][0], class * STEP,
						  memory_order_relaxed);
	place->length = length;
	place->writes++;
	memcpy(raw->memory + place->offset,
	       length == PAGE_BYTES ? bytes : raw->thread[thread].buffer, length);
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
		length = ZSTD_decompressDCtx(raw->thread[thread].decompressor, bytes, PAGE_BYTES,
					     from, place->length);
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
