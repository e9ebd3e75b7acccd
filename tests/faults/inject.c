/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* Which request is refused, what is alive, and the loop that goes through all of them. */
#include "inject.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "testing.h"

static const char *const source_names[] = {
	[PORT] = "port",         [PAGE] = "page",         [METADATA] = "metadata",
	[RANGE] = "range",       [LIMIT] = "limit",       [BUDGET] = "budget",
	[MALLOC] = "malloc",     [CALLOC] = "calloc",     [REALLOC] = "realloc",
	[TEXT] = "text",         [MMAP] = "mmap",         [ALIGNED_ALLOC] = "aligned_alloc",
	[MPROTECT] = "mprotect", [MADVISE] = "madvise",   [CONTEXT] = "codec made",
	[SETTING] = "codec set", [COMPRESS] = "compress", [DECOMPRESS] = "decompress",
	[THREAD] = "thread",     [PIPE] = "pipe",         [SOCKET] = "socket",
	[BIND] = "bind",         [LISTEN] = "listen",     [CONNECT] = "connect",
	[ACCEPT] = "accept",     [RECEIVE] = "recv",      [SEND] = "send",
	[POLL] = "poll",         [OPEN] = "open",         [STATUS] = "stat",
	[READ] = "read",         [SEEK] = "seek",         [WALK] = "directory",
	[UNLINK] = "unlink",     [LOCK] = "lock",         [ANY] = "any, from then on",
};

_Static_assert(COUNT_OF(source_names) == NR_SOURCES + 1, "every source has a name");

unsigned scale = 1;

/* --- which request is refused --- */

/* Shared with children, whose refusals count. */
static struct plan {
	atomic_bool armed;
	enum source source;
	bool for_good;
	unsigned long at; /* the request that is refused, from 1 */
	atomic_ulong calls[NR_SOURCES + 1];
	atomic_ulong refusals, refused[NR_SOURCES];
} * plan;

static _Thread_local unsigned own;

static struct {
	unsigned long scenarios, runs, faults, refusals;
	unsigned long by_source[NR_SOURCES + 1];
} total;

void own_begin(void)
{
	own++;
}

void own_end(void)
{
	own--;
}

bool refused(enum source source)
{
	unsigned long call, any;

	if (own || !plan || !atomic_load(&plan->armed))
		return false;
	any = atomic_fetch_add(&plan->calls[ANY], 1) + 1;
	call = atomic_fetch_add(&plan->calls[source], 1) + 1;
	if (plan->source != ANY && plan->source != source)
		return false;
	if (plan->source == ANY)
		call = any;
	if (call < plan->at || (call > plan->at && !plan->for_good))
		return false;
	atomic_fetch_add(&plan->refusals, 1);
	atomic_fetch_add(&plan->refused[source], 1);
	return true;
}

unsigned long refusals(void)
{
	return atomic_load(&plan->refusals);
}

unsigned long refusals_of(enum source source)
{
	return atomic_load(&plan->refused[source]);
}

static void arm(enum source source, unsigned long at, bool for_good)
{
	for (size_t i = 0; i < COUNT_OF(plan->calls); i++)
		atomic_store(&plan->calls[i], 0);
	for (size_t i = 0; i < NR_SOURCES; i++)
		atomic_store(&plan->refused[i], 0);
	atomic_store(&plan->refusals, 0);
	plan->source = source;
	plan->at = at;
	plan->for_good = for_good;
	atomic_store(&plan->armed, true);
}

void disarm(void)
{
	atomic_store(&plan->armed, false);
}

/* --- what is alive --- */

struct living living;

#define TABLE_SIZE 65536u

static struct {
	pthread_mutex_t lock;
	struct entry {
		const void *name; /* NULL: free; &gone: was one */
		enum thing thing;
	} at[TABLE_SIZE];
} made = { .lock = PTHREAD_MUTEX_INITIALIZER };

static const char gone;

static size_t *count_of(enum thing thing)
{
	switch (thing) {
	case ALLOCATION:
		return &living.allocations;
	case DESCRIPTOR:
		return &living.descriptors;
	case CODEC:
		break;
	}
	return &living.codecs;
}

static size_t place_of(enum thing thing, const void *name)
{
	return rng_mix((uintptr_t)name * 4 + thing) % TABLE_SIZE;
}

void note_made(enum thing thing, const void *name)
{
	size_t at = place_of(thing, name);

	pthread_mutex_lock(&made.lock);
	while (made.at[at].name && made.at[at].name != &gone)
		at = (at + 1) % TABLE_SIZE;
	made.at[at] = (struct entry){ name, thing };
	++*count_of(thing);
	pthread_mutex_unlock(&made.lock);
}

void note_unmade(enum thing thing, const void *name)
{
	size_t at = place_of(thing, name);

	pthread_mutex_lock(&made.lock);
	while (made.at[at].name && (made.at[at].name != name || made.at[at].thing != thing))
		at = (at + 1) % TABLE_SIZE;
	if (made.at[at].name) {
		made.at[at].name = made.at[(at + 1) % TABLE_SIZE].name ? &gone : NULL;
		--*count_of(thing);
	}
	pthread_mutex_unlock(&made.lock);
}

/* --- all faults of a scenario --- */

struct tally {
	unsigned long faults[NR_SOURCES + 1];
	unsigned long refusals;
	unsigned long runs;
};

static void assert_nothing_leaked(const struct scenario *scenario, const struct living *before)
{
	if (!memcmp(before, &living, sizeof(living)))
		return;
	print_error("%s, %s %lu%s: left over: %zd allocations, %zd bytes mapped, "
		    "%zd descriptors, %zd of codecs, %zd ports\n",
		    scenario->name, source_names[plan->source], plan->at,
		    plan->for_good ? " and on" : "",
		    (ssize_t)(living.allocations - before->allocations),
		    (ssize_t)(living.mapped - before->mapped),
		    (ssize_t)(living.descriptors - before->descriptors),
		    (ssize_t)(living.codecs - before->codecs),
		    (ssize_t)(living.ports - before->ports));
	fail();
}

static const char *running;
static pid_t tester;

/* So that a failed assertion can be placed. */
static void say_where(void)
{
	if (running && getpid() == tester)
		fprintf(stderr, "in %s, %s %lu%s\n", running, source_names[plan->source], plan->at,
			plan->for_good ? " and on" : "");
}

/* Returns whether a fault was met. */
static bool run_once(const struct scenario *scenario, enum source source, unsigned long at,
		     bool for_good)
{
	struct living before = living;

	running = scenario->name;
	scenario->begin(scenario->arg);
	arm(source, at, for_good);
	scenario->work();
	disarm();
	scenario->end();
	running = NULL;
	assert_nothing_leaked(scenario, &before);
	return refusals() != 0;
}

/* Builds that watch themselves take twenty times as long: there it is every eighth fault. */
#define STEP (UNDER_ASAN || UNDER_TSAN || ZS_DEBUG ? 8u : 1u)

static void run_all(const struct scenario *scenario, enum source source, bool for_good,
		    struct tally *tally)
{
	for (unsigned long at = 1; run_once(scenario, source, at, for_good); at += STEP) {
		tally->faults[source]++;
		tally->refusals += refusals();
		tally->runs++;
		assert_true(at < 1000000);
	}
	tally->runs++;
}

static void print_tally(const struct scenario *scenario, const struct tally *tally)
{
	unsigned long faults = 0;
	char text[512] = "";
	size_t length = 0;

	for (size_t i = 0; i <= NR_SOURCES; i++) {
		if (!tally->faults[i])
			continue;
		length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s %lu",
					   length ? ", " : "", source_names[i], tally->faults[i]);
		faults += tally->faults[i];
		total.by_source[i] += tally->faults[i];
	}
	print_message("%-44s %5lu faults: %s\n", scenario->name, faults, text);
	total.scenarios++;
	total.runs += tally->runs;
	total.faults += faults;
	total.refusals += tally->refusals;
	assert_true(faults > 0);
}

void run_scenario(const struct scenario *scenario)
{
	struct tally tally = { .runs = 1 };
	unsigned long calls[NR_SOURCES];

	/* Which sources it draws on: nothing is refused yet. */
	assert_false(run_once(scenario, ANY, ULONG_MAX, false));
	for (size_t i = 0; i < NR_SOURCES; i++)
		calls[i] = atomic_load(&plan->calls[i]);
	for (enum source source = 0; source < NR_SOURCES; source++) {
		if (!calls[source])
			continue;
		run_all(scenario, source, false, &tally);
		run_all(scenario, source, true, &tally);
	}
	run_all(scenario, ANY, true, &tally);
	print_tally(scenario, &tally);
}

void assert_asks_for_nothing(const struct scenario *scenario)
{
	assert_false(run_once(scenario, ANY, ULONG_MAX, false));
	assert_int_equal(atomic_load(&plan->calls[ANY]), 0);
}

void print_total(unsigned long at_least)
{
	for (size_t i = 0; i <= NR_SOURCES; i++) {
		if (total.by_source[i])
			print_message("%-20s %6lu faults\n", source_names[i], total.by_source[i]);
	}
	print_message("%lu scenarios, %lu runs, %lu faults (%lu requests refused)\n",
		      total.scenarios, total.runs, total.faults, total.refusals);
	assert_true(total.faults >= at_least / STEP);
}

void take_arguments(int argc, char **argv)
{
	if (argc > 1)
		scale = (unsigned)strtoul(argv[1], NULL, 10);
	if (!scale) {
		fprintf(stderr, "usage: %s [HOW MANY TIMES AS LARGE]\n", argv[0]);
		exit(2);
	}
	plan = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (plan == MAP_FAILED)
		abort();
	tester = getpid();
	atexit(say_where);
}
