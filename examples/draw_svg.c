/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The picture as SVG: both moments side by side, the legend, and bars of what
 * the pool and malloc held at each moment. Cells of one colour are one path, so
 * that the file stays small; a tooltip on each row gives its figures.
 */
#include <inttypes.h>
#include <stdio.h>

#include "draw.h"
#include "figures.h"

/* All in pixels of a drawing of WIDTH x HEIGHT. */
#define WIDTH       1200
#define HEIGHT      786
#define MARGIN      40
#define COLUMNS     70u
#define LINES       36u
#define CELL_STEP_X 7u
#define CELL_STEP_Y 10u
#define LABEL_WIDTH 66
#define GRID_TOP    126
#define LEGEND_TOP  506
#define BARS_TOP    586
#define BARS_BASE   736

/* Steps of matplotlib's viridis: also told apart without seeing colours, from dark to light. */
static const char *const band_colours[CELL_BANDS] = {
	"#440154", "#482878", "#3e4989", "#31688e", "#26828e",
	"#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725",
};

static const char given_back_colour[] = "#e9e9e9";
static const char payload_colour[] = "#b0b0b0";
static const char pool_colour[] = "#1f9e89";
static const char malloc_colour[] = "#d1603d";

static void begin_svg(FILE *to)
{
	fprintf(to,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
		"height=\"%d\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"13\" "
		"fill=\"#222\">\n"
		"<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n",
		WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT);
}

static void draw_title(const struct pack *pack, FILE *to)
{
	char pages[FIGURE_ROOM];
	char size[FIGURE_ROOM];
	char payload[FIGURE_ROOM];

	fprintf(to,
		"<text x=\"%d\" y=\"46\" font-size=\"22\" font-weight=\"bold\">"
		"A zsmalloc pool of compressed pages, a random half of them freed</text>\n",
		MARGIN);
	fprintf(to,
		"<text x=\"%d\" y=\"70\">%s pages of 4 KiB of real files (%s MiB), LZ4: "
		"%s MiB in objects of 1 byte to one page. Random seed %" PRIu64 ".</text>\n",
		MARGIN, figure_count(pages, pack->stored),
		figure_mib(size, (uint64_t)pack->stored * PAGE_BYTES),
		figure_mib(payload, pack->moments[STORED].payload), pack->seed);
}

static unsigned cell_x(const struct picture *picture, unsigned cell)
{
	return cell % picture->columns * CELL_STEP_X;
}

static unsigned cell_y(const struct picture *picture, unsigned line, unsigned cell)
{
	return (line + cell / picture->columns) * CELL_STEP_Y;
}

static unsigned row_lines(const struct picture *picture, const struct maprow *row)
{
	return (row->cells + picture->columns - 1) / picture->columns;
}

/* All cells of one band, or those that hold nothing, as one path. */
static void draw_band(const struct picture *picture, bool is_after, int band, FILE *to)
{
	unsigned line = 0;

	fprintf(to, "<path fill=\"%s\" d=\"M0 0",
		band == CELL_NOTHING ? given_back_colour : band_colours[band]);
	for (unsigned i = 0; i < picture->count; i++) {
		const struct maprow *row = &picture->rows[i];
		const signed char *cells = is_after ? row->after : row->before;

		for (unsigned cell = 0; cell < row->cells; cell++)
			if (cells[cell] == band)
				fprintf(to, "M%u %uh%uv%uh-%uz", cell_x(picture, cell),
					cell_y(picture, line, cell), CELL_STEP_X - 1,
					CELL_STEP_Y - 1, CELL_STEP_X - 1);
		line += row_lines(picture, row);
	}
	fputs("\"/>\n", to);
}

static void draw_row_label(const struct picture *picture, const struct maprow *row, unsigned line,
			   bool is_after, FILE *to)
{
	char held[FIGURE_ROOM];
	unsigned y = line * CELL_STEP_Y;

	fprintf(to, "<text x=\"-8\" y=\"%u\" font-size=\"9\" text-anchor=\"end\">%" PRIu32, y + 8,
		row->first_size);
	if (row->first_size != row->last_size)
		fprintf(to, "&#8211;%" PRIu32, row->last_size);
	fprintf(to,
		"</text><rect y=\"%u\" width=\"%u\" height=\"%u\" fill-opacity=\"0\"><title>"
		"slots of %" PRIu32 " to %" PRIu32 " bytes: %s MiB held</title></rect>\n",
		y, picture->columns * CELL_STEP_X, row_lines(picture, row) * CELL_STEP_Y,
		row->first_size, row->last_size,
		figure_mib(held, is_after ? row->held_after : row->held_before));
}

static void draw_panel(const struct picture *picture, const struct poolmap *map, int x,
		       const char *title, bool is_after, FILE *to)
{
	char zspages[FIGURE_ROOM];
	char held[FIGURE_ROOM];
	unsigned line = 0;

	fprintf(to,
		"<text x=\"%d\" y=\"%d\" font-size=\"15\"><tspan font-weight=\"bold\">%s:</tspan> "
		"%s zspages hold %s MiB, %.1f %% of it in use</text>\n"
		"<text x=\"%d\" y=\"%d\" font-size=\"9\" text-anchor=\"end\">slot size</text>\n"
		"<g transform=\"translate(%d %d)\">\n",
		x, GRID_TOP - 18, title, figure_count(zspages, map->count),
		figure_mib(held, map->held), figure_percent(map->used, map->held),
		x + LABEL_WIDTH - 8, GRID_TOP - 4, x + LABEL_WIDTH, GRID_TOP);
	for (int band = CELL_NOTHING; band < CELL_BANDS; band++)
		draw_band(picture, is_after, band, to);
	for (unsigned i = 0; i < picture->count; i++) {
		draw_row_label(picture, &picture->rows[i], line, is_after, to);
		line += row_lines(picture, &picture->rows[i]);
	}
	fputs("</g>\n", to);
}

static void draw_swatch(int x, int y, int width, const char *colour, FILE *to)
{
	fprintf(to, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"12\" fill=\"%s\"/>\n", x, y,
		width, colour);
}

static void draw_legend(const struct picture *picture, FILE *to)
{
	int x = MARGIN + LABEL_WIDTH;
	int y = LEGEND_TOP;

	fprintf(to, "<text x=\"%d\" y=\"%d\">in use: 0 %%</text>\n", x, y + 11);
	for (int band = 0; band < CELL_BANDS; band++)
		draw_swatch(x + 76 + band * 24, y, 23, band_colours[band], to);
	fprintf(to, "<text x=\"%d\" y=\"%d\">100 %%</text>\n", x + 322, y + 11);
	draw_swatch(x + 394, y, 23, given_back_colour, to);
	fprintf(to, "<text x=\"%d\" y=\"%d\">given back by compaction</text>\n", x + 424, y + 11);
	fprintf(to,
		"<text x=\"%d\" y=\"%d\">One cell is %" PRIu64
		" KiB of pages that the pool holds, of "
		"zspages next to each other when ordered by slot size, then by fullness.</text>\n",
		x, y + 32, picture->cell_bytes >> 10);
}

/* A bar that stands on BARS_BASE, its value above it. */
static void draw_bar(int x, uint64_t bytes, uint64_t most, const char *colour, FILE *to)
{
	int room = BARS_BASE - BARS_TOP - 16;
	int height = most ? (int)((double)bytes / (double)most * room + 0.5) : 0;
	char mib[FIGURE_ROOM];

	fprintf(to,
		"<rect x=\"%d\" y=\"%d\" width=\"56\" height=\"%d\" fill=\"%s\"/>"
		"<text x=\"%d\" y=\"%d\" font-size=\"11\" text-anchor=\"middle\">%s</text>\n",
		x, BARS_BASE - height, height, colour, x + 28, BARS_BASE - height - 4,
		figure_mib(mib, bytes));
}

static void draw_bars_legend(bool has_malloc, FILE *to)
{
	int x = MARGIN;
	int y = BARS_TOP + 24;

	fprintf(to,
		"<text x=\"%d\" y=\"%d\" font-size=\"15\" font-weight=\"bold\">Held, in "
		"MiB</text>\n",
		x, BARS_TOP + 8);
	draw_swatch(x, y, 12, payload_colour, to);
	fprintf(to, "<text x=\"%d\" y=\"%d\">payload</text>\n", x + 18, y + 11);
	draw_swatch(x, y + 22, 12, pool_colour, to);
	fprintf(to, "<text x=\"%d\" y=\"%d\">the pool</text>\n", x + 18, y + 33);
	if (!has_malloc)
		return;
	draw_swatch(x, y + 44, 12, malloc_colour, to);
	fprintf(to, "<text x=\"%d\" y=\"%d\">malloc, same sizes</text>\n", x + 18, y + 55);
}

static void draw_bars(const struct pack *pack, const struct twin_figures *twin, FILE *to)
{
	static const char *const names[MOMENTS] = { "stored", "half freed", "compacted",
						    "all freed" };
	uint64_t most = 0;

	for (int i = 0; i < MOMENTS; i++) {
		if (pack->moments[i].held > most)
			most = pack->moments[i].held;
		if (twin && twin->held[i] > most)
			most = twin->held[i];
	}
	draw_bars_legend(twin, to);
	for (int i = 0; i < MOMENTS; i++) {
		int x = MARGIN + 190 + i * 240;

		draw_bar(x, pack->moments[i].payload, most, payload_colour, to);
		draw_bar(x + 60, pack->moments[i].held, most, pool_colour, to);
		if (twin)
			draw_bar(x + 120, twin->held[i], most, malloc_colour, to);
		fprintf(to, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s%s</text>\n", x + 88,
			BARS_BASE + 18, names[i],
			twin && i == COMPACTED ? " (malloc: trimmed)" : "");
	}
	fprintf(to, "<path d=\"M%d %dH%d\" stroke=\"#222\"/>\n", MARGIN + 180, BARS_BASE,
		WIDTH - MARGIN);
}

int draw_svg(const struct drawing *drawing, FILE *to)
{
	struct picture picture;

	if (picture_make(&picture, drawing->before, drawing->after, COLUMNS, LINES))
		return -1;
	begin_svg(to);
	draw_title(drawing->pack, to);
	draw_panel(&picture, drawing->before, MARGIN, "Before compaction", false, to);
	draw_panel(&picture, drawing->after, WIDTH / 2 + 4, "After", true, to);
	draw_legend(&picture, to);
	draw_bars(drawing->pack, drawing->twin, to);
	fputs("</svg>\n", to);
	picture_forget(&picture);
	return 0;
}
