/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* lzo. Part of the build where there is liblzo2. */
#include "zram/codec.h"

#include <errno.h>
#include <lzo/lzo1x.h>
#include <stdlib.h>

static int lzo_prepare(struct codec *codec)
{
	(void)codec;
	return lzo_init() == LZO_E_OK ? 0 : EINVAL;
}

static void *lzo_context_create(const struct codec *codec)
{
	(void)codec;
	return malloc(LZO1X_1_MEM_COMPRESS);
}

static size_t lzo_context_bytes(const void *context)
{
	(void)context;
	return LZO1X_1_MEM_COMPRESS;
}

/* From the library's own examples. */
static size_t lzo_bound(size_t block_size)
{
	return block_size + block_size / 16 + 64 + 3;
}

static ssize_t lzo_compress(const struct codec *codec, void *context, const void *block, void *to)
{
	lzo_uint length = lzo_bound(codec->block_size);

	if (lzo1x_1_compress(block, codec->block_size, to, &length, context) != LZO_E_OK)
		return -1;
	return (ssize_t)length;
}

static bool lzo_decompress(const struct codec *codec, void *context, const void *from,
			   size_t length, void *block)
{
	lzo_uint size = codec->block_size;

	(void)context;
	return lzo1x_decompress_safe(from, length, block, &size, NULL) == LZO_E_OK &&
	       size == codec->block_size;
}

const struct codec_ops lzo_ops = {
	.name = "lzo",
	.prepare = lzo_prepare,
	.context_create = lzo_context_create,
	.context_destroy = free,
	.context_bytes = lzo_context_bytes,
	.bound = lzo_bound,
	.compress = lzo_compress,
	.decompress = lzo_decompress,
};
