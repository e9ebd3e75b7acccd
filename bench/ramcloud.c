/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * One of RAMCloud's workloads (ramcloud.h of the tests) on one allocator: compiled twice,
 * see heap.h. Lines are measure, unit, value:
 *   peak          the most that was resident for each byte of the live limit
 *   deleted       what is resident for each byte alive after the deletion, where there is one
 *   operation     nanoseconds for an object made and written, or deleted
 * With --manual the pool is compacted 64 times in each phase instead of by itself.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "heap.h"
#include "ramcloud.h"
#include "resident.h"

#define MAX_SIZE 16384

struct bench {
	struct ramcloud_run run;
	heap_object *objects; /* alive, as in run */
	uint64_t ns;
};

static unsigned char source[MAX_SIZE];

static void stop(const char *what)
{
	fprintf(stderr, "ramcloud: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* The most that was ever resident (a few pages more or less), from now on if reset. */
static uint64_t peak_bytes(bool reset)
{
	FILE *file = reset ? fopen("/proc/self/clear_refs", "w") : NULL;
	uint64_t kib = 0;
	char line[256];

	if (file) {
		fputs("5", file);
		fclose(file);
	}
	file = fopen("/proc/self/status", "r");
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "VmHWM: %" SCNu64, &kib) == 1)
			break;
	}
	if (!kib)
		stop("VmHWM in /proc/self/status");
	fclose(file);
	return kib * 1024;
}

static void make_object(void *data, uint32_t place, uint32_t size)
{
	struct bench *bench = data;
	heap_object object = heap_alloc(size);

	if (!object)
		stop("no memory");
	memcpy(heap_open_to_write(object), source, size);
	heap_close(object);
	bench->objects[place] = object;
}

static void drop_object(void *data, uint32_t place, uint32_t last)
{
	struct bench *bench = data;

	heap_free(bench->objects[place]);
	bench->objects[place] = bench->objects[last];
}

static void compact(void *data)
{
	(void)data;
	heap_compact();
}

static void *touched(uint64_t count, size_t size)
{
	void *memory = malloc(count * size);

	if (!memory)
		stop("no memory");
	memset(memory, 1, count * size);
	return memory;
}

static void allocate(struct bench *bench, struct ramcloud_sizes range)
{
	uint64_t from = clock_wall_ns();

	ramcloud_allocate(&bench->run, range);
	bench->ns += clock_wall_ns() - from;
}

static void delete_some(struct bench *bench, unsigned percent, uint64_t resident_before)
{
	uint64_t from = clock_wall_ns();

	ramcloud_delete(&bench->run, percent);
	bench->ns += clock_wall_ns() - from;
	printf("deleted\tB/B\t%.4f\n",
	       (double)(resident_anonymous_bytes() - resident_before) / (double)bench->run.payload);
}

static void run(struct bench *bench, const struct ramcloud_workload *workload)
{
	uint64_t resident = resident_anonymous_bytes();
	uint64_t before = peak_bytes(true);

	allocate(bench, workload->before);
	if (workload->deleted_percent)
		delete_some(bench, workload->deleted_percent, resident);
	if (workload->after.max)
		allocate(bench, workload->after);
	printf("peak\tB/B\t%.4f\n",
	       (double)(peak_bytes(false) - before) / (double)bench->run.live_limit);
	printf("operation\tns\t%.3f\n", (double)bench->ns / (double)bench->run.operations);
}

static const struct ramcloud_workload *find_workload(const char *name)
{
	for (size_t i = 0; i < RAMCLOUD_WORKLOADS; i++) {
		if (!strcmp(name, ramcloud_workloads[i].name))
			return &ramcloud_workloads[i];
	}
	fprintf(stderr, "ramcloud: there is no workload %s\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	static struct ramcloud_user user = { make_object, drop_object, NULL };
	static struct bench bench = { .run = { .user = &user, .data = &bench } };
	bool manual = argc > 1 && !strcmp(argv[1], "--manual");
	const struct ramcloud_workload *workload;
	uint64_t most;

	if (argc != 3 + manual) {
		fputs("usage: ramcloud [--manual] WORKLOAD LIVE_BYTES\n", stderr);
		return 2;
	}
	workload = find_workload(argv[1 + manual]);
	bench.run.live_limit = strtoull(argv[2 + manual], NULL, 0);
	bench.run.rng = rng_seeded(1);
	most = ramcloud_most_objects(workload, bench.run.live_limit);
	bench.objects = touched(most, sizeof(*bench.objects));
	bench.run.sizes = touched(most, sizeof(*bench.run.sizes));
	if (manual)
		user.pause = compact;
	if (!heap_create(manual, workload->max_object_size))
		stop("no pool");
	run(&bench, workload);
	free(bench.objects);
	free(bench.run.sizes);
	return 0;
}
