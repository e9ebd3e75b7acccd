/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Compaction of a disk that has nothing else to do. While it is used, writes and discards
 * compact in passing and leave some of the work for the next; after the last of them
 * nobody would do it.
 */
#ifndef PLUGIN_IDLE_H
#define PLUGIN_IDLE_H

#include <zram.h>

/* Starts a thread: so after the server's fork(). Returns 0, or -1 after it said why to nbdkit. */
int idle_start(struct zram *store);

/* After each request that may have left something to be compacted. Leaves errno alone. */
void idle_note_change(void);

/* Ends the thread, once it is done with what it does. Does nothing if there is none. */
void idle_stop(void);

#endif /* PLUGIN_IDLE_H */
