/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Prints the tables. Everything fits 80 columns; MiB is 2^20 bytes.
 */
#include <gnu/libc-version.h>
#include <inttypes.h>
#include <stdlib.h>

#include "figures.h"
#include "report.h"

static const char *const moment_names[MOMENTS] = {
	[STORED] = "stored",
	[HALF_FREED] = "half freed",
	[COMPACTED] = "compacted",
	[ALL_FREED] = "all freed",
};

static const char *const step_names[STEPS] = {
	[READ] = "read the files",
	[COMPRESS] = "compress with LZ4",
	[STORE] = "zs_malloc, zs_obj_write",
	[FREE_HALF] = "zs_free, random half",
	[COMPACT] = "zs_compact_some",
	[READ_BACK] = "map, decompress, unmap",
	[COMPARE] = "compare with the files",
	[FREE_REST] = "zs_free, the rest",
};

void report_input(const struct file_list *files, uint64_t seed, FILE *to)
{
	char count[FIGURE_ROOM];
	char pages[FIGURE_ROOM];
	char size[FIGURE_ROOM];

	fprintf(to, "Files: %s; pages of 4 KiB: %s (%s MiB); seed: %" PRIu64 "\n",
		figure_count(count, files->count), figure_count(pages, files->pages),
		figure_mib(size, (uint64_t)files->pages * PAGE_BYTES), seed);
	if (files->unreadable)
		fprintf(to, "Skipped because unreadable: %s (the first: %s)\n",
			figure_count(count, files->unreadable), files->trouble);
}

static const char *ratio(char text[FIGURE_ROOM], uint64_t held, uint64_t payload)
{
	double times = payload ? (double)held / (double)payload : 0;

	if (payload)
		snprintf(text, FIGURE_ROOM, "%.*f", times < 100 ? 3 : 0, times);
	else
		snprintf(text, FIGURE_ROOM, "-");
	return text;
}

static void print_moment(const struct pack *pack, const struct twin_figures *twin,
			 enum moment moment, FILE *to)
{
	const struct moment_figures *figures = &pack->moments[moment];
	uint64_t grown = figures->grown > 0 ? (uint64_t)figures->grown : 0;
	char text[6][FIGURE_ROOM];

	fprintf(to, "%-11s%10s%10s |%9s%8s%10s |", moment_names[moment],
		figure_count(text[0], figures->pages), figure_mib(text[1], figures->payload),
		figure_mib(text[2], figures->held), ratio(text[3], figures->held, figures->payload),
		figure_mib(text[4], grown));
	if (twin)
		fprintf(to, "%9s%8s", figure_mib(text[4], twin->held[moment]),
			ratio(text[5], twin->held[moment], figures->payload));
	fputc('\n', to);
}

void report_memory(const struct pack *pack, const struct twin_figures *twin, FILE *to)
{
	int64_t widest = 0;

	fprintf(to, "\n%-11s%10s%10s |%9s%8s%10s |%9s%8s\n", "in MiB", "pages", "payload", "pool",
		"ratio", "process", "malloc", "ratio");
	for (enum moment moment = STORED; moment < MOMENTS; moment++) {
		const struct moment_figures *figures = &pack->moments[moment];
		int64_t apart = figures->grown - (int64_t)figures->held;

		print_moment(pack, twin, moment, to);
		if (llabs(apart) > llabs(widest))
			widest = apart;
	}
	fprintf(to,
		"  payload: bytes asked for      pool: what zs_get_total_size_bytes() says\n"
		"  ratio: held / payload         process: what the kernel says the pool took;\n"
		"                                differs from it by %+" PRId64 " KiB at most\n",
		widest / 1024);
	if (twin)
		fprintf(to,
			"  malloc: glibc %s, the same sizes in a process of its own;\n"
			"          in place of compaction malloc_trim(0)\n",
			gnu_get_libc_version());
	else
		fprintf(to, "  malloc: its process could not be run\n");
}

void report_compaction(const struct pack *pack, FILE *to)
{
	const struct zs_compact_result *done = &pack->compaction;
	char text[6][FIGURE_ROOM];

	fprintf(to,
		"\nCompaction moved %s objects (%s MiB) and gave back %s MiB\n"
		"(predicted: %s MiB); zspages: %s before, %s after.\n",
		figure_count(text[0], done->moved_objects), figure_mib(text[1], done->moved_bytes),
		figure_mib(text[2], done->freed_bytes), figure_mib(text[3], pack->predicted),
		figure_count(text[4], pack->moments[HALF_FREED].zspages),
		figure_count(text[5], pack->moments[COMPACTED].zspages));
}

void report_speed(const struct pack *pack, FILE *to)
{
	fprintf(to, "\n%-26s%10s%10s%12s%12s\n", "step", "pages", "ms", "ns a page", "MiB/s");
	for (enum step step = READ; step < STEPS; step++) {
		const struct step_figures *figures = &pack->steps[step];
		double ns = figures->ns ? (double)figures->ns : 1;
		double pages = (double)figures->pages;
		char text[FIGURE_ROOM];

		if (!figures->pages)
			continue;
		fprintf(to, "%-26s%10s%10.1f%12.0f%12.0f\n", step_names[step],
			figure_count(text, figures->pages), ns / 1e6, ns / pages,
			pages * PAGE_BYTES / 1048576 / (ns / 1e9));
	}
	fprintf(to, "  MiB/s: of pages before compression; compaction: of all pages that stayed\n");
}

void report_comparison(const struct pack *pack, FILE *to)
{
	char text[FIGURE_ROOM];

	fprintf(to, "\nPages read back, each byte as in its file: %s\n",
		figure_count(text, pack->compared.with_file));
	if (pack->compared.with_checksum)
		fprintf(to, "Pages right by checksum, their files having changed since: %s\n",
			figure_count(text, pack->compared.with_checksum));
	if (pack->changed)
		fprintf(to, "Files skipped because they changed or went away meanwhile: %s\n",
			figure_count(text, pack->changed));
}
