/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Measures through Linux's /proc. smaps_rollup is read because it walks the
 * page tables: the counters in /proc/self/status may be some hundred KiB off
 * on kernels that keep them per processor. They are the fallback.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "measure.h"

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Not stdio: it would allocate what is being measured. Returns the length, 0 on an error. */
static size_t read_text(const char *path, char *text, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t got = 0;

	if (fd < 0)
		return 0;
	while (length < room - 1) {
		got = read(fd, text + length, room - 1 - length);
		if (got <= 0)
			break;
		length += (size_t)got;
	}
	close(fd);
	text[length] = '\0';
	return got < 0 ? 0 : length;
}

/* The value of a line "\nkey:  1234 kB", in bytes; 0 if there is none. */
static uint64_t kib_field(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? (uint64_t)strtoull(at + strlen(key), NULL, 10) * 1024 : 0;
}

uint64_t resident_bytes(void)
{
	char text[4096];

	if (read_text("/proc/self/smaps_rollup", text, sizeof(text)))
		return kib_field(text, "\nAnonymous:") + kib_field(text, "\nSwap:");
	if (read_text("/proc/self/status", text, sizeof(text)))
		return kib_field(text, "\nRssAnon:") + kib_field(text, "\nVmSwap:");
	return 0;
}

void *resident_array(size_t bytes)
{
	void *array = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return array == MAP_FAILED ? NULL : array;
}

void resident_array_free(void *array, size_t bytes)
{
	if (array)
		munmap(array, bytes ? bytes : 1);
}
