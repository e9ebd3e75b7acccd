/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* Threads of the plugin's own, next to nbdkit's. */
#ifndef PLUGIN_THREAD_H
#define PLUGIN_THREAD_H

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>

#include <nbdkit-plugin.h>

/* One that takes no signals: they are the server's. Returns 0, or -1 after it said why to nbdkit. */
static inline int thread_start(pthread_t *thread, void *(*run)(void *), const char *what)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(thread, NULL, run, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error == 0)
		return 0;
	errno = error;
	nbdkit_error("%s: %m", what);
	return -1;
}

#endif /* PLUGIN_THREAD_H */
