/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The same sequence of sizes through malloc() and free(), in a process of its
 * own, so that neither allocator sees the other's memory.
 */
#ifndef MALLOC_TWIN_H
#define MALLOC_TWIN_H

#include <stdbool.h>
#include <stdint.h>

#include "pack.h"

/* The hidden option that makes the program be the twin. */
#define MALLOC_TWIN_OPTION "--malloc-child"

struct twin_figures {
	uint64_t held[MOMENTS]; /* bytes of memory that the process took for its objects */
};

/*
 * Starts the twin and waits for its figures. Returns false if it could not be
 * started or did not finish.
 */
bool malloc_twin_run(const struct pack *pack, struct twin_figures *figures);

/*
 * The twin's main(): reads the sequence from standard input, writes the figures
 * to standard output.
 */
int malloc_twin_main(void);

#endif /* MALLOC_TWIN_H */
