/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * zram stat: what a disk stores and what it takes, as a table for people. Each
 * line says what its number is and what it is a share of, and the shares add up.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "control.h"
#include "export.h"
#include "figures.h"
#include "say.h"
#include "units.h"

static const char help[] =
	"Usage: zram stat [OPTION]...\n"
	"Shows what a disk stores, what it takes for it, and where the memory goes.\n"
	"\n" TARGET_HELP "  --json           all figures as JSON, in bytes and counts\n"
	"  --prometheus     all figures in Prometheus' text format\n"
	"  --help           show this\n";

enum form { TABLE, JSON, PROMETHEUS };

static void line(const char *what, const char *value, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void line(const char *what, const char *value, const char *format, ...)
{
	va_list arguments;

	printf("  %-22s%12s  ", what, value);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
}

static void show_contents(const struct zram_stats *stats)
{
	uint64_t stored = stats->orig_data_size;
	uint64_t used = stats->mem_used_total;
	char value[FIGURE_ROOM];
	char text[FIGURE_ROOM];

	puts("\nContents");
	line("stored", figure_bytes(value, stored), "%.1f %% of the disk, %s blocks",
	     percent(stored, stats->disksize), figure_count(text, stored / stats->block_size));
	line("compressed to", figure_bytes(value, stats->compr_data_size),
	     "%.1f %% of what is stored", percent(stats->compr_data_size, stored));
	line("memory taken", figure_bytes(value, used), "%.1f %%, everything counted: ratio %s",
	     percent(used, stored), figure_ratio(text, stored, used));
	if (stored >= used)
		line("saved", figure_bytes(value, stored - used), "%.1f %%",
		     percent(stored - used, stored));
	else
		line("saved", "nothing", "an empty disk takes some memory too");
	line("most ever taken", figure_bytes(value, stats->mem_used_max),
	     "since the start or reset");
	if (stats->mem_limit)
		line("limit", figure_bytes(value, stats->mem_limit), "%.1f %% of it is taken",
		     percent(used, stats->mem_limit));
	else
		line("limit", "none", "(zram set mem_limit SIZE)");
}

static void memory_line(const char *what, uint64_t bytes, const struct zram_stats *stats,
			const char *meaning)
{
	char value[FIGURE_ROOM];

	line(what, figure_bytes(value, bytes), "%5.1f %%  %s",
	     percent(bytes, stats->mem_used_total), meaning);
}

/* The pool changes between the two requests when the disk is in use: never below 0. */
static uint64_t less(uint64_t whole, uint64_t part)
{
	return whole > part ? whole - part : 0;
}

static void show_memory(const struct zram_stats *stats, const struct pool_figures *pool)
{
	char free_meaning[96];
	char text[FIGURE_ROOM];

	snprintf(free_meaning, sizeof(free_meaning), "of its pages; compaction would give back %s",
		 figure_bytes(text, pool->reclaimable));
	puts("\nWhere the memory is");
	memory_line("objects", pool->in_use, stats, "compressed blocks in their slots");
	memory_line("free slots", less(pool->held, pool->in_use), stats, free_meaning);
	memory_line("handles", less(stats->pool_bytes, pool->held), stats,
		    "and the pool's other tables");
	memory_line("slot table", stats->table_bytes, stats, "which block is which object");
	memory_line("streams", stats->stream_bytes, stats,
		    "codec contexts, buffers, the dictionary");
	memory_line("the store itself", stats->own_bytes, stats, "");
}

static void blocks_line(const char *what, uint64_t blocks, const char *meaning)
{
	char value[FIGURE_ROOM];

	line(what, figure_count(value, blocks), "%s", meaning);
}

static void show_blocks(const struct zram_stats *stats)
{
	puts("\nBlocks");
	blocks_line("same", stats->same_pages, "filled with one repeated word: take no object");
	blocks_line("huge", stats->huge_pages, "did not shrink: stored as they are");
	blocks_line("huge ever written", stats->huge_pages_since, "");
	blocks_line("unchanged", stats->unchanged_blocks,
		    "written with what they held: left alone");
	blocks_line("discarded", stats->notify_free, "freed by discarding or zeroing");
	blocks_line("found damaged", stats->damaged_blocks, "reads that failed for it");
}

static void requests_line(const char *what, uint64_t requests, uint64_t bytes, uint64_t failed)
{
	char value[FIGURE_ROOM];
	char size[FIGURE_ROOM];
	char failures[FIGURE_ROOM];

	line(what, figure_count(value, requests), "%s, %s failed", figure_bytes(size, bytes),
	     figure_count(failures, failed));
}

static void show_requests(const struct zram_stats *stats)
{
	puts("\nRequests");
	requests_line("reads", stats->reads, stats->read_bytes, stats->failed_reads);
	requests_line("writes", stats->writes, stats->written_bytes, stats->failed_writes);
	blocks_line("beyond the end", stats->invalid_io, "refused");
	blocks_line("pages given back", stats->pages_compacted, "by compaction");
}

static void show_table(struct control *control, const struct zram_stats *stats,
		       const char *algorithm)
{
	size_t count;
	struct class_figures *classes = take_classes(control, &count);
	struct pool_figures pool = sum_classes(classes, count);
	char *what = describe_disk(stats, algorithm);

	printf("%s: %s\n", control_label(control), what);
	show_contents(stats);
	show_memory(stats, &pool);
	show_blocks(stats);
	show_requests(stats);
	free(what);
	free(classes);
}

static void show(const struct target *target, enum form form)
{
	struct control *control = control_open(target);
	char *algorithm = take_algorithm(control);
	struct zram_stats stats;

	take_figures(control, &stats);
	switch (form) {
	case TABLE:
		show_table(control, &stats, algorithm);
		break;
	case JSON:
		export_json(control_label(control), algorithm, &stats, stdout);
		break;
	case PROMETHEUS:
		export_prometheus(control_label(control), algorithm, &stats, stdout);
		break;
	}
	free(algorithm);
	control_close(control);
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		TARGET_OPTIONS,
		{ "json", no_argument, NULL, 'j' },
		{ "prometheus", no_argument, NULL, 'p' },
		HELP_OPTION,
		END_OPTIONS,
	};
	struct target target = { NULL, NULL };
	enum form form = TABLE;
	int option;

	while ((option = next_option(&stat_command, argc, argv, options)) != -1) {
		if (target_option(&stat_command, &target, option))
			continue;
		if (form != TABLE)
			usage_error(&stat_command, "--json and --prometheus: only one of them");
		form = option == 'j' ? JSON : PROMETHEUS;
	}
	check_words(&stat_command, argc, argv, 0, 0, "");
	show(&target, form);
	return EXIT_SUCCESS;
}

const struct command stat_command = {
	.name = "stat",
	.summary = "what a disk stores, what it takes, where the memory goes",
	.help = help,
	.run = run,
};
