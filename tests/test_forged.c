/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Forged and damaged handles. A handle of H bits is, from its low end, an index (7 bits), the
 * reference of a handle block, a generation (G bits) and a tag (T bits). It is accepted if the
 * block is one in use, the index is that of a live object, and generation and tag are the ones
 * that the pool computes for them. So of all numbers exactly those are accepted that are live
 * handles: L of 2^H. Each number that a test below finds accepted has to be one of them.
 *
 * Random numbers below 2^H: each is a live handle with a chance of L / 2^H.
 *
 * Numbers whose index and reference are those of a live object, the rest random (whoever forges
 * so has seen handles of this pool): a chance of 2^-(G+T) each.
 *
 * One bit flipped. In generation or tag: never accepted, as index and reference allow one value
 * only. In index or reference: only if that leads to another live object (a near miss) whose
 * generation fits, which it does with a chance of 2^-G, once entries have been used again, and
 * whose tag fits: it is the top T bits of a product with a secret odd factor, and those of two
 * products are the same with a chance of at most 2^(1-T). So 2^(1-G-T) for a near miss in the
 * mean. Near misses of the same two blocks have much in common, and count together. (As to the
 * index it is less: see INDEX_SPREAD in handle.c.)
 *
 * What is asserted leaves room for luck: for independent events six standard deviations and
 * six more, for flips eight times the mean, and two blocks' worth. Usage: test_forged [SEED]
 */
#include "testing.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/core.h"

enum { OBJECTS = 10000, TRIES = ZS_DEBUG || UNDER_ASAN ? 100000 : 1000000 };

/* With 64 bits a handle proves which pool gave it out; with 32 it cannot. */
#define HANDLES_ARE_TAGGED (sizeof(zs_handle) >= 8)

static uint64_t seed = 1;

static const struct kind {
	const char *name;
	bool fixed;
	size_t objects;
	struct zs_pool_options options;
} kinds[] = {
	{ "process", false, OBJECTS, { .name = NULL } },
	{ "process of 64 MiB", false, OBJECTS, { .limit = MIB(64), .handle_bits = 32 } },
	{ "fixed buffer of 16 MiB", true, OBJECTS, { .buffer_size = MIB(16) } },
	{ "fixed buffer of 16 MiB", true, OBJECTS, { .buffer_size = MIB(16), .handle_bits = 32 } },
	{ "fixed buffer of 2 MiB", true, 4000, { .buffer_size = MIB(2), .handle_bits = 32 } },
#if UINTPTR_MAX > UINT32_MAX
	{ "process of 64 MiB", false, OBJECTS, { .limit = MIB(64), .handle_bits = 40 } },
	{ "process of 64 MiB", false, OBJECTS, { .limit = MIB(64), .handle_bits = 48 } },
	{ "fixed buffer of 16 MiB", true, OBJECTS, { .buffer_size = MIB(16), .handle_bits = 36 } },
	{ "fixed buffer of 16 MiB", true, OBJECTS, { .buffer_size = MIB(16), .handle_bits = 40 } },
#endif
};

/* --- a pool with many objects ---------------------------------------------- */

struct crowd {
	struct zs_pool *pool;
	void *buffer;
	struct objects objects;
	zs_handle *handles; /* of all that are alive, in order */
	zs_handle *places;  /* their indices and references, in order */
	unsigned long refused;
	struct rng rng;
};

static void count_refusal(struct zs_pool *pool, enum zs_misuse fault, zs_handle handle,
			  const char *message, void *data)
{
	(void)pool;
	(void)handle;
	(void)message;
	assert_true(fault == ZS_MISUSE_BAD_HANDLE || fault == ZS_MISUSE_STALE_HANDLE);
	++*(unsigned long *)data;
}

static int compare(const void *a, const void *b)
{
	zs_handle x = *(const zs_handle *)a, y = *(const zs_handle *)b;

	return x < y ? -1 : x > y;
}

static bool is_among(const zs_handle *sorted, size_t count, zs_handle value)
{
	return bsearch(&value, sorted, count, sizeof(*sorted), compare) != NULL;
}

static zs_handle place_of(const struct crowd *crowd, zs_handle handle)
{
	return handle & (((zs_handle)1 << crowd->pool->gen_pos) - 1);
}

static zs_handle *sorted_handles(const struct crowd *crowd, bool places)
{
	size_t count = crowd->objects.count;
	zs_handle *sorted = malloc(count * sizeof(*sorted));

	assert_non_null(sorted);
	for (size_t i = 0; i < count; i++) {
		zs_handle handle = crowd->objects.at[i].handle;

		sorted[i] = places ? place_of(crowd, handle) : handle;
	}
	qsort(sorted, count, sizeof(*sorted), compare);
	return sorted;
}

/* Entries have been used before, some often, some not: so generations differ. */
static void crowd_open(struct crowd *crowd, const struct kind *kind)
{
	struct zs_pool_options options = kind->options;

	*crowd = (struct crowd){ .rng = rng_seeded(seed) };
	options.on_misuse = count_refusal;
	options.hook_data = &crowd->refused;
	if (kind->fixed)
		options.buffer = crowd->buffer = malloc(options.buffer_size);
	crowd->pool = zs_create_pool(&options);
	assert_non_null(crowd->pool);
	objects_fill(&crowd->objects, crowd->pool, &crowd->rng, kind->objects, 8, 500);
	for (int round = 0; round < 12; round++) {
		objects_free_random(&crowd->objects, crowd->pool, &crowd->rng,
				    20 + 5 * (round % 3));
		objects_fill(&crowd->objects, crowd->pool, &crowd->rng,
			     kind->objects - crowd->objects.count, 8, 500);
	}
	crowd->handles = sorted_handles(crowd, false);
	crowd->places = sorted_handles(crowd, true);
}

static void crowd_close(struct crowd *crowd)
{
	assert_objects_intact(&crowd->objects, crowd->pool);
	objects_free_all(&crowd->objects, crowd->pool);
	assert_healthy(crowd->pool);
	zs_destroy_pool(crowd->pool);
	free(crowd->handles);
	free(crowd->places);
	free(crowd->buffer);
}

/* Whether the pool takes a number for a handle. Then it is one. */
static bool is_accepted(struct crowd *crowd, zs_handle value)
{
	unsigned long refused = crowd->refused;
	bool accepted = zs_object_size(crowd->pool, value) != 0;

	assert_int_equal(crowd->refused, refused + !accepted);
	if (accepted && !is_among(crowd->handles, crowd->objects.count, value))
		fail_msg("0x%" PRIxPTR " is accepted but no handle", value);
	return accepted;
}

/* --- what is tried --------------------------------------------------------- */

struct score {
	unsigned long tried, near, accepted;
	double mean, bound; /* of accepted */
};

static double independent(double mean)
{
	return mean + 6 * sqrt(mean) + 6;
}

static void flip_bits(struct crowd *crowd, struct score *score)
{
	size_t count = crowd->objects.count;
	unsigned tag_bits = crowd->pool->tag_bits;

	for (size_t i = 0; i < count; i++) {
		for (unsigned bit = 0; bit < 8 * sizeof(zs_handle); bit++) {
			zs_handle value = crowd->handles[i] ^ (zs_handle)1 << bit;
			bool near = bit < crowd->pool->gen_pos &&
				    is_among(crowd->places, count, place_of(crowd, value));
			bool accepted = is_accepted(crowd, value);

			assert_true(near || !accepted);
			score->tried++;
			score->near += near;
			score->accepted += accepted;
		}
	}
	unsigned gen_bits = crowd->pool->tag_pos - crowd->pool->gen_pos;
	score->mean = (double)score->near * ldexp(tag_bits ? 2 : 1, -(int)(gen_bits + tag_bits));
	score->bound = 8 * score->mean + 2 * BLOCK_HANDLES_MAX;
}

static zs_handle random_below(struct rng *rng, unsigned bits)
{
	return (zs_handle)(rng_next(rng) >> (64 - bits));
}

static void try_random(struct crowd *crowd, struct score *score)
{
	unsigned bits = crowd->pool->handle_bits;

	for (; score->tried < TRIES; score->tried++)
		score->accepted += is_accepted(crowd, random_below(&crowd->rng, bits));
	score->mean = ldexp((double)crowd->objects.count * TRIES, -(int)bits);
	score->bound = independent(score->mean);
}

static void try_live_places(struct crowd *crowd, struct score *score)
{
	unsigned low = crowd->pool->gen_pos, high = crowd->pool->handle_bits - low;

	for (; score->tried < TRIES; score->tried++) {
		uint32_t one = rng_below(&crowd->rng, (uint32_t)crowd->objects.count);
		zs_handle rest = random_below(&crowd->rng, high);

		score->accepted += is_accepted(crowd, rest << low | crowd->places[one]);
	}
	score->mean = ldexp(TRIES, -(int)high);
	score->bound = independent(score->mean);
}

static void print_score(const char *what, const struct score *score)
{
	print_message("  %s: %lu tried, %lu accepted (live handles all; %.3g expected, "
		      "at most %.0f)\n",
		      what, score->tried, score->accepted, score->mean, floor(score->bound));
	assert_true((double)score->accepted <= score->bound);
}

static void only_handles_are_accepted(void **state)
{
	(void)state;
	print_message("seed %" PRIu64 "\n", seed);
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		struct score flips = { 0 }, values = { 0 }, forged = { 0 };
		struct crowd crowd;

		crowd_open(&crowd, &kinds[i]);
		print_message("%s, %u bits: generation %u, tag %u, %zu objects\n", kinds[i].name,
			      crowd.pool->handle_bits, crowd.pool->tag_pos - crowd.pool->gen_pos,
			      crowd.pool->tag_bits, crowd.objects.count);
		flip_bits(&crowd, &flips);
		print_score("one bit flipped", &flips);
		assert_true(flips.near > crowd.objects.count);
		try_random(&crowd, &values);
		print_score("random numbers", &values);
		try_live_places(&crowd, &forged);
		print_score("random at live places", &forged);
		crowd_close(&crowd);
	}
}

/* In a pool that is new all generations are the same, but not in the handles. */
static void neighbours_have_other_generations(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		struct zs_pool_options options = kinds[i].options;
		zs_handle first, second;

		if (kinds[i].fixed)
			options.buffer = malloc(options.buffer_size);
		struct zs_pool *pool = zs_create_pool(&options);

		assert_non_null(pool);
		first = zs_malloc(pool, 100);
		second = zs_malloc(pool, 100);
		assert_int_equal((first ^ second) & ((1u << INDEX_BITS) - 1), 1);
		assert_true((first ^ second) >> pool->gen_pos & 1);
		zs_destroy_pool(pool);
		free(options.buffer);
	}
}

static void small_numbers_and_addresses_are_not_handles(void **state)
{
	enum { VALUES = 100000 };
	unsigned long tried = 0, accepted = 0;
	struct crowd crowd;

	(void)state;
	crowd_open(&crowd, &kinds[0]);
	for (zs_handle i = 0; i < VALUES; i++) {
		zs_handle near_one = crowd.handles[i % crowd.objects.count] + i / OBJECTS + 1;
		uintptr_t address = (uintptr_t)crowd.pool + 8 * i;

		tried += 3;
		accepted += is_accepted(&crowd, i);
		accepted += is_accepted(&crowd, near_one);
		accepted += is_accepted(&crowd, address);
	}
	print_message("%lu tried, %lu accepted\n", tried, accepted);
	/* Small numbers lead to no block, addresses to one by chance. */
	assert_true(!HANDLES_ARE_TAGGED || accepted <= 2 * BLOCK_HANDLES_MAX);
	crowd_close(&crowd);
}

/* Both pools' blocks are in the same places. */
static void handles_of_another_pool_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		struct score score = { 0 };
		struct crowd ours, theirs;

		crowd_open(&ours, &kinds[i]);
		crowd_open(&theirs, &kinds[i]);
		for (; score.tried < theirs.objects.count; score.tried++)
			score.accepted += is_accepted(&ours, theirs.handles[score.tried]);
		unsigned low = ours.pool->gen_pos, bits = ours.pool->handle_bits - low;
		score.mean = ldexp((double)score.tried, -(int)bits);
		score.bound = 8 * score.mean + 2 * BLOCK_HANDLES_MAX;
		print_score(kinds[i].name, &score);
		crowd_close(&ours);
		crowd_close(&theirs);
	}
}

/* --- handles that were good once ------------------------------------------- */

static bool is_live(const struct objects *objects, zs_handle handle)
{
	for (size_t i = 0; i < objects->count; i++) {
		if (objects->at[i].handle == handle)
			return true;
	}
	return false;
}

/*
 * Freed long ago may be told as bad: its place in the tables may have served others
 * since. A handle of 32 bits may even be given out again.
 */
static void assert_all_refused(struct rig *rig, const struct objects *objects,
			       const zs_handle *handles, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!HANDLES_ARE_TAGGED && is_live(objects, handles[i]))
			continue;
		assert_int_equal(zs_object_size(rig->pool, handles[i]), 0);
		zs_free(rig->pool, handles[i]);
		assert_int_equal(rig->faults.count, 2);
		assert_true(rig->faults.fault == ZS_MISUSE_STALE_HANDLE ||
			    rig->faults.fault == ZS_MISUSE_BAD_HANDLE);
		rig->faults.count = 0;
	}
}

static void a_freed_handle_is_stale_and_never_good_again(void **state)
{
	enum { HANDLES = 2000 };
	zs_handle *handles = malloc(HANDLES * sizeof(*handles));
	struct objects objects = { 0 };
	struct rng rng = rng_seeded(seed);
	struct rig rig;

	assert_non_null(handles);
	rig_open_tolerant(&rig, *state, NULL);
	objects_fill(&objects, rig.pool, &rng, HANDLES, 1, 2000);
	for (size_t i = 0; i < HANDLES; i++) {
		size_t index = rng_below(&rng, (uint32_t)objects.count);

		handles[i] = objects.at[index].handle;
		objects_remove(&objects, rig.pool, index);
		zs_free(rig.pool, handles[i]);
		assert_one_fault(&rig.faults, ZS_MISUSE_STALE_HANDLE, handles[i]);
		if (i % 100 == 99)
			assert_all_refused(&rig, &objects, handles, i + 1);
	}
	zs_compact(rig.pool);
	assert_all_refused(&rig, &objects, handles, HANDLES);
	objects_fill(&objects, rig.pool, &rng, HANDLES, 1, 2000);
	assert_all_refused(&rig, &objects, handles, HANDLES);
	zs_compact(rig.pool);
	assert_all_refused(&rig, &objects, handles, HANDLES);
	objects_free_all(&objects, rig.pool);
	rig_close(&rig);
	free(handles);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_handles_are_accepted),
		cmocka_unit_test(neighbours_have_other_generations),
		cmocka_unit_test(small_numbers_and_addresses_are_not_handles),
		cmocka_unit_test(handles_of_another_pool_are_refused),
		IN_BOTH_HABITATS(a_freed_handle_is_stale_and_never_good_again),
	};

	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0);
	return cmocka_run_group_tests_name("forged handles", tests, NULL, NULL);
}
