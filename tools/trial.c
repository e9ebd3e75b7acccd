/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Stores data to see what it costs: nothing is computed that can be measured. One thread,
 * one request a piece.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "input.h"
#include "say.h"
#include "trial.h"

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static _Noreturn void fail(const struct trial *trial, const char *what)
{
	die(EXIT_FAILURE, "%s: %s", trial->options.algorithm, what);
}

static struct zram *make_store(const struct trial *trial, size_t size)
{
	struct zram_options options = trial->options;
	struct zram *store;

	options.size = size;
	store = zram_create(&options);
	if (!store && errno == EINVAL)
		fail(trial, options.dictionary ? "not with this level or dictionary"
					       : "not with this level");
	if (!store)
		fail(trial, strerror(errno));
	return store;
}

static void write_all(struct trial *trial, struct zram *store, const unsigned char *data,
		      size_t size, void (*done)(uint64_t bytes))
{
	for (size_t at = 0; at < size; at += PIECE_BYTES) {
		uint64_t start = now_ns();
		ssize_t written = zram_pwrite(store, data + at, PIECE_BYTES, at);

		trial->write_ns += now_ns() - start;
		if (written != PIECE_BYTES)
			fail(trial, written < 0 ? strerror(errno) : "could not be written");
		done(PIECE_BYTES);
	}
}

static void read_all(struct trial *trial, struct zram *store, const unsigned char *data,
		     size_t size, void (*done)(uint64_t bytes))
{
	static unsigned char buffer[PIECE_BYTES];

	for (size_t at = 0; at < size; at += PIECE_BYTES) {
		uint64_t start = now_ns();
		ssize_t got = zram_pread(store, buffer, PIECE_BYTES, at);

		trial->read_ns += now_ns() - start;
		if (got != PIECE_BYTES)
			fail(trial, got < 0 ? strerror(errno) : "could not be read");
		if (memcmp(buffer, data + at, PIECE_BYTES) != 0)
			fail(trial, "what was read is not what was written");
		done(PIECE_BYTES);
	}
}

void trial_run(struct trial *trial, const unsigned char *data, size_t size,
	       void (*done)(uint64_t bytes))
{
	struct zram *store = make_store(trial, size);
	struct zram_stats empty;
	struct zram_stats full;

	zram_get_stats(store, &empty);
	write_all(trial, store, data, size, done);
	read_all(trial, store, data, size, done);
	zram_get_stats(store, &full);
	/* Contexts are made when they are first needed, and not more of them for more data. */
	trial->fixed_bytes = empty.mem_used_total - empty.stream_bytes + full.stream_bytes;
	trial->used_bytes += full.mem_used_total - trial->fixed_bytes;
	trial->bytes += size;
	zram_destroy(store);
}

uint64_t trial_scale(const struct trial *trial, uint64_t bytes)
{
	double share = (double)trial->used_bytes / (double)trial->bytes;

	return trial->fixed_bytes + (uint64_t)(share * (double)bytes);
}
