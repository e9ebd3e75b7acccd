/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * zram top: a disk's figures, live. Rates are the difference of two samples by the time
 * between them. A picture is made whole in memory and written at once, so that
 * nothing flickers.
 */
#define _GNU_SOURCE
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "figures.h"
#include "say.h"
#include "terminal.h"
#include "units.h"

#define MAX_HISTORY 512
#define BAR_CELLS   20
#define MIN_WAIT_MS 100
#define MAX_WAIT_MS 60000

static const char help[] =
	"Usage: zram top [OPTION]...\n"
	"Shows a disk's figures and what happens to it each second, until q is pressed.\n"
	"\n" TARGET_HELP "  --interval SECONDS   between two pictures (default 1; 0.1 to 60)\n"
	"  --help           show this\n"
	"\n"
	"Keys: q ends, + and - change the interval, blank draws at once.\n";

struct sample {
	struct zram_stats stats;
	struct timespec time;
};

struct top {
	struct control *control;
	char *algorithm;
	struct sample now;
	struct sample before;
	double seconds; /* between the two; 0: there is only one */
	int wait_ms;
	double written[MAX_HISTORY]; /* bytes a second, the newest first */
	double read[MAX_HISTORY];
	unsigned history;
};

/* A picture: lines that are cut at the terminal's edges. */
struct canvas {
	FILE *to;
	char *text;
	size_t length;
	struct terminal_size size;
	unsigned lines;
};

static void put_line(struct canvas *canvas, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void put_line(struct canvas *canvas, const char *format, ...)
{
	char text[1024];
	va_list arguments;

	if (canvas->lines == canvas->size.lines)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (canvas->lines++)
		fputs("\r\n", canvas->to);
	fprintf(canvas->to, "%.*s\033[K", (int)canvas->size.columns, text);
}

static double elapsed(const struct timespec *from, const struct timespec *to)
{
	return (double)(to->tv_sec - from->tv_sec) + (double)(to->tv_nsec - from->tv_nsec) / 1e9;
}

static double rate(const struct top *top, uint64_t before, uint64_t now)
{
	/* A reset begins anew. */
	return top->seconds > 0 && now > before ? (double)(now - before) / top->seconds : 0;
}

static void remember(double *history, double value)
{
	memmove(history + 1, history, (MAX_HISTORY - 1) * sizeof(*history));
	history[0] = value;
}

static void take_sample(struct top *top)
{
	const struct zram_stats *now = &top->now.stats;
	const struct zram_stats *before = &top->before.stats;
	bool is_first = !top->now.time.tv_sec && !top->now.time.tv_nsec;

	top->before = top->now;
	take_figures(top->control, &top->now.stats);
	clock_gettime(CLOCK_MONOTONIC, &top->now.time);
	if (is_first)
		return;
	top->seconds = elapsed(&top->before.time, &top->now.time);
	remember(top->written, rate(top, before->written_bytes, now->written_bytes));
	remember(top->read, rate(top, before->read_bytes, now->read_bytes));
	if (top->history < MAX_HISTORY)
		top->history++;
}

static const char *bar(char text[BAR_CELLS + 1], uint64_t part, uint64_t whole)
{
	double share = whole ? (double)part / (double)whole : 0;
	unsigned filled = share < 1 ? (unsigned)(share * BAR_CELLS + 0.5) : BAR_CELLS;

	memset(text, '.', BAR_CELLS);
	memset(text, '#', filled);
	text[BAR_CELLS] = '\0';
	return text;
}

static void draw_head(const struct top *top, struct canvas *canvas)
{
	char *what = describe_disk(&top->now.stats, top->algorithm);
	char clock[16] = "";
	time_t now = time(NULL);
	struct tm local;

	if (localtime_r(&now, &local))
		strftime(clock, sizeof(clock), "%H:%M:%S", &local);
	put_line(canvas, "%s: %s", control_label(top->control), what);
	put_line(canvas, "%s, every %.1f s   q ends, + - interval", clock, top->wait_ms / 1000.0);
	put_line(canvas, "%s", "");
	free(what);
}

static void draw_memory(const struct top *top, struct canvas *canvas)
{
	const struct zram_stats *stats = &top->now.stats;
	uint64_t used = stats->mem_used_total;
	uint64_t stored = stats->orig_data_size;
	char cells[BAR_CELLS + 1];
	char size[FIGURE_ROOM];
	char other[FIGURE_ROOM];

	put_line(canvas, "stored  %11s  [%s] %5.1f %% of the disk", figure_bytes(size, stored),
		 bar(cells, stored, stats->disksize), percent(stored, stats->disksize));
	if (stats->mem_limit)
		put_line(canvas, "memory  %11s  [%s] %5.1f %% of the limit, %s",
			 figure_bytes(size, used), bar(cells, used, stats->mem_limit),
			 percent(used, stats->mem_limit), figure_bytes(other, stats->mem_limit));
	else
		put_line(canvas, "memory  %11s  [%s] %5.1f %% of what is stored",
			 figure_bytes(size, used), bar(cells, used, stored), percent(used, stored));
	put_line(canvas, "ratio   %11s   saved %s", figure_ratio(size, stored, used),
		 figure_bytes(other, stored > used ? stored - used : 0));
	put_line(canvas, "most    %11s   ever taken", figure_bytes(size, stats->mem_used_max));
	put_line(canvas, "%s", "");
}

static void draw_rate(const struct top *top, struct canvas *canvas, const char *what,
		      uint64_t before, uint64_t now)
{
	char second[FIGURE_ROOM];
	char total[FIGURE_ROOM];

	put_line(canvas, "%-24s%14s%18s", what,
		 figure_count(second, (uint64_t)(rate(top, before, now) + 0.5)),
		 figure_count(total, now));
}

static void draw_byte_rate(const struct top *top, struct canvas *canvas, const char *what,
			   uint64_t before, uint64_t now)
{
	char second[FIGURE_ROOM];
	char total[FIGURE_ROOM];

	put_line(canvas, "%-24s%14s%18s", what,
		 figure_bytes(second, (uint64_t)(rate(top, before, now) + 0.5)),
		 figure_bytes(total, now));
}

static void draw_rates(const struct top *top, struct canvas *canvas)
{
	const struct zram_stats *was = &top->before.stats;
	const struct zram_stats *is = &top->now.stats;

	put_line(canvas, "%-24s%14s%18s", "", "a second", "in all");
	draw_rate(top, canvas, "reads", was->reads, is->reads);
	draw_byte_rate(top, canvas, "  bytes read", was->read_bytes, is->read_bytes);
	draw_rate(top, canvas, "writes", was->writes, is->writes);
	draw_byte_rate(top, canvas, "  bytes written", was->written_bytes, is->written_bytes);
	draw_rate(top, canvas, "  blocks left unchanged", was->unchanged_blocks,
		  is->unchanged_blocks);
	draw_rate(top, canvas, "  blocks that stay huge", was->huge_pages_since,
		  is->huge_pages_since);
	draw_rate(top, canvas, "blocks discarded", was->notify_free, is->notify_free);
	draw_rate(top, canvas, "pages compaction gave", was->pages_compacted, is->pages_compacted);
	draw_rate(top, canvas, "failed requests",
		  was->failed_reads + was->failed_writes + was->invalid_io,
		  is->failed_reads + is->failed_writes + is->invalid_io);
	put_line(canvas, "%s", "");
}

/* The newest is at the right. Each step of the bar is an eighth of the largest. */
static void draw_history(const struct top *top, struct canvas *canvas, const char *what,
			 const double *history)
{
	static const char *const unicode[] = { " ",      "\u2581", "\u2582", "\u2583", "\u2584",
					       "\u2585", "\u2586", "\u2587", "\u2588" };
	static const char *const ascii[] = { " ", ".", ":", "-", "=", "+", "*", "#", "@" };
	const char *const *steps = terminal_has_unicode() ? unicode : ascii;
	unsigned room = canvas->size.columns > 40 ? canvas->size.columns - 32 : 8;
	unsigned count = top->history < room ? top->history : room;
	double most = 0;
	char size[FIGURE_ROOM];

	if (canvas->lines == canvas->size.lines)
		return;
	for (unsigned i = 0; i < count; i++)
		if (history[i] > most)
			most = history[i];
	canvas->lines++;
	fprintf(canvas->to, "\r\n%-8s", what);
	for (unsigned i = count; i > 0; i--) {
		double share = most > 0 ? history[i - 1] / most : 0;
		unsigned step = (unsigned)(share * 8 + 0.5);

		/* What is there is to be seen. */
		fputs(steps[!step && history[i - 1] > 0 ? 1 : step], canvas->to);
	}
	fprintf(canvas->to, "| %s/s at most\033[K", figure_bytes(size, (uint64_t)most));
}

static void draw(const struct top *top)
{
	struct canvas canvas = { .size = terminal_size() };
	ssize_t written;

	canvas.to = need_memory(open_memstream(&canvas.text, &canvas.length));
	fputs("\033[H", canvas.to);
	draw_head(top, &canvas);
	draw_memory(top, &canvas);
	draw_rates(top, &canvas);
	draw_history(top, &canvas, "written", top->written);
	draw_history(top, &canvas, "read", top->read);
	fputs("\033[J", canvas.to);
	fclose(canvas.to);
	written = write(STDOUT_FILENO, canvas.text, canvas.length);
	free(canvas.text);
	if (written < 0)
		exit(EXIT_FAILURE); /* there is no terminal to say it on */
}

static int milliseconds_left(const struct top *top)
{
	struct timespec now;
	double left;

	clock_gettime(CLOCK_MONOTONIC, &now);
	left = top->wait_ms - elapsed(&top->now.time, &now) * 1000;
	return left > 1 ? (int)left : 1;
}

static void change_wait(struct top *top, double factor)
{
	double wait = top->wait_ms * factor;

	top->wait_ms = wait < MIN_WAIT_MS   ? MIN_WAIT_MS
		       : wait > MAX_WAIT_MS ? MAX_WAIT_MS
					    : (int)wait;
}

/* Returns false when it asks to end. */
static bool obey(struct top *top, int key)
{
	switch (key) {
	case 'q':
	case 'Q':
		return false;
	case '+':
		change_wait(top, 2);
		break;
	case '-':
		change_wait(top, 0.5);
		break;
	case ' ':
		take_sample(top);
		break;
	default:
		break;
	}
	return true;
}

static void show(struct top *top)
{
	bool goes_on = true;

	while (goes_on) {
		int key = 0;

		draw(top);
		switch (terminal_wait(milliseconds_left(top), &key)) {
		case EVENT_TIME:
			take_sample(top);
			break;
		case EVENT_KEY:
			goes_on = obey(top, key);
			break;
		case EVENT_RESIZE:
			break;
		case EVENT_END:
			terminal_die_of_signal();
		}
	}
}

static int parse_interval(const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end ||
	    !(seconds * 1000 >= MIN_WAIT_MS && seconds * 1000 <= MAX_WAIT_MS))
		usage_error(&top_command, "--interval: '%s' is no number from 0.1 to 60", text);
	return (int)(seconds * 1000 + 0.5);
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		TARGET_OPTIONS,
		{ "interval", required_argument, NULL, 'i' },
		HELP_OPTION,
		END_OPTIONS,
	};
	static struct top top = { .wait_ms = 1000 };
	struct target target = { NULL, NULL };
	int option;

	while ((option = next_option(&top_command, argc, argv, options)) != -1)
		if (!target_option(&top_command, &target, option))
			top.wait_ms = parse_interval(optarg);
	check_words(&top_command, argc, argv, 0, 0, "");
	if (!isatty(STDOUT_FILENO))
		die(EXIT_FAILURE, "top draws on a terminal, and standard output is none ('zram "
				  "stat' prints)");
	setlocale(LC_CTYPE, "");
	top.control = control_open(&target);
	top.algorithm = take_algorithm(top.control);
	take_sample(&top);
	terminal_enter();
	show(&top);
	terminal_leave();
	free(top.algorithm);
	control_close(top.control);
	return EXIT_SUCCESS;
}

const struct command top_command = {
	.name = "top",
	.summary = "the same live, with rates",
	.help = help,
	.run = run,
};
