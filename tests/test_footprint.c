/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What the pool says it holds is what the operating system sees, a pool takes
 * few mappings however fragmented, and leaves nothing behind.
 */
#include "testing.h"
#include "resident.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { OBJECTS = 60000, MAPPINGS = 8 };

static void skip_under_sanitizers(void)
{
	if (!UNDER_ASAN && !UNDER_TSAN)
		return;
	print_message("skipped: a sanitizer's own memory blurs the figures\n");
	skip();
}

/* The test's own books, touched beforehand so that they do not count. */
static void prepare_books(struct objects *objects)
{
	memset(objects, 0, sizeof(*objects));
	objects->room = OBJECTS + 1;
	objects->at = malloc(objects->room * sizeof(*objects->at));
	assert_non_null(objects->at);
	memset(objects->at, 1, objects->room * sizeof(*objects->at));
}

static void assert_resident_as_reported(struct zs_pool *pool, uint64_t resident_before,
					const char *phase)
{
	uint64_t resident = resident_anonymous_bytes() - resident_before;
	uint64_t reported = zs_get_total_size_bytes(pool);
	/* Within a page per class, and the C library's own few. */
	uint64_t slack = ((uint64_t)zs_class_count(pool) + 64) * 4096;

	print_message("%s: reported %llu KiB, resident %llu KiB\n", phase,
		      (unsigned long long)reported >> 10, (unsigned long long)resident >> 10);
	assert_true((int64_t)(resident - reported) <= (int64_t)slack);
	assert_true((int64_t)(reported - resident) <= (int64_t)slack);
}

static void the_resident_size_is_what_the_pool_reports(void **state)
{
	struct zs_pool_options options = { .compaction = ZS_COMPACTION_MANUAL };
	struct rng rng = rng_seeded(80);
	struct objects objects;
	uint64_t before;
	struct rig rig;

	(void)state;
	skip_under_sanitizers();
	prepare_books(&objects);
	before = resident_anonymous_bytes();
	if (before == 0) {
		print_message("skipped: the kernel does not tell the resident size\n");
		skip();
	}
	rig_open(&rig, &process_habitat, &options);
	assert_resident_as_reported(rig.pool, before, "empty");
	objects_fill(&objects, rig.pool, &rng, OBJECTS, 1, 4096);
	assert_resident_as_reported(rig.pool, before, "filled");
	objects_free_random(&objects, rig.pool, &rng, 75);
	assert_resident_as_reported(rig.pool, before, "three quarters freed");
	assert_true(zs_compact(rig.pool) > 0);
	assert_resident_as_reported(rig.pool, before, "compacted");
	objects_fill(&objects, rig.pool, &rng, OBJECTS / 2, 1, 200);
	assert_resident_as_reported(rig.pool, before, "refilled");
	while (objects.count)
		objects_remove(&objects, rig.pool, objects.count - 1);
	assert_resident_as_reported(rig.pool, before, "all freed");
	assert_true(zs_get_total_size_bytes(rig.pool) <= KIB(256));
	objects_forget(&objects);
	rig_close(&rig);
}

static unsigned count_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned lines = 0;
	int byte;

	assert_non_null(maps);
	while ((byte = getc(maps)) != EOF)
		lines += byte == '\n';
	fclose(maps);
	return lines;
}

static void assert_few_mappings(unsigned before, const char *phase)
{
	unsigned now = count_mappings();

	print_message("%s: %d mappings more\n", phase, (int)now - (int)before);
	assert_true((int)now - (int)before <= MAPPINGS);
}

static void a_pool_takes_few_mappings_however_fragmented(void **state)
{
	struct zs_pool_options options = { .max_object_size = 65536,
					   .compaction = ZS_COMPACTION_MANUAL };
	struct rng rng = rng_seeded(81);
	struct objects objects;
	unsigned before;
	struct rig rig;
	int round;

	(void)state;
	skip_under_sanitizers();
	prepare_books(&objects);
	before = count_mappings();
	rig_open(&rig, &process_habitat, &options);
	assert_few_mappings(before, "empty");
	objects_fill(&objects, rig.pool, &rng, OBJECTS / 2, 1, 6000);
	objects_fill(&objects, rig.pool, &rng, OBJECTS / 100, 1, 65536);
	assert_few_mappings(before, "filled");
	for (round = 0; round < 5; round++) {
		objects_free_random(&objects, rig.pool, &rng, 60);
		assert_few_mappings(before, "fragmented");
		objects_fill(&objects, rig.pool, &rng, OBJECTS / 5, 1, 6000);
		assert_few_mappings(before, "refilled");
	}
	zs_compact(rig.pool);
	assert_few_mappings(before, "compacted");
	while (objects.count)
		objects_remove(&objects, rig.pool, objects.count - 1);
	objects_forget(&objects);
	rig_close(&rig);
	assert_true(count_mappings() <= before + 1);
}

static unsigned long address_space_pages(void)
{
	FILE *statm = fopen("/proc/self/statm", "r");
	unsigned long pages = 0;

	assert_non_null(statm);
	assert_int_equal(fscanf(statm, "%lu", &pages), 1);
	fclose(statm);
	return pages;
}

static void a_destroyed_pool_leaves_nothing_behind(void **state)
{
	struct rng rng = rng_seeded(82);
	unsigned long before = 0;
	unsigned mappings = 0;
	int round;

	(void)state;
	skip_under_sanitizers();
	for (round = 0; round < 50; round++) {
		struct objects objects;
		struct rig rig;

		prepare_books(&objects);
		rig_open(&rig, &process_habitat, NULL);
		objects_fill(&objects, rig.pool, &rng, 2000, 1, 4096);
		rig_close(&rig);
		objects_forget(&objects);
		if (round == 0) {
			before = address_space_pages();
			mappings = count_mappings();
		}
	}
	assert_int_equal(address_space_pages(), before);
	assert_int_equal(count_mappings(), mappings);
}

static void refused_pools_leave_nothing_behind(void **state)
{
	struct zs_pool_options options = { .limit = 1 };
	unsigned long before = 0;
	int round;

	(void)state;
	for (round = 0; round < 100; round++) {
		assert_null(zs_create_pool(&options));
		assert_int_equal(errno, EINVAL);
		if (round == 10)
			before = address_space_pages();
	}
	assert_int_equal(address_space_pages(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_resident_size_is_what_the_pool_reports),
		cmocka_unit_test(a_pool_takes_few_mappings_however_fragmented),
		cmocka_unit_test(a_destroyed_pool_leaves_nothing_behind),
		cmocka_unit_test(refused_pools_leave_nothing_behind),
	};

	return cmocka_run_group_tests_name("footprint", tests, NULL, NULL);
}
