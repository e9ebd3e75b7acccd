/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * How fast compaction moves objects, next to memcpy() of objects of the same sizes
 * from places just as scattered; and how long a thread that maps objects waits
 * meanwhile, next to the same thread beside one that only burns time.
 * Lines are: measure, variant, subject, unit, round, value.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zsmalloc.h>

#include "clock.h"
#include "rng.h"
#include "trace.h"

#define MAX_SIZE       4096
#define DEFAULT_ROUNDS 5
#define STEP_BYTES     (UINT64_C(1) << 20) /* budget of a step in the stepwise run */

/*
 * Waits by size: STEPS_PER_OCTAVE buckets for each doubling, so that a percentile
 * is right to about 6 %.
 */
#define OCTAVES          40
#define STEPS_PER_OCTAVE 16

struct waits {
	uint64_t buckets[OCTAVES][STEPS_PER_OCTAVE];
	uint64_t count;
	uint64_t longest_ns;
};

struct bench {
	struct trace trace;
	struct rng rng;
	struct zs_pool *pool;
	zs_handle *handles; /* trace.count */
	uint32_t *order;    /* places in random order: three quarters are freed first */
	unsigned rounds;
	unsigned round; /* from 1 */
};

/* What was moved or copied, and how long it took. */
struct move {
	uint64_t bytes;
	uint64_t ns;
};

struct reader {
	struct bench *bench;
	pthread_t thread;
	struct rng rng;
	struct waits waits;
	uint64_t sum;
	atomic_bool started;
	atomic_bool stop;
};

static unsigned char source[MAX_SIZE];

static void stop(const char *what)
{
	fprintf(stderr, "compaction: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void waits_add(struct waits *waits, uint64_t ns)
{
	unsigned octave = 0;
	uint64_t step = ns;

	while (step >= 2 * STEPS_PER_OCTAVE) {
		step >>= 1;
		octave++;
	}
	if (step >= STEPS_PER_OCTAVE) {
		step -= STEPS_PER_OCTAVE;
		octave++;
	}
	if (octave < OCTAVES)
		waits->buckets[octave][step]++;
	waits->count++;
	if (ns > waits->longest_ns)
		waits->longest_ns = ns;
}

/* The upper end of the bucket that the percentile falls into. */
static uint64_t waits_percentile(const struct waits *waits, double percent)
{
	uint64_t wanted = (uint64_t)((double)waits->count * percent / 100.0);
	uint64_t seen = 0;

	for (unsigned octave = 0; octave < OCTAVES; octave++) {
		for (uint64_t step = 0; step < STEPS_PER_OCTAVE; step++) {
			seen += waits->buckets[octave][step];
			if (seen > wanted)
				return octave ? (step + STEPS_PER_OCTAVE + 1) << (octave - 1)
					      : step;
		}
	}
	return waits->longest_ns;
}

static void put_object(struct bench *bench, uint32_t place)
{
	uint32_t size = bench->trace.sizes[place];
	zs_handle handle = zs_malloc(bench->pool, size);

	if (!handle)
		stop("zs_malloc");
	memcpy(zs_map_object(bench->pool, handle, ZS_MM_WO), source, size);
	zs_unmap_object(bench->pool, handle);
	bench->handles[place] = handle;
}

static uint32_t freed_count(const struct bench *bench)
{
	return bench->trace.count / 4 * 3;
}

/* All objects there, then a random three quarters freed. */
static void make_sparse(struct bench *bench)
{
	for (uint32_t place = 0; place < bench->trace.count; place++) {
		if (!bench->handles[place])
			put_object(bench, place);
	}
	rng_shuffle_u32(&bench->rng, bench->order, bench->trace.count);
	for (uint32_t i = 0; i < freed_count(bench); i++) {
		zs_free(bench->pool, bench->handles[bench->order[i]]);
		bench->handles[bench->order[i]] = 0;
	}
}

static struct move compact_all(struct bench *bench, const struct zs_compact_budget *budget)
{
	struct zs_compact_result result;
	struct move moved = { 0 };
	uint64_t from = clock_wall_ns();
	int more;

	do {
		more = zs_compact_some(bench->pool, budget, &result);
		moved.bytes += result.moved_bytes;
	} while (more);
	moved.ns = clock_wall_ns() - from;
	return moved;
}

/* Where each object would be if they lay side by side in order of age. */
static uint64_t *lay_out(const struct bench *bench)
{
	uint64_t *offsets = calloc(bench->trace.count, sizeof(*offsets));
	uint64_t at = 0;

	if (!offsets)
		stop("no memory");
	for (uint32_t place = 0; place < bench->trace.count; place++) {
		offsets[place] = at;
		at += bench->trace.sizes[place];
	}
	return offsets;
}

/* Gathers the surviving quarter, in order of place, into memory that is there already. */
static struct move copy_survivors(struct bench *bench, unsigned char *to, const unsigned char *from,
				  const uint64_t *offsets)
{
	uint64_t started = clock_wall_ns();
	struct move copied = { 0 };

	for (uint32_t place = 0; place < bench->trace.count; place++) {
		uint32_t size = bench->trace.sizes[place];

		if (!bench->handles[place])
			continue;
		memcpy(to + copied.bytes, from + offsets[place], size);
		copied.bytes += size;
	}
	copied.ns = clock_wall_ns() - started;
	return copied;
}

static void print_value(const struct bench *bench, const char *measure, const char *variant,
			const char *subject, const char *unit, double value)
{
	printf("%s\t%s\t%s\t%s\t%u\t%.3f\n", measure, variant, subject, unit, bench->round, value);
	fflush(stdout);
}

static void print_speed(const struct bench *bench, const char *variant, const char *subject,
			struct move move)
{
	print_value(bench, "move", variant, subject, "MiB/s",
		    (double)move.bytes / (1 << 20) / ((double)move.ns / 1e9));
}

static void measure_speed(struct bench *bench)
{
	unsigned char *from = malloc(bench->trace.bytes);
	unsigned char *to = malloc(bench->trace.bytes);
	uint64_t *offsets = lay_out(bench);
	char variant[64];

	if (!from || !to)
		stop("no memory");
	memset(from, 1, bench->trace.bytes);
	memset(to, 2, bench->trace.bytes);
	snprintf(variant, sizeof(variant), "%.0f MB", (double)bench->trace.bytes / 1e6);
	for (bench->round = 1; bench->round <= bench->rounds; bench->round++) {
		struct move moved;

		make_sparse(bench);
		print_speed(bench, variant, "memcpy", copy_survivors(bench, to, from, offsets));
		moved = compact_all(bench, NULL);
		print_speed(bench, variant, "zs", moved);
		print_value(bench, "whole-pool", variant, "zs", "us", (double)moved.ns / 1e3);
	}
	free(from);
	free(to);
	free(offsets);
}

static void *read_until_stopped(void *data)
{
	struct reader *reader = data;
	struct bench *bench = reader->bench;
	uint32_t first = freed_count(bench);

	atomic_store(&reader->started, true);
	while (!atomic_load_explicit(&reader->stop, memory_order_relaxed)) {
		uint32_t pick = first + rng_below(&reader->rng, bench->trace.count - first);
		zs_handle handle = bench->handles[bench->order[pick]];
		uint64_t from = clock_wall_ns();
		const unsigned char *memory = zs_map_object(bench->pool, handle, ZS_MM_RO);
		uint64_t until = clock_wall_ns();

		reader->sum += memory[0];
		zs_unmap_object(bench->pool, handle);
		waits_add(&reader->waits, until - from);
	}
	return NULL;
}

static void start_reader(struct reader *reader)
{
	reader->waits = (struct waits){ 0 };
	atomic_store(&reader->started, false);
	atomic_store(&reader->stop, false);
	if (pthread_create(&reader->thread, NULL, read_until_stopped, reader))
		stop("pthread_create");
	while (!atomic_load(&reader->started))
		;
}

static void stop_reader(struct reader *reader)
{
	atomic_store(&reader->stop, true);
	pthread_join(reader->thread, NULL);
}

static void burn(uint64_t ns)
{
	uint64_t from = clock_wall_ns();

	while (clock_wall_ns() - from < ns)
		;
}

static void print_waits(const struct bench *bench, const char *variant, const char *subject,
			const struct waits *waits)
{
	static const struct {
		const char *measure;
		double percent;
	} shown[] = {
		{ "map-wait-p50", 50 },
		{ "map-wait-p99", 99 },
		{ "map-wait-p99.99", 99.99 },
	};

	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		print_value(bench, shown[i].measure, variant, subject, "ns",
			    (double)waits_percentile(waits, shown[i].percent));
	print_value(bench, "map-wait-max", variant, subject, "ns", (double)waits->longest_ns);
}

/* Each round: the reader beside compaction, then as long beside a loop. */
static void measure_waits(struct bench *bench, const char *variant,
			  const struct zs_compact_budget *budget)
{
	static struct reader reader;

	reader.bench = bench;
	reader.rng = rng_seeded(2);
	for (bench->round = 1; bench->round <= bench->rounds; bench->round++) {
		struct move moved;

		make_sparse(bench);
		start_reader(&reader);
		moved = compact_all(bench, budget);
		stop_reader(&reader);
		print_waits(bench, variant, "zs", &reader.waits);
		start_reader(&reader);
		burn(moved.ns);
		stop_reader(&reader);
		print_waits(bench, variant, "idle", &reader.waits);
	}
}

static void prepare(struct bench *bench, uint32_t keep_one_in)
{
	struct zs_pool_options options = { .name = "bench", .compaction = ZS_COMPACTION_MANUAL };

	bench->rng = rng_seeded(1);
	if (trace_load(&bench->trace, NULL))
		stop("the trace");
	trace_shuffle(&bench->trace, &bench->rng);
	trace_truncate(&bench->trace, bench->trace.count / keep_one_in);
	bench->handles = calloc(bench->trace.count, sizeof(*bench->handles));
	bench->order = malloc(bench->trace.count * sizeof(*bench->order));
	if (!bench->handles || !bench->order)
		stop("no memory");
	for (uint32_t i = 0; i < bench->trace.count; i++)
		bench->order[i] = i;
	bench->pool = zs_create_pool(&options);
	if (!bench->pool)
		stop("zs_create_pool");
}

static void release(struct bench *bench)
{
	for (uint32_t place = 0; place < bench->trace.count; place++)
		zs_free(bench->pool, bench->handles[place]);
	zs_destroy_pool(bench->pool);
	free(bench->handles);
	free(bench->order);
	trace_release(&bench->trace);
}

static void usage(void)
{
	fputs("usage: compaction [--rounds NUMBER] [--one-in NUMBER]\n"
	      "  --one-in  keep only one of so many objects\n",
	      stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	static struct bench bench = { .rounds = DEFAULT_ROUNDS };
	const struct zs_compact_budget step = { .bytes = STEP_BYTES };
	uint32_t keep_one_in = 1;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--rounds"))
			bench.rounds = (unsigned)strtoul(argv[i + 1], NULL, 0);
		else if (!strcmp(argv[i], "--one-in"))
			keep_one_in = (uint32_t)strtoul(argv[i + 1], NULL, 0);
		else
			usage();
	}
	if (argc % 2 == 0 || bench.rounds < 1 || keep_one_in < 1)
		usage();
	prepare(&bench, keep_one_in);
	measure_speed(&bench);
	measure_waits(&bench, "whole pool", NULL);
	measure_waits(&bench, "steps of 1 MiB", &step);
	release(&bench);
	return 0;
}
