/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The arguments of tests that are random, and are run once in make check, with a fixed seed, but
 * can go on with others for a time that is given.
 */
#ifndef PRESSURE_LONG_RUN_H
#define PRESSURE_LONG_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct long_run {
	uint64_t seed; /* of this round */
	unsigned rounds;
	time_t end;       /* 0: one round */
	const char *only; /* what else was given, or NULL */
};

static inline time_t long_run_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* [--seed N] [--seconds N] [WORD] */
static inline bool long_run_read(struct long_run *run, int argc, char **argv)
{
	*run = (struct long_run){ .seed = 1 };
	for (int i = 1; i < argc; i++) {
		bool has_number = i + 1 < argc;

		if (!strcmp(argv[i], "--seed") && has_number)
			run->seed = strtoull(argv[++i], NULL, 10);
		else if (!strcmp(argv[i], "--seconds") && has_number)
			run->end = long_run_now() + (time_t)strtoul(argv[++i], NULL, 10);
		else if (!run->only && argv[i][0] != '-')
			run->only = argv[i];
		else
			return false;
	}
	return true;
}

/* Whether there is another round; says its seed, so that it can be had again. */
static inline bool long_run_next(struct long_run *run)
{
	if (run->rounds && long_run_now() >= run->end)
		return false;
	run->seed += run->rounds++ != 0;
	printf("seed %llu\n", (unsigned long long)run->seed);
	fflush(stdout);
	return true;
}

#endif /* PRESSURE_LONG_RUN_H */
