/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * fork at any moment, while other threads allocate, free, map and compact: parent
 * and child both go on, each with the right contents.
 * Usage: test_fork [rounds [seed]]
 */
#include "testing.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BUSY_THREADS = 3, MINE = 400, LARGEST = 3000 };

static unsigned rounds = 50;
static uint64_t seed = 1;

/* ThreadSanitizer would end a child that starts after threads were. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "die_after_fork=0";
}

struct bustle {
	struct zs_pool *pool;
	uint64_t seed;
	atomic_bool *done;
	atomic_ulong *failures;
};

static void *allocate_and_free(void *data)
{
	struct bustle *bustle = data;
	struct rng rng = rng_seeded(bustle->seed);
	struct object own[100];
	size_t count = 0;

	while (!atomic_load(bustle->done)) {
		if (count < COUNT_OF(own) && rng_percent(&rng, count ? 50 : 100)) {
			if (object_make(bustle->pool, &own[count], rng_between(&rng, 1, LARGEST),
					bustle->seed + count))
				count++;
			continue;
		}
		size_t index = rng_below(&rng, (uint32_t)count);

		if (!object_intact(bustle->pool, &own[index]))
			atomic_fetch_add(bustle->failures, 1);
		object_free(bustle->pool, &own[index]);
		own[index] = own[--count];
	}
	while (count)
		object_free(bustle->pool, &own[--count]);
	return NULL;
}

static void *compact(void *data)
{
	struct bustle *bustle = data;
	const struct zs_compact_budget budget = { .bytes = 20000 };

	while (!atomic_load(bustle->done)) {
		zs_compact_some(bustle->pool, &budget, NULL);
		zs_compactable_bytes(bustle->pool);
	}
	return NULL;
}

/* What a child says. */
enum answer { WELL = 30, UNHEALTHY, CHANGED, NO_MEMORY, NOT_KEPT };

struct life {
	struct zs_pool *pool;
	struct objects *mine;
};

/* In a child: no cmocka assertions. Uses the pool in every way, and differs from the parent. */
static int live_on(void *arg)
{
	struct life *life = arg;
	struct rng rng = rng_seeded(99);
	size_t i;

	if (zs_check(life->pool, NULL, NULL))
		return UNHEALTHY;
	for (i = 0; i < life->mine->count; i++) {
		if (!object_intact(life->pool, &life->mine->at[i]))
			return CHANGED;
	}
	for (i = 0; i < life->mine->count; i += 2) {
		object_free(life->pool, &life->mine->at[i]);
		if (!object_make(life->pool, &life->mine->at[i], rng_between(&rng, 1, LARGEST),
				 UINT64_MAX / 2 + i))
			return NO_MEMORY;
	}
	zs_compact(life->pool);
	for (i = 0; i < life->mine->count; i++) {
		if (!object_intact(life->pool, &life->mine->at[i]))
			return NOT_KEPT;
	}
	return zs_check(life->pool, NULL, NULL) ? UNHEALTHY : WELL;
}

static void fork_once(struct life *life, struct rng *rng)
{
	const struct timespec moment = { .tv_nsec = (long)rng_below(rng, 3000000) };
	struct child child;
	size_t i;

	nanosleep(&moment, NULL); /* only to hit other moments */
	run_child(live_on, life, &child);
	if (child.signal || child.code != WELL)
		print_error("child: signal %d, code %d, %s\n", child.signal, child.code,
			    child.text);
	assert_int_equal(child.signal, 0);
	assert_int_equal(child.code, WELL);
	assert_objects_intact(life->mine, life->pool);
	for (i = 0; i < 20; i++) {
		objects_remove(life->mine, life->pool, rng_below(rng, (uint32_t)life->mine->count));
		objects_fill(life->mine, life->pool, rng, 1, 1, LARGEST);
	}
}

static void parent_and_child_go_on_after_fork(void **state)
{
	struct objects mine = { 0 };
	struct rng rng = rng_seeded(seed);
	pthread_t threads[BUSY_THREADS + 1];
	struct bustle bustles[BUSY_THREADS + 1];
	atomic_ulong failures = 0;
	atomic_bool done = false;
	struct life life;
	struct rig rig;
	unsigned i;

	(void)state;
	rig_open(&rig, &process_habitat, NULL);
	objects_fill(&mine, rig.pool, &rng, MINE, 1, LARGEST);
	for (i = 0; i <= BUSY_THREADS; i++) {
		bustles[i] = (struct bustle){ rig.pool, (i + UINT64_C(1)) << 40, &done, &failures };
		assert_int_equal(pthread_create(&threads[i], NULL, i ? allocate_and_free : compact,
						&bustles[i]),
				 0);
	}
	life = (struct life){ rig.pool, &mine };
	for (i = 0; i < rounds; i++)
		fork_once(&life, &rng);
	atomic_store(&done, true);
	for (i = 0; i <= BUSY_THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&failures), 0);
	assert_objects_intact(&mine, rig.pool);
	objects_free_all(&mine, rig.pool);
	rig_close(&rig);
	print_message("%u forks\n", rounds);
}

static int create_use_and_destroy(void *arg)
{
	struct zs_pool *inherited = arg;
	struct zs_pool *pool = zs_create_pool(NULL);
	struct object object;

	if (!pool || !object_make(pool, &object, 1000, 1) || !object_intact(pool, &object))
		return NO_MEMORY;
	object_free(pool, &object);
	zs_destroy_pool(pool);
	zs_destroy_pool(inherited);
	return WELL;
}

static void a_child_may_destroy_what_it_inherited_and_make_its_own(void **state)
{
	const struct habitat *habitat = *state;
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(90);
	struct child child;
	struct rig rig;
	int i;

	rig_open(&rig, habitat, NULL);
	objects_fill(&objects, rig.pool, &rng, 1000, 1, LARGEST);
	for (i = 0; i < 5; i++) {
		run_child(create_use_and_destroy, rig.pool, &child);
		assert_int_equal(child.signal, 0);
		assert_int_equal(child.code, WELL);
		assert_objects_intact(&objects, rig.pool);
	}
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		IN_BOTH_HABITATS(a_child_may_destroy_what_it_inherited_and_make_its_own),
		cmocka_unit_test(parent_and_child_go_on_after_fork),
	};

	if (argc > 1)
		rounds = (unsigned)strtoul(argv[1], NULL, 0);
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 0);
	print_message("%u rounds, seed %" PRIu64 "\n", rounds, seed);
	return cmocka_run_group_tests_name("fork", tests, NULL, NULL);
}
