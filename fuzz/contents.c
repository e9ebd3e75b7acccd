/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
#include "contents.h"

#include <stdlib.h>
#include <string.h>
#include <zdict.h>

#include "rng.h"

static const char text[] =
	"a zspage is a run of pages cut into equal slots for one size class; a handle names an "
	"object for as long as it lives, wherever it moves; map pins it and gives its address; ";

/* The text again and again, from some byte of it on. */
static void fill_with_text(unsigned char *at, size_t size, size_t shift)
{
	while (size) {
		size_t piece = sizeof(text) - 1 - shift;

		if (piece > size)
			piece = size;
		memcpy(at, text + shift, piece);
		at += piece;
		size -= piece;
		shift = 0;
	}
}

/* Noise comes in runs, evenly spread. */
enum { RUN = 16 };

void contents_fill(void *block, size_t size, uint64_t key, size_t noise)
{
	struct rng rng = rng_seeded(key);
	unsigned char *at = block;
	size_t runs = noise / RUN, every = runs ? size / runs : size;

	fill_with_text(at, size, rng_below(&rng, sizeof(text) - 1));
	for (size_t from = 0; from < size && noise; from += every) {
		uint64_t words[RUN / 8] = { rng_next(&rng), rng_next(&rng) };
		size_t run = noise < RUN ? noise : RUN;

		memcpy(at + from, words, run < size - from ? run : size - from);
	}
}

enum { SAMPLES = 200, SAMPLE = 512, RAW = 3000, TRAINED = 2048 };

static size_t train(void *to, size_t room)
{
	static unsigned char samples[SAMPLES * SAMPLE];
	static size_t sizes[SAMPLES];

	for (size_t i = 0; i < SAMPLES; i++) {
		sizes[i] = SAMPLE;
		contents_fill(samples + i * SAMPLE, SAMPLE, i, 64);
	}
	size_t size = ZDICT_trainFromBuffer(to, room, samples, sizes, SAMPLES);

	return ZDICT_isError(size) ? 0 : size;
}

size_t contents_dictionary(enum dictionary kind, const void **bytes)
{
	static unsigned char raw[RAW], trained[TRAINED];
	static size_t trained_size;

	*bytes = NULL;
	if (kind == RAW_DICTIONARY) {
		contents_fill(raw, sizeof(raw), 7, 300);
		*bytes = raw;
		return sizeof(raw);
	}
	if (kind != TRAINED_DICTIONARY)
		return 0;
	if (!trained_size)
		trained_size = train(trained, sizeof(trained));
	*bytes = trained;
	return trained_size;
}
