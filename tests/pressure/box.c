/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* See box.h. */
#include "box.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *name_in(char path[600], const struct box *box, const char *file)
{
	snprintf(path, 600, "%s/%s", box->path, file);
	return path;
}

static int write_to(const struct box *box, const char *file, const char *text)
{
	char path[600];
	int fd = open(name_in(path, box, file), O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

	if (fd >= 0)
		close(fd);
	return n < 0 ? -1 : 0;
}

/* The number after the word, or the only one if word is NULL; 0 if there is none. */
static uint64_t read_from(const struct box *box, const char *file, const char *word)
{
	char path[600];
	char name[64];
	uint64_t number, found = 0;
	FILE *stream = fopen(name_in(path, box, file), "re");

	if (!stream)
		return 0;
	if (!word) {
		if (fscanf(stream, "%" SCNu64, &found) != 1)
			found = 0;
	} else {
		while (fscanf(stream, "%63s %" SCNu64, name, &number) == 2)
			if (!strcmp(name, word))
				found = number;
	}
	fclose(stream);
	return found;
}

/* Where this process is, by the line of /proc/self/cgroup that is about memory. */
static bool find_own(struct box *box, char *own, size_t size)
{
	char line[512];
	FILE *file = fopen("/proc/self/cgroup", "re");
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file)) {
		char *path = strrchr(line, ':');

		line[strcspn(line, "\n")] = '\0';
		box->first = strstr(line, ":memory:") || strstr(line, ",memory:") ||
			     strstr(line, ":memory,");
		if (!path || (!box->first && strncmp(line, "0::", 3) != 0))
			continue;
		found = true;
		snprintf(own, size, "%s%s", box->first ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup",
			 path + 1);
	}
	if (file)
		fclose(file);
	return found;
}

static bool has_file(const struct box *box, const char *file)
{
	char path[600];

	return access(name_in(path, box, file), W_OK) == 0;
}

/*
 * Below own, or else, as the second version allows none below a cgroup that has processes of its
 * own, below what that is in.
 */
static bool make_below(struct box *box, char *own)
{
	const char *limit = box->first ? "memory.limit_in_bytes" : "memory.max";
	static unsigned made;

	for (size_t least = strlen("/sys/fs/cgroup"); strlen(own) >= least;) {
		snprintf(box->path, sizeof(box->path), "%s/zram-test-%ld-%u", own, (long)getpid(),
			 made++);
		if (!mkdir(box->path, 0755)) {
			if (has_file(box, limit))
				return true;
			rmdir(box->path);
		}
		*strrchr(own, '/') = '\0';
		if (box->first)
			break;
	}
	box->path[0] = '\0';
	return false;
}

const char *box_make(struct box *box, uint64_t bytes)
{
	char own[400];
	char number[24];

	*box = (struct box){ .path = "" };
	if (!find_own(box, own, sizeof(own)))
		return "no cgroups here";
	if (!make_below(box, own))
		return "no right to make a cgroup that limits memory";
	snprintf(number, sizeof(number), "%" PRIu64, bytes);
	if (write_to(box, box->first ? "memory.limit_in_bytes" : "memory.max", number)) {
		box_remove(box);
		return "a cgroup's memory cannot be limited here";
	}
	/* Not to be saved by swap space. */
	if (box->first)
		write_to(box, "memory.memsw.limit_in_bytes", number);
	else
		write_to(box, "memory.swap.max", "0");
	return NULL;
}

int box_enter(const struct box *box)
{
	return write_to(box, "cgroup.procs", "0");
}

uint64_t box_peak(const struct box *box)
{
	return read_from(box, box->first ? "memory.max_usage_in_bytes" : "memory.peak", NULL);
}

uint64_t box_kills(const struct box *box)
{
	return read_from(box, box->first ? "memory.oom_control" : "memory.events", "oom_kill");
}

/* Who was killed may still be on its way out. */
bool box_remove(struct box *box)
{
	if (!box->path[0])
		return true;
	for (int tries = 0; rmdir(box->path) != 0; tries++) {
		if (errno == ENOENT)
			break;
		if (tries == 500)
			return false;
		usleep(10000);
	}
	box->path[0] = '\0';
	return true;
}
