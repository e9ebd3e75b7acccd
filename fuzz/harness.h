/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What all fuzzers share. Each is one file with fuzz_one() and fuzz_summary(); with
 * libFuzzer it becomes a fuzzer (libfuzzer.c), with replay.c a program that
 * runs kept inputs, which is what "make check" does.
 *
 * An input is a string of small numbers. Whatever it holds is a valid sequence: a number that
 * is too large wraps around, and after its end all numbers are 0.
 */
#ifndef FUZZ_HARNESS_H
#define FUZZ_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Runs one input; what is wrong ends the process (see require()). */
void fuzz_one(const uint8_t *data, size_t size);

/* Prints what was tried so far. Returns whether there was anything to be found wrong. */
bool fuzz_summary(void);

/* Ends the process with one line: libFuzzer then keeps the input. */
_Noreturn void fuzz_fail(const char *file, int line, const char *what);

#define require(condition) ((condition) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #condition))

struct input {
	const uint8_t *at;
	size_t left;
};

static inline unsigned input_byte(struct input *input)
{
	if (!input->left)
		return 0;
	input->left--;
	return *input->at++;
}

/* 0 to bound - 1, of as few bytes as have room for that; bound at least 1. */
static inline uint32_t input_below(struct input *input, uint32_t bound)
{
	uint32_t value = input_byte(input);

	require(bound);
	for (uint32_t room = 256; room && room < bound; room <<= 8)
		value = value << 8 | input_byte(input);
	return value % bound;
}

static inline uint64_t input_u64(struct input *input)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < sizeof(value); i++)
		value = value << 8 | input_byte(input);
	return value;
}

/* The next count bytes as they are, fewer if there are no more. */
static inline const uint8_t *input_bytes(struct input *input, size_t *count)
{
	const uint8_t *bytes = input->at;

	if (*count > input->left)
		*count = input->left;
	input->at += *count;
	input->left -= *count;
	return bytes;
}

#endif /* FUZZ_HARNESS_H */
