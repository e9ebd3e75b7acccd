/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The control socket's server: one thread that polls the listening socket and all
 * connections. Nothing a client does can stop it or hold others up but the work it asks
 * for: sockets do not block, a client that does not take its answer is asked for nothing
 * more, each has one request's room, and when all places are taken a newcomer gets that of
 * who was silent for longest.
 */
#define _GNU_SOURCE
#define NBDKIT_API_VERSION 2
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <nbdkit-plugin.h>

#include "control.h"
#include "thread.h"

#define MAX_CLIENTS 32

struct client {
	int fd;
	uint64_t heard; /* control.turn when it last sent or took something */
	size_t received;
	char request[CONTROL_MAX_REQUEST]; /* received bytes of it are there */
	/* What is to be sent, if not NULL: status alone, or value, which is on the heap. */
	const char *answer;
	size_t length, sent;
	char *value;
	char status[256];
	bool last; /* to be closed after this answer */
};

static struct {
	char *path;   /* absolute, as nbdkit changes its directory; NULL: there is no socket */
	dev_t device; /* of the socket's file */
	ino_t inode;
	int listener;
	int stop[2];          /* a pipe; its write end is closed when the thread is to end */
	atomic_bool stopping; /* says the same where poll() fails */
	bool running;
	pthread_t thread;
	/* The thread's own. */
	struct zram *store;
	struct client *clients[MAX_CLIENTS];
	unsigned count;
	uint64_t turn;
} control;

/* --- answers --------------------------------------------------------------- */

static void answer_status(struct client *client, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	/* The newline has its place even if the text has not. */
	vsnprintf(client->status, sizeof(client->status) - 1, format, args);
	va_end(args);
	/* It may quote what a client sent. */
	size_t length = 0;
	for (; client->status[length] != '\0'; length++)
		if ((unsigned char)client->status[length] < ' ' || client->status[length] == 0x7f)
			client->status[length] = '?';
	client->status[length] = '\n';
	client->answer = client->status;
	client->length = length + 1;
}

static bool is_attribute(const char *name)
{
	for (const char *const *known = zram_attributes(); *known != NULL; known++)
		if (strcmp(*known, name) == 0)
			return true;
	return false;
}

/* denied: what EACCES means. */
static void answer_error(struct client *client, const char *name, int error, const char *denied)
{
	/* With others ENOENT is about a file that is their value. */
	if (!is_attribute(name)) {
		answer_status(client, "error no such attribute: %s", name);
		return;
	}
	switch (error) {
	case EACCES:
		answer_status(client, "error %s %s", name, denied);
		break;
	case EINVAL:
		answer_status(client, "error invalid value for %s", name);
		break;
	case EBUSY:
		answer_status(client, "error %s can be set only while nothing is stored", name);
		break;
	default:
		answer_status(client, "error %s: %s", name, strerror(error));
	}
}

/* The value on the heap, behind room for a status of the size given. NULL: errno says why. */
static char *get_value(const char *name, size_t room, size_t *length)
{
	char *value = NULL;
	size_t size = 1024;
	for (;;) {
		char *larger = realloc(value, room + size);
		if (larger == NULL)
			break;
		value = larger;
		ssize_t n = zram_get(control.store, name, value + room, size);
		if (n < 0)
			break;
		*length = (size_t)n;
		if (*length < size)
			return value;
		/* It may be longer still the next time: classes come and go. */
		size = *length + *length / 4 + 1;
	}
	int error = errno;
	free(value);
	errno = error;
	return NULL;
}

static void answer_get(struct client *client, const char *name)
{
	char status[32];
	size_t length;
	char *value = get_value(name, sizeof(status), &length);
	if (value == NULL) {
		answer_error(client, name, errno, "can only be set");
		return;
	}
	size_t used = (size_t)snprintf(status, sizeof(status), "ok %zu\n", length);
	client->value = value;
	client->answer = value + sizeof(status) - used;
	client->length = used + length;
	memcpy(value + sizeof(status) - used, status, used);
}

static void answer_set(struct client *client, const char *name, const char *value)
{
	if (zram_set(control.store, name, value) == 0)
		answer_status(client, "ok 0");
	else
		answer_error(client, name, errno, "cannot be set");
}

/* request is a line without its newline. */
static void answer(struct client *client, char *request, size_t length)
{
	char *value;
	if (memchr(request, '\0', length) != NULL) {
		answer_status(client, "error a null byte in the request");
	} else if (strncmp(request, "get ", 4) == 0) {
		answer_get(client, request + 4);
	} else if (strncmp(request, "set ", 4) != 0) {
		answer_status(client, "error unknown request: get NAME or set NAME VALUE is one");
	} else if ((value = strchr(request + 4, ' ')) == NULL) {
		answer_status(client, "error no value: set NAME VALUE");
	} else {
		*value = '\0';
		answer_set(client, request + 4, value + 1);
	}
}

/* --- connections ----------------------------------------------------------- */

static char *end_of_line(struct client *client)
{
	return memchr(client->request, '\n', client->received);
}

/* A client is listened to only when there is nothing to do for it. */
static short events_for(struct client *client)
{
	return client->answer != NULL || end_of_line(client) != NULL ? POLLOUT : POLLIN;
}

/* These return whether the connection goes on. */
static bool receive(struct client *client)
{
	ssize_t n = recv(client->fd, client->request + client->received,
			 sizeof(client->request) - client->received, 0);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	client->received += (size_t)n;
	return n != 0;
}

static bool transmit(struct client *client)
{
	ssize_t n = send(client->fd, client->answer + client->sent, client->length - client->sent,
			 MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	client->sent += (size_t)n;
	if (client->sent < client->length)
		return true;
	free(client->value);
	client->value = NULL;
	client->answer = NULL;
	client->sent = 0;
	return !client->last;
}

/* Answers the first request that is complete, if there is one. */
static void take_request(struct client *client)
{
	char *end = end_of_line(client);
	if (end == NULL) {
		/* Where the next request begins is not known. */
		if (client->received == sizeof(client->request)) {
			answer_status(client, "error a request is longer than %d bytes",
				      CONTROL_MAX_REQUEST);
			client->last = true;
		}
		return;
	}
	*end = '\0';
	answer(client, client->request, (size_t)(end - client->request));
	client->received -= (size_t)(end + 1 - client->request);
	memmove(client->request, end + 1, client->received);
}

/* One request at most, for the others' sake. */
static bool attend(struct client *client)
{
	client->heard = ++control.turn;
	if (events_for(client) == POLLIN && !receive(client))
		return false;
	if (client->answer == NULL)
		take_request(client);
	return client->answer == NULL || transmit(client);
}

/* The last one takes its place. */
static void dismiss(unsigned place)
{
	struct client *client = control.clients[place];
	control.clients[place] = control.clients[--control.count];
	close(client->fd);
	free(client->value);
	free(client);
}

static void dismiss_most_silent(void)
{
	unsigned silent = 0;
	for (unsigned i = 1; i < control.count; i++)
		if (control.clients[i]->heard < control.clients[silent]->heard)
			silent = i;
	dismiss(silent);
}

static void welcome(void)
{
	int fd = accept4(control.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		/* If for want of descriptors, it would be tried again at once, for ever. */
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			poll(NULL, 0, 100);
		return;
	}
	struct client *client = calloc(1, sizeof(*client));
	if (client == NULL) {
		close(fd);
		return;
	}
	if (control.count == MAX_CLIENTS)
		dismiss_most_silent();
	client->fd = fd;
	client->heard = ++control.turn;
	control.clients[control.count++] = client;
}

static void *serve(void *unused)
{
	(void)unused;
	while (!atomic_load(&control.stopping)) {
		struct pollfd polled[MAX_CLIENTS + 2];
		unsigned count = control.count;
		for (unsigned i = 0; i < count; i++)
			polled[i] = (struct pollfd){ .fd = control.clients[i]->fd,
						     .events = events_for(control.clients[i]) };
		polled[count] = (struct pollfd){ .fd = control.listener, .events = POLLIN };
		polled[count + 1] = (struct pollfd){ .fd = control.stop[0] };
		if (poll(polled, count + 2, -1) < 0) {
			/* For want of memory, or above the limit of descriptors: that may last. */
			if (errno != EINTR)
				poll(NULL, 0, 100);
			continue;
		}
		if (polled[count + 1].revents != 0)
			break;
		/* From the end, as dismiss() fills a place with the last. */
		for (unsigned i = count; i-- > 0;)
			if (polled[i].revents != 0 && !attend(control.clients[i]))
				dismiss(i);
		if (polled[count].revents != 0)
			welcome();
	}
	while (control.count != 0)
		dismiss(control.count - 1);
	return NULL;
}

/* --- the socket ------------------------------------------------------------ */

static int stream_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Removes the socket that a server left behind that ended without doing so. */
static int remove_dead(const struct sockaddr_un *address)
{
	struct stat found;
	if (lstat(address->sun_path, &found) != 0) {
		if (errno == ENOENT)
			return 0;
		nbdkit_error("control=%s: %m", address->sun_path);
		return -1;
	}
	if (!S_ISSOCK(found.st_mode)) {
		nbdkit_error("control=%s: exists and is not a socket", address->sun_path);
		return -1;
	}
	int fd = stream_socket();
	if (fd < 0) {
		nbdkit_error("control=%s: %m", address->sun_path);
		return -1;
	}
	/* EAGAIN: somebody listens who has many to answer already. */
	int connected = connect(fd, (const struct sockaddr *)address, sizeof(*address));
	int error = connected == 0 || errno == EAGAIN ? EADDRINUSE : errno;
	close(fd);
	if (error != ECONNREFUSED) {
		errno = error;
		nbdkit_error("control=%s: %m", address->sun_path);
		return -1;
	}
	if (unlink(address->sun_path) != 0 && errno != ENOENT) {
		nbdkit_error("control=%s: %m", address->sun_path);
		return -1;
	}
	return 0;
}

/* The file has its mode from its first moment: nobody can be quicker. */
static int bind_private(int fd, const struct sockaddr_un *address)
{
	mode_t before = umask(S_IXUSR | S_IRWXG | S_IRWXO);
	int bound = bind(fd, (const struct sockaddr *)address, sizeof(*address));
	int error = errno;
	umask(before);
	errno = error;
	return bound;
}

/* Nothing stays of what control_open() has made so far. Says why it failed: errno. */
static int abandon(const char *path, bool bound)
{
	nbdkit_error("control=%s: %m", path);
	if (bound)
		unlink(path);
	if (control.listener >= 0)
		close(control.listener);
	free(control.path);
	control.path = NULL;
	return -1;
}

int control_open(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat made;
	size_t length = strlen(path);
	if (length == 0 || length >= sizeof(address.sun_path)) {
		nbdkit_error("control=%s: a socket's path has 1 to %zu bytes", path,
			     sizeof(address.sun_path) - 1);
		return -1;
	}
	memcpy(address.sun_path, path, length);
	if (remove_dead(&address) != 0)
		return -1;
	control.path = nbdkit_absolute_path(path);
	if (control.path == NULL)
		return -1;
	control.listener = stream_socket();
	if (control.listener < 0 || bind_private(control.listener, &address) != 0)
		return abandon(path, false);
	if (listen(control.listener, SOMAXCONN) != 0 || lstat(path, &made) != 0)
		return abandon(path, true);
	control.device = made.st_dev;
	control.inode = made.st_ino;
	return 0;
}

int control_start(struct zram *store)
{
	if (pipe2(control.stop, O_CLOEXEC) != 0) {
		nbdkit_error("control socket: %m");
		return -1;
	}
	control.store = store;
	atomic_store(&control.stopping, false);
	control.running = thread_start(&control.thread, serve, "control socket") == 0;
	if (control.running)
		return 0;
	close(control.stop[0]);
	close(control.stop[1]);
	return -1;
}

void control_close(void)
{
	struct stat found;
	if (control.path == NULL)
		return;
	if (control.running) {
		atomic_store(&control.stopping, true);
		close(control.stop[1]);
		pthread_join(control.thread, NULL);
		close(control.stop[0]);
		control.running = false;
	}
	/* Somebody may have put another in its place. */
	if (lstat(control.path, &found) == 0 && found.st_dev == control.device &&
	    found.st_ino == control.inode)
		unlink(control.path);
	close(control.listener);
	free(control.path);
	control.path = NULL;
}
