/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Runs the trace of compressed page sizes on one allocator and prints, phase by
 * phase, nanoseconds an operation: compiled twice, see heap.h. All threads go
 * through the phases together; each has its own share of the objects. A line is
 *   phase  threads  operations  wall ns/operation  processor ns/operation  resident/live
 * where an operation's time is as one thread sees it, and resident is given at the
 * end of the phases that change it (0 elsewhere).
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

#include "clock.h"
#include "heap.h"
#include "resident.h"
#include "rng.h"
#include "trace.h"

#define MAX_THREADS      64
#define MAX_SIZE         4096
#define CHURN_PER_OBJECT 4
#define READS_PER_OBJECT 4
#define SMALL_LIVE       64 /* objects of the pair phases */
#define PAIR_SIZE        256
#define PAIRS            4000000
#define HOT_MAPS         10000000

struct object {
	_Atomic heap_object object;
	_Atomic uint32_t size;
};

struct bench {
	struct trace trace;
	unsigned threads;
	uint32_t divisor;       /* of the lengths of the loops on few objects */
	struct object *objects; /* trace.count, a run for each thread */
	uint64_t resident_before;
	pthread_barrier_t barrier;
};

struct worker {
	struct bench *bench;
	pthread_t thread;
	struct rng rng;
	struct object *objects; /* its own, count of them */
	uint32_t *order;        /* the same, to pick them in random order */
	const uint32_t *sizes;
	uint32_t count;
	uint64_t sum;        /* of what was read, so that it is read */
	uint64_t operations; /* of the phase */
	uint64_t thread_ns;
	heap_object small[SMALL_LIVE];
};

struct phase {
	const char *name;
	void (*run)(struct worker *worker);
	bool shows_resident;
	bool needs_threads; /* makes no sense with one */
};

static struct worker workers[MAX_THREADS];
static unsigned char source[MAX_SIZE];

static void stop(const char *what)
{
	fprintf(stderr, "trace: %s: %s\n", what, strerror(errno));
	exit(2);
}

static heap_object make_object(uint32_t size)
{
	heap_object object = heap_alloc(size);

	if (!object)
		stop("no memory");
	memcpy(heap_open_to_write(object), source, size);
	heap_close(object);
	return object;
}

static void set_object(struct object *place, heap_object object, uint32_t size)
{
	atomic_store_explicit(&place->object, object, memory_order_relaxed);
	atomic_store_explicit(&place->size, size, memory_order_relaxed);
}

static heap_object object_at(struct object *place)
{
	return atomic_load_explicit(&place->object, memory_order_relaxed);
}

static void run_fill(struct worker *worker)
{
	for (uint32_t i = 0; i < worker->count; i++)
		set_object(&worker->objects[i], make_object(worker->sizes[i]), worker->sizes[i]);
	worker->operations = worker->count;
}

static void run_churn(struct worker *worker)
{
	uint64_t steps = (uint64_t)worker->count * CHURN_PER_OBJECT;

	for (uint64_t i = 0; i < steps; i++) {
		struct object *place = &worker->objects[rng_below(&worker->rng, worker->count)];
		uint32_t size = trace_draw(&worker->bench->trace, &worker->rng);

		heap_free(object_at(place));
		set_object(place, make_object(size), size);
	}
	worker->operations = steps;
}

/* Objects are replaced in everybody's places: half of what is freed is another's. */
static void run_churn_shared(struct worker *worker)
{
	struct bench *bench = worker->bench;
	uint64_t steps = (uint64_t)worker->count * CHURN_PER_OBJECT;

	for (uint64_t i = 0; i < steps; i++) {
		uint32_t at = rng_below(&worker->rng, bench->trace.count);
		uint32_t size = trace_draw(&bench->trace, &worker->rng);
		heap_object made = make_object(size);

		heap_free(atomic_exchange(&bench->objects[at].object, made));
		atomic_store_explicit(&bench->objects[at].size, size, memory_order_relaxed);
	}
	worker->operations = steps;
}

static uint64_t first_word(heap_object object)
{
	const void *memory = heap_open_to_read(object);
	uint64_t word;

	memcpy(&word, memory, sizeof(word));
	heap_close(object);
	return word;
}

static void run_read_random(struct worker *worker)
{
	uint64_t steps = (uint64_t)worker->count * READS_PER_OBJECT;

	for (uint64_t i = 0; i < steps; i++) {
		uint32_t at = rng_below(&worker->rng, worker->count);

		worker->sum += first_word(object_at(&worker->objects[at]));
	}
	worker->operations = steps;
}

static void run_map_hot(struct worker *worker)
{
	uint64_t steps = HOT_MAPS / worker->bench->divisor;

	for (uint64_t i = 0; i < steps; i++)
		worker->sum += first_word(object_at(&worker->objects[0]));
	worker->operations = steps;
}

static void run_free75(struct worker *worker)
{
	uint32_t freed = worker->count / 4 * 3;

	for (uint32_t i = 0; i < freed; i++) {
		struct object *place = &worker->objects[worker->order[i]];

		heap_free(object_at(place));
		set_object(place, 0, 0);
	}
	worker->operations = freed;
}

static void run_free_rest(struct worker *worker)
{
	uint32_t first = worker->count / 4 * 3;

	for (uint32_t i = first; i < worker->count; i++) {
		struct object *place = &worker->objects[worker->order[i]];

		heap_free(object_at(place));
		set_object(place, 0, 0);
	}
	worker->operations = worker->count - first;
}

static heap_object small_object(uint32_t size)
{
	heap_object object = heap_alloc(size);

	if (!object)
		stop("no memory");
	return object;
}

static void pairs(struct worker *worker, uint32_t min, uint32_t max)
{
	uint64_t steps = PAIRS / worker->bench->divisor;

	for (size_t i = 0; i < SMALL_LIVE; i++)
		worker->small[i] = small_object(rng_between(&worker->rng, min, max));
	for (uint64_t i = 0; i < steps; i++) {
		heap_object *place = &worker->small[i % SMALL_LIVE];

		heap_free(*place);
		*place = small_object(rng_between(&worker->rng, min, max));
	}
	for (size_t i = 0; i < SMALL_LIVE; i++)
		heap_free(worker->small[i]);
	worker->operations = steps;
}

static void run_pair_one_size(struct worker *worker)
{
	pairs(worker, PAIR_SIZE, PAIR_SIZE);
}

static void run_pair_many_sizes(struct worker *worker)
{
	pairs(worker, PAIR_SIZE / 8, PAIR_SIZE * 8);
}

/* The pairs run with the pool full and again with it nearly empty. */
static const struct phase phases[] = {
	{ "fill", run_fill, true, false },
	{ "churn", run_churn, true, false },
	{ "churn-shared", run_churn_shared, true, true },
	{ "read-random", run_read_random, false, false },
	{ "map-hot", run_map_hot, false, false },
	{ "pair-full", run_pair_one_size, false, false },
	{ "free75", run_free75, true, false },
	{ "free-rest", run_free_rest, false, false },
	{ "pair-empty", run_pair_one_size, false, false },
	{ "pair-sizes-empty", run_pair_many_sizes, false, false },
};

#define PHASES (sizeof(phases) / sizeof(phases[0]))

static uint64_t live_bytes(struct bench *bench)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < bench->trace.count; i++)
		sum += atomic_load_explicit(&bench->objects[i].size, memory_order_relaxed);
	return sum;
}

static void print_phase(struct bench *bench, const struct phase *phase, uint64_t wall_ns)
{
	uint64_t thread_ns = 0;
	double operations = 0;
	double resident = 0;

	for (unsigned i = 0; i < bench->threads; i++) {
		operations += (double)workers[i].operations;
		thread_ns += workers[i].thread_ns;
	}
	if (phase->shows_resident)
		resident = (double)(resident_anonymous_bytes() - bench->resident_before) /
			   (double)live_bytes(bench);
	printf("%s\t%u\t%.0f\t%.2f\t%.2f\t%.4f\n", phase->name, bench->threads, operations,
	       (double)wall_ns * bench->threads / operations, (double)thread_ns / operations,
	       resident);
	fflush(stdout);
}

static void run_phase(struct worker *worker, const struct phase *phase)
{
	struct bench *bench = worker->bench;
	uint64_t wall_from;
	uint64_t from;

	if (phase->needs_threads && bench->threads < 2)
		return;
	pthread_barrier_wait(&bench->barrier);
	wall_from = clock_wall_ns();
	from = clock_thread_ns();
	phase->run(worker);
	worker->thread_ns = clock_thread_ns() - from;
	pthread_barrier_wait(&bench->barrier);
	if (worker == workers)
		print_phase(bench, phase, clock_wall_ns() - wall_from);
	pthread_barrier_wait(&bench->barrier);
}

static void *run_worker(void *data)
{
	struct worker *worker = data;

	for (size_t i = 0; i < PHASES; i++)
		run_phase(worker, &phases[i]);
	return NULL;
}

static void prepare_worker(struct bench *bench, unsigned index, uint64_t seed)
{
	struct worker *worker = &workers[index];
	uint32_t first = (uint32_t)((uint64_t)bench->trace.count * index / bench->threads);
	uint32_t end = (uint32_t)((uint64_t)bench->trace.count * (index + 1) / bench->threads);

	worker->bench = bench;
	worker->rng = rng_seeded(seed + index + 1);
	worker->objects = bench->objects + first;
	worker->sizes = bench->trace.sizes + first;
	worker->count = end - first;
	worker->order = malloc(worker->count * sizeof(*worker->order));
	if (!worker->order)
		stop("no memory");
	for (uint32_t i = 0; i < worker->count; i++)
		worker->order[i] = i;
	rng_shuffle_u32(&worker->rng, worker->order, worker->count);
}

static void prepare(struct bench *bench, uint32_t keep_one_in, uint64_t seed)
{
	struct rng rng = rng_seeded(seed);

	if (trace_load(&bench->trace, NULL))
		stop("the trace");
	trace_shuffle(&bench->trace, &rng);
	trace_truncate(&bench->trace, bench->trace.count / keep_one_in);
	bench->objects = malloc(bench->trace.count * sizeof(*bench->objects));
	if (!bench->objects)
		stop("no memory");
	for (uint32_t i = 0; i < bench->trace.count; i++)
		set_object(&bench->objects[i], 0, 0);
	for (size_t i = 0; i < sizeof(source); i++)
		source[i] = (unsigned char)rng_next(&rng);
	for (unsigned i = 0; i < bench->threads; i++)
		prepare_worker(bench, i, seed);
	if (pthread_barrier_init(&bench->barrier, NULL, bench->threads))
		stop("pthread_barrier_init");
}

static void run(struct bench *bench)
{
	bench->resident_before = resident_anonymous_bytes();
	for (unsigned i = 1; i < bench->threads; i++) {
		if (pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]))
			stop("pthread_create");
	}
	run_worker(&workers[0]);
	for (unsigned i = 1; i < bench->threads; i++)
		pthread_join(workers[i].thread, NULL);
}

static void release(struct bench *bench)
{
	pthread_barrier_destroy(&bench->barrier);
	for (unsigned i = 0; i < bench->threads; i++)
		free(workers[i].order);
	free(bench->objects);
	trace_release(&bench->trace);
}

static void usage(void)
{
	fputs("usage: trace [--threads NUMBER] [--one-in NUMBER] [--seed NUMBER] [--manual]\n"
	      "  --one-in  keep only one of so many objects\n"
	      "  --manual  no automatic compaction\n",
	      stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	static struct bench bench = { .threads = 1, .divisor = 1 };
	bool manual = false;
	uint64_t seed = 1;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--manual"))
			manual = true;
		else if (!strcmp(argv[i], "--threads") && i + 1 < argc)
			bench.threads = (unsigned)strtoul(argv[++i], NULL, 0);
		else if (!strcmp(argv[i], "--one-in") && i + 1 < argc)
			bench.divisor = (uint32_t)strtoul(argv[++i], NULL, 0);
		else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
			seed = strtoull(argv[++i], NULL, 0);
		else
			usage();
	}
	if (bench.threads < 1 || bench.threads > MAX_THREADS || bench.divisor < 1)
		usage();
	prepare(&bench, bench.divisor, seed);
	if (!heap_create(manual))
		stop("no pool");
	run(&bench);
	heap_destroy();
	release(&bench);
	return 0;
}
