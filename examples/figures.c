/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Writes numbers for people, always in the same way, whatever the locale.
 */
#include <inttypes.h>
#include <stdio.h>

#include "figures.h"

const char *figure_count(char text[FIGURE_ROOM], uint64_t number)
{
	char digits[FIGURE_ROOM];
	int length = snprintf(digits, sizeof(digits), "%" PRIu64, number);
	char *to = text;

	for (int i = 0; i < length; i++) {
		if (i && (length - i) % 3 == 0)
			*to++ = ',';
		*to++ = digits[i];
	}
	*to = '\0';
	return text;
}

const char *figure_mib(char text[FIGURE_ROOM], uint64_t bytes)
{
	double mib = (double)bytes / 1048576;

	snprintf(text, FIGURE_ROOM, "%.*f", mib < 10 ? 2 : 1, mib);
	return text;
}

double figure_percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}
