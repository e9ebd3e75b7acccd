/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * How long compaction of the whole takes after a random 75 % was freed, and what is held
 * before and after: a pool of ours and the kernel's, in which its zram keeps the same pages
 * with the same codec. Lines are: measure, variant, subject, unit, round, value.
 * Usage: compaction_kernel DEVICE DATA PAGES ROUNDS
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lz4.h>
#include <zsmalloc.h>

#include "clock.h"
#include "pages.h"
#include "rng.h"
#include "side.h"

struct bench {
	struct pages pages;
	uint32_t *order; /* of the pages: three quarters are freed first */
	zs_handle *handles;
	uint32_t *sizes; /* of the pages as our pool keeps them */
	const char *device;
	unsigned round;
	char variant[64];
};

void stop(const char *what)
{
	fprintf(stderr, "compaction_kernel: %s: %s\n", what, strerror(errno));
	exit(2);
}

static const unsigned char *page_at(const struct bench *bench, uint32_t page)
{
	return bench->pages.bytes + (size_t)page * PAGE_BYTES;
}

static uint32_t freed_count(const struct bench *bench)
{
	return bench->pages.count / 4 * 3;
}

static void print_value(const struct bench *bench, const char *measure, const char *subject,
			const char *unit, double value)
{
	printf("%s\t%s\t%s\t%s\t%u\t%.4f\n", measure, bench->variant, subject, unit, bench->round,
	       value);
	fflush(stdout);
}

/* The bytes alive, and what is held before and after compaction that takes ns. */
struct outcome {
	uint64_t alive;
	uint64_t before;
	uint64_t after;
	uint64_t ns;
};

static void print_outcome(const struct bench *bench, const char *subject,
			  const struct outcome *outcome)
{
	double mib = (double)(outcome->before - outcome->after) / (1 << 20);
	double alive = (double)outcome->alive;

	print_value(bench, "whole-pool", subject, "us", (double)outcome->ns / 1e3);
	print_value(bench, "give-back", subject, "MiB/s", mib / ((double)outcome->ns / 1e9));
	print_value(bench, "free75", subject, "B/B", (double)outcome->before / alive);
	print_value(bench, "free75-compacted", subject, "B/B", (double)outcome->after / alive);
}

/* As zram does it: what hardly shrinks is kept as it is. */
static void keep_page(struct bench *bench, struct zs_pool *pool, uint32_t page)
{
	char packed[LZ4_COMPRESSBOUND(PAGE_BYTES)];
	const void *from = packed;
	int size = LZ4_compress_default((const char *)page_at(bench, page), packed, PAGE_BYTES,
					sizeof(packed));

	if ((size_t)size >= zs_huge_class_size(pool)) {
		from = page_at(bench, page);
		size = PAGE_BYTES;
	}
	bench->handles[page] = zs_malloc(pool, (size_t)size);
	if (!bench->handles[page])
		stop("zs_malloc");
	memcpy(zs_map_object(pool, bench->handles[page], ZS_MM_WO), from, (size_t)size);
	zs_unmap_object(pool, bench->handles[page]);
	bench->sizes[page] = (uint32_t)size;
}

static void measure_pool(struct bench *bench)
{
	struct zs_pool_options options = { .name = "bench", .compaction = ZS_COMPACTION_MANUAL };
	struct zs_pool *pool = zs_create_pool(&options);
	struct outcome outcome = { 0 };

	if (!pool)
		stop("zs_create_pool");
	for (uint32_t page = 0; page < bench->pages.count; page++)
		keep_page(bench, pool, page);
	for (uint32_t i = 0; i < freed_count(bench); i++)
		zs_free(pool, bench->handles[bench->order[i]]);
	for (uint32_t i = freed_count(bench); i < bench->pages.count; i++)
		outcome.alive += bench->sizes[bench->order[i]];
	outcome.before = zs_get_total_size_bytes(pool);
	outcome.ns = clock_wall_ns();
	zs_compact(pool);
	outcome.ns = clock_wall_ns() - outcome.ns;
	outcome.after = zs_get_total_size_bytes(pool);
	print_outcome(bench, "zs", &outcome);
	zs_destroy_pool(pool);
}

/* The file of this name that the kernel has for the device. */
static FILE *open_attribute(const struct bench *bench, const char *name, const char *mode)
{
	const char *device = strrchr(bench->device, '/');
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/block%s/%s", device ? device : "/", name);
	file = fopen(path, mode);
	if (!file)
		stop(path);
	return file;
}

static void compact_device(const struct bench *bench)
{
	FILE *file = open_attribute(bench, "compact", "w");

	if (fputs("1", file) < 0 || fclose(file))
		stop("compact");
}

static void measure_device(struct bench *bench)
{
	struct side_options options = { .device = bench->device, .pages = bench->pages.count };
	void *device = side_device.open(&options);
	struct outcome outcome;

	for (uint32_t page = 0; page < bench->pages.count; page++)
		side_device.write(device, 0, page, page_at(bench, page));
	for (uint32_t i = 0; i < freed_count(bench); i++)
		side_device.discard(device, bench->order[i]);
	side_device.bytes(device, &outcome.alive, &outcome.before);
	outcome.ns = clock_wall_ns();
	compact_device(bench);
	outcome.ns = clock_wall_ns() - outcome.ns;
	side_device.bytes(device, &outcome.alive, &outcome.after);
	print_outcome(bench, "kernel", &outcome);
	side_device.close(device);
}

static void prepare(struct bench *bench, const char *path, uint32_t pages)
{
	struct rng rng = rng_seeded(1);

	bench->pages = pages_get(path, pages);
	bench->order = calloc(pages, sizeof(*bench->order));
	bench->sizes = calloc(pages, sizeof(*bench->sizes));
	bench->handles = calloc(pages, sizeof(*bench->handles));
	if (!bench->order || !bench->sizes || !bench->handles)
		stop("no memory");
	for (uint32_t i = 0; i < bench->pages.count; i++)
		bench->order[i] = i;
	rng_shuffle_u32(&rng, bench->order, bench->pages.count);
	snprintf(bench->variant, sizeof(bench->variant), "lz4, memory, %" PRIu32 " MiB",
		 bench->pages.count >> 8);
}

int main(int argc, char **argv)
{
	static struct bench bench;
	unsigned rounds;

	if (argc != 5) {
		fputs("usage: compaction_kernel DEVICE DATA PAGES ROUNDS\n", stderr);
		return 2;
	}
	bench.device = argv[1];
	prepare(&bench, argv[2], (uint32_t)strtoul(argv[3], NULL, 0));
	rounds = (unsigned)strtoul(argv[4], NULL, 0);
	for (bench.round = 1; bench.round <= rounds; bench.round++) {
		measure_pool(&bench);
		measure_device(&bench);
	}
	free(bench.order);
	free(bench.sizes);
	free(bench.handles);
	pages_release(&bench.pages);
	return 0;
}
