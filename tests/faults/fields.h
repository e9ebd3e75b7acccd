/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The books of the checker's test: which field of which structure was made wrong, and what
 * came of it. That no field is forgotten is read off the headers themselves.
 */
#ifndef FAULTS_FIELDS_H
#define FAULTS_FIELDS_H

#include <stddef.h>
#include <stdint.h>

enum verdict {
	NOTICED,    /* by the checker, each time */
	HARMLESS,   /* the words say why; where it can be tried, it was */
	STANDSTILL, /* a lock that nobody holds: calls wait, and nothing is lost or wrong */
	SUM         /* a structure of its own within this one: its fields are looked at there */
};

void fields_note(const char *structure, const char *field, enum verdict verdict, const char *why);

/* Fails for each field of the header's structures that was not noted, and each structure. */
void fields_compare(const char *header, const char *const *not_kept);

/* Noticed, harmless, all. */
void fields_print(const char *of);

/* One corruption that was tried: adds to the sum that fields_print() prints. */
void fields_tried(int noticed);

#endif
