/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* Running out of memory is an ordinary result, wherever it happens. */
#include "testing.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* What a child answers: how it got on with little address space. */
enum answer {
	STORED = 10, /* filled until refused, all intact, all freed */
	NOT_CREATED, /* zs_create_pool() said ENOMEM */
	WRONG_ERROR,
	WRONG_CONTENTS,
	UNHEALTHY,
	NOT_AGAIN /* after freeing, not as much fitted again */
};

static size_t address_space_now(void)
{
	FILE *statm = fopen("/proc/self/statm", "r");
	unsigned long pages = 0;

	assert_non_null(statm);
	assert_int_equal(fscanf(statm, "%lu", &pages), 1);
	fclose(statm);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* In a child: no cmocka assertions here, and no memory but what is there already. */
struct small_world {
	size_t address_space;
	size_t want_bytes; /* stop filling here */
	struct object *objects;
	size_t room;
	size_t stored; /* shared with the parent */
};

static size_t fill_small_world(struct zs_pool *pool, const struct small_world *world)
{
	struct rng rng = rng_seeded(40);
	size_t count = 0, bytes = 0;

	while (count < world->room && bytes < world->want_bytes) {
		struct object *object = &world->objects[count];

		errno = 0;
		if (!object_make(pool, object, rng_between(&rng, 1, 4096), count))
			break;
		bytes += object->size;
		count++;
	}
	return count;
}

static int use_small_world(struct zs_pool *pool, struct small_world *world)
{
	size_t count = fill_small_world(pool, world), i, again;
	bool fits = false;

	if (count < world->room && errno != 0 && errno != ENOMEM)
		return WRONG_ERROR;
	for (i = 0; i < count; i++) {
		if (!object_intact(pool, &world->objects[i]))
			return WRONG_CONTENTS;
		world->stored += world->objects[i].size;
	}
	if (zs_check(pool, NULL, NULL))
		return UNHEALTHY;
	for (i = 0; i < count; i++)
		object_free(pool, &world->objects[i]);
	/* Addresses open in steps, for data or metadata: which were last differs from time to time. */
	for (unsigned tries = 0; tries < 3 && !fits; tries++) {
		again = fill_small_world(pool, world);
		fits = again >= count * 9 / 10;
		for (i = 0; i < again; i++)
			object_free(pool, &world->objects[i]);
	}
	if (!fits)
		return NOT_AGAIN;
	if (zs_check(pool, NULL, NULL))
		return UNHEALTHY;
	zs_destroy_pool(pool);
	return STORED;
}

static int live_in_small_world(void *arg)
{
	struct small_world *world = arg;
	const struct rlimit limit = { world->address_space, world->address_space };
	struct zs_pool *pool;

	if (setrlimit(RLIMIT_AS, &limit) != 0)
		return WRONG_ERROR;
	errno = 0;
	pool = zs_create_pool(NULL);
	if (!pool)
		return errno == ENOMEM ? NOT_CREATED : WRONG_ERROR;
	return use_small_world(pool, world);
}

static struct small_world *make_small_world(void)
{
	struct small_world *world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE,
					 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(world != MAP_FAILED);
	world->room = 100000;
	world->objects = calloc(world->room, sizeof(*world->objects));
	assert_non_null(world->objects);
	return world;
}

static void unmake_small_world(struct small_world *world)
{
	free(world->objects);
	munmap(world, sizeof(*world));
}

static void skip_where_address_space_cannot_be_limited(void)
{
	if (!UNDER_ASAN && !UNDER_TSAN)
		return;
	print_message("skipped: a sanitizer needs all the address space\n");
	skip();
}

static void a_process_with_little_address_space_gets_an_error_and_lives(void **state)
{
	static const size_t more[] = { 0,      4096,   KIB(64), KIB(256), KIB(300), MIB(1), MIB(2),
				       MIB(3), MIB(5), MIB(8),  MIB(13),  MIB(20),  MIB(40) };
	struct small_world *world;
	struct child child;
	size_t i;

	(void)state;
	skip_where_address_space_cannot_be_limited();
	world = make_small_world();
	world->want_bytes = SIZE_MAX;
	for (i = 0; i < COUNT_OF(more); i++) {
		world->stored = 0;
		world->address_space = address_space_now() + more[i];
		run_child(live_in_small_world, world, &child);
		print_message("%zu KiB more: %s, stored %zu KiB\n", more[i] >> 10,
			      child.code == NOT_CREATED ? "no pool" : "pool", world->stored >> 10);
		assert_string_equal(child.text, "");
		assert_int_equal(child.signal, 0);
		assert_true(child.code == STORED || child.code == NOT_CREATED);
	}
	unmake_small_world(world);
}

static void a_process_with_256_mib_of_address_space_stores_16(void **state)
{
	struct small_world *world;
	struct child child;

	(void)state;
	skip_where_address_space_cannot_be_limited();
	world = make_small_world();
	world->want_bytes = MIB(64);
	world->address_space = address_space_now() + MIB(256);
	run_child(live_in_small_world, world, &child);
	assert_int_equal(child.signal, 0);
	assert_int_equal(child.code, STORED);
	print_message("stored %zu KiB\n", world->stored >> 10);
	assert_true(world->stored >= MIB(16));
	unmake_small_world(world);
}

/* Fills a buffer; counts what fitted and checks that the refusal changed nothing. */
static size_t fill_buffer(struct zs_pool *pool, struct objects *objects, uint32_t largest)
{
	struct rng rng = rng_seeded(41);
	struct zs_pool_stats before, after;
	uint32_t size;

	do {
		zs_pool_stats(pool, &before);
		errno = 0;
		size = rng_between(&rng, 1, largest);
	} while (objects_add(objects, pool, size));
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(zs_last_error(pool), ENOMEM);
	zs_pool_stats(pool, &after);
	assert_same_stats(&before, &after);
	return objects->count;
}

/* The tables may keep a few pages of an emptied pool, but no more each time. */
static void use_buffer(struct zs_pool *pool, size_t page_size, uint32_t largest)
{
	enum { ROUNDS = 4 };
	uint64_t empty = zs_get_total_size_bytes(pool), kept[ROUNDS];
	struct objects objects = { 0 };
	size_t fitted[ROUNDS], round;

	for (round = 0; round < ROUNDS; round++) {
		fitted[round] = fill_buffer(pool, &objects, largest);
		assert_healthy(pool);
		assert_objects_intact(&objects, pool);
		objects_free_all(&objects, pool);
		assert_healthy(pool);
		kept[round] = zs_get_total_size_bytes(pool);
	}
	/* Two shards a page; with a footer the largest sizes are of one more run. */
	assert_true(kept[0] <= empty + (ZS_DEBUG ? 9 : 8) * page_size);
	assert_true(kept[ROUNDS - 1] <= kept[0] + 2 * page_size);
	/* A page more or less of tables is a large part of a small buffer. */
	assert_true(fitted[ROUNDS - 1] + 4 + 2 * page_size / ((largest + 1) / 2) >=
		    fitted[1] * 9 / 10);
}

static void use_buffer_of(size_t page_size, size_t size, uint32_t largest, bool *worked)
{
	struct zs_pool_options options = { .page_size = page_size,
					   .max_object_size = largest,
					   .map_buffers = 1,
					   .compaction = ZS_COMPACTION_MANUAL };
	unsigned char *bytes = malloc(size + 128);

	assert_non_null(bytes);
	memset(bytes, 0xA5, size + 128);
	options.buffer = bytes + 64;
	options.buffer_size = size;
	errno = 0;
	struct zs_pool *pool = zs_create_pool(&options);

	if (!pool) {
		assert_int_equal(errno, EINVAL);
		assert_false(*worked);
	} else {
		*worked = true;
		use_buffer(pool, page_size, largest);
		zs_destroy_pool(pool);
	}
	for (size_t i = 0; i < 64; i++) {
		assert_int_equal(bytes[i], 0xA5);
		assert_int_equal(bytes[64 + size + i], 0xA5);
	}
	free(bytes);
}

static void a_buffer_of_any_size_is_refused_or_filled_and_filled_again(void **state)
{
	static const struct {
		size_t page_size, step, end;
		uint32_t largest;
	} series[] = {
		{ 256, 97, KIB(64), 256 },     { 256, 256, KIB(32), 40 },
		{ 1024, 256, KIB(64), 1024 },  { 4096, 1024, KIB(128), 4096 },
		{ 4096, 4096, KIB(128), 100 }, { 65536, 65536, MIB(2), 65536 },
	};
	size_t i, size;

	(void)state;
	for (i = 0; i < COUNT_OF(series); i++) {
		bool worked = false;

		for (size = 1; size <= series[i].end; size += series[i].step)
			use_buffer_of(series[i].page_size, size, series[i].largest, &worked);
		assert_true(worked);
	}
}

static void a_few_kib_are_enough_for_a_pool_of_small_pages(void **state)
{
	bool worked = false;

	(void)state;
	if (ZS_DEBUG)
		skip();
	use_buffer_of(256, KIB(16), 256, &worked);
	assert_true(worked);
}

static void freeing_and_compacting_need_no_memory(void **state)
{
	struct zs_pool_options options = { .buffer_size = KIB(512),
					   .compaction = ZS_COMPACTION_MANUAL };
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(42);
	uint64_t predicted;
	struct rig rig;
	int round;

	(void)state;
	rig_open(&rig, &buffer_habitat, &options);
	for (round = 0; round < 50; round++) {
		assert_int_equal(objects_fill_up(&objects, rig.pool, &rng, 1, 4096), ENOMEM);
		assert_int_equal(objects_fill_up(&objects, rig.pool, &rng, 1, 64), ENOMEM);
		objects_free_random(&objects, rig.pool, &rng, 70);
		predicted = zs_compactable_bytes(rig.pool);
		assert_int_equal(zs_compact(rig.pool), predicted);
		assert_objects_intact(&objects, rig.pool);
		assert_healthy(rig.pool);
	}
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_process_with_little_address_space_gets_an_error_and_lives),
		cmocka_unit_test(a_process_with_256_mib_of_address_space_stores_16),
		cmocka_unit_test(a_buffer_of_any_size_is_refused_or_filled_and_filled_again),
		cmocka_unit_test(a_few_kib_are_enough_for_a_pool_of_small_pages),
		cmocka_unit_test(freeing_and_compacting_need_no_memory),
	};

	return cmocka_run_group_tests_name("nomem", tests, NULL, NULL);
}
