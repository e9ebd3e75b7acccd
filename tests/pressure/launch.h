/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Servers that are told to end, are killed, or may take little memory: nbdkit with the plugin, or
 * zram serve, which is $ZRAM_TOOL. The rest is as in tests/disk/server.h.
 */
#ifndef PRESSURE_LAUNCH_H
#define PRESSURE_LAUNCH_H

#include "../disk/server.h"

enum launch { LAUNCH_NBDKIT, LAUNCH_ZRAM };

struct launch_options {
	enum launch what;
	/* For the plugin, or for zram serve, the size among them. Ended by NULL. */
	const char *const *words;
	/* Called in the new process before it becomes a server; must return 0. May be NULL. */
	int (*prepare)(const void *data);
	const void *data;
};

/* Whether there is all that is needed; says why not. */
bool launch_possible(void);

/*
 * Starts a server and waits until it answers. It must, or the test fails. In the directory of the
 * one before, if server has one.
 */
void launch(struct server *server, const struct launch_options *options);

/*
 * Waits until it has ended. It must within so many seconds, or it is killed, and the test fails.
 * Returns its status as of waitpid().
 */
int launch_wait(struct server *server, unsigned seconds);

/* Once it has ended: whether a socket or another file of its is still there. */
bool launch_has_litter(const struct server *server, enum launch what);

/* Its directory goes. After launch_wait(), or on server_abandon()'s part where a test failed. */
void launch_clear(struct server *server);

/* The process that holds the disk: the server, or its child. */
pid_t launch_holder(const struct server *server, enum launch what);

#endif /* PRESSURE_LAUNCH_H */
