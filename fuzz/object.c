/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Fuzzer: hostile compressed objects. What is stored of a block is changed behind the
 * store's back: bytes of it, or all of it and its length, for all algorithms, block sizes
 * and dictionaries. With checksums the block reads as EIO or as what was
 * written; without as EIO or as anything, but nothing is read or written
 * out of bounds, and no other block suffers.
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

enum { ALGORITHMS = 8, BLOCK_SIZES = 5, VICTIM = 1, BLOCKS = 3 };

/* A store of each kind, kept: what an object did to a codec's context would be seen later. */
struct bench {
	struct zram *zram;
	size_t block_size;
	unsigned char *contents[BLOCKS]; /* what is written */
	struct codec codec;              /* of the same kind, to be called directly */
	void *context;
};

static struct bench benches[ALGORITHMS][BLOCK_SIZES][DICTIONARIES];
static struct guarded from, to;
static unsigned char original[ZRAM_MAX_BLOCK_SIZE];

static struct {
	unsigned long objects, refused, exact, otherwise;
} tried;

bool fuzz_summary(void)
{
	printf("%lu objects changed: %lu read as EIO, %lu as they were, %lu otherwise (without "
	       "checksum)\n",
	       tried.objects, tried.refused, tried.exact, tried.otherwise);
	return tried.objects && tried.refused;
}

/* --- stores ---------------------------------------------------------------- */

/* What is read of the dictionary has bounds as well. */
static void guard_dictionary(struct codec *codec)
{
	struct guarded copy;

	if (!codec->dictionary)
		return;
	copy = guarded_make(codec->dictionary_size);
	codec->ops->unprepare(codec);
	unsigned char *at = guarded_at(&copy, codec->dictionary_size, true);
	memcpy(at, codec->dictionary, codec->dictionary_size);
	free(codec->dictionary);
	codec->dictionary = at;
	codec->shared = NULL;
	require(codec->ops->prepare(codec) == 0);
}

static void write_block(struct bench *bench, uint64_t block, const void *bytes)
{
	size_t size = bench->block_size;

	require(zram_pwrite(bench->zram, bytes, size, block * size) == (ssize_t)size);
}

static void require_block(struct bench *bench, uint64_t block, const void *bytes)
{
	size_t size = bench->block_size;
	unsigned char *read = guarded_at(&to, size, true);

	memset(read, 0xEE, size);
	require(zram_pread(bench->zram, read, size, block * size) == (ssize_t)size);
	require(memcmp(read, bytes, size) == 0);
}

static void bench_open(struct bench *bench, const char *algorithm, enum dictionary kind)
{
	struct zram_options options = { .size = BLOCKS * bench->block_size,
					.block_size = bench->block_size,
					.algorithm = algorithm,
					.max_comp_streams = 1 };
	struct codec_options codec = { .algorithm = algorithm, .block_size = bench->block_size };

	options.dictionary_size = contents_dictionary(kind, &options.dictionary);
	codec.dictionary = options.dictionary;
	codec.dictionary_size = options.dictionary_size;
	bench->zram = zram_create(&options);
	require(bench->zram);
	require(codec_open(&bench->codec, &codec) == 0);
	guard_dictionary(&bench->codec);
	if (bench->codec.ops->context_create) {
		bench->context = bench->codec.ops->context_create(&bench->codec);
		require(bench->context);
	}
	for (uint64_t block = 0; block < BLOCKS; block++) {
		bench->contents[block] = malloc(bench->block_size);
		require(bench->contents[block]);
		contents_fill(bench->contents[block], bench->block_size, block,
			      bench->block_size / 4);
		write_block(bench, block, bench->contents[block]);
	}
}

static struct bench *choose_bench(struct input *input)
{
	const char *const *names = zram_algorithms();
	unsigned count = 0;

	while (names[count])
		count++;
	require(count <= ALGORITHMS);
	unsigned algorithm = input_below(input, count), size = input_below(input, BLOCK_SIZES);
	enum dictionary kind = (enum dictionary)input_below(input, DICTIONARIES);
	const char *name = names[algorithm];
	if (strcmp(name, "none") == 0 || strcmp(name, "lzo") == 0)
		kind = NO_DICTIONARY;
	struct bench *bench = &benches[algorithm][size][kind];
	bench->block_size = (size_t)4096 << size;
	if (!bench->zram)
		bench_open(bench, name, kind);
	return bench;
}

/* --- damage ---------------------------------------------------------------- */

struct victim {
	struct place place;
	unsigned code; /* as it was */
	size_t length; /* of the object now */
	bool checksum;
	bool replaced; /* the slot's length was changed too */
};

static size_t victim_length(const struct bench *bench, unsigned code)
{
	return code == SLOT_RAW ? bench->block_size : (size_t)code * bench->zram->unit;
}

/* Bytes here and there. */
static void scratch(struct input *input, unsigned char *object, size_t length)
{
	do {
		size_t at = input_below(input, 65536) % length;

		object[at] ^= (unsigned char)(1 + input_below(input, 255));
	} while (input->left);
}

/* The input is the object from some place on. */
static void overwrite(struct input *input, unsigned char *object, size_t length)
{
	size_t at = input_byte(input) % length, count = length - at;
	const uint8_t *bytes = input_bytes(input, &count);

	memcpy(object + at, bytes, count);
}

/* The input is the object, and no longer than the old one. Mostly the padding is right. */
static void replace(struct bench *bench, struct input *input, struct victim *victim,
		    unsigned char *object)
{
	unsigned unit = bench->zram->unit;
	bool padded = unit > 1 && input_byte(input) % 8;
	size_t count = input->left, length = (count + unit) / unit * unit;

	if (unit == 1)
		length = count ? count : 1;
	if (victim->code == SLOT_RAW || length > victim->length)
		length = victim->length;
	if (count > length)
		count = length;
	const uint8_t *bytes = input_bytes(input, &count);
	memcpy(object, bytes, count);
	if (padded && count < length)
		object[length - 1] = (unsigned char)(length - count);
	victim->length = length;
	if (victim->code != SLOT_RAW)
		slot_unlock_write(victim->place.slot, (unsigned)(length / unit));
	victim->replaced = true;
}

static void change(struct bench *bench, struct input *input, struct victim *victim)
{
	struct zs_pool *pool = bench->zram->pool;
	zs_handle handle = (zs_handle)slot_handle(&victim->place);
	unsigned char *object = zs_map_object(pool, handle, ZS_MM_RW);

	require(object);
	switch (input_below(input, 3)) {
	case 0:
		scratch(input, object, victim->length);
		break;
	case 1:
		overwrite(input, object, victim->length);
		break;
	default:
		replace(bench, input, victim, object);
		break;
	}
	zs_unmap_object(pool, handle);
}

/* --- what comes of it ------------------------------------------------------- */

/* Returns whether the block could be read. */
static bool read_victim(struct bench *bench, const struct victim *victim, bool at_end)
{
	size_t size = bench->block_size;
	unsigned char *read = guarded_at(&to, size, at_end);
	ssize_t count;

	memset(read, 0xA5, size);
	errno = 0;
	count = zram_pread(bench->zram, read, size, VICTIM * size);
	if (count < 0) {
		require(count == -1 && errno == EIO);
		return false;
	}
	require(count == (ssize_t)size);
	if (victim->checksum)
		require(memcmp(read, original, size) == 0);
	return true;
}

static void count_result(const struct bench *bench, bool readable)
{
	tried.objects++;
	if (!readable)
		tried.refused++;
	else if (memcmp(guarded_at(&to, bench->block_size, true), original, bench->block_size) == 0)
		tried.exact++;
	else
		tried.otherwise++;
}

/* The codec alone, every byte around it out of reach. */
static void decompress_directly(struct bench *bench, const struct victim *victim, bool at_end)
{
	zs_handle handle = (zs_handle)slot_handle(&victim->place);
	const unsigned char *object;
	size_t length = victim->length;

	if (victim->code == SLOT_RAW || length > bench->block_size)
		return;
	object = zs_map_object(bench->zram->pool, handle, ZS_MM_RO);
	require(object);
	if (bench->zram->unit > 1 && object[length - 1] < length)
		length -= object[length - 1];
	unsigned char *copy = guarded_at(&from, length, at_end);
	memcpy(copy, object, length);
	zs_unmap_object(bench->zram->pool, handle);
	bench->codec.ops->decompress(&bench->codec, bench->context, copy, length,
				     guarded_at(&to, bench->block_size, !at_end));
}

static void read_part(struct bench *bench, const struct victim *victim, struct input *input)
{
	size_t size = bench->block_size, at = input_below(input, 65536) % size;
	size_t count = 1 + input_below(input, 65536) % (size - at);
	unsigned char *read = guarded_at(&to, count, true);
	ssize_t done = zram_pread(bench->zram, read, count, VICTIM * size + at);

	if (done < 0)
		require(errno == EIO);
	else if (victim->checksum)
		require(done == (ssize_t)count && memcmp(read, original + at, count) == 0);
}

static void write_part(struct bench *bench, const struct victim *victim)
{
	size_t size = bench->block_size;
	ssize_t done;

	errno = 0;
	done = zram_pwrite(bench->zram, original, 100, VICTIM * size + 50);
	if (done < 0) {
		require(errno == EIO);
		require(!read_victim(bench, victim, true));
		return;
	}
	require(done == 100);
	memmove(original + 50, original, 100);
	if (victim->checksum)
		require_block(bench, VICTIM, original);
}

static void heal(struct bench *bench, bool discard)
{
	size_t size = bench->block_size;

	if (discard) {
		require(zram_discard(bench->zram, VICTIM * size, size) == 0);
		memset(original, 0, size);
		require_block(bench, VICTIM, original);
	}
	write_block(bench, VICTIM, bench->contents[VICTIM]);
	for (uint64_t block = 0; block < BLOCKS; block++)
		require_block(bench, block, bench->contents[block]);
	require(zs_check(bench->zram->pool, NULL, NULL) == 0);
}

/* --- one object ------------------------------------------------------------- */

/* Writes a block that becomes an object of about as many bytes as are left of the input. */
static void make_victim(struct bench *bench, struct input *input, struct victim *victim)
{
	size_t size = bench->block_size;
	uint64_t key = input_byte(input);
	size_t noise = input_below(input, 4) ? input->left : input_below(input, 65536) % size;

	*victim = (struct victim){ .checksum = input_below(input, 2) };
	require(zram_set(bench->zram, "checksum", victim->checksum ? "1" : "0") == 0);
	contents_fill(original, size, key, noise < size ? noise : size);
	require(zram_discard(bench->zram, VICTIM * size, size) == 0);
	write_block(bench, VICTIM, original);
	require(table_find(bench->zram->table, VICTIM, &victim->place));
	victim->code = slot_code(victim->place.slot);
	require(victim->code != SLOT_EMPTY && victim->code != SLOT_SAME);
	victim->length = victim_length(bench, victim->code);
}

void fuzz_one(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct victim victim;

	if (!from.start) {
		from = guarded_make(ZRAM_MAX_BLOCK_SIZE);
		to = guarded_make(ZRAM_MAX_BLOCK_SIZE);
	}
	struct bench *bench = choose_bench(&input);
	unsigned after = input_byte(&input), part = input_byte(&input) << 8 | input_byte(&input);
	make_victim(bench, &input, &victim);
	change(bench, &input, &victim);
	bool readable = read_victim(bench, &victim, true);
	count_result(bench, readable);
	require(read_victim(bench, &victim, false) == readable);
	uint8_t bytes[2] = { (uint8_t)(part >> 8), (uint8_t)part };
	read_part(bench, &victim, &(struct input){ bytes, 2 });
	decompress_directly(bench, &victim, true);
	decompress_directly(bench, &victim, false);
	if (victim.replaced)
		slot_unlock_write(victim.place.slot, victim.code);
	else if (after & 2)
		write_part(bench, &victim);
	heal(bench, after & 1);
}
