/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What all tests of zram.h share: blocks that say themselves what they must
 * hold, stores whose figures are audited, and errno beside the result.
 */
#ifndef ZRAM_TEST_STORE_H
#define ZRAM_TEST_STORE_H

#include "testing.h"

#include <errno.h>
#include <string.h>

#include <zram.h>

enum { BLOCK = 4096 };

/*
 * What a stamped block is made of. Its first word is its key, and all the rest
 * follows from that, so whoever reads it can tell whether it is whole. A block of
 * zeros is one of key 0.
 */
enum stamp {
	FILLED, /* one word, repeated */
	RAW,    /* does not compress */
	PACKED, /* compresses, to anything from a 16th to two thirds */
	THIN    /* compresses to some 50 bytes */
};

static inline uint64_t stamp_key(enum stamp stamp, uint64_t serial)
{
	return (serial + 1) << 2 | stamp;
}

void stamp_fill(void *block, size_t size, uint64_t key);
bool stamp_holds(const void *block, size_t size);
uint64_t stamp_of(const void *block);

/* Makes a store; fails the test if that fails. */
struct zram *store_open(const struct zram_options *options);
/* Everything adds up (see assert_sound()); then it is destroyed. */
void store_close(struct zram *zram);
/* All figures agree with each other. No other call may be under way. */
void assert_sound(struct zram *zram);
struct zram_stats stats_of(struct zram *zram);

/* One whole block, by its number. */
void write_stamp(struct zram *zram, uint64_t block, uint64_t key);
void assert_stamp(struct zram *zram, uint64_t block, uint64_t key);

/* The range reads as size times this byte. */
void assert_bytes(struct zram *zram, uint64_t offset, size_t size, unsigned char byte);
void assert_contents(struct zram *zram, uint64_t offset, const void *expected, size_t size);

/* The call returns -1 and sets errno to error. */
#define assert_refused(call, error)               \
	do {                                      \
		errno = 0;                        \
		assert_int_equal((call), -1);     \
		assert_int_equal(errno, (error)); \
	} while (0)

void assert_attribute(struct zram *zram, const char *name, const char *expected);
uint64_t number_attribute(struct zram *zram, const char *name);
void set_attribute(struct zram *zram, const char *name, const char *value);

/* An algorithm other than none, to run a test with each; ended by NULL. */
extern const char *const codecs[];
bool has_algorithm(const char *name);

#endif /* ZRAM_TEST_STORE_H */
