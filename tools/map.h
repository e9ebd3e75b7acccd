/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* The pool of a disk, its size classes summed up in rows of neighbouring sizes. */
#ifndef TOOLS_MAP_H
#define TOOLS_MAP_H

#include <stdbool.h>
#include <stdio.h>

#include "figures.h"

#define MAX_MAP_ROWS 128

struct map_row {
	uint64_t first_size; /* of slots, in bytes */
	uint64_t last_size;
	uint64_t held;   /* bytes of pages */
	uint64_t in_use; /* bytes of slots in use; at most held */
	uint64_t objects;
	uint64_t zspages[ZS_FULLNESS_BANDS];
};

struct map {
	const char *label;
	char *what; /* describe_disk() */
	struct map_row rows[MAX_MAP_ROWS];
	unsigned count;
	uint64_t most_held;    /* by a row */
	uint64_t most_zspages; /* of a row in a band */
	struct pool_figures pool;
};

/* How much of a scale of steps the zspages of a band get: 0 for none only, logarithmic. */
unsigned map_step(const struct map *map, uint64_t zspages, unsigned steps);

void map_draw_text(const struct map *map, bool has_colour, FILE *to);
void map_draw_svg(const struct map *map, FILE *to);

#endif
