/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Runs nbdkit. It gets its sockets as systemd would pass them (LISTEN_FDS), and ends by
 * itself when this process dies (--exit-with-parent). Signals are taken as data, one
 * after the other, so that none comes at a bad moment.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "place.h"
#include "say.h"
#include "server.h"

#define FIRST_PASSED 3  /* where LISTEN_FDS begin */
#define OUT_OF_WAY   16 /* above all that are passed */
#define RETRY_MS     10
#define GRACE_MS     5000 /* to end in when told to; the contents are lost anyway */

static sigset_t handled_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGCHLD);
	return set;
}

/* The first bytes that a program prints. False if it could not be run. */
static bool read_output(char *const *argv, char *text, size_t size)
{
	posix_spawn_file_actions_t actions;
	int output[2];
	pid_t pid;
	bool is_run;

	if (pipe2(output, O_CLOEXEC))
		return false;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
	is_run = !posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(output[1]);
	if (is_run) {
		ssize_t length = read(output[0], text, size - 1);

		text[length > 0 ? length : 0] = '\0';
		waitpid(pid, NULL, 0);
	}
	close(output[0]);
	return is_run;
}

bool server_survives_hangups(void)
{
	char *argv[] = { (char[]){ "nbdkit" }, (char[]){ "--version" }, NULL };
	char text[64];
	char *end;

	if (!read_output(argv, text, sizeof(text)) || strncmp(text, "nbdkit ", 7) != 0)
		return false;
	long major = strtol(text + 7, &end, 10);
	return major > 1 || (major == 1 && *end == '.' && strtol(end + 1, NULL, 10) >= 34);
}

/* Puts the sockets where they are expected, in a process that does nothing else any more. */
static bool pass_descriptors(const struct listener *listener, int held)
{
	int moved[MAX_LISTENERS];
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || fcntl(held, F_DUPFD, OUT_OF_WAY) < 0)
		return false;
	for (int i = 0; i < listener->count; i++) {
		moved[i] = fcntl(listener->fds[i], F_DUPFD_CLOEXEC, OUT_OF_WAY);
		if (moved[i] < 0)
			return false;
	}
	for (int i = 0; i < listener->count; i++)
		if (dup2(moved[i], FIRST_PASSED + i) < 0)
			return false;
	return true;
}

static bool set_number(const char *variable, long number)
{
	char text[24];

	snprintf(text, sizeof(text), "%ld", number);
	return !setenv(variable, text, 1);
}

/* In the child. What goes wrong is told through the pipe, which an exec closes. */
static _Noreturn void become_nbdkit(char **argv, const struct listener *listener, int held,
				    int trouble, const sigset_t *mask)
{
	int error;

	/* dup2() may land on the pipe's number. */
	trouble = fcntl(trouble, F_DUPFD_CLOEXEC, OUT_OF_WAY + MAX_LISTENERS + 2);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, mask, NULL);
	if (pass_descriptors(listener, held) && set_number("LISTEN_PID", getpid()) &&
	    set_number("LISTEN_FDS", listener->count))
		execvp(argv[0], argv);
	error = errno;
	while (write(trouble, &error, sizeof(error)) < 0 && errno == EINTR)
		;
	_exit(EXIT_FAILURE);
}

static void wait_exec(int trouble, const char *program)
{
	int error;

	if (read(trouble, &error, sizeof(error)) != sizeof(error))
		return;
	if (error == ENOENT)
		die(EXIT_FAILURE, "%s is not installed (Debian: apt install nbdkit)", program);
	die(EXIT_FAILURE, "%s: %s", program, strerror(error));
}

void server_start(struct server *server, char **argv, const struct listener *listener, int held)
{
	sigset_t set = handled_signals();
	sigset_t mask;
	int trouble[2];

	*server = (struct server){ 0 };
	signal(SIGPIPE, SIG_IGN); /* a reader of our output that is gone ends no disk */
	sigprocmask(SIG_BLOCK, &set, &mask);
	server->signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (server->signals < 0 || pipe2(trouble, O_CLOEXEC))
		die(EXIT_FAILURE, "cannot start %s: %s", argv[0], strerror(errno));
	server->pid = fork();
	if (server->pid < 0)
		die(EXIT_FAILURE, "cannot start %s: %s", argv[0], strerror(errno));
	if (!server->pid)
		become_nbdkit(argv, listener, held, trouble[1], &mask);
	close(trouble[1]);
	wait_exec(trouble[0], argv[0]);
	close(trouble[0]);
	for (int i = 0; i < listener->count; i++)
		close(listener->fds[i]);
}

void server_stop(struct server *server)
{
	if (!server->is_over)
		kill(server->pid, server->stops ? SIGKILL : SIGTERM);
	server->stops++;
}

/* Takes one signal; waits for it at most so long (-1: for ever). */
static void take_signal(struct server *server, int timeout_ms)
{
	struct pollfd ready = { .fd = server->signals, .events = POLLIN };
	struct signalfd_siginfo info;

	if (poll(&ready, 1, timeout_ms) <= 0 ||
	    read(server->signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo != SIGCHLD)
		server_stop(server);
	else if (waitpid(server->pid, &server->status, WNOHANG) == server->pid)
		server->is_over = true;
}

/* The socket is there before the store is: only an answer counts. */
static bool has_answered(int fd)
{
	static const char question[] = "get initstate\n";
	struct timeval patience = { .tv_sec = 1 };
	char answer[8];

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return send(fd, question, sizeof(question) - 1, MSG_NOSIGNAL) > 0 &&
	       recv(fd, answer, sizeof(answer), 0) > 0;
}

bool server_wait_ready(struct server *server, const char *control)
{
	while (!server->is_over) {
		int fd = server->stops ? -1 : place_connect(control);
		bool is_ready = fd >= 0 && has_answered(fd);

		if (fd >= 0)
			close(fd);
		if (is_ready)
			return true;
		take_signal(server, RETRY_MS);
	}
	return false;
}

/*
 * nbdkit 1.32 may hang, or abort, when it is told to end while clients send: it closes a
 * connection that another thread still uses. Nobody is to wait for that.
 */
void server_wait_end(struct server *server)
{
	for (int waited = 0; !server->is_over;) {
		take_signal(server, server->stops ? RETRY_MS : -1);
		if (server->stops && !server->is_over && (waited += RETRY_MS) == GRACE_MS)
			server_stop(server);
	}
}
