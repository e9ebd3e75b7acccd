/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The sockets that clients connect to. They are made before nbdkit runs, which
 * inherits them: who may connect is settled here, and in no moment otherwise.
 */
#ifndef TOOLS_LISTENER_H
#define TOOLS_LISTENER_H

#include <stdint.h>

#define MAX_LISTENERS 2 /* 127.0.0.1 and ::1 */

struct listener {
	int fds[MAX_LISTENERS];
	int count;
	char *uri;
	char host[128]; /* TCP: for those who take no URI */
	uint16_t port;
};

/* Each ends the process if it cannot be done. */
void listen_unix(struct listener *listener, const char *path);

/* NULL: on loopback only. Port 0: any that is free. */
void listen_tcp(struct listener *listener, const char *address, uint16_t port);

/* Ends the process if the path is in use; removes a socket that nobody serves any more. */
void clear_socket(const char *path);

#endif
