/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* Threads of the plugin's own, next to nbdkit's. */
#ifndef PLUGIN_THREAD_H
#define PLUGIN_THREAD_H

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

/* One that takes no signals: they are the server's. Returns 0 or the error. */
static inline int thread_start(pthread_t *thread, void *(*run)(void *))
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(thread, NULL, run, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

#endif /* PLUGIN_THREAD_H */
