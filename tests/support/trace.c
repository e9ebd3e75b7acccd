/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Reads a trace file twice: once to count its objects, once to list them.
 */
#include "trace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define LINE_MAX_BYTES 256

struct entry {
	uint32_t size;
	uint32_t count;
};

/* False at the end of the file or at a line that is no entry: then errno is set. */
static bool next_entry(FILE *file, struct entry *entry)
{
	char line[LINE_MAX_BYTES];

	while (fgets(line, sizeof(line), file)) {
		if (line[0] == '#')
			continue;
		if (sscanf(line, "%" SCNu32 " %" SCNu32, &entry->size, &entry->count) == 2 &&
		    entry->size > 0)
			return true;
		errno = EINVAL;
		return false;
	}
	return false;
}

static int count_objects(FILE *file, struct trace *trace)
{
	struct entry entry;

	errno = 0;
	while (next_entry(file, &entry)) {
		if (entry.count > UINT32_MAX - trace->count) {
			errno = EINVAL;
			return -1;
		}
		trace->count += entry.count;
		trace->bytes += (uint64_t)entry.size * entry.count;
	}
	if (!errno && trace->count == 0)
		errno = EINVAL;
	return errno ? -1 : 0;
}

static int list_objects(FILE *file, struct trace *trace)
{
	struct entry entry;
	size_t at = 0;

	trace->sizes = malloc(trace->count * sizeof(*trace->sizes));
	if (!trace->sizes)
		return -1;
	rewind(file);
	while (next_entry(file, &entry)) {
		for (uint32_t i = 0; i < entry.count && at < trace->count; i++)
			trace->sizes[at++] = entry.size;
	}
	return 0;
}

int trace_load(struct trace *trace, const char *path)
{
	FILE *file = fopen(path ? path : TRACE_DATA, "r");
	int result;

	*trace = (struct trace){ 0 };
	if (!file)
		return -1;
	result = count_objects(file, trace);
	if (result == 0)
		result = list_objects(file, trace);
	if (result != 0)
		*trace = (struct trace){ 0 };
	fclose(file);
	return result;
}

void trace_release(struct trace *trace)
{
	free(trace->sizes);
	*trace = (struct trace){ 0 };
}

void trace_shuffle(struct trace *trace, struct rng *rng)
{
	rng_shuffle_u32(rng, trace->sizes, trace->count);
}

void trace_truncate(struct trace *trace, uint32_t count)
{
	for (uint32_t i = count; i < trace->count; i++)
		trace->bytes -= trace->sizes[i];
	if (count < trace->count)
		trace->count = count;
}
