/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The books, and a reader of C headers that knows as much as these need: structures without
 * structures declared in them, each member ended by a semicolon.
 */
#include "fields.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "testing.h"

#define FIELDS_MAX 512
#define NAME_MAX_  64

static struct field {
	char structure[NAME_MAX_], name[NAME_MAX_];
	enum verdict verdict;
	const char *why;
} fields[FIELDS_MAX];
static size_t count;
static unsigned long tried, noticed;

static struct field *find(const char *structure, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(fields[i].structure, structure) && !strcmp(fields[i].name, name))
			return &fields[i];
	}
	return NULL;
}

void fields_note(const char *structure, const char *field, enum verdict verdict, const char *why)
{
	char name[NAME_MAX_];

	/* Of an array one element stands for all. */
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(field, "[."), field);
	if (find(structure, name))
		return;
	assert_true(count < FIELDS_MAX);
	fields[count] = (struct field){ .verdict = verdict, .why = why };
	snprintf(fields[count].structure, NAME_MAX_, "%s", structure);
	snprintf(fields[count].name, NAME_MAX_, "%s", name);
	count++;
}

void fields_tried(int was_noticed)
{
	tried++;
	noticed += was_noticed != 0;
}

/* --- the headers --- */

static char *read_text(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text;
	long size;

	if (!file)
		print_error("%s cannot be read\n", path);
	assert_non_null(file);
	fseek(file, 0, SEEK_END);
	size = ftell(file);
	rewind(file);
	text = calloc(1, (size_t)size + 1);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, (size_t)size, file), size);
	fclose(file);
	return text;
}

static void blank(char *from, const char *to)
{
	for (; from < to; from++)
		*from = ' ';
}

static void blank_comments(char *text)
{
	char *from, *to;

	while ((from = strstr(text, "/*"))) {
		to = strstr(from, "*/");
		assert_non_null(to);
		blank(from, to + 2);
	}
}

static bool is_name(char letter)
{
	return isalnum((unsigned char)letter) || letter == '_';
}

/* The last name before the end of a declarator, its array's size left away. */
static void take_name(const char *from, const char *to, char name[NAME_MAX_])
{
	const char *bracket = memchr(from, '[', (size_t)(to - from)), *pointer, *begin;

	if (bracket)
		to = bracket;
	/* A pointer to a function has its name in parentheses. */
	for (pointer = from; pointer + 1 < to; pointer++) {
		if (pointer[0] == '(' && pointer[1] == '*') {
			from = pointer;
			to = memchr(from, ')', (size_t)(to - from));
			break;
		}
	}
	while (to > from && !is_name(to[-1]))
		to--;
	for (begin = to; begin > from && is_name(begin[-1]); begin--)
		;
	snprintf(name, NAME_MAX_, "%.*s", (int)(to - begin), begin);
}

/* Returns how many fields nobody has noted. */
static unsigned compare_member(const char *structure, const char *from, const char *to)
{
	unsigned missing = 0;
	int depth = 0;

	for (const char *at = from; at <= to; at++) {
		char name[NAME_MAX_];

		depth += (*at == '(' || *at == '[') - (*at == ')' || *at == ']');
		if (at < to && (*at != ',' || depth))
			continue;
		take_name(from, at, name);
		if (*name && !find(structure, name)) {
			print_error("struct %s: %s was not made wrong\n", structure, name);
			missing++;
		}
		from = at + 1;
	}
	return missing;
}

static bool is_listed(const char *const *list, const char *name)
{
	for (; *list; list++) {
		if (!strcmp(*list, name))
			return true;
	}
	return false;
}

static unsigned compare_structure(const char *name, const char *body, const char *end)
{
	unsigned missing = 0;

	for (const char *at = body; at < end;) {
		const char *stop = memchr(at, ';', (size_t)(end - at));

		if (!stop)
			break;
		missing += compare_member(name, at, stop);
		at = stop + 1;
	}
	return missing;
}

void fields_compare(const char *header, const char *const *not_kept)
{
	char *text = read_text(header), *at = text;
	unsigned missing = 0, structures = 0;

	blank_comments(text);
	/* A definition begins a line, has a name and a brace. */
	while ((at = strstr(at, "\nstruct "))) {
		char name[NAME_MAX_];
		size_t length;

		at += strlen("\nstruct ");
		for (length = 0; is_name(at[length]); length++)
			;
		snprintf(name, sizeof(name), "%.*s", (int)length, at);
		at += length;
		if (strncmp(at, " {", 2) != 0)
			continue;
		char *end = strstr(at, "\n}");
		assert_non_null(end);
		if (is_listed(not_kept, name))
			continue;
		structures++;
		missing += compare_structure(name, at + 2, end);
	}
	free(text);
	assert_true(structures > 0);
	assert_int_equal(missing, 0);
}

/* --- what came of it --- */

void fields_print(const char *of)
{
	unsigned long sums[SUM + 1] = { 0 };

	for (size_t i = 0; i < count; i++) {
		sums[fields[i].verdict]++;
		if (fields[i].verdict == HARMLESS || fields[i].verdict == STANDSTILL)
			print_message("%s: struct %s, %s: %s\n",
				      fields[i].verdict == HARMLESS ? "harmless" : "standstill",
				      fields[i].structure, fields[i].name, fields[i].why);
	}
	print_message("%s: %lu fields: %lu noticed, %lu harmless, %lu bring calls to a standstill; "
		      "%lu corruptions, %lu noticed\n",
		      of, (unsigned long)count - sums[SUM], sums[NOTICED], sums[HARMLESS],
		      sums[STANDSTILL], tried, noticed);
	assert_true(sums[NOTICED] > 0);
	assert_int_equal(tried, noticed);
}
