/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
#ifndef ZS_BENCH_CLOCK_H
#define ZS_BENCH_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_read(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline uint64_t clock_wall_ns(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

/* Processor time of the calling thread: what it takes when others use the machine too. */
static inline uint64_t clock_thread_ns(void)
{
	return clock_read(CLOCK_THREAD_CPUTIME_ID);
}

#endif /* ZS_BENCH_CLOCK_H */
