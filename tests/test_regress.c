/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Defects that were found by looking for them, each with what it took to see it.
 */
#include "testing.h"

#include <stdatomic.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void use_for_a_while(struct zs_pool *pool, size_t largest)
{
	zs_handle handles[500] = { 0 };
	struct rng rng = rng_seeded(7);
	size_t i, round;

	for (round = 0; round < 4000; round++) {
		i = rng_below(&rng, COUNT_OF(handles));
		zs_free(pool, handles[i]);
		handles[i] = zs_malloc(pool, rng_between(&rng, 1, (uint32_t)largest));
		if (round % 500 == 0)
			assert_healthy(pool);
	}
	for (i = 0; i < COUNT_OF(handles); i++)
		zs_free(pool, handles[i]);
	assert_healthy(pool);
}

/* Descriptors of zspages with thousands of slots did not fit in a page of 256 bytes. */
static void small_pages_go_with_any_alignment(void **state)
{
	size_t page_size, alignment;
	void *buffer = malloc(MIB(4));

	(void)state;
	for (page_size = 256; page_size <= 65536; page_size *= 2) {
		for (alignment = 1; alignment <= 16; alignment *= 2) {
			const struct zs_pool_options options = { .buffer = buffer,
								 .buffer_size = MIB(4),
								 .page_size = page_size,
								 .alignment = alignment };
			struct zs_pool *pool = zs_create_pool(&options);

			assert_non_null(pool);
			use_for_a_while(pool, 3);
			use_for_a_while(pool, 64);
			zs_destroy_pool(pool);
		}
	}
	free(buffer);
}

/* With large pages the smallest class is larger than one byte, and may be than the maximum. */
static void the_maximum_may_be_below_the_smallest_class(void **state)
{
	void *buffer = malloc(MIB(4));
	size_t largest;

	(void)state;
	for (largest = 1; largest <= 16; largest++) {
		struct zs_pool_options options = { .page_size = 65536, .max_object_size = largest };
		struct zs_pool *pool = zs_create_pool(&options);

		assert_non_null(pool);
		use_for_a_while(pool, largest);
		zs_destroy_pool(pool);
		options.buffer = buffer;
		options.buffer_size = MIB(4);
		pool = zs_create_pool(&options);
		assert_non_null(pool);
		use_for_a_while(pool, largest);
		zs_destroy_pool(pool);
	}
	free(buffer);
}

/* Pages of locked memory were taken for zeroed ones. */
static void locked_memory_is_given_back_or_zeroed(void **state)
{
	struct zs_pool *pool;

	(void)state;
	if (UNDER_ASAN || UNDER_TSAN || mlockall(MCL_CURRENT) != 0) {
		print_message("skipped: memory cannot be locked\n");
		skip();
	}
	pool = zs_create_pool(NULL);
	assert_non_null(pool);
	assert_int_equal(zs_malloc(pool, 64) == 0, 0);
	assert_int_equal(mlockall(MCL_CURRENT), 0);
	use_for_a_while(pool, 4096);
	use_for_a_while(pool, 100);
	munlockall();
	zs_destroy_pool(pool);
}

static struct zs_pool *forked_pool;
static atomic_int go;

static void *allocate_when_told(void *arg)
{
	(void)arg;
	while (!go)
		usleep(100);
	zs_free(forked_pool, zs_malloc(forked_pool, 3000));
	return NULL;
}

static void tell(void)
{
	if (forked_pool && !go) {
		go = 1;
		usleep(50000);
	}
}

/*
 * A thread that was about to add a shard while the process forked was waited for
 * in the child, where it is not.
 */
static void the_child_waits_for_no_thread_of_the_parent(void **state)
{
	pthread_t thread;
	pid_t child;
	int status;

	(void)state;
	/* Registered before the library's, so that it runs when the locks are held. */
	assert_int_equal(pthread_atfork(tell, NULL, NULL), 0);
	forked_pool = zs_create_pool(NULL);
	assert_true(zs_malloc(forked_pool, 8) != 0);
	assert_int_equal(pthread_create(&thread, NULL, allocate_when_told, NULL), 0);
	child = fork();
	if (child == 0) {
		alarm(20);
		_exit(zs_check(forked_pool, NULL, NULL) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	pthread_join(thread, NULL);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	zs_destroy_pool(forked_pool);
	forked_pool = NULL;
}

static pthread_barrier_t barrier;

static void *allocate_first(void *pool)
{
	pthread_barrier_wait(&barrier);
	return (void *)zs_malloc(pool, 256);
}

/* Of two threads that made the first object of a pool of small pages one was refused. */
static void two_may_be_the_first(void **state)
{
	void *buffer = malloc(MIB(1));
	int round;

	(void)state;
	assert_int_equal(pthread_barrier_init(&barrier, NULL, 2), 0);
	for (round = 0; round < 300; round++) {
		const struct zs_pool_options options = { .buffer = buffer,
							 .buffer_size = MIB(1),
							 .page_size = 256 };
		struct zs_pool *pool = zs_create_pool(&options);
		pthread_t thread;
		void *first, *second;

		assert_int_equal(pthread_create(&thread, NULL, allocate_first, pool), 0);
		first = allocate_first(pool);
		pthread_join(thread, &second);
		assert_non_null(first);
		assert_non_null(second);
		zs_destroy_pool(pool);
	}
	pthread_barrier_destroy(&barrier);
	free(buffer);
}

/* No time at all was left where the end of it was beyond the clock's. */
static void a_budget_of_all_time_is_not_spent_at_once(void **state)
{
	const struct zs_pool_options options = { .compaction = ZS_COMPACTION_MANUAL };
	const struct zs_compact_budget budget = { .nanoseconds = UINT64_MAX };
	struct zs_pool *pool = zs_create_pool(&options);
	zs_handle handles[2000];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(handles); i++)
		handles[i] = zs_malloc(pool, 1000);
	for (i = 0; i < COUNT_OF(handles); i++) {
		if (i % 4)
			zs_free(pool, handles[i]);
	}
	assert_int_equal(zs_compact_some(pool, &budget, NULL), 0);
	assert_int_equal(zs_compactable_bytes(pool), 0);
	zs_destroy_pool(pool);
}

/* What is freed at random, and then what is replaced. */
struct wear {
	size_t objects, replaced;
	unsigned freed; /* per cent */
};

/*
 * Automatic compaction that was put off when room was first seen waited for more room: where no
 * more became free the pool stayed as large as it was.
 */
static void what_was_put_off_is_not_forgotten(void **state)
{
	/* A few pages, in which a pass has to rest; and many, while much is being freed. */
	const struct wear wears[] = { { 64, 2000, 75 }, { 20000, 100000, 11 } };
	const struct habitat *habitat = *state;
	struct zs_pool_options options = { .page_size = 4096, .buffer_size = MIB(16) };

	only_for_small_pages(habitat);
	for (size_t i = 0; i < COUNT_OF(wears); i++) {
		size_t size = wears[i].objects < 1000 ? 1000 : 200;
		struct objects objects = { 0 };
		struct rng rng = rng_seeded(i);
		struct rig rig;

		rig_open(&rig, habitat, &options);
		objects_fill(&objects, rig.pool, &rng, wears[i].objects, (uint32_t)size,
			     (uint32_t)size);
		objects_free_random(&objects, rig.pool, &rng, wears[i].freed);
		for (size_t n = 0; n < wears[i].replaced; n++) {
			objects_remove(&objects, rig.pool,
				       rng_below(&rng, (uint32_t)objects.count));
			assert_true(objects_add(&objects, rig.pool, size));
		}
		assert_true(zs_compactable_bytes(rig.pool) <=
			    2 * options.page_size + zs_get_total_size_bytes(rig.pool) / 100);
		objects_free_all(&objects, rig.pool);
		rig_close(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* First, as it has to register its fork handler before the library does. */
		cmocka_unit_test(the_child_waits_for_no_thread_of_the_parent),
		cmocka_unit_test(small_pages_go_with_any_alignment),
		cmocka_unit_test(the_maximum_may_be_below_the_smallest_class),
		cmocka_unit_test(locked_memory_is_given_back_or_zeroed),
		cmocka_unit_test(two_may_be_the_first),
		cmocka_unit_test(a_budget_of_all_time_is_not_spent_at_once),
		IN_BOTH_HABITATS(what_was_put_off_is_not_forgotten),
	};

	return cmocka_run_group_tests_name("regress", tests, NULL, NULL);
}
