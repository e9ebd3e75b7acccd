/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* Reads and writes through /proc/self/mem, which no sanitizer watches. */
#include "memory.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK        ((size_t)1 << 20)
#define LARGEST_AREA (UINT64_C(1) << 30)

struct search {
	const struct needle *needle;
	uintptr_t *addresses;
	size_t room;
	size_t found;
	int memory;
	unsigned char *chunk; /* CHUNK bytes and a needle's more; a mapping to leave out */
};

static _Noreturn void stop(const char *what)
{
	perror(what);
	abort();
}

void needle_set(struct needle *needle, const void *bytes, size_t size)
{
	const unsigned char *at = bytes;

	needle->size = size;
	for (size_t i = 0; i < size; i++)
		needle->inverted[i] = (unsigned char)~at[i];
}

static bool matches(const struct needle *needle, const unsigned char *at)
{
	for (size_t i = 0; i < needle->size; i++) {
		if ((at[i] ^ needle->inverted[i]) != 0xFF)
			return false;
	}
	return true;
}

static void search_chunk(struct search *search, uintptr_t start, size_t length)
{
	size_t size = search->needle->size;
	const unsigned char *at = search->chunk, *end = at + length;
	const int first = (unsigned char)~search->needle->inverted[0];

	while ((size_t)(end - at) >= size) {
		at = memchr(at, first, (size_t)(end - at) - size + 1);
		if (!at)
			return;
		if (matches(search->needle, at)) {
			if (search->found < search->room)
				search->addresses[search->found] =
					start + (uintptr_t)(at - search->chunk);
			search->found++;
		}
		at++;
	}
}

/* Chunks overlap by a needle less one byte. */
static void search_area(struct search *search, uint64_t start, uint64_t end)
{
	size_t overlap = search->needle->size - 1;

	while (end - start > overlap) {
		size_t want = end - start < CHUNK + overlap ? (size_t)(end - start)
							    : CHUNK + overlap;
		ssize_t got = pread(search->memory, search->chunk, want, (off_t)start);

		if (got <= (ssize_t)overlap)
			return;
		search_chunk(search, (uintptr_t)start, (size_t)got);
		start += (size_t)got - overlap;
	}
}

static void search_line(struct search *search, const char *line)
{
	uint64_t start, end, inode;
	uint64_t own = (uintptr_t)search->chunk;
	char permissions[5];

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*s %*s %" SCNu64, &start, &end, permissions,
		   &inode) != 4)
		return;
	/* Dead frames on the stack hold what the tests wrote. */
	if (strncmp(permissions, "rw", 2) != 0 || permissions[3] != 'p' || inode != 0 ||
	    end - start > LARGEST_AREA || strstr(line, "[stack]"))
		return;
	/* The buffer of this search lies in a mapping of its own, or in a larger one. */
	if (own < start || own >= end) {
		search_area(search, start, end);
		return;
	}
	search_area(search, start, own);
	search_area(search, own + CHUNK + sizeof(search->needle->inverted), end);
}

size_t memory_find(const struct needle *needle, uintptr_t *addresses, size_t room)
{
	struct search search = { .needle = needle, .addresses = addresses, .room = room };
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];

	search.memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	search.chunk = malloc(CHUNK + sizeof(needle->inverted));
	if (!maps || search.memory < 0 || !search.chunk)
		stop("/proc/self");
	while (fgets(line, sizeof(line), maps))
		search_line(&search, line);
	memset(search.chunk, 0, CHUNK + sizeof(needle->inverted));
	free(search.chunk);
	close(search.memory);
	fclose(maps);
	return search.found;
}

void memory_flip(uintptr_t address, unsigned bit)
{
	int memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	unsigned char byte;

	if (memory < 0 || pread(memory, &byte, 1, (off_t)address) != 1)
		stop("/proc/self/mem");
	byte ^= (unsigned char)(1u << bit);
	if (pwrite(memory, &byte, 1, (off_t)address) != 1)
		stop("/proc/self/mem");
	close(memory);
}
