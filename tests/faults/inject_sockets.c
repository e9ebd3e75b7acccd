/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Sockets and threads of a server. What its loop asks for again and again is refused twenty
 * times in a row, not for good: nobody could be served then.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inject.h"

#define IN_A_ROW 20

static int refuse(int error)
{
	errno = error;
	return -1;
}

static int opened(int fd)
{
	if (fd >= 0)
		note_made(DESCRIPTOR, NAME_OF_FD(fd));
	return fd;
}

static bool refused_for_a_while(enum source source)
{
	if (!refused(source))
		return false;
	if (refusals() >= IN_A_ROW)
		disarm();
	return true;
}

/* CALL(source, errno, name, (parameters), (arguments), what becomes of the result) */
#define CALL(source, error, name, parameters, arguments, use)                          \
	int __real_##name parameters;                                                  \
	int __wrap_##name parameters;                                                  \
	int __wrap_##name parameters                                                   \
	{                                                                              \
		return refused(source) ? refuse(error) : use(__real_##name arguments); \
	}

CALL(SOCKET, EMFILE, socket, (int domain, int type, int protocol), (domain, type, protocol), opened)
CALL(BIND, EACCES, bind, (int fd, const struct sockaddr *address, socklen_t size),
     (fd, address, size), )
CALL(LISTEN, EADDRINUSE, listen, (int fd, int backlog), (fd, backlog), )
CALL(CONNECT, EINTR, connect, (int fd, const struct sockaddr *address, socklen_t size),
     (fd, address, size), )
CALL(UNLINK, EACCES, unlink, (const char *path), (path), )
CALL(STATUS, EACCES, lstat, (const char *path, struct stat *status), (path, status), )

int __wrap_lstat64(const char *path, struct stat *status);
int __real_pipe2(int fds[2], int flags);
int __wrap_pipe2(int fds[2], int flags);
int __real_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);
int __real_poll(struct pollfd *fds, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);
ssize_t __real_recv(int fd, void *bytes, size_t count, int flags);
ssize_t __wrap_recv(int fd, void *bytes, size_t count, int flags);
ssize_t __real_send(int fd, const void *bytes, size_t count, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t count, int flags);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*body)(void *),
			  void *data);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*body)(void *),
			  void *data);

int __wrap_lstat64(const char *path, struct stat *status)
{
	return __wrap_lstat(path, status);
}

int __wrap_pipe2(int fds[2], int flags)
{
	if (refused(PIPE))
		return refuse(EMFILE);
	if (__real_pipe2(fds, flags) != 0)
		return -1;
	opened(fds[0]);
	opened(fds[1]);
	return 0;
}

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
	return refused_for_a_while(ACCEPT) ? refuse(refusals() % 2 ? EMFILE : EINTR)
					   : opened(__real_accept4(fd, address, size, flags));
}

/* Of no descriptors it is a pause. */
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	if (!count)
		return 0;
	return refused_for_a_while(POLL) ? refuse(ENOMEM) : __real_poll(fds, count, timeout);
}

ssize_t __wrap_recv(int fd, void *bytes, size_t count, int flags)
{
	return refused_for_a_while(RECEIVE) ? refuse(refusals() % 2 ? ECONNRESET : EINTR)
					    : __real_recv(fd, bytes, count, flags);
}

/* A part is sent only, too. */
ssize_t __wrap_send(int fd, const void *bytes, size_t count, int flags)
{
	if (!refused_for_a_while(SEND))
		return __real_send(fd, bytes, count, flags);
	return refusals() % 2 ? refuse(EPIPE) : __real_send(fd, bytes, (count + 1) / 2, flags);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*body)(void *),
			  void *data)
{
	return refused(THREAD) ? EAGAIN : __real_pthread_create(thread, how, body, data);
}
