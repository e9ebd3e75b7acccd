/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Makes the sockets that clients connect to: a Unix socket that only its user
 * can reach, or TCP ports, of loopback unless an address is given.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "listener.h"
#include "place.h"
#include "say.h"

#define BACKLOG SOMAXCONN

void clear_socket(const char *path)
{
	struct stat st;
	int fd;

	if (lstat(path, &st)) {
		if (errno == ENOENT)
			return;
		die(EXIT_FAILURE, "%s: %s", path, strerror(errno));
	}
	if (!S_ISSOCK(st.st_mode))
		die(EXIT_FAILURE, "%s: is there already, and no socket", path);
	fd = place_connect(path);
	if (fd >= 0 || errno != ECONNREFUSED)
		die(EXIT_FAILURE, "%s: is in use by another server", path);
	if (unlink(path))
		die(EXIT_FAILURE, "%s: %s", path, strerror(errno));
}

/* For a URI: all but what needs no escape in one. */
static char *escape_path(const char *path)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789/._-~";
	char *text = need_memory(malloc(strlen(path) * 3 + 1));
	char *to = text;

	for (; *path; path++) {
		if (strchr(plain, *path))
			*to++ = *path;
		else
			to += sprintf(to, "%%%02X", (unsigned char)*path);
	}
	*to = '\0';
	return text;
}

void listen_unix(struct listener *listener, const char *path)
{
	struct sockaddr_un address;
	char *escaped = escape_path(path);
	mode_t mask = umask(077);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	place_address(&address, path);
	clear_socket(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, BACKLOG))
		die(EXIT_FAILURE, "%s: %s", path, strerror(errno));
	umask(mask);
	*listener = (struct listener){ .fds = { fd }, .count = 1 };
	listener->uri = text_of("nbd+unix:///?socket=%s", escaped);
	free(escaped);
}

static int try_listen(const struct addrinfo *at)
{
	const int yes = 1;
	int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int error;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (at->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes));
	if (!bind(fd, at->ai_addr, at->ai_addrlen) && !listen(fd, BACKLOG))
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

/* Port 0 became a real one with the first socket. */
static uint16_t port_of(int fd)
{
	struct sockaddr_storage address = { 0 };
	socklen_t size = sizeof(address);
	char port[8] = "";

	if (!getsockname(fd, (struct sockaddr *)&address, &size))
		getnameinfo((struct sockaddr *)&address, size, NULL, 0, port, sizeof(port),
			    NI_NUMERICSERV);
	return (uint16_t)atoi(port);
}

/* Adds a listener on the address. Returns false with errno if it cannot. */
static bool add_tcp(struct listener *listener, const char *address)
{
	const struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
	};
	struct addrinfo *found;
	char port[8];
	int error;
	int fd;

	snprintf(port, sizeof(port), "%u", listener->port);
	error = getaddrinfo(address, port, &hints, &found);
	if (error)
		die(EXIT_FAILURE, "%s: %s", address, gai_strerror(error));
	fd = try_listen(found);
	error = errno;
	freeaddrinfo(found);
	errno = error;
	if (fd < 0)
		return false;
	listener->fds[listener->count++] = fd;
	listener->port = port_of(fd);
	return true;
}

void listen_tcp(struct listener *listener, const char *address, uint16_t port)
{
	const char *first = address ? address : "127.0.0.1";
	bool has_colon = strchr(first, ':');

	*listener = (struct listener){ .port = port };
	if (!add_tcp(listener, first))
		die(EXIT_FAILURE, "%s, port %u: %s", first, port, strerror(errno));
	/* A machine may have no IPv6. */
	if (!address && !add_tcp(listener, "::1") && errno != EADDRNOTAVAIL &&
	    errno != EAFNOSUPPORT)
		die(EXIT_FAILURE, "::1, port %u: %s", listener->port, strerror(errno));
	snprintf(listener->host, sizeof(listener->host), "%s", address ? address : "localhost");
	listener->uri = text_of("nbd://%s%s%s:%u", has_colon ? "[" : "", listener->host,
				has_colon ? "]" : "", listener->port);
}
