/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What every command of the tool is to main(), and how commands read their
 * options: one way for all, with one line that says what is wrong.
 */
#ifndef TOOLS_COMMAND_H
#define TOOLS_COMMAND_H

#include <getopt.h>

struct command {
	const char *name;
	const char *summary;               /* one line of zram --help */
	const char *help;                  /* all of zram NAME --help */
	int (*run)(int argc, char **argv); /* argv[0] is the name. Returns the exit code */
};

extern const struct command serve_command;
extern const struct command stat_command;
extern const struct command top_command;
extern const struct command map_command;
extern const struct command get_command;
extern const struct command set_command;
extern const struct command compact_command;
extern const struct command reset_command;
extern const struct command estimate_command;

/* What every command understands besides its own options. */
#define HELP_OPTION                            \
	{                                      \
		"help", no_argument, NULL, 'h' \
	}
#define END_OPTIONS              \
	{                        \
		NULL, 0, NULL, 0 \
	}

/*
 * As getopt_long(), for long options only. Prints the help and ends the process on --help,
 * ends it with EXIT_USAGE at an option that is unknown or incomplete.
 */
int next_option(const struct command *command, int argc, char **argv, const struct option *options);

/* Ends the process with EXIT_USAGE; says what is wrong and where the help is. */
_Noreturn void usage_error(const struct command *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Ends the process with EXIT_USAGE unless there are min to max words left at optind: what they are. */
void check_words(const struct command *command, int argc, char **argv, int min, int max,
		 const char *what);

#endif
