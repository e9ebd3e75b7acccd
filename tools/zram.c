/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The zram command: serves compressed disks in RAM and looks after them. This
 * file finds the command that is meant; each has a file of its own.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "say.h"

static const struct command *const commands[] = {
	&serve_command, &stat_command,    &top_command,   &map_command,      &get_command,
	&set_command,   &compact_command, &reset_command, &estimate_command,
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void show_help(void)
{
	puts("Usage: zram COMMAND [OPTION]...\n"
	     "Compressed disks in RAM, served to any NBD client.\n");
	for (size_t i = 0; i < COMMANDS; i++)
		printf("  %-10s%s\n", commands[i]->name, commands[i]->summary);
	puts("\n"
	     "  zram COMMAND --help   what a command does and its options\n"
	     "  zram --version        the version\n"
	     "\n"
	     "Start with 'zram serve 4G', or with 'zram estimate FILE' to see what it would save.\n"
	     "Exit: 0 done, 1 failed, 2 wrong usage, 3 there is no such disk. More in zram(1).");
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	die(EXIT_USAGE, "%s: no such command (see 'zram --help')", name);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;

	if (!name)
		die(EXIT_USAGE, "which command? (see 'zram --help')");
	if (!strcmp(name, "--version")) {
		puts("zram " ZRAM_VERSION);
		return close_output(EXIT_SUCCESS);
	}
	if (!strcmp(name, "--help") || !strcmp(name, "help")) {
		if (argc > 2)
			fputs(find_command(argv[2])->help, stdout);
		else
			show_help();
		return close_output(EXIT_SUCCESS);
	}
	return close_output(find_command(name)->run(argc - 1, argv + 1));
}
