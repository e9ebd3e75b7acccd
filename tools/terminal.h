/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* The terminal: what it can show, and how it is taken over and given back. */
#ifndef TOOLS_TERMINAL_H
#define TOOLS_TERMINAL_H

#include <stdbool.h>

/* Standard output is a terminal that knows colours, and NO_COLOR does not ask for none. */
bool terminal_has_colour(void);

/* Characters beyond ASCII can be shown. */
bool terminal_has_unicode(void);

struct terminal_size {
	unsigned columns;
	unsigned lines;
};

struct terminal_size terminal_size(void);

/*
 * A screen of its own, no cursor, keys at once and unseen. Given back by terminal_leave()
 * and when the process exits. Signals that end the process, stop it, or tell a
 * new size come only while terminal_wait() waits.
 */
void terminal_enter(void);
void terminal_leave(void);

enum event {
	EVENT_TIME,   /* the time is over */
	EVENT_KEY,    /* a key, in *key */
	EVENT_RESIZE, /* draw anew */
	EVENT_END     /* a signal asks to end: call terminal_die_of_signal() when all is done */
};

enum event terminal_wait(int timeout_ms, int *key);

/* Gives the terminal back and ends the process the way the signal would have. */
_Noreturn void terminal_die_of_signal(void);

#endif
