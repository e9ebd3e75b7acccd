/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * From the slots everything is recomputed that is counted; each object is read and its
 * checksum compared; what is fixed when a store is made has to be as it was.
 */
#include "store_audit.h"

#include <string.h>

#include "zram/checksum.h"
#include "zram/store.h"

#define EXPECT(holds, what)          \
	do {                         \
		if (!(holds))        \
			return what; \
	} while (0)

/* --- what never changes --- */

/* Copies, and for what a pointer leads to the pointer. */
static struct {
	struct zram zram;
	struct codec codec;
	struct stream *stream[STREAMS_MAX];
	struct kit kit[STREAMS_MAX];
	unsigned made;
} known;

static void remember(const struct zram *zram)
{
	memcpy(&known.zram, zram, sizeof(*zram));
	known.codec = *zram->codec;
	known.made = zram->streams.made;
	for (unsigned i = 0; i < known.made; i++) {
		known.stream[i] = zram->streams.stream[i];
		known.kit[i] = known.stream[i]->kit;
	}
}

#define SAME(field) (zram->field == known.zram.field)

static const char *audit_constants(const struct zram *zram)
{
	EXPECT(SAME(codec) && SAME(table) && SAME(pool) && SAME(compaction),
	       "a part was exchanged");
	EXPECT(SAME(block_size) && SAME(block_shift) && SAME(unit) && SAME(raw_from) &&
		       SAME(zero_on_free) && SAME(streams.wipes),
	       "a constant has changed");
	EXPECT(zram->block_size == (size_t)1 << zram->block_shift &&
		       zram->unit == zram->block_size / 4096,
	       "block_size, block_shift and unit disagree");
	EXPECT(zram->streams.codec == zram->codec && zram->streams.budget == &zram->budget,
	       "streams have another codec or budget");
	EXPECT(zram->budget.pool == zram->pool && zram->table->budget == &zram->budget,
	       "the budget is another's");
	EXPECT(!memcmp(&known.codec, zram->codec, sizeof(known.codec)), "the codec has changed");
	EXPECT(SAME(size) && SAME(checksum) && SAME(streams.max), "a setting has changed");
	return NULL;
}

/* --- streams --- */

static const char *audit_streams(struct zram *zram)
{
	struct streams *streams = &zram->streams;
	uint64_t bytes = 0, stream_bytes = (sizeof(struct stream) + 63) / 64 * 64;

	EXPECT(streams->made && streams->made <= STREAMS_MAX && streams->made == known.made,
	       "there are other streams than were made");
	EXPECT(streams->max && streams->max <= STREAMS_MAX, "no such number of streams");
	EXPECT(!streams->waiters && !streams->quiescing, "somebody waits where nobody can");
	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		struct stream *stream = streams->stream[i];

		EXPECT(i < streams->made ? stream == known.stream[i] : !stream,
		       "a stream is somewhere else");
		if (!stream)
			continue;
		EXPECT(!stream->busy, "a stream is busy, and no call under way");
		EXPECT(!memcmp(&stream->kit, &known.kit[i], sizeof(struct kit)),
		       "what a stream works with has changed");
		bytes += stream_bytes + stream->kit.bytes;
	}
	EXPECT(streams->bytes == bytes, "the streams' bytes are wrong");
	return NULL;
}

/* --- slots --- */

struct sums {
	uint64_t stored, same, raw, bytes, objects, table_bytes;
	const char *wrong;
};

static const char *audit_object(struct zram *zram, const struct place *place, unsigned code,
				struct sums *sums)
{
	size_t length = code == SLOT_RAW ? zram->block_size : (size_t)code * zram->unit;
	zs_handle handle = (zs_handle)slot_handle(place);
	const void *object;
	bool intact;

	sums->objects++;
	sums->bytes += length;
	sums->raw += code == SLOT_RAW;
	object = zs_map_object(zram->pool, handle, ZS_MM_RO);
	EXPECT(object, "a handle was refused");
	intact = !slot_checksum(place) || slot_checksum(place) == zram_checksum(object, length);
	zs_unmap_object(zram->pool, handle);
	EXPECT(intact, "an object has another checksum");
	EXPECT(slot_checksum(place) || !zram->checksum, "an object has no checksum");
	EXPECT(zs_object_size(zram->pool, handle) >= length, "an object is too short");
	return NULL;
}

static const char *audit_slot(struct zram *zram, const struct place *place, struct sums *sums)
{
	unsigned head = atomic_load(&place->slot->head), code = head >> SLOT_CODE_SHIFT;

	EXPECT(!(head & SLOT_LOCK), "a slot is locked, and no call under way");
	if (code == SLOT_EMPTY)
		return NULL;
	sums->stored++;
	if (code != SLOT_SAME)
		return audit_object(zram, place, code, sums);
	sums->same++;
	EXPECT(slot_word_intact(place), "a repeated word has changed");
	return NULL;
}

static const char *audit_chunk(struct zram *zram, struct chunk *chunk, struct sums *sums)
{
	for (unsigned i = 0; i < CHUNK_LEAVES; i++) {
		bool present = chunk->present[i / 64] >> i % 64 & 1;
		struct place place = { .chunk = chunk, .leaf = &chunk->leaf[i], .leaf_index = i };
		uint64_t before = sums->stored;

		/* One that is not present is not real: its slots are not to be looked at. */
		if (!present)
			continue;
		sums->table_bytes += LEAF_BYTES;
		for (place.index = 0; place.index < LEAF_SLOTS; place.index++) {
			place.slot = &place.leaf->slot[place.index];
			const char *wrong = audit_slot(zram, &place, sums);
			if (wrong)
				return wrong;
		}
		EXPECT(sums->stored > before, "a leaf is empty but was not given back");
	}
	return NULL;
}

static const char *audit_node(struct zram *zram, struct node *node, unsigned level,
			      struct sums *sums)
{
	const char *wrong = NULL;

	for (unsigned i = 0; i < 1u << NODE_BITS && !wrong; i++) {
		void *child = node->child[i];

		if (!child)
			continue;
		sums->table_bytes += LEAF_BYTES;
		wrong = level ? audit_node(zram, child, level - 1, sums)
			      : audit_chunk(zram, child, sums);
	}
	return wrong;
}

/* --- the sums --- */

static const char *audit_counts(struct zram *zram, const struct sums *sums)
{
	struct streams *streams = &zram->streams;
	struct zs_pool_stats pool;

	zs_pool_stats(zram->pool, &pool);
	EXPECT(streams_count(streams, STORED_BLOCKS) == sums->stored, "STORED_BLOCKS is wrong");
	EXPECT(streams_count(streams, STORED_BYTES) == sums->bytes, "STORED_BYTES is wrong");
	EXPECT(streams_count(streams, SAME_BLOCKS) == sums->same, "SAME_BLOCKS is wrong");
	EXPECT(streams_count(streams, RAW_BLOCKS) == sums->raw, "RAW_BLOCKS is wrong");
	EXPECT(pool.objects == sums->objects, "the pool has objects that no slot has");
	EXPECT(zram->table->bytes == sums->table_bytes, "the table's bytes are wrong");
	EXPECT(zram->budget.held == ZRAM_OWN_BYTES + codec_bytes(zram->codec) +
					    zram->streams.bytes + zram->table->bytes,
	       "the budget is not the sum of its parts");
	EXPECT(pool.limit_bytes / pool.page_size ==
		       (zram->budget.limit ? (zram->budget.limit > zram->budget.held
						      ? zram->budget.limit - zram->budget.held
						      : 1) /
						     pool.page_size
					   : 0),
	       "the pool's limit is not what is left over");
	EXPECT(zram->budget.peak >= zram->budget.held + pool.total_bytes || zram->budget.peak == 0,
	       "the peak is below the total");
	return NULL;
}

const char *store_audit(struct zram *zram, int first)
{
	struct sums sums = { 0 };
	const char *wrong;

	if (first)
		remember(zram);
	wrong = audit_constants(zram);
	if (!wrong)
		wrong = audit_streams(zram);
	if (!wrong && zs_check(zram->pool, NULL, NULL))
		wrong = "the pool is broken";
	if (!wrong)
		wrong = audit_node(zram, &zram->table->root, NODE_LEVELS - 1, &sums);
	return wrong ? wrong : audit_counts(zram, &sums);
}
