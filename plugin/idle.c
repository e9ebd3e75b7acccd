/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * A thread that compacts once nothing was changed for a while, and then sleeps until
 * something is: a disk that nobody uses wakes nobody up. It lets go when something is
 * changed again, or the server is to end.
 *
 * A request only reads a flag; the first one since the thread last looked sets it.
 */
#define _GNU_SOURCE
#define NBDKIT_API_VERSION 2
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include <nbdkit-plugin.h>

#include "idle.h"
#include "thread.h"

/* Seconds without a change. */
#define PATIENCE 2

/* Nanoseconds of compaction between two looks. */
#define SLICE 100000000

static struct {
	struct zram *store;
	pthread_t thread;
	bool running;
	pthread_mutex_t lock;
	pthread_cond_t first; /* changed has become true, or stopping */
	pthread_cond_t stop;
	bool stopping;
	atomic_bool changed; /* set with the lock held; read by every request, written by few */
} idle = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.first = PTHREAD_COND_INITIALIZER,
};

void idle_note_change(void)
{
	if (atomic_load_explicit(&idle.changed, memory_order_relaxed))
		return;
	/* pthread functions return their errors. */
	pthread_mutex_lock(&idle.lock);
	atomic_store(&idle.changed, true);
	pthread_cond_signal(&idle.first);
	pthread_mutex_unlock(&idle.lock);
}

static bool is_automatic(void)
{
	char mode[16] = "";
	return zram_get(idle.store, "compaction", mode, sizeof(mode)) > 0 &&
	       strcmp(mode, "auto\n") == 0;
}

/* Returns false when the thread is to end. Lock held. */
static bool wait_until_idle(void)
{
	struct timespec until;
	while (!atomic_load(&idle.changed) && !idle.stopping)
		pthread_cond_wait(&idle.first, &idle.lock);
	while (atomic_load(&idle.changed) && !idle.stopping) {
		atomic_store(&idle.changed, false);
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += PATIENCE;
		while (!idle.stopping &&
		       pthread_cond_timedwait(&idle.stop, &idle.lock, &until) != ETIMEDOUT)
			;
	}
	return !idle.stopping;
}

static bool is_idle(void)
{
	pthread_mutex_lock(&idle.lock);
	bool is = !atomic_load(&idle.changed) && !idle.stopping;
	pthread_mutex_unlock(&idle.lock);
	return is;
}

static void *compact_when_idle(void *unused)
{
	(void)unused;
	pthread_mutex_lock(&idle.lock);
	while (wait_until_idle()) {
		pthread_mutex_unlock(&idle.lock);
		while (is_idle() && is_automatic() && zram_compact_some(idle.store, SLICE, NULL))
			;
		pthread_mutex_lock(&idle.lock);
	}
	pthread_mutex_unlock(&idle.lock);
	return NULL;
}

int idle_start(struct zram *store)
{
	pthread_condattr_t monotonic;
	idle.store = store;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&idle.stop, &monotonic);
	pthread_condattr_destroy(&monotonic);
	idle.running = thread_start(&idle.thread, compact_when_idle, "idle compaction") == 0;
	return idle.running ? 0 : -1;
}

void idle_stop(void)
{
	if (!idle.running)
		return;
	pthread_mutex_lock(&idle.lock);
	idle.stopping = true;
	pthread_cond_signal(&idle.first);
	pthread_cond_signal(&idle.stop);
	pthread_mutex_unlock(&idle.lock);
	pthread_join(idle.thread, NULL);
	idle.running = false;
}
