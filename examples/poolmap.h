/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * A picture of a pool's zspages before and after compaction, as numbers: rows
 * of cells, a row for each range of object sizes, a cell for so many bytes of
 * pages that the pool holds, and how full these are. Drawing is elsewhere.
 */
#ifndef POOLMAP_H
#define POOLMAP_H

#include <stddef.h>
#include <stdint.h>

#include <zsmalloc.h>

/* One zspage, as far as it is drawn. */
struct zspage_mark {
	uint32_t class_index;
	uint32_t class_size; /* bytes a slot */
	uint32_t held;       /* bytes of pages */
	uint32_t used;       /* bytes of slots in use */
};

/* The zspages of a pool at one moment, by class size, the fullest of a class first. */
struct poolmap {
	struct zspage_mark *marks;
	size_t count;
	size_t room;
	uint64_t held;
	uint64_t used;
	size_t page_size;
};

/* Looks at the pool. Returns 0, or -1 if memory is short. */
int poolmap_take(struct poolmap *map, struct zs_pool *pool);

void poolmap_forget(struct poolmap *map);

/* A cell is full to at least band * 10 % and less than (band + 1) * 10 %; 9 includes 100 %. */
#define CELL_BANDS   10
#define CELL_NOTHING (-1) /* holds no memory: was given back, or not yet taken */

/* A range of object sizes. It fills one row, or several if there is but one size in it. */
struct maprow {
	uint32_t first_size;
	uint32_t last_size;
	unsigned cells; /* of before and after */
	signed char *before;
	signed char *after;
	uint64_t held_before; /* bytes */
	uint64_t held_after;
};

struct picture {
	struct maprow *rows;
	unsigned count;
	unsigned columns; /* a row's cells are wrapped at so many */
	unsigned lines;   /* what all rows need, wrapped */
	uint64_t cell_bytes;
	signed char *cells; /* what before and after of all rows point into */
};

/*
 * Lays both moments out, alike and to one scale, in at most lines lines of at
 * most columns cells. Returns 0, or -1 if memory is short.
 */
int picture_make(struct picture *picture, const struct poolmap *before, const struct poolmap *after,
		 unsigned columns, unsigned lines);

void picture_forget(struct picture *picture);

#endif /* POOLMAP_H */
