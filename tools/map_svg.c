/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The map as SVG: above, the memory of each row of sizes as a column, used and free slots
 * on top of each other; below, its zspages by fullness. Tooltips give the figures.
 */
#include <inttypes.h>
#include <stdio.h>

#include "map.h"
#include "units.h"

/* All in pixels of a drawing of WIDTH x HEIGHT. */
#define WIDTH       1200
#define HEIGHT      700
#define MARGIN      90
#define STEP_X      8
#define CHART_TOP   110
#define CHART_BASE  370
#define BANDS_TOP   410
#define BAND_HEIGHT 18
#define LEGEND_TOP  650
#define STEPS       10u

/* Steps of matplotlib's viridis, from dark to light; 0 is for no zspages. */
static const char *const step_colours[STEPS] = {
	"#f4f4f4", "#440154", "#482878", "#3e4989", "#31688e",
	"#26828e", "#1f9e89", "#35b779", "#6ece58", "#fde725",
};

static const char used_colour[] = "#1f9e89";
static const char free_colour[] = "#d1603d";

static void put_text(const char *text, FILE *to)
{
	for (; *text; text++) {
		if (*text == '<')
			fputs("&lt;", to);
		else if (*text == '&')
			fputs("&amp;", to);
		else
			fputc(*text, to);
	}
}

static void draw_title(const struct map *map, FILE *to)
{
	char text[3][FIGURE_ROOM];

	fprintf(to,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
		"height=\"%d\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"13\" "
		"fill=\"#222\">\n"
		"<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n"
		"<text x=\"%d\" y=\"46\" font-size=\"22\" font-weight=\"bold\">",
		WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT, MARGIN);
	put_text(map->label, to);
	fputs(": ", to);
	put_text(map->what, to);
	fprintf(to,
		"</text>\n<text x=\"%d\" y=\"72\">%s objects in pages of %s, %.1f %% of it in use; "
		"compaction would give back %s</text>\n",
		MARGIN, figure_count(text[0], map->pool.objects),
		figure_bytes(text[1], map->pool.held), percent(map->pool.in_use, map->pool.held),
		figure_bytes(text[2], map->pool.reclaimable));
}

static double height_of(const struct map *map, uint64_t bytes)
{
	int room = CHART_BASE - CHART_TOP;

	return map->most_held ? (double)bytes / (double)map->most_held * room : 0;
}

static void draw_column(const struct map *map, unsigned at, FILE *to)
{
	const struct map_row *row = &map->rows[at];
	unsigned x = MARGIN + at * STEP_X;
	double held = height_of(map, row->held);
	double used = height_of(map, row->in_use);
	char text[2][FIGURE_ROOM];

	if (!row->held)
		return;
	fprintf(to,
		"<g><title>slots of %" PRIu64 " to %" PRIu64 " bytes: %s in %s objects, %.1f %% in "
		"use</title>"
		"<rect x=\"%u\" y=\"%.1f\" width=\"%d\" height=\"%.1f\" fill=\"%s\"/>"
		"<rect x=\"%u\" y=\"%.1f\" width=\"%d\" height=\"%.1f\" fill=\"%s\"/></g>\n",
		row->first_size, row->last_size, figure_bytes(text[0], row->held),
		figure_count(text[1], row->objects), percent(row->in_use, row->held), x,
		CHART_BASE - held, STEP_X - 1, held, free_colour, x, CHART_BASE - used, STEP_X - 1,
		used, used_colour);
}

static void draw_axis(const struct map *map, FILE *to)
{
	char most[FIGURE_ROOM];

	fprintf(to,
		"<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n"
		"<text x=\"%d\" y=\"%d\" text-anchor=\"end\">0</text>\n"
		"<path d=\"M%d %dH%u\" stroke=\"#222\"/>\n",
		MARGIN - 8, CHART_TOP + 10, figure_bytes(most, map->most_held), MARGIN - 8,
		CHART_BASE, MARGIN, CHART_BASE, MARGIN + map->count * STEP_X);
	for (unsigned at = 0; at <= map->count; at += map->count / 8)
		fprintf(to, "<text x=\"%u\" y=\"%d\" text-anchor=\"middle\">%" PRIu64 "</text>\n",
			MARGIN + at * STEP_X, CHART_BASE + 20,
			at ? map->rows[at - 1].last_size : 0);
}

static void draw_bands(const struct map *map, unsigned at, FILE *to)
{
	const struct map_row *row = &map->rows[at];

	for (unsigned band = 0; band < ZS_FULLNESS_BANDS; band++) {
		/* The fullest on top. */
		unsigned y = BANDS_TOP + (ZS_FULLNESS_BANDS - 1 - band) * BAND_HEIGHT;

		fprintf(to,
			"<rect x=\"%u\" y=\"%u\" width=\"%d\" height=\"%d\" fill=\"%s\"><title>"
			"slots of %" PRIu64 " to %" PRIu64 " bytes, %u %%%s in use: %" PRIu64
			" zspages</title></rect>\n",
			MARGIN + at * STEP_X, y, STEP_X - 1, BAND_HEIGHT - 1,
			step_colours[map_step(map, row->zspages[band], STEPS)], row->first_size,
			row->last_size, band * 10, band < ZS_FULLNESS_BANDS - 1 ? " or more" : "",
			row->zspages[band]);
	}
}

static void draw_swatch(int x, int width, const char *colour, FILE *to)
{
	fprintf(to, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"12\" fill=\"%s\"/>\n", x,
		LEGEND_TOP, width, colour);
}

static void draw_legend(const struct map *map, FILE *to)
{
	int y = LEGEND_TOP + 11;

	draw_swatch(MARGIN, 12, used_colour, to);
	fprintf(to, "<text x=\"%d\" y=\"%d\">slots in use</text>\n", MARGIN + 18, y);
	draw_swatch(MARGIN + 120, 12, free_colour, to);
	fprintf(to, "<text x=\"%d\" y=\"%d\">free slots, tails</text>\n", MARGIN + 138, y);
	fprintf(to, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">zspages: 1</text>\n", MARGIN + 380,
		y);
	for (unsigned step = 1; step < STEPS; step++)
		draw_swatch(MARGIN + 366 + (int)step * 24, 23, step_colours[step], to);
	fprintf(to, "<text x=\"%d\" y=\"%d\">%" PRIu64 "</text>\n", MARGIN + 612, y,
		map->most_zspages);
	fprintf(to,
		"<text x=\"%d\" y=\"%d\">Across: bytes of a slot, which is a block after "
		"compression. Up: memory; below: how full zspages are.</text>\n",
		MARGIN, y + 26);
}

void map_draw_svg(const struct map *map, FILE *to)
{
	draw_title(map, to);
	for (unsigned at = 0; at < map->count; at++)
		draw_column(map, at, to);
	draw_axis(map, to);
	for (unsigned at = 0; at < map->count; at++)
		draw_bands(map, at, to);
	fprintf(to,
		"<text x=\"%d\" y=\"%d\" text-anchor=\"end\">100 %%</text>\n"
		"<text x=\"%d\" y=\"%d\" text-anchor=\"end\">0 %%</text>\n",
		MARGIN - 8, BANDS_TOP + 13, MARGIN - 8,
		BANDS_TOP + (ZS_FULLNESS_BANDS - 1) * BAND_HEIGHT + 13);
	draw_legend(map, to);
	fputs("</svg>\n", to);
}
