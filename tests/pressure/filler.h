/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * A pool or a store as numbered places that are filled, looked at and emptied, each by the one
 * thread that it belongs to. What a place must hold follows from its key.
 */
#ifndef PRESSURE_FILLER_H
#define PRESSURE_FILLER_H

#include <stdbool.h>
#include <stdint.h>

struct filler;

struct filler_kind {
	const char *name;
	/* NULL: errno says why. limit 0: none. */
	struct filler *(*make)(uint64_t places, uint64_t limit);
	/* Fills a place that is empty, or, if may_replace, any. Returns 0 or an errno. */
	int (*put)(struct filler *filler, uint64_t place, uint64_t key);
	bool may_replace;
	/* Whether the place is whole; key 0: it is empty. */
	bool (*holds)(struct filler *filler, uint64_t place, uint64_t key);
	void (*drop)(struct filler *filler, uint64_t place);
	uint64_t (*counted)(struct filler *filler); /* bytes, now */
	uint64_t (*most)(struct filler *filler); /* bytes that ever were; 0: it keeps no record */
	/* No thread is at work. */
	bool (*is_sound)(struct filler *filler);
	void (*destroy)(struct filler *filler);
};

extern const struct filler_kind pool_filler, store_filler;

#endif /* PRESSURE_FILLER_H */
