/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
#define _GNU_SOURCE
#define NBDKIT_API_VERSION 2
#include "nbdkit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nbdkit-plugin.h>

static char message[8192];
static unsigned complaints;

unsigned nbdkit_complaints(const char **last)
{
	unsigned count = complaints;

	*last = message;
	complaints = 0;
	return count;
}

void nbdkit_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	complaints++;
}

/* As nbdkit_parse_size(3) has it: a number, then perhaps a unit. */
int64_t nbdkit_parse_size(const char *text)
{
	static const char units[] = "bkmgtpe";
	char *end;

	errno = 0;
	intmax_t size = strtoimax(text, &end, 10);
	if (errno || end == text || size < 0) {
		nbdkit_error("could not parse size string (%s)", text);
		return -1;
	}
	int64_t factor = 1;
	const char *unit = *end ? strchr(units, *end | 0x20) : NULL;
	if (unit)
		factor = INT64_C(1) << 10 * (unit - units);
	else if (*end == 's' || *end == 'S')
		factor = 512;
	else if (*end)
		factor = 0;
	if (!factor || (*end && end[1])) {
		nbdkit_error("could not parse size: unknown suffix in '%s'", text);
		return -1;
	}
	if (size > INT64_MAX / factor) {
		nbdkit_error("overflow computing %s", text);
		return -1;
	}
	return size * factor;
}

char *nbdkit_absolute_path(const char *path)
{
	char *directory, *absolute = NULL;

	if (*path == '/')
		return strdup(path);
	directory = getcwd(NULL, 0);
	if (directory && asprintf(&absolute, "%s/%s", directory, path) < 0)
		absolute = NULL;
	free(directory);
	return absolute;
}
