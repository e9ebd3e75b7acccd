/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Reads /proc/self/smaps_rollup: the kernel walks the page tables for it.
 */
#define _POSIX_C_SOURCE 200809L

#include "resident.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Whether the kernel runs an emulator that runs this program (qemu-user): it holds more than the
 * program. It hides itself in /proc/self, but not there.
 */
static bool emulated(void)
{
	char shown[1024], real[1024];
	ssize_t length = readlink("/proc/self/exe", shown, sizeof(shown));

	return length >= 0 && (readlink("/proc/thread-self/exe", real, sizeof(real)) != length ||
			       memcmp(shown, real, (size_t)length) != 0);
}

uint64_t resident_anonymous_bytes(void)
{
	static const char field[] = "\nAnonymous:";
	char text[4096];
	int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
	ssize_t length;
	const char *found;

	if (file < 0)
		return 0;
	if (emulated()) {
		close(file);
		return 0;
	}
	length = read(file, text, sizeof(text) - 1);
	close(file);
	if (length <= 0)
		return 0;
	text[length] = '\0';
	found = strstr(text, field);
	return found ? strtoull(found + sizeof(field) - 1, NULL, 10) * 1024 : 0;
}
