/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Several connections at the same time: a block is always one of those that were written, and
 * nobody's part of a block is lost. How often they meet is chance, what is tested is not.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pattern.h"
#include "server.h"

#define ROUNDS 1500

struct disk {
	struct server server;
};

/* One connection with a thread to it. */
struct client {
	pthread_t thread;
	struct nbd_handle *nbd;
	uint64_t number; /* from 1 */
	bool failed;     /* cmocka cannot be told from here */
	atomic_bool *over;
};

/* What client wrote to the block in that round; every word is checked. */
static uint64_t key_of(uint64_t client, uint64_t round)
{
	return client * 1000003 + round;
}

static void open_disk(struct disk *disk, const char *size)
{
	const char *const parameters[] = { size, NULL };

	server_open(&disk->server, parameters);
}

static void start(struct client *client, const struct disk *disk, uint64_t number,
		  void *(*body)(void *))
{
	client->nbd = server_connect(&disk->server);
	client->number = number;
	client->failed = false;
	assert_int_equal(pthread_create(&client->thread, NULL, body, client), 0);
}

static void finish(struct client *client)
{
	pthread_join(client->thread, NULL);
	nbd_close(client->nbd);
	assert_false(client->failed);
}

/* Every other block is noise, the rest compresses well: sizes change all the time. */
static void fill(unsigned char *block, size_t size, uint64_t key)
{
	pattern_fill(block, size, key);
	if (key % 2)
		for (size_t i = 0; i < size; i++)
			block[i] = block[i % 64];
}

static bool holds(const unsigned char *block, size_t size, uint64_t key)
{
	unsigned char wanted[4 * BLOCK];

	fill(wanted, size, key);
	return memcmp(block, wanted, size) == 0;
}

/* --- the same block -------------------------------------------------------- */

static void *write_first_block(void *data)
{
	struct client *client = data;
	unsigned char block[BLOCK];

	for (uint64_t round = 0; round < ROUNDS && !client->failed; round++) {
		fill(block, sizeof(block), key_of(client->number, round % 8));
		client->failed = nbd_pwrite(client->nbd, block, sizeof(block), 0, 0) < 0;
	}
	return NULL;
}

static bool is_somebodys(const unsigned char *block)
{
	for (uint64_t number = 1; number <= 2; number++)
		for (uint64_t round = 0; round < 8; round++)
			if (holds(block, BLOCK, key_of(number, round)))
				return true;
	return false;
}

static void *read_first_block(void *data)
{
	struct client *client = data;
	unsigned char block[BLOCK];

	while (!atomic_load(client->over) && !client->failed)
		client->failed = nbd_pread(client->nbd, block, sizeof(block), 0, 0) < 0 ||
				 !is_somebodys(block);
	return NULL;
}

static void two_connections_write_one_block_and_a_third_reads_one_of_theirs(void **state)
{
	struct disk *disk = *state;
	struct client writers[2];
	atomic_bool over = false;
	struct client reader = { .over = &over };
	unsigned char block[BLOCK];

	open_disk(disk, "size=1M");
	struct nbd_handle *nbd = server_connect(&disk->server);

	fill(block, sizeof(block), key_of(1, 0));
	assert_nbd(nbd_pwrite(nbd, block, sizeof(block), 0, 0));
	start(&reader, disk, 3, read_first_block);
	for (uint64_t i = 0; i < 2; i++)
		start(&writers[i], disk, i + 1, write_first_block);
	for (size_t i = 0; i < 2; i++)
		finish(&writers[i]);
	atomic_store(&over, true);
	finish(&reader);
	read_block(nbd, 0, block);
	assert_true(is_somebodys(block));
	assert_int_equal(server_figure(&disk->server, "orig_data_size"), BLOCK);
	nbd_close(nbd);
	server_close(&disk->server);
}

/* --- parts of one block ---------------------------------------------------- */

/* Four connections, each with a quarter of every block. */
static void *write_quarters(void *data)
{
	struct client *client = data;
	unsigned char quarter[BLOCK / 4];
	unsigned char found[BLOCK / 4];

	for (uint64_t round = 0; round < ROUNDS && !client->failed; round++) {
		uint64_t at = round % 4 * BLOCK + (client->number - 1) * sizeof(quarter);

		fill(quarter, sizeof(quarter), key_of(client->number, round));
		client->failed = nbd_pwrite(client->nbd, quarter, sizeof(quarter), at, 0) < 0 ||
				 nbd_pread(client->nbd, found, sizeof(found), at, 0) < 0 ||
				 memcmp(quarter, found, sizeof(found)) != 0;
	}
	return NULL;
}

static void four_connections_write_parts_of_one_block_and_none_is_lost(void **state)
{
	struct disk *disk = *state;
	struct client clients[4];

	open_disk(disk, "size=1M");
	for (uint64_t i = 0; i < COUNT_OF(clients); i++)
		start(&clients[i], disk, i + 1, write_quarters);
	for (size_t i = 0; i < COUNT_OF(clients); i++)
		finish(&clients[i]);
	server_close(&disk->server);
}

/* --- neighbours ------------------------------------------------------------ */

/* Every third block, while others write those between and requests overlap at no byte. */
static void *write_every_third(void *data)
{
	struct client *client = data;
	unsigned char block[BLOCK];

	for (uint64_t round = 0; round < ROUNDS && !client->failed; round++) {
		uint64_t index = round % 64 * 3 + client->number - 1;

		fill(block, sizeof(block), key_of(client->number, round));
		client->failed = nbd_pwrite(client->nbd, block, sizeof(block), index * BLOCK, 0) <
				 0;
		/* What was forgotten is written again, 64 rounds later. */
		if (round % 7 == 0 && round + 64 < ROUNDS)
			client->failed |= nbd_trim(client->nbd, BLOCK, index * BLOCK, 0) < 0;
	}
	return NULL;
}

static void connections_that_write_neighbouring_blocks_do_not_disturb_each_other(void **state)
{
	struct disk *disk = *state;
	struct client clients[3];
	unsigned char block[BLOCK];

	open_disk(disk, "size=1M");
	for (uint64_t i = 0; i < COUNT_OF(clients); i++)
		start(&clients[i], disk, i + 1, write_every_third);
	for (size_t i = 0; i < COUNT_OF(clients); i++)
		finish(&clients[i]);

	struct nbd_handle *nbd = server_connect(&disk->server);

	for (uint64_t number = 1; number <= COUNT_OF(clients); number++)
		for (uint64_t round = ROUNDS - 64; round < ROUNDS; round++) {
			read_block(nbd, round % 64 * 3 + number - 1, block);
			assert_true(holds(block, sizeof(block), key_of(number, round)));
		}
	nbd_close(nbd);
	server_close(&disk->server);
}

/* --- requests of several blocks -------------------------------------------- */

/* Whose requests lie across each other's; each block by itself is one of them. */
static void *write_across(void *data)
{
	struct client *client = data;
	unsigned char blocks[3 * BLOCK];

	for (uint64_t round = 0; round < ROUNDS && !client->failed; round++) {
		uint64_t first = (round + client->number) % 2;

		for (size_t i = 0; i < 3; i++)
			fill(blocks + i * BLOCK, BLOCK, key_of(client->number, round % 8));
		client->failed = nbd_pwrite(client->nbd, blocks, sizeof(blocks), first * BLOCK, 0) <
				 0;
	}
	return NULL;
}

static void blocks_of_requests_that_overlap_are_each_of_one_request(void **state)
{
	struct disk *disk = *state;
	struct client clients[2];
	unsigned char block[BLOCK];

	open_disk(disk, "size=1M");
	for (uint64_t i = 0; i < COUNT_OF(clients); i++)
		start(&clients[i], disk, i + 1, write_across);
	for (size_t i = 0; i < COUNT_OF(clients); i++)
		finish(&clients[i]);

	struct nbd_handle *nbd = server_connect(&disk->server);

	for (uint64_t index = 0; index < 4; index++) {
		read_block(nbd, index, block);
		assert_true(is_somebodys(block));
	}
	nbd_close(nbd);
	server_close(&disk->server);
}

/* --- one connection after another ------------------------------------------ */

static void what_one_connection_wrote_another_reads_at_once(void **state)
{
	struct disk *disk = *state;
	unsigned char block[BLOCK];
	unsigned char found[BLOCK];

	open_disk(disk, "size=1M");
	struct nbd_handle *one = server_connect(&disk->server);
	struct nbd_handle *other = server_connect(&disk->server);

	assert_int_equal(nbd_can_multi_conn(one), 1);
	for (uint64_t round = 0; round < 200; round++) {
		fill(block, sizeof(block), key_of(1, round));
		assert_nbd(nbd_pwrite(one, block, sizeof(block), round % 5 * BLOCK, 0));
		read_block(other, round % 5, found);
		assert_memory_equal(block, found, sizeof(block));
		assert_nbd(nbd_trim(other, BLOCK, round % 5 * BLOCK, 0));
		read_block(one, round % 5, found);
		assert_int_equal(found[round], 0);
	}
	nbd_close(one);
	nbd_close(other);
	server_close(&disk->server);
}

/*
 * With one thread a connection: with more of them nbdkit 1.32 itself gives up now and then
 * (raw_send_socket: Assertion `sock >= 0'), whatever the plugin.
 */
static void a_client_that_goes_away_amid_a_request_harms_nobody(void **state)
{
	static const char *const parameters[] = { "--threads=1", "size=1M", NULL };
	static unsigned char request[128 * BLOCK];
	struct disk *disk = *state;
	unsigned char block[BLOCK];

	server_open(&disk->server, parameters);
	for (uint64_t round = 0; round < 30; round++) {
		struct nbd_handle *nbd = server_connect(&disk->server);

		for (size_t i = 0; i < COUNT_OF(request) / BLOCK; i++)
			fill(request + i * BLOCK, BLOCK, key_of(1, round % 8));
		assert_true(nbd_aio_pwrite(nbd, request, sizeof(request), 0, NBD_NULL_COMPLETION,
					   0) > 0);
		nbd_close(nbd); /* without waiting for it */
	}

	struct nbd_handle *nbd = server_connect(&disk->server);

	fill(block, sizeof(block), key_of(2, 0));
	assert_nbd(nbd_pwrite(nbd, block, sizeof(block), 0, 0));
	read_block(nbd, 0, block);
	assert_true(holds(block, sizeof(block), key_of(2, 0)));
	nbd_close(nbd);
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

	server_abandon(&disk->server);
	free(disk);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(two_connections_write_one_block_and_a_third_reads_one_of_theirs),
		TEST(four_connections_write_parts_of_one_block_and_none_is_lost),
		TEST(connections_that_write_neighbouring_blocks_do_not_disturb_each_other),
		TEST(blocks_of_requests_that_overlap_are_each_of_one_request),
		TEST(what_one_connection_wrote_another_reads_at_once),
		TEST(a_client_that_goes_away_amid_a_request_harms_nobody),
	};

	if (!server_possible())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
