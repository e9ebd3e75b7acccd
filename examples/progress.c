/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The progress line. Looks at the clock each time it is told something and
 * writes only when the last line is old enough, so that it may be told often.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "measure.h"
#include "progress.h"

#define BAR_CELLS 30

static const uint64_t redraw_ns = 100000000;    /* on a terminal */
static const uint64_t new_line_ns = 5000000000; /* elsewhere */

static struct {
	const char *phase;
	uint64_t total;
	uint64_t last_ns; /* when the last line was written, or the phase began */
	bool is_terminal;
	bool is_drawn;
} line;

void progress_begin(const char *phase, uint64_t total)
{
	line.phase = phase;
	line.total = total;
	line.is_terminal = isatty(STDERR_FILENO) == 1;
	line.is_drawn = false;
	line.last_ns = now_ns();
}

static void draw(uint64_t done)
{
	unsigned filled = line.total ? (unsigned)(done * BAR_CELLS / line.total) : 0;

	if (line.is_terminal)
		fputs("\r\033[K", stderr);
	if (!line.total) {
		fprintf(stderr, "%s: %" PRIu64, line.phase, done);
	} else {
		fprintf(stderr, "%s: ", line.phase);
		for (unsigned i = 0; i < BAR_CELLS && line.is_terminal; i++)
			fputc(i < filled ? '#' : '.', stderr);
		fprintf(stderr, " %3" PRIu64 " %%, %" PRIu64 " of %" PRIu64 " MiB",
			done * 100 / line.total, done >> 8, line.total >> 8);
	}
	if (!line.is_terminal)
		fputc('\n', stderr);
	fflush(stderr);
}

void progress_at(uint64_t done)
{
	uint64_t now = now_ns();

	if (now - line.last_ns < (line.is_terminal ? redraw_ns : new_line_ns))
		return;
	draw(done);
	line.is_drawn = true;
	line.last_ns = now;
}

void progress_end(void)
{
	if (line.is_terminal && line.is_drawn)
		fputs("\r\033[K", stderr);
	line.is_drawn = false;
}
