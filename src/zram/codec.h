/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What a compression algorithm owes the store. One file per library implements
 * it; codec.c has the list. Knows nothing of blocks' places, slots or the pool.
 */
#ifndef ZRAM_CODEC_H
#define ZRAM_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct codec;

struct codec_ops {
	const char *name;
	bool takes_dictionary;
	int default_level, min_level, max_level;
	/*
	 * Prepares codec->shared (the dictionary, what else all contexts share) and counts it
	 * in codec->shared_bytes. Returns 0, ENOMEM or EINVAL. May be NULL.
	 */
	int (*prepare)(struct codec *codec);
	void (*unprepare)(struct codec *codec);
	/* What one thread needs to compress and decompress; NULL: no memory. NULL if nothing. */
	void *(*context_create)(const struct codec *codec);
	void (*context_destroy)(void *context);
	size_t (*context_bytes)(const void *context);
	/* The most that a block can become; compress() is given so much room. */
	size_t (*bound)(size_t block_size);
	/* Returns the compressed length, or -1. */
	ssize_t (*compress)(const struct codec *codec, void *context, const void *block, void *to);
	/*
	 * Returns whether exactly one block came out. Never reads beyond length bytes nor
	 * writes beyond the block, whatever it is given.
	 */
	bool (*decompress)(const struct codec *codec, void *context, const void *from,
			   size_t length, void *block);
};

struct codec {
	const struct codec_ops *ops;
	int level; /* within the ops' range */
	size_t block_size;
	void *dictionary; /* NULL: none. Own copy */
	size_t dictionary_size;
	void *shared;
	size_t shared_bytes;
};

/* lz4.c, lzo.c, zstd.c */
extern const struct codec_ops lz4_ops, lz4hc_ops, lzo_ops, zstd_ops;

const char *const *codec_names(void);

/* What an algorithm is to be made of. */
struct codec_options {
	const char *algorithm; /* NULL: the default */
	int level;             /* 0: the default */
	size_t block_size;
	const void *dictionary; /* NULL: none */
	size_t dictionary_size;
};

/* Returns 0, EINVAL or ENOMEM. */
int codec_open(struct codec *codec, const struct codec_options *options);
void codec_close(struct codec *codec);

/* Bytes that all contexts share. */
size_t codec_bytes(const struct codec *codec);

#endif
