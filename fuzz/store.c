/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Sequences of all calls of zram.h against plain memory as the model, with every algorithm
 * and block size, with and without limit. The model is a window of the store, which may
 * begin far out; outside of it nothing is ever written. The first bytes choose the store.
 * As a fuzzer, and for long random sequences (see sequences.h).
 */
#include "sequences.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zram.h>

#include "contents.h"
#include "rng.h"
#include "zram/store.h"

#define COUNTS(X)                                                                                  \
	X(zram_algorithms), X(zram_create), X(zram_destroy), X(zram_pread), X(zram_pwrite),        \
		X(zram_discard), X(zram_write_zeroes), X(zram_flush), X(zram_reset),               \
		X(zram_resize), X(zram_size), X(zram_block_size), X(zram_compact),                 \
		X(zram_compact_some), X(zram_get_stats), X(zram_pool_stats), X(zram_class_stats),  \
		X(zram_get_extents), X(zram_get), X(zram_set), X(zram_attributes),                 \
		X(stores_refused), X(stores_limited), X(writes_refused),                           \
		X(writes_refused_in_part), X(zeroes_refused), X(sets_refused), X(extents_stopped), \
		X(unchanged_blocks), X(same_pages), X(huge_pages), X(pages_compacted),             \
		X(dictionaries), X(checksums_off), X(blocks_of_4k), X(blocks_of_64k), X(by_lz4),   \
		X(by_zstd), X(by_other_algorithms)

enum { COUNTS(SEQUENCE_ENUM), ALL_COUNTS };
struct sequence_count sequence_counts[] = { COUNTS(SEQUENCE_COUNT) };
const size_t sequence_count_count = ALL_COUNTS;

#define zram_create(...)       COUNTED(zram_create, __VA_ARGS__)
#define zram_destroy(...)      COUNTED(zram_destroy, __VA_ARGS__)
#define zram_pread(...)        COUNTED(zram_pread, __VA_ARGS__)
#define zram_pwrite(...)       COUNTED(zram_pwrite, __VA_ARGS__)
#define zram_discard(...)      COUNTED(zram_discard, __VA_ARGS__)
#define zram_write_zeroes(...) COUNTED(zram_write_zeroes, __VA_ARGS__)
#define zram_flush(...)        COUNTED(zram_flush, __VA_ARGS__)
#define zram_reset(...)        COUNTED(zram_reset, __VA_ARGS__)
#define zram_resize(...)       COUNTED(zram_resize, __VA_ARGS__)
#define zram_size(...)         COUNTED(zram_size, __VA_ARGS__)
#define zram_block_size(...)   COUNTED(zram_block_size, __VA_ARGS__)
#define zram_compact(...)      COUNTED(zram_compact, __VA_ARGS__)
#define zram_compact_some(...) COUNTED(zram_compact_some, __VA_ARGS__)
#define zram_get_stats(...)    COUNTED(zram_get_stats, __VA_ARGS__)
#define zram_pool_stats(...)   COUNTED(zram_pool_stats, __VA_ARGS__)
#define zram_class_stats(...)  COUNTED(zram_class_stats, __VA_ARGS__)
#define zram_get_extents(...)  COUNTED(zram_get_extents, __VA_ARGS__)
#define zram_get(...)          COUNTED(zram_get, __VA_ARGS__)
#define zram_set(...)          COUNTED(zram_set, __VA_ARGS__)
#define zram_algorithms()      (sequence_counts[COUNT_zram_algorithms].count++, zram_algorithms())
#define zram_attributes()      (sequence_counts[COUNT_zram_attributes].count++, zram_attributes())

enum { WINDOW = 3 << 20, SMALL_WINDOW = 512 << 10, LONGEST = 160 << 10 };

static struct {
	struct zram *zram;
	size_t block_size;
	size_t window;               /* bytes of it that are used */
	uint64_t mem_limit;          /* that never was another; 0: none */
	uint64_t base;               /* the window's offset: a multiple of every block size */
	size_t size;                 /* of the store, from base on; 0 also if it ends before */
	unsigned char bytes[WINDOW]; /* zeros from size on */
	bool limited;
} model;

static unsigned char work[WINDOW + ZRAM_MAX_BLOCK_SIZE];

bool fuzz_summary(void)
{
	printf("%lu stores (%lu more refused), %lu calls, %lu writes refused\n",
	       sequence_counts[COUNT_zram_destroy].count,
	       sequence_counts[COUNT_stores_refused].count, sequence_calls(),
	       sequence_counts[COUNT_writes_refused].count);
	return sequence_counts[COUNT_zram_pwrite].count && sequence_counts[COUNT_zram_pread].count;
}

/* --- the store ------------------------------------------------------------- */

static const char *choose_algorithm(struct input *input)
{
	const char *const *names = zram_algorithms();
	size_t count = 0;

	while (names[count])
		count++;
	return names[input_below(input, (uint32_t)count)];
}

static void count_store(const struct zram_options *options)
{
	if (options->mem_limit)
		HAPPENED(stores_limited);
	if (options->dictionary_size)
		HAPPENED(dictionaries);
	if (options->checksum == ZRAM_CHECKSUM_OFF)
		HAPPENED(checksums_off);
	if (options->block_size == ZRAM_MIN_BLOCK_SIZE)
		HAPPENED(blocks_of_4k);
	if (options->block_size == ZRAM_MAX_BLOCK_SIZE)
		HAPPENED(blocks_of_64k);
	if (!strcmp(options->algorithm, "lz4"))
		HAPPENED(by_lz4);
	else if (!strcmp(options->algorithm, "zstd"))
		HAPPENED(by_zstd);
	else
		HAPPENED(by_other_algorithms);
}

static void choose_options(struct input *input, struct zram_options *options)
{
	/* Some of them begin in a leaf of the slot table, others at the edge of one. */
	static const uint64_t bases[] = { 0, UINT64_C(372) * 65536, UINT64_C(1) << 40,
					  (ZRAM_MAX_SIZE - WINDOW) & ~UINT64_C(65535) };
	static const uint64_t limits[] = { 0, 0, 0, 200 << 10, 400 << 10, 1 << 20, 4 << 20 };
	static const int levels[] = { 0, 0, 1, 3, -5, 9 };
	unsigned place = input_below(input, 2 * COUNT_OF(bases)), checksum;

	model.base = bases[place % COUNT_OF(bases)];
	model.window = place < COUNT_OF(bases) ? SMALL_WINDOW : WINDOW;
	model.size = model.window - input_below(input, 20000);
	model.block_size = (size_t)4096 << input_below(input, 5);
	options->size = model.base + model.size;
	options->block_size = model.block_size;
	options->algorithm = choose_algorithm(input);
	options->mem_limit = limits[input_below(input, COUNT_OF(limits))];
	options->level = levels[input_below(input, COUNT_OF(levels))];
	options->compaction = input_below(input, 2) ? ZS_COMPACTION_MANUAL : ZS_COMPACTION_AUTO;
	checksum = input_byte(input);
	options->checksum = checksum % 2 ? ZRAM_CHECKSUM_OFF : ZRAM_CHECKSUM_ON;
	options->zero_on_free = checksum / 2 % 2;
	options->max_comp_streams = input_below(input, 4);
	options->dictionary_size = contents_dictionary(
		(enum dictionary)input_below(input, DICTIONARIES), &options->dictionary);
}

static void model_open(struct input *input)
{
	struct zram_options options = { 0 };

	memset(&model, 0, sizeof(model));
	choose_options(input, &options);
	model.limited = options.mem_limit != 0;
	model.mem_limit = options.mem_limit;
	errno = 0;
	model.zram = zram_create(&options);
	if (!model.zram) {
		require(errno == EINVAL);
		HAPPENED(stores_refused);
		return;
	}
	count_store(&options);
	require(zram_size(model.zram) == options.size);
	require(zram_block_size(model.zram) == model.block_size);
}

/* --- ranges and contents ---------------------------------------------------- */

struct range {
	size_t from, length; /* in the window */
};

/* Within the store. */
static struct range choose_range(struct input *input)
{
	size_t block = model.block_size;
	struct range range = { input_below(input, (uint32_t)(model.window / block)) * block,
			       block };

	switch (input_below(input, 4)) {
	case 0: /* whole blocks */
		range.length = (1 + input_below(input, 5)) * block;
		break;
	case 1: /* in one */
		range.from += input_below(input, (uint32_t)block);
		range.length = input_byte(input);
		break;
	case 2: /* across some */
		range.from += input_below(input, (uint32_t)block);
		range.length = input_below(input, (uint32_t)(3 * block));
		break;
	default:
		break;
	}
	if (range.from > model.size)
		range.from = model.size;
	if (range.length > LONGEST)
		range.length = LONGEST;
	if (range.length > model.size - range.from)
		range.length = model.size - range.from;
	return range;
}

static void choose_contents(struct input *input, const struct range *range)
{
	uint64_t key = input_byte(input), word;
	size_t raw = 255;
	const uint8_t *bytes;

	switch (input_below(input, 6)) {
	case 0:
		memset(work, (int)key, range->length);
		break;
	case 1: /* what is there already */
		memcpy(work, model.bytes + range->from, range->length);
		break;
	case 2:
		word = rng_mix(key);
		for (size_t i = 0; i < range->length; i++)
			work[i] = (unsigned char)(word >> (range->from + i) % 8 * 8);
		break;
	case 3: /* noise */
		contents_fill(work, range->length, key, range->length);
		break;
	case 4: /* the input itself */
		memset(work, (int)key, range->length);
		bytes = input_bytes(input, &raw);
		memcpy(work, bytes, raw < range->length ? raw : range->length);
		break;
	default:
		contents_fill(work, range->length, key,
			      input_below(input, 65536) % (range->length + 1));
		break;
	}
}

/* --- steps ----------------------------------------------------------------- */

static void do_write(struct input *input)
{
	struct range range = choose_range(input);
	ssize_t done;

	choose_contents(input, &range);
	errno = 0;
	done = zram_pwrite(model.zram, work, range.length, model.base + range.from);
	if (range.length == 0)
		require(done == 0);
	if (done < (ssize_t)range.length) { /* only a limit refuses, at the edge of a block */
		require(model.limited);
		require(done >= 0 ? (range.from + (size_t)done) % model.block_size == 0
				  : errno == ENOSPC);
		range.length = done < 0 ? 0 : (size_t)done;
		HAPPENED(writes_refused);
		if (done > 0)
			HAPPENED(writes_refused_in_part);
	}
	memcpy(model.bytes + range.from, work, range.length);
}

static void require_contents(size_t from, size_t length)
{
	memset(work, 0xEE, length);
	require(zram_pread(model.zram, work, length, model.base + from) == (ssize_t)length);
	require(memcmp(work, model.bytes + from, length) == 0);
}

static void do_read(struct input *input)
{
	struct range range = choose_range(input);

	require_contents(range.from, range.length);
}

static void do_discard(struct input *input)
{
	struct range range = choose_range(input);
	size_t block = model.block_size, end = range.from + range.length;
	size_t first = (range.from + block - 1) / block * block;
	uint64_t more = input_u64(input) >> 1;

	/* What is beyond the end does no harm. */
	if (end < model.size)
		more = 0;

	require(zram_discard(model.zram, model.base + range.from, range.length + more) == 0);
	if (end < model.size)
		end = end / block * block;
	if (first < end)
		memset(model.bytes + first, 0, end - first);
}

/* What was refused may be done in part. */
static void adopt_zeros(const struct range *range)
{
	require(model.limited && errno == ENOSPC);
	HAPPENED(zeroes_refused);
	require(zram_pread(model.zram, work, range->length, model.base + range->from) ==
		(ssize_t)range->length);
	for (size_t i = 0; i < range->length; i++)
		require(!work[i] || work[i] == model.bytes[range->from + i]);
	memcpy(model.bytes + range->from, work, range->length);
}

static void do_write_zeroes(struct input *input)
{
	struct range range = choose_range(input);

	errno = 0;
	if (zram_write_zeroes(model.zram, model.base + range.from, range.length))
		adopt_zeros(&range);
	else
		memset(model.bytes + range.from, 0, range.length);
}

/* Requests that begin or end beyond the end. */
static void do_beyond(struct input *input)
{
	uint64_t end = model.base + model.size, offset = end + (input_u64(input) >> 2);
	size_t back = input_below(input, 20000) % (model.size + 1);

	require(zram_pread(model.zram, work, back + 5000, end - back) == (ssize_t)back);
	require(memcmp(work, model.bytes + model.size - back, back) == 0);
	require(zram_pread(model.zram, work, 10, offset) == 0);
	require(zram_pread(model.zram, work, 0, offset) == 0);
	require(zram_pwrite(model.zram, work, 0, offset) == 0);
	errno = 0;
	require(zram_pwrite(model.zram, work, 10, offset) == -1 && errno == ENOSPC);
	errno = 0;
	require(zram_write_zeroes(model.zram, end - back, back + 1) == -1 && errno == ENOSPC);
	require(zram_write_zeroes(model.zram, offset, 0) == 0);
	require(zram_discard(model.zram, offset, UINT64_MAX) == 0);
	errno = 0;
	require(zram_pread(model.zram, work, SIZE_MAX, 0) == -1 && errno == EINVAL);
	errno = 0;
	require(zram_pwrite(model.zram, work, SIZE_MAX, 0) == -1 && errno == EINVAL);
}

static void do_resize(struct input *input)
{
	size_t size = input_below(input, 2) ? model.window
					    : input_below(input, 1 << 24) % model.window;
	/* A store that ends before the window. */
	bool below = model.base && input_below(input, 8) == 0;

	errno = 0;
	if (zram_resize(model.zram,
			below ? model.base - input_below(input, 9) : model.base + size)) {
		require(model.limited && errno == ENOSPC);
		require(zram_size(model.zram) == model.base + model.size);
		return;
	}
	if (below) {
		memset(model.bytes, 0, WINDOW);
		require(zram_resize(model.zram, model.base) == 0);
	}
	model.size = below ? 0 : size;
	memset(model.bytes + model.size, 0, WINDOW - model.size);
	require(zram_size(model.zram) == model.base + model.size);
	errno = 0;
	require(zram_resize(model.zram, ZRAM_MAX_SIZE + 1) == -1 && errno == EINVAL);
}

static void do_reset(struct input *input)
{
	(void)input;
	require(zram_reset(model.zram) == 0);
	memset(model.bytes, 0, WINDOW);
}

static void do_compact(struct input *input)
{
	(void)input;
	uint64_t freed = UINT64_MAX;

	zram_compact_some(model.zram, 1, &freed);
	require(freed != UINT64_MAX);
	zram_compact(model.zram);
	require(zram_flush(model.zram) == 0);
}

struct seen {
	uint64_t next;
	unsigned flags, left; /* of the one before; how many more are wanted */
};

static int see_extent(const struct zram_extent *extent, void *data)
{
	struct seen *seen = data;

	require(extent->length && extent->offset == seen->next && extent->flags != seen->flags);
	require(!(extent->flags & ZRAM_EXTENT_HOLE) || extent->flags & ZRAM_EXTENT_ZERO);
	seen->flags = extent->flags;
	seen->next += extent->length;
	for (uint64_t at = extent->offset - model.base;
	     extent->flags && at < seen->next - model.base; at++)
		require(model.bytes[at] == 0);
	return --seen->left == 0 ? 42 : 0;
}

static void do_extents(struct input *input)
{
	struct range range = choose_range(input);
	struct seen seen = { model.base + range.from, UINT32_MAX, 1 + input_byte(input) };
	int result = zram_get_extents(model.zram, seen.next, range.length, see_extent, &seen);

	require(result == (seen.left ? 0 : 42));
	if (!seen.left)
		HAPPENED(extents_stopped);
	else
		require(seen.next == model.base + range.from + range.length);
}

static void require_stats(unsigned class_index)
{
	struct zs_pool_stats pool;
	struct zs_class_stats class;
	struct zram_stats s;

	zram_get_stats(model.zram, &s);
	zram_pool_stats(model.zram, &pool);
	require(s.mem_used_total == s.pool_bytes + s.table_bytes + s.stream_bytes + s.own_bytes);
	require(s.pool_bytes == pool.total_bytes);
	require(s.mem_used_total <= s.mem_used_max || !s.mem_used_max);
	require(s.orig_data_size % model.block_size == 0);
	require(s.orig_data_size <= model.window + model.block_size);
	require(!model.mem_limit || s.mem_used_max <= model.mem_limit);
	require(s.orig_data_size / model.block_size == pool.objects + s.same_pages);
	require(s.huge_pages * model.block_size <= s.compr_data_size);
	require(s.damaged_blocks == 0 && s.failed_reads == 0);
	require(s.disksize == model.base + model.size && s.block_size == model.block_size);
	errno = 0;
	if (zram_class_stats(model.zram, class_index, &class))
		require(errno == EINVAL);
	require(zs_check(model.zram->pool, NULL, NULL) == 0);
	sequence_counts[COUNT_unchanged_blocks].count += s.unchanged_blocks;
	sequence_counts[COUNT_same_pages].count += s.same_pages;
	sequence_counts[COUNT_huge_pages].count += s.huge_pages;
	sequence_counts[COUNT_pages_compacted].count += s.pages_compacted;
}

static void do_stats(struct input *input)
{
	require_stats(input_below(input, 65536));
}

/* --- attributes ------------------------------------------------------------- */

static void set(const char *name, const char *value)
{
	errno = 0;
	if (zram_set(model.zram, name, value) == 0)
		return;
	require(errno == EBUSY || errno == EINVAL || (errno == ENOSPC && model.limited));
	HAPPENED(sets_refused);
}

static void do_get(struct input *input)
{
	const char *name = zram_attributes()[input_below(input, 16)];
	size_t room = input_below(input, 4000);
	char *value = malloc(room + 1);

	require(value);
	errno = 0;
	ssize_t length = zram_get(model.zram, name, value, room);
	if (length < 0)
		require(errno == EACCES && (!strcmp(name, "compact") || !strcmp(name, "reset")));
	else if ((size_t)length < room)
		require(value[length] == '\0' && value[length - 1] == '\n');
	else if (room)
		require(value[room - 1] == '\0');
	free(value);
}

/* Those that change what is kept, and how: what was written stays as it is. */
static void do_set(struct input *input)
{
	static const char *const settings[][2] = {
		{ "checksum", "0" },
		{ "checksum", "1" },
		{ "max_comp_streams", "1" },
		{ "max_comp_streams", "256" },
		{ "max_comp_streams", "0" },
		{ "compaction", "auto" },
		{ "compaction", "manual" },
		{ "algorithm_params", "level=2" },
		{ "algorithm_params", "level=1 dict=" },
		{ "algorithm_params", "level=100000" },
		{ "comp_algorithm", "lz4" },
		{ "comp_algorithm", "zstd" },
		{ "comp_algorithm", "none" },
		{ "comp_algorithm", "lz4hc" },
		{ "mem_used_max", "0" },
		{ "compact", "1" },
		{ "mem_limit", "0" },
		{ "mem_limit", "500K" },
		{ "mem_limit", "1M" },
		{ "mem_limit", "1" },
	};
	size_t chosen = input_below(input, COUNT_OF(settings));

	if (strcmp(settings[chosen][0], "mem_limit") == 0)
		model.limited = true, model.mem_limit = 0;
	set(settings[chosen][0], settings[chosen][1]);
}

/* --- a whole sequence -------------------------------------------------------- */

const struct sequence_step sequence_steps[] = {
	{ "write", do_write, false },
	{ "write", do_write, false },
	{ "write", do_write, false },
	{ "write", do_write, false },
	{ "read", do_read, false },
	{ "read", do_read, false },
	{ "discard", do_discard, false },
	{ "read", do_read, false },
	{ "write", do_write, false },
	{ "discard", do_discard, false },
	{ "write_zeroes", do_write_zeroes, false },
	{ "write_zeroes", do_write_zeroes, false },
	{ "beyond", do_beyond, true },
	{ "resize", do_resize, true },
	{ "reset", do_reset, true },
	{ "compact", do_compact, true },
	{ "extents", do_extents, false },
	{ "stats", do_stats, true },
	{ "get", do_get, true },
	{ "set", do_set, true },
};
const size_t sequence_step_count = COUNT_OF(sequence_steps);
const unsigned long sequence_operations = 600000;

/* A dictionary is trained when it is first asked for, which takes its time. */
void sequence_prepare(void)
{
	const void *bytes;

	contents_dictionary(TRAINED_DICTIONARY, &bytes);
}

/* What a block costs grows with it. */
unsigned sequence_open(struct input *input)
{
	model_open(input);
	return model.zram ? (unsigned)(model.block_size / ZRAM_MIN_BLOCK_SIZE) : 0;
}

void sequence_take(struct input *input)
{
	sequence_steps[input_below(input, COUNT_OF(sequence_steps))].take(input);
}

void sequence_close(void)
{
	struct input none = { NULL, 0 };
	struct zram_stats stats;

	require_stats(0);
	require_contents(0, model.size);
	require(zram_discard(model.zram, 0, UINT64_MAX) == 0);
	zram_get_stats(model.zram, &stats);
	require(stats.orig_data_size == 0 && stats.compr_data_size == 0);
	do_reset(&none);
	require_stats(0);
	zram_destroy(model.zram);
}

void fuzz_one(const uint8_t *data, size_t size)
{
	struct input input = { data, size };

	if (!sequence_open(&input))
		return;
	while (input.left)
		sequence_take(&input);
	sequence_close();
}
