/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* A disk served by nbdkit for as long as one test; see server.h. */
#include "server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_WORDS 24

bool server_possible(void)
{
	const char *plugin = getenv("ZRAM_PLUGIN");

	if (plugin && access(plugin, R_OK) == 0)
		return true;
	puts("skipped: the plugin was not built");
	return false;
}

/*
 * What the plugin of a build with sanitizers needs to have been there before it. In a program
 * that is not, strerror() may then leave a lock of the C library's locked for the time of its
 * exit (glibc 2.36): it had better not log.
 */
static const char *preload_sanitizer(void)
{
	const char *library = getenv("ZRAM_PRELOAD");

	if (!library || !*library)
		return "--log=stderr";
	setenv("LD_PRELOAD", library, 1);
	setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
	return "--log=null";
}

/* What it says is of interest only if the test fails. */
static void log_to_file(const struct server *server)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/log", server->directory);
	if (!freopen(path, "w", stderr))
		_exit(127);
}

static void show_log(const struct server *server)
{
	char path[96];
	char line[512];

	snprintf(path, sizeof(path), "%s/log", server->directory);

	FILE *log = fopen(path, "r");

	while (log && fgets(line, sizeof(line), log))
		fputs(line, stdout);
	if (log)
		fclose(log);
}

static _Noreturn void become_nbdkit(const struct server *server, const char *pid_file,
				    const char *const *parameters)
{
	const char *words[MAX_WORDS] = { "nbdkit", "--foreground", "--exit-with-parent",
					 "--unix", server->socket, "--pidfile",
					 pid_file };
	char control[128];
	size_t count = 7;

	log_to_file(server);
	snprintf(control, sizeof(control), "control=%s", server->control);
	words[count++] = preload_sanitizer();
	words[count++] = getenv("ZRAM_PLUGIN");
	words[count++] = control;
	while (*parameters && count < MAX_WORDS - 1)
		words[count++] = *parameters++;
	execvp(words[0], (char *const *)words);
	perror(words[0]);
	_exit(127);
}

static void wait_until_ready(struct server *server, const char *pid_file)
{
	int status;

	while (access(pid_file, F_OK) != 0) {
		if (waitpid(server->pid, &status, WNOHANG) == server->pid)
			fail_msg("nbdkit did not start");
		usleep(10000);
	}
}

void server_open(struct server *server, const char *const *parameters)
{
	char pid_file[96];

	strcpy(server->directory, "/tmp/zram-test.XXXXXX");
	assert_non_null(mkdtemp(server->directory));
	snprintf(server->socket, sizeof(server->socket), "%s/socket", server->directory);
	snprintf(server->control, sizeof(server->control), "%s/control", server->directory);
	snprintf(pid_file, sizeof(pid_file), "%s/pid", server->directory);
	server->pid = fork();
	if (server->pid == 0)
		become_nbdkit(server, pid_file, parameters);
	assert_true(server->pid > 0);
	wait_until_ready(server, pid_file);
}

static void remove_directory(struct server *server)
{
	static const char *const names[] = { "socket", "control", "pid", "log" };
	char path[96];

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", server->directory, names[i]);
		unlink(path);
	}
	rmdir(server->directory);
}

void server_close(struct server *server)
{
	int status = -1;

	assert_int_equal(kill(server->pid, SIGTERM), 0);
	assert_int_equal(waitpid(server->pid, &status, 0), server->pid);
	assert_int_equal(status, 0);
	assert_int_not_equal(access(server->control, F_OK), 0);
	server->pid = 0;
	remove_directory(server);
}

void server_abandon(struct server *server)
{
	if (!server->pid)
		return;
	/* Its number is no one else's before it was waited for. */
	if (waitpid(server->pid, NULL, WNOHANG) == 0) {
		kill(server->pid, SIGKILL);
		waitpid(server->pid, NULL, 0);
	}
	server->pid = 0;
	show_log(server);
	remove_directory(server);
}

struct nbd_handle *server_connect(const struct server *server)
{
	struct nbd_handle *nbd = nbd_create();

	assert_non_null(nbd);
	assert_nbd(nbd_add_meta_context(nbd, LIBNBD_CONTEXT_BASE_ALLOCATION));
	assert_nbd(nbd_connect_unix(nbd, server->socket));
	return nbd;
}

static int connect_control(const struct server *server)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	memcpy(address.sun_path, server->control, sizeof(server->control));
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

uint64_t server_figure(const struct server *server, const char *name)
{
	static const char request[] = "get stat\n";
	char line[256];
	char word[64];
	unsigned long long value;
	bool found = false;
	int fd = connect_control(server);
	FILE *answer = fdopen(fd, "r");

	assert_non_null(answer);
	assert_int_equal(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	while (!found && fgets(line, sizeof(line), answer))
		found = sscanf(line, "%63s %llu", word, &value) == 2 && strcmp(word, name) == 0;
	fclose(answer);
	if (!found)
		fail_msg("there is no figure %s", name);
	return value;
}

void assert_nbd(int result)
{
	if (result < 0)
		fail_msg("%s", nbd_get_error());
}

void read_block(struct nbd_handle *nbd, uint64_t block, void *contents)
{
	assert_nbd(nbd_pread(nbd, contents, BLOCK, block * BLOCK, 0));
}
