/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * zstd. The size of a block is known and a checksum kept elsewhere, so frames are
 * without the four magic bytes, the size, the checksum and the number of the
 * dictionary. The format without magic is in what zstd calls its static part; the
 * parameter has been there since 1.3.3, and is an int that the shared library takes.
 */
#define ZSTD_STATIC_LINKING_ONLY
#include "zram/codec.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

struct zstd_dictionary {
	ZSTD_CDict *compress;
	ZSTD_DDict *decompress;
};

struct zstd_context {
	ZSTD_CCtx *compress;
	ZSTD_DCtx *decompress;
};

static void zstd_unprepare(struct codec *codec)
{
	struct zstd_dictionary *dictionary = codec->shared;

	if (!dictionary)
		return;
	ZSTD_freeCDict(dictionary->compress);
	ZSTD_freeDDict(dictionary->decompress);
	free(dictionary);
}

/* By this zstd tells a trained dictionary; little-endian. */
static bool is_trained(const struct codec *codec)
{
	static const unsigned char magic[] = { 0x37, 0xa4, 0x30, 0xec };

	_Static_assert(ZSTD_MAGIC_DICTIONARY == 0xec30a437, "the same");
	return codec->dictionary_size >= 8 && memcmp(codec->dictionary, magic, sizeof(magic)) == 0;
}

/*
 * Only a trained dictionary can be broken: anything else is raw. A ZSTD_DDict that cannot be
 * made does not say why: memory, or the dictionary. This takes no memory but the context.
 */
static int check(const struct codec *codec)
{
	ZSTD_DCtx *trial;
	size_t result;

	if (!is_trained(codec))
		return 0;
	trial = ZSTD_createDCtx();
	if (!trial)
		return ENOMEM;
	result = ZSTD_decompressBegin_usingDict(trial, codec->dictionary, codec->dictionary_size);
	ZSTD_freeDCtx(trial);
	return ZSTD_isError(result) ? EINVAL : 0;
}

static int zstd_prepare(struct codec *codec)
{
	struct zstd_dictionary *dictionary;
	int error;

	if (!codec->dictionary)
		return 0;
	error = check(codec);
	if (error)
		return error;
	dictionary = calloc(1, sizeof(*dictionary));
	if (!dictionary)
		return ENOMEM;
	codec->shared = dictionary;
	dictionary->compress = ZSTD_createCDict_byReference(codec->dictionary,
							    codec->dictionary_size, codec->level);
	dictionary->decompress =
		ZSTD_createDDict_byReference(codec->dictionary, codec->dictionary_size);
	if (!dictionary->compress || !dictionary->decompress) {
		zstd_unprepare(codec);
		return ENOMEM;
	}
	codec->shared_bytes =
		ZSTD_sizeof_CDict(dictionary->compress) + ZSTD_sizeof_DDict(dictionary->decompress);
	return 0;
}

static void zstd_context_destroy(void *context)
{
	struct zstd_context *c = context;

	ZSTD_freeCCtx(c->compress);
	ZSTD_freeDCtx(c->decompress);
	free(c);
}

static unsigned log2_of(size_t block_size)
{
	return (unsigned)(sizeof(long) * 8 - 1) - (unsigned)__builtin_clzl(block_size);
}

static bool set_up(const struct codec *codec, struct zstd_context *c)
{
	const struct zstd_dictionary *dictionary = codec->shared;
	const struct {
		ZSTD_cParameter parameter;
		int value;
	} settings[] = {
		{ ZSTD_c_compressionLevel, codec->level },
		{ ZSTD_c_contentSizeFlag, 0 },
		{ ZSTD_c_checksumFlag, 0 },
		{ ZSTD_c_dictIDFlag, 0 },
		{ ZSTD_c_format, ZSTD_f_zstd1_magicless },
		/* Nothing lies further back than a block's own begin, or in the dictionary. */
		{ ZSTD_c_windowLog, dictionary ? 0 : (int)log2_of(codec->block_size) },
	};

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (ZSTD_isError(ZSTD_CCtx_setParameter(c->compress, settings[i].parameter,
							settings[i].value)))
			return false;
	}
	if (ZSTD_isError(
		    ZSTD_DCtx_setParameter(c->decompress, ZSTD_d_format, ZSTD_f_zstd1_magicless)))
		return false;
	return !dictionary ||
	       (!ZSTD_isError(ZSTD_CCtx_refCDict(c->compress, dictionary->compress)) &&
		!ZSTD_isError(ZSTD_DCtx_refDDict(c->decompress, dictionary->decompress)));
}

static void *zstd_context_create(const struct codec *codec)
{
	struct zstd_context *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->compress = ZSTD_createCCtx();
	c->decompress = ZSTD_createDCtx();
	if (!c->compress || !c->decompress || !set_up(codec, c)) {
		zstd_context_destroy(c);
		return NULL;
	}
	return c;
}

static size_t zstd_context_bytes(const void *context)
{
	const struct zstd_context *c = context;

	return sizeof(*c) + ZSTD_sizeof_CCtx(c->compress) + ZSTD_sizeof_DCtx(c->decompress);
}

static ssize_t zstd_compress(const struct codec *codec, void *context, const void *block, void *to)
{
	struct zstd_context *c = context;
	size_t length = ZSTD_compress2(c->compress, to, ZSTD_compressBound(codec->block_size),
				       block, codec->block_size);

	return ZSTD_isError(length) ? -1 : (ssize_t)length;
}

/*
 * Whether it is what zstd_compress() makes: one frame, to the last byte. What is left over
 * behind a frame, libzstd before 1.5.6 takes for a frame's magic number, of which it reads
 * four bytes even if there are fewer; and what has a magic number of old, for one of its old
 * formats. See the format's section on frames: the header is a zero (neither size nor
 * checksum nor dictionary) and the window, a block's header three bytes.
 */
static bool is_one_frame(const unsigned char *from, size_t length)
{
	size_t next = 2;

	if (length < next || from[0] != 0)
		return false;
	while (length - next >= 3) {
		uint32_t header = from[next] | (uint32_t)from[next + 1] << 8 |
				  (uint32_t)from[next + 2] << 16;
		/* Type 1 repeats the byte that follows. */
		size_t size = (header >> 1 & 3) == 1 ? 1 : header >> 3;

		next += 3;
		if (size > length - next)
			return false;
		next += size;
		if (header & 1)
			return next == length;
	}
	return false;
}

static bool zstd_decompress(const struct codec *codec, void *context, const void *from,
			    size_t length, void *block)
{
	struct zstd_context *c = context;

	return is_one_frame(from, length) &&
	       ZSTD_decompressDCtx(c->decompress, block, codec->block_size, from, length) ==
		       codec->block_size;
}

const struct codec_ops zstd_ops = {
	.name = "zstd",
	.takes_dictionary = true,
	.default_level = 3,
	.min_level = -131072,
	.max_level = 22,
	.prepare = zstd_prepare,
	.unprepare = zstd_unprepare,
	.context_create = zstd_context_create,
	.context_destroy = zstd_context_destroy,
	.context_bytes = zstd_context_bytes,
	.bound = ZSTD_compressBound,
	.compress = zstd_compress,
	.decompress = zstd_decompress,
};
