/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Requests over NBD that no good client makes, among good ones, against plain memory as the
 * model: ranges that are not of the disk, flags that do not exist, lengths of none or far too
 * many bytes, garbage instead of a handshake or of requests. What is wrong is refused or
 * hung up on, and changes nothing; the disk goes on. Good requests of all kinds are
 * tests/disk/test_model.c.
 * Usage: nbd [SEED [STEPS]]; the seed is printed, and the same seed does the same again.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "rng.h"
#include "server.h"

enum { SIZE = 3000001, DISK_BLOCK = 8192, REQUEST = 1 << 17 };

static uint64_t seed = 20140807;
static unsigned long steps = 6000;

static struct {
	struct server server;
	struct nbd_handle *nbd;
	struct rng rng;
	unsigned char model[SIZE];
	unsigned long good, odd, refused, garbage, hung_up;
} run;

static unsigned char buffer[REQUEST];

/* A handle that sends what it is told to, right or wrong. */
static void open_connection(void)
{
	run.nbd = server_connect(&run.server);
	assert_nbd(nbd_set_strict_mode(run.nbd, 0));
}

static void reopen_if_hung_up(void)
{
	if (!nbd_aio_is_dead(run.nbd) && !nbd_aio_is_closed(run.nbd))
		return;
	run.hung_up++;
	nbd_close(run.nbd);
	open_connection();
}

/* --- good ones -------------------------------------------------------------- */

struct range {
	size_t offset, count;
};

static struct range good_range(void)
{
	struct range range = { rng_below(&run.rng, SIZE), 1 + rng_below(&run.rng, REQUEST) };

	if (range.count > SIZE - range.offset)
		range.count = SIZE - range.offset;
	return range;
}

static void write_some(void)
{
	struct range range = good_range();
	uint64_t word = rng_next(&run.rng);

	for (size_t i = 0; i < range.count; i++) {
		if (i % 64 == 0)
			word = rng_next(&run.rng);
		buffer[i] = (unsigned char)(word >> i % 8 * 8);
	}
	assert_nbd(nbd_pwrite(run.nbd, buffer, range.count, range.offset, 0));
	memcpy(run.model + range.offset, buffer, range.count);
	run.good++;
}

static void check_range(struct range range)
{
	memset(buffer, 0xEE, range.count);
	assert_nbd(nbd_pread(run.nbd, buffer, range.count, range.offset, 0));
	if (memcmp(buffer, run.model + range.offset, range.count) != 0)
		fail_msg("seed %" PRIu64 ": %zu bytes at %zu are wrong", seed, range.count,
			 range.offset);
	run.good++;
}

static void check_some(void)
{
	check_range(good_range());
}

static void zero_some(void)
{
	struct range range = good_range();

	assert_nbd(nbd_zero(run.nbd, range.count, range.offset, 0));
	memset(run.model + range.offset, 0, range.count);
	run.good++;
}

/* --- odd ones ---------------------------------------------------------------- */

/* Of a range that is not all in the disk. */
static uint64_t odd_offset(uint64_t count)
{
	switch (rng_below(&run.rng, 5)) {
	case 0:
		return SIZE;
	case 1: /* the last byte is too far */
		return count < SIZE ? SIZE - count + 1 : SIZE;
	case 2:
		return UINT64_MAX - rng_below(&run.rng, REQUEST);
	case 3:
		return (uint64_t)INT64_MAX - rng_below(&run.rng, REQUEST);
	default:
		return SIZE + (rng_next(&run.rng) >> rng_below(&run.rng, 40));
	}
}

static int no_extent(void *data, const char *context, uint64_t offset, uint32_t *entries,
		     size_t count, int *error)
{
	(void)data;
	(void)context;
	(void)offset;
	(void)entries;
	(void)count;
	(void)error;
	return 0;
}

static int request(unsigned kind, uint64_t count, uint64_t offset, uint32_t flags)
{
	nbd_extent_callback callback = { .callback = no_extent };
	size_t small = count < REQUEST ? (size_t)count : REQUEST;

	switch (kind) {
	case 0:
		return nbd_pread(run.nbd, buffer, small, offset, flags);
	case 1:
		memset(buffer, 0xDD, small);
		return nbd_pwrite(run.nbd, buffer, small, offset, flags);
	case 2:
		return nbd_trim(run.nbd, count, offset, flags);
	case 3:
		return nbd_zero(run.nbd, count, offset, flags);
	case 4:
		return nbd_cache(run.nbd, count, offset, flags);
	default:
		return nbd_block_status(run.nbd, count, offset, callback, flags);
	}
}

/* A read of it may be answered beforehand by libnbd; nothing of it may succeed. */
static void ask_beyond(void)
{
	uint64_t count = 1 + rng_below(&run.rng, rng_below(&run.rng, 2) ? REQUEST : UINT32_MAX - 1);
	unsigned kind = rng_below(&run.rng, 6);

	if (kind < 2 && count > REQUEST)
		count = REQUEST;
	run.odd++;
	assert_int_equal(request(kind, count, odd_offset(count), 0), -1);
	run.refused++;
	reopen_if_hung_up();
}

/* Whatever comes of it, what is there stays: the range is empty, or the flags are none. */
static void ask_nothing(void)
{
	run.odd++;
	run.refused += request(rng_below(&run.rng, 6), 0, rng_below(&run.rng, SIZE + 1), 0) < 0;
	reopen_if_hung_up();
}

static void ask_with_flags(void)
{
	static const unsigned harmless[] = { 0, 4, 5 };
	uint32_t flags = 1u << (rng_below(&run.rng, 11) + 5);
	struct range range = good_range();

	run.odd++;
	run.refused += request(harmless[rng_below(&run.rng, 3)], range.count, range.offset, flags) <
		       0;
	reopen_if_hung_up();
}

/* --- garbage ----------------------------------------------------------------- */

static int connect_raw(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = 10 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	memcpy(address.sun_path, run.server.socket, sizeof(run.server.socket));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* As far as the other side takes it. */
static void send_raw(int fd, const void *bytes, size_t count)
{
	if (send(fd, bytes, count, MSG_NOSIGNAL) < 0)
		assert_true(errno == EPIPE || errno == ECONNRESET);
}

static void send_noise(int fd)
{
	unsigned char noise[600];
	size_t count = 1 + rng_below(&run.rng, sizeof(noise));

	for (size_t i = 0; i < count; i++)
		noise[i] = (unsigned char)rng_next(&run.rng);
	send_raw(fd, noise, count);
}

/* NBD_OPT_EXPORT_NAME of "": from then on requests are expected. */
static const unsigned char export_name[] = { 'I', 'H', 'A', 'V', 'E', 'O', 'P', 'T',
					     0,   0,   0,   1,   0,   0,   0,   0 };

/* Answers are taken, until the other side hangs up or has no more to say to what it got. */
static void send_garbage(void)
{
	static const unsigned char flags[4] = { 0, 0, 0, 1 };
	int fd = connect_raw();
	unsigned depth = rng_below(&run.rng, 4);
	unsigned char taken[4096];

	if (depth > 0)
		send_raw(fd, flags, sizeof(flags));
	if (depth > 1)
		send_raw(fd, export_name, sizeof(export_name));
	if (depth > 2) {
		static const unsigned char magic[4] = { 0x25, 0x60, 0x95, 0x13 };

		send_raw(fd, magic, sizeof(magic));
	}
	/* What a request of noise may do must do no harm: it only reads. */
	if (depth > 2) {
		static const unsigned char read[4] = { 0, 0, 0, 0 };

		send_raw(fd, read, sizeof(read));
	}
	send_noise(fd);
	shutdown(fd, SHUT_WR);
	while (recv(fd, taken, sizeof(taken), 0) > 0)
		;
	close(fd);
	run.garbage++;
}

/* --- all together --------------------------------------------------------------- */

static void step(void)
{
	static void (*const kinds[])(void) = {
		write_some, check_some, check_some,  zero_some,      ask_beyond,
		ask_beyond, ask_beyond, ask_nothing, ask_with_flags, ask_with_flags,
	};

	if (rng_below(&run.rng, 60) == 0)
		send_garbage();
	else
		kinds[rng_below(&run.rng, COUNT_OF(kinds))]();
}

static void odd_requests_change_nothing(void **state)
{
	static const char *const parameters[] = { "size=3000001", "block-size=8K", NULL };

	(void)state;
	run.rng = rng_seeded(seed);
	server_open(&run.server, parameters);
	open_connection();
	for (unsigned long i = 0; i < steps; i++)
		step();
	for (size_t at = 0; at < SIZE; at += REQUEST)
		check_range((struct range){ at, SIZE - at < REQUEST ? SIZE - at : REQUEST });
	assert_int_equal(server_figure(&run.server, "damaged_blocks"), 0);
	print_message("%lu good requests, %lu odd ones, of which %lu refused, %lu times garbage, "
		      "%lu times hung up on\n",
		      run.good, run.odd, run.refused, run.garbage, run.hung_up);
	assert_true(run.odd && run.refused && run.garbage);
	assert_nbd(nbd_shutdown(run.nbd, 0));
	nbd_close(run.nbd);
	run.nbd = NULL;
	server_close(&run.server);
}

static int clean_up(void **state)
{
	(void)state;
	nbd_close(run.nbd);
	server_abandon(&run.server);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(odd_requests_change_nothing, clean_up),
	};

	if (!server_possible())
		return 77;
	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0);
	if (argc > 2)
		steps = strtoul(argv[2], NULL, 0);
	printf("seed %" PRIu64 "\n", seed);
	return cmocka_run_group_tests_name("fuzz-nbd", tests, NULL, NULL);
}
