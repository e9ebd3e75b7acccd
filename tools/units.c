/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Numbers as people write and read them. A figure has three digits that count:
 * enough to compare, few enough to read.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "units.h"

static const char unit_letters[] = "KMGTPE";

static bool parse_digits(const char *text, int base, uint64_t *number, const char **rest)
{
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*number = strtoull(text, &end, base);
	*rest = end;
	return !errno && end != text;
}

bool parse_number(const char *text, uint64_t *number)
{
	const char *rest;

	return parse_digits(text, 10, number, &rest) && !*rest;
}

bool parse_size(const char *text, uint64_t *bytes)
{
	const char *unit;
	const char *rest;
	unsigned shift = 0;

	if (!parse_digits(text, 0, bytes, &rest))
		return false;
	unit = *rest ? strchr(unit_letters, *rest & ~0x20) : NULL;
	if (unit) {
		shift = 10 * ((unsigned)(unit - unit_letters) + 1);
		rest++;
		if (!strcmp(rest, "iB"))
			rest += 2;
	}
	if (*rest || *bytes > UINT64_MAX >> shift)
		return false;
	*bytes <<= shift;
	return true;
}

const char *figure_bytes(char text[FIGURE_ROOM], uint64_t bytes)
{
	unsigned unit = 0;
	double value;

	while (unit < sizeof(unit_letters) - 1 && bytes >> 10 * (unit + 1))
		unit++;
	value = (double)bytes / (double)(UINT64_C(1) << 10 * unit);
	if (!unit)
		snprintf(text, FIGURE_ROOM, "%" PRIu64 " B", bytes);
	else if (!(bytes & ((UINT64_C(1) << 10 * unit) - 1)))
		snprintf(text, FIGURE_ROOM, "%" PRIu64 " %ciB", bytes >> 10 * unit,
			 unit_letters[unit - 1]);
	else
		snprintf(text, FIGURE_ROOM, "%.*f %ciB",
			 value < 10    ? 2
			 : value < 100 ? 1
				       : 0,
			 value, unit_letters[unit - 1]);
	return text;
}

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

const char *figure_ratio(char text[FIGURE_ROOM], uint64_t a, uint64_t b)
{
	double ratio = b ? (double)a / (double)b : 0;

	if (b)
		snprintf(text, FIGURE_ROOM, "%.*f", ratio < 100 ? 2 : 0, ratio);
	else
		snprintf(text, FIGURE_ROOM, "-");
	return text;
}

double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100 * (double)part / (double)whole : 0;
}
