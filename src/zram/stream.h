/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Streams: what one call at work needs for itself - a codec's context, buffers,
 * counters. Their number is bounded; a call takes one that is free, makes one, or
 * waits. Who takes all of them has the store for itself.
 */
#ifndef ZRAM_STREAM_H
#define ZRAM_STREAM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "zram/budget.h"
#include "zram/codec.h"

/*
 * Counters are added up over all streams: those of what is stored now are
 * differences, which wrap. Only the stream's holder writes, anybody reads.
 */
enum counter {
	/* of what is stored now */
	STORED_BLOCKS,
	STORED_BYTES, /* in objects, as compressed */
	SAME_BLOCKS,
	RAW_BLOCKS,
	/* of what happened */
	RAW_WRITES,
	FAILED_READS,
	FAILED_WRITES,
	INVALID_IO,
	FREED_BLOCKS,
	READS,
	READ_BYTES,
	WRITES,
	WRITTEN_BYTES,
	UNCHANGED_BLOCKS,
	DAMAGED_BLOCKS,
	NR_COUNTERS
};

/* What depends on the codec. */
struct kit {
	void *context;    /* NULL if the codec needs none */
	char *compressed; /* as much as the codec may need, a block at least */
	char *block;      /* a block that is rebuilt, or read in part */
	size_t bytes;     /* of all this */
};

struct stream {
	_Atomic bool busy;
	_Atomic uint64_t count[NR_COUNTERS];
	struct kit kit;
};

#define STREAMS_MAX 256u

struct streams {
	struct budget *budget;
	const struct codec *codec; /* changes only while all streams are taken */
	bool wipes;                /* a stream's buffers are zero while it is free. Constant */
	pthread_mutex_t lock;
	pthread_cond_t freed;
	_Atomic unsigned waiters;
	_Atomic bool quiescing; /* nobody else takes a stream */
	_Atomic unsigned max;
	_Atomic unsigned made; /* written under lock; below it stream[] is set, and stays */
	struct stream *_Atomic stream[STREAMS_MAX];
	_Atomic uint64_t bytes; /* of all streams, counted in the budget. Written under lock */
};

/* Makes the first stream, so that there is always one. Returns 0, ENOMEM or ENOSPC. */
int streams_init(struct streams *streams, struct budget *budget, const struct codec *codec,
		 unsigned max);
void streams_destroy(struct streams *streams);

/* Never fails; waits if need be. */
struct stream *stream_take(struct streams *streams);
void stream_release(struct streams *streams, struct stream *stream);

/* Waits until all streams are free, and keeps them. Returns one of them to work with. */
struct stream *streams_quiesce(struct streams *streams);
void streams_resume(struct streams *streams);

/*
 * While quiesced: goes over to another codec. Returns 0, ENOMEM or ENOSPC, and then nothing
 * has changed.
 */
int streams_set_codec(struct streams *streams, const struct codec *codec);

/* While quiesced: all counters are 0. */
void streams_clear_counters(struct streams *streams);

void streams_set_max(struct streams *streams, unsigned max);

uint64_t streams_count(struct streams *streams, enum counter counter);

static inline void stream_count(struct stream *stream, enum counter counter, uint64_t n)
{
	_Atomic uint64_t *count = &stream->count[counter];

	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

#endif
