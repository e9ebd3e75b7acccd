/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Fuzzer: the plugin's options, as text: key=value, a line each. What is refused is refused
 * with one line that says why; what is accepted makes a store that is as was asked.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zram.h>

#include "files.h"
#include "nbdkit.h"
#include "plugin/parameters.h"

enum { TEXT = 4096 };

static struct {
	unsigned long accepted, refused, stores;
} tried;

bool fuzz_summary(void)
{
	printf("%lu options accepted, %lu refused, %lu stores made\n", tried.accepted,
	       tried.refused, tried.stores);
	return tried.accepted + tried.refused != 0;
}

/* Returns whether it was accepted: 0 and silence, or -1 and a line. */
static bool is_accepted(int result)
{
	const char *said;
	unsigned complaints = nbdkit_complaints(&said);

	require(result == 0 || result == -1);
	require(complaints == (result ? 1 : 0));
	if (complaints)
		require(said[0] && !strchr(said, '\n'));
	result == 0 ? tried.accepted++ : tried.refused++;
	return result == 0;
}

static void require_sane(const struct parameters *parameters)
{
	const struct zram_options *store = &parameters->store;

	require(store->size <= ZRAM_MAX_SIZE);
	require(store->block_size == 0 || (store->block_size >= ZRAM_MIN_BLOCK_SIZE &&
					   store->block_size <= ZRAM_MAX_BLOCK_SIZE &&
					   (store->block_size & (store->block_size - 1)) == 0));
	require(store->max_comp_streams <= 256);
	require(store->dictionary_size <= ZRAM_MAX_DICTIONARY);
}

static void require_store(const struct parameters *parameters)
{
	struct zram *zram = zram_create(&parameters->store);

	require(zram);
	require(zram_size(zram) == parameters->store.size);
	require(zram_block_size(zram) ==
		(parameters->store.block_size ? parameters->store.block_size : 4096));
	zram_destroy(zram);
	tried.stores++;
}

static void complete(struct parameters *parameters)
{
	files_enclose(true);
	bool complete = is_accepted(parameters_complete(parameters));
	files_enclose(false);
	if (complete && is_accepted(parameters_check(parameters)))
		require_store(parameters);
	parameters_free_dictionary(parameters);
}

void fuzz_one(const uint8_t *data, size_t size)
{
	struct parameters parameters = { 0 };
	char text[TEXT], *rest = NULL;
	bool fine = true;

	if (size >= TEXT || memchr(data, '\0', size))
		return;
	memcpy(text, data, size);
	text[size] = '\0';
	for (char *line = strtok_r(text, "\n", &rest); line && fine;
	     line = strtok_r(NULL, "\n", &rest)) {
		char *value = strchr(line, '=');

		/* nbdkit takes what is no parameter for the value of the magic one. */
		if (value)
			*value++ = '\0';
		fine = is_accepted(
			parameters_set(&parameters, value ? line : "size", value ? value : line));
		require_sane(&parameters);
	}
	if (fine)
		complete(&parameters);
}
