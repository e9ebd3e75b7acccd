/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Runs a trace of object sizes on one allocator, phase by phase: compiled twice, see
 * heap.h. All threads go through the phases together; each has its own share of the
 * objects, and all together do the same work as one would. Lines are measure, unit, value:
 *   PHASE           nanoseconds of the program for each operation of all threads
 *   PHASE-faults    page faults for each operation
 *   PHASE-resident  bytes resident at the end for each byte alive
 * the latter two for the phases that change what is resident.
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
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"
#include "heap.h"
#include "resident.h"
#include "rng.h"
#include "trace.h"

#define MAX_THREADS      64
#define MAX_SIZE         4096
#define CHURN_PER_OBJECT 4
#define READS_PER_OBJECT 4
#define SMALL_LIVE       64 /* objects of a thread in the pair phases */
#define PAIR_SIZE        256
#define PAIRS            4000000 /* of all threads */
#define HOT_MAPS         10000000

struct object {
	_Atomic heap_object object;
	_Atomic uint32_t size;
};

struct bench {
	struct trace trace;
	unsigned threads;
	uint32_t divisor; /* of the trace and of the loops on few objects */
	uint32_t copies;  /* of the trace */
	uint32_t churn;   /* replacements for each object */
	const char *path; /* of the trace, NULL: the project's */
	uint64_t seed;
	bool processor_time;    /* instead of the time that passes */
	bool company;           /* a further thread sleeps all the time */
	const char *phases;     /* the ones wanted, NULL: those that are not on request */
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
	bool shows_memory;
	bool on_request;
};

/* What was so when a phase began. */
struct start {
	uint64_t wall_ns;
	long faults;
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
	uint64_t steps = (uint64_t)worker->count * worker->bench->churn;

	for (uint64_t i = 0; i < steps; i++) {
		struct object *place = &worker->objects[rng_below(&worker->rng, worker->count)];
		uint32_t size = trace_draw(&worker->bench->trace, &worker->rng);

		heap_free(object_at(place));
		set_object(place, make_object(size), size);
	}
	worker->operations = steps;
}

/* Objects are replaced in everybody's places: of two threads' frees half are of the other's. */
static void run_churn_shared(struct worker *worker)
{
	struct bench *bench = worker->bench;
	uint64_t steps = (uint64_t)worker->count * bench->churn;

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

/* A thread's share of a loop whose length does not follow from the trace. */
static uint64_t share(const struct bench *bench, uint64_t steps)
{
	return steps / bench->divisor / bench->threads;
}

static void run_map_hot(struct worker *worker)
{
	uint64_t steps = share(worker->bench, HOT_MAPS);

	for (uint64_t i = 0; i < steps; i++)
		worker->sum += first_word(object_at(&worker->objects[0]));
	worker->operations = steps;
}

/* What map-hot is compared with: the same loop on what was mapped before. */
static void run_plain_hot(struct worker *worker)
{
	heap_object object = object_at(&worker->objects[0]);
	const void *memory = heap_open_to_read(object);
	const void *volatile place = memory;
	uint64_t steps = share(worker->bench, HOT_MAPS);

	for (uint64_t i = 0; i < steps; i++) {
		uint64_t word;

		memcpy(&word, place, sizeof(word));
		worker->sum += word;
	}
	heap_close(object);
	worker->operations = steps;
}

static void run_compact(struct worker *worker)
{
	worker->operations = worker == workers;
	if (worker == workers)
		heap_compact();
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
	uint64_t steps = share(worker->bench, PAIRS);

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
	{ "churn-compacted", run_compact, true, true },
	{ "churn-shared", run_churn_shared, true, false },
	{ "read-random", run_read_random, false, false },
	{ "plain-hot", run_plain_hot, false, false },
	{ "map-hot", run_map_hot, false, false },
	{ "pair-full", run_pair_one_size, false, false },
	{ "free75", run_free75, true, false },
	{ "free75-compacted", run_compact, true, true },
	{ "free-rest", run_free_rest, false, false },
	{ "pair-empty", run_pair_one_size, false, false },
	{ "pair-sizes-empty", run_pair_many_sizes, false, false },
};

#define PHASES (sizeof(phases) / sizeof(phases[0]))

/* Whether name is among the names in list, which have commas between them. */
static bool is_listed(const char *list, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = list; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (!strncmp(at, name, length) && (at[length] == ',' || !at[length]))
			return true;
	}
	return false;
}

static bool is_wanted(const struct bench *bench, const struct phase *phase)
{
	return bench->phases ? is_listed(bench->phases, phase->name) : !phase->on_request;
}

static long fault_count(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_SELF, &usage) ? 0 : usage.ru_minflt;
}

static uint64_t live_bytes(struct bench *bench)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < bench->trace.count; i++)
		sum += atomic_load_explicit(&bench->objects[i].size, memory_order_relaxed);
	return sum;
}

static void print_memory(struct bench *bench, const struct phase *phase, double faults)
{
	double resident = (double)(resident_anonymous_bytes() - bench->resident_before);

	printf("%s-faults\tfaults/op\t%.5f\n", phase->name, faults);
	printf("%s-resident\tB/B\t%.4f\n", phase->name, resident / (double)live_bytes(bench));
}

static void print_phase(struct bench *bench, const struct phase *phase, const struct start *start)
{
	uint64_t wall_ns = clock_wall_ns() - start->wall_ns;
	long faults = fault_count() - start->faults;
	uint64_t processor_ns = 0;
	double operations = 0;

	for (unsigned i = 0; i < bench->threads; i++) {
		operations += (double)workers[i].operations;
		processor_ns += workers[i].thread_ns;
	}
	printf("%s\tns\t%.3f\n", phase->name,
	       (double)(bench->processor_time ? processor_ns : wall_ns) / operations);
	if (phase->shows_memory)
		print_memory(bench, phase, (double)faults / operations);
	fflush(stdout);
}

static void run_phase(struct worker *worker, const struct phase *phase)
{
	struct bench *bench = worker->bench;
	struct start start;
	uint64_t from;

	start.faults = fault_count();
	pthread_barrier_wait(&bench->barrier);
	start.wall_ns = clock_wall_ns();
	from = clock_thread_ns();
	phase->run(worker);
	worker->thread_ns = clock_thread_ns() - from;
	pthread_barrier_wait(&bench->barrier);
	if (worker == workers)
		print_phase(bench, phase, &start);
	pthread_barrier_wait(&bench->barrier);
}

static void *run_worker(void *data)
{
	struct worker *worker = data;

	for (size_t i = 0; i < PHASES; i++) {
		if (is_wanted(worker->bench, &phases[i]))
			run_phase(worker, &phases[i]);
	}
	return NULL;
}

static void prepare_worker(struct bench *bench, unsigned index)
{
	struct worker *worker = &workers[index];
	uint32_t first = (uint32_t)((uint64_t)bench->trace.count * index / bench->threads);
	uint32_t end = (uint32_t)((uint64_t)bench->trace.count * (index + 1) / bench->threads);

	worker->bench = bench;
	worker->rng = rng_seeded(bench->seed + index + 1);
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

/* The trace, as long as it shall be, in random order. */
static void prepare_trace(struct bench *bench, struct rng *rng)
{
	struct trace *trace = &bench->trace;
	uint32_t count;

	if (trace_load(trace, bench->path))
		stop("the trace");
	trace_shuffle(trace, rng);
	trace_truncate(trace, trace->count / bench->divisor);
	count = trace->count;
	trace->count *= bench->copies;
	trace->bytes *= bench->copies;
	trace->sizes = realloc(trace->sizes, trace->count * sizeof(*trace->sizes));
	if (!trace->sizes)
		stop("no memory");
	for (uint32_t i = count; i < trace->count; i++)
		trace->sizes[i] = trace->sizes[i - count];
	trace_shuffle(trace, rng);
}

static void prepare(struct bench *bench)
{
	struct rng rng = rng_seeded(bench->seed);

	prepare_trace(bench, &rng);
	bench->objects = malloc(bench->trace.count * sizeof(*bench->objects));
	if (!bench->objects)
		stop("no memory");
	for (uint32_t i = 0; i < bench->trace.count; i++)
		set_object(&bench->objects[i], 0, 0);
	for (size_t i = 0; i < sizeof(source); i++)
		source[i] = (unsigned char)rng_next(&rng);
	for (unsigned i = 0; i < bench->threads; i++)
		prepare_worker(bench, i);
	if (pthread_barrier_init(&bench->barrier, NULL, bench->threads))
		stop("pthread_barrier_init");
}

/* Takes no time, but the program is not of one thread then: allocators lock. */
static void *sleep_on(void *data)
{
	for (;;)
		pause();
	return data;
}

static void run(struct bench *bench)
{
	pthread_t company;

	if (bench->company && pthread_create(&company, NULL, sleep_on, NULL))
		stop("pthread_create");
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
	fputs("usage: trace [OPTION VALUE]... [--manual] [--company]\n"
	      "             [--processor-time]\n"
	      "  --data FILE      a trace other than the project's\n"
	      "  --one-in NUMBER  keep only one of so many objects\n"
	      "  --copies NUMBER  so many times the trace\n"
	      "  --churn NUMBER   replace each object so many times\n"
	      "  --phases LIST    run these only, with commas between them\n"
	      "  --threads NUMBER, --seed NUMBER\n"
	      "  --manual         no automatic compaction\n"
	      "  --company        a further thread sleeps all the time\n",
	      stderr);
	exit(2);
}

static uint32_t number(const char *text)
{
	unsigned long value = strtoul(text, NULL, 0);

	if (value < 1 || value > UINT32_MAX)
		usage();
	return (uint32_t)value;
}

/* The arguments that have a value. */
static void read_option(struct bench *bench, const char *name, const char *value)
{
	if (!strcmp(name, "--threads"))
		bench->threads = number(value);
	else if (!strcmp(name, "--one-in"))
		bench->divisor = number(value);
	else if (!strcmp(name, "--copies"))
		bench->copies = number(value);
	else if (!strcmp(name, "--churn"))
		bench->churn = number(value);
	else if (!strcmp(name, "--phases"))
		bench->phases = value;
	else if (!strcmp(name, "--data"))
		bench->path = value;
	else if (!strcmp(name, "--seed"))
		bench->seed = number(value);
	else
		usage();
}

int main(int argc, char **argv)
{
	static struct bench bench = {
		.threads = 1, .divisor = 1, .copies = 1, .churn = CHURN_PER_OBJECT, .seed = 1
	};
	bool manual = false;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--manual"))
			manual = true;
		else if (!strcmp(argv[i], "--processor-time"))
			bench.processor_time = true;
		else if (!strcmp(argv[i], "--company"))
			bench.company = true;
		else if (i + 1 < argc) {
			read_option(&bench, argv[i], argv[i + 1]);
			i++;
		} else
			usage();
	}
	if (bench.threads > MAX_THREADS)
		usage();
	prepare(&bench);
	if (!heap_create(manual, 0))
		stop("no pool");
	run(&bench);
	heap_destroy();
	release(&bench);
	return 0;
}
