/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The client's side of the control socket. A request is one line, "get NAME" or
 * "set NAME VALUE"; the answer is "ok LENGTH" and as many bytes, or
 * "error MESSAGE". Any number of them one after the other.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"
#include "place.h"
#include "say.h"
#include "units.h"

#define MAX_REQUEST 4096
#define MAX_ANSWER  ((uint64_t)64 << 20) /* above this it is no answer of ours */

static const char suffix[] = ".control";

struct control {
	FILE *answers;
	int fd; /* of answers; what is asked is written here */
	char *label;
};

int target_option(const struct command *command, struct target *target, int option)
{
	switch (option) {
	case 'N':
		if (!place_is_name(optarg))
			usage_error(command, "--name: '%s' is no name of a disk", optarg);
		target->name = optarg;
		return 1;
	case 'C':
		target->control = optarg;
		return 1;
	default:
		return 0;
	}
}

static struct control *make_control(int fd, char *label)
{
	struct control *control = need_memory(calloc(1, sizeof(*control)));

	control->answers = need_memory(fdopen(fd, "r"));
	control->fd = fd;
	control->label = label;
	return control;
}

/* Names of what looks like a control socket. */
static int is_control(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return length >= sizeof(suffix) &&
	       !strcmp(entry->d_name + length - sizeof(suffix) + 1, suffix);
}

/* Sockets may be left of a server that was killed: only what answers counts. */
static int connect_any(const char *directory, char **names)
{
	struct dirent **entries = NULL;
	int count = scandir(directory, &entries, is_control, alphasort);
	int fd = -1;

	*names = text_of("%s", "");
	for (int i = 0; i < count; i++) {
		char *path = text_of("%s/%s", directory, entries[i]->d_name);
		int other = place_connect(path);
		char *longer;

		if (other >= 0) {
			entries[i]->d_name[strlen(entries[i]->d_name) - sizeof(suffix) + 1] = '\0';
			longer = text_of("%s%s%s", *names, **names ? ", " : "", entries[i]->d_name);
			free(*names);
			*names = longer;
			if (fd >= 0)
				close(fd);
			fd = other;
		}
		free(path);
		free(entries[i]);
	}
	free(entries);
	return fd;
}

static struct control *open_only(const char *directory)
{
	char *names;
	int fd = connect_any(directory, &names);

	if (fd < 0)
		die(EXIT_NO_DISK,
		    "no disk of yours is served (start one with 'zram serve SIZE', or name its "
		    "control socket with --control)");
	if (strchr(names, ','))
		die(EXIT_USAGE, "several disks are served (%s): choose one with --name", names);
	return make_control(fd, names);
}

static struct control *open_path(const char *path, const char *label)
{
	int fd = place_connect(path);

	if (fd >= 0)
		return make_control(fd, text_of("%s", label));
	if (errno == ENOENT || errno == ECONNREFUSED)
		die(EXIT_NO_DISK, "%s: no disk is served there (%s)", label, strerror(errno));
	die(EXIT_FAILURE, "%s: %s", label, strerror(errno));
}

struct control *control_open(const struct target *target)
{
	struct control *control;
	char *directory;
	char *path;

	if (target->control)
		return open_path(target->control, target->control);
	directory = place_directory(false);
	if (target->name) {
		path = place_path(directory, target->name, "control");
		control = open_path(path, target->name);
		free(path);
	} else {
		control = open_only(directory);
	}
	free(directory);
	return control;
}

void control_close(struct control *control)
{
	fclose(control->answers);
	free(control->label);
	free(control);
}

const char *control_label(const struct control *control)
{
	return control->label;
}

static _Noreturn void die_gone(const struct control *control)
{
	die(EXIT_NO_DISK, "%s: the disk is gone", control->label);
}

static void send_request(struct control *control, const char *request)
{
	size_t length = strlen(request);

	if (length > MAX_REQUEST)
		die(EXIT_USAGE, "the value is too long (a request has at most %d bytes)",
		    MAX_REQUEST);
	if (memchr(request, '\n', length - 1))
		die(EXIT_USAGE, "a name or value cannot hold a newline");
	while (length) {
		ssize_t sent = send(control->fd, request, length, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			die_gone(control);
		request += sent;
		length -= (size_t)sent;
	}
}

/* Reads the answer; the caller frees what came with "ok". */
static char *take_answer(struct control *control, const char *about)
{
	char line[MAX_REQUEST + 16];
	uint64_t length;
	char *value;

	if (!fgets(line, sizeof(line), control->answers))
		die_gone(control);
	line[strcspn(line, "\n")] = '\0';
	if (!strncmp(line, "error ", 6)) {
		if (strstr(line, about))
			die(EXIT_FAILURE, "%s", line + 6);
		die(EXIT_FAILURE, "%s: %s", about, line + 6);
	}
	if (strncmp(line, "ok ", 3) != 0 || !parse_number(line + 3, &length) || length > MAX_ANSWER)
		die(EXIT_FAILURE, "%s: this is not the control socket of a disk", control->label);
	value = need_memory(malloc((size_t)length + 1));
	if (fread(value, 1, (size_t)length, control->answers) != length)
		die_gone(control);
	value[length] = '\0';
	return value;
}

char *control_get(struct control *control, const char *name)
{
	char *request = text_of("get %s\n", name);
	char *value;
	size_t length;

	send_request(control, request);
	free(request);
	value = take_answer(control, name);
	length = strlen(value);
	if (length && value[length - 1] == '\n')
		value[length - 1] = '\0';
	return value;
}

void control_set(struct control *control, const char *name, const char *value)
{
	char *request = text_of("set %s %s\n", name, value);

	send_request(control, request);
	free(request);
	free(take_answer(control, name));
}
