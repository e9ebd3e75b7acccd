/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The figures of a run as text: what was read, what was held when, how long it
 * took.
 */
#ifndef REPORT_H
#define REPORT_H

#include <stdio.h>

#include "malloc_twin.h"
#include "pack.h"

/* What the run is about: printed before it begins. */
void report_input(const struct file_list *files, uint64_t seed, FILE *to);

/* twin is NULL if its figures could not be had. */
void report_memory(const struct pack *pack, const struct twin_figures *twin, FILE *to);

void report_compaction(const struct pack *pack, FILE *to);
void report_speed(const struct pack *pack, FILE *to);

/* How many pages were compared, and how. */
void report_comparison(const struct pack *pack, FILE *to);

#endif /* REPORT_H */
