/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * How many bytes a pool holds for each byte that is alive, on the sizes of real
 * compressed pages: after filling, after churn, after most objects were freed, and
 * when the pool is small. Deterministic: bytes only, no time.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zsmalloc.h>

#include "audit.h"
#include "pattern.h"
#include "resident.h"
#include "rng.h"
#include "tally.h"
#include "trace.h"

#define CHURN_PER_OBJECT    4
#define NEIGHBOURS          1000
#define SMALL_POOL_FRACTION 20
#define QUICK_FRACTION      10
#define SAMPLE_STEP         17 /* every 17th object is compared after each phase */
#define LEFT_PAGES_AT_MOST  64

#define TARGET_FILL             1.0095
#define TARGET_CHURN            1.020
#define TARGET_CHURN_COMPACTED  1.008
#define TARGET_FREE75_COMPACTED 1.015
#define TARGET_EXIT50_COMPACTED 1.012
#define TARGET_SMALL_FILL       1.030
#define NO_TARGET               0.0

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

struct object {
	zs_handle handle; /* 0: none here */
	uint32_t size;
};

struct density {
	struct tally tally;
	struct trace trace;
	struct rng rng;
	struct zs_pool *pool;
	struct object *objects; /* trace.count places */
	uint32_t *order;        /* the same number, to pick places in random order */
	uint64_t alive;
	uint64_t payload;         /* bytes asked for, of the objects alive */
	uint64_t resident_before; /* the process without the pool */
	size_t page_size;         /* of the pools; 0: the system's */
	bool quick;               /* structure only, no targets */
	bool others;              /* sizes of another trace: no target for the small pool */
	FILE *figures;            /* NULL: not wanted */
};

static void stop(const char *what)
{
	fprintf(stderr, "density: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void put_object(struct density *density, size_t place, uint32_t size)
{
	zs_handle handle = zs_malloc(density->pool, size);
	void *memory;

	if (!handle)
		stop("zs_malloc");
	memory = zs_map_object(density->pool, handle, ZS_MM_WO);
	if (!memory)
		stop("zs_map_object");
	pattern_fill(memory, size, handle);
	zs_unmap_object(density->pool, handle);
	density->objects[place] = (struct object){ .handle = handle, .size = size };
	density->alive++;
	density->payload += size;
}

static void drop_object(struct density *density, size_t place)
{
	struct object *object = &density->objects[place];

	zs_free(density->pool, object->handle);
	density->alive--;
	density->payload -= object->size;
	*object = (struct object){ 0 };
}

static bool object_intact(struct density *density, const struct object *object)
{
	const void *memory = zs_map_object(density->pool, object->handle, ZS_MM_RO);
	bool intact = memory && pattern_holds(memory, object->size, object->handle) &&
		      zs_object_size(density->pool, object->handle) >= object->size;

	zs_unmap_object(density->pool, object->handle);
	return intact;
}

static void check_contents(struct density *density, const char *phase, size_t step)
{
	size_t damaged = 0;

	for (size_t place = 0; place < density->trace.count; place += step) {
		const struct object *object = &density->objects[place];

		if (object->handle && !object_intact(density, object))
			damaged++;
	}
	tally_check(&density->tally, damaged == 0, "%s: %zu objects damaged", phase, damaged);
}

/* What the system holds for the pool, less what the pool says. */
static void check_resident(struct density *density, const char *phase,
			   const struct zs_pool_stats *stats)
{
	uint64_t now = resident_anonymous_bytes();
	int64_t resident = (int64_t)(now - density->resident_before);
	int64_t difference = resident - (int64_t)stats->total_bytes;
	int64_t allowed = (int64_t)stats->classes * (int64_t)stats->page_size;

	if (SANITIZED || !density->resident_before)
		return;
	printf("  resident: %" PRId64 " KiB, reported: %" PRIu64 " KiB, difference %+" PRId64
	       " KiB (allowed %" PRId64 ")\n",
	       resident / 1024, stats->total_bytes / 1024, difference / 1024, allowed / 1024);
	tally_check(&density->tally, difference <= allowed && -difference <= allowed,
		    "%s: the system holds %" PRId64 " bytes more than reported", phase, difference);
}

static double percent_of_payload(const struct density *density, uint64_t bytes)
{
	return density->payload ? 100.0 * (double)bytes / (double)density->payload : 0.0;
}

static void print_breakdown(const struct density *density, const struct zs_pool_stats *stats)
{
	if (!density->payload) {
		printf("  KiB: free %" PRIu64 ", tails %" PRIu64 ", handles %" PRIu64
		       ", metadata %" PRIu64 "\n",
		       stats->free_bytes / 1024, stats->tail_bytes / 1024,
		       stats->handle_bytes / 1024, stats->metadata_bytes / 1024);
		return;
	}
	printf("  %% of payload: slots %.3f, free %.3f, tails %.3f, handles %.3f, metadata %.3f\n",
	       percent_of_payload(density, stats->object_bytes),
	       percent_of_payload(density, stats->free_bytes),
	       percent_of_payload(density, stats->tail_bytes),
	       percent_of_payload(density, stats->handle_bytes),
	       percent_of_payload(density, stats->metadata_bytes));
}

static void print_ratio(double ratio, double target)
{
	if (target > 0)
		printf("  footprint / payload %.4f, target %.4f%s\n", ratio, target,
		       ratio <= target ? "" : "  MISSED");
	else
		printf("  footprint / payload %.4f\n", ratio);
}

/* What was counted, to the byte: the same in every build with pages and words of this size. */
static void write_figures(const struct density *density, const char *phase,
			  const struct zs_pool_stats *stats)
{
	const uint64_t figures[] = {
		stats->total_bytes,  stats->peak_bytes,      stats->objects,
		stats->object_bytes, stats->free_bytes,      stats->tail_bytes,
		stats->handle_bytes, stats->metadata_bytes,  stats->zspages,
		stats->data_pages,   stats->compacted_pages, stats->moved_objects,
		stats->classes,
	};

	if (!density->figures)
		return;
	fprintf(density->figures, "%s:", phase);
	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
		fprintf(density->figures, " %" PRIu64, figures[i]);
	fputc('\n', density->figures);
}

/* The end of a phase that leaves objects alive. */
static void report(struct density *density, const char *phase, double target)
{
	struct audit_books books = { phase, density->alive, density->payload };
	struct zs_pool_stats stats;
	double ratio;

	printf("%s: %" PRIu64 " objects, payload %.2f MB, footprint %.2f MB\n", phase,
	       density->alive, (double)density->payload / 1e6,
	       (double)zs_get_total_size_bytes(density->pool) / 1e6);
	audit_pool(&density->tally, density->pool, &books, &stats);
	ratio = (double)stats.total_bytes / (double)density->payload;
	target = density->quick || !AUDIT_TARGETS ? NO_TARGET : target;
	print_ratio(ratio, target);
	print_breakdown(density, &stats);
	write_figures(density, phase, &stats);
	check_resident(density, phase, &stats);
	check_contents(density, phase, SAMPLE_STEP);
	if (target > 0)
		tally_check(&density->tally, ratio <= target, "%s: %.4f is above the target %.4f",
			    phase, ratio, target);
}

static void compact(struct density *density, const char *phase)
{
	audit_compaction(&density->tally, density->pool, phase);
}

static void shuffle_places(struct density *density)
{
	for (uint32_t i = 0; i < density->trace.count; i++)
		density->order[i] = i;
	rng_shuffle_u32(&density->rng, density->order, density->trace.count);
}

static void fill(struct density *density, size_t count)
{
	for (size_t place = 0; place < count; place++)
		put_object(density, place, density->trace.sizes[place]);
}

static void churn(struct density *density)
{
	uint64_t steps = (uint64_t)density->trace.count * CHURN_PER_OBJECT;

	while (steps--) {
		uint32_t place = rng_below(&density->rng, density->trace.count);

		drop_object(density, place);
		put_object(density, place, trace_draw(&density->trace, &density->rng));
	}
}

static void free_three_quarters(struct density *density)
{
	shuffle_places(density);
	for (uint32_t i = 0; i < density->trace.count / 4 * 3; i++)
		drop_object(density, density->order[i]);
}

static void refill(struct density *density)
{
	for (size_t place = 0; place < density->trace.count; place++) {
		if (!density->objects[place].handle)
			put_object(density, place, trace_draw(&density->trace, &density->rng));
	}
}

/* As when every second of many processes ends: its pages were written together. */
static void free_every_second_run(struct density *density)
{
	for (size_t place = 0; place < density->trace.count; place++) {
		if (place / NEIGHBOURS % 2 == 0)
			drop_object(density, place);
	}
}

static void free_all(struct density *density)
{
	shuffle_places(density);
	for (uint32_t i = 0; i < density->trace.count; i++) {
		if (density->objects[density->order[i]].handle)
			drop_object(density, density->order[i]);
	}
}

/* Nothing is alive: the pool may keep little, and without being asked to compact. */
static void report_empty(struct density *density)
{
	static const char phase[] = "all freed";
	struct audit_books books = { phase, 0, 0 };
	struct zs_pool_stats stats;
	uint64_t most;

	audit_pool(&density->tally, density->pool, &books, &stats);
	most = LEFT_PAGES_AT_MOST * (uint64_t)stats.page_size;
	printf("%s: %" PRIu64 " KiB left, target %" PRIu64 " KiB%s\n", phase,
	       stats.total_bytes / 1024, most / 1024, stats.total_bytes <= most ? "" : "  MISSED");
	print_breakdown(density, &stats);
	write_figures(density, phase, &stats);
	check_resident(density, phase, &stats);
	tally_check(&density->tally, stats.total_bytes <= most, "%s: %" PRIu64 " bytes left", phase,
		    stats.total_bytes);
	compact(density, phase);
	printf("  after zs_compact: %" PRIu64 " KiB left\n",
	       zs_get_total_size_bytes(density->pool) / 1024);
}

static void create_pool(struct density *density)
{
	struct zs_pool_options options = { .name = "density", .page_size = density->page_size };

	density->resident_before = resident_anonymous_bytes();
	density->pool = zs_create_pool(&options);
	if (!density->pool)
		stop("zs_create_pool");
}

static void destroy_pool(struct density *density)
{
	struct zs_pool_stats nothing = { .page_size = 4096,
					 .classes = zs_class_count(density->pool) };

	zs_destroy_pool(density->pool);
	check_resident(density, "pool destroyed", &nothing);
}

static void run_large_pool(struct density *density)
{
	create_pool(density);
	fill(density, density->trace.count);
	report(density, "fill", TARGET_FILL);
	churn(density);
	report(density, "churn", TARGET_CHURN);
	compact(density, "churn");
	report(density, "churn, compacted", TARGET_CHURN_COMPACTED);
	free_three_quarters(density);
	report(density, "75 % freed", NO_TARGET);
	compact(density, "75 % freed");
	report(density, "75 % freed, compacted", TARGET_FREE75_COMPACTED);
	refill(density);
	report(density, "refilled", NO_TARGET);
	free_every_second_run(density);
	report(density, "half freed in runs", NO_TARGET);
	compact(density, "half freed in runs");
	report(density, "half freed in runs, compacted", TARGET_EXIT50_COMPACTED);
	check_contents(density, "end", 1);
	free_all(density);
	report_empty(density);
	destroy_pool(density);
}

static void run_small_pool(struct density *density)
{
	create_pool(density);
	fill(density, density->trace.count / SMALL_POOL_FRACTION);
	report(density, "small pool, fill", density->others ? NO_TARGET : TARGET_SMALL_FILL);
	check_contents(density, "small pool, fill", 1);
	free_all(density);
	destroy_pool(density);
}

/* Everything is touched here, so that later only the pool grows. */
static void prepare(struct density *density, const char *path, uint64_t seed)
{
	size_t count;

	density->rng = rng_seeded(seed);
	if (trace_load(&density->trace, path))
		stop("the trace");
	trace_shuffle(&density->trace, &density->rng);
	if (density->quick)
		trace_truncate(&density->trace, density->trace.count / QUICK_FRACTION);
	count = density->trace.count;
	density->objects = malloc(count * sizeof(*density->objects));
	density->order = malloc(count * sizeof(*density->order));
	if (!density->objects || !density->order)
		stop("the list of objects");
	/* Not zero, or the compiler asks for zeroed pages instead of touching these. */
	for (size_t i = 0; i < count; i++)
		density->objects[i] = (struct object){ .handle = 0, .size = 1 };
	shuffle_places(density);
}

static FILE *open_figures(const char *path)
{
	FILE *file = fopen(path, "w");

	if (!file)
		stop(path);
	return file;
}

static void close_figures(struct density *density)
{
	if (density->figures && fclose(density->figures) != 0)
		stop("the figures");
}

static void usage(void)
{
	fputs("usage: density [--quick] [--seed NUMBER] [--data FILE] [--page-size BYTES]\n"
	      "               [--figures FILE]\n"
	      "  --quick    a tenth of the objects, no targets\n"
	      "  --figures  what was counted goes to FILE, to be compared with another build's\n",
	      stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	static struct density density;
	const char *path = NULL;
	uint64_t seed = 1;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--quick"))
			density.quick = true;
		else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
			seed = strtoull(argv[++i], NULL, 0);
		else if (!strcmp(argv[i], "--data") && i + 1 < argc)
			path = argv[++i];
		else if (!strcmp(argv[i], "--page-size") && i + 1 < argc)
			density.page_size = strtoul(argv[++i], NULL, 0);
		else if (!strcmp(argv[i], "--figures") && i + 1 < argc)
			density.figures = open_figures(argv[++i]);
		else
			usage();
	}
	density.others = path != NULL;
	prepare(&density, path, seed);
	printf("%" PRIu32 " objects, seed %" PRIu64 "\n", density.trace.count, seed);
	run_large_pool(&density);
	run_small_pool(&density);
	free(density.objects);
	free(density.order);
	trace_release(&density.trace);
	close_figures(&density);
	return tally_finish(&density.tally);
}
