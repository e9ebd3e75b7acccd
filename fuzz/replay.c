/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Runs a fuzzer on inputs that were kept: files, or all files of directories. Needs no
 * libFuzzer. Fails if there are none.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LARGEST = 1 << 20 };

static const char *running = "?";
static unsigned long inputs;

_Noreturn void fuzz_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s: %s:%d: not true: %s\n", running, file, line, what);
	abort();
}

static bool run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *whole = malloc(LARGEST), *bytes = NULL;
	size_t size = 0;

	if (file && whole) {
		size = fread(whole, 1, LARGEST, file);
		/* Of its own size, so that who reads beyond it is seen. */
		bytes = malloc(size ? size : 1);
	}
	if (file)
		fclose(file);
	if (bytes) {
		memcpy(bytes, whole, size);
		running = path;
		fuzz_one(bytes, size);
		inputs++;
	}
	free(bytes);
	free(whole);
	return bytes != NULL;
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* In the order of their names: what one leaves behind is the same for the next each time. */
static bool run_directory(const char *path)
{
	struct dirent **entries;
	int count = scandir(path, &entries, is_visible, alphasort);
	bool fine = count >= 0;

	for (int i = 0; i < count; i++) {
		char file[4096];

		snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
		fine = run_file(file) && fine;
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
	return fine;
}

static bool run_path(const char *path)
{
	struct stat found;
	bool fine = stat(path, &found) == 0 &&
		    (S_ISDIR(found.st_mode) ? run_directory(path) : run_file(path));

	if (!fine)
		perror(path);
	return fine;
}

int main(int argc, char **argv)
{
	bool fine = true;

	for (int i = 1; i < argc; i++)
		fine = run_path(argv[i]) && fine;
	printf("%lu inputs replayed\n", inputs);
	if (!fuzz_summary() || !inputs) {
		fprintf(stderr, "nothing was tried\n");
		return 1;
	}
	return fine ? 0 : 1;
}
