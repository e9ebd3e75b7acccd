/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Faults at every point. Each way in which the world can refuse something is a source; a
 * scenario is run with the first, second, third ... request of each source refused, once
 * and from then on, until a run meets no refusal. The requests are caught by the linker
 * (--wrap, see meson.build), so what is tested is what is shipped.
 */
#ifndef FAULTS_INJECT_H
#define FAULTS_INJECT_H

#include <stdbool.h>
#include <stddef.h>

enum source {
	/* the port: pages for slots, pages for the allocator's own data, ranges of addresses */
	PORT,
	PAGE,
	METADATA,
	RANGE,
	/* limits, where one is set */
	LIMIT,
	BUDGET,
	/* memory */
	MALLOC,
	CALLOC,
	REALLOC,
	ALIGNED_ALLOC,
	TEXT, /* strdup(), vasprintf(), reallocarray() */
	MMAP,
	MPROTECT,
	MADVISE,
	/* codecs */
	CONTEXT, /* made */
	SETTING,
	COMPRESS,
	DECOMPRESS,
	/* sockets, files, threads */
	THREAD,
	PIPE,
	SOCKET,
	BIND,
	LISTEN,
	CONNECT,
	ACCEPT,
	RECEIVE,
	SEND,
	POLL,
	OPEN,
	STATUS, /* stat() and its relatives */
	READ,
	SEEK,
	WALK, /* directories */
	UNLINK,
	LOCK,
	NR_SOURCES,
	/* from then on everything that is asked for is refused, whatever it is */
	ANY = NR_SOURCES
};

/* Asked by what stands for a call; true: it is to be refused. */
bool refused(enum source source);

/* How many requests were refused since the run began. */
unsigned long refusals(void);
unsigned long refusals_of(enum source source);

/* What this thread does is the test's own and never refused. */
void own_begin(void);
void own_end(void);

/* No fault is to come any more in this run. */
void disarm(void);

/* What is alive: equal before and after a run, or something has leaked. */
struct living {
	size_t allocations; /* on the heap */
	size_t mapped;      /* bytes */
	size_t descriptors;
	size_t codecs; /* contexts and dictionaries of the codecs' libraries */
	size_t ports;
};

extern struct living living;

enum thing { ALLOCATION, DESCRIPTOR, CODEC };

/* A thing that is made and unmade; unmade things that nobody saw being made are not counted. */
void note_made(enum thing thing, const void *name);
void note_unmade(enum thing thing, const void *name);

#define NAME_OF_FD(fd) ((const void *)(uintptr_t)((unsigned)(fd) + 1u))

struct scenario {
	const char *name;
	void (*begin)(const void *arg); /* makes what is needed, without faults */
	void (*work)(void);             /* meets them */
	void (*end)(void);              /* without faults: all is well, is usable, and goes */
	const void *arg;
};

/*
 * Runs one scenario through all its faults and prints what was injected. Fails if nothing
 * was, or if anything leaked.
 */
void run_scenario(const struct scenario *scenario);

/* A scenario that takes nothing from anywhere, so that nothing can be refused it. */
void assert_asks_for_nothing(const struct scenario *scenario);

/* The sum of all scenarios of the program; fails if there were fewer faults than that. */
void print_total(unsigned long at_least);

/* From the command line: how many times as large a scenario is to be. */
extern unsigned scale;
void take_arguments(int argc, char **argv);

#endif
