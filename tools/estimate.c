/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * zram estimate: what files would cost in RAM, with each algorithm and block size. It reads
 * pieces of them, evenly spread, stores them in a store of each kind, and scales what those
 * took. With --all it reads everything, in portions, so that it needs little memory.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zram.h>

#include "command.h"
#include "input.h"
#include "progress.h"
#include "say.h"
#include "trial.h"
#include "units.h"

#define DEFAULT_BUDGET ((uint64_t)64 << 20)
#define MAX_PORTION    ((uint64_t)64 << 20) /* bytes in memory at a time */
#define MAX_TRIALS     64

static const char help[] =
	"Usage: zram estimate [OPTION]... FILE...\n"
	"Says what files, directories or block devices would cost in RAM with each algorithm\n"
	"and block size, by storing a part of them, evenly spread.\n"
	"\n"
	"  --budget SIZE      how much of them to try (default 64M)\n"
	"  --all              all of them\n"
	"  --algorithm NAME   this algorithm only\n"
	"  --level N          with --algorithm: of its own scale\n"
	"  --dictionary FILE  with --algorithm: what blocks are likely to have in common\n"
	"  --block-size SIZE  this size only\n"
	"  --help             show this\n";

static const size_t block_sizes[] = { 4096, 16384, 65536 };

#define BLOCK_SIZES (sizeof(block_sizes) / sizeof(block_sizes[0]))

struct request {
	uint64_t budget;
	const char *algorithm; /* NULL: each */
	int level;
	void *dictionary;
	size_t dictionary_size;
	size_t block_size; /* 0: each */
};

struct estimate {
	struct input input;
	uint64_t tried; /* pieces */
	struct trial trials[MAX_TRIALS];
	size_t count;
};

static bool is_algorithm(const char *name)
{
	for (const char *const *known = zram_algorithms(); *known; known++)
		if (!strcmp(*known, name))
			return true;
	return false;
}

static void set_block_size(struct request *request, const char *value)
{
	uint64_t bytes;

	if (!parse_size(value, &bytes) || bytes < ZRAM_MIN_BLOCK_SIZE ||
	    bytes > ZRAM_MAX_BLOCK_SIZE || bytes & (bytes - 1))
		usage_error(&estimate_command,
			    "--block-size: '%s' is no power of two from 4K to 64K", value);
	request->block_size = (size_t)bytes;
}

static void set_level(struct request *request, const char *value)
{
	char *end;
	long level;

	errno = 0;
	level = strtol(value, &end, 10);
	if (end == value || *end || errno || level < INT_MIN || level > INT_MAX)
		usage_error(&estimate_command, "--level: '%s' is no number", value);
	request->level = (int)level;
}

static void read_dictionary(struct request *request, const char *path)
{
	FILE *file = fopen(path, "r");
	size_t room = 0;
	size_t got = 1;

	if (!file)
		die(EXIT_FAILURE, "%s: %s", path, strerror(errno));
	while (got) {
		if (request->dictionary_size == room) {
			room = room ? room * 2 : 65536;
			request->dictionary = need_memory(realloc(request->dictionary, room));
		}
		got = fread((char *)request->dictionary + request->dictionary_size, 1,
			    room - request->dictionary_size, file);
		request->dictionary_size += got;
	}
	if (ferror(file))
		die(EXIT_FAILURE, "%s: %s", path, strerror(errno));
	fclose(file);
	if (!request->dictionary_size)
		die(EXIT_FAILURE, "%s: is empty", path);
}

static void set_option(struct request *request, int option, const char *value)
{
	switch (option) {
	case 'b':
		if (!parse_size(value, &request->budget) || !request->budget)
			usage_error(&estimate_command, "--budget: '%s' is no size", value);
		break;
	case 'A':
		request->budget = UINT64_MAX;
		break;
	case 'a':
		if (!is_algorithm(value))
			usage_error(&estimate_command, "--algorithm: there is no '%s'", value);
		request->algorithm = value;
		break;
	case 'l':
		set_level(request, value);
		break;
	case 'd':
		read_dictionary(request, value);
		break;
	case 's':
		set_block_size(request, value);
		break;
	default:
		break;
	}
}

static void read_request(struct request *request, int argc, char **argv)
{
	static const struct option options[] = {
		{ "budget", required_argument, NULL, 'b' },
		{ "all", no_argument, NULL, 'A' },
		{ "algorithm", required_argument, NULL, 'a' },
		{ "level", required_argument, NULL, 'l' },
		{ "dictionary", required_argument, NULL, 'd' },
		{ "block-size", required_argument, NULL, 's' },
		HELP_OPTION,
		END_OPTIONS,
	};
	int option;

	while ((option = next_option(&estimate_command, argc, argv, options)) != -1)
		set_option(request, option, optarg);
	check_words(&estimate_command, argc, argv, 1, argc, "a FILE");
	if (!request->algorithm && (request->level || request->dictionary))
		usage_error(&estimate_command, "--level and --dictionary need --algorithm");
}

static void add_trial(struct estimate *estimate, const struct request *request,
		      const char *algorithm, size_t block_size)
{
	if (request->algorithm && strcmp(request->algorithm, algorithm) != 0)
		return;
	if (request->block_size && request->block_size != block_size)
		return;
	if (estimate->count == MAX_TRIALS)
		return;
	estimate->trials[estimate->count++].options = (struct zram_options){
		.algorithm = algorithm,
		.block_size = block_size,
		.level = request->level,
		.dictionary = request->dictionary,
		.dictionary_size = request->dictionary_size,
		.max_comp_streams = 1,
	};
}

static void plan_trials(struct estimate *estimate, const struct request *request)
{
	for (const char *const *name = zram_algorithms(); *name; name++) {
		if (request->block_size) {
			add_trial(estimate, request, *name, request->block_size);
			continue;
		}
		for (size_t i = 0; i < BLOCK_SIZES; i++)
			add_trial(estimate, request, *name, block_sizes[i]);
	}
}

/* In the middle of each of as many equal parts as are tried. */
static uint64_t choose_piece(const struct estimate *estimate, uint64_t at)
{
	double part = (double)estimate->input.pieces / (double)estimate->tried;

	return estimate->tried == estimate->input.pieces ? at
							 : (uint64_t)(((double)at + 0.5) * part);
}

static void try_pieces(struct estimate *estimate)
{
	uint64_t most = MAX_PORTION / PIECE_BYTES;
	uint64_t room = estimate->tried < most ? estimate->tried : most;
	unsigned char *data = need_memory(malloc((size_t)room * PIECE_BYTES));

	progress_begin("zram estimate", estimate->tried * PIECE_BYTES * (1 + 2 * estimate->count));
	for (uint64_t at = 0; at < estimate->tried; at += room) {
		uint64_t count = estimate->tried - at < room ? estimate->tried - at : room;

		for (uint64_t i = 0; i < count; i++) {
			input_read(&estimate->input, choose_piece(estimate, at + i),
				   data + i * PIECE_BYTES);
			progress_add(PIECE_BYTES);
		}
		for (size_t i = 0; i < estimate->count; i++)
			trial_run(&estimate->trials[i], data, (size_t)count * PIECE_BYTES,
				  progress_add);
	}
	progress_end();
	free(data);
}

static void show_input(const struct estimate *estimate)
{
	const struct input *input = &estimate->input;
	char size[FIGURE_ROOM];
	char tried[FIGURE_ROOM];
	char pieces[FIGURE_ROOM];

	if (input->count == 1)
		printf("%s: ", input->files[0].path);
	else
		printf("%s files: ", figure_count(pieces, input->count));
	figure_bytes(size, input->bytes);
	if (estimate->tried == input->pieces)
		printf("%s, all of it tried.\n", size);
	else
		printf("%s; %s of it tried, in %s pieces evenly spread.\n", size,
		       figure_bytes(tried, estimate->tried * PIECE_BYTES),
		       figure_count(pieces, estimate->tried));
}

/* Time is for a MiB of data before compression. */
static double ms_per_mib(uint64_t ns, uint64_t bytes)
{
	return (double)ns / 1e6 / ((double)bytes / 1048576);
}

static void show_trial(const struct estimate *estimate, const struct trial *trial)
{
	/* What was tried of the last piece, too, was a whole piece. */
	uint64_t cost = trial_scale(trial, estimate->input.pieces * PIECE_BYTES);
	uint64_t bytes = estimate->input.bytes;
	char block[FIGURE_ROOM];
	char memory[FIGURE_ROOM];
	char ratio[FIGURE_ROOM];

	printf("  %-12s%8s%12s%9.1f %%%9s%11.2f%11.2f\n", trial->options.algorithm,
	       figure_bytes(block, trial->options.block_size), figure_bytes(memory, cost),
	       percent(cost, bytes), figure_ratio(ratio, bytes, cost),
	       ms_per_mib(trial->write_ns, trial->bytes), ms_per_mib(trial->read_ns, trial->bytes));
}

static void show_trials(const struct estimate *estimate)
{
	char size[FIGURE_ROOM];

	printf("\n  %-12s%8s%12s%11s%9s%11s%11s\n", "algorithm", "block", "in RAM", "of size",
	       "ratio", "write", "read");
	printf("  %-12s%8s%12s%11s%9s%11s%11s\n", "", "", "", "", "", "ms/MiB", "ms/MiB");
	printf("  %-12s%8s%12s%9.1f %%%9s\n", "(as it is)", "",
	       figure_bytes(size, estimate->input.bytes), 100.0, "1.00");
	for (size_t i = 0; i < estimate->count; i++)
		show_trial(estimate, &estimate->trials[i]);
	puts("\nIn RAM: everything counted. Times: one thread of this machine.");
}

static int run(int argc, char **argv)
{
	static struct estimate estimate;
	struct request request = { .budget = DEFAULT_BUDGET };

	read_request(&request, argc, argv);
	input_open(&estimate.input, argv + optind, argc - optind);
	if (!estimate.input.pieces)
		die(EXIT_FAILURE, "%s: nothing in %s", argv[optind],
		    argc - optind == 1 ? "it" : "it and the others");
	estimate.tried = (request.budget - 1) / PIECE_BYTES + 1;
	if (estimate.tried > estimate.input.pieces)
		estimate.tried = estimate.input.pieces;
	plan_trials(&estimate, &request);
	try_pieces(&estimate);
	show_input(&estimate);
	show_trials(&estimate);
	input_close(&estimate.input);
	free(request.dictionary);
	return EXIT_SUCCESS;
}

const struct command estimate_command = {
	.name = "estimate",
	.summary = "what files would cost in RAM",
	.help = help,
	.run = run,
};
