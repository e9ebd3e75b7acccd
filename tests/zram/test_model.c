/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Random sequences of all calls against a trivial model: an array of bytes, and
 * which blocks were ever written. Many kinds of store.
 * Usage: test_model [operations in all [seed]]
 */
#include "store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned long operations = UNDER_ASAN || UNDER_TSAN || ZS_DEBUG ? 60000 : 500000;
static uint64_t seed = 1;

static const struct zram_options kinds[] = {
	{ .size = 300 * 4096 },
	{ .size = 299 * 4096 + 1234, .compaction = ZS_COMPACTION_MANUAL },
	{ .size = 1000000, .block_size = 8192, .algorithm = "zstd" },
	{ .size = 1500000, .block_size = 16384, .algorithm = "lz4hc", .level = 4 },
	{ .size = 2000003, .block_size = 32768, .checksum = ZRAM_CHECKSUM_OFF },
	{ .size = 3000000, .block_size = 65536, .algorithm = "zstd", .level = 3 },
	{ .size = 1000000, .algorithm = "none" },
	{ .size = 900000, .algorithm = "lzo" },
	{ .size = 500 * 4096, .mem_limit = 400 << 10 },
	{ .size = 2000000, .block_size = 65536, .mem_limit = 700 << 10, .max_comp_streams = 1 },
};

struct model {
	struct zram *zram;
	struct rng rng;
	const struct zram_options *options;
	unsigned char *bytes; /* room for most bytes */
	unsigned char *work;
	size_t size;
	size_t most;
	size_t block_size;
	unsigned long refused;
};

struct range {
	size_t offset, length;
};

static struct range choose_range(struct model *model)
{
	struct range range = { 0, 0 };
	size_t block = model->block_size, blocks;

	if (model->size == 0)
		return range;
	blocks = (model->size + block - 1) / block;
	range.offset = rng_below(&model->rng, (uint32_t)blocks) * block;
	switch (rng_below(&model->rng, 4)) {
	case 0: /* whole blocks */
		range.length = rng_between(&model->rng, 1, 4) * block;
		break;
	case 1: /* inside of one */
		range.offset += rng_below(&model->rng, (uint32_t)block);
		range.length = rng_below(&model->rng, 200);
		break;
	case 2: /* across some */
		range.offset += rng_below(&model->rng, (uint32_t)block);
		range.length = rng_below(&model->rng, (uint32_t)(5 * block));
		break;
	default: /* one */
		range.length = block;
		break;
	}
	if (range.offset > model->size)
		range.offset = model->size;
	if (range.length > model->size - range.offset)
		range.length = model->size - range.offset;
	return range;
}

/* Of any kind: some blocks of stamps, zeros, what is there already, a byte. */
static void choose_contents(struct model *model, const struct range *range)
{
	size_t block = model->block_size;

	switch (rng_below(&model->rng, 8)) {
	case 0:
		memset(model->work, 0, range->length);
		return;
	case 1:
		memset(model->work, (int)rng_below(&model->rng, 256), range->length);
		return;
	case 2:
		memcpy(model->work, model->bytes + range->offset, range->length);
		return;
	default:
		for (size_t at = 0; at < range->length; at += block)
			stamp_fill(model->work + at, block,
				   stamp_key(rng_below(&model->rng, 4), rng_next(&model->rng)));
	}
}

/* Only a limit may refuse, and then a part may be done, up to the edge of a block. */
static size_t assert_refusal(struct model *model, const struct range *range, ssize_t done)
{
	size_t written = done < 0 ? 0 : (size_t)done;

	assert_int_not_equal(model->options->mem_limit, 0);
	if (done < 0)
		assert_int_equal(errno, ENOSPC);
	else
		assert_int_equal((range->offset + written) % model->block_size, 0);
	model->refused++;
	return written;
}

static void op_write(struct model *model)
{
	struct range range = choose_range(model);
	ssize_t done;

	choose_contents(model, &range);
	errno = 0;
	done = zram_pwrite(model->zram, model->work, range.length, range.offset);
	if (range.length == 0)
		assert_int_equal(done, 0);
	else if (done < (ssize_t)range.length)
		range.length = assert_refusal(model, &range, done);
	memcpy(model->bytes + range.offset, model->work, range.length);
}

static void op_read(struct model *model)
{
	struct range range = choose_range(model);

	assert_int_equal(zram_pread(model->zram, model->work, range.length, range.offset),
			 range.length);
	assert_true(!memcmp(model->work, model->bytes + range.offset, range.length));
}

static void op_read_across_the_end(struct model *model)
{
	size_t back =
		rng_below(&model->rng, (uint32_t)(model->size < 20000 ? model->size + 1 : 20000));

	assert_int_equal(zram_pread(model->zram, model->work, back + 5000, model->size - back),
			 back);
	assert_true(!memcmp(model->work, model->bytes + model->size - back, back));
}

static void op_discard(struct model *model)
{
	struct range range = choose_range(model);
	size_t block = model->block_size;
	size_t first = (range.offset + block - 1) / block * block;
	size_t end = range.offset + range.length;

	assert_int_equal(zram_discard(model->zram, range.offset, range.length), 0);
	if (end < model->size)
		end = end / block * block;
	if (first < end)
		memset(model->bytes + first, 0, end - first);
}

/* The bytes of a refused call are either zeros now or as they were. */
static void adopt_zeros(struct model *model, const struct range *range)
{
	assert_int_not_equal(model->options->mem_limit, 0);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(zram_pread(model->zram, model->work, range->length, range->offset),
			 range->length);
	for (size_t i = 0; i < range->length; i++) {
		if (model->work[i])
			assert_int_equal(model->work[i], model->bytes[range->offset + i]);
	}
	memcpy(model->bytes + range->offset, model->work, range->length);
	model->refused++;
}

static void op_write_zeroes(struct model *model)
{
	struct range range = choose_range(model);

	if (zram_write_zeroes(model->zram, range.offset, range.length))
		adopt_zeros(model, &range);
	else
		memset(model->bytes + range.offset, 0, range.length);
}

static void op_compact(struct model *model)
{
	zram_compact(model->zram);
}

static void op_check(struct model *model)
{
	struct zram_stats stats = stats_of(model->zram);

	assert_sound(model->zram);
	if (model->options->mem_limit)
		assert_true(stats.mem_used_max <= model->options->mem_limit);
	assert_contents(model->zram, 0, model->bytes, model->size);
}

/* Bytes beyond the size are zeros in the model at any time. */
static void op_resize(struct model *model)
{
	size_t size = rng_percent(&model->rng, 10) ? rng_below(&model->rng, 3) * 777
						   : rng_below(&model->rng, (uint32_t)model->most);

	if (zram_resize(model->zram, size)) {
		assert_int_not_equal(model->options->mem_limit, 0);
		assert_int_equal(errno, ENOSPC);
		assert_int_equal(zram_size(model->zram), model->size);
		return;
	}
	assert_int_equal(zram_size(model->zram), size);
	model->size = size;
	memset(model->bytes + size, 0, model->most - size);
}

static void op_reset(struct model *model)
{
	assert_int_equal(zram_reset(model->zram), 0);
	memset(model->bytes, 0, model->most);
}

struct seen {
	struct model *model;
	uint64_t next;
};

static int see_extent(const struct zram_extent *extent, void *data)
{
	struct seen *seen = data;

	assert_int_equal(extent->offset, seen->next);
	seen->next += extent->length;
	for (uint64_t at = extent->offset; extent->flags && at < seen->next; at++)
		assert_int_equal(seen->model->bytes[at], 0);
	return 0;
}

static void op_extents(struct model *model)
{
	struct range range = choose_range(model);
	struct seen seen = { model, range.offset };

	assert_int_equal(
		zram_get_extents(model->zram, range.offset, range.length, see_extent, &seen), 0);
	assert_int_equal(seen.next, range.offset + range.length);
}

static void take_step(struct model *model)
{
	static const struct {
		unsigned until; /* of 1000 */
		void (*op)(struct model *);
	} steps[] = {
		{ 480, op_write },   { 800, op_read },         { 820, op_read_across_the_end },
		{ 900, op_discard }, { 970, op_write_zeroes }, { 985, op_extents },
		{ 992, op_compact }, { 996, op_check },        { 999, op_resize },
		{ 1000, op_reset },
	};
	unsigned dice = rng_below(&model->rng, 1000);
	size_t i = 0;

	while (dice >= steps[i].until)
		i++;
	steps[i].op(model);
}

static void model_open(struct model *model, const struct zram_options *options)
{
	memset(model, 0, sizeof(*model));
	model->options = options;
	model->rng = rng_seeded(seed);
	model->zram = store_open(options);
	model->block_size = zram_block_size(model->zram);
	model->size = options->size;
	model->most = options->size + 100000;
	model->bytes = calloc(1, model->most + 8);
	model->work = calloc(1, model->most + ZRAM_MAX_BLOCK_SIZE);
	assert_non_null(model->bytes);
	assert_non_null(model->work);
}

static void random_calls_agree_with_the_model(void **state)
{
	const struct zram_options *options = *state;
	unsigned long share = operations / COUNT_OF(kinds);
	size_t block_size = options->block_size ? options->block_size : BLOCK;
	struct model model;

	if (options->algorithm && !has_algorithm(options->algorithm))
		skip();
	share = share * BLOCK / block_size + 200;
	model_open(&model, options);
	for (unsigned long i = 0; i < share; i++)
		take_step(&model);
	op_check(&model);
	print_message("%lu operations, %lu refused\n", share, model.refused);
	store_close(model.zram);
	free(model.bytes);
	free(model.work);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[COUNT_OF(kinds)];
	char names[COUNT_OF(kinds)][96];

	if (argc > 1)
		operations = strtoul(argv[1], NULL, 0);
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 0);
	print_message("%lu operations, seed %" PRIu64 "\n", operations, seed);
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		snprintf(names[i], sizeof(names[i]),
			 "random calls (%s, size %llu, block %zu, limit %llu)",
			 kinds[i].algorithm ? kinds[i].algorithm : "lz4",
			 (unsigned long long)kinds[i].size, kinds[i].block_size,
			 (unsigned long long)kinds[i].mem_limit);
		tests[i] = (struct CMUnitTest){ .name = names[i],
						.test_func = random_calls_agree_with_the_model,
						.initial_state = (void *)(uintptr_t)&kinds[i] };
	}
	return cmocka_run_group_tests_name("zram-model", tests, NULL, NULL);
}
