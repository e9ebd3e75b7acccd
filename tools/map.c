/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * zram map: where in the pool the memory is, by size class and fullness. Takes
 * the classes from the disk and sums them up; two other files draw that.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "map.h"
#include "say.h"
#include "terminal.h"

#define TEXT_ROWS 16u
#define SVG_ROWS  MAX_MAP_ROWS

static const char help[] =
	"Usage: zram map [OPTION]...\n"
	"Draws the memory of a disk's pool by the size of its slots (that is, how large blocks\n"
	"are after compression) and by how full the zspages are.\n"
	"\n" TARGET_HELP "  --svg FILE       draw it finer into this file instead\n"
	"  --help           show this\n"
	"\n"
	"Colour is used on a terminal, unless NO_COLOR is set.\n";

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

unsigned map_step(const struct map *map, uint64_t zspages, unsigned steps)
{
	unsigned bits = 0;
	unsigned most = 0;

	if (!zspages)
		return 0;
	while (zspages >>= 1)
		bits++;
	for (uint64_t rest = map->most_zspages; rest >>= 1;)
		most++;
	return most ? 1 + bits * (steps - 2) / most : steps - 1;
}

static void add_class(struct map_row *row, const struct class_figures *class)
{
	uint64_t in_use = class->objects * class->size;
	uint64_t held = class_held(class);

	row->held += held;
	row->in_use += in_use < held ? in_use : held;
	row->objects += class->objects;
	for (unsigned band = 0; band < ZS_FULLNESS_BANDS; band++)
		row->zspages[band] += class->zspages[band];
}

/* Rows of the same width in bytes, so that their lengths are a histogram of the blocks. */
static void fill_rows(struct map *map, const struct class_figures *classes, size_t count,
		      uint64_t block_size, unsigned rows)
{
	uint64_t width = block_size / rows;

	map->count = rows;
	for (unsigned i = 0; i < rows; i++) {
		map->rows[i].first_size = i * width + 1;
		map->rows[i].last_size = (i + 1) * width;
	}
	for (size_t i = 0; i < count; i++) {
		uint64_t at = (classes[i].size - 1) / width;

		add_class(&map->rows[at < rows ? at : rows - 1], &classes[i]);
	}
	for (unsigned i = 0; i < rows; i++) {
		map->most_held = larger(map->most_held, map->rows[i].held);
		for (unsigned band = 0; band < ZS_FULLNESS_BANDS; band++)
			map->most_zspages = larger(map->most_zspages, map->rows[i].zspages[band]);
	}
}

static void take_map(struct map *map, struct control *control, unsigned rows)
{
	char *algorithm = take_algorithm(control);
	struct zram_stats stats;
	size_t count;
	struct class_figures *classes;

	take_figures(control, &stats);
	classes = take_classes(control, &count);
	map->label = control_label(control);
	map->what = describe_disk(&stats, algorithm);
	map->pool = sum_classes(classes, count);
	fill_rows(map, classes, count, stats.block_size, rows);
	free(classes);
	free(algorithm);
}

static void write_svg(const struct map *map, const char *path)
{
	FILE *svg = fopen(path, "w");
	int is_bad;

	if (!svg)
		die(EXIT_FAILURE, "%s: %s", path, strerror(errno));
	map_draw_svg(map, svg);
	is_bad = ferror(svg);
	if (fclose(svg) || is_bad)
		die(EXIT_FAILURE, "%s: %s", path, strerror(errno));
	printf("%s: drawn into %s\n", map->label, path);
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		TARGET_OPTIONS,
		{ "svg", required_argument, NULL, 's' },
		HELP_OPTION,
		END_OPTIONS,
	};
	static struct map map;
	struct target target = { NULL, NULL };
	const char *svg = NULL;
	struct control *control;
	int option;

	while ((option = next_option(&map_command, argc, argv, options)) != -1)
		if (!target_option(&map_command, &target, option))
			svg = optarg;
	check_words(&map_command, argc, argv, 0, 0, "");
	control = control_open(&target);
	take_map(&map, control, svg ? SVG_ROWS : TEXT_ROWS);
	if (svg)
		write_svg(&map, svg);
	else
		map_draw_text(&map, terminal_has_colour(), stdout);
	free(map.what);
	control_close(control);
	return EXIT_SUCCESS;
}

const struct command map_command = {
	.name = "map",
	.summary = "draw the pool by size and fullness",
	.help = help,
	.run = run,
};
