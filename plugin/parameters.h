/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What the plugin is told on nbdkit's command line. What these functions refuse they have
 * told nbdkit the reason of, in one line, and returned -1; else 0.
 */
#ifndef PLUGIN_PARAMETERS_H
#define PLUGIN_PARAMETERS_H

#include <stdbool.h>

#include <zram.h>

/* Zeroed to begin with. Its strings are nbdkit's and live as long as the server. */
struct parameters {
	struct zram_options store;
	bool size_given;
	const char *limit;      /* as it was written; NULL: auto */
	const char *dictionary; /* the file's path */
	void *dictionary_bytes; /* store.dictionary; on the heap */
	const char *control;    /* the socket's path, or NULL */
};

extern const char parameters_help[];

int parameters_set(struct parameters *parameters, const char *key, const char *value);

/* To be called after the last: is there all that is needed? Reads the dictionary. */
int parameters_complete(struct parameters *parameters);

/* Would zram_create() make this store? */
int parameters_check(const struct parameters *parameters);

/* Once the store is made, or none will be. */
void parameters_free_dictionary(struct parameters *parameters);

/* The names of the algorithms, with blanks between them. */
const char *parameters_algorithms(void);

#endif /* PLUGIN_PARAMETERS_H */
