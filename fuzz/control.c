/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Fuzzer: what clients send to the control socket. The plugin's server runs in the
 * fuzzer's thread: where it would wait in poll(), clients do what the input says (connect,
 * send, take some of an answer, go), through a real Unix socket.
 * The program is linked so that poll, pthread_create and pthread_join are the functions
 * below (see meson.build).
 *
 * Each request that was complete must be answered, in order, by what the protocol allows
 * (plugin/control.h); and the server must end when it is told to.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <zram.h>

#include "contents.h"
#include "files.h"
#include "nbdkit.h"
#include "plugin/control.h"

enum { CLIENTS = 40, SERVED = 32, STREAM = 1 << 18, TURNS = 1 << 20 };

/* The linker puts these in the place of those without the prefix. */
int __real_poll(struct pollfd *fds, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *arg);
int __wrap_pthread_join(pthread_t thread, void **result);

/* One that has connected. */
static struct client {
	int fd;              /* 0: not there */
	bool too_long;       /* it sent a line that is longer than a request may be */
	bool done, gone;     /* it sends no more; the server hung up */
	unsigned long lines; /* that were sent */
	size_t line_length;  /* of the one that was begun */
	unsigned long answers;
	size_t received; /* of an answer that is not complete */
	char answer[STREAM];
} clients[CLIENTS];

static struct {
	struct input input;
	unsigned turns, idle;
	unsigned connections;
	void *(*start)(void *);
	char directory[64], path[96];
} run;

static struct {
	unsigned long connections, requests, answers, errors;
} tried;

bool fuzz_summary(void)
{
	printf("%lu connections, %lu requests, %lu answers, %lu of them errors\n",
	       tried.connections, tried.requests, tried.answers, tried.errors);
	return tried.connections && tried.requests && tried.answers;
}

/* --- what a client does ------------------------------------------------------- */

static void hang_up(struct client *client)
{
	close(client->fd);
	client->fd = 0;
}

static void do_connect(struct client *client)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (client->fd)
		return;
	memcpy(address.sun_path, run.path, strlen(run.path) + 1);
	memset(client, 0, offsetof(struct client, answer));
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	require(client->fd > 0);
	require(connect(client->fd, (const struct sockaddr *)&address, sizeof(address)) == 0);
	tried.connections++;
	run.connections++;
}

/* What was sent is noted line by line. */
static void note_sent(struct client *client, const char *bytes, size_t count)
{
	for (size_t i = 0; i < count && !client->too_long; i++) {
		if (bytes[i] == '\n') {
			client->lines++;
			client->line_length = 0;
			tried.requests++;
		} else if (++client->line_length == CONTROL_MAX_REQUEST) {
			client->too_long = true;
		}
	}
}

static void transmit(struct client *client, const void *bytes, size_t count)
{
	if (!client->fd || client->done)
		return;
	ssize_t sent = send(client->fd, bytes, count, MSG_NOSIGNAL);
	if (sent > 0)
		note_sent(client, bytes, (size_t)sent);
}

static void do_send(struct client *client)
{
	size_t count = input_byte(&run.input);
	const uint8_t *bytes = input_bytes(&run.input, &count);

	transmit(client, bytes, count);
}

/* Much of the same, for lines of all lengths. */
static void do_send_many(struct client *client)
{
	char bytes[4200];
	size_t count = 1 + input_below(&run.input, sizeof(bytes));

	memset(bytes, (int)input_byte(&run.input), sizeof(bytes));
	transmit(client, bytes, count);
}

static void do_request(struct client *client)
{
	char line[64];
	const char *const *names = zram_attributes();
	size_t count = 0;

	while (names[count])
		count++;
	snprintf(line, sizeof(line), input_below(&run.input, 3) ? "get %s\n" : "set %s 1\n",
		 names[input_below(&run.input, (uint32_t)count)]);
	transmit(client, line, strlen(line));
}

static void do_finish(struct client *client)
{
	if (!client->fd)
		return;
	shutdown(client->fd, SHUT_WR);
	client->done = true;
}

static void do_leave(struct client *client)
{
	if (client->fd)
		hang_up(client);
}

/* --- answers ----------------------------------------------------------------- */

/* The length of the first answer, 0 if it is not all there yet. */
static size_t answer_length(const struct client *client)
{
	const char *end = memchr(client->answer, '\n', client->received);
	size_t line, length;
	char after;

	if (!end) {
		require(client->received < 300);
		return 0;
	}
	line = (size_t)(end + 1 - client->answer);
	for (const char *at = client->answer; at < end; at++)
		require((unsigned char)*at >= ' ' && *at != 0x7f);
	if (memcmp(client->answer, "error ", 6) == 0) {
		tried.errors++;
		return line;
	}
	require(sscanf(client->answer, "ok %zu%c", &length, &after) == 2 && after == '\n');
	return client->received >= line + length ? line + length : 0;
}

static void take_answers(struct client *client)
{
	size_t length;

	while ((length = answer_length(client)) != 0) {
		client->answers++;
		tried.answers++;
		client->received -= length;
		memmove(client->answer, client->answer + length, client->received);
	}
	/* One answer more than requests: to a line that was too long. */
	require(client->answers <= client->lines + client->too_long);
}

static void receive(struct client *client, size_t count)
{
	if (!client->fd || client->gone)
		return;
	require(client->received + count < sizeof(client->answer));
	ssize_t got = recv(client->fd, client->answer + client->received, count, 0);
	if (got > 0) {
		client->received += (size_t)got;
		/* For sscanf(). */
		client->answer[client->received] = '\0';
		take_answers(client);
	} else if (got == 0 || errno != EAGAIN) {
		client->gone = true;
	}
	run.idle = got > 0 ? 0 : run.idle;
}

static void do_receive(struct client *client)
{
	receive(client, 1 + input_byte(&run.input));
}

/* --- in the server's place --------------------------------------------------- */

static void step(void)
{
	static void (*const steps[])(struct client *) = {
		do_connect, do_connect, do_send,    do_send,   do_send,  do_request,
		do_request, do_receive, do_receive, do_finish, do_leave, do_send_many,
	};
	void (*act)(struct client *) = steps[input_below(&run.input, COUNT_OF(steps))];

	act(&clients[input_below(&run.input, CLIENTS)]);
}

/* Everything was answered, but where the server may hang up on a client. */
static void require_answers(struct client *client)
{
	bool dropped = client->too_long || run.connections > SERVED;

	if (!client->fd)
		return;
	require(dropped || (client->answers == client->lines && client->received == 0));
	require(dropped || client->gone == client->done);
	hang_up(client);
}

/* After the input's end all that is to be answered is taken, then the server is told to end. */
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	(void)timeout;
	if (!fds)
		return 0;
	if (run.input.left) {
		for (unsigned steps = input_byte(&run.input) % 4 + 1; steps; steps--)
			step();
	} else {
		run.idle++;
		for (unsigned i = 0; i < CLIENTS; i++)
			receive(&clients[i], 60000);
	}
	files_enclose(true);
	int ready = __real_poll(fds, count, 0);
	if (ready > 0)
		run.idle = 0;
	require(++run.turns < TURNS || run.input.left);
	if (run.idle < 3)
		return ready;
	for (unsigned i = 0; i < CLIENTS; i++)
		require_answers(&clients[i]);
	fds[count - 1].revents = POLLIN;
	return 1;
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *arg)
{
	(void)attributes;
	require(!arg);
	*thread = pthread_self();
	run.start = start;
	return 0;
}

int __wrap_pthread_join(pthread_t thread, void **result)
{
	(void)thread;
	(void)result;
	return 0;
}

/* --- one input --------------------------------------------------------------- */

static void remove_directory(void)
{
	rmdir(run.directory);
}

static void make_directory(void)
{
	const char *parent = getenv("TMPDIR");

	if (run.directory[0])
		return;
	snprintf(run.directory, sizeof(run.directory), "%s/fuzz-XXXXXX",
		 parent && strlen(parent) < 40 ? parent : "/tmp");
	require(mkdtemp(run.directory));
	snprintf(run.path, sizeof(run.path), "%s/control", run.directory);
	atexit(remove_directory);
}

static struct zram *make_store(void)
{
	unsigned char block[4096];
	struct zram_options options = { .size = 64 * sizeof(block), .max_comp_streams = 2 };
	struct zram *zram = zram_create(&options);

	require(zram);
	contents_fill(block, sizeof(block), 3, 900);
	require(zram_pwrite(zram, block, sizeof(block), 0) == (ssize_t)sizeof(block));
	return zram;
}

void fuzz_one(const uint8_t *data, size_t size)
{
	struct zram *zram = make_store();
	const char *said;

	make_directory();
	run.input = (struct input){ data, size };
	run.turns = run.idle = 0;
	run.connections = 0;
	require(control_open(run.path) == 0);
	require(control_start(zram) == 0);
	require(run.start(NULL) == NULL);
	files_enclose(false);
	control_close();
	require(access(run.path, F_OK) != 0);
	require(nbdkit_complaints(&said) == 0);
	zram_destroy(zram);
}
