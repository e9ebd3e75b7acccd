/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * RAMCloud's workloads: for the test, which looks at every byte of the pool, and for the
 * benchmark, which compares with malloc.
 */
#include "ramcloud.h"

#define ALLOCATED_PER_LIVE 5 /* bytes allocated in a phase, times the live limit */
#define PAUSES_PER_PHASE   64

const struct ramcloud_workload ramcloud_workloads[RAMCLOUD_WORKLOADS] = {
	{ "W1", { 100, 100 }, 0, { 0, 0 }, 0 },
	{ "W2", { 100, 100 }, 0, { 130, 130 }, 0 },
	{ "W3", { 100, 100 }, 90, { 130, 130 }, 0 },
	{ "W4", { 100, 150 }, 0, { 200, 250 }, 0 },
	{ "W5", { 100, 150 }, 90, { 200, 250 }, 0 },
	{ "W6", { 100, 200 }, 50, { 1000, 2000 }, 0 },
	{ "W7", { 1000, 2000 }, 90, { 1500, 2500 }, 0 },
	{ "W8", { 50, 150 }, 90, { 5000, 15000 }, 16384 },
};

uint64_t ramcloud_most_objects(const struct ramcloud_workload *workload, uint64_t live_limit)
{
	return live_limit / workload->before.min + 1;
}

static void drop_random(struct ramcloud_run *run)
{
	uint32_t place = rng_below(&run->rng, run->count);
	uint32_t last = --run->count;

	run->user->drop(run->data, place, last);
	run->payload -= run->sizes[place];
	run->sizes[place] = run->sizes[last];
	run->operations++;
}

static void make(struct ramcloud_run *run, uint32_t size)
{
	uint32_t place = run->count++;

	run->sizes[place] = size;
	run->payload += size;
	run->operations++;
	run->user->make(run->data, place, size);
}

void ramcloud_allocate(struct ramcloud_run *run, struct ramcloud_sizes range)
{
	uint64_t in_all = run->live_limit * ALLOCATED_PER_LIVE;
	uint64_t pauses = 0;

	for (uint64_t allocated = 0; allocated < in_all;) {
		uint32_t size = rng_between(&run->rng, range.min, range.max);

		while (run->payload + size > run->live_limit)
			drop_random(run);
		make(run, size);
		allocated += size;
		if (run->user->pause && allocated >= (pauses + 1) * in_all / PAUSES_PER_PHASE) {
			run->user->pause(run->data);
			pauses++;
		}
	}
}

void ramcloud_delete(struct ramcloud_run *run, unsigned percent)
{
	uint64_t count = (uint64_t)run->count * percent / 100;

	while (count--)
		drop_random(run);
}
