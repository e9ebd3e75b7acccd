/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Takes the terminal over and gives it back, whatever ends the program but SIGKILL. Signals
 * are blocked except while ppoll() waits, so that none interrupts half a screen.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <langinfo.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "terminal.h"

static const char enter_screen[] = "\033[?1049h\033[?25l\033[H\033[2J";
static const char leave_screen[] = "\033[?25h\033[?1049l";

static const int ending_signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

static struct {
	struct termios saved;
	bool has_keys; /* standard input is a terminal */
	bool is_entered;
	bool is_input_over;
	sigset_t open_mask; /* while waiting */
} screen;

static volatile sig_atomic_t ended_by;
static volatile sig_atomic_t is_resized;
static volatile sig_atomic_t is_stopped;

bool terminal_has_colour(void)
{
	const char *refused = getenv("NO_COLOR");
	const char *terminal = getenv("TERM");

	return isatty(STDOUT_FILENO) == 1 && !(refused && *refused) && terminal &&
	       strcmp(terminal, "dumb") != 0;
}

bool terminal_has_unicode(void)
{
	return !strcmp(nl_langinfo(CODESET), "UTF-8");
}

struct terminal_size terminal_size(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_col || !size.ws_row)
		return (struct terminal_size){ 80, 24 };
	return (struct terminal_size){ size.ws_col, size.ws_row };
}

static void note_signal(int number)
{
	if (number == SIGWINCH || number == SIGCONT)
		is_resized = 1;
	else if (number == SIGTSTP)
		is_stopped = 1;
	else
		ended_by = number;
}

/* What does not arrive cannot be helped: nothing is told by these. */
static void put_code(const char *code)
{
	ssize_t ignored = write(STDOUT_FILENO, code, strlen(code));

	(void)ignored;
}

static void take_screen(void)
{
	struct termios raw = screen.saved;

	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	if (screen.has_keys)
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
	put_code(enter_screen);
	screen.is_entered = true;
}

void terminal_leave(void)
{
	if (!screen.is_entered)
		return;
	put_code(leave_screen);
	if (screen.has_keys)
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &screen.saved);
	screen.is_entered = false;
}

void terminal_enter(void)
{
	struct sigaction action = { .sa_handler = note_signal };
	sigset_t blocked;

	sigemptyset(&blocked);
	for (size_t i = 0; i < sizeof(ending_signals) / sizeof(ending_signals[0]); i++)
		sigaddset(&blocked, ending_signals[i]);
	sigaddset(&blocked, SIGTSTP);
	sigaddset(&blocked, SIGCONT);
	sigaddset(&blocked, SIGWINCH);
	sigprocmask(SIG_BLOCK, &blocked, &screen.open_mask);
	for (int number = 1; number < NSIG; number++)
		if (sigismember(&blocked, number) == 1)
			sigaction(number, &action, NULL);
	screen.has_keys = !tcgetattr(STDIN_FILENO, &screen.saved);
	atexit(terminal_leave);
	take_screen();
}

/* Ctrl-Z: the shell gets its terminal as it was, and we get it back with fg. */
static void stop_here(void)
{
	is_stopped = 0;
	terminal_leave();
	raise(SIGSTOP);
	take_screen();
	is_resized = 1;
}

static enum event read_key(int *key)
{
	unsigned char byte;

	if (read(STDIN_FILENO, &byte, 1) != 1) {
		/* Nobody types any more: the picture goes on. */
		screen.is_input_over = true;
		return EVENT_TIME;
	}
	*key = byte;
	return EVENT_KEY;
}

enum event terminal_wait(int timeout_ms, int *key)
{
	struct timespec timeout = { timeout_ms / 1000, timeout_ms % 1000 * 1000000L };
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	int ready;

	if (!screen.has_keys || screen.is_input_over)
		input.fd = -1;
	ready = ppoll(&input, 1, &timeout, &screen.open_mask);
	if (ended_by)
		return EVENT_END;
	if (is_stopped)
		stop_here();
	if (is_resized) {
		is_resized = 0;
		return EVENT_RESIZE;
	}
	return ready > 0 ? read_key(key) : EVENT_TIME;
}

void terminal_die_of_signal(void)
{
	sigset_t set;

	terminal_leave();
	signal(ended_by, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, ended_by);
	raise(ended_by);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	_exit(128 + ended_by);
}
