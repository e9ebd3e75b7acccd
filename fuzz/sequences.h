/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * An interpreter of inputs as sequences of calls, step by step: what calls.c and store.c give
 * to fuzz_one() and to the driver of long sequences (sequences.c).
 *
 * How many bytes a step takes follows from these bytes and the opening's alone, never from
 * what was called before: so a step may be left out, and the others stay what they are.
 */
#ifndef FUZZ_SEQUENCES_H
#define FUZZ_SEQUENCES_H

#include "harness.h"

/* The first byte of a step is its index in the list, modulo the number of steps. */
struct sequence_step {
	const char *name;
	void (*take)(struct input *input);
	bool rare; /* in long sequences: it is dear, or undoes what many others did */
};

/* What happened so far. Names of calls begin with "zs_" or "zram_". */
struct sequence_count {
	const char *name;
	unsigned long count;
};

/* What the interpreter has: one in a program. */
extern const struct sequence_step sequence_steps[];
extern const size_t sequence_step_count;
extern struct sequence_count sequence_counts[];
extern const size_t sequence_count_count;

/* So many calls are some seconds' work. */
extern const unsigned long sequence_operations;

/* What all sequences need, once. */
void sequence_prepare(void);

/* Returns 0 if there is nothing to call, else how dear a step is, at least 1. */
unsigned sequence_open(struct input *input);

void sequence_take(struct input *input);

/* Compares everything, then ends it. */
void sequence_close(void);

/* One of a list: for the interpreter's own lists of what it counts. */
#define SEQUENCE_ENUM(name) COUNT_##name
#define SEQUENCE_COUNT(name) \
	{                    \
#name, 0     \
	}

#define HAPPENED(name) ((void)sequence_counts[COUNT_##name].count++)

/* Counts each call under its name: #define zs_free(...) COUNTED(zs_free, __VA_ARGS__) */
#define COUNTED(call, ...) (sequence_counts[COUNT_##call].count++, call(__VA_ARGS__))

static inline unsigned long sequence_calls(void)
{
	unsigned long calls = 0;

	for (size_t i = 0; i < sequence_count_count; i++) {
		if (sequence_counts[i].name[0] == 'z')
			calls += sequence_counts[i].count;
	}
	return calls;
}

#endif /* FUZZ_SEQUENCES_H */
