/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Lets a heap of small objects grow and stops at each half decade to see what an
 * operation takes and what an object takes then: compiled twice, see heap.h. Lines are
 * measure, objects, unit, value. Objects are picked before the clock runs, so that the
 * cache misses that are counted are the allocator's and the objects' own.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "heap.h"
#include "resident.h"
#include "rng.h"

#define OBJECT_BYTES 32
#define PICKED       200000 /* at most, for each measure */
#define FIRST_STOP   10000

struct growth {
	heap_object *objects; /* most */
	uint32_t most;
	uint32_t count;
	uint32_t *picks;     /* places, PICKED at most */
	heap_object *picked; /* what is there */
	uint64_t resident_before;
	uint64_t sum; /* of what was read, so that it is read */
	struct rng rng;
};

static void stop(const char *what)
{
	fprintf(stderr, "growth: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void *touched(size_t count, size_t size)
{
	void *memory = malloc(count * size);

	if (!memory)
		stop("no memory");
	memset(memory, 1, count * size);
	return memory;
}

static heap_object make_object(uint64_t content)
{
	heap_object object = heap_alloc(OBJECT_BYTES);
	void *memory;

	if (!object)
		stop("no memory");
	memory = heap_open_to_write(object);
	memset(memory, 0, OBJECT_BYTES);
	memcpy(memory, &content, sizeof(content));
	heap_close(object);
	return object;
}

static void print_value(const struct growth *growth, const char *measure, const char *unit,
			double value)
{
	printf("%s\t%" PRIu32 "\t%s\t%.3f\n", measure, growth->count, unit, value);
}

static void print_time(const struct growth *growth, const char *measure, uint64_t from,
		       uint32_t operations)
{
	print_value(growth, measure, "ns", (double)(clock_wall_ns() - from) / operations);
}

static void grow(struct growth *growth, uint32_t count)
{
	uint32_t first = growth->count;
	uint64_t from = clock_wall_ns();

	while (growth->count < count) {
		growth->objects[growth->count] = make_object(growth->count);
		growth->count++;
	}
	print_time(growth, "malloc", from, count - first);
}

/* Different places, at random: one from each of as many equal parts. */
static uint32_t pick(struct growth *growth)
{
	uint32_t picks = growth->count < PICKED ? growth->count : PICKED;

	for (uint32_t i = 0; i < picks; i++) {
		uint32_t first = (uint32_t)((uint64_t)growth->count * i / picks);
		uint32_t end = (uint32_t)((uint64_t)growth->count * (i + 1) / picks);

		growth->picks[i] = first + rng_below(&growth->rng, end - first);
	}
	rng_shuffle_u32(&growth->rng, growth->picks, picks);
	for (uint32_t i = 0; i < picks; i++)
		growth->picked[i] = growth->objects[growth->picks[i]];
	return picks;
}

static void map(struct growth *growth)
{
	uint32_t picks = pick(growth);
	uint64_t from = clock_wall_ns();

	for (uint32_t i = 0; i < picks; i++) {
		uint64_t word;

		memcpy(&word, heap_open_to_read(growth->picked[i]), sizeof(word));
		heap_close(growth->picked[i]);
		growth->sum += word;
	}
	print_time(growth, "map", from, picks);
}

static void replace(struct growth *growth)
{
	uint32_t picks = pick(growth);
	uint64_t from = clock_wall_ns();

	for (uint32_t i = 0; i < picks; i++)
		heap_free(growth->picked[i]);
	print_time(growth, "free", from, picks);
	from = clock_wall_ns();
	for (uint32_t i = 0; i < picks; i++)
		growth->picked[i] = make_object(i);
	print_time(growth, "malloc-again", from, picks);
	for (uint32_t i = 0; i < picks; i++)
		growth->objects[growth->picks[i]] = growth->picked[i];
}

static void measure(struct growth *growth)
{
	uint64_t resident = resident_anonymous_bytes() - growth->resident_before;

	print_value(growth, "bytes", "B/B",
		    (double)resident / ((double)growth->count * OBJECT_BYTES));
	map(growth);
	replace(growth);
	fflush(stdout);
}

/* 10,000, 30,000, 100,000, ... */
static uint32_t next_stop(uint32_t count)
{
	uint32_t leading = count;

	while (leading >= 10)
		leading /= 10;
	return leading == 1 ? count * 3 : count / 3 * 10;
}

int main(int argc, char **argv)
{
	static struct growth growth;

	growth.most = argc == 2 ? (uint32_t)strtoul(argv[1], NULL, 0) : 0;
	if (growth.most < FIRST_STOP || growth.most > UINT32_MAX / 4) {
		fputs("usage: growth OBJECTS\n", stderr);
		return 2;
	}
	growth.rng = rng_seeded(1);
	growth.objects = touched(growth.most, sizeof(*growth.objects));
	growth.picks = touched(PICKED, sizeof(*growth.picks));
	growth.picked = touched(PICKED, sizeof(*growth.picked));
	growth.resident_before = resident_anonymous_bytes();
	if (!heap_create(false, 0))
		stop("no pool");
	for (uint32_t count = FIRST_STOP; count <= growth.most; count = next_stop(count)) {
		grow(&growth, count);
		measure(&growth);
	}
	free(growth.objects);
	free(growth.picks);
	free(growth.picked);
	return 0;
}
