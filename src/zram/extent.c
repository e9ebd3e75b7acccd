/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What is stored where. Extents are gathered in batches with a stream taken, and
 * told with none, so that who is told may call into the store.
 */
#include "zram/store.h"

#define BATCH 64u

struct gathering {
	struct zram_extent extent[BATCH];
	unsigned count;
	uint64_t at; /* what lies before it has been looked at */
	uint64_t end;
};

static unsigned flags_of(struct zram *zram, uint64_t block)
{
	struct place place;
	unsigned code, flags = 0;

	if (!table_find(zram->table, block, &place))
		return ZRAM_EXTENT_HOLE | ZRAM_EXTENT_ZERO;
	code = slot_code(place.slot);
	if (code == SLOT_SAME) {
		slot_lock_read(place.slot);
		code = slot_code(place.slot);
		if (code == SLOT_SAME && slot_word(&place) == 0 && slot_word_intact(&place))
			flags = ZRAM_EXTENT_ZERO;
		slot_unlock_read(place.slot);
		if (code == SLOT_EMPTY)
			table_trim(zram->table, &place);
	}
	return code == SLOT_EMPTY ? ZRAM_EXTENT_HOLE | ZRAM_EXTENT_ZERO : flags;
}

/* Adds up to byte to, to the last extent if it is of the same kind. False: no room. */
static bool add(struct gathering *g, uint64_t to, unsigned flags)
{
	struct zram_extent *last = g->count ? &g->extent[g->count - 1] : NULL;

	if (to > g->end)
		to = g->end;
	if (last && last->flags == flags) {
		last->length += to - g->at;
	} else {
		if (g->count == BATCH)
			return false;
		g->extent[g->count++] = (struct zram_extent){ g->at, to - g->at, flags };
	}
	g->at = to;
	return true;
}

/* So many blocks are looked at with a stream taken, at most. */
#define GATHER_BLOCKS (UINT64_C(1) << 18)

static void gather(struct zram *zram, struct gathering *g)
{
	for (uint64_t n = 0; n < GATHER_BLOCKS && g->at < g->end; n++) {
		uint64_t block = g->at >> zram->block_shift;
		uint64_t next = table_next(zram->table, block);
		uint64_t last = (g->end - 1) >> zram->block_shift;
		unsigned flags = ZRAM_EXTENT_HOLE | ZRAM_EXTENT_ZERO;

		if (next > last + 1)
			next = last + 1;
		if (next == block) {
			flags = flags_of(zram, block);
			next = block + 1;
		}
		if (!add(g, next << zram->block_shift, flags))
			return;
	}
}

/*
 * Tells what was gathered. The last extent is told only when something else follows it,
 * or the end: it may go on.
 */
static int tell(struct gathering *g, zram_extent_fn *visit, void *data)
{
	unsigned whole = g->at < g->end ? g->count - 1 : g->count;

	for (unsigned i = 0; i < whole; i++) {
		int result = visit(&g->extent[i], data);

		if (result)
			return result;
	}
	if (whole < g->count)
		g->extent[0] = g->extent[whole];
	g->count -= whole;
	return 0;
}

int zram_get_extents(struct zram *zram, uint64_t offset, uint64_t length, zram_extent_fn *visit,
		     void *data)
{
	struct gathering g = { .at = offset };
	int result = 0;

	do {
		struct stream *stream = stream_take(&zram->streams);
		uint64_t size = zram->size;

		if (!g.end && offset < size)
			g.end = length < size - offset ? offset + length : size;
		if (g.at < g.end)
			gather(zram, &g);
		stream_release(&zram->streams, stream);
		if (g.count)
			result = tell(&g, visit, data);
	} while (g.at < g.end && !result);
	return result;
}
