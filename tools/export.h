/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* A disk's figures for programs. All fields, in the order of struct zram_stats, in bytes and counts. */
#ifndef TOOLS_EXPORT_H
#define TOOLS_EXPORT_H

#include <stdio.h>

#include "figures.h"

/* One object. */
void export_json(const char *label, const char *algorithm, const struct zram_stats *stats,
		 FILE *to);

/* Prometheus' text format, each metric with HELP and TYPE. */
void export_prometheus(const char *label, const char *algorithm, const struct zram_stats *stats,
		       FILE *to);

#endif
