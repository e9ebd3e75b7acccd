/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * A disk that runs into its memory limit: the client is told ENOSPC, every block is what it
 * was or what was written to it, and once something is trimmed there is room again.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pattern.h"
#include "server.h"

#define LIMIT  MIB(4)
#define BLOCKS ((uint64_t)4096) /* 16 MiB of noise do not fit */

struct disk {
	struct server server;
	struct nbd_handle *nbd;
};

static void open_disk(struct disk *disk, const char *block_size)
{
	const char *const parameters[] = { "size=16M", "limit=4M", block_size, NULL };

	server_open(&disk->server, parameters);
	disk->nbd = server_connect(&disk->server);
}

/* What is there first compresses to next to nothing. */
static void fill_old(unsigned char *block, uint64_t index)
{
	memset(block, 'a' + (int)(index % 26), BLOCK);
	memcpy(block, &index, sizeof(index));
}

static void fill_new(unsigned char *block, uint64_t index)
{
	pattern_fill(block, BLOCK, index);
}

static void write_old(struct disk *disk)
{
	unsigned char block[BLOCK];

	for (uint64_t i = 0; i < BLOCKS; i++) {
		fill_old(block, i);
		assert_nbd(nbd_pwrite(disk->nbd, block, BLOCK, i * BLOCK, 0));
	}
}

/* Returns how many blocks were written before one was refused. */
static uint64_t write_new_until_refused(struct disk *disk, uint64_t blocks_a_request)
{
	static unsigned char request[64 * BLOCK];

	for (uint64_t first = 0; first < BLOCKS; first += blocks_a_request) {
		for (uint64_t i = 0; i < blocks_a_request; i++)
			fill_new(request + i * BLOCK, first + i);
		if (nbd_pwrite(disk->nbd, request, blocks_a_request * BLOCK, first * BLOCK, 0) <
		    0) {
			assert_int_equal(nbd_get_errno(), ENOSPC);
			return first;
		}
	}
	fail_msg("the limit was never reached");
	return 0;
}

static bool is_old(const unsigned char *block, uint64_t index)
{
	unsigned char wanted[BLOCK];

	fill_old(wanted, index);
	return memcmp(block, wanted, BLOCK) == 0;
}

/* Those before are new, those of the request that failed are either, the rest is old. */
static void assert_consistent(struct disk *disk, uint64_t refused, uint64_t blocks_a_request)
{
	unsigned char block[BLOCK];

	for (uint64_t i = 0; i < BLOCKS; i++) {
		bool new;

		read_block(disk->nbd, i, block);
		new = pattern_holds(block, BLOCK, i);
		if (i < refused)
			assert_true(new);
		else if (i < refused + blocks_a_request)
			assert_true(new || is_old(block, i));
		else
			assert_true(is_old(block, i));
	}
}

static void assert_within_limit(struct disk *disk)
{
	assert_true(server_figure(&disk->server, "mem_used_total") <= LIMIT);
	assert_true(server_figure(&disk->server, "mem_used_max") <= LIMIT);
}

static void overwrite_up_to_the_limit(struct disk *disk, uint64_t blocks_a_request)
{
	write_old(disk);

	uint64_t refused = write_new_until_refused(disk, blocks_a_request);

	/* What a store needs for itself leaves most of the limit to blocks. */
	assert_true(refused * BLOCK > LIMIT / 2);
	assert_consistent(disk, refused, blocks_a_request);
	assert_within_limit(disk);
	assert_true(server_figure(&disk->server, "failed_writes") > 0);
	nbd_close(disk->nbd);
	disk->nbd = NULL;
	server_close(&disk->server);
}

static void a_block_that_is_refused_keeps_what_it_held(void **state)
{
	struct disk *disk = *state;

	open_disk(disk, "block-size=4K");
	overwrite_up_to_the_limit(disk, 1);
}

static void of_a_large_request_that_is_refused_each_block_is_old_or_new(void **state)
{
	struct disk *disk = *state;

	open_disk(disk, "block-size=4K");
	overwrite_up_to_the_limit(disk, 64);
}

static void part_of_a_large_block_that_is_refused_leaves_it_as_it_was(void **state)
{
	struct disk *disk = *state;

	open_disk(disk, "block-size=64K");
	overwrite_up_to_the_limit(disk, 4);
}

static void a_full_disk_can_be_written_again_once_something_is_trimmed(void **state)
{
	struct disk *disk = *state;
	unsigned char block[BLOCK];

	open_disk(disk, "block-size=4K");
	for (int round = 0; round < 3; round++) {
		uint64_t refused = write_new_until_refused(disk, 1);

		assert_within_limit(disk);
		assert_nbd(nbd_trim(disk->nbd, refused / 2 * BLOCK, 0, 0));
		for (uint64_t i = 0; i < refused / 4; i++) {
			fill_new(block, i + 7);
			assert_nbd(nbd_pwrite(disk->nbd, block, BLOCK, i * BLOCK, 0));
		}
		read_block(disk->nbd, refused - 1, block);
		assert_true(pattern_holds(block, BLOCK, refused - 1));
		assert_nbd(nbd_trim(disk->nbd, BLOCKS * BLOCK, 0, 0));
	}
	nbd_close(disk->nbd);
	disk->nbd = NULL;
	server_close(&disk->server);
}

/* Zeros need no room, however full it is. */
static void a_full_disk_can_be_zeroed_and_read(void **state)
{
	struct disk *disk = *state;
	unsigned char block[BLOCK];
	unsigned char zeros[BLOCK] = { 0 };

	open_disk(disk, "block-size=4K");

	uint64_t refused = write_new_until_refused(disk, 1);

	for (uint64_t i = 0; i < refused; i += 2)
		assert_nbd(nbd_zero(disk->nbd, BLOCK, i * BLOCK, 0));
	for (uint64_t i = 1; i < refused; i += 4)
		assert_nbd(nbd_pwrite(disk->nbd, zeros, BLOCK, i * BLOCK, 0));
	for (uint64_t i = 0; i < refused; i++) {
		read_block(disk->nbd, i, block);
		if (i % 2 == 0 || i % 4 == 1)
			assert_memory_equal(block, zeros, BLOCK);
		else
			assert_true(pattern_holds(block, BLOCK, i));
	}
	nbd_close(disk->nbd);
	disk->nbd = NULL;
	server_close(&disk->server);
}

static int begin(void **state)
{
	*state = calloc(1, sizeof(struct disk));
	return *state ? 0 : -1;
}

static int end(void **state)
{
	struct disk *disk = *state;

	nbd_close(disk->nbd);
	server_abandon(&disk->server);
	free(disk);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_block_that_is_refused_keeps_what_it_held),
		TEST(of_a_large_request_that_is_refused_each_block_is_old_or_new),
		TEST(part_of_a_large_block_that_is_refused_leaves_it_as_it_was),
		TEST(a_full_disk_can_be_written_again_once_something_is_trimmed),
		TEST(a_full_disk_can_be_zeroed_and_read),
	};

	if (!server_possible())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
