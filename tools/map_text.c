/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The map as text of 80 columns: for each row a bar of the memory it holds, and a cell for
 * each fullness band, which says by its colour or character how many zspages are in it.
 */
#include <inttypes.h>
#include <stdio.h>

#include "map.h"
#include "units.h"

#define BAR_CELLS 26u
#define STEPS     10u

/* Steps of matplotlib's viridis among a terminal's 256 colours; 0 is for no zspages. */
static const unsigned char step_colours[STEPS] = { 0, 53, 54, 60, 24, 30, 35, 77, 148, 226 };
static const char step_characters[STEPS + 1] = " .:-=+*%#@";

/* Used slots in one colour, free ones in another. */
static void draw_bar(const struct map *map, const struct map_row *row, bool has_colour, FILE *to)
{
	unsigned held =
		map->most_held
			? (unsigned)((row->held * BAR_CELLS + map->most_held / 2) / map->most_held)
			: 0;
	unsigned used;

	if (row->held && !held)
		held = 1;
	used = row->held ? (unsigned)((row->in_use * held + row->held / 2) / row->held) : 0;
	if (has_colour)
		fputs("\033[36m", to);
	for (unsigned i = 0; i < BAR_CELLS; i++) {
		if (has_colour && i == used)
			fputs("\033[33m", to);
		fputc(i < used ? '#' : i < held ? '-' : ' ', to);
	}
	if (has_colour)
		fputs("\033[0m", to);
}

static void draw_step(unsigned step, bool has_colour, FILE *to)
{
	if (!has_colour)
		fprintf(to, "%c%c", step_characters[step], step_characters[step]);
	else if (!step)
		fputs("\033[2m. \033[0m", to);
	else
		fprintf(to, "\033[48;5;%um  \033[0m", step_colours[step]);
}

static void draw_row(const struct map *map, const struct map_row *row, bool has_colour, FILE *to)
{
	char held[FIGURE_ROOM];

	fprintf(to, "%5" PRIu64 "-%-5" PRIu64 "%9s %3.0f%% ", row->first_size, row->last_size,
		row->held ? figure_bytes(held, row->held) : "-", percent(row->in_use, row->held));
	draw_bar(map, row, has_colour, to);
	fputs(" |", to);
	for (unsigned band = 0; band < ZS_FULLNESS_BANDS; band++)
		draw_step(map_step(map, row->zspages[band], STEPS), has_colour, to);
	fputs("|\n", to);
}

static void draw_legend(const struct map *map, bool has_colour, FILE *to)
{
	fputs("\n  memory: # in use, - free slots        zspages: ", to);
	for (unsigned step = 1; step < STEPS; step++)
		draw_step(step, has_colour, to);
	fprintf(to, "\n%50s%-9s%9" PRIu64 "\n", "", "1", map->most_zspages);
}

void map_draw_text(const struct map *map, bool has_colour, FILE *to)
{
	char held[FIGURE_ROOM];
	char objects[FIGURE_ROOM];
	char reclaimable[FIGURE_ROOM];

	fprintf(to,
		"%s: %s\n"
		"%s objects in pages of %s, %.1f %% of it in use; compaction would give back %s\n\n",
		map->label, map->what, figure_count(objects, map->pool.objects),
		figure_bytes(held, map->pool.held), percent(map->pool.in_use, map->pool.held),
		figure_bytes(reclaimable, map->pool.reclaimable));
	fprintf(to, "%-11s%9s %4s %-26s |%-11s%11s|\n", " slot bytes", "memory", "use", "",
		"0 % in use", "100 %");
	for (unsigned i = 0; i < map->count; i++)
		draw_row(map, &map->rows[i], has_colour, to);
	draw_legend(map, has_colour, to);
}
