/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* Files, sockets and threads. With 64 bits for places in files the names are others. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inject.h"

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

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __real_close(int fd);
int __wrap_close(int fd);
ssize_t __real_read(int fd, void *bytes, size_t count);
ssize_t __wrap_read(int fd, void *bytes, size_t count);
int __wrap_fstat(int fd, struct stat *status);
int __wrap_fstat64(int fd, struct stat *status);
int __real_fstat(int fd, struct stat *status);

static int open_it(const char *path, int flags, mode_t mode)
{
	return refused(OPEN) ? refuse(EMFILE) : opened(__real_open(path, flags, mode));
}

int __wrap_open(const char *path, int flags, ...)
{
	va_list arguments;
	int fd;

	va_start(arguments, flags);
	fd = open_it(path, flags, flags & O_CREAT ? va_arg(arguments, mode_t) : 0);
	va_end(arguments);
	return fd;
}

int __wrap_open64(const char *path, int flags, ...)
{
	va_list arguments;
	int fd;

	va_start(arguments, flags);
	fd = open_it(path, flags, flags & O_CREAT ? va_arg(arguments, mode_t) : 0);
	va_end(arguments);
	return fd;
}

int __wrap_close(int fd)
{
	note_unmade(DESCRIPTOR, NAME_OF_FD(fd));
	return __real_close(fd);
}

ssize_t __wrap_read(int fd, void *bytes, size_t count)
{
	return refused(READ) ? refuse(EIO) : __real_read(fd, bytes, count);
}

int __wrap_fstat(int fd, struct stat *status)
{
	return refused(STATUS) ? refuse(EIO) : __real_fstat(fd, status);
}

int __wrap_fstat64(int fd, struct stat *status)
{
	return __wrap_fstat(fd, status);
}
