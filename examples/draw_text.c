/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The picture as text. With colour a cell is a coloured blank; without, it is a
 * digit, the tens of the percentage: both need no more than ASCII.
 */
#include <inttypes.h>
#include <stdio.h>

#include "draw.h"
#include "figures.h"

#define COLUMNS 64u
#define LINES   16u

/* The steps of matplotlib's viridis map nearest to them among a terminal's 256 colours. */
static const unsigned char band_colours[CELL_BANDS] = { 53, 54, 60, 24, 30, 36, 35, 77, 148, 226 };

static void draw_cells(const signed char *cells, unsigned count, bool has_colour, FILE *to)
{
	for (unsigned i = 0; i < count; i++) {
		if (cells[i] == CELL_NOTHING)
			fputc('.', to);
		else if (!has_colour)
			fputc('0' + cells[i], to);
		else if (i && cells[i] == cells[i - 1])
			fputc(' ', to);
		else
			fprintf(to, "\033[48;5;%um ", band_colours[cells[i]]);
		if (has_colour && (i + 1 == count || cells[i + 1] == CELL_NOTHING))
			fputs("\033[0m", to);
	}
}

static void draw_row(const struct maprow *row, const signed char *cells, unsigned columns,
		     bool has_colour, FILE *to)
{
	char label[32] = "";

	if (row->first_size == row->last_size)
		snprintf(label, sizeof(label), "%" PRIu32, row->last_size);
	else
		snprintf(label, sizeof(label), "%" PRIu32 "-%" PRIu32, row->first_size,
			 row->last_size);
	for (unsigned at = 0; at < row->cells; at += columns) {
		unsigned count = row->cells - at < columns ? row->cells - at : columns;

		fprintf(to, "%11s  ", at ? "" : label);
		draw_cells(cells + at, count, has_colour, to);
		fputc('\n', to);
	}
}

static void draw_moment(const struct picture *picture, const struct poolmap *map, const char *title,
			bool has_colour, bool is_after, FILE *to)
{
	char zspages[FIGURE_ROOM];
	char held[FIGURE_ROOM];

	fprintf(to, "\n%s: %s zspages hold %s MiB, %.1f %% of it in use\n", title,
		figure_count(zspages, map->count), figure_mib(held, map->held),
		figure_percent(map->used, map->held));
	for (unsigned i = 0; i < picture->count; i++) {
		const struct maprow *row = &picture->rows[i];

		draw_row(row, is_after ? row->after : row->before, picture->columns, has_colour,
			 to);
	}
}

static void draw_legend(const struct picture *picture, bool has_colour, FILE *to)
{
	fputs("  slot size  ", to);
	if (has_colour) {
		fputs("in use: 0 %", to);
		for (unsigned band = 0; band < CELL_BANDS; band++)
			fprintf(to, " \033[48;5;%um   \033[0m", band_colours[band]);
		fputs(" 100 %\n", to);
	} else {
		fputs("in use: 0 = less than 10 %, 1 = 10-19 %, ... 9 = 90-100 %\n", to);
	}
	fprintf(to,
		"   in bytes  one cell: %" PRIu64 " KiB of pages that the pool holds;  "
		".  given back\n",
		picture->cell_bytes >> 10);
}

int draw_text(const struct drawing *drawing, bool has_colour, FILE *to)
{
	struct picture picture;

	if (picture_make(&picture, drawing->before, drawing->after, COLUMNS, LINES))
		return -1;
	draw_moment(&picture, drawing->before, "Before compaction", has_colour, false, to);
	draw_moment(&picture, drawing->after, "After compaction", has_colour, true, to);
	draw_legend(&picture, has_colour, to);
	picture_forget(&picture);
	return 0;
}
