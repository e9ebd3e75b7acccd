/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * zram get, set, compact and reset: the attributes of a disk under the kernel's
 * names. The store knows what they are and mean; these only carry them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zram.h>

#include "control.h"
#include "figures.h"
#include "say.h"
#include "units.h"

static const char get_help[] =
	"Usage: zram get [OPTION]... NAME...\n"
	"Prints attributes of a disk, under the kernel's names: disksize mem_limit\n"
	"mem_used_max comp_algorithm algorithm_params max_comp_streams block_size checksum\n"
	"compaction zero_on_free initstate mm_stat io_stat stat classes.\n"
	"zram(7) says what each is.\n"
	"\n" TARGET_HELP "  --help           show this\n";

static const char set_help[] =
	"Usage: zram set [OPTION]... NAME VALUE...\n"
	"Sets an attribute of a disk, under the kernel's name. For example:\n"
	"\n"
	"  zram set mem_limit 2G          0: no limit\n"
	"  zram set mem_used_max 0        count the most from now on\n"
	"  zram set comp_algorithm zstd   while nothing is stored\n"
	"  zram set algorithm_params level=3 dict=FILE\n"
	"\n" TARGET_HELP "  --help           show this\n";

static const char compact_help[] =
	"Usage: zram compact [OPTION]...\n"
	"Moves the objects of a disk together, gives back the memory that comes free,\n"
	"and says how much that was. The disk can be used meanwhile.\n"
	"\n" TARGET_HELP "  --help           show this\n";

static const char reset_help[] = "Usage: zram reset [OPTION]...\n"
				 "Forgets everything that is stored on a disk. Asks first.\n"
				 "\n" TARGET_HELP "  --yes            do not ask\n"
				 "  --help           show this\n";

static const struct option target_options[] = { TARGET_OPTIONS, HELP_OPTION, END_OPTIONS };

/* For the commands that have no other options. */
static struct target read_target(const struct command *command, int argc, char **argv)
{
	struct target target = { NULL, NULL };
	int option;

	while ((option = next_option(command, argc, argv, target_options)) != -1)
		target_option(command, &target, option);
	return target;
}

static int run_get(int argc, char **argv)
{
	struct target target = read_target(&get_command, argc, argv);
	struct control *control;

	check_words(&get_command, argc, argv, 1, argc, "a NAME");
	control = control_open(&target);
	for (int i = optind; i < argc; i++) {
		char *value = control_get(control, argv[i]);

		puts(value);
		free(value);
	}
	control_close(control);
	return EXIT_SUCCESS;
}

/* The server has a working directory of its own: it gets the path from the root. */
static char *from_root(const char *parameter)
{
	static const char dict[] = "dict=";
	const char *path = parameter + sizeof(dict) - 1;
	char *real;
	char *text;

	if (strncmp(parameter, dict, sizeof(dict) - 1) != 0 || !*path)
		return text_of("%s", parameter);
	real = realpath(path, NULL);
	if (!real)
		die(EXIT_FAILURE, "%s: %s", path, strerror(errno));
	text = text_of("%s%s", dict, real);
	free(real);
	return text;
}

static int run_set(int argc, char **argv)
{
	struct target target = read_target(&set_command, argc, argv);
	struct control *control;
	char *value;

	check_words(&set_command, argc, argv, 2, argc, "NAME or VALUE");
	value = text_of("%s", "");
	for (int i = optind + 1; i < argc; i++) {
		char *part = !strcmp(argv[optind], "algorithm_params") ? from_root(argv[i])
								       : text_of("%s", argv[i]);
		char *longer = text_of("%s%s%s", value, *value ? " " : "", part);

		free(part);
		free(value);
		value = longer;
	}
	control = control_open(&target);
	control_set(control, argv[optind], value);
	control_close(control);
	free(value);
	return EXIT_SUCCESS;
}

static int run_compact(int argc, char **argv)
{
	struct target target = read_target(&compact_command, argc, argv);
	struct control *control;
	struct zram_stats before;
	struct zram_stats after;
	char freed[FIGURE_ROOM];
	char kept[FIGURE_ROOM];

	check_words(&compact_command, argc, argv, 0, 0, "");
	control = control_open(&target);
	take_figures(control, &before);
	control_set(control, "compact", "1");
	take_figures(control, &after);
	figure_bytes(kept, after.mem_used_total);
	if (before.mem_used_total > after.mem_used_total)
		printf("%s: %s came back (%.1f %%), %s are still in use.\n", control_label(control),
		       figure_bytes(freed, before.mem_used_total - after.mem_used_total),
		       percent(before.mem_used_total - after.mem_used_total, before.mem_used_total),
		       kept);
	else
		printf("%s: nothing came back, %s are in use.\n", control_label(control), kept);
	control_close(control);
	return EXIT_SUCCESS;
}

static bool confirm(struct control *control)
{
	struct zram_stats stats;
	char size[FIGURE_ROOM];
	char answer[16] = "";

	if (!isatty(STDIN_FILENO))
		usage_error(&reset_command, "reset forgets everything: confirm it with --yes");
	take_figures(control, &stats);
	fprintf(stderr, "%s stores %s. Forget all of it? [y/N] ", control_label(control),
		figure_bytes(size, stats.orig_data_size));
	return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static int run_reset(int argc, char **argv)
{
	static const struct option options[] = {
		TARGET_OPTIONS,
		{ "yes", no_argument, NULL, 'y' },
		HELP_OPTION,
		END_OPTIONS,
	};
	struct target target = { NULL, NULL };
	struct control *control;
	bool is_sure = false;
	int option;

	while ((option = next_option(&reset_command, argc, argv, options)) != -1)
		if (!target_option(&reset_command, &target, option))
			is_sure = true;
	check_words(&reset_command, argc, argv, 0, 0, "");
	control = control_open(&target);
	if (!is_sure && !confirm(control)) {
		complain("nothing was changed");
		return EXIT_FAILURE;
	}
	control_set(control, "reset", "1");
	printf("%s: empty.\n", control_label(control));
	control_close(control);
	return EXIT_SUCCESS;
}

const struct command get_command = {
	.name = "get",
	.summary = "print attributes of a disk",
	.help = get_help,
	.run = run_get,
};

const struct command set_command = {
	.name = "set",
	.summary = "set an attribute of a disk",
	.help = set_help,
	.run = run_set,
};

const struct command compact_command = {
	.name = "compact",
	.summary = "give back the memory between objects",
	.help = compact_help,
	.run = run_compact,
};

const struct command reset_command = {
	.name = "reset",
	.summary = "forget everything that is stored",
	.help = reset_help,
	.run = run_reset,
};
