/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * fork at any moment, while other threads allocate, free, map and compact: parent
 * and child both go on, each with the right contents, and in the child nothing is lost of
 * what other threads were doing.
 * Usage: test_fork [--seconds N] [forks [seed]]
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
#include <unistd.h>

#include "core/core.h"
#include "form.h"

enum { BUSY_THREADS = 3, THEIRS = 150, MINE = 400, LARGEST = 3000 };

static struct form form;

/* ThreadSanitizer would end a child that starts after threads were. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "die_after_fork=0";
}

/* --- when fork cannot be watched --- */

static bool refuse_handlers;

int __real_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));

int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
	return refuse_handlers ? ENOMEM : __real_pthread_atfork(prepare, parent, child);
}

/* Has to be the first that makes a pool: handlers are installed once. */
static void a_pool_that_could_not_be_locked_for_fork_is_not_made(void **state)
{
	static bool installed;
	struct zs_pool *pool;

	(void)state;
	if (installed)
		skip();
	installed = true;
	refuse_handlers = true;
	for (int i = 0; i < 3; i++) {
		errno = 0;
		assert_null(zs_create_pool(NULL));
		assert_int_equal(errno, ENOMEM);
	}
	refuse_handlers = false;
	pool = zs_create_pool(NULL);
	assert_non_null(pool);
	zs_destroy_pool(pool);
}

/* --- what the others do --- */

enum state { NO_OBJECT, CHANGING, LIVE, MAPPED };

/* An object of another thread; in a child its state says what can be relied on. */
struct shown {
	_Atomic(enum state) state; /* written by its thread, before and after it touches object */
	struct object object;
};

struct bustle {
	struct zs_pool *pool;
	uint64_t seed;
	atomic_bool *done;
	atomic_ulong *failures;
	struct shown own[THEIRS];
};

static void free_shown(struct bustle *bustle, struct shown *shown)
{
	atomic_store(&shown->state, CHANGING);
	if (!object_intact(bustle->pool, &shown->object))
		atomic_fetch_add(bustle->failures, 1);
	object_free(bustle->pool, &shown->object);
	atomic_store(&shown->state, NO_OBJECT);
}

static void make_shown(struct bustle *bustle, struct shown *shown, struct rng *rng)
{
	atomic_store(&shown->state, CHANGING);
	if (object_make(bustle->pool, &shown->object, rng_between(rng, 1, LARGEST), rng_next(rng)))
		atomic_store(&shown->state, LIVE);
	else
		atomic_store(&shown->state, NO_OBJECT);
}

/* So that children find mapped objects. */
static void map_shown(struct bustle *bustle, struct shown *shown)
{
	atomic_store(&shown->state, CHANGING);
	if (!zs_map_object(bustle->pool, shown->object.handle, ZS_MM_RO))
		atomic_fetch_add(bustle->failures, 1);
	atomic_store(&shown->state, MAPPED);
	sched_yield();
	atomic_store(&shown->state, CHANGING);
	zs_unmap_object(bustle->pool, shown->object.handle);
	atomic_store(&shown->state, LIVE);
}

/* Fills and empties what it has in turns: so whole zspages come and go. */
static void *allocate_and_free(void *data)
{
	struct bustle *bustle = data;
	struct rng rng = rng_seeded(bustle->seed);
	unsigned percent = 80;

	for (unsigned long i = 0; !atomic_load(bustle->done); i++) {
		struct shown *shown = &bustle->own[rng_below(&rng, THEIRS)];
		bool fills = rng_percent(&rng, percent);

		if (i % 1024 == 0)
			percent = 100 - percent;
		if (rng_percent(&rng, 5) && shown->state == LIVE)
			map_shown(bustle, shown);
		else if (fills && shown->state == NO_OBJECT)
			make_shown(bustle, shown, &rng);
		else if (!fills && shown->state == LIVE)
			free_shown(bustle, shown);
	}
	for (size_t i = 0; i < THEIRS; i++) {
		if (bustle->own[i].state == LIVE)
			free_shown(bustle, &bustle->own[i]);
	}
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

/* --- the moments --- */

struct life {
	struct zs_pool *pool;
	struct objects mine;
	struct bustle bustles[BUSY_THREADS + 1];
	atomic_bool done;
	atomic_ulong failures;
};

static struct life *watched;
static unsigned long passes, cuts; /* forks in the middle of a pass; while a zspage was cut */

/*
 * Called by fork() when the pool is locked for it: handlers run in the reverse order of their
 * installation, and this one is installed before there is a pool.
 */
static void look_at_the_moment(void)
{
	unsigned pass = 0, busy = 0;

	if (!watched)
		return;
	for (struct shard *s = zs_next_shard(watched->pool, NULL); s;
	     s = zs_next_shard(watched->pool, s)) {
		pass += s->pass != PASS_IDLE;
		for (uint32_t index = 0; index < s->nzspages; index++) {
			if (!(*zs_table(watched->pool, s, index) & ZTAB_FREE))
				busy += zs_zspage(watched->pool, s, index)->flags & ZSPAGE_BUSY;
		}
	}
	passes += pass != 0;
	cuts += busy != 0;
}

/* --- the child --- */

/* What a child says. */
enum answer { WELL = 30, UNHEALTHY, CHANGED, NO_MEMORY, NOT_KEPT, THEIRS_CHANGED, LOST };

/* What a child counts; the parent reads it from a pipe. */
struct counts {
	unsigned long theirs, mapped, changing;
};

/* In the child the others' objects are nobody's: looked at, and freed. */
static enum answer inherit(struct life *life, struct counts *counts)
{
	for (size_t i = 0; i <= BUSY_THREADS; i++) {
		for (size_t j = 0; j < THEIRS; j++) {
			struct shown *shown = &life->bustles[i].own[j];
			enum state state = atomic_load(&shown->state);

			counts->changing += state == CHANGING;
			if (state == NO_OBJECT || state == CHANGING)
				continue;
			counts->theirs++;
			counts->mapped += state == MAPPED;
			if (!object_intact(life->pool, &shown->object))
				return THEIRS_CHANGED;
			if (state == MAPPED)
				zs_unmap_object(life->pool, shown->object.handle);
			object_free(life->pool, &shown->object);
		}
	}
	return WELL;
}

/* Uses the pool in every way, and differs from the parent. */
static enum answer live_on(struct life *life)
{
	struct rng rng = rng_seeded(99);
	size_t i;

	for (i = 0; i < life->mine.count; i++) {
		if (!object_intact(life->pool, &life->mine.at[i]))
			return CHANGED;
	}
	for (i = 0; i < life->mine.count; i += 2) {
		object_free(life->pool, &life->mine.at[i]);
		if (!object_make(life->pool, &life->mine.at[i], rng_between(&rng, 1, LARGEST),
				 UINT64_MAX / 2 + i))
			return NO_MEMORY;
	}
	zs_compact(life->pool);
	for (i = 0; i < life->mine.count; i++) {
		if (!object_intact(life->pool, &life->mine.at[i]))
			return NOT_KEPT;
	}
	return WELL;
}

/* Whether a shard has a zspage that nobody will ever use or give back. */
static bool has_lost_zspage(const struct zs_pool *pool, const struct shard *shard)
{
	for (uint32_t index = 0; index < shard->nzspages; index++) {
		if (*zs_table(pool, shard, index) & ZTAB_FREE)
			continue;
		const struct zspage *zspage = zs_zspage(pool, shard, index);
		if (zspage->flags & ZSPAGE_BUSY ||
		    (!zspage->inuse && !(zspage->flags & ZSPAGE_KEPT)))
			return true;
	}
	return false;
}

/*
 * When all is freed that can be, there is left what the others were just about to note or
 * forget, one object a thread at most.
 */
static enum answer leave_nothing(struct life *life, const struct counts *counts)
{
	struct zs_pool_stats stats;

	objects_free_all(&life->mine, life->pool);
	zs_compact(life->pool);
	zs_pool_stats(life->pool, &stats);
	if (stats.objects > counts->changing || life->pool->releasing_pages)
		return LOST;
	for (struct shard *s = zs_next_shard(life->pool, NULL); s;
	     s = zs_next_shard(life->pool, s)) {
		if (has_lost_zspage(life->pool, s))
			return LOST;
	}
	return WELL;
}

/* In a child: no cmocka assertions. */
static enum answer live(struct life *life, struct counts *counts)
{
	enum answer answer;

	if (zs_check(life->pool, NULL, NULL))
		return UNHEALTHY;
	answer = inherit(life, counts);
	if (answer == WELL)
		answer = live_on(life);
	if (answer == WELL && zs_check(life->pool, NULL, NULL))
		answer = UNHEALTHY;
	if (answer == WELL)
		answer = leave_nothing(life, counts);
	return answer == WELL && zs_check(life->pool, NULL, NULL) ? UNHEALTHY : answer;
}

/* What run_child() gets. */
struct errand {
	struct life *life;
	int counts_end;
};

static int live_and_tell(void *arg)
{
	struct errand *errand = arg;
	struct counts counts = { 0 };
	enum answer answer = live(errand->life, &counts);

	if (write(errand->counts_end, &counts, sizeof(counts)) != sizeof(counts))
		return NO_MEMORY;
	return (int)answer;
}

/* --- the parent --- */

static void fork_once(struct life *life, struct rng *rng, struct counts *sum)
{
	const struct timespec moment = { .tv_nsec = (long)rng_below(rng, 1000000) };
	struct counts counts = { 0 };
	struct child child;
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	nanosleep(&moment, NULL); /* only to hit other moments */
	run_child(live_and_tell, &(struct errand){ life, ends[1] }, &child);
	if (child.signal || child.code != WELL)
		print_error("child: signal %d, code %d, %s\n", child.signal, child.code,
			    child.text);
	assert_int_equal(child.signal, 0);
	assert_int_equal(child.code, WELL);
	assert_int_equal(read(ends[0], &counts, sizeof(counts)), sizeof(counts));
	close(ends[0]);
	close(ends[1]);
	sum->theirs += counts.theirs;
	sum->mapped += counts.mapped;
	sum->changing += counts.changing;
	assert_objects_intact(&life->mine, life->pool);
	for (int i = 0; i < 20; i++) {
		objects_remove(&life->mine, life->pool, rng_below(rng, (uint32_t)life->mine.count));
		objects_fill(&life->mine, life->pool, rng, 1, 1, LARGEST);
	}
}

static void start(struct life *life, pthread_t *threads)
{
	for (uint64_t i = 0; i <= BUSY_THREADS; i++) {
		struct bustle *bustle = &life->bustles[i];

		bustle->pool = life->pool;
		bustle->seed = form.seed * 100 + i;
		bustle->done = &life->done;
		bustle->failures = &life->failures;
		assert_int_equal(pthread_create(&threads[i], NULL, i ? allocate_and_free : compact,
						bustle),
				 0);
	}
}

static void parent_and_child_go_on_after_fork(void **state)
{
	struct life *life = calloc(1, sizeof(*life));
	struct rng rng = rng_seeded(form.seed);
	pthread_t threads[BUSY_THREADS + 1];
	struct counts sum = { 0 };
	struct zs_pool_stats stats;
	struct rig rig;

	(void)state;
	assert_non_null(life);
	rig_open(&rig, &process_habitat, NULL);
	life->pool = rig.pool;
	objects_fill(&life->mine, rig.pool, &rng, MINE, 1, LARGEST);
	start(life, threads);
	watched = life;
	passes = cuts = 0;
	for (unsigned long i = 0; i < form.count; i++)
		fork_once(life, &rng, &sum);
	watched = NULL;
	atomic_store(&life->done, true);
	for (size_t i = 0; i <= BUSY_THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&life->failures), 0);
	assert_objects_intact(&life->mine, rig.pool);
	zs_pool_stats(rig.pool, &stats);
	print_message(
		"%lu forks, %lu in the middle of compacting, %lu while pages had just been given "
		"back; children verified %lu objects of other threads, %lu of them mapped, and "
		"met %lu changing; %" PRIu64 " objects moved\n",
		form.count, passes, cuts, sum.theirs, sum.mapped, sum.changing,
		stats.moved_objects);
	assert_true(passes && sum.theirs && sum.changing && stats.moved_objects);
	objects_free_all(&life->mine, rig.pool);
	assert_int_equal(life->mine.count, 0);
	rig_close(&rig);
	free(life);
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
		cmocka_unit_test(a_pool_that_could_not_be_locked_for_fork_is_not_made),
		IN_BOTH_HABITATS(a_child_may_destroy_what_it_inherited_and_make_its_own),
		cmocka_unit_test(parent_and_child_go_on_after_fork),
	};
	int failed;

	form = form_parse(argc, argv, UNDER_TSAN ? 100 : UNDER_ASAN || ZS_DEBUG ? 200 : 1000);
	pthread_atfork(look_at_the_moment, NULL, NULL);
	do {
		print_message("%lu forks, seed %" PRIu64 "\n", form.count, form.seed);
		failed = cmocka_run_group_tests_name("fork", tests, NULL, NULL);
	} while (!failed && form_again(&form));
	return failed;
}
