/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* Numbers as people write and read them, whatever the locale. */
#ifndef TOOLS_UNITS_H
#define TOOLS_UNITS_H

#include <stdbool.h>
#include <stdint.h>

#define FIGURE_ROOM 32

/*
 * A size as the kernel takes it: decimal, 0x hexadecimal or 0 octal, then perhaps
 * K, M, G, T, P or E (or k, ...; "KiB" too) for powers of 1024.
 */
bool parse_size(const char *text, uint64_t *bytes);

/* Decimal digits only. */
bool parse_number(const char *text, uint64_t *number);

const char *figure_bytes(char text[FIGURE_ROOM], uint64_t bytes);  /* "512 MiB", "1.83 GiB" */
const char *figure_count(char text[FIGURE_ROOM], uint64_t number); /* "1,234,567" */
const char *figure_ratio(char text[FIGURE_ROOM], uint64_t a, uint64_t b); /* a / b; "-" if b is 0 */
double percent(uint64_t part, uint64_t whole);                            /* 0 if whole is 0 */

#endif
