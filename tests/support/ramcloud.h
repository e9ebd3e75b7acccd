/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The workloads by which RAMCloud showed that malloc fragments when sizes change
 * (Rumble, Kejriwal, Ousterhout: Log-structured Memory for DRAM-based Storage,
 * FAST 2014; W2 to W8 of its table 1 and the uniform W1). Sizes and shares deleted are
 * those of PMDK's obj_fragmentation2. Here is what is made and deleted when; what an
 * object is, and of which allocator, its user knows.
 */
#ifndef ZS_TEST_RAMCLOUD_H
#define ZS_TEST_RAMCLOUD_H

#include <stddef.h>
#include <stdint.h>

#include "rng.h"

#define RAMCLOUD_WORKLOADS 8

struct ramcloud_sizes {
	uint32_t min;
	uint32_t max;
};

struct ramcloud_workload {
	const char *name;
	struct ramcloud_sizes before;
	unsigned deleted_percent;
	struct ramcloud_sizes after; /* zero: there is no second phase */
	size_t max_object_size;      /* 0: a pool's default */
};

extern const struct ramcloud_workload ramcloud_workloads[RAMCLOUD_WORKLOADS];

/* What a run asks of its user; data is the run's. */
struct ramcloud_user {
	/* An object of size bytes is to be at place, the first free one. */
	void (*make)(void *data, uint32_t place, uint32_t size);
	/* The object at place is to go, and that at last to take its place. */
	void (*drop)(void *data, uint32_t place, uint32_t last);
	/* A further 64th of what a phase allocates is allocated. NULL: nothing to do. */
	void (*pause)(void *data);
};

struct ramcloud_run {
	const struct ramcloud_user *user;
	void *data;
	struct rng rng;
	uint64_t live_limit; /* bytes */
	uint64_t payload;    /* bytes asked for, of the objects alive */
	uint32_t *sizes;     /* of the objects alive, in random order */
	uint32_t count;      /* of them */
	uint64_t operations; /* objects made and dropped so far */
};

/* Objects that may be alive at once. */
uint64_t ramcloud_most_objects(const struct ramcloud_workload *workload, uint64_t live_limit);

/* Allocates five times the live limit, deleting at random what is in the way. */
void ramcloud_allocate(struct ramcloud_run *run, struct ramcloud_sizes range);

/* Deletes so many of a hundred objects, at random. */
void ramcloud_delete(struct ramcloud_run *run, unsigned percent);

#endif /* ZS_TEST_RAMCLOUD_H */
