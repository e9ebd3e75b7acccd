/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The progress bar. It looks at the clock each time it is told something and writes
 * only when the last bar is old enough.
 */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "progress.h"

#define BAR_CELLS 30u

static const uint64_t redraw_ns = 100000000;

static struct {
	const char *what;
	uint64_t done;
	uint64_t total;
	uint64_t drawn_ns;
	bool is_wanted;
	bool is_drawn;
} bar;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void progress_begin(const char *what, uint64_t total)
{
	bar.what = what;
	bar.done = 0;
	bar.total = total;
	bar.drawn_ns = now_ns();
	bar.is_wanted = isatty(STDERR_FILENO) == 1;
}

void progress_add(uint64_t done)
{
	uint64_t now = now_ns();
	double share;

	bar.done += done;
	if (!bar.is_wanted || !bar.total || now - bar.drawn_ns < redraw_ns)
		return;
	share = (double)bar.done / (double)bar.total;
	fprintf(stderr, "\r%s [", bar.what);
	for (unsigned i = 0; i < BAR_CELLS; i++)
		fputc(i < (unsigned)(share * BAR_CELLS) ? '#' : '.', stderr);
	fprintf(stderr, "] %3.0f %%", share * 100);
	fflush(stderr);
	bar.is_drawn = true;
	bar.drawn_ns = now;
}

void progress_end(void)
{
	if (bar.is_drawn)
		fputs("\r\033[K", stderr);
	bar.is_drawn = false;
}
