/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
#include "zram/codec.h"
#include "zram.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- none: blocks are stored as they are --- */

static size_t none_bound(size_t block_size)
{
	(void)block_size;
	return 1;
}

/* As long as the block itself: not worth keeping. */
static ssize_t none_compress(const struct codec *codec, void *context, const void *block, void *to)
{
	(void)context;
	(void)block;
	(void)to;
	return (ssize_t)codec->block_size;
}

static bool none_decompress(const struct codec *codec, void *context, const void *from,
			    size_t length, void *block)
{
	(void)codec;
	(void)context;
	(void)from;
	(void)length;
	(void)block;
	return false;
}

static const struct codec_ops none_ops = {
	.name = "none",
	.bound = none_bound,
	.compress = none_compress,
	.decompress = none_decompress,
};

/* --- the list; the first is the default --- */

static const struct codec_ops *const all_ops[] = {
	&lz4_ops,  &lz4hc_ops, &zstd_ops,
#if ZRAM_LZO
	&lzo_ops,
#endif
	&none_ops,
};

#define COUNT (sizeof(all_ops) / sizeof(all_ops[0]))

const char *const *codec_names(void)
{
	static const char *const names[] = {
		"lz4",
		"lz4hc",
		"zstd",
#if ZRAM_LZO
		"lzo",
#endif
		"none",
		NULL
	};

	return names;
}

static const struct codec_ops *find(const char *name)
{
	for (size_t i = 0; i < COUNT; i++) {
		if (!name || strcmp(all_ops[i]->name, name) == 0)
			return all_ops[i];
	}
	return NULL;
}

int codec_open(struct codec *codec, const struct codec_options *options)
{
	const struct codec_ops *ops = find(options->algorithm);
	int error = 0;

	if (!ops || (options->dictionary_size && (!options->dictionary || !ops->takes_dictionary)))
		return EINVAL;
	if (options->dictionary_size > ZRAM_MAX_DICTIONARY)
		return EINVAL;
	*codec = (struct codec){
		.ops = ops,
		.level = options->level ? options->level : ops->default_level,
		.block_size = options->block_size,
	};
	if (codec->level < ops->min_level || codec->level > ops->max_level)
		return EINVAL;
	if (options->dictionary_size) {
		codec->dictionary = malloc(options->dictionary_size);
		if (!codec->dictionary)
			return ENOMEM;
		memcpy(codec->dictionary, options->dictionary, options->dictionary_size);
		codec->dictionary_size = options->dictionary_size;
	}
	if (ops->prepare)
		error = ops->prepare(codec);
	if (error) {
		free(codec->dictionary);
		codec->dictionary = NULL;
	}
	return error;
}

void codec_close(struct codec *codec)
{
	if (codec->ops->unprepare)
		codec->ops->unprepare(codec);
	free(codec->dictionary);
}

size_t codec_bytes(const struct codec *codec)
{
	return codec->dictionary_size + codec->shared_bytes;
}
