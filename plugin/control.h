/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The control socket: a Unix stream socket of mode 0600 by which attributes of the store are
 * got and set while it is served, as text. A request is one line of at most
 * CONTROL_MAX_REQUEST bytes, the newline included:
 *
 *   get NAME            ok LENGTH, newline, LENGTH bytes
 *   set NAME VALUE      ok 0, newline
 *
 * or else "error MESSAGE", newline. Requests are done one after another, in one thread, in
 * turn for all connections.
 */
#ifndef PLUGIN_CONTROL_H
#define PLUGIN_CONTROL_H

#include <zram.h>

#define CONTROL_MAX_REQUEST 4096

/* Makes the socket and listens, so that it is there before the disk is; nobody is answered yet.
 * Returns 0, or -1 after it said why to nbdkit. */
int control_open(const char *path);

/* Begins to answer. Starts a thread: so after the server's fork(). Returns 0 or -1 as above. */
int control_start(struct zram *store);

/* Ends the thread, closes all connections, removes the socket. Does nothing if there is none. */
void control_close(void);

#endif /* PLUGIN_CONTROL_H */
