/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Test: every single bit of what is stored of a block is flipped, one after the other,
 * and each time the block reads as EIO or as exactly what was written. At least 1,000
 * objects of all algorithms. Without checksums the codec alone decides: those results are
 * counted, and none is written out of bounds.
 * Usage: flips [--long]: larger objects, more of them.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zram.h>

#include "contents.h"
#include "guarded.h"
#include "zram/store.h"

static const struct kind {
	const char *algorithm;
	size_t block_size;
	enum dictionary dictionary;
	unsigned objects;
	size_t noise; /* at most: about what an object has of bytes */
} quick[] = {
	{ "lz4", 4096, NO_DICTIONARY, 420, 700 },
	{ "lz4", 4096, RAW_DICTIONARY, 60, 160 },
	{ "lz4", 16384, NO_DICTIONARY, 40, 100 },
	{ "lz4", 65536, NO_DICTIONARY, 10, 100 },
	{ "lz4hc", 4096, NO_DICTIONARY, 100, 700 },
	{ "lz4hc", 8192, TRAINED_DICTIONARY, 40, 160 },
	{ "zstd", 4096, NO_DICTIONARY, 150, 700 },
	{ "zstd", 4096, TRAINED_DICTIONARY, 60, 700 },
	{ "zstd", 32768, NO_DICTIONARY, 20, 160 },
	{ "lzo", 4096, NO_DICTIONARY, 90, 700 },
	{ "none", 4096, NO_DICTIONARY, 10, 4096 },
}, thorough[] = {
	{ "lz4", 4096, NO_DICTIONARY, 1000, 4096 },
	{ "lz4", 4096, TRAINED_DICTIONARY, 200, 3000 },
	{ "lz4", 65536, NO_DICTIONARY, 20, 30000 },
	{ "lz4hc", 4096, NO_DICTIONARY, 400, 3000 },
	{ "lz4hc", 32768, RAW_DICTIONARY, 40, 20000 },
	{ "zstd", 4096, NO_DICTIONARY, 600, 3000 },
	{ "zstd", 4096, TRAINED_DICTIONARY, 200, 3000 },
	{ "zstd", 65536, RAW_DICTIONARY, 20, 30000 },
	{ "lzo", 4096, NO_DICTIONARY, 400, 3000 },
	{ "lzo", 16384, NO_DICTIONARY, 40, 8000 },
	{ "none", 4096, NO_DICTIONARY, 40, 4096 },
	{ "none", 65536, NO_DICTIONARY, 4, 65536 },
};

struct result {
	unsigned long objects, flips, refused, exact, otherwise;
};

struct bench {
	const struct kind *kind;
	struct zram *zram;
	struct guarded read;
	unsigned char *original;
};

_Noreturn void fuzz_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: not true: %s\n", file, line, what);
	abort();
}

static bool has_algorithm(const char *name)
{
	for (const char *const *known = zram_algorithms(); *known; known++) {
		if (strcmp(*known, name) == 0)
			return true;
	}
	return false;
}

/* --- one object ------------------------------------------------------------- */

static void note(struct bench *bench, uint64_t block, struct result *result)
{
	size_t size = bench->kind->block_size;
	unsigned char *read = guarded_at(&bench->read, size, true);
	ssize_t done = zram_pread(bench->zram, read, size, block * size);

	result->flips++;
	if (done < 0) {
		require(errno == EIO);
		result->refused++;
	} else if (done == (ssize_t)size && memcmp(read, bench->original, size) == 0) {
		result->exact++;
	} else {
		result->otherwise++;
	}
}

/* Every step-th bit. */
static void flip_all(struct bench *bench, uint64_t block, size_t step, struct result *result)
{
	struct zs_pool *pool = bench->zram->pool;
	size_t size = bench->kind->block_size;
	struct place place;

	require(table_find(bench->zram->table, block, &place));
	unsigned code = slot_code(place.slot);
	require(code != SLOT_EMPTY && code != SLOT_SAME);
	size_t length = code == SLOT_RAW ? size : (size_t)code * bench->zram->unit;
	zs_handle handle = (zs_handle)slot_handle(&place);
	unsigned char *object = zs_map_object(pool, handle, ZS_MM_RW);
	require(object);
	for (size_t bit = block % step; bit < length * 8; bit += step) {
		object[bit / 8] ^= (unsigned char)(1u << bit % 8);
		note(bench, block, result);
		object[bit / 8] ^= (unsigned char)(1u << bit % 8);
	}
	zs_unmap_object(pool, handle);
	struct result healed = { 0 };
	note(bench, block, &healed);
	require(healed.exact == 1);
	result->objects++;
}

static void fill(const struct bench *bench, uint64_t block)
{
	size_t size = bench->kind->block_size, noise = bench->kind->noise;

	/* Of all sizes up to the largest. */
	contents_fill(bench->original, size, block, 16 + (size_t)block * 37 % noise);
}

static void try_kind(const struct kind *kind, bool checksum, struct result *result)
{
	struct zram_options options = { .size = (uint64_t)kind->objects * kind->block_size,
					.block_size = kind->block_size,
					.algorithm = kind->algorithm,
					.checksum = checksum ? ZRAM_CHECKSUM_ON : ZRAM_CHECKSUM_OFF,
					.max_comp_streams = 1 };
	struct bench bench = { .kind = kind, .read = guarded_make(kind->block_size) };
	size_t size = kind->block_size;

	options.dictionary_size = contents_dictionary(kind->dictionary, &options.dictionary);
	bench.zram = zram_create(&options);
	bench.original = malloc(size);
	require(bench.zram && bench.original);
	for (uint64_t block = 0; block < kind->objects; block++) {
		fill(&bench, block);
		require(zram_pwrite(bench.zram, bench.original, size, block * size) ==
			(ssize_t)size);
	}
	for (uint64_t block = 0; block < kind->objects; block++) {
		fill(&bench, block);
		flip_all(&bench, block, checksum ? 1 : 29, result);
	}
	require(zs_check(bench.zram->pool, NULL, NULL) == 0);
	zram_destroy(bench.zram);
	free(bench.original);
	guarded_free(&bench.read);
}

/* --- all of them ------------------------------------------------------------- */

static void print(const char *what, const struct kind *kind, const struct result *result)
{
	static const char *const dictionaries[] = { "", " raw dict", " trained dict" };

	printf("%-12s %-5s %5zu%-13s %6lu objects %9lu flips %9lu EIO %7lu exact %6lu otherwise\n",
	       what, kind->algorithm, kind->block_size, dictionaries[kind->dictionary],
	       result->objects, result->flips, result->refused, result->exact, result->otherwise);
}

static void add(struct result *sum, const struct result *result)
{
	sum->objects += result->objects;
	sum->flips += result->flips;
	sum->refused += result->refused;
	sum->exact += result->exact;
	sum->otherwise += result->otherwise;
}

static struct result try_all(const struct kind *kinds, size_t count, bool checksum)
{
	struct result sum = { 0 };

	for (size_t i = 0; i < count; i++) {
		struct result result = { 0 };

		if (!has_algorithm(kinds[i].algorithm))
			continue;
		try_kind(&kinds[i], checksum, &result);
		print(checksum ? "checksum" : "no checksum", &kinds[i], &result);
		add(&sum, &result);
	}
	return sum;
}

int main(int argc, char **argv)
{
	bool whole = argc > 1 && strcmp(argv[1], "--long") == 0;
	const struct kind *kinds = whole ? thorough : quick;
	size_t count = whole ? COUNT_OF(thorough) : COUNT_OF(quick);
	struct result with = try_all(kinds, count, true), without = try_all(kinds, count, false);

	printf("with checksum: %lu objects, every bit of them flipped: %lu flips, %lu EIO, %lu exact, "
	       "%lu otherwise\n",
	       with.objects, with.flips, with.refused, with.exact, with.otherwise);
	printf("without: %lu objects, one bit in 29: %lu flips, %lu EIO, %lu exact, %lu otherwise\n",
	       without.objects, without.flips, without.refused, without.exact, without.otherwise);
	/* Without lzo there are somewhat fewer. */
	return with.otherwise == 0 && with.objects >= 900 && with.refused && without.flips ? 0 : 1;
}
