/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* What zram serve was asked to do. */
#ifndef TOOLS_SETTINGS_H
#define TOOLS_SETTINGS_H

#include <stdint.h>

#define MAX_SETTINGS 16

struct settings {
	char *plugin[MAX_SETTINGS]; /* key=value */
	int plugin_count;
	uint64_t size;  /* 0: none given */
	uint64_t limit; /* 0: none was given */
	uint64_t block_size;
	const char *algorithm;
	const char *name;
	const char *socket;
	const char *control;
	const char *address;
	int port;      /* -1: no TCP */
	char **nbdkit; /* what the user adds */
	int nbdkit_count;
};

/* Ends the process if they make no sense; what only the store can judge is left to it. */
void read_settings(struct settings *settings, int argc, char **argv);

#endif
