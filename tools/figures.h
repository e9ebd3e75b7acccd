/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* The figures of a served disk: what its attributes "stat" and "classes" say, as numbers. */
#ifndef TOOLS_FIGURES_H
#define TOOLS_FIGURES_H

#include <stddef.h>
#include <stdint.h>

#include <zram.h>

#include "control.h"

enum figure_kind {
	GAUGE,  /* may become less */
	COUNTER /* only grows, until a reset */
};

/* One field of struct zram_stats, all of which are uint64_t. */
struct figure {
	const char *name;   /* as in the attribute */
	size_t offset;      /* in struct zram_stats */
	const char *metric; /* Prometheus' name for it */
	enum figure_kind kind;
	const char *help;
};

extern const struct figure figures[];
extern const size_t figure_total;

uint64_t figure_value(const struct zram_stats *stats, const struct figure *figure);

/* Ends the process if there is no answer or it cannot be understood. */
void take_figures(struct control *control, struct zram_stats *stats);

/* The algorithm in use. The caller frees it. */
char *take_algorithm(struct control *control);

/* "4 GiB disk, lz4, blocks of 4 KiB". The caller frees it. */
char *describe_disk(const struct zram_stats *stats, const char *algorithm);

/* The size classes that hold pages; freed by the caller. */
struct class_figures {
	uint64_t index;
	uint64_t size; /* bytes a slot */
	uint64_t is_open;
	uint64_t pages_per_zspage;
	uint64_t objs_per_zspage;
	uint64_t objects;
	uint64_t free_slots;
	uint64_t pages;
	uint64_t reclaimable_bytes;
	uint64_t zspages[ZS_FULLNESS_BANDS];
};

struct class_figures *take_classes(struct control *control, size_t *count);

/* Their sums, in bytes. */
struct pool_figures {
	uint64_t held;    /* the pages of all classes */
	uint64_t in_use;  /* slots in use */
	uint64_t objects; /* a count */
	uint64_t reclaimable;
};

struct pool_figures sum_classes(const struct class_figures *classes, size_t count);

/* Bytes of the pages that a class holds. */
uint64_t class_held(const struct class_figures *class);

#endif
