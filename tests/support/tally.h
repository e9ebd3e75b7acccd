/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Counts checks. A check that holds is silent; one that does not prints a line.
 * One tally per program.
 */
#ifndef ZS_TEST_TALLY_H
#define ZS_TEST_TALLY_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

struct tally {
	unsigned passed;
	unsigned failed;
};

__attribute__((format(printf, 3, 4))) static inline bool
tally_check(struct tally *tally, bool holds, const char *what, ...)
{
	va_list arguments;

	if (holds) {
		tally->passed++;
		return true;
	}
	tally->failed++;
	fputs("FAILED: ", stdout);
	va_start(arguments, what);
	vprintf(what, arguments);
	va_end(arguments);
	putchar('\n');
	return false;
}

/* Prints the last line and returns the exit status. */
static inline int tally_finish(const struct tally *tally)
{
	printf("%u passed, %u failed\n", tally->passed, tally->failed);
	return tally->failed ? 1 : 0;
}

#endif /* ZS_TEST_TALLY_H */
