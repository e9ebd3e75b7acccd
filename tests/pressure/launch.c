/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* See launch.h. */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_WORDS = 24, STEP_US = 5000 };

bool launch_possible(void)
{
	const char *tool = getenv("ZRAM_TOOL");

	if (!server_possible())
		return false;
	if (tool && !access(tool, X_OK))
		return true;
	puts("skipped: there is no zram command");
	return false;
}

static void add(const char **words, const char *const *more)
{
	size_t count = 0;

	while (words[count])
		count++;
	while (*more && count < MAX_WORDS - 1)
		words[count++] = *more++;
}

static void name_words(const char **words, const struct server *server,
		       const struct launch_options *options)
{
	static char control[128];

	snprintf(control, sizeof(control), "control=%s", server->control);
	if (options->what == LAUNCH_NBDKIT)
		add(words,
		    (const char *const[]){ "nbdkit", "--foreground", "--exit-with-parent", "--unix",
					   server->socket, getenv("ZRAM_PLUGIN"), control, NULL });
	else
		add(words,
		    (const char *const[]){ getenv("ZRAM_TOOL"), "serve", "--socket", server->socket,
					   "--control", server->control, NULL });
	add(words, options->words);
}

/* Its name is in its directory too: there may be other disks of this user's. */
static _Noreturn void become(const struct server *server, const struct launch_options *options)
{
	const char *words[MAX_WORDS] = { NULL };
	char path[96];

	snprintf(path, sizeof(path), "%s/log", server->directory);
	if (!freopen(path, "a", stderr) || !freopen("/dev/null", "w", stdout))
		_exit(127);
	setenv("XDG_RUNTIME_DIR", server->directory, 1);
	if (options->prepare && options->prepare(options->data))
		_exit(126);
	name_words(words, server, options);
	execvp(words[0], (char *const *)words);
	_exit(127);
}

static bool answers(const struct server *server)
{
	static const char question[] = "get initstate\n";
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char byte;

	memcpy(address.sun_path, server->control, sizeof(server->control));

	bool answered = fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof(address)) &&
			send(fd, question, sizeof(question) - 1, MSG_NOSIGNAL) > 0 &&
			recv(fd, &byte, 1, 0) == 1;

	if (fd >= 0)
		close(fd);
	return answered;
}

void launch(struct server *server, const struct launch_options *options)
{
	int status;

	if (!server->directory[0]) {
		strcpy(server->directory, "/tmp/zram-test.XXXXXX");
		assert_non_null(mkdtemp(server->directory));
	}
	snprintf(server->socket, sizeof(server->socket), "%s/socket", server->directory);
	snprintf(server->control, sizeof(server->control), "%s/control", server->directory);
	server->pid = fork();
	if (server->pid == 0)
		become(server, options);
	assert_true(server->pid > 0);
	while (!answers(server)) {
		if (waitpid(server->pid, &status, WNOHANG) == server->pid)
			fail_msg("it did not start: status %#x", (unsigned)status);
		usleep(STEP_US);
	}
}

int launch_wait(struct server *server, unsigned seconds)
{
	int status;

	for (uint64_t us = 0; us < seconds * (uint64_t)1000000; us += STEP_US) {
		if (waitpid(server->pid, &status, WNOHANG) == server->pid) {
			server->pid = 0;
			return status;
		}
		usleep(STEP_US);
	}
	fail_msg("it has not ended in %u seconds", seconds);
	return -1;
}

static bool is_there(const struct server *server, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", server->directory, name);
	return !access(path, F_OK);
}

/* What nbdkit does about its own socket is its own affair. */
bool launch_has_litter(const struct server *server, enum launch what)
{
	char path[96];

	if (is_there(server, "control"))
		return true;
	if (what == LAUNCH_NBDKIT)
		return false;
	snprintf(path, sizeof(path), "%s/zram", server->directory);
	/* Empty, it can be removed. */
	return is_there(server, "socket") || (rmdir(path) && errno != ENOENT);
}

void launch_clear(struct server *server)
{
	static const char *const names[] = { "socket", "control", "log", "zram/zram0.lock" };
	char path[96];

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", server->directory, names[i]);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/zram", server->directory);
	rmdir(path);
	rmdir(server->directory);
	server->directory[0] = '\0';
}

pid_t launch_holder(const struct server *server, enum launch what)
{
	char path[64];
	int pid = 0;

	if (what == LAUNCH_NBDKIT)
		return server->pid;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)server->pid,
		 (int)server->pid);

	FILE *file = fopen(path, "re");

	if (file && fscanf(file, "%d", &pid) != 1)
		pid = 0;
	if (file)
		fclose(file);
	return pid;
}
