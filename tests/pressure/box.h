/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * A cgroup with a limit of memory, for as long as one case: who takes more in it is killed by the
 * kernel. Of either version of cgroups, below the one this process is in, so that what
 * limits that goes on doing so. Needs root, or a cgroup that was left to the user.
 */
#ifndef PRESSURE_BOX_H
#define PRESSURE_BOX_H

#include <stdbool.h>
#include <stdint.h>

struct box {
	char path[512]; /* "": none */
	bool first;     /* version */
};

/* Returns NULL, or why there can be none here. */
const char *box_make(struct box *box, uint64_t bytes);

/* This process and those that it starts are in it from here on. Returns 0 or -1. */
int box_enter(const struct box *box);

/* The most that was ever charged: memory, page tables, sockets. 0: the kernel does not tell. */
uint64_t box_peak(const struct box *box);

/* How often the kernel killed a process of it. */
uint64_t box_kills(const struct box *box);

/* All that was in it has ended. Does nothing if there is none. Returns whether it is gone. */
bool box_remove(struct box *box);

#endif /* PRESSURE_BOX_H */
