/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* lz4 (its level is the "acceleration", as in the kernel) and lz4hc. */
#include "zram/codec.h"

#include <errno.h>
#include <lz4.h>
#include <lz4hc.h>
#include <stdlib.h>
#include <string.h>

static size_t lz4_bound(size_t block_size)
{
	return (size_t)LZ4_compressBound((int)block_size);
}

static bool lz4_decompress(const struct codec *codec, void *context, const void *from,
			   size_t length, void *block)
{
	int size = (int)codec->block_size;

	(void)context;
	if (!codec->dictionary)
		return LZ4_decompress_safe(from, block, (int)length, size) == size;
	return LZ4_decompress_safe_usingDict(from, block, (int)length, size, codec->dictionary,
					     (int)codec->dictionary_size) == size;
}

static ssize_t length_or_error(int length)
{
	return length > 0 ? length : -1;
}

/* --- lz4 --- */

/* With a dictionary, codec->shared is a stream that has it: compressing begins with a copy. */
static int lz4_prepare(struct codec *codec)
{
	LZ4_stream_t *stream;

	if (!codec->dictionary)
		return 0;
	stream = LZ4_createStream();
	if (!stream)
		return ENOMEM;
	LZ4_loadDict(stream, codec->dictionary, (int)codec->dictionary_size);
	codec->shared = stream;
	codec->shared_bytes = sizeof(*stream);
	return 0;
}

static void lz4_unprepare(struct codec *codec)
{
	LZ4_freeStream(codec->shared);
}

static void *lz4_context_create(const struct codec *codec)
{
	(void)codec;
	return LZ4_createStream();
}

static void lz4_context_destroy(void *context)
{
	LZ4_freeStream(context);
}

static size_t lz4_context_bytes(const void *context)
{
	(void)context;
	return sizeof(LZ4_stream_t);
}

static ssize_t lz4_compress(const struct codec *codec, void *context, const void *block, void *to)
{
	int size = (int)codec->block_size, room = LZ4_compressBound(size);

	if (!codec->dictionary)
		return length_or_error(
			LZ4_compress_fast_extState(context, block, to, size, room, codec->level));
	memcpy(context, codec->shared, sizeof(LZ4_stream_t));
	return length_or_error(
		LZ4_compress_fast_continue(context, block, to, size, room, codec->level));
}

const struct codec_ops lz4_ops = {
	.name = "lz4",
	.takes_dictionary = true,
	.default_level = 1,
	.min_level = 1,
	.max_level = 65537,
	.prepare = lz4_prepare,
	.unprepare = lz4_unprepare,
	.context_create = lz4_context_create,
	.context_destroy = lz4_context_destroy,
	.context_bytes = lz4_context_bytes,
	.bound = lz4_bound,
	.compress = lz4_compress,
	.decompress = lz4_decompress,
};

/* --- lz4hc --- */

static int hc_prepare(struct codec *codec)
{
	LZ4_streamHC_t *stream;

	if (!codec->dictionary)
		return 0;
	stream = LZ4_createStreamHC();
	if (!stream)
		return ENOMEM;
	LZ4_resetStreamHC_fast(stream, codec->level);
	LZ4_loadDictHC(stream, codec->dictionary, (int)codec->dictionary_size);
	codec->shared = stream;
	codec->shared_bytes = sizeof(*stream);
	return 0;
}

static void hc_unprepare(struct codec *codec)
{
	LZ4_freeStreamHC(codec->shared);
}

static void *hc_context_create(const struct codec *codec)
{
	(void)codec;
	return LZ4_createStreamHC();
}

static void hc_context_destroy(void *context)
{
	LZ4_freeStreamHC(context);
}

static size_t hc_context_bytes(const void *context)
{
	(void)context;
	return sizeof(LZ4_streamHC_t);
}

static ssize_t hc_compress(const struct codec *codec, void *context, const void *block, void *to)
{
	int size = (int)codec->block_size, room = LZ4_compressBound(size);

	if (!codec->dictionary)
		return length_or_error(
			LZ4_compress_HC_extStateHC(context, block, to, size, room, codec->level));
	memcpy(context, codec->shared, sizeof(LZ4_streamHC_t));
	return length_or_error(LZ4_compress_HC_continue(context, block, to, size, room));
}

const struct codec_ops lz4hc_ops = {
	.name = "lz4hc",
	.takes_dictionary = true,
	.default_level = LZ4HC_CLEVEL_DEFAULT,
	.min_level = 1,
	.max_level = LZ4HC_CLEVEL_MAX,
	.prepare = hc_prepare,
	.unprepare = hc_unprepare,
	.context_create = hc_context_create,
	.context_destroy = hc_context_destroy,
	.context_bytes = hc_context_bytes,
	.bound = lz4_bound,
	.compress = hc_compress,
	.decompress = lz4_decompress,
};
