/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What all behaviour tests share: pools in either habitat with guard bytes
 * around a caller's buffer, objects whose contents can be told from all others,
 * a recorder for misuse, and children that are allowed to die.
 */
#ifndef ZS_TESTING_H
#define ZS_TESTING_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdbool.h>

#include <cmocka.h>

#include <zsmalloc.h>

#include "pattern.h"
#include "rng.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#endif
#ifndef UNDER_ASAN
#define UNDER_ASAN 0
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

#ifndef ZS_DEBUG
#define ZS_DEBUG 0
#endif

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define KIB(n)          ((size_t)(n) << 10)
#define MIB(n)          ((size_t)(n) << 20)

bool rng_percent(struct rng *rng, unsigned percent);

/* Where a pool lives; the buffer's size is used in a fixed buffer only. */
struct habitat {
	bool fixed;
	size_t buffer_size;
};

/* Skips a test of figures that hold for pages of 4096 bytes where those of a process are larger. */
void only_for_small_pages(const struct habitat *habitat);

extern struct habitat process_habitat;
extern struct habitat buffer_habitat;

/* One test, run once in each habitat; it finds its struct habitat in *state. */
#define IN_BOTH_HABITATS(test)                                             \
	{ #test " (process)", test, NULL, NULL, &process_habitat },        \
	{                                                                  \
#test " (fixed buffer)", test, NULL, NULL, &buffer_habitat \
	}

/* What the misuse handler was told, newest last. */
struct faults {
	unsigned long count;
	struct zs_pool *pool;
	enum zs_misuse fault;
	zs_handle handle;
	char message[512];
};

/* A zs_misuse_fn that fills the struct faults in data and returns. */
void note_fault(struct zs_pool *pool, enum zs_misuse fault, zs_handle handle, const char *message,
		void *data);
/* Exactly one fault was noted since the last call, and it was this one. */
void assert_one_fault(struct faults *faults, enum zs_misuse fault, zs_handle handle);
void assert_no_fault(const struct faults *faults);

/* A pool with what it stands on. */
struct rig {
	struct zs_pool *pool;
	unsigned char *buffer; /* NULL in a process */
	size_t buffer_size;
	unsigned char *guarded; /* the allocation that buffer lies in */
	struct faults faults;
};

/*
 * Makes a pool in that habitat; options may be NULL. In a fixed buffer
 * options->buffer_size, if not 0, replaces the habitat's. Fails the test if the
 * pool cannot be made.
 */
void rig_open(struct rig *rig, const struct habitat *habitat,
	      const struct zs_pool_options *options);
/* The same, but misuse is noted in rig->faults instead of ending the process. */
void rig_open_tolerant(struct rig *rig, const struct habitat *habitat,
		       const struct zs_pool_options *options);
/* Checks and destroys the pool, and that nothing outside its buffer was touched. */
void rig_close(struct rig *rig);
void rig_assert_guards(const struct rig *rig);

/* Every invariant holds; what does not is printed and fails the test. */
void assert_healthy(struct zs_pool *pool);

/* The same call leaves all figures as they were. */
void assert_same_stats(const struct zs_pool_stats *before, const struct zs_pool_stats *after);

/* An object as the test remembers it. */
struct object {
	zs_handle handle;
	size_t size;
	uint64_t tag;
};

/* Allocates and writes; false with errno as the failed call left it. */
bool object_make(struct zs_pool *pool, struct object *object, size_t size, uint64_t tag);
/* Has the contents it was given; false also if it cannot be mapped. */
bool object_intact(struct zs_pool *pool, const struct object *object);
void object_free(struct zs_pool *pool, struct object *object);

/* Many of them. */
struct objects {
	struct object *at;
	size_t count;
	size_t room;
	uint64_t next_tag;
};

/* Adds one; false with errno as the failed call left it. */
bool objects_add(struct objects *objects, struct zs_pool *pool, size_t size);
/* Adds count objects of min to max bytes, each of which must succeed. */
void objects_fill(struct objects *objects, struct zs_pool *pool, struct rng *rng, size_t count,
		  uint32_t min, uint32_t max);
/* Adds until one is refused, and returns its errno. */
int objects_fill_up(struct objects *objects, struct zs_pool *pool, struct rng *rng, uint32_t min,
		    uint32_t max);
/* Frees one; the last takes its place. */
void objects_remove(struct objects *objects, struct zs_pool *pool, size_t index);
void objects_free_random(struct objects *objects, struct zs_pool *pool, struct rng *rng,
			 unsigned percent);
void objects_free_all(struct objects *objects, struct zs_pool *pool);
/* Drops what the test remembers; the pool is not touched. */
void objects_forget(struct objects *objects);
void assert_objects_intact(const struct objects *objects, struct zs_pool *pool);
uint64_t objects_payload(const struct objects *objects);

/* How a child ended. */
struct child {
	int signal; /* 0 if it exited by itself */
	int code;
	char text[4096];   /* what it wrote on standard error, with a 0 */
	size_t text_bytes; /* of which so many were kept */
};

/* Runs body in a child, which exits with what body returns. */
void run_child(int (*body)(void *arg), void *arg, struct child *child);

#endif /* ZS_TESTING_H */
