/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * zero_on_free: what was freed or moved away is not to be found in the pool's memory any more.
 * Objects are filled with words that say whose they are, and the raw memory of the pool is
 * searched for them: a fixed buffer as it is, a process's pool by its mappings. The same
 * search in a pool without the option has to find something, or it could find nothing at all.
 */
#include "testing.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/core.h"

/* The upper half of a word; the lower is the number of its object. */
#define MARK UINT32_C(0x5ec2e7ed)

enum { OBJECTS = 600, NOBODY = OBJECTS };

struct secrets {
	struct rig rig;
	zs_handle handle[OBJECTS];        /* 0: freed */
	size_t words[OBJECTS];            /* it is filled with */
	unsigned long found[OBJECTS + 1]; /* NOBODY: words that no object can have */
	unsigned long bytes;              /* searched */
};

/* --- objects --------------------------------------------------------------- */

static uint64_t word_of(unsigned number)
{
	return (uint64_t)MARK << 32 | number;
}

static void write_object(struct secrets *s, unsigned number)
{
	uint64_t *mem = zs_map_object(s->rig.pool, s->handle[number], ZS_MM_WO);

	assert_non_null(mem);
	for (size_t i = 0; i < s->words[number]; i++)
		mem[i] = word_of(number);
	zs_unmap_object(s->rig.pool, s->handle[number]);
}

static void make_object(struct secrets *s, unsigned number, size_t words)
{
	s->words[number] = words;
	s->handle[number] = zs_malloc(s->rig.pool, words * sizeof(uint64_t));
	assert_true(s->handle[number] != 0);
	write_object(s, number);
}

static void free_object(struct secrets *s, unsigned number)
{
	zs_free(s->rig.pool, s->handle[number]);
	s->handle[number] = 0;
}

static void open_secrets(struct secrets *s, const struct habitat *habitat,
			 struct zs_pool_options options)
{
	struct rng rng = rng_seeded(7);

	memset(s, 0, sizeof(*s));
	if (habitat->fixed)
		options.buffer_size = MIB(2);
	rig_open(&s->rig, habitat, &options);
	for (unsigned i = 0; i < OBJECTS; i++)
		make_object(s, i, rng_between(&rng, 1, 400));
}

static void close_secrets(struct secrets *s)
{
	for (unsigned i = 0; i < OBJECTS; i++)
		zs_free(s->rig.pool, s->handle[i]);
	rig_close(&s->rig);
}

/* --- the search ------------------------------------------------------------ */

/* Slots, and the pieces of straddling ones, are aligned like the words in them. */
static void search(struct secrets *s, const char *from, size_t bytes)
{
	s->bytes += bytes;
	for (size_t at = 0; at + sizeof(uint64_t) <= bytes; at += sizeof(uint64_t)) {
		uint64_t word;

		memcpy(&word, from + at, sizeof(word));
		if (word >> 32 == MARK)
			s->found[(uint32_t)word < OBJECTS ? (uint32_t)word : NOBODY]++;
	}
}

static bool is_part_of_pool(const struct zs_pool *pool, uintptr_t from, uintptr_t to)
{
	const uintptr_t parts[] = { (uintptr_t)pool, (uintptr_t)pool->port->meta_base,
				    (uintptr_t)pool->port->data_base };

	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		if (parts[i] >= from && parts[i] < to)
			return true;
	}
	return false;
}

static void search_mappings(struct secrets *s)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		uintptr_t from, to;
		char mode[5];

		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &from, &to, mode) == 3 &&
		    mode[0] == 'r' && is_part_of_pool(s->rig.pool, from, to))
			search(s, (const char *)from, to - from);
	}
	fclose(maps);
}

static void search_pool(struct secrets *s)
{
	memset(s->found, 0, sizeof(s->found));
	s->bytes = 0;
	if (s->rig.buffer)
		search(s, (const char *)s->rig.buffer, s->rig.buffer_size);
	else
		search_mappings(s);
	assert_int_equal(s->found[NOBODY], 0);
}

/* Words found that belong to nobody alive, or twice to one. Every living object has to be there. */
static unsigned long remains(struct secrets *s)
{
	unsigned long count = 0;

	search_pool(s);
	for (unsigned i = 0; i < OBJECTS; i++) {
		size_t own = s->handle[i] ? s->words[i] : 0;

		assert_true(s->found[i] >= own);
		count += s->found[i] - own;
	}
	return count;
}

/* --- what leaves something behind ------------------------------------------ */

static void free_half(struct secrets *s)
{
	for (unsigned i = 0; i < OBJECTS; i += 2)
		free_object(s, i);
}

static void free_all(struct secrets *s)
{
	for (unsigned i = 0; i < OBJECTS; i++)
		free_object(s, i);
}

static void move(struct secrets *s)
{
	struct zs_pool_stats stats;

	for (unsigned i = 0; i < OBJECTS; i++) {
		if (i % 4)
			free_object(s, i);
	}
	zs_compact(s->rig.pool);
	zs_pool_stats(s->rig.pool, &stats);
	assert_true(stats.moved_objects > 0);
}

/* New objects, smaller and larger than those that were where they are now. */
static void replace(struct secrets *s)
{
	struct rng rng = rng_seeded(8);

	for (int round = 0; round < 20 * OBJECTS; round++) {
		unsigned number = rng_below(&rng, OBJECTS);

		free_object(s, number);
		make_object(s, number, rng_between(&rng, 1, 400));
	}
}

static void map_one_after_another(struct secrets *s)
{
	for (unsigned i = 0; i < OBJECTS; i++) {
		uint64_t *mem =
			zs_map_object(s->rig.pool, s->handle[i], i % 2 ? ZS_MM_RO : ZS_MM_RW);

		assert_true(mem && mem[0] == word_of(i));
		zs_unmap_object(s->rig.pool, s->handle[i]);
	}
}

/* --- the tests ------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*act)(struct secrets *s);
	bool in_process; /* there is something to be found in a process without the option */
} deeds[] = {
	{ "half of the objects freed", free_half, true },
	{ "all objects freed", free_all, true },
	{ "objects moved by compaction", move, true },
	{ "objects replaced by others", replace, true },
	{ "objects mapped", map_one_after_another, false },
};

static void nothing_is_left_in_the_pool(void **state)
{
	const struct habitat *habitat = *state;

	for (size_t i = 0; i < COUNT_OF(deeds); i++) {
		for (unsigned compaction = 0; compaction < 2; compaction++) {
			struct zs_pool_options options = { .compaction = compaction };
			unsigned long without, with;
			struct secrets s;

			open_secrets(&s, habitat, options);
			deeds[i].act(&s);
			without = remains(&s);
			close_secrets(&s);
			options.zero_on_free = 1;
			open_secrets(&s, habitat, options);
			deeds[i].act(&s);
			with = remains(&s);
			print_message("%s, %s: %lu words left without zero_on_free, %lu with "
				      "(%lu bytes searched)\n",
				      deeds[i].name, compaction ? "manual" : "auto", without, with,
				      s.bytes);
			assert_int_equal(with, 0);
			/* A debug build poisons what is freed. */
			assert_true(without || ZS_DEBUG ||
				    !(deeds[i].in_process || habitat->fixed));
			close_secrets(&s);
		}
	}
}

/* With pages of 256 bytes nearly all objects straddle, with 64 KiB nearly none. */
static void nothing_is_left_in_pages_of_any_size(void **state)
{
	(void)state;
	for (size_t page = 256; page <= 65536; page *= 4) {
		struct zs_pool_options options = { .page_size = page, .zero_on_free = 1 };
		struct habitat habitat = { .fixed = true };
		struct secrets s = { 0 };
		size_t most = page / 8 < 400 ? page / 8 : 400;

		options.buffer_size = MIB(4);
		rig_open(&s.rig, &habitat, &options);
		for (unsigned i = 0; i < OBJECTS; i++)
			make_object(&s, i, most - i % (most / 2));
		map_one_after_another(&s);
		move(&s);
		assert_int_equal(remains(&s), 0);
		close_secrets(&s);
	}
}

/* With objects alive in it. */
static void a_destroyed_fixed_buffer_is_zero(void **state)
{
	(void)state;
	for (unsigned zero = 0; zero < 2; zero++) {
		struct habitat habitat = { .fixed = true };
		struct secrets s;
		unsigned long left = 0;

		open_secrets(&s, &habitat, (struct zs_pool_options){ .zero_on_free = zero });
		zs_destroy_pool(s.rig.pool);
		for (size_t i = 0; i < s.rig.buffer_size; i++)
			left += s.rig.buffer[i] != 0;
		rig_assert_guards(&s.rig);
		free(s.rig.guarded);
		assert_true(zero ? left == 0 : left != 0);
	}
}

static void count_complaint(const char *what, void *data)
{
	*(unsigned *)data += strstr(what, "a free slot is not zero") != NULL;
}

static void the_check_notices_a_free_slot_that_is_not_zero(void **state)
{
	struct secrets s;
	unsigned complaints = 0, number = 0;
	unsigned char *mem;

	open_secrets(&s, *state, (struct zs_pool_options){ .zero_on_free = 1 });
	/* A small one has an address of its own: it does not straddle. */
	while (s.words[number] != 16)
		number++;
	mem = zs_map_object(s.rig.pool, s.handle[number], ZS_MM_RW);
	zs_unmap_object(s.rig.pool, s.handle[number]);
	free_object(&s, number);
	assert_int_equal(zs_check(s.rig.pool, count_complaint, &complaints), 0);
	mem[3] = 1;
	assert_true(zs_check(s.rig.pool, count_complaint, &complaints) > 0);
	assert_int_equal(complaints, 1);
	mem[3] = 0;
	close_secrets(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BOTH_HABITATS(nothing_is_left_in_the_pool),
		cmocka_unit_test(nothing_is_left_in_pages_of_any_size),
		cmocka_unit_test(a_destroyed_fixed_buffer_is_zero),
		IN_BOTH_HABITATS(the_check_notices_a_free_slot_that_is_not_zero),
	};

	return cmocka_run_group_tests_name("zero_on_free", tests, NULL, NULL);
}
