/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* nbdkit as a child process: started, waited for, told to stop, and never left behind. */
#ifndef TOOLS_SERVER_H
#define TOOLS_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

#include "listener.h"

struct server {
	pid_t pid;
	int signals;  /* a signalfd: what asks this process to end, and the child's end */
	int stops;    /* how often it was asked to end */
	int status;   /* of the child, once it has ended */
	bool is_over; /* it has */
};

/*
 * nbdkit before 1.34 aborts, and the disk is lost, if a client hangs up while several
 * threads answer requests of its connection. Whether the one that there is does not.
 */
bool server_survives_hangups(void);

/*
 * Runs nbdkit with the words of argv (argv[0] is "nbdkit") on the listener's sockets, which
 * are closed here. held is a descriptor that stays open for as long as it runs. Ends
 * the process if there is no nbdkit.
 */
void server_start(struct server *server, char **argv, const struct listener *listener, int held);

/* Waits until the plugin answers at its control socket; false if the server ended before. */
bool server_wait_ready(struct server *server, const char *control);

/*
 * Waits until the server has ended; passes on what asks this process to end, and does not
 * wait long after that.
 */
void server_wait_end(struct server *server);

/* Tells it to end; the second time, kills it. */
void server_stop(struct server *server);

#endif
