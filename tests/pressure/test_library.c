/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Pool and store with less memory than they are asked to hold: by their own limit, by
 * RLIMIT_AS and RLIMIT_DATA, in a cgroup. Eight threads fill them to the brim and go on freeing
 * and filling; whatever is refused is refused with the errno for it, everything else is as it
 * was written, and the limit is never exceeded, as the library counts and as the kernel does.
 *
 * Usage: pressure_library [--seed N] [--seconds N] [machine]. "machine": nothing but the
 * machine's own memory presses, which refuses only where vm.overcommit_memory is 2: for
 * tests/pressure/guest.sh.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "box.h"
#include "filler.h"
#include "long_run.h"
#include "resident.h"
#include "rng.h"

#define MIB(n)          ((uint64_t)(n) << 20)
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

enum { THREADS = 8, STACK = 256 << 10, REFUSALS = 500 };

/*
 * What a process may hold beside what is counted: its threads' stacks, of which a write touches
 * some pages, and malloc()'s share for each.
 */
#define UNCOUNTED (THREADS * ((uint64_t)64 << 10))

enum pressure { OWN_LIMIT, ADDRESSES, DATA, CGROUP, MACHINE };

struct situation {
	const char *name;
	uint64_t bytes; /* of what presses */
	uint64_t limit; /* of the pool or store; 0: none */
	enum pressure pressure;
	int refusal; /* what is refused is refused with this; 0: the kernel kills */
};

/* The smallest numbers with which all of it is seen. */
static const struct situation situations[] = {
	{ "its limit", 0, MIB(24), OWN_LIMIT, ENOSPC },
	{ "RLIMIT_AS", MIB(96), 0, ADDRESSES, ENOMEM },
	{ "RLIMIT_DATA", MIB(32), 0, DATA, ENOMEM },
	{ "a cgroup, and a limit below it", MIB(32), MIB(24), CGROUP, ENOSPC },
	{ "a cgroup, and no limit", MIB(32), 0, CGROUP, 0 },
};

/* Filling it takes more than that. */
static const struct situation machine = { "the machine", 0, 0, MACHINE, ENOMEM };

/* --- one crowd --------------------------------------------------------------- */

struct crowd {
	const struct filler_kind *kind;
	const struct situation *situation;
	struct filler *filler;
	uint64_t places; /* of each thread */
	uint64_t *keys;  /* of all places; 0: empty */
	uint64_t seed;
	uint64_t resident; /* of the process, without what is counted */
	pthread_barrier_t all_there;
	atomic_bool over;
	atomic_ulong put, refused, looks, wrong;
	/* The watcher's. */
	uint64_t samples, most, most_resident;
};

struct member {
	pthread_t thread;
	struct crowd *crowd;
	uint64_t number;
};

static void count_wrong(struct crowd *crowd, const char *what, uint64_t place, int error)
{
	if (atomic_fetch_add(&crowd->wrong, 1) < 5)
		printf("%s, place %" PRIu64 ": %s\n", what, place, error ? strerror(error) : "");
}

static void look(struct crowd *crowd, uint64_t place)
{
	atomic_fetch_add(&crowd->looks, 1);
	if (!crowd->kind->holds(crowd->filler, place, crowd->keys[place]))
		count_wrong(crowd, "is not what was written", place, 0);
}

/* Returns whether there was room. What is refused leaves the place as it was. */
static bool put(struct crowd *crowd, uint64_t place, uint64_t key)
{
	int error = crowd->kind->put(crowd->filler, place, key);

	if (!error) {
		crowd->keys[place] = key;
		atomic_fetch_add(&crowd->put, 1);
		return true;
	}
	if (error != crowd->situation->refusal)
		count_wrong(crowd, "refused for another reason", place, error);
	atomic_fetch_add(&crowd->refused, 1);
	look(crowd, place);
	return false;
}

static void drop(struct crowd *crowd, uint64_t place)
{
	crowd->kind->drop(crowd->filler, place);
	crowd->keys[place] = 0;
}

/* Mostly it fills, until there is no room; then it makes a little now and then. */
static void *fill(void *data)
{
	struct member *member = data;
	struct crowd *crowd = member->crowd;
	struct rng rng = rng_seeded(crowd->seed * THREADS + member->number);
	uint64_t refused = 0;

	/* Who begins before may leave nothing for another's stack. */
	pthread_barrier_wait(&crowd->all_there);
	for (uint64_t tries = 0; refused < REFUSALS && tries < 200 * crowd->places; tries++) {
		uint64_t place = member->number +
				 THREADS * (uint64_t)rng_below(&rng, (uint32_t)crowd->places);
		bool empty = !crowd->keys[place];

		if (!empty)
			look(crowd, place);
		if (empty || (crowd->kind->may_replace && rng_below(&rng, 2)))
			refused += !put(crowd, place, rng_next(&rng) | 1 << 2);
		else if (refused && rng_below(&rng, 4) == 0)
			drop(crowd, place);
	}
	return NULL;
}

static void *watch(void *data)
{
	struct crowd *crowd = data;

	while (!atomic_load(&crowd->over)) {
		uint64_t now = crowd->kind->counted(crowd->filler);

		if (now > crowd->most)
			crowd->most = now;
		if (crowd->samples++ % 64 != 0)
			continue;
		now = resident_anonymous_bytes();
		if (now > crowd->resident && now - crowd->resident > crowd->most_resident)
			crowd->most_resident = now - crowd->resident;
	}
	if (crowd->kind->most(crowd->filler) > crowd->most)
		crowd->most = crowd->kind->most(crowd->filler);
	return NULL;
}

static pthread_t start(void *(*body)(void *), void *data)
{
	pthread_attr_t small;
	pthread_t thread;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, STACK);
	if (pthread_create(&thread, &small, body, data) != 0)
		abort();
	pthread_attr_destroy(&small);
	return thread;
}

static void let_in(struct crowd *crowd)
{
	struct member members[THREADS];
	pthread_t watcher = start(watch, crowd);

	pthread_barrier_init(&crowd->all_there, NULL, THREADS);
	for (uint64_t i = 0; i < THREADS; i++) {
		members[i] = (struct member){ .crowd = crowd, .number = i };
		members[i].thread = start(fill, &members[i]);
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(members[i].thread, NULL);
	pthread_barrier_destroy(&crowd->all_there);
	atomic_store(&crowd->over, true);
	pthread_join(watcher, NULL);
}

/* --- what is left of it ------------------------------------------------------ */

static void look_at_all(struct crowd *crowd)
{
	for (uint64_t place = 0; place < crowd->places * THREADS; place++)
		look(crowd, place);
	if (!crowd->kind->is_sound(crowd->filler))
		count_wrong(crowd, "the figures do not add up", 0, 0);
}

/* What was emptied has room for something again. Returns how many places. */
static uint64_t go_on(struct crowd *crowd)
{
	uint64_t again = 0;

	for (uint64_t place = 0; place < crowd->places * THREADS; place += 2)
		if (crowd->keys[place])
			drop(crowd, place);
	look_at_all(crowd);
	for (uint64_t place = 0; place < crowd->places * THREADS; place += 4)
		again += put(crowd, place, place * 8 + 4);
	return again;
}

static void expect(bool holds, const char *what, bool *fine)
{
	if (!holds)
		printf("NOT: %s\n", what);
	*fine = *fine && holds;
}

static bool judge(struct crowd *crowd, uint64_t again)
{
	uint64_t limit = crowd->situation->limit;
	uint64_t above = crowd->most_resident > limit ? crowd->most_resident - limit : 0;
	bool fine = true;

	printf("    %lu put, %lu refused, %lu looks, %lu wrong, %" PRIu64 " put again\n",
	       crowd->put, crowd->refused, crowd->looks, crowd->wrong, again);
	printf("    %" PRIu64 " samples: %" PRIu64 " bytes counted at most", crowd->samples,
	       crowd->most);
	if (limit)
		printf(", %" PRIu64 " above the limit; resident %" PRIu64 " above it",
		       crowd->most > limit ? crowd->most - limit : 0, above);
	puts("");
	expect(!crowd->wrong, "nothing is wrong", &fine);
	expect(crowd->put > 1000, "much is put", &fine);
	expect(crowd->refused >= THREADS * REFUSALS, "much is refused", &fine);
	expect(again > 100, "there is room again", &fine);
	expect(crowd->samples > 20, "somebody watched", &fine);
	expect(!limit || crowd->most <= limit, "the limit is never exceeded", &fine);
	expect(!limit || crowd->most > limit * 9 / 10, "the limit is reached", &fine);
	expect(!limit || above <= UNCOUNTED, "the kernel sees little more", &fine);
	return fine;
}

/* --- one case, in a process of its own ---------------------------------------- */

static uint64_t mapped_bytes(void)
{
	unsigned long pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (file && fscanf(file, "%lu", &pages) != 1)
		pages = 0;
	if (file)
		fclose(file);
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static bool press(const struct situation *situation, const struct box *box)
{
	struct rlimit limit = { situation->bytes, situation->bytes };

	switch (situation->pressure) {
	case ADDRESSES:
		limit.rlim_cur += mapped_bytes();
		limit.rlim_max = limit.rlim_cur;
		return setrlimit(RLIMIT_AS, &limit) == 0;
	case DATA:
		limit.rlim_cur += (uint64_t)THREADS * STACK;
		limit.rlim_max = limit.rlim_cur;
		return setrlimit(RLIMIT_DATA, &limit) == 0;
	case CGROUP:
		return box_enter(box) == 0;
	default:
		return true;
	}
}

static void *fresh(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

static bool run_crowd(struct crowd *crowd, const struct box *box)
{
	uint64_t places = crowd->places * THREADS;

	crowd->keys = fresh(places * sizeof(*crowd->keys));
	if (!crowd->keys || !press(crowd->situation, box))
		return false;
	crowd->filler = crowd->kind->make(places, crowd->situation->limit);
	if (!crowd->filler) {
		perror(crowd->kind->name);
		return false;
	}
	crowd->resident = resident_anonymous_bytes() - crowd->kind->counted(crowd->filler);
	let_in(crowd);
	look_at_all(crowd);

	bool fine = judge(crowd, go_on(crowd));

	look_at_all(crowd);
	crowd->kind->destroy(crowd->filler);
	return fine && !crowd->wrong;
}

/* Returns how the process ended. */
static int run_child(const struct filler_kind *kind, const struct situation *situation,
		     uint64_t seed, const struct box *box)
{
	struct crowd crowd = { .kind = kind, .situation = situation, .seed = seed };
	int status = -1;
	pid_t pid;

	/* A machine may hold much: more places cost more of it. */
	crowd.places = situation->pressure == MACHINE ? 1 << 15 : 1 << 13;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		bool fine = run_crowd(&crowd, box);

		fflush(stdout);
		_exit(fine ? 0 : 1);
	}
	if (pid > 0)
		waitpid(pid, &status, 0);
	return status;
}

/* --- all ---------------------------------------------------------------------- */

static struct {
	unsigned passed, failed, skipped;
} tally;

/* Where nothing refuses, the kernel kills: that is what shows that the cgroup presses. */
static bool is_right(const struct situation *situation, const struct box *box, int status)
{
	if (situation->refusal)
		return status == 0 && (!box || box_kills(box) == 0);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && box_kills(box) > 0;
}

static void run_case(const struct filler_kind *kind, const struct situation *situation,
		     uint64_t seed)
{
	bool needs_box = situation->pressure == CGROUP;
	struct box box = { .path = "" };
	const char *reason = needs_box ? box_make(&box, situation->bytes) : NULL;

	printf("%s: %s\n", kind->name, situation->name);
	if (reason) {
		printf("    SKIPPED: %s\n", reason);
		tally.skipped++;
		return;
	}

	int status = run_child(kind, situation, seed, needs_box ? &box : NULL);
	bool right = is_right(situation, needs_box ? &box : NULL, status);

	if (needs_box)
		printf("    of %" PRIu64 " bytes the cgroup had %" PRIu64 " at most, %" PRIu64
		       " killed\n",
		       situation->bytes, box_peak(&box), box_kills(&box));
	if (!right)
		printf("    FAILED: ended with status %#x\n", (unsigned)status);
	right ? tally.passed++ : tally.failed++;
	if (!box_remove(&box))
		printf("    the cgroup cannot be removed\n");
}

int main(int argc, char **argv)
{
	static const struct filler_kind *const kinds[] = { &pool_filler, &store_filler };
	struct long_run run;

	if (!long_run_read(&run, argc, argv) || (run.only && strcmp(run.only, "machine") != 0)) {
		fprintf(stderr, "usage: %s [--seed N] [--seconds N] [machine]\n", argv[0]);
		return 2;
	}
	while (long_run_next(&run) && !tally.failed)
		for (size_t k = 0; k < COUNT_OF(kinds); k++) {
			if (run.only)
				run_case(kinds[k], &machine, run.seed);
			for (size_t i = 0; i < COUNT_OF(situations) && !run.only; i++)
				run_case(kinds[k], &situations[i], run.seed);
		}
	printf("%u passed, %u failed, %u skipped\n", tally.passed, tally.failed, tally.skipped);
	return tally.failed || !tally.passed;
}
