/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * zram - a block store in RAM that keeps every block compressed, each as one
 * object of a zsmalloc pool.
 *
 * It is what the Linux kernel's zram driver is, as a library: a sparse disk of
 * any size that costs memory only for what is written to it. Names, attributes
 * and statistics are the kernel's (Documentation/admin-guide/blockdev/zram.rst).
 *
 * Blocks filled with one repeated 64-bit word take no object. Blocks that do not
 * shrink are stored as they are. What was never written, and what was
 * discarded, reads as zeros.
 *
 * Threads: every call may be made from any thread at any time, but
 * zram_destroy() must be the last. Reads run in parallel, also of one block; a
 * write excludes others from the block it writes, and from nothing else, only
 * while it is replaced (a write of part of a block, while it is rebuilt). A block
 * is read and written as a whole: who reads while somebody writes sees the old
 * block or the new. Requests of more than one block are not atomic. Calls that
 * say so ("quiesces") wait until the calls under way are over and hold new ones up.
 * No call may be made from a signal handler, nor in the child of a fork().
 *
 * Errors: NULL or -1 with errno set. A call that fails changes nothing: a block
 * whose write fails has its old contents. The library never prints and never
 * ends the process.
 */
#ifndef ZRAM_H
#define ZRAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <zsmalloc.h>

#ifdef __cplusplus
extern "C" {
#endif

struct zram;

#define ZRAM_MAX_SIZE       (UINT64_C(0x7fffffffffffffff) - 4095) /* 2^63 - 4096 */
#define ZRAM_MIN_BLOCK_SIZE ((size_t)4096)
#define ZRAM_MAX_BLOCK_SIZE ((size_t)65536)
#define ZRAM_MAX_DICTIONARY ((size_t)16 << 20)

enum zram_checksum {
	/*
	 * 32 bits (XXH3) of what is stored of each block, kept apart from it and
	 * compared at each read: about 0.1 us a block. Damage is missed with a
	 * chance of 2^-32.
	 */
	ZRAM_CHECKSUM_ON,
	/* Only the codec may notice damage. Blocks written without are never checked. */
	ZRAM_CHECKSUM_OFF
};

/* A zeroed struct, like NULL, asks for the defaults. */
struct zram_options {
	uint64_t size;     /* bytes, any number up to ZRAM_MAX_SIZE. Default 0: see zram_resize() */
	size_t block_size; /* bytes, a power of two, 4096 (default) to 65536 */
	const char *algorithm; /* one of zram_algorithms(). Default "lz4" */
	/*
	 * lz4, lz4hc and zstd: what blocks are likely to have in common: any bytes
	 * (raw), or what `zstd --train` or ZDICT_trainFromBuffer() made. At most
	 * ZRAM_MAX_DICTIONARY bytes, of which lz4 uses the last 65536. Copied.
	 */
	const void *dictionary;
	size_t dictionary_size;
	uint64_t mem_limit; /* bytes, everything counted; 0 (default): none */
	int level;          /* of the algorithm's own scale; 0: its default */
	enum zs_compaction compaction;
	enum zram_checksum checksum;
	/*
	 * Calls that work at the same time, at most; others wait. Each has a codec context and
	 * a buffer or two of its own. 1 to 256; default: twice the processors, at least 4.
	 */
	unsigned max_comp_streams;
	/*
	 * 1: what a block was is overwritten with zeros when it is written anew or discarded,
	 * and in the buffers of a call when that returns. Not so in codecs' contexts. Default 0.
	 */
	unsigned zero_on_free;
};

/* The names of the algorithms that this build has, ended by NULL. Among them lz4, zstd, none. */
const char *const *zram_algorithms(void);

/*
 * Makes an empty store. Returns NULL and sets errno iff
 *   EINVAL  an option is out of its range, the algorithm is unknown or cannot use a
 *           dictionary, the dictionary is broken, or mem_limit is too low for an empty store;
 *   ENOMEM  the system refused memory.
 */
struct zram *zram_create(const struct zram_options *options);

/* Returns all memory. NULL is ignored. No other call may be under way. */
void zram_destroy(struct zram *zram);

/*
 * Reads count bytes at offset. Returns the number of bytes read, which is less
 * than count only at the end of the store (0: at or beyond it), or where a block
 * could not be read but those before it could: then a call for that block says why.
 * Returns -1 and sets errno iff the first block concerned
 *   EIO     is damaged (what it was is lost; it can be written again);
 * or EINVAL  count is above SSIZE_MAX.
 * What buf holds beyond the bytes returned is undefined.
 */
ssize_t zram_pread(struct zram *zram, void *buf, size_t count, uint64_t offset);

/*
 * Writes count bytes at offset, block after block. Returns the number of bytes
 * written, which is less than count at the end of the store, or where a block could
 * not be written but those before it could: then a call for that block says why.
 * Returns -1 and sets errno iff the first block concerned could not be written;
 * it then has its old contents:
 *   ENOSPC  mem_limit is reached (and compaction did not help), or offset is at or
 *           beyond the end of the store and count is not 0;
 *   ENOMEM  the system refused memory;
 *   EIO     the codec failed; or, where only part of a block is written, it is damaged;
 *   EINVAL  count is above SSIZE_MAX.
 * A block that already has these contents is not touched.
 */
ssize_t zram_pwrite(struct zram *zram, const void *buf, size_t count, uint64_t offset);

/*
 * Forgets the blocks that lie completely in the range: they read as zeros and take
 * no memory. Parts of blocks at its ends are left as they are. The range is cut at
 * the end of the store; the last block is complete there. Returns 0. Never fails.
 * O(blocks ever written in the range).
 */
int zram_discard(struct zram *zram, uint64_t offset, uint64_t length);

/*
 * Makes the range read as zeros: discards its whole blocks, and writes zeros to the
 * parts of blocks at its ends. Returns 0, or -1 with an errno of zram_pwrite() (ENOSPC
 * also if the range reaches beyond the end of the store: then nothing is done).
 * After a failure any part of the range may read as zeros; the rest is as before.
 */
int zram_write_zeroes(struct zram *zram, uint64_t offset, uint64_t length);

/* There is nothing to wait for: what was written is in RAM. Returns 0. */
int zram_flush(struct zram *zram);

/*
 * Discards everything and gives back all memory but an empty store's and that of the
 * streams that were needed. Quiesces. Returns 0, or -1 with ENOMEM, and nothing changed.
 * Counts of events (io_stat, huge_pages_since, ...) begin anew.
 */
int zram_reset(struct zram *zram);

/*
 * Sets the size. What lies beyond a smaller size is gone: it reads as zeros when the store
 * grows again. Quiesces. Returns 0, or -1 with errno EINVAL (above ZRAM_MAX_SIZE) or one
 * of zram_write_zeroes().
 */
int zram_resize(struct zram *zram, uint64_t size);

uint64_t zram_size(struct zram *zram);
size_t zram_block_size(struct zram *zram);

/*
 * Moves objects together and gives back the pages that come free, and those of the
 * slot table that are empty. Other calls go on meanwhile (but for a moment, where parts of the
 * table cover nothing any more). Returns the bytes given back.
 */
uint64_t zram_compact(struct zram *zram);

/*
 * The same for about so many nanoseconds (0: no bound); can be called again to go on where it
 * stopped. *freed, which may be NULL: the bytes that this call gave back. Returns 1 if the time
 * ended it, 0 if nothing is left to do.
 */
int zram_compact_some(struct zram *zram, uint64_t nanoseconds, uint64_t *freed);

/*
 * mm_stat and io_stat, in the kernel's order, then more. Everything since creation or the
 * last reset. Figures of different lines are of slightly different moments while
 * other calls are under way.
 */
struct zram_stats {
	/* mm_stat; sizes in bytes, "pages" are blocks (pages_compacted: pages) */
	uint64_t orig_data_size;   /* blocks that are stored, times the block size */
	uint64_t compr_data_size;  /* of them what is kept as objects, after compression */
	uint64_t mem_used_total;   /* what the store holds, everything counted */
	uint64_t mem_limit;        /* 0: none */
	uint64_t mem_used_max;     /* the most that mem_used_total ever was */
	uint64_t same_pages;       /* blocks filled with one word, which take no object */
	uint64_t pages_compacted;  /* given back by compaction */
	uint64_t huge_pages;       /* blocks that did not shrink, stored as they are */
	uint64_t huge_pages_since; /* ... ever written */
	/* io_stat */
	uint64_t failed_reads;  /* calls */
	uint64_t failed_writes; /* calls in which a block could not be written, or none exists */
	uint64_t invalid_io;    /* calls beyond the end of the store */
	uint64_t notify_free;   /* blocks that zram_discard() and zram_write_zeroes() freed */
	/* requests and their bytes */
	uint64_t reads, read_bytes;
	uint64_t writes, written_bytes;
	uint64_t unchanged_blocks; /* written with what they held already, and left alone */
	uint64_t damaged_blocks;   /* reads of a block that found it damaged */
	/* mem_used_total == pool_bytes + table_bytes + stream_bytes + own_bytes */
	uint64_t pool_bytes;   /* the zsmalloc pool: objects, handles, all its tables */
	uint64_t table_bytes;  /* the slot table: about 11 bytes a block that was ever written */
	uint64_t stream_bytes; /* codec contexts, their buffers, the dictionary */
	uint64_t own_bytes;    /* struct zram */
	/* what it is */
	uint64_t disksize;
	uint64_t block_size;
};

/* O(contexts + zspages). */
void zram_get_stats(struct zram *zram, struct zram_stats *stats);

/* The pool's own figures: see zs_pool_stats() and zs_class_stats(). */
void zram_pool_stats(struct zram *zram, struct zs_pool_stats *stats);
int zram_class_stats(struct zram *zram, unsigned index, struct zs_class_stats *stats);

#define ZRAM_EXTENT_HOLE 1u /* nothing is stored */
#define ZRAM_EXTENT_ZERO 2u /* reads as zeros: holes, and blocks filled with zeros */

struct zram_extent {
	uint64_t offset;
	uint64_t length; /* never 0 */
	unsigned flags;  /* 0: data */
};

/* Returns 0 to go on, anything else to stop. May call into the store (but nothing that quiesces). */
typedef int zram_extent_fn(const struct zram_extent *extent, void *data);

/*
 * Tells what is stored in a range (cut at the end of the store), in order and without gaps; no
 * two neighbours have the same flags. Returns 0, or what visit returned when it stopped.
 * O(blocks ever written in the range).
 */
int zram_get_extents(struct zram *zram, uint64_t offset, uint64_t length, zram_extent_fn *visit,
		     void *data);

/*
 * Attributes, as text, under the kernel's names; zram(7) describes each:
 *   disksize mem_limit mem_used_max comp_algorithm algorithm_params max_comp_streams
 *   block_size checksum compaction zero_on_free initstate compact reset mm_stat io_stat stat
 *   classes
 *
 * zram_get() writes the value, ended by a newline and a null byte, cut to size bytes, and
 * returns its full length as snprintf() does. zram_set() takes numbers as the
 * kernel does: decimal, 0x hexadecimal or 0 octal, then perhaps K, M, G, T, P or E.
 * Both return -1 and set errno iff
 *   ENOENT  there is no such attribute;
 *   EACCES  it can only be set, or only be got;
 *   EINVAL  the value is none for this attribute;
 *   EBUSY   it can only be set while nothing is stored (comp_algorithm, algorithm_params,
 *           compaction);
 *   or with the errno of the call that does the same (zram_resize(), zram_reset(), ...).
 */
ssize_t zram_get(struct zram *zram, const char *name, char *value, size_t size);
int zram_set(struct zram *zram, const char *name, const char *value);

/* The names of the attributes, ended by NULL. */
const char *const *zram_attributes(void);

#ifdef __cplusplus
}
#endif

#endif /* ZRAM_H */
