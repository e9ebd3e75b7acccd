/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Shows on standard error how far the work is: on a terminal one line that is
 * redrawn and wiped when the phase ends, elsewhere a line every few seconds.
 * One phase at a time; not for several threads.
 */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdint.h>

/* total is in pages; 0: not known, then what progress_at() is told is a number of files. */
void progress_begin(const char *phase, uint64_t total);
void progress_at(uint64_t done);
void progress_end(void);

#endif /* PROGRESS_H */
