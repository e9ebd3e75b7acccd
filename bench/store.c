/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Times the store next to the raw codec on the same pages, and where a device is
 * given next to the kernel's zram. Sides take turns phase by phase, and go first in
 * turn. Lines are those of bench/results: measure, variant, subject, unit, round,
 * value. Times are the program's for each page: two threads that do not hinder each
 * other have half the time of one.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "pages.h"
#include "rng.h"
#include "side.h"

#define MAX_SIDES 3

struct bench {
	struct side_options options;
	const char *algorithm; /* with the level: lz4, zstd-1, ... */
	const char *data;      /* what the pages are called */
	struct pages pages;
	uint32_t *order; /* all pages, shares shuffled */
	unsigned rounds;
	const struct side *sides[MAX_SIDES];
	void *selves[MAX_SIDES];
	unsigned side_count;
	pthread_barrier_t barrier;
};

struct worker {
	struct bench *bench;
	const struct side *side;
	void *self;
	const struct phase *phase;
	pthread_t thread;
	unsigned index;
	uint64_t started_ns;
	uint64_t ended_ns;
	_Alignas(PAGE_BYTES) unsigned char page[PAGE_BYTES]; /* what is read */
};

struct phase {
	const char *name;
	void (*step)(struct worker *worker, uint32_t page);
	bool in_order;
	bool shows_bytes;
};

static struct worker workers[MAX_THREADS];

void stop(const char *what)
{
	fprintf(stderr, "store: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* What a page is overwritten with: another's contents, so that all of them stay. */
static uint32_t successor(const struct bench *bench, uint32_t page)
{
	return (page + bench->pages.count / 3) % bench->pages.count;
}

static const void *contents(const struct bench *bench, uint32_t page)
{
	return bench->pages.bytes + (size_t)page * PAGE_BYTES;
}

static void write_first(struct worker *worker, uint32_t page)
{
	worker->side->write(worker->self, worker->index, page, contents(worker->bench, page));
}

static void write_again(struct worker *worker, uint32_t page)
{
	worker->side->write(worker->self, worker->index, page,
			    contents(worker->bench, successor(worker->bench, page)));
}

static void read_page(struct worker *worker, uint32_t page)
{
	worker->side->read(worker->self, worker->index, page, worker->page);
}

static void check_page(struct worker *worker, uint32_t page)
{
	read_page(worker, page);
	if (memcmp(worker->page, contents(worker->bench, successor(worker->bench, page)),
		   PAGE_BYTES) != 0) {
		fprintf(stderr, "store: %s: page %" PRIu32 " is not what was written\n",
			worker->side->name, page);
		exit(1);
	}
}

static void discard_page(struct worker *worker, uint32_t page)
{
	worker->side->discard(worker->self, page);
}

/* Written in order, then in no order, then in order again, where memory is no longer new. */
static const struct phase phases[] = {
	{ "fill", write_first, true, true },        { "read", read_page, true, false },
	{ "read-random", read_page, false, false }, { "write-random", write_again, false, true },
	{ "read-aged", read_page, true, false },    { "write", write_again, true, false },
	{ "check", check_page, true, false },       { "discard", discard_page, false, false },
};

#define PHASES (sizeof(phases) / sizeof(phases[0]))

static void *run_worker(void *data)
{
	struct worker *worker = data;
	struct bench *bench = worker->bench;
	unsigned threads = bench->options.threads;
	uint32_t end = share_first(bench->pages.count, threads, worker->index + 1);

	pthread_barrier_wait(&bench->barrier);
	worker->started_ns = clock_wall_ns();
	for (uint32_t i = share_first(bench->pages.count, threads, worker->index); i < end; i++)
		worker->phase->step(worker, worker->phase->in_order ? i : bench->order[i]);
	worker->ended_ns = clock_wall_ns();
	return NULL;
}

static void print_value(const struct bench *bench, unsigned round, const char *prefix,
			const char *unit, double value)
{
	unsigned threads = bench->options.threads;

	printf("%s%s\t%s, %s, %u thread%s\t%s\t%s\t%u\t%.4f\n", prefix, workers[0].phase->name,
	       bench->algorithm, bench->data, threads, threads > 1 ? "s" : "",
	       workers[0].side->name, unit, round, value);
}

static void print_time(const struct bench *bench, unsigned round)
{
	unsigned threads = bench->options.threads;
	uint64_t started = workers[0].started_ns;
	uint64_t ended = workers[0].ended_ns;

	for (unsigned i = 0; i < threads; i++) {
		started = workers[i].started_ns < started ? workers[i].started_ns : started;
		ended = workers[i].ended_ns > ended ? workers[i].ended_ns : ended;
	}
	print_value(bench, round, "", "ns/page", (double)(ended - started) / bench->pages.count);
}

/* Memory taken for each byte written, and for each compressed byte. */
static void print_bytes(const struct bench *bench, unsigned round)
{
	uint64_t compressed;
	uint64_t used;

	workers[0].side->bytes(workers[0].self, &compressed, &used);
	print_value(bench, round, "memory-", "B/B",
		    (double)used / ((double)bench->pages.count * PAGE_BYTES));
	print_value(bench, round, "overhead-", "B/B", (double)used / (double)compressed);
}

static void run_phase(struct bench *bench, unsigned round, const struct phase *phase,
		      unsigned which)
{
	const struct side *side = bench->sides[which];

	if (phase->step == discard_page && !side->discard)
		return;
	for (unsigned i = 0; i < bench->options.threads; i++) {
		workers[i].bench = bench;
		workers[i].side = side;
		workers[i].self = bench->selves[which];
		workers[i].phase = phase;
		workers[i].index = i;
		if (pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]))
			stop("pthread_create");
	}
	for (unsigned i = 0; i < bench->options.threads; i++)
		pthread_join(workers[i].thread, NULL);
	if (phase->step == check_page)
		return;
	print_time(bench, round);
	if (phase->shows_bytes && side->bytes)
		print_bytes(bench, round);
}

static void run_round(struct bench *bench, unsigned round)
{
	for (size_t i = 0; i < PHASES; i++) {
		for (unsigned j = 0; j < bench->side_count; j++)
			run_phase(bench, round, &phases[i], (j + round) % bench->side_count);
	}
	for (unsigned j = 0; j < bench->side_count; j++)
		bench->sides[j]->clear(bench->selves[j]);
	fflush(stdout);
}

static void shuffle_shares(struct bench *bench)
{
	struct rng rng = rng_seeded(2);
	unsigned threads = bench->options.threads;

	for (uint32_t i = 0; i < bench->pages.count; i++)
		bench->order[i] = i;
	for (unsigned i = 0; i < threads; i++) {
		uint32_t first = share_first(bench->pages.count, threads, i);
		uint32_t end = share_first(bench->pages.count, threads, i + 1);

		rng_shuffle_u32(&rng, bench->order + first, end - first);
	}
}

static void run(struct bench *bench)
{
	bench->options.pages = bench->pages.count;
	bench->options.contents = bench->pages.bytes;
	bench->order = malloc(bench->pages.count * sizeof(*bench->order));
	if (!bench->order || pthread_barrier_init(&bench->barrier, NULL, bench->options.threads))
		stop("no memory");
	shuffle_shares(bench);
	for (unsigned j = 0; j < bench->side_count; j++)
		bench->selves[j] = bench->sides[j]->open(&bench->options);
	for (unsigned round = 1; round <= bench->rounds; round++)
		run_round(bench, round);
	for (unsigned j = 0; j < bench->side_count; j++)
		bench->sides[j]->close(bench->selves[j]);
	pthread_barrier_destroy(&bench->barrier);
	free(bench->order);
}

static _Noreturn void usage(void)
{
	fputs("usage: store [--data FILE] [--pages NUMBER] [--rounds NUMBER] [--threads NUMBER]\n"
	      "             [--algorithm lz4 | zstd-LEVEL] [--device FILE]\n"
	      "  --data    whose pages, called as the file is; without it, pages of the sizes\n"
	      "            of the trace\n"
	      "  --device  an empty zram device of the kernel, beside the store\n",
	      stderr);
	exit(2);
}

static void set_algorithm(struct bench *bench, const char *name)
{
	static const char zstd[] = "zstd-";

	bench->algorithm = name;
	if (!strcmp(name, "lz4")) {
		bench->options.algorithm = "lz4";
	} else if (!strncmp(name, zstd, strlen(zstd))) {
		bench->options.algorithm = "zstd";
		bench->options.level = (int)strtol(name + strlen(zstd), NULL, 10);
	} else {
		usage();
	}
}

int main(int argc, char **argv)
{
	static struct bench bench = { .data = "synthetic",
				      .rounds = 3,
				      .options = { .threads = 1 } };
	const char *data = NULL;
	uint32_t max = 8192;

	set_algorithm(&bench, "lz4");
	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--data"))
			data = argv[i + 1];
		else if (!strcmp(argv[i], "--pages"))
			max = (uint32_t)strtoul(argv[i + 1], NULL, 0);
		else if (!strcmp(argv[i], "--rounds"))
			bench.rounds = (unsigned)strtoul(argv[i + 1], NULL, 0);
		else if (!strcmp(argv[i], "--threads"))
			bench.options.threads = (unsigned)strtoul(argv[i + 1], NULL, 0);
		else if (!strcmp(argv[i], "--algorithm"))
			set_algorithm(&bench, argv[i + 1]);
		else if (!strcmp(argv[i], "--device"))
			bench.options.device = argv[i + 1];
		else
			usage();
	}
	if (argc % 2 == 0 || bench.rounds < 1 || bench.options.threads < 1 ||
	    bench.options.threads > MAX_THREADS)
		usage();
	if (data)
		bench.data = strrchr(data, '/') ? strrchr(data, '/') + 1 : data;
	bench.sides[bench.side_count++] = &side_raw;
	bench.sides[bench.side_count++] = &side_store;
	bench.sides[bench.side_count++] = bench.options.device ? &side_device : &side_unchecked;
	bench.pages = pages_get(data, max);
	if (bench.pages.count < bench.options.threads) {
		errno = 0;
		stop("too few pages");
	}
	run(&bench);
	pages_release(&bench.pages);
	return 0;
}
