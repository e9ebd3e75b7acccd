/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * How many bytes a store holds in all for each byte of compressed data: after it
 * was filled with pages that compress like those of real processes, after each
 * was overwritten with the contents of another in random order, and after
 * discards. Deterministic: bytes only, no time.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lz4.h>

#include <zram.h>

#include "audit.h"
#include "resident.h"
#include "rng.h"
#include "tally.h"
#include "trace.h"

#define BLOCK          4096u
#define QUICK_FRACTION 10
#define DISK_SIZE      (UINT64_C(1) << 40)

#define TARGET_FILL       1.020
#define TARGET_OVERWRITE  1.020
#define NO_TARGET         0.0
#define TABLE_BYTES_MOST  12 /* for each block that was ever written */
#define LEFT_AT_MOST      (1 << 20)
#define ONE_BLOCK_AT_MOST (1 << 20)
/* Between what the system holds for the store and what the store says. */
#define RESIDENT_SLACK (256 << 10)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || \
	__has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

struct footprint {
	struct tally tally;
	struct trace trace;
	struct rng rng;
	struct zram *zram;
	/* How many bytes of a page are random, for LZ4 to make it so large. */
	uint16_t random_for_size[BLOCK + 1];
	uint32_t *contents; /* of each block: the page it holds, an index of the trace */
	uint32_t *order;    /* the blocks in a random order */
	uint64_t resident_before;
	bool quick;    /* structure only, no targets */
	FILE *figures; /* NULL: not wanted */
};

static void stop(const char *what)
{
	fprintf(stderr, "footprint: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* Random bytes, which LZ4 copies, then a text over and over, which it folds. */
static void make_page(unsigned char *page, size_t random, uint64_t key)
{
	static const char text[] = "what a process holds again and again; ";
	struct rng rng = rng_seeded(key);
	uint64_t word = 0;

	/* Byte by byte: the same pages for either byte order. */
	for (size_t at = 0; at < random; at++) {
		word = at % sizeof(word) ? word >> 8 : rng_next(&rng);
		page[at] = (unsigned char)word;
	}
	for (size_t at = random; at < BLOCK; at += sizeof(text) - 1) {
		size_t left = BLOCK - at;

		memcpy(page + at, text, left < sizeof(text) - 1 ? left : sizeof(text) - 1);
	}
}

static void page_of(const struct footprint *footprint, uint32_t index, unsigned char *page)
{
	make_page(page, footprint->random_for_size[footprint->trace.sizes[index]], index);
}

/* A size that LZ4 makes of no page here is taken for the next smaller one that it does. */
static void calibrate(struct footprint *footprint)
{
	unsigned char page[BLOCK];
	char packed[LZ4_COMPRESSBOUND(BLOCK)];

	for (unsigned random = 1; random <= BLOCK; random++) {
		int size;

		make_page(page, random, random);
		size = LZ4_compress_default((const char *)page, packed, BLOCK, sizeof(packed));
		if (size <= 0)
			stop("LZ4");
		if (size < (int)BLOCK)
			footprint->random_for_size[size] = (uint16_t)random;
	}
	for (unsigned size = 1; size < BLOCK; size++) {
		if (!footprint->random_for_size[size])
			footprint->random_for_size[size] = footprint->random_for_size[size - 1];
	}
	/* A size of one page means stored as it is. */
	footprint->random_for_size[BLOCK] = BLOCK;
}

static void put_page(struct footprint *footprint, uint32_t block, uint32_t index)
{
	unsigned char page[BLOCK];

	page_of(footprint, index, page);
	if (zram_pwrite(footprint->zram, page, BLOCK, (uint64_t)block * BLOCK) != BLOCK)
		stop("zram_pwrite");
	footprint->contents[block] = index;
}

static void check_contents(struct footprint *footprint, const char *phase)
{
	unsigned char expected[BLOCK], found[BLOCK];
	uint32_t damaged = 0;

	for (uint32_t block = 0; block < footprint->trace.count; block++) {
		uint32_t index = footprint->contents[block];

		if (index == UINT32_MAX)
			memset(expected, 0, BLOCK);
		else
			page_of(footprint, index, expected);
		if (zram_pread(footprint->zram, found, BLOCK, (uint64_t)block * BLOCK) != BLOCK ||
		    memcmp(found, expected, BLOCK) != 0)
			damaged++;
	}
	tally_check(&footprint->tally, damaged == 0, "%s: %" PRIu32 " blocks damaged", phase,
		    damaged);
}

static void check_resident(struct footprint *footprint, const char *phase, uint64_t reported)
{
	int64_t resident = (int64_t)(resident_anonymous_bytes() - footprint->resident_before);
	int64_t difference = resident - (int64_t)reported;

	if (SANITIZED || !footprint->resident_before)
		return;
	printf("  resident: %" PRId64 " KiB, reported: %" PRIu64 " KiB, difference %+" PRId64
	       " KiB (allowed %d KiB)\n",
	       resident / 1024, reported / 1024, difference / 1024, RESIDENT_SLACK / 1024);
	tally_check(&footprint->tally,
		    difference <= RESIDENT_SLACK && -difference <= RESIDENT_SLACK,
		    "%s: the system holds %" PRId64 " bytes more than reported", phase, difference);
}

static void check_sums(struct footprint *footprint, const char *phase,
		       const struct zram_stats *stats)
{
	tally_check(&footprint->tally,
		    stats->mem_used_total == stats->pool_bytes + stats->table_bytes +
						     stats->stream_bytes + stats->own_bytes,
		    "%s: mem_used_total is not the sum of its parts", phase);
	tally_check(&footprint->tally, stats->same_pages == 0, "%s: %" PRIu64 " blocks of one word",
		    phase, stats->same_pages);
}

static void check_table(struct footprint *footprint, const char *phase,
			const struct zram_stats *stats)
{
	uint64_t most = (uint64_t)footprint->trace.count * TABLE_BYTES_MOST;

	printf("  slot table: %.2f bytes a block, target %d\n",
	       (double)stats->table_bytes / footprint->trace.count, TABLE_BYTES_MOST);
	tally_check(&footprint->tally, stats->table_bytes <= most,
		    "%s: the slot table takes %" PRIu64 " bytes", phase, stats->table_bytes);
}

static double percent_of_data(const struct zram_stats *stats, uint64_t bytes)
{
	return 100.0 * (double)bytes / (double)stats->compr_data_size;
}

/*
 * What was counted, to the byte: the same in every build with pages and words of this size. Not
 * what streams and the store itself take: how large a codec's context or a mutex is differs.
 */
static void write_figures(const struct footprint *footprint, const char *phase,
			  const struct zram_stats *stats)
{
	const uint64_t figures[] = {
		stats->orig_data_size,   stats->compr_data_size,  stats->pool_bytes,
		stats->table_bytes,      stats->pages_compacted,  stats->huge_pages,
		stats->huge_pages_since, stats->unchanged_blocks, stats->notify_free,
	};

	if (!footprint->figures)
		return;
	fprintf(footprint->figures, "%s:", phase);
	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
		fprintf(footprint->figures, " %" PRIu64, figures[i]);
	fputc('\n', footprint->figures);
}

/* The end of a phase that leaves something stored. */
static void report(struct footprint *footprint, const char *phase, double target)
{
	struct zram_stats stats;
	double ratio;

	zram_get_stats(footprint->zram, &stats);
	ratio = (double)stats.mem_used_total / (double)stats.compr_data_size;
	target = footprint->quick || !AUDIT_TARGETS ? NO_TARGET : target;
	printf("%s: %" PRIu64 " blocks, compressed %.2f MB, footprint %.2f MB\n", phase,
	       stats.orig_data_size / BLOCK, (double)stats.compr_data_size / 1e6,
	       (double)stats.mem_used_total / 1e6);
	printf("  footprint / compressed %.4f", ratio);
	if (target > 0)
		printf(", target %.3f%s", target, ratio <= target ? "" : "  MISSED");
	printf("\n  %% of compressed: pool %.3f, slot table %.3f, streams %.3f, own %.3f\n",
	       percent_of_data(&stats, stats.pool_bytes),
	       percent_of_data(&stats, stats.table_bytes),
	       percent_of_data(&stats, stats.stream_bytes),
	       percent_of_data(&stats, stats.own_bytes));
	check_sums(footprint, phase, &stats);
	write_figures(footprint, phase, &stats);
	check_resident(footprint, phase, stats.mem_used_total);
	check_contents(footprint, phase);
	if (target > 0)
		tally_check(&footprint->tally, ratio <= target, "%s: %.4f is above the target %.3f",
			    phase, ratio, target);
}

static void open_store(struct footprint *footprint)
{
	struct zram_options options = { .size = DISK_SIZE };

	footprint->resident_before = resident_anonymous_bytes();
	footprint->zram = zram_create(&options);
	if (!footprint->zram)
		stop("zram_create");
}

static void close_store(struct footprint *footprint)
{
	zram_destroy(footprint->zram);
	check_resident(footprint, "destroyed", 0);
}

static void shuffle_blocks(struct footprint *footprint)
{
	for (uint32_t i = 0; i < footprint->trace.count; i++)
		footprint->order[i] = i;
	rng_shuffle_u32(&footprint->rng, footprint->order, footprint->trace.count);
}

static void fill(struct footprint *footprint)
{
	struct zram_stats stats;

	for (uint32_t block = 0; block < footprint->trace.count; block++)
		put_page(footprint, block, block);
	report(footprint, "fill", TARGET_FILL);
	zram_get_stats(footprint->zram, &stats);
	check_table(footprint, "fill", &stats);
	/* Or this would be about other pages than the trace's. */
	tally_check(&footprint->tally,
		    stats.compr_data_size < footprint->trace.bytes * 1.01 &&
			    stats.compr_data_size > footprint->trace.bytes * 0.99,
		    "compressed bytes are %" PRIu64 ", those of the trace %" PRIu64,
		    stats.compr_data_size, footprint->trace.bytes);
}

/* Each block gets what its follower in a random order had. */
static void overwrite(struct footprint *footprint)
{
	uint32_t count = footprint->trace.count, first;
	struct zram_stats stats;

	shuffle_blocks(footprint);
	first = footprint->contents[footprint->order[0]];
	for (uint32_t i = 0; i < count; i++) {
		uint32_t block = footprint->order[i];

		put_page(footprint, block,
			 i + 1 < count ? footprint->contents[footprint->order[i + 1]] : first);
	}
	report(footprint, "every block overwritten in random order", TARGET_OVERWRITE);
	zram_get_stats(footprint->zram, &stats);
	check_table(footprint, "overwrite", &stats);
}

static void compact(struct footprint *footprint)
{
	uint64_t given = zram_compact(footprint->zram);

	printf("compaction gave back %" PRIu64 " KiB\n", given / 1024);
}

static void discard(struct footprint *footprint, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++) {
		uint32_t block = footprint->order[i];

		if (zram_discard(footprint->zram, (uint64_t)block * BLOCK, BLOCK))
			stop("zram_discard");
		footprint->contents[block] = UINT32_MAX;
	}
}

static void report_empty(struct footprint *footprint)
{
	struct zram_stats stats;

	zram_get_stats(footprint->zram, &stats);
	printf("all discarded: %" PRIu64 " KiB left, target %d KiB%s (table %" PRIu64 " KiB)\n",
	       stats.mem_used_total / 1024, LEFT_AT_MOST / 1024,
	       stats.mem_used_total <= LEFT_AT_MOST ? "" : "  MISSED", stats.table_bytes / 1024);
	write_figures(footprint, "all discarded", &stats);
	check_resident(footprint, "all discarded", stats.mem_used_total);
	tally_check(&footprint->tally, stats.mem_used_total <= LEFT_AT_MOST,
		    "all discarded: %" PRIu64 " bytes left", stats.mem_used_total);
	tally_check(&footprint->tally, stats.orig_data_size == 0 && stats.compr_data_size == 0,
		    "all discarded: something is stored");
}

static void run_store(struct footprint *footprint)
{
	uint32_t count = footprint->trace.count;

	open_store(footprint);
	fill(footprint);
	overwrite(footprint);
	compact(footprint);
	report(footprint, "overwritten, compacted", NO_TARGET);
	discard(footprint, 0, count / 4 * 3);
	compact(footprint);
	report(footprint, "75 % discarded, compacted", NO_TARGET);
	discard(footprint, count / 4 * 3, count);
	compact(footprint);
	report_empty(footprint);
	close_store(footprint);
}

static void run_one_block(struct footprint *footprint)
{
	struct zram_stats stats;

	open_store(footprint);
	put_page(footprint, footprint->trace.count - 1, 0);
	zram_get_stats(footprint->zram, &stats);
	printf("1 TiB with one block written: %" PRIu64 " KiB, target below %d KiB\n",
	       stats.mem_used_total / 1024, ONE_BLOCK_AT_MOST / 1024);
	write_figures(footprint, "one block", &stats);
	tally_check(&footprint->tally, stats.mem_used_total < ONE_BLOCK_AT_MOST,
		    "1 TiB with one block takes %" PRIu64 " bytes", stats.mem_used_total);
	/* Resident below twice that follows from it. */
	check_resident(footprint, "one block", stats.mem_used_total);
	if (!SANITIZED && footprint->resident_before)
		tally_check(&footprint->tally,
			    resident_anonymous_bytes() - footprint->resident_before <
				    ONE_BLOCK_AT_MOST,
			    "1 TiB with one block: more is resident");
	close_store(footprint);
}

/* Everything is touched here, so that later only the store grows. */
static void prepare(struct footprint *footprint, const char *path, uint64_t seed)
{
	uint32_t count;

	footprint->rng = rng_seeded(seed);
	if (trace_load(&footprint->trace, path))
		stop("the trace");
	trace_shuffle(&footprint->trace, &footprint->rng);
	if (footprint->quick)
		trace_truncate(&footprint->trace, footprint->trace.count / QUICK_FRACTION);
	count = footprint->trace.count;
	footprint->contents = malloc(count * sizeof(*footprint->contents));
	footprint->order = malloc(count * sizeof(*footprint->order));
	if (!footprint->contents || !footprint->order)
		stop("the list of blocks");
	for (uint32_t i = 0; i < count; i++)
		footprint->contents[i] = UINT32_MAX;
	shuffle_blocks(footprint);
	calibrate(footprint);
}

static FILE *open_figures(const char *path)
{
	FILE *file = fopen(path, "w");

	if (!file)
		stop(path);
	return file;
}

static void close_figures(struct footprint *footprint)
{
	if (footprint->figures && fclose(footprint->figures) != 0)
		stop("the figures");
}

static void usage(void)
{
	fputs("usage: footprint [--quick] [--seed NUMBER] [--data FILE] [--figures FILE]\n"
	      "  --quick    a tenth of the blocks, no targets\n"
	      "  --figures  what was counted goes to FILE, to be compared with another build's\n",
	      stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	static struct footprint footprint;
	const char *path = NULL;
	uint64_t seed = 1;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--quick"))
			footprint.quick = true;
		else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
			seed = strtoull(argv[++i], NULL, 0);
		else if (!strcmp(argv[i], "--data") && i + 1 < argc)
			path = argv[++i];
		else if (!strcmp(argv[i], "--figures") && i + 1 < argc)
			footprint.figures = open_figures(argv[++i]);
		else
			usage();
	}
	prepare(&footprint, path, seed);
	printf("%" PRIu32 " blocks, seed %" PRIu64 "\n", footprint.trace.count, seed);
	run_store(&footprint);
	run_one_block(&footprint);
	free(footprint.contents);
	free(footprint.order);
	trace_release(&footprint.trace);
	close_figures(&footprint);
	return tally_finish(&footprint.tally);
}
