/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Numbers as people read them: 1,234,567 and 12.3 MiB. Each call writes to the
 * buffer that it is given and returns it, so that it can stand in a printf().
 */
#ifndef FIGURES_H
#define FIGURES_H

#include <stdint.h>

#define FIGURE_ROOM 32

/* With a comma between thousands. */
const char *figure_count(char text[FIGURE_ROOM], uint64_t number);

/* Bytes as MiB with one decimal, below 10 MiB with two. The unit is not written. */
const char *figure_mib(char text[FIGURE_ROOM], uint64_t bytes);

/* part of whole in percent; 0 if whole is 0. */
double figure_percent(uint64_t part, uint64_t whole);

#endif /* FIGURES_H */
