/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
#include "zram/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- one stream --- */

#define CACHE_LINE   64u
#define STREAM_BYTES ((sizeof(struct stream) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE)

static void drop_kit(const struct codec *codec, struct kit *kit)
{
	if (kit->context)
		codec->ops->context_destroy(kit->context);
	free(kit->compressed);
	free(kit->block);
}

/*
 * Compresses and decompresses once, so that what the codec takes when it is first
 * used is taken, and known, now.
 */
static bool warm_up(const struct codec *codec, const struct kit *kit)
{
	memset(kit->block, 0, codec->block_size);
	ssize_t length = codec->ops->compress(codec, kit->context, kit->block, kit->compressed);

	if (length < 0)
		return false;
	return (size_t)length >= codec->block_size ||
	       codec->ops->decompress(codec, kit->context, kit->compressed, (size_t)length,
				      kit->block);
}

/* What a codec may need for a compressed block; a block that does not shrink has to fit as well. */
static size_t room_for(const struct codec *codec)
{
	size_t room = codec->ops->bound(codec->block_size);

	return room < codec->block_size ? codec->block_size : room;
}

static bool make_kit(const struct codec *codec, struct kit *kit)
{
	size_t room = room_for(codec);

	*kit = (struct kit){
		.compressed = malloc(room),
		.block = malloc(codec->block_size),
		.bytes = room + codec->block_size,
	};
	if (codec->ops->context_create)
		kit->context = codec->ops->context_create(codec);
	if (!kit->compressed || !kit->block || (codec->ops->context_create && !kit->context) ||
	    !warm_up(codec, kit)) {
		drop_kit(codec, kit);
		return false;
	}
	if (kit->context)
		kit->bytes += codec->ops->context_bytes(kit->context);
	return true;
}

/* Makes one more, taken. Lock held, or nobody else there. Returns 0, ENOMEM or ENOSPC. */
static int add(struct streams *streams)
{
	struct stream *stream = aligned_alloc(CACHE_LINE, STREAM_BYTES);
	int error = ENOMEM;

	if (!stream)
		return ENOMEM;
	memset(stream, 0, STREAM_BYTES);
	if (make_kit(streams->codec, &stream->kit)) {
		error = budget_take(streams->budget, STREAM_BYTES + stream->kit.bytes);
		if (error)
			drop_kit(streams->codec, &stream->kit);
	}
	if (error) {
		free(stream);
		return error;
	}
	streams->bytes += STREAM_BYTES + stream->kit.bytes;
	stream->busy = true;
	streams->stream[streams->made] = stream;
	atomic_store(&streams->made, streams->made + 1);
	return 0;
}

int streams_init(struct streams *streams, struct budget *budget, const struct codec *codec,
		 unsigned max)
{
	streams->budget = budget;
	streams->codec = codec;
	streams->max = max;
	int error = add(streams);
	if (error)
		return error;
	streams->stream[0]->busy = false;
	pthread_mutex_init(&streams->lock, NULL);
	pthread_cond_init(&streams->freed, NULL);
	return 0;
}

void streams_destroy(struct streams *streams)
{
	for (unsigned i = 0; i < streams->made; i++) {
		drop_kit(streams->codec, &streams->stream[i]->kit);
		free(streams->stream[i]);
	}
	budget_give(streams->budget, streams->bytes);
	pthread_cond_destroy(&streams->freed);
	pthread_mutex_destroy(&streams->lock);
}

/* --- taking and releasing --- */

/* A number for the calling thread, so that each comes back to the stream it had. */
static unsigned thread_number(void)
{
	static _Atomic unsigned last;
	static _Thread_local unsigned number;

	if (!number)
		number = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
	return number - 1;
}

static bool try_take(struct stream *stream)
{
	/* After waiters was raised, this must not be an older value: see stream_release(). */
	return !atomic_load(&stream->busy) && !atomic_exchange(&stream->busy, true);
}

/* The preferred one, else any. */
static struct stream *take_free(struct streams *streams)
{
	unsigned made = atomic_load(&streams->made), max = atomic_load(&streams->max);
	unsigned number = thread_number();

	if (made > max)
		made = max;
	for (unsigned i = 0; i < made; i++) {
		struct stream *stream = streams->stream[(number + i) % made];

		if (try_take(stream))
			return stream;
	}
	return NULL;
}

static void wake(struct streams *streams)
{
	pthread_mutex_lock(&streams->lock);
	pthread_cond_broadcast(&streams->freed);
	pthread_mutex_unlock(&streams->lock);
}

/* Of what a call had in its buffers nothing is to be left. */
static void wipe(const struct streams *streams, const struct kit *kit)
{
	if (!streams->wipes)
		return;
	memset(kit->compressed, 0, room_for(streams->codec));
	memset(kit->block, 0, streams->codec->block_size);
}

void stream_release(struct streams *streams, struct stream *stream)
{
	wipe(streams, &stream->kit);
	atomic_store(&stream->busy, false);
	if (atomic_load(&streams->waiters))
		wake(streams);
}

/* Lock held. NULL if there may be no more, or no memory is to be had for it. */
static struct stream *take_new(struct streams *streams)
{
	if (streams->made >= streams->max || add(streams))
		return NULL;
	return streams->stream[streams->made - 1];
}

static struct stream *take_slowly(struct streams *streams)
{
	struct stream *stream = NULL;

	pthread_mutex_lock(&streams->lock);
	/* Who releases looks for waiters afterwards: from here on no release is missed. */
	atomic_fetch_add(&streams->waiters, 1);
	for (;;) {
		if (!streams->quiescing) {
			stream = take_free(streams);
			if (!stream)
				stream = take_new(streams);
		}
		if (stream)
			break;
		pthread_cond_wait(&streams->freed, &streams->lock);
	}
	atomic_fetch_sub(&streams->waiters, 1);
	pthread_mutex_unlock(&streams->lock);
	return stream;
}

struct stream *stream_take(struct streams *streams)
{
	struct stream *stream = take_free(streams);

	/* Who quiesces says so first and looks for free streams then. */
	if (stream && atomic_load(&streams->quiescing)) {
		stream_release(streams, stream);
		stream = NULL;
	}
	return stream ? stream : take_slowly(streams);
}

struct stream *streams_quiesce(struct streams *streams)
{
	pthread_mutex_lock(&streams->lock);
	atomic_fetch_add(&streams->waiters, 1);
	while (streams->quiescing)
		pthread_cond_wait(&streams->freed, &streams->lock);
	atomic_store(&streams->quiescing, true);
	for (unsigned i = 0; i < streams->made; i++) {
		while (!try_take(streams->stream[i]))
			pthread_cond_wait(&streams->freed, &streams->lock);
	}
	atomic_fetch_sub(&streams->waiters, 1);
	pthread_mutex_unlock(&streams->lock);
	return streams->stream[0];
}

void streams_resume(struct streams *streams)
{
	pthread_mutex_lock(&streams->lock);
	/* Who had them all has worked with the first. */
	wipe(streams, &streams->stream[0]->kit);
	for (unsigned i = 0; i < streams->made; i++)
		atomic_store(&streams->stream[i]->busy, false);
	atomic_store(&streams->quiescing, false);
	pthread_cond_broadcast(&streams->freed);
	pthread_mutex_unlock(&streams->lock);
}

/* --- what is done with all of them --- */

/* Counts that what all kits take goes from one number to another. */
static int recount(struct streams *streams, size_t from, size_t to)
{
	int error = 0;

	if (to > from)
		error = budget_take(streams->budget, to - from);
	else
		budget_give(streams->budget, from - to);
	if (!error)
		streams->bytes += to - from;
	return error;
}

int streams_set_codec(struct streams *streams, const struct codec *codec)
{
	struct kit kits[STREAMS_MAX];
	unsigned made = streams->made, n = 0;
	size_t old_bytes = 0, new_bytes = 0;
	int error = ENOMEM;

	for (; n < made && make_kit(codec, &kits[n]); n++) {
		old_bytes += streams->stream[n]->kit.bytes;
		new_bytes += kits[n].bytes;
	}
	if (n == made)
		error = recount(streams, old_bytes, new_bytes);
	if (error) {
		while (n-- > 0)
			drop_kit(codec, &kits[n]);
		return error;
	}
	for (unsigned i = 0; i < made; i++) {
		struct kit *kit = &streams->stream[i]->kit;

		drop_kit(streams->codec, kit);
		*kit = kits[i];
	}
	streams->codec = codec;
	return 0;
}

void streams_clear_counters(struct streams *streams)
{
	for (unsigned i = 0; i < streams->made; i++) {
		for (unsigned c = 0; c < NR_COUNTERS; c++)
			streams->stream[i]->count[c] = 0;
	}
}

void streams_set_max(struct streams *streams, unsigned max)
{
	pthread_mutex_lock(&streams->lock);
	atomic_store(&streams->max, max);
	pthread_cond_broadcast(&streams->freed);
	pthread_mutex_unlock(&streams->lock);
}

uint64_t streams_count(struct streams *streams, enum counter counter)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < atomic_load(&streams->made); i++)
		sum += atomic_load_explicit(&streams->stream[i]->count[counter],
					    memory_order_relaxed);
	return sum;
}
