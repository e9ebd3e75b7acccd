/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The store's own data, each field made wrong once. libzram has no call that checks: what
 * is stored of blocks is checked as they are read, and everything else here, by an audit that
 * recomputes it. So this says of the audit that the fault tests rely on that it sees all.
 */
#include "../zram/store.h"

#include <stdio.h>

#include "fields.h"
#include "store_audit.h"
#include "zram/store.h"

#define BLOCKS 500

static struct scene {
	struct zram *zram;
	struct place packed, raw, same; /* blocks of these kinds */
	struct node *lowest;            /* of the table: its first child is a chunk */
} s;

/* What the audit says of slots, a read says: never other bytes, EIO instead. */
static void read_wrong_slot(uint64_t block, const void *field, size_t size)
{
	unsigned char bytes[BLOCK], expected[BLOCK];
	void *at = (void *)(uintptr_t)field;
	unsigned char before[8];

	memcpy(before, field, size);
	stamp_fill(expected, BLOCK, stamp_key(block % 4, block));
	for (unsigned bit = 0; bit < 8 * size; bit++) {
		((unsigned char *)at)[bit / 8] ^= (unsigned char)(1u << bit % 8);
		ssize_t done = zram_pread(s.zram, bytes, BLOCK, block * BLOCK);
		assert_true(done == BLOCK ? !memcmp(bytes, expected, BLOCK) : errno == EIO);
		assert_int_equal(done, -1);
		memcpy(at, before, size);
	}
	assert_stamp(s.zram, block, stamp_key(block % 4, block));
}

static void open_scene(void)
{
	const struct zram_options options = { .size = BLOCKS * BLOCK,
					      .mem_limit = MIB(64),
					      .compaction = ZS_COMPACTION_MANUAL };
	const char *wrong;

	s.zram = store_open(&options);
	for (uint64_t i = 0; i < BLOCKS; i++)
		write_stamp(s.zram, i, stamp_key(i % 4, i));
	assert_true(table_find(s.zram->table, FILLED, &s.same));
	assert_true(table_find(s.zram->table, RAW, &s.raw));
	assert_true(table_find(s.zram->table, PACKED, &s.packed));
	s.lowest = &s.zram->table->root;
	for (unsigned level = 1; level < NODE_LEVELS; level++)
		s.lowest = s.lowest->child[0];
	wrong = store_audit(s.zram, 1);
	if (wrong)
		print_error("%s\n", wrong);
	assert_null(wrong);
}

/* Adds delta to a field of so many bytes, looks, and takes it away again. */
static void corrupt(const char *name, void *field, size_t size, uint64_t delta)
{
	uint64_t value = 0, wrong;
	const char *found;

	memcpy(&value, field, size);
	wrong = value + delta;
	memcpy(field, &wrong, size);
	found = store_audit(s.zram, 0);
	memcpy(field, &value, size);
	if (!found)
		print_error("%s + %llu: not noticed\n", name, (unsigned long long)delta);
	fields_tried(found != NULL);
	found = store_audit(s.zram, 0);
	if (found)
		print_error("%s, put right: %s\n", name, found);
	assert_null(found);
}

#define WRONG(type, at, field, delta)                                                             \
	do {                                                                                      \
		const struct type *checked_type = (at);                                           \
                                                                                                  \
		(void)checked_type;                                                               \
		fields_note(#type, #field, NOTICED, NULL);                                        \
		corrupt(#type "." #field, (void *)(uintptr_t) & (at)->field, sizeof((at)->field), \
			(uint64_t)(delta));                                                       \
	} while (0)

#define WRONG_BOTH(type, at, field)         \
	do {                                \
		WRONG(type, at, field, 1);  \
		WRONG(type, at, field, -1); \
	} while (0)

#define NOTE(type, field, verdict, why)                   \
	do {                                              \
		(void)offsetof(struct type, field);       \
		fields_note(#type, #field, verdict, why); \
	} while (0)

static void corrupt_store(void)
{
	struct zram *zram = s.zram;
	struct budget *budget = &zram->budget;

	WRONG_BOTH(zram, zram, codec);
	WRONG_BOTH(zram, zram, table);
	WRONG_BOTH(zram, zram, pool);
	WRONG_BOTH(zram, zram, compaction);
	WRONG_BOTH(zram, zram, block_size);
	WRONG_BOTH(zram, zram, block_shift);
	WRONG_BOTH(zram, zram, unit);
	WRONG_BOTH(zram, zram, raw_from);
	WRONG_BOTH(zram, zram, size);
	WRONG(zram, zram, checksum, -1);
	WRONG(zram, zram, zero_on_free, 1);
	NOTE(zram, budget, SUM, NULL);
	NOTE(zram, streams, SUM, NULL);
	NOTE(zram, reclaim, STANDSTILL, "a lock: writes at the end of memory wait");
	WRONG_BOTH(budget, budget, pool);
	WRONG(budget, budget, limit, 1 << 20);
	WRONG_BOTH(budget, budget, held);
	WRONG(budget, budget, peak, 1 - budget->peak);
	NOTE(budget, lock, STANDSTILL, "a lock: who takes memory waits");
}

static void corrupt_streams(void)
{
	struct streams *streams = &s.zram->streams;
	struct stream *stream = streams->stream[0];

	WRONG_BOTH(streams, streams, budget);
	WRONG_BOTH(streams, streams, codec);
	WRONG_BOTH(streams, streams, waiters);
	WRONG(streams, streams, quiescing, 1);
	WRONG(streams, streams, wipes, 1);
	WRONG_BOTH(streams, streams, max);
	WRONG_BOTH(streams, streams, made);
	WRONG_BOTH(streams, streams, stream[0]);
	WRONG_BOTH(streams, streams, stream[5]);
	WRONG_BOTH(streams, streams, bytes);
	NOTE(streams, lock, STANDSTILL, "a lock: who needs another stream waits");
	NOTE(streams, freed, STANDSTILL, "who waits for a stream is not woken");
	WRONG(stream, stream, busy, 1);
	for (unsigned i = 0; i <= RAW_BLOCKS; i++)
		WRONG_BOTH(stream, stream, count[i]);
	NOTE(stream, kit, SUM, NULL);
	WRONG_BOTH(kit, &stream->kit, context);
	WRONG_BOTH(kit, &stream->kit, compressed);
	WRONG_BOTH(kit, &stream->kit, block);
	WRONG_BOTH(kit, &stream->kit, bytes);
}

static void corrupt_codec(void)
{
	struct codec *codec = s.zram->codec;

	WRONG_BOTH(codec, codec, ops);
	WRONG_BOTH(codec, codec, level);
	WRONG_BOTH(codec, codec, block_size);
	WRONG_BOTH(codec, codec, dictionary);
	WRONG_BOTH(codec, codec, dictionary_size);
	WRONG_BOTH(codec, codec, shared);
	WRONG_BOTH(codec, codec, shared_bytes);
}

static void corrupt_table(void)
{
	struct table *table = s.zram->table;
	struct chunk *chunk = s.packed.chunk;

	WRONG_BOTH(table, table, budget);
	WRONG_BOTH(table, table, bytes);
	NOTE(table, root, SUM, NULL);
	NOTE(table, lock, STANDSTILL, "a lock: who makes or drops leaves waits");
	WRONG(node, &table->root, child[0], -(uintptr_t)table->root.child[0]);
	WRONG(node, s.lowest, child[0], -(uintptr_t)s.lowest->child[0]);
	WRONG_BOTH(chunk, chunk, present[0]);
	WRONG(chunk, chunk, present[0], 1u << 9);
	NOTE(chunk, leaf, SUM, NULL);
	NOTE(chunk, unused, HARMLESS, "never read: it only fills the first page");
	NOTE(leaf, slot, SUM, NULL);
	NOTE(leaf, unused, HARMLESS, "never read");
	WRONG_BOTH(leaf, s.packed.leaf, high[PACKED]);
	WRONG_BOTH(leaf, s.raw.leaf, high[RAW]);
	WRONG_BOTH(leaf, s.same.leaf, high[FILLED]);
}

/* Its kind and length, and its lock; handle and checksum; or the repeated word. */
static void corrupt_slot(const struct place *place)
{
	struct slot *slot = place->slot;

	for (unsigned bit = 0; bit < 16; bit++)
		WRONG(slot, slot, head, 1u << bit);
	WRONG(slot, slot, head, -slot->head);
	for (unsigned word = 0; word < 4; word++) {
		for (unsigned bit = 0; bit < 16; bit++)
			WRONG(slot, slot, word[word], 1u << bit);
	}
}

static const char *const not_kept[] = {
	"place",
	"codec_ops",
	"codec_options", /* on the stack; code; arguments */
	NULL,
};

static void every_field_made_wrong_is_noticed(void **state)
{
	(void)state;
	open_scene();
	corrupt_store();
	corrupt_streams();
	corrupt_codec();
	corrupt_table();
	corrupt_slot(&s.packed);
	corrupt_slot(&s.raw);
	corrupt_slot(&s.same);
	read_wrong_slot(PACKED, s.packed.slot->word, 8);
	read_wrong_slot(RAW, s.raw.slot->word, 8);
	read_wrong_slot(FILLED, s.same.slot->word, 8);
	store_close(s.zram);
}

static void no_field_is_forgotten(void **state)
{
	static const char *const headers[] = { "store.h", "table.h", "stream.h", "budget.h",
					       "codec.h" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(headers); i++) {
		char path[512];

		snprintf(path, sizeof(path), "%s/src/zram/%s", SOURCE_ROOT, headers[i]);
		fields_compare(path, not_kept);
	}
	fields_print("store");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_made_wrong_is_noticed),
		cmocka_unit_test(no_field_is_forgotten),
	};

	return cmocka_run_group_tests_name("zram-fields", tests, NULL, NULL);
}
