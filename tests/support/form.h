/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * How long a randomised test runs, from its arguments: [--seconds N] [count [seed]].
 * With --seconds it is run again, with the next seed, until that time is over.
 */
#ifndef ZS_TEST_FORM_H
#define ZS_TEST_FORM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct form {
	unsigned long count;
	uint64_t seed;
	time_t until; /* CLOCK_MONOTONIC; 0: one run */
};

static inline time_t form_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static inline struct form form_parse(int argc, char **argv, unsigned long count)
{
	struct form form = { .count = count, .seed = 1 };

	if (argc > 2 && strcmp(argv[1], "--seconds") == 0) {
		form.until = form_now() + (time_t)strtoul(argv[2], NULL, 0);
		argc -= 2;
		argv += 2;
	}
	if (argc > 1)
		form.count = strtoul(argv[1], NULL, 0);
	if (argc > 2)
		form.seed = strtoull(argv[2], NULL, 0);
	return form;
}

/* Whether there is time for another run; if so it has a new seed. */
static inline bool form_again(struct form *form)
{
	if (form_now() >= form->until)
		return false;
	form->seed++;
	return true;
}

#endif /* ZS_TEST_FORM_H */
