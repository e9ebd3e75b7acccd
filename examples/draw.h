/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The two ways to draw a picture of the pool: as text, and as an SVG file.
 */
#ifndef DRAW_H
#define DRAW_H

#include <stdbool.h>
#include <stdio.h>

#include "malloc_twin.h"
#include "pack.h"
#include "poolmap.h"

/* What is drawn. twin is NULL if its figures could not be had. */
struct drawing {
	const struct pack *pack;
	const struct twin_figures *twin;
	const struct poolmap *before;
	const struct poolmap *after;
};

/* Both moments one below the other, within 80 columns. Returns -1 if memory is short. */
int draw_text(const struct drawing *drawing, bool has_colour, FILE *to);

/* Both side by side, and what was held at each moment below. Returns -1 if memory is short. */
int draw_svg(const struct drawing *drawing, FILE *to);

#endif /* DRAW_H */
