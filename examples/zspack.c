/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * zspack packs real files into a pool, page by page, compressed; frees a random
 * half, compacts, gives every byte back, and shows what the memory cost beside
 * what malloc takes for the same. This file reads the command line and calls
 * the steps in order; each step has a file of its own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "draw.h"
#include "figures.h"
#include "files.h"
#include "malloc_twin.h"
#include "measure.h"
#include "pack.h"
#include "poolmap.h"
#include "report.h"

#define EXIT_USAGE        2
#define DEFAULT_MAX_BYTES ((uint64_t)512 << 20)
#define DEFAULT_SEED      1

static const char *const default_roots[] = {
	"/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib64", "/usr/libexec",
	"/bin",     "/sbin",     "/lib",     "/lib64",     "/usr/local",
};

#define DEFAULT_ROOTS (sizeof(default_roots) / sizeof(default_roots[0]))

struct settings {
	const char *const *roots;
	size_t root_count;
	uint64_t max_bytes;
	uint64_t limit; /* of the pool; 0: none */
	uint64_t seed;
	const char *svg_path; /* NULL: no SVG */
};

static const char help_text[] =
	"Usage: zspack [OPTION]... [FILE or DIRECTORY]...\n"
	"Packs files into a zsmalloc pool, page by page, compressed with LZ4, frees a\n"
	"random half, compacts, reads the rest back and compares it with the files.\n"
	"Without arguments it takes this machine's programs and libraries.\n"
	"\n"
	"  --max BYTES    read at most so much (default 512M; suffixes K, M, G)\n"
	"  --limit BYTES  let the pool hold at most so much\n"
	"  --seed N       which half is freed (default 1)\n"
	"  --svg FILE     also draw the pool before and after compaction into FILE\n"
	"  --help         show this\n"
	"  --version      show the version\n"
	"\n"
	"Exit: 0 all came back as it was, 1 it did not or could not be done, 2 usage.\n"
	"Colour is used on a terminal, unless NO_COLOR is set.\n";

static void usage_error(const char *option, const char *value)
{
	fprintf(stderr, "zspack: --%s: not a number that can be used: '%s' (see --help)\n", option,
		value);
	exit(EXIT_USAGE);
}

/* Digits, then at most one of suffixes; NULL: none allowed. */
static uint64_t parse_number(const char *option, const char *value, const char *suffixes)
{
	char *end;
	unsigned long long number;
	unsigned shift = 0;
	const char *suffix;

	errno = 0;
	number = strtoull(value, &end, 10);
	if (value[0] < '0' || value[0] > '9' || errno)
		usage_error(option, value);
	suffix = suffixes && *end ? strchr(suffixes, *end) : NULL;
	if (suffix) {
		shift = 10 * ((unsigned)(suffix - suffixes) / 2 + 1);
		end++;
	}
	if (*end || number > UINT64_MAX >> shift)
		usage_error(option, value);
	return (uint64_t)number << shift;
}

static uint64_t parse_bytes(const char *option, const char *value)
{
	uint64_t bytes = parse_number(option, value, "kKmMgG");

	if (!bytes)
		usage_error(option, value);
	return bytes;
}

static void parse_options(struct settings *settings, int argc, char **argv)
{
	static const struct option options[] = {
		{ "max", required_argument, NULL, 'm' },
		{ "limit", required_argument, NULL, 'l' },
		{ "seed", required_argument, NULL, 's' },
		{ "svg", required_argument, NULL, 'o' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'm':
			settings->max_bytes = parse_bytes("max", optarg);
			break;
		case 'l':
			settings->limit = parse_bytes("limit", optarg);
			break;
		case 's':
			settings->seed = parse_number("seed", optarg, NULL);
			break;
		case 'o':
			settings->svg_path = optarg;
			break;
		case 'h':
			fputs(help_text, stdout);
			exit(EXIT_SUCCESS);
		case 'v':
			printf("zspack %d.%d.%d\n", ZS_VERSION_MAJOR, ZS_VERSION_MINOR,
			       ZS_VERSION_PATCH);
			exit(EXIT_SUCCESS);
		default: /* getopt_long() has said what is wrong */
			exit(EXIT_USAGE);
		}
	}
	settings->roots = (const char *const *)argv + optind;
	settings->root_count = (size_t)(argc - optind);
}

/* Those of the default directories that this machine has. */
static void take_default_roots(struct settings *settings)
{
	static const char *roots[DEFAULT_ROOTS];

	for (size_t i = 0; i < DEFAULT_ROOTS; i++)
		if (!access(default_roots[i], F_OK))
			roots[settings->root_count++] = default_roots[i];
	settings->roots = roots;
}

static bool list_input(struct file_list *files, const struct settings *settings)
{
	uint64_t pages = settings->max_bytes / PAGE_BYTES + !!(settings->max_bytes % PAGE_BYTES);

	if (pages > UINT32_MAX / 2)
		pages = UINT32_MAX / 2;
	if (files_list(files, settings->roots, settings->root_count, (uint32_t)pages)) {
		fprintf(stderr, "zspack: no memory for the list of files\n");
		return false;
	}
	if (!files->pages) {
		fprintf(stderr, "zspack: nothing to read: %s\n",
			files->trouble[0] ? files->trouble : "all files are empty");
		return false;
	}
	return true;
}

static void say_broken(const char *what, void *data)
{
	(void)data;
	fprintf(stderr, "zspack: zs_check: %s\n", what);
}

static bool take_poolmap(struct pack *pack, struct poolmap *map)
{
	uint64_t resident = resident_bytes();

	if (poolmap_take(map, pack->pool)) {
		fprintf(stderr, "zspack: no memory for the picture\n");
		return false;
	}
	pack_ignore_growth(pack, resident);
	return true;
}

/* The pool is full before all is stored: what is in it has to be as good as ever. */
static bool say_full(struct pack *pack, int error)
{
	char stored[FIGURE_ROOM];
	char pages[FIGURE_ROOM];

	fprintf(stderr, "zspack: %s after %s of %s pages\n",
		error == ENOSPC ? "the pool has reached its limit" : strerror(error),
		figure_count(stored, pack->stored), figure_count(pages, pack->files->pages));
	if (pack_compare(pack))
		report_comparison(pack, stdout);
	return false;
}

static bool run_steps(struct pack *pack, struct poolmap *before, struct poolmap *after)
{
	int error = pack_store(pack);

	if (error)
		return say_full(pack, error);
	pack_free_half(pack);
	if (!take_poolmap(pack, before))
		return false;
	pack_compact(pack);
	if (!take_poolmap(pack, after) || !pack_compare(pack) ||
	    zs_check(pack->pool, say_broken, NULL))
		return false;
	pack_free_rest(pack);
	return true;
}

static bool wants_colour(void)
{
	const char *refused = getenv("NO_COLOR");
	const char *terminal = getenv("TERM");

	return isatty(STDOUT_FILENO) == 1 && !(refused && *refused) && terminal &&
	       strcmp(terminal, "dumb") != 0;
}

static bool write_svg(const struct drawing *drawing, const char *path)
{
	FILE *svg = fopen(path, "w");
	bool is_written = svg && !draw_svg(drawing, svg) && !ferror(svg);

	if ((svg && fclose(svg)) || !is_written) {
		fprintf(stderr, "zspack: %s: %s\n", path, strerror(errno));
		return false;
	}
	printf("\nThe same as a drawing: %s\n", path);
	return true;
}

static bool show(const struct drawing *drawing, const char *svg_path)
{
	report_memory(drawing->pack, drawing->twin, stdout);
	report_compaction(drawing->pack, stdout);
	report_speed(drawing->pack, stdout);
	if (draw_text(drawing, wants_colour(), stdout)) {
		fprintf(stderr, "zspack: no memory for the picture\n");
		return false;
	}
	report_comparison(drawing->pack, stdout);
	return !svg_path || write_svg(drawing, svg_path);
}

static bool pack_files(const struct settings *settings, const struct file_list *files)
{
	struct poolmap before = { 0 };
	struct poolmap after = { 0 };
	struct twin_figures twin;
	struct pack pack;
	struct drawing drawing = { .pack = &pack, .before = &before, .after = &after };
	int error = pack_open(&pack, files, settings->limit, settings->seed);
	bool is_done = false;

	if (error) {
		fprintf(stderr, "zspack: no pool: %s%s\n", strerror(error),
			error == EINVAL && settings->limit ? " (--limit too low?)" : "");
	} else if (run_steps(&pack, &before, &after)) {
		if (malloc_twin_run(&pack, &twin))
			drawing.twin = &twin;
		is_done = show(&drawing, settings->svg_path);
	}
	poolmap_forget(&before);
	poolmap_forget(&after);
	pack_close(&pack);
	return is_done;
}

static bool run(const struct settings *settings)
{
	struct file_list files = { 0 };
	bool is_done = false;

	if (list_input(&files, settings)) {
		report_input(&files, settings->seed, stdout);
		fflush(stdout);
		is_done = pack_files(settings, &files);
	}
	files_forget(&files);
	if (fflush(stdout)) {
		fprintf(stderr, "zspack: standard output: %s\n", strerror(errno));
		is_done = false;
	}
	return is_done;
}

int main(int argc, char **argv)
{
	struct settings settings = { .max_bytes = DEFAULT_MAX_BYTES, .seed = DEFAULT_SEED };

	if (argc == 2 && !strcmp(argv[1], MALLOC_TWIN_OPTION))
		return malloc_twin_main();
	parse_options(&settings, argc, argv);
	if (!settings.root_count)
		take_default_roots(&settings);
	return run(&settings) ? EXIT_SUCCESS : EXIT_FAILURE;
}
