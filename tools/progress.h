/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* A bar on standard error that says how far something is, where that is a terminal. */
#ifndef TOOLS_PROGRESS_H
#define TOOLS_PROGRESS_H

#include <stdint.h>

void progress_begin(const char *what, uint64_t total);

/* May be called often: it is drawn when the last one is old enough. */
void progress_add(uint64_t done);

/* Leaves nothing of it on the screen. */
void progress_end(void);

#endif
