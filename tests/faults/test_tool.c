/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The zram command under faults: it does what it was asked, or says in one line what went
 * wrong and exits with a code that zram(1) documents. Each run is a process of its own.
 */
#include "testing.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "inject.h"
#include "say.h"

static char directory[] = "/tmp/zram-tool-XXXXXX";
static char file[64], dictionary[64];

struct invocation {
	const struct command *command;
	const char *words[8];
	const char *expected; /* in what it prints */
};

static const struct invocation *asked;

static int run_command(void *arg)
{
	char *argv[9] = { NULL };
	int argc = 0, code;

	(void)arg;
	argv[argc++] = (char *)(uintptr_t)asked->command->name;
	for (const char *const *word = asked->words; *word; word++)
		argv[argc++] = (char *)(uintptr_t)(!strcmp(*word, "FILE")   ? file
						   : !strcmp(*word, "DIR")  ? directory
						   : !strcmp(*word, "DICT") ? dictionary
									    : *word);
	/* What it prints comes back with what it says. */
	if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		return 99;
	optind = 0;
	own_end();
	code = close_output(asked->command->run(argc, argv));
	exit(code);
}

static struct child child;

static void begin(const void *arg)
{
	asked = arg;
}

static void work(void)
{
	/* Not refused: what this process does to see the child through. */
	own_begin();
	run_child(run_command, NULL, &child);
	own_end();
}

static void end(void)
{
	const char *said = strstr(child.text, "zram: ");

	assert_int_equal(child.signal, 0);
	assert_true(child.code == EXIT_SUCCESS || child.code == EXIT_FAILURE ||
		    child.code == EXIT_USAGE || child.code == EXIT_NO_DISK);
	if (child.code == EXIT_SUCCESS) {
		assert_non_null(strstr(child.text, asked->expected));
		return;
	}
	assert_true(refusals() > 0);
	assert_non_null(said);
	assert_non_null(strchr(said, '\n'));
	assert_string_equal(strchr(said, '\n'), "\n");
}

static const struct invocation
	of_file = { &estimate_command, { "--algorithm", "lz4", "FILE" }, "In RAM" },
	of_directory = { &estimate_command, { "--block-size", "64K", "DIR" }, "In RAM" },
	with_dictionary = { &estimate_command,
			    { "--algorithm", "zstd", "--block-size", "4096", "--dictionary", "DICT",
			      "FILE" },
			    "In RAM" },
	all = { &estimate_command, { "--all", "--algorithm", "none", "FILE" }, "In RAM" };

static const struct scenario scenarios[] = {
	{ "zram estimate, a file", begin, work, end, &of_file },
	{ "zram estimate, a directory", begin, work, end, &of_directory },
	{ "zram estimate, with a dictionary", begin, work, end, &with_dictionary },
	{ "zram estimate, all of a file", begin, work, end, &all },
};

static void write_file(const char *path, size_t size)
{
	FILE *to = fopen(path, "w");

	assert_non_null(to);
	for (size_t i = 0; i < size; i++)
		fputc("zspage slot handle map unmap "[i * i % 29], to);
	assert_int_equal(fclose(to), 0);
}

static void every_refusal_is_said_in_one_line(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(file, sizeof(file), "%s/file", directory);
	snprintf(dictionary, sizeof(dictionary), "%s/dictionary", directory);
	write_file(file, 70000);
	write_file(dictionary, 4000);
	for (size_t i = 0; i < COUNT_OF(scenarios); i++)
		run_scenario(&scenarios[i]);
	unlink(file);
	unlink(dictionary);
	rmdir(directory);
	print_total(200);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_refusal_is_said_in_one_line),
	};

	take_arguments(argc, argv);
	return cmocka_run_group_tests_name("faults-tool", tests, NULL, NULL);
}
