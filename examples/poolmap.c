/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Takes the zspages of a pool and lays them out in rows. Ranges of sizes are
 * chosen so that each holds about as much memory as a row has room for, and are
 * the same before and after: what compaction gave back is then what a row lacks.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "measure.h"
#include "poolmap.h"

/* zs_for_each_zspage() holds a lock: note what fits, allocate nothing. */
static void mark_zspage(const struct zs_zspage_info *info, void *data)
{
	struct poolmap *map = data;
	struct zspage_mark *mark = &map->marks[map->count];

	if (map->count == map->room)
		return;
	mark->class_index = info->class_index;
	mark->class_size = (uint32_t)info->class_size;
	mark->held = (uint32_t)(info->pages * map->page_size);
	mark->used = (uint32_t)(info->objects * info->class_size);
	map->held += mark->held;
	map->used += mark->used;
	map->count++;
}

static int by_class_then_fullness(const void *left, const void *right)
{
	const struct zspage_mark *a = left;
	const struct zspage_mark *b = right;
	uint64_t fullness_a = (uint64_t)a->used * b->held;
	uint64_t fullness_b = (uint64_t)b->used * a->held;

	if (a->class_index != b->class_index)
		return a->class_index < b->class_index ? -1 : 1;
	return (fullness_a < fullness_b) - (fullness_a > fullness_b);
}

int poolmap_take(struct poolmap *map, struct zs_pool *pool)
{
	struct zs_pool_stats stats;

	zs_pool_stats(pool, &stats);
	*map = (struct poolmap){ .room = (size_t)stats.zspages, .page_size = stats.page_size };
	map->marks = resident_array(map->room * sizeof(*map->marks));
	if (!map->marks)
		return -1;
	zs_for_each_zspage(pool, mark_zspage, map);
	qsort(map->marks, map->count, sizeof(*map->marks), by_class_then_fullness);
	return 0;
}

void poolmap_forget(struct poolmap *map)
{
	resident_array_free(map->marks, map->room * sizeof(*map->marks));
	*map = (struct poolmap){ 0 };
}

/* The memory of one size class at both moments. */
struct class_memory {
	uint32_t size;
	uint64_t before;
	uint64_t after;
};

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static unsigned cells_of(uint64_t bytes, uint64_t cell_bytes)
{
	uint64_t cells = (bytes + cell_bytes / 2) / cell_bytes;

	return bytes && !cells ? 1 : (unsigned)cells;
}

static unsigned row_cells(const struct maprow *row, uint64_t cell_bytes)
{
	return cells_of(larger(row->held_before, row->held_after), cell_bytes);
}

static void row_add_class(struct maprow *row, const struct class_memory *memory)
{
	if (!row->held_before && !row->held_after)
		row->first_size = memory->size;
	row->last_size = memory->size;
	row->held_before += memory->before;
	row->held_after += memory->after;
}

/*
 * Joins neighbouring classes to rows of at most columns cells; a class that is
 * larger has its row to itself. rows has room for one a class.
 */
static void join_classes(struct picture *picture, const struct class_memory *classes, size_t count)
{
	struct maprow *row = picture->rows;

	*row = (struct maprow){ 0 };
	for (size_t i = 0; i < count; i++) {
		struct maprow joined = *row;

		if (!classes[i].before && !classes[i].after)
			continue;
		row_add_class(&joined, &classes[i]);
		if (row->last_size && row_cells(&joined, picture->cell_bytes) > picture->columns) {
			*++row = (struct maprow){ 0 };
			row_add_class(row, &classes[i]);
		} else {
			*row = joined;
		}
	}
	picture->count = row->last_size ? (unsigned)(row - picture->rows) + 1 : 0;
}

/* How many lines the rows need when long ones are wrapped. */
static unsigned count_lines(const struct picture *picture)
{
	unsigned lines = 0;

	for (unsigned i = 0; i < picture->count; i++) {
		unsigned cells = row_cells(&picture->rows[i], picture->cell_bytes);

		lines += (cells + picture->columns - 1) / picture->columns;
	}
	return lines;
}

static signed char band_of(uint64_t used, uint64_t held)
{
	uint64_t band = used * CELL_BANDS / held;

	return (signed char)(band < CELL_BANDS ? band : CELL_BANDS - 1);
}

/*
 * Spreads the zspages from *mark on that are of sizes up to last_size, held
 * bytes in all, evenly over count cells, a zspage over several if need be.
 */
static void fill_cells(signed char *cells, unsigned count, const struct poolmap *map, size_t *mark,
		       uint32_t last_size, uint64_t held)
{
	double cell_bytes = count ? (double)held / count : 0;
	double missing = cell_bytes; /* of the cell that is being filled */
	double used = 0;
	unsigned cell = 0;

	for (; *mark < map->count && map->marks[*mark].class_size <= last_size; ++*mark) {
		const struct zspage_mark *zspage = &map->marks[*mark];
		double fullness = zspage->held ? (double)zspage->used / zspage->held : 0;
		double left = zspage->held;

		while (left >= missing && cell < count) {
			used += missing * fullness;
			cells[cell++] = band_of((uint64_t)used, (uint64_t)cell_bytes);
			left -= missing;
			missing = cell_bytes;
			used = 0;
		}
		missing -= left;
		used += left * fullness;
	}
	if (cell < count) /* what rounding left of the last cell */
		cells[cell] = band_of((uint64_t)used, (uint64_t)cell_bytes);
}

static int fill_rows(struct picture *picture, const struct poolmap *before,
		     const struct poolmap *after)
{
	uint64_t cell_bytes = picture->cell_bytes;
	size_t all = 0;
	size_t mark_before = 0;
	size_t mark_after = 0;
	signed char *at;

	for (unsigned i = 0; i < picture->count; i++)
		all += 2 * (size_t)row_cells(&picture->rows[i], cell_bytes);
	at = malloc(all ? all : 1);
	if (!at)
		return -1;
	picture->cells = at;
	memset(at, CELL_NOTHING, all);
	for (unsigned i = 0; i < picture->count; i++) {
		struct maprow *row = &picture->rows[i];

		row->cells = row_cells(row, cell_bytes);
		row->before = at;
		row->after = at + row->cells;
		at += 2 * row->cells;
		fill_cells(row->before, cells_of(row->held_before, cell_bytes), before,
			   &mark_before, row->last_size, row->held_before);
		fill_cells(row->after, cells_of(row->held_after, cell_bytes), after, &mark_after,
			   row->last_size, row->held_after);
	}
	return 0;
}

/* One entry a class that occurs, by index. */
static size_t class_room(const struct poolmap *map)
{
	return map->count ? map->marks[map->count - 1].class_index + (size_t)1 : 0;
}

static void sum_classes(struct class_memory *classes, const struct poolmap *map, bool is_after)
{
	for (size_t i = 0; i < map->count; i++) {
		struct class_memory *memory = &classes[map->marks[i].class_index];

		memory->size = map->marks[i].class_size;
		*(is_after ? &memory->after : &memory->before) += map->marks[i].held;
	}
}

int picture_make(struct picture *picture, const struct poolmap *before, const struct poolmap *after,
		 unsigned columns, unsigned lines)
{
	size_t room = larger(class_room(before), class_room(after));
	struct class_memory *classes = calloc(room + 1, sizeof(*classes));
	int failed = -1;

	*picture = (struct picture){ .columns = columns };
	picture->rows = calloc(room + 1, sizeof(*picture->rows));
	if (classes && picture->rows) {
		uint64_t cell_bytes = larger(before->held, after->held) / (columns * lines);

		sum_classes(classes, before, false);
		sum_classes(classes, after, true);
		picture->cell_bytes = larger(cell_bytes, before->page_size);
		join_classes(picture, classes, room);
		while ((picture->lines = count_lines(picture)) > lines) {
			picture->cell_bytes += picture->cell_bytes / 32 + 1;
			join_classes(picture, classes, room);
		}
		failed = fill_rows(picture, before, after);
	}
	free(classes);
	if (failed)
		picture_forget(picture);
	return failed;
}

void picture_forget(struct picture *picture)
{
	free(picture->rows);
	free(picture->cells);
	*picture = (struct picture){ 0 };
}
