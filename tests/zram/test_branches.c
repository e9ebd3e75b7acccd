/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What users of a store seldom get to: very many blocks, slots that are held or
 * damaged just then, options at the far end. Some of it can only be brought about from inside.
 */
#include "store.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../src/zram/store.h"

/* --- extents --- */

struct told {
	uint64_t count, bytes, stop_after;
	unsigned flags; /* of the last */
};

static int note(const struct zram_extent *extent, void *data)
{
	struct told *told = data;

	assert_true(extent->offset == told->bytes);
	told->count++;
	told->bytes += extent->length;
	told->flags = extent->flags;
	return told->count == told->stop_after ? 7 : 0;
}

/* More than are looked at in one go. */
static void extents_of_many_blocks_are_told_whole(void **state)
{
	uint64_t blocks = (UINT64_C(1) << 18) + 1000;
	struct zram_options options = { .size = blocks * BLOCK };
	struct zram *zram = store_open(&options);
	struct told told = { 0 };
	static char ones[64 * BLOCK];

	(void)state;
	memset(ones, 1, sizeof(ones));
	for (uint64_t at = 0; at < options.size; at += sizeof(ones)) {
		size_t count = options.size - at < sizeof(ones) ? (size_t)(options.size - at)
								: sizeof(ones);
		assert_int_equal(zram_pwrite(zram, ones, count, at), count);
	}
	assert_int_equal(zram_get_extents(zram, 0, UINT64_MAX, note, &told), 0);
	assert_int_equal(told.count, 1);
	assert_int_equal(told.bytes, options.size);
	assert_int_equal(told.flags, 0);
	store_close(zram);
}

/* Every second block is there: more extents than are told in one go. */
static void who_is_told_of_extents_may_stop_at_any(void **state)
{
	struct zram_options options = { .size = 400 * BLOCK };
	struct zram *zram = store_open(&options);
	struct told all = { 0 };

	(void)state;
	for (uint64_t block = 0; block < 400; block += 2)
		write_stamp(zram, block, stamp_key(THIN, block));
	assert_int_equal(zram_get_extents(zram, 0, UINT64_MAX, note, &all), 0);
	assert_int_equal(all.count, 400);
	assert_int_equal(all.bytes, options.size);
	for (uint64_t stop = 1; stop <= 400; stop++) {
		struct told told = { .stop_after = stop };

		assert_int_equal(zram_get_extents(zram, 0, UINT64_MAX, note, &told), 7);
		assert_int_equal(told.count, stop);
		assert_int_equal(told.bytes, stop * BLOCK);
	}
	store_close(zram);
}

/* --- slots --- */

static struct place find(struct zram *zram, uint64_t block)
{
	struct place place;

	assert_true(table_find(zram->table, block, &place));
	return place;
}

static void a_damaged_block_of_zeros_is_not_told_to_be_zero(void **state)
{
	struct zram_options options = { .size = 3 * BLOCK };
	struct zram *zram = store_open(&options);
	const char zeros[BLOCK] = { 0 };
	struct told told = { 0 };
	char block[BLOCK];

	(void)state;
	assert_int_equal(zram_pwrite(zram, zeros, BLOCK, 0), BLOCK);
	assert_int_equal(zram_get_extents(zram, 0, BLOCK, note, &told), 0);
	assert_int_equal(told.flags, ZRAM_EXTENT_ZERO);
	struct place place = find(zram, 0);
	place.leaf->high[place.index] ^= 1;
	told = (struct told){ 0 };
	assert_int_equal(zram_get_extents(zram, 0, BLOCK, note, &told), 0);
	assert_int_equal(told.flags, 0);
	assert_refused(zram_pread(zram, block, BLOCK, 0), EIO);
	assert_int_equal(zram_pwrite(zram, zeros, BLOCK, 0), BLOCK);
	assert_bytes(zram, 0, BLOCK, 0);
	store_close(zram);
}

/* A call that meets a slot which the test has locked, in a thread of its own. */
struct call {
	struct zram *zram;
	void (*body)(struct zram *zram);
	atomic_bool done;
	pthread_t thread;
};

static void *run_call(void *arg)
{
	struct call *call = arg;

	call->body(call->zram);
	atomic_store(&call->done, true);
	return NULL;
}

/* Begins it, and lets it come to the lock; it does not come any further. */
static void begin_call(struct call *call, struct zram *zram, void (*body)(struct zram *zram))
{
	*call = (struct call){ .zram = zram, .body = body };
	assert_int_equal(pthread_create(&call->thread, NULL, run_call, call), 0);
	for (unsigned i = 0; i < 2000; i++)
		sched_yield();
	assert_false(atomic_load(&call->done));
}

static void end_call(struct call *call)
{
	assert_int_equal(pthread_join(call->thread, NULL), 0);
	assert_true(atomic_load(&call->done));
}

static void read_stamp(struct zram *zram)
{
	assert_stamp(zram, 0, stamp_key(PACKED, 1));
}

static void write_other_stamp(struct zram *zram)
{
	write_stamp(zram, 0, stamp_key(PACKED, 2));
}

/* So many can read a block at the same time; one more waits, and so does who writes. */
static void readers_are_waited_for(void **state)
{
	struct zram_options options = { .size = 3 * BLOCK };
	struct zram *zram = store_open(&options);
	struct call reader, writer;

	(void)state;
	write_stamp(zram, 0, stamp_key(PACKED, 1));
	struct place place = find(zram, 0);
	for (unsigned i = 0; i < SLOT_READERS_MAX; i++)
		slot_lock_read(place.slot);
	begin_call(&reader, zram, read_stamp);
	for (unsigned i = 0; i < SLOT_READERS_MAX; i++)
		slot_unlock_read(place.slot);
	end_call(&reader);
	slot_lock_read(place.slot);
	begin_call(&writer, zram, write_other_stamp);
	slot_unlock_read(place.slot);
	end_call(&writer);
	assert_stamp(zram, 0, stamp_key(PACKED, 2));
	store_close(zram);
}

static void expect_hole(struct zram *zram)
{
	struct told told = { 0 };

	assert_int_equal(zram_get_extents(zram, 0, BLOCK, note, &told), 0);
	assert_int_equal(told.flags, ZRAM_EXTENT_HOLE | ZRAM_EXTENT_ZERO);
}

static void expect_data(struct zram *zram)
{
	struct told told = { 0 };

	assert_int_equal(zram_get_extents(zram, 0, BLOCK, note, &told), 0);
	assert_int_equal(told.flags, 0);
}

static void expect_zeros(struct zram *zram)
{
	assert_bytes(zram, 0, BLOCK, 0);
}

static void discard_first(struct zram *zram)
{
	assert_int_equal(zram_discard(zram, 0, BLOCK), 0);
}

/*
 * Calls that found a block filled, and find something else there once they have its lock: the
 * test unlocks it as who discarded or wrote it would, and makes it again what the store's counters
 * take it for.
 */
static void blocks_that_change_while_they_are_waited_for(void **state)
{
	static const struct {
		void (*body)(struct zram *);
		unsigned code;
	} calls[] = {
		{ expect_hole, SLOT_EMPTY },
		{ expect_data, SLOT_RAW },
		{ expect_zeros, SLOT_EMPTY },
		{ discard_first, SLOT_EMPTY },
	};
	struct zram_options options = { .size = 3 * BLOCK };
	struct zram *zram = store_open(&options);

	(void)state;
	write_stamp(zram, 0, stamp_key(FILLED, 1));
	write_stamp(zram, 1, stamp_key(FILLED, 2));
	struct place place = find(zram, 0);
	uint64_t word = slot_word(&place);
	for (unsigned i = 0; i < COUNT_OF(calls); i++) {
		struct call call;

		slot_lock_write(place.slot);
		begin_call(&call, zram, calls[i].body);
		slot_unlock_write(place.slot, calls[i].code);
		end_call(&call);
		assert_int_equal(table_lock(zram->table, 0, &place), 0);
		slot_set_word(&place, word);
		slot_unlock_write(place.slot, SLOT_SAME);
		assert_stamp(zram, 0, stamp_key(FILLED, 1));
	}
	assert_int_equal(stats_of(zram).notify_free, 0);
	store_close(zram);
}

/* A slot whose handle was damaged: what is written is not compared with what it leads to. */
static void writing_heals_a_damaged_handle(void **state)
{
	static const enum stamp stamps[] = { PACKED, RAW };
	struct zram_options options = { .size = 3 * BLOCK };

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(stamps); i++) {
		struct zram *zram = store_open(&options);

		write_stamp(zram, 0, stamp_key(stamps[i], 1));
		struct place place = find(zram, 0);
		zs_handle lost = (zs_handle)slot_handle(&place);
		place.slot->word[0] ^= 1;
		write_stamp(zram, 0, stamp_key(stamps[i], 1));
		assert_stamp(zram, 0, stamp_key(stamps[i], 1));
		assert_true(slot_handle(&place) != lost);
		assert_int_equal(stats_of(zram).unchanged_blocks, 0);
		zs_free(zram->pool, lost);
		store_close(zram);
	}
}

/* Streams that there are already stay when their number is lowered, but are not used. */
static void fewer_streams_than_were_made(void **state)
{
	struct zram_options options = { .size = 3 * BLOCK, .max_comp_streams = 2 };
	struct zram *zram = store_open(&options);

	(void)state;
	struct stream *first = stream_take(&zram->streams), *second = stream_take(&zram->streams);
	assert_true(first != second);
	stream_release(&zram->streams, first);
	stream_release(&zram->streams, second);
	set_attribute(zram, "max_comp_streams", "1");
	for (unsigned i = 0; i < 3; i++) {
		struct stream *stream = stream_take(&zram->streams);

		assert_true(stream == zram->streams.stream[0]);
		stream_release(&zram->streams, stream);
	}
	write_stamp(zram, 0, stamp_key(PACKED, 1));
	assert_stamp(zram, 0, stamp_key(PACKED, 1));
	store_close(zram);
}

/* To trim a leaf that has gone does no harm. */
static void a_leaf_goes_once(void **state)
{
	struct zram_options options = { .size = 3 * BLOCK };
	struct zram *zram = store_open(&options);

	(void)state;
	write_stamp(zram, 0, stamp_key(FILLED, 1));
	struct place place = find(zram, 0);
	uint64_t bytes = stats_of(zram).table_bytes;
	discard_first(zram);
	assert_int_equal(stats_of(zram).table_bytes, bytes - LEAF_BYTES);
	table_trim(zram->table, &place);
	assert_int_equal(stats_of(zram).table_bytes, bytes - LEAF_BYTES);
	write_stamp(zram, 0, stamp_key(FILLED, 2));
	assert_int_equal(stats_of(zram).table_bytes, bytes);
	store_close(zram);
}

/* A leaf of the table that could not go when its last block went, as somebody was about to read. */
static void compaction_gives_back_leaves_that_were_held(void **state)
{
	struct zram_options options = { .size = 10 * LEAF_SLOTS * BLOCK };
	struct zram *zram = store_open(&options);

	(void)state;
	write_stamp(zram, 3 * LEAF_SLOTS, stamp_key(PACKED, 1));
	write_stamp(zram, 3 * LEAF_SLOTS + 5, stamp_key(FILLED, 0));
	struct place place = find(zram, 3 * LEAF_SLOTS + 1);
	slot_lock_read(place.slot);
	assert_int_equal(zram_discard(zram, 0, options.size), 0);
	assert_true(table_find(zram->table, 3 * LEAF_SLOTS, &place));
	slot_unlock_read(find(zram, 3 * LEAF_SLOTS + 1).slot);
	assert_true(zram_compact(zram) >= LEAF_BYTES);
	assert_false(table_find(zram->table, 3 * LEAF_SLOTS, &place));
	assert_int_equal(stats_of(zram).table_bytes, 0);
	store_close(zram);
}

/* --- making --- */

static void a_dictionary_that_is_too_large_is_refused(void **state)
{
	struct zram_options options = { .size = BLOCK, .algorithm = "zstd" };
	char *dictionary = calloc(1, ZRAM_MAX_DICTIONARY + 1);

	(void)state;
	assert_non_null(dictionary);
	options.dictionary = dictionary;
	options.dictionary_size = ZRAM_MAX_DICTIONARY + 1;
	errno = 0;
	assert_null(zram_create(&options));
	assert_int_equal(errno, EINVAL);
	free(dictionary);
}

static void assert_params_refused(struct zram *zram, const char *path)
{
	char value[200];

	snprintf(value, sizeof(value), "dict=%s", path);
	assert_refused(zram_set(zram, "algorithm_params", value), EINVAL);
}

/* Neither a directory, nor a device, nor an empty file, nor one that is too large. */
static void a_file_that_is_no_dictionary_is_refused(void **state)
{
	struct zram_options options = { .size = BLOCK, .algorithm = "zstd" };
	struct zram *zram = store_open(&options);
	char path[] = "/tmp/zram-test-XXXXXX";
	int file = mkstemp(path);

	(void)state;
	assert_true(file >= 0);
	assert_params_refused(zram, "/");
	assert_params_refused(zram, "/dev/null");
	assert_params_refused(zram, path);
	assert_int_equal(ftruncate(file, (off_t)ZRAM_MAX_DICTIONARY + 1), 0);
	assert_params_refused(zram, path);
	unlink(path);
	assert_params_refused(zram, path);
	close(file);
	assert_refused(zram_set(zram, "algorithm_params", "level=1048577"), EINVAL);
	assert_refused(zram_set(zram, "algorithm_params", "level=-1048577"), EINVAL);
	assert_attribute(zram, "algorithm_params", "level=3 dict_size=0\n");
	store_close(zram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(extents_of_many_blocks_are_told_whole),
		cmocka_unit_test(who_is_told_of_extents_may_stop_at_any),
		cmocka_unit_test(a_damaged_block_of_zeros_is_not_told_to_be_zero),
		cmocka_unit_test(readers_are_waited_for),
		cmocka_unit_test(blocks_that_change_while_they_are_waited_for),
		cmocka_unit_test(writing_heals_a_damaged_handle),
		cmocka_unit_test(fewer_streams_than_were_made),
		cmocka_unit_test(a_leaf_goes_once),
		cmocka_unit_test(compaction_gives_back_leaves_that_were_held),
		cmocka_unit_test(a_dictionary_that_is_too_large_is_refused),
		cmocka_unit_test(a_file_that_is_no_dictionary_is_refused),
	};

	return cmocka_run_group_tests_name("zram-branches", tests, NULL, NULL);
}
