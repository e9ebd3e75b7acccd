/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * A random sequence of everything that a client can ask for, against plain memory as the
 * model. Usage: test_model [SEED [STEPS]]; the seed is printed, and the same seed does the
 * same again.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"
#include "server.h"

#define MAX_REQUEST   KIB(256)
#define DEFAULT_STEPS 2000

static uint64_t seed = 20140807;
static unsigned long steps = DEFAULT_STEPS;

struct geometry {
	size_t size;
	size_t block_size;
	const char *parameters[6];
};

struct run {
	struct server server;
	struct nbd_handle *nbd;
	struct rng rng;
	const struct geometry *geometry;
	unsigned char *model;
	unsigned char buffer[MAX_REQUEST];
	/* The request that is being made. */
	unsigned long step;
	size_t offset;
	size_t count;
};

static void choose_range(struct run *run)
{
	size_t size = run->geometry->size;
	size_t block = run->geometry->block_size;

	run->count = 1 + rng_below(&run->rng,
				   rng_below(&run->rng, 4) ? 3 * (uint32_t)block : MAX_REQUEST);
	run->offset = rng_below(&run->rng, (uint32_t)size);
	if (rng_below(&run->rng, 3) == 0) { /* what lies well has ways of its own */
		run->offset -= run->offset % block;
		run->count = (run->count / block + 1) * block;
	}
	if (run->count > MAX_REQUEST)
		run->count = MAX_REQUEST;
	if (run->count > size - run->offset)
		run->count = size - run->offset;
}

/* Pieces of zeros, of one word repeated, of noise. */
static void make_contents(struct run *run)
{
	size_t at = 0;

	while (at < run->count) {
		size_t piece = 8 + rng_below(&run->rng, 12000);
		uint32_t kind = rng_below(&run->rng, 4);
		uint64_t word = kind ? rng_next(&run->rng) : 0;

		for (size_t end = at + piece; at < end && at < run->count; at++) {
			if (kind == 3 && at % 8 == 0)
				word = rng_next(&run->rng);
			run->buffer[at] = (unsigned char)(word >> (at % 8 * 8));
		}
	}
}

static void check_read(struct run *run)
{
	memset(run->buffer, 0xEE, run->count);
	assert_nbd(nbd_pread(run->nbd, run->buffer, run->count, run->offset, 0));
	if (memcmp(run->buffer, run->model + run->offset, run->count) != 0)
		fail_msg("seed %" PRIu64 ": %zu bytes at %zu are wrong after step %lu", seed,
			 run->count, run->offset, run->step);
}

static void do_write(struct run *run)
{
	uint32_t flags = rng_below(&run->rng, 4) ? 0 : LIBNBD_CMD_FLAG_FUA;

	make_contents(run);
	memcpy(run->model + run->offset, run->buffer, run->count);
	assert_nbd(nbd_pwrite(run->nbd, run->buffer, run->count, run->offset, flags));
}

/* The same bytes once more: nothing is to change. */
static void do_rewrite(struct run *run)
{
	assert_nbd(nbd_pwrite(run->nbd, run->model + run->offset, run->count, run->offset, 0));
}

/* Whole blocks are forgotten, of which the last may be short; parts stay. */
static void do_trim(struct run *run)
{
	size_t block = run->geometry->block_size;
	size_t from = (run->offset + block - 1) / block * block;
	size_t to = run->offset + run->count;

	if (to != run->geometry->size)
		to -= to % block;
	if (from < to)
		memset(run->model + from, 0, to - from);
	assert_nbd(nbd_trim(run->nbd, run->count, run->offset, 0));
}

static void do_zero(struct run *run)
{
	static const uint32_t flags[] = { 0, LIBNBD_CMD_FLAG_NO_HOLE, LIBNBD_CMD_FLAG_FAST_ZERO,
					  LIBNBD_CMD_FLAG_FUA };

	memset(run->model + run->offset, 0, run->count);
	assert_nbd(nbd_zero(run->nbd, run->count, run->offset,
			    flags[rng_below(&run->rng, COUNT_OF(flags))]));
}

/* No extent that is said to be zero has anything in it, and they come without gaps. */
static int check_extents(void *data, const char *context, uint64_t offset, uint32_t *entries,
			 size_t count, int *error)
{
	struct run *run = data;

	(void)context;
	(void)error;
	for (size_t i = 0; i + 1 < count; i += 2) {
		uint64_t length = entries[i];

		if (length > run->geometry->size - offset)
			length = run->geometry->size - offset;
		for (uint64_t at = offset; entries[i + 1] & 2 && at < offset + length; at++)
			if (run->model[at])
				return -1;
		offset += length;
	}
	return 0;
}

static void do_extents(struct run *run)
{
	nbd_extent_callback callback = { .callback = check_extents, .user_data = run };

	assert_nbd(nbd_block_status(run->nbd, run->count, run->offset, callback, 0));
}

static void do_step(struct run *run)
{
	choose_range(run);
	switch (rng_below(&run->rng, 16)) {
	case 0:
	case 1:
		do_trim(run);
		break;
	case 2:
	case 3:
		do_zero(run);
		break;
	case 4:
		do_extents(run);
		break;
	case 5:
		do_rewrite(run);
		break;
	case 6:
		assert_nbd(nbd_flush(run->nbd, 0));
		break;
	case 7:
		assert_nbd(nbd_cache(run->nbd, run->count, run->offset, 0));
		break;
	case 8:
	case 9:
	case 10:
		check_read(run);
		break;
	default:
		do_write(run);
		break;
	}
}

static void check_all(struct run *run)
{
	run->count = MAX_REQUEST;
	for (run->offset = 0; run->offset < run->geometry->size; run->offset += MAX_REQUEST) {
		if (run->count > run->geometry->size - run->offset)
			run->count = run->geometry->size - run->offset;
		check_read(run);
	}
}

static void a_random_sequence_does_what_plain_memory_does(void **state)
{
	struct run *run = *state;

	run->rng = rng_seeded(seed);
	server_open(&run->server, run->geometry->parameters);
	run->nbd = server_connect(&run->server);
	run->model = calloc(1, run->geometry->size);
	assert_non_null(run->model);
	for (run->step = 1; run->step <= steps; run->step++)
		do_step(run);
	check_all(run);
	/* Nothing is left behind when all of it is forgotten. */
	assert_nbd(nbd_trim(run->nbd, run->geometry->size, 0, 0));
	assert_int_equal(server_figure(&run->server, "orig_data_size"), 0);
	assert_int_equal(server_figure(&run->server, "damaged_blocks"), 0);
	assert_nbd(nbd_shutdown(run->nbd, 0));
	server_close(&run->server);
}

static int begin(void **state)
{
	struct run *run = calloc(1, sizeof(*run));

	if (!run)
		return -1;
	run->geometry = *state;
	*state = run;
	return 0;
}

static int end(void **state)
{
	struct run *run = *state;

	nbd_close(run->nbd);
	server_abandon(&run->server);
	free(run->model);
	free(run);
	return 0;
}

static struct geometry lz4 = { 6000001, KIB(4), { "size=6000001" } };
static struct geometry zstd = { 8 << 20,
				KIB(64),
				{ "size=8M", "algorithm=zstd", "block-size=64K" } };
static struct geometry lz4hc = { 5 << 20,
				 KIB(16),
				 { "size=5M", "algorithm=lz4hc", "block-size=16K", "streams=1" } };
static struct geometry raw = { 4194303,
			       KIB(4),
			       { "size=4194303", "algorithm=none", "checksum=off" } };
static struct geometry by_hand = { 5000000,
				   KIB(8),
				   { "size=5000000", "block-size=8K", "compaction=manual" } };

#define WITH(geometry)                                                                         \
	{                                                                                      \
		"a random sequence does what plain memory does (" #geometry ")",               \
			a_random_sequence_does_what_plain_memory_does, begin, end, &(geometry) \
	}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH(lz4), WITH(zstd), WITH(lz4hc), WITH(raw), WITH(by_hand),
	};

	if (!server_possible())
		return 77;
	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0);
	if (argc > 2)
		steps = strtoul(argv[2], NULL, 0);
	printf("seed %" PRIu64 "\n", seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
