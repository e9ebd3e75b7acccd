/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * A conversation with a served disk through its control socket. Whatever goes
 * wrong ends the process with one line: no command has anything left to do then.
 */
#ifndef TOOLS_CONTROL_H
#define TOOLS_CONTROL_H

#include "command.h"

/* Which disk a command means; both NULL: the only one there is. */
struct target {
	const char *name;
	const char *control;
};

/* For the option tables of commands, and what they do with it. */
#define TARGET_OPTIONS                                  \
	{ "name", required_argument, NULL, 'N' },       \
	{                                               \
		"control", required_argument, NULL, 'C' \
	}
#define TARGET_HELP                                                     \
	"  --name NAME      the disk that was served under this name\n" \
	"  --control PATH   the disk with this control socket\n"        \
	"                   (default: the only disk that you serve)\n"

/* True if the option was one of TARGET_OPTIONS, and is done. */
int target_option(const struct command *command, struct target *target, int option);

struct control;

struct control *control_open(const struct target *target);
void control_close(struct control *control);

/* The disk's name, or its control socket's path. */
const char *control_label(const struct control *control);

/* The value without its last newline; the caller frees it. */
char *control_get(struct control *control, const char *name);
void control_set(struct control *control, const char *name, const char *value);

#endif
