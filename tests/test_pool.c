/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* Pools: what they are made from, how many there may be, how they end. */
#include "testing.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t system_page(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static void assert_is_default_pool(struct zs_pool *pool)
{
	struct zs_pool_stats stats;

	assert_non_null(pool);
	zs_pool_stats(pool, &stats);
	assert_int_equal(stats.page_size, system_page());
	assert_int_equal(stats.max_object_size, system_page());
	assert_int_equal(stats.limit_bytes, 0);
	assert_int_equal(stats.objects, 0);
	assert_int_equal(stats.zspages, 0);
	assert_healthy(pool);
	zs_destroy_pool(pool);
}

static void no_options_make_a_default_pool(void **state)
{
	(void)state;
	assert_is_default_pool(zs_create_pool(NULL));
}

static void zeroed_options_make_a_default_pool(void **state)
{
	const struct zs_pool_options options = { 0 };

	(void)state;
	assert_is_default_pool(zs_create_pool(&options));
}

static void a_fixed_buffer_has_pages_of_4096_bytes_by_default(void **state)
{
	struct zs_pool_stats stats;
	struct rig rig;

	(void)state;
	rig_open(&rig, &buffer_habitat, NULL);
	zs_pool_stats(rig.pool, &stats);
	assert_int_equal(stats.page_size, 4096);
	assert_int_equal(stats.max_object_size, 4096);
	rig_close(&rig);
}

static void assert_refused(const char *what, const struct zs_pool_options *options)
{
	struct zs_pool *pool;

	errno = 0;
	pool = zs_create_pool(options);
	if (pool || errno != EINVAL)
		print_error("%s: pool %p, errno %d\n", what, (void *)pool, errno);
	assert_null(pool);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(zs_last_error(NULL), EINVAL);
}

#define REFUSED(...) assert_refused(#__VA_ARGS__, &(struct zs_pool_options){ __VA_ARGS__ })

static void options_out_of_range_are_refused(void **state)
{
	(void)state;
	REFUSED(.max_object_size = ZS_MAX_OBJECT_SIZE + 1);
	REFUSED(.max_object_size = SIZE_MAX);
	REFUSED(.alignment = 3);
	REFUSED(.alignment = 12);
	REFUSED(.alignment = 32);
	REFUSED(.alignment = SIZE_MAX);
	REFUSED(.page_size = 1);
	REFUSED(.page_size = 5000);
	REFUSED(.page_size = 12288);
	REFUSED(.page_size = system_page() / 2);
	REFUSED(.page_size = 131072);
	REFUSED(.page_size = SIZE_MAX);
	REFUSED(.compaction = (enum zs_compaction)7);
	REFUSED(.compaction_slack = 1025);
	REFUSED(.handle_bits = 31);
	REFUSED(.zero_on_free = 2);
	REFUSED(.handle_bits = 8 * sizeof(zs_handle) + 1);
	REFUSED(.limit = 1);
	REFUSED(.limit = system_page());
}

static void options_of_a_buffer_out_of_range_are_refused(void **state)
{
	static unsigned char buffer[MIB(1)];

	(void)state;
	REFUSED(.buffer = buffer, .buffer_size = 0);
	REFUSED(.buffer = buffer, .buffer_size = 1);
	REFUSED(.buffer = buffer, .buffer_size = 100);
	REFUSED(.buffer = buffer, .buffer_size = sizeof(buffer), .page_size = 128);
	REFUSED(.buffer = buffer, .buffer_size = sizeof(buffer), .page_size = 257);
	REFUSED(.buffer = buffer, .buffer_size = sizeof(buffer), .page_size = 131072);
	REFUSED(.buffer = buffer, .buffer_size = sizeof(buffer), .map_buffers = 65);
	REFUSED(.buffer = buffer, .buffer_size = sizeof(buffer), .alignment = 32);
	REFUSED(.buffer = buffer, .buffer_size = sizeof(buffer), .limit = 100);
	REFUSED(.buffer = buffer, .buffer_size = sizeof(buffer), .max_object_size = 65537);
}

/* A pool made so stores an object of the largest size and returns it. */
static void assert_usable(const struct habitat *habitat, struct zs_pool_options options)
{
	struct zs_pool_stats stats;
	struct object object;
	struct rig rig;

	rig_open(&rig, habitat, &options);
	zs_pool_stats(rig.pool, &stats);
	if (options.page_size)
		assert_int_equal(stats.page_size, options.page_size);
	if (options.max_object_size)
		assert_int_equal(stats.max_object_size, options.max_object_size);
	assert_true(object_make(rig.pool, &object, stats.max_object_size, 1));
	assert_true(object_intact(rig.pool, &object));
	object_free(rig.pool, &object);
	rig_close(&rig);
}

#define USABLE(habitat, ...) assert_usable(habitat, (struct zs_pool_options){ __VA_ARGS__ })

static void options_at_the_ends_of_their_ranges_are_accepted(void **state)
{
	const struct habitat *habitat = *state;
	size_t alignment, page;

	for (alignment = 1; alignment <= 16; alignment *= 2)
		USABLE(habitat, .alignment = alignment);
	for (page = habitat->fixed ? 256 : system_page(); page <= 65536; page *= 2)
		USABLE(habitat, .page_size = page);
	USABLE(habitat, .max_object_size = 1);
	USABLE(habitat, .max_object_size = 2);
	USABLE(habitat, .max_object_size = 4095);
	USABLE(habitat, .max_object_size = 65536, .page_size = 65536);
	USABLE(habitat, .limit = MIB(2));
	USABLE(habitat, .limit = UINT64_MAX);
	USABLE(habitat, .compaction = ZS_COMPACTION_MANUAL);
	USABLE(habitat, .compaction_slack = 1);
	USABLE(habitat, .compaction_slack = 1024);
	USABLE(habitat, .handle_bits = 8 * sizeof(zs_handle));
}

static void short_handles_stay_below_their_bits_and_work_like_others(void **state)
{
	static const unsigned bits[] = { 32, 40, 48 };
	const struct habitat *habitat = *state;

	only_for_small_pages(*state);
	for (size_t b = 0; b < COUNT_OF(bits) && bits[b] <= 8 * sizeof(zs_handle); b++) {
		struct zs_pool_options options = { .handle_bits = bits[b], .limit = MIB(8) };
		struct objects objects = { 0 };
		struct rng rng = rng_seeded(bits[b]);
		struct rig rig;

		rig_open(&rig, habitat, &options);
		for (int round = 0; round < 5; round++) {
			objects_fill(&objects, rig.pool, &rng, 2000, 1, 700);
			for (size_t i = 0; i < objects.count; i++)
				assert_int_equal((uint64_t)objects.at[i].handle >> bits[b], 0);
			assert_objects_intact(&objects, rig.pool);
			assert_healthy(rig.pool);
			objects_free_random(&objects, rig.pool, &rng, 60);
		}
		zs_compact(rig.pool);
		assert_objects_intact(&objects, rig.pool);
		objects_free_all(&objects, rig.pool);
		rig_close(&rig);
	}
}

static void objects_in_a_process_may_be_larger_than_a_page(void **state)
{
	(void)state;
	USABLE(&process_habitat, .max_object_size = 4097);
	USABLE(&process_habitat, .max_object_size = 65535);
	USABLE(&process_habitat, .max_object_size = 65536);
}

static void one_to_64_map_buffers_are_accepted(void **state)
{
	unsigned buffers;

	(void)state;
	for (buffers = 1; buffers <= 64; buffers++)
		USABLE(&buffer_habitat, .map_buffers = buffers);
}

static void the_limit_is_rounded_down_to_pages(void **state)
{
	const struct habitat *habitat = *state;
	struct zs_pool_options options = { .limit = MIB(2) + 4095 };
	struct zs_pool_stats stats;
	struct rig rig;

	rig_open(&rig, habitat, &options);
	zs_pool_stats(rig.pool, &stats);
	assert_int_equal(stats.limit_bytes, MIB(2));
	rig_close(&rig);
}

static void a_buffer_may_begin_and_end_anywhere(void **state)
{
	struct zs_pool_options options = { .on_misuse = NULL };
	unsigned char *bytes = malloc(MIB(1) + 256);
	size_t shift, i;

	(void)state;
	assert_non_null(bytes);
	for (shift = 0; shift < 80; shift++) {
		struct object object;

		memset(bytes, 0x5A, MIB(1) + 256);
		options.buffer = bytes + shift;
		options.buffer_size = MIB(1) + shift / 2;
		options.page_size = (size_t)256 << shift % 9;
		options.map_buffers = 1;
		struct zs_pool *pool = zs_create_pool(&options);

		assert_non_null(pool);
		assert_true(object_make(pool, &object, 200, shift));
		assert_true(object_intact(pool, &object));
		assert_healthy(pool);
		zs_free(pool, object.handle);
		zs_destroy_pool(pool);
		for (i = 0; i < shift; i++)
			assert_int_equal(bytes[i], 0x5A);
		for (i = shift + options.buffer_size; i < MIB(1) + 256; i++)
			assert_int_equal(bytes[i], 0x5A);
	}
	free(bytes);
}

static void a_buffer_can_be_used_again_after_its_pool(void **state)
{
	unsigned char *bytes = malloc(MIB(1));
	const struct zs_pool_options options = { .buffer = bytes, .buffer_size = MIB(1) };
	uint64_t empty_bytes = 0;
	int round;

	(void)state;
	for (round = 0; round < 20; round++) {
		struct zs_pool *pool = zs_create_pool(&options);
		struct rng rng = rng_seeded((uint64_t)round);
		struct objects objects = { 0 };

		assert_non_null(pool);
		if (round)
			assert_int_equal(zs_get_total_size_bytes(pool), empty_bytes);
		empty_bytes = zs_get_total_size_bytes(pool);
		assert_int_equal(objects_fill_up(&objects, pool, &rng, 1, 4096), ENOMEM);
		assert_objects_intact(&objects, pool);
		objects_forget(&objects);
		zs_destroy_pool(pool);
	}
	free(bytes);
}

/* Each reserves addresses, of which 32 bits leave few, and some emulators and limits. */
static int pools_at_once(void)
{
	const size_t plenty = (size_t)(UINT64_C(1) << 44);
	void *addresses;

	if (sizeof(void *) < 8)
		return 4;
	addresses =
		mmap(NULL, plenty, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (addresses == MAP_FAILED)
		return 4;
	munmap(addresses, plenty);
	return 64;
}

static void many_pools_live_side_by_side(void **state)
{
	enum { EACH = 100 };
	const int pools = pools_at_once();
	const struct habitat *habitat = *state;
	struct zs_pool_options options = { .buffer_size = MIB(1) };
	struct rig *rigs = calloc((size_t)pools, sizeof(*rigs));
	struct objects *objects = calloc((size_t)pools, sizeof(*objects));
	struct rng rng = rng_seeded(1);
	int i, round;

	assert_non_null(rigs);
	assert_non_null(objects);
	for (i = 0; i < pools; i++) {
		rig_open(&rigs[i], habitat, &options);
		objects[i].next_tag = (uint64_t)i << 32;
	}
	for (round = 0; round < EACH; round++) {
		for (i = 0; i < pools; i++)
			objects_fill(&objects[i], rigs[i].pool, &rng, 1, 1, 4096);
	}
	for (i = 0; i < pools; i += 2) {
		objects_free_all(&objects[i], rigs[i].pool);
		rig_close(&rigs[i]);
	}
	for (i = 1; i < pools; i += 2) {
		assert_objects_intact(&objects[i], rigs[i].pool);
		objects_free_all(&objects[i], rigs[i].pool);
		rig_close(&rigs[i]);
	}
	free(objects);
	free(rigs);
}

static void destroying_no_pool_does_nothing(void **state)
{
	(void)state;
	zs_destroy_pool(NULL);
}

/* What on_leak was told. */
struct leaks {
	unsigned calls;
	char pool_name[64];
	size_t class_size[8];
	uint64_t objects[8];
	uint64_t bytes[8];
};

static void note_leak(const char *pool_name, size_t class_size, uint64_t objects, uint64_t bytes,
		      void *data)
{
	struct leaks *leaks = data;

	if (leaks->calls < COUNT_OF(leaks->objects)) {
		snprintf(leaks->pool_name, sizeof(leaks->pool_name), "%s", pool_name);
		leaks->class_size[leaks->calls] = class_size;
		leaks->objects[leaks->calls] = objects;
		leaks->bytes[leaks->calls] = bytes;
	}
	leaks->calls++;
}

static void objects_still_alive_are_reported_class_by_class(void **state)
{
	static const struct {
		size_t size;
		unsigned count;
	} alive[] = { { 64, 30 }, { 1000, 7 }, { 3000, 1 } };
	const struct habitat *habitat = *state;
	struct leaks leaks = { 0 };
	struct zs_pool_options options = { .name = "leaky",
					   .on_leak = note_leak,
					   .hook_data = &leaks };
	struct rig rig;
	zs_handle handle;
	size_t i, k;

	rig_open(&rig, habitat, &options);
	for (i = 0; i < COUNT_OF(alive); i++) {
		for (k = 0; k < alive[i].count; k++)
			assert_true(zs_malloc(rig.pool, alive[i].size) != 0);
	}
	handle = zs_malloc(rig.pool, 2000);
	zs_free(rig.pool, handle);
	rig_close(&rig);
	assert_int_equal(leaks.calls, COUNT_OF(alive));
	assert_string_equal(leaks.pool_name, "leaky");
	for (i = 0; i < COUNT_OF(alive); i++) {
		for (k = 0; k < COUNT_OF(alive) && leaks.objects[k] != alive[i].count; k++)
			;
		assert_true(k < COUNT_OF(alive));
		assert_true(leaks.class_size[k] >= alive[i].size);
		assert_true(leaks.class_size[k] < alive[i].size + 512);
		assert_int_equal(leaks.bytes[k], alive[i].count * leaks.class_size[k]);
	}
}

static void nothing_is_reported_when_all_was_freed(void **state)
{
	const struct habitat *habitat = *state;
	struct leaks leaks = { 0 };
	struct zs_pool_options options = { .on_leak = note_leak, .hook_data = &leaks };
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(2);
	struct rig rig;

	rig_open(&rig, habitat, &options);
	objects_fill(&objects, rig.pool, &rng, 1000, 1, 4096);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
	assert_int_equal(leaks.calls, 0);
}

static void assert_leaky_pool_is_called(const char *given, const char *called)
{
	struct leaks leaks = { 0 };
	char name[64] = "";
	struct zs_pool_options options = { .name = given ? name : NULL,
					   .on_leak = note_leak,
					   .hook_data = &leaks };
	struct zs_pool *pool;

	if (given)
		snprintf(name, sizeof(name), "%s", given);
	pool = zs_create_pool(&options);
	memset(name, 'x', sizeof(name) - 1);
	assert_non_null(pool);
	assert_true(zs_malloc(pool, 10) != 0);
	zs_destroy_pool(pool);
	assert_int_equal(leaks.calls, 1);
	assert_string_equal(leaks.pool_name, called);
}

static void the_name_is_copied_and_cut_to_31_bytes(void **state)
{
	(void)state;
	assert_leaky_pool_is_called(NULL, "zsmalloc");
	assert_leaky_pool_is_called("a", "a");
	assert_leaky_pool_is_called("1234567890123456789012345678901",
				    "1234567890123456789012345678901");
	assert_leaky_pool_is_called("12345678901234567890123456789012345",
				    "1234567890123456789012345678901");
}

static void a_failed_call_leaves_its_error_with_the_pool(void **state)
{
	const struct habitat *habitat = *state;
	struct rig rig, other;

	rig_open(&rig, habitat, NULL);
	rig_open(&other, habitat, NULL);
	assert_true(zs_malloc(rig.pool, 0) == 0);
	assert_int_equal(zs_last_error(rig.pool), EINVAL);
	assert_true(zs_malloc(other.pool, SIZE_MAX) == 0);
	assert_int_equal(zs_last_error(rig.pool), EINVAL);
	assert_int_equal(zs_last_error(other.pool), EMSGSIZE);
	rig_close(&other);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_options_make_a_default_pool),
		cmocka_unit_test(zeroed_options_make_a_default_pool),
		cmocka_unit_test(a_fixed_buffer_has_pages_of_4096_bytes_by_default),
		cmocka_unit_test(options_out_of_range_are_refused),
		cmocka_unit_test(options_of_a_buffer_out_of_range_are_refused),
		IN_BOTH_HABITATS(options_at_the_ends_of_their_ranges_are_accepted),
		IN_BOTH_HABITATS(short_handles_stay_below_their_bits_and_work_like_others),
		cmocka_unit_test(objects_in_a_process_may_be_larger_than_a_page),
		cmocka_unit_test(one_to_64_map_buffers_are_accepted),
		IN_BOTH_HABITATS(the_limit_is_rounded_down_to_pages),
		cmocka_unit_test(a_buffer_may_begin_and_end_anywhere),
		cmocka_unit_test(a_buffer_can_be_used_again_after_its_pool),
		IN_BOTH_HABITATS(many_pools_live_side_by_side),
		cmocka_unit_test(destroying_no_pool_does_nothing),
		IN_BOTH_HABITATS(objects_still_alive_are_reported_class_by_class),
		IN_BOTH_HABITATS(nothing_is_reported_when_all_was_freed),
		cmocka_unit_test(the_name_is_copied_and_cut_to_31_bytes),
		IN_BOTH_HABITATS(a_failed_call_leaves_its_error_with_the_pool),
	};

	return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
