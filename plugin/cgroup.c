/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Reads /proc/self/cgroup and what it leads to. In a container the path there may be one of the
 * machine outside, of which nothing is mounted but the container's own part: what is not
 * there has no limit, and the way up from it ends at what is.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup.h"

#define NO_LIMIT UINT64_MAX

/* What one version calls its files, and the lines of memory.stat about cached files. */
struct version {
	const char *mount;
	const char *limits[2]; /* the lower one counts */
	const char *used;
	const char *cached[2];
};

static const struct version first = {
	.mount = "/sys/fs/cgroup/memory",
	.limits = { "memory.limit_in_bytes", NULL },
	.used = "memory.usage_in_bytes",
	.cached = { "total_active_file", "total_inactive_file" },
};

/* Who is above memory.high is not killed, but made to wait until it is of no use. */
static const struct version second = {
	.mount = "/sys/fs/cgroup",
	.limits = { "memory.max", "memory.high" },
	.used = "memory.current",
	.cached = { "active_file", "inactive_file" },
};

static FILE *open_in(const char *directory, const char *name)
{
	char path[2 * PATH_MAX];
	int length = snprintf(path, sizeof(path), "%s/%s", directory, name);
	return length > 0 && (size_t)length < sizeof(path) ? fopen(path, "re") : NULL;
}

/* NO_LIMIT if it is not there or holds no number ("max"). */
static uint64_t read_bytes(const char *directory, const char *name)
{
	uint64_t bytes = NO_LIMIT;
	FILE *file = open_in(directory, name);
	if (file == NULL)
		return NO_LIMIT;
	if (fscanf(file, "%" SCNu64, &bytes) != 1)
		bytes = NO_LIMIT;
	fclose(file);
	/* The first version's way to say that there is none: all pages that a long can count. */
	return bytes >= INT64_MAX / 2 ? NO_LIMIT : bytes;
}

static uint64_t read_cached(const char *directory, const struct version *version)
{
	char name[64];
	uint64_t bytes, sum = 0;
	FILE *file = open_in(directory, "memory.stat");
	if (file == NULL)
		return 0;
	while (fscanf(file, "%63s %" SCNu64, name, &bytes) == 2)
		if (strcmp(name, version->cached[0]) == 0 || strcmp(name, version->cached[1]) == 0)
			sum += bytes;
	fclose(file);
	return sum;
}

/* Of one cgroup alone. */
static uint64_t left_in(const char *directory, const struct version *version)
{
	uint64_t limit = NO_LIMIT;
	for (int i = 0; i < 2 && version->limits[i] != NULL; i++) {
		uint64_t bytes = read_bytes(directory, version->limits[i]);
		if (bytes < limit)
			limit = bytes;
	}
	if (limit == NO_LIMIT)
		return NO_LIMIT;
	uint64_t used = read_bytes(directory, version->used);
	uint64_t cached = read_cached(directory, version);
	if (used == NO_LIMIT)
		used = 0;
	used -= cached < used ? cached : used;
	return used < limit ? limit - used : 0;
}

/* Of that one and all above it. path begins with a slash, and is lost. */
static uint64_t left_from(const char *root, const struct version *version, char *path)
{
	char directory[PATH_MAX];
	uint64_t least = NO_LIMIT;
	for (char *end = path + strlen(path); end != NULL; end = strrchr(path, '/')) {
		*end = '\0';
		int length = snprintf(directory, sizeof(directory), "%s%s%s", root, version->mount,
				      path);
		if (length < 0 || (size_t)length >= sizeof(directory))
			continue;
		uint64_t left = left_in(directory, version);
		if (left < least)
			least = left;
	}
	return least;
}

/* Whether word is one of those in list, which has commas between them. */
static bool is_listed(const char *list, const char *word)
{
	size_t length = strlen(word);
	for (; *list != '\0'; list += strcspn(list, ","), list += *list == ',')
		if (strncmp(list, word, length) == 0 && strcspn(list, ",") == length)
			return true;
	return false;
}

/* A line is NUMBER:CONTROLLERS:PATH; the second version has no controllers there. */
static uint64_t left_by_line(const char *root, char *line)
{
	char *controllers = strchr(line, ':');
	char *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
	if (path == NULL || path[1] != '/')
		return NO_LIMIT;
	*path++ = '\0';
	path[strcspn(path, "\n")] = '\0';
	controllers++;
	if (*controllers == '\0')
		return left_from(root, &second, path);
	return is_listed(controllers, "memory") ? left_from(root, &first, path) : NO_LIMIT;
}

uint64_t cgroup_memory_left(const char *root)
{
	char *line = NULL;
	size_t size = 0;
	uint64_t least = NO_LIMIT;
	char directory[PATH_MAX];
	int length = snprintf(directory, sizeof(directory), "%s/proc/self", root);
	if (length < 0 || (size_t)length >= sizeof(directory))
		return NO_LIMIT;
	FILE *file = open_in(directory, "cgroup");
	if (file == NULL)
		return NO_LIMIT;
	while (getline(&line, &size, file) > 0) {
		uint64_t left = left_by_line(root, line);
		if (left < least)
			least = left;
	}
	free(line);
	fclose(file);
	return least;
}
