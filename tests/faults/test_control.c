/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The plugin's control socket under faults: it is refused with a reason or it is there; a
 * client gets the right answer, an error that says why, or a closed connection, never
 * another answer; and whatever came before, the next client is served. Nothing is left over,
 * neither descriptors nor the socket's file.
 */
#include "../zram/store.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"
#include "inject.h"

/* --- nbdkit's part --- */

static unsigned reasons;

void nbdkit_error(const char *format, ...);
char *nbdkit_absolute_path(const char *path);

__attribute__((format(printf, 1, 2))) void nbdkit_error(const char *format, ...)
{
	(void)format;
	reasons++;
}

char *nbdkit_absolute_path(const char *path)
{
	char *copy = strdup(path);

	if (!copy)
		nbdkit_error("strdup");
	return copy;
}

/* --- the client --- */

static char directory[] = "/tmp/zram-control-XXXXXX";
static char path[64];
static struct zram *store;
static bool is_open, is_served;

static int dial(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	memcpy(address.sun_path, path, strlen(path));
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Reads an answer: its first line, and what that announces. False: the connection ended. */
static bool take_answer(int fd, char *answer, size_t room)
{
	size_t length = 0, whole = 0;

	while (!whole || length < whole) {
		ssize_t got = recv(fd, answer + length, room - 1 - length, 0);
		char *end;

		if (got <= 0)
			return false;
		length += (size_t)got;
		answer[length] = '\0';
		end = strchr(answer, '\n');
		if (end && !whole)
			whole = (size_t)(end + 1 - answer) +
				(strncmp(answer, "ok ", 3) ? 0 : strtoul(answer + 3, NULL, 10));
	}
	assert_int_equal(length, whole);
	return true;
}

static bool try_ask(const char *request, char *answer, size_t room)
{
	int fd = dial();
	bool answered = send(fd, request, strlen(request), MSG_NOSIGNAL) ==
				(ssize_t)strlen(request) &&
			take_answer(fd, answer, room);

	close(fd);
	return answered;
}

/* Asks until there is an answer, as long as faults are a reason for none. */
static void ask(const char *request, const char *expected)
{
	static char answer[65536];
	bool answered = false;

	if (!is_served)
		return;
	own_begin();
	for (unsigned tries = 0; !answered && tries < 2 * 20; tries++) {
		answered = try_ask(request, answer, sizeof(answer));
		assert_true(answered || refusals());
	}
	if (answered && strncmp(answer, expected, strlen(expected)) != 0) {
		assert_true(refusals() > 0);
		/* The latter if the reset before it was refused. */
		assert_true(strstr(answer, strerror(ENOMEM)) ||
			    strstr(answer, "only while nothing is stored"));
		assert_int_equal(strncmp(answer, "error ", 6), 0);
	}
	own_end();
}

/* Several at once, the first of whom says nothing for long. */
static void crowd(unsigned count)
{
	int fds[40];
	char answer[256];

	if (!is_served)
		return;
	own_begin();
	for (unsigned i = 0; i < count; i++)
		fds[i] = dial();
	for (unsigned i = count; i-- > 0;) {
		static const char request[] = "get disksize\n";

		if (send(fds[i], request, sizeof(request) - 1, MSG_NOSIGNAL) > 0 &&
		    take_answer(fds[i], answer, sizeof(answer)))
			assert_true(!strcmp(answer, "ok 8\n1048576\n") || refusals());
		close(fds[i]);
	}
	own_end();
}

/* --- the scenarios --- */

static void open_store(const void *arg)
{
	const struct zram_options options = { .size = MIB(1) };

	(void)arg;
	store = store_open(&options);
	for (uint64_t i = 0; i < 40; i++)
		write_stamp(store, i, stamp_key(i % 4, i));
	is_open = is_served = false;
	reasons = 0;
}

/* A server that was killed leaves its socket. */
static void leave_dead_socket(const void *arg)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	open_store(arg);
	assert_true(fd >= 0);
	memcpy(address.sun_path, path, strlen(path));
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
}

static void serve(void)
{
	if (control_open(path) != 0) {
		assert_true(reasons && refusals());
		return;
	}
	is_open = true;
	if (control_start(store) != 0)
		assert_true(reasons && refusals());
	else
		is_served = true;
}

static void serve_one(void)
{
	serve();
	ask("get disksize\n", "ok 8\n1048576\n");
}

static void serve_many(void)
{
	serve();
	ask("get disksize\n", "ok 8\n1048576\n");
	ask("set mem_limit 64M\n", "ok 0\n");
	ask("get mem_limit\n", "ok 9\n67108864\n");
	ask("get stat\n", "ok ");
	ask("get classes\n", "ok ");
	ask("set compact 1\n", "ok 0\n");
	ask("get nothing\n", "error no such attribute: nothing\n");
	ask("set block_size 1\n", "error block_size cannot be set\n");
	ask("nonsense\n", "error unknown request");
}

static void serve_crowd(void)
{
	serve();
	crowd(6);
	ask("get disksize\n", "ok 8\n1048576\n");
}

/* More than there are places for. */
static void serve_too_many(void)
{
	serve();
	crowd(35);
	ask("get disksize\n", "ok 8\n1048576\n");
}

static void serve_changes(void)
{
	serve();
	ask("set reset 1\n", "ok 0\n");
	ask("set comp_algorithm zstd\n", "ok 0\n");
	ask("set comp_algorithm lz4\n", "ok 0\n");
	ask("set compaction manual\n", "ok 0\n");
	ask("set algorithm_params level=3\n", "ok 0\n");
}

/* What is too long for a request. */
static void serve_nonsense(void)
{
	static char request[CONTROL_MAX_REQUEST + 1];

	memset(request, 'x', sizeof(request) - 1);
	serve();
	ask(request, "error a request is longer");
	ask("get disksize\n", "ok 8\n1048576\n");
}

/* control_close() is called in any case, as nbdkit does. */
static void stop(void)
{
	struct stat found;

	control_close();
	is_served = false;
	if (is_open)
		assert_int_equal(lstat(path, &found), -1);
	/* What was there before may still be; but nothing that was made. */
	unlink(path);
}

static void end(void)
{
	ask("get disksize\n", "ok 8\n1048576\n");
	stop();
	serve();
	assert_true(is_served);
	ask("get disksize\n", "ok 8\n1048576\n");
	ask("get initstate\n", "ok 2\n1\n");
	stop();
	store_close(store);
}

/* Refused, it has left nothing there. */
static void end_without_remains(void)
{
	if (!is_open && !refusals_of(UNLINK))
		assert_int_not_equal(access(path, F_OK), 0);
	end();
}

static const struct scenario scenarios[] = {
	{ "control socket: one client", open_store, serve_one, end_without_remains, NULL },
	{ "control socket: requests of all kinds", open_store, serve_many, end_without_remains,
	  NULL },
	{ "control socket: six clients", open_store, serve_crowd, end_without_remains, NULL },
	{ "control socket: more clients than places", open_store, serve_too_many,
	  end_without_remains, NULL },
	{ "control socket: changes", open_store, serve_changes, end_without_remains, NULL },
	{ "control socket: nonsense", open_store, serve_nonsense, end_without_remains, NULL },
	{ "control socket: a dead one in its place", leave_dead_socket, serve_one, end, NULL },
};

static void every_refusal_is_reported_and_the_next_client_served(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/control", directory);
	for (size_t i = 0; i < COUNT_OF(scenarios); i++)
		run_scenario(&scenarios[i]);
	rmdir(directory);
	print_total(400);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_refusal_is_reported_and_the_next_client_served),
	};

	take_arguments(argc, argv);
	return cmocka_run_group_tests_name("faults-control", tests, NULL, NULL);
}
