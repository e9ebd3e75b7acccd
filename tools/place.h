/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Where served disks are found: a directory of the user's own, with NAME.sock
 * (NBD), NAME.control (the tool) and NAME.lock for each disk.
 */
#ifndef TOOLS_PLACE_H
#define TOOLS_PLACE_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

/*
 * $XDG_RUNTIME_DIR/zram, or /tmp/zram-UID where the former is not the user's own.
 * The caller frees it. Ends the process if it is there but another could write to it.
 */
char *place_directory(bool create);

bool place_is_name(const char *name);

/* Directory, name, and "sock", "control" or "lock". The caller frees it. */
char *place_path(const char *directory, const char *name, const char *kind);

/* Fills a Unix socket's address. Ends the process if the path is too long for one. */
void place_address(struct sockaddr_un *address, const char *path);

/* Connects to a Unix socket. Returns -1 with errno. */
int place_connect(const char *path);

/*
 * Returns the descriptor of a lock file that only this process and those who inherit it hold,
 * or -1 if another does. Ends the process on other trouble.
 */
int place_lock(const char *path);

#endif
