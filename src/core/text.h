/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Lines of text put together without a C library. What does not fit is cut.
 */
#ifndef ZS_TEXT_H
#define ZS_TEXT_H

#include <stddef.h>
#include <stdint.h>

struct line {
	char text[160];
	size_t length;
};

static inline void say(struct line *line, const char *text)
{
	while (*text && line->length < sizeof(line->text) - 1)
		line->text[line->length++] = *text++;
	line->text[line->length] = '\0';
}

static inline void say_hex(struct line *line, uintptr_t value)
{
	char digits[2 * sizeof(value) + 1];
	char *at = &digits[sizeof(digits) - 1];

	*at = '\0';
	do {
		*--at = "0123456789abcdef"[value % 16];
	} while (value /= 16);
	say(line, "0x");
	say(line, at);
}

static inline void say_number(struct line *line, uint64_t value)
{
	char digits[21];
	char *at = &digits[sizeof(digits) - 1];

	*at = '\0';
	do {
		*--at = (char)('0' + value % 10);
	} while (value /= 10);
	say(line, at);
}

#endif /* ZS_TEXT_H */
