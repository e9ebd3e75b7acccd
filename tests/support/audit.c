/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
#include "audit.h"

#include <inttypes.h>

#define TOLERANCE_PERCENT 1 /* between the gain predicted and the gain given */
#define REPORTS_SHOWN     5

struct sums {
	uint64_t objects;
	uint64_t object_bytes;
	uint64_t free_bytes;
	uint64_t pages;
	uint64_t zspages;
	uint64_t reclaimable_bytes;
};

static void print_report(const char *what, void *data)
{
	unsigned *shown = data;

	if ((*shown)++ < REPORTS_SHOWN)
		printf("  zs_check: %s\n", what);
}

static void add_class(struct sums *sums, const struct zs_class_stats *class)
{
	sums->objects += class->objects;
	sums->object_bytes += class->objects * class->size;
	sums->free_bytes += class->free_slots * class->size;
	sums->pages += class->pages;
	sums->reclaimable_bytes += class->reclaimable_bytes;
	for (unsigned band = 0; band < ZS_FULLNESS_BANDS; band++)
		sums->zspages += class->zspages[band];
}

static struct sums sum_classes(struct tally *tally, struct zs_pool *pool, const char *phase)
{
	struct sums sums = { 0 };
	struct zs_class_stats class;

	for (unsigned index = 0; index < zs_class_count(pool); index++) {
		if (tally_check(tally, zs_class_stats(pool, index, &class) == 0,
				"%s: no statistics of class %u", phase, index))
			add_class(&sums, &class);
	}
	return sums;
}

static void add_zspage(const struct zs_zspage_info *info, void *data)
{
	struct sums *sums = data;

	sums->objects += info->objects;
	sums->object_bytes += (uint64_t)info->objects * info->class_size;
	sums->pages += info->pages;
	sums->zspages++;
}

static void expect_equal(struct tally *tally, const char *phase, const char *what, uint64_t is,
			 uint64_t expected)
{
	tally_check(tally, is == expected, "%s: %s is %" PRIu64 ", expected %" PRIu64, phase, what,
		    is, expected);
}

static void audit_total(struct tally *tally, struct zs_pool *pool, const struct audit_books *books,
			const struct zs_pool_stats *stats)
{
	const char *phase = books->phase;

	expect_equal(tally, phase, "sum of all kinds of bytes",
		     stats->object_bytes + stats->free_bytes + stats->tail_bytes +
			     stats->handle_bytes + stats->metadata_bytes,
		     stats->total_bytes);
	expect_equal(tally, phase, "zs_get_total_size_bytes", zs_get_total_size_bytes(pool),
		     stats->total_bytes);
	expect_equal(tally, phase, "zs_get_total_pages in bytes",
		     zs_get_total_pages(pool) * stats->page_size, stats->total_bytes);
	expect_equal(tally, phase, "sum of bytes in data pages",
		     stats->object_bytes + stats->free_bytes + stats->tail_bytes,
		     stats->data_pages * stats->page_size);
	expect_equal(tally, phase, "objects", stats->objects, books->objects);
	expect_equal(tally, phase, "mapped objects", stats->mapped_objects, 0);
	tally_check(tally, stats->object_bytes >= books->payload,
		    "%s: slots in use have %" PRIu64 " bytes, %" PRIu64 " were asked for", phase,
		    stats->object_bytes, books->payload);
	tally_check(tally, stats->peak_bytes >= stats->total_bytes,
		    "%s: peak %" PRIu64 " is below the total %" PRIu64, phase, stats->peak_bytes,
		    stats->total_bytes);
}

static void audit_sums(struct tally *tally, const char *phase, const struct sums *sums,
		       const struct zs_pool_stats *stats)
{
	expect_equal(tally, phase, "sum of objects", sums->objects, stats->objects);
	if (AUDIT_TARGETS)
		expect_equal(tally, phase, "sum of object bytes", sums->object_bytes,
			     stats->object_bytes);
	expect_equal(tally, phase, "sum of pages", sums->pages, stats->data_pages);
	expect_equal(tally, phase, "sum of zspages", sums->zspages, stats->zspages);
}

void audit_pool(struct tally *tally, struct zs_pool *pool, const struct audit_books *books,
		struct zs_pool_stats *stats)
{
	struct sums shown = { 0 };
	struct sums classes;
	unsigned reports = 0;
	unsigned long broken = zs_check(pool, print_report, &reports);

	tally_check(tally, broken == 0, "%s: zs_check found %lu broken", books->phase, broken);
	zs_pool_stats(pool, stats);
	audit_total(tally, pool, books, stats);
	classes = sum_classes(tally, pool, books->phase);
	audit_sums(tally, books->phase, &classes, stats);
	if (AUDIT_TARGETS)
		expect_equal(tally, books->phase, "sum of free bytes", classes.free_bytes,
			     stats->free_bytes);
	zs_for_each_zspage(pool, add_zspage, &shown);
	audit_sums(tally, books->phase, &shown, stats);
}

static bool within_tolerance(uint64_t predicted, uint64_t given)
{
	uint64_t difference = predicted > given ? predicted - given : given - predicted;

	return difference * 100 <= given * TOLERANCE_PERCENT;
}

void audit_compaction(struct tally *tally, struct zs_pool *pool, const char *phase)
{
	uint64_t by_class = sum_classes(tally, pool, phase).reclaimable_bytes;
	uint64_t predicted = zs_compactable_bytes(pool);
	uint64_t before = zs_get_total_size_bytes(pool);
	uint64_t given = zs_compact(pool);
	uint64_t fell = before - zs_get_total_size_bytes(pool);
	uint64_t left = zs_compactable_bytes(pool);

	printf("  compaction: predicted %" PRIu64 " KiB, gave back %" PRIu64 " KiB\n",
	       predicted / 1024, given / 1024);
	tally_check(tally, by_class <= predicted,
		    "%s: classes predict %" PRIu64 " bytes, the pool %" PRIu64, phase, by_class,
		    predicted);
	tally_check(tally, within_tolerance(predicted, given),
		    "%s: zs_compactable_bytes() %" PRIu64 ", zs_compact() %" PRIu64, phase,
		    predicted, given);
	/* A zspage that goes may take a page of metadata with it. */
	tally_check(tally, fell >= given,
		    "%s: the total fell by %" PRIu64 ", zs_compact() said %" PRIu64, phase, fell,
		    given);
	expect_equal(tally, phase, "what is left to gain", left, 0);
}
