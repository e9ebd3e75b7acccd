/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Reads the options of a command. getopt_long() does the work; what it has to
 * say is said here, so that it names the command and fits in one line.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "say.h"

void usage_error(const struct command *command, const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	die(EXIT_USAGE, "%s (see 'zram %s --help')", text, command->name);
}

int next_option(const struct command *command, int argc, char **argv, const struct option *options)
{
	int option;

	opterr = 0;
	option = getopt_long(argc, argv, ":", options, NULL);
	switch (option) {
	case 'h':
		fputs(command->help, stdout);
		exit(close_output(EXIT_SUCCESS));
	case ':':
		usage_error(command, "%s needs a value", argv[optind - 1]);
	case '?':
		usage_error(command, "%s: unknown option, or a value where there is none",
			    argv[optind - 1]);
	default:
		return option;
	}
}

void check_words(const struct command *command, int argc, char **argv, int min, int max,
		 const char *what)
{
	if (argc - optind < min)
		usage_error(command, "%s: %s is missing", command->name, what);
	if (argc - optind > max)
		usage_error(command, "%s: one word too many", argv[optind + max]);
}
