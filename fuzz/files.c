/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "contents.h"
#include "harness.h"

static bool enclosed;

void files_enclose(bool on)
{
	enclosed = on;
}

static int open_bytes(const void *bytes, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	require(fd >= 0);
	require(write(fd, bytes, size) == (ssize_t)size);
	require(lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

/* A trained dictionary whose tables are not what its head promises. */
static int open_broken(void)
{
	unsigned char copy[4096];
	const void *bytes;
	size_t size = contents_dictionary(TRAINED_DICTIONARY, &bytes);

	require(size > 100 && size <= sizeof(copy));
	memcpy(copy, bytes, size);
	memset(copy + 8, 0xFF, 64);
	return open_bytes(copy, size);
}

static int open_large(size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	require(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	return fd;
}

static int open_enclosed(const char *path)
{
	const void *bytes;
	size_t size;

	if (strcmp(path, "raw") == 0) {
		size = contents_dictionary(RAW_DICTIONARY, &bytes);
		return open_bytes(bytes, size);
	}
	if (strcmp(path, "trained") == 0) {
		size = contents_dictionary(TRAINED_DICTIONARY, &bytes);
		return open_bytes(bytes, size);
	}
	if (strcmp(path, "one") == 0)
		return open_bytes("d", 1);
	if (strcmp(path, "broken") == 0)
		return open_broken();
	if (strcmp(path, "empty") == 0)
		return open_large(0);
	if (strcmp(path, "large") == 0)
		return open_large((16 << 20) + 1);
	errno = ENOENT;
	return -1;
}

/* The linker puts these in the place of open() (64: the same). */
int __real_open(const char *path, int flags, ...);
int __real_open64(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);

int __wrap_open(const char *path, int flags, ...)
{
	int mode = 0;

	if (flags & O_CREAT) {
		va_list args;

		va_start(args, flags);
		mode = va_arg(args, int);
		va_end(args);
	}
	return enclosed ? open_enclosed(path) : __real_open(path, flags, mode);
}

int __wrap_open64(const char *path, int flags, ...)
{
	int mode = 0;

	if (flags & O_CREAT) {
		va_list args;

		va_start(args, flags);
		mode = va_arg(args, int);
		va_end(args);
	}
	return enclosed ? open_enclosed(path) : __real_open64(path, flags, mode);
}
