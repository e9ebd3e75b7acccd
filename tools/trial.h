/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* What data costs in a store of one kind: found by storing it. */
#ifndef TOOLS_TRIAL_H
#define TOOLS_TRIAL_H

#include <stddef.h>
#include <stdint.h>

#include <zram.h>

struct trial {
	struct zram_options options;
	uint64_t bytes;       /* that were stored */
	uint64_t fixed_bytes; /* of memory: what the store takes whatever is in it */
	uint64_t used_bytes;  /* of memory for what was stored, on top of that */
	uint64_t write_ns;
	uint64_t read_ns;
};

/*
 * Writes the data (a multiple of PIECE_BYTES) to a store of its own, reads it back, and adds
 * the figures to the trial. Ends the process if that fails or does not give the same
 * bytes. done is told what part of 2 * size has been dealt with.
 */
void trial_run(struct trial *trial, const unsigned char *data, size_t size,
	       void (*done)(uint64_t bytes));

/* What so many bytes would take. */
uint64_t trial_scale(const struct trial *trial, uint64_t bytes);

#endif
