/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Says what went wrong, in one line, and ends the process. A tool that is out
 * of memory has nothing better to do, so that is here too.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "say.h"
#include "terminal.h"

static void complain_list(const char *format, va_list arguments)
{
	terminal_leave(); /* what is said on its own screen goes with it */
	fflush(stdout);   /* what was said before comes first */
	fputs("zram: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
}

void complain(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	complain_list(format, arguments);
	va_end(arguments);
}

void die(int code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	complain_list(format, arguments);
	va_end(arguments);
	exit(code);
}

int close_output(int code)
{
	static int is_said;
	int is_bad = ferror(stdout);

	/* Not fclose(): exit() may still want to flush it. */
	errno = 0;
	if (!fflush(stdout) && !is_bad)
		return code;
	if (!is_said)
		complain("standard output: %s", errno ? strerror(errno) : "could not be written");
	is_said = 1;
	return EXIT_FAILURE;
}

void *need_memory(void *memory)
{
	if (!memory)
		die(EXIT_FAILURE, "no memory");
	return memory;
}

char *text_of(const char *format, ...)
{
	va_list arguments;
	char *text;
	int length;

	va_start(arguments, format);
	length = vasprintf(&text, format, arguments);
	va_end(arguments);
	return need_memory(length < 0 ? NULL : text);
}
