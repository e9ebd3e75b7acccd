/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Reads a disk's figures. The one table here names each of them, in the order
 * of struct zram_stats, for all who print them.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "figures.h"
#include "say.h"
#include "units.h"

#define FIGURE(field) #field, offsetof(struct zram_stats, field)

const struct figure figures[] = {
	{ FIGURE(orig_data_size), "zram_orig_data_bytes", GAUGE,
	  "Blocks that are stored, before compression." },
	{ FIGURE(compr_data_size), "zram_compr_data_bytes", GAUGE,
	  "Blocks that are stored, after compression, without any overhead." },
	{ FIGURE(mem_used_total), "zram_mem_used_bytes", GAUGE,
	  "Memory that the disk takes, everything counted." },
	{ FIGURE(mem_limit), "zram_mem_limit_bytes", GAUGE,
	  "The most memory that the disk may take; 0: no limit." },
	{ FIGURE(mem_used_max), "zram_mem_used_max_bytes", GAUGE,
	  "The most memory that the disk ever took." },
	{ FIGURE(same_pages), "zram_same_blocks", GAUGE,
	  "Blocks filled with one repeated word, which take no object." },
	{ FIGURE(pages_compacted), "zram_pages_compacted_total", COUNTER,
	  "Pages of memory that compaction gave back." },
	{ FIGURE(huge_pages), "zram_huge_blocks", GAUGE,
	  "Blocks that did not shrink and are stored as they are." },
	{ FIGURE(huge_pages_since), "zram_huge_blocks_written_total", COUNTER,
	  "Blocks written that did not shrink." },
	{ FIGURE(failed_reads), "zram_failed_reads_total", COUNTER, "Reads that failed." },
	{ FIGURE(failed_writes), "zram_failed_writes_total", COUNTER,
	  "Writes that failed, wholly or in part." },
	{ FIGURE(invalid_io), "zram_invalid_io_total", COUNTER,
	  "Requests beyond the end of the disk." },
	{ FIGURE(notify_free), "zram_discarded_blocks_total", COUNTER,
	  "Blocks that were freed by discarding or zeroing them." },
	{ FIGURE(reads), "zram_reads_total", COUNTER, "Read requests." },
	{ FIGURE(read_bytes), "zram_read_bytes_total", COUNTER, "Bytes read." },
	{ FIGURE(writes), "zram_writes_total", COUNTER, "Write requests." },
	{ FIGURE(written_bytes), "zram_written_bytes_total", COUNTER, "Bytes written." },
	{ FIGURE(unchanged_blocks), "zram_unchanged_blocks_total", COUNTER,
	  "Blocks written with what they held already." },
	{ FIGURE(damaged_blocks), "zram_damaged_blocks_total", COUNTER,
	  "Reads of a block that found it damaged." },
	{ FIGURE(pool_bytes), "zram_pool_bytes", GAUGE,
	  "Memory of the zsmalloc pool: objects, handles, its tables." },
	{ FIGURE(table_bytes), "zram_table_bytes", GAUGE, "Memory of the slot table." },
	{ FIGURE(stream_bytes), "zram_stream_bytes", GAUGE,
	  "Memory of codec contexts, their buffers and the dictionary." },
	{ FIGURE(own_bytes), "zram_own_bytes", GAUGE, "Memory of the store's own descriptor." },
	{ FIGURE(disksize), "zram_disk_bytes", GAUGE, "The disk's size." },
	{ FIGURE(block_size), "zram_block_bytes", GAUGE, "The size of a block." },
};

const size_t figure_total = sizeof(figures) / sizeof(figures[0]);

uint64_t figure_value(const struct zram_stats *stats, const struct figure *figure)
{
	uint64_t value;

	memcpy(&value, (const char *)stats + figure->offset, sizeof(value));
	return value;
}

static const struct figure *find_figure(const char *name)
{
	for (size_t i = 0; i < figure_total; i++)
		if (!strcmp(figures[i].name, name))
			return &figures[i];
	return NULL;
}

void take_figures(struct control *control, struct zram_stats *stats)
{
	char *text = control_get(control, "stat");
	char *rest = text;
	size_t found = 0;

	*stats = (struct zram_stats){ 0 };
	for (char *line; (line = strsep(&rest, "\n"));) {
		char *name = strsep(&line, " \t");
		const struct figure *figure = find_figure(name);
		uint64_t value;

		if (!figure || !line || !parse_number(line, &value))
			continue; /* a newer server may know more */
		memcpy((char *)stats + figure->offset, &value, sizeof(value));
		found++;
	}
	if (found != figure_total)
		die(EXIT_FAILURE, "%s: its figures cannot be understood (another version?)",
		    control_label(control));
	free(text);
}

char *take_algorithm(struct control *control)
{
	char *text = control_get(control, "comp_algorithm");
	char *from = strchr(text, '[');
	char *name = text_of("%.*s", from ? (int)strcspn(from + 1, "]") : (int)strlen(text),
			     from ? from + 1 : text);

	free(text);
	return name;
}

char *describe_disk(const struct zram_stats *stats, const char *algorithm)
{
	char size[FIGURE_ROOM];
	char block[FIGURE_ROOM];

	return text_of("%s disk, %s, blocks of %s", figure_bytes(size, stats->disksize), algorithm,
		       figure_bytes(block, stats->block_size));
}

static bool parse_class(char *line, struct class_figures *class)
{
	uint64_t *const fields[] = {
		&class->index,
		&class->size,
		&class->is_open,
		&class->pages_per_zspage,
		&class->objs_per_zspage,
		&class->objects,
		&class->free_slots,
		&class->pages,
		&class->reclaimable_bytes,
	};
	const size_t scalars = sizeof(fields) / sizeof(fields[0]);
	size_t at = 0;

	for (char *word; (word = strsep(&line, " \t"));) {
		if (!*word)
			continue;
		if (at == scalars + ZS_FULLNESS_BANDS ||
		    !parse_number(word, at < scalars ? fields[at] : &class->zspages[at - scalars]))
			return false;
		at++;
	}
	return at == scalars + ZS_FULLNESS_BANDS && class->size;
}

struct class_figures *take_classes(struct control *control, size_t *count)
{
	char *text = control_get(control, "classes");
	char *rest = text;
	struct class_figures *classes = NULL;
	bool is_header = true;

	*count = 0;
	for (char *line; (line = strsep(&rest, "\n")); is_header = false) {
		if (is_header || !*line)
			continue;
		classes = need_memory(reallocarray(classes, *count + 1, sizeof(*classes)));
		if (!parse_class(line, &classes[*count]))
			die(EXIT_FAILURE, "%s: its classes cannot be understood (another version?)",
			    control_label(control));
		(*count)++;
	}
	free(text);
	return classes;
}

uint64_t class_held(const struct class_figures *class)
{
	return class->pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

struct pool_figures sum_classes(const struct class_figures *classes, size_t count)
{
	struct pool_figures sum = { 0 };

	for (size_t i = 0; i < count; i++) {
		sum.held += class_held(&classes[i]);
		sum.in_use += classes[i].objects * classes[i].size;
		sum.objects += classes[i].objects;
		sum.reclaimable += classes[i].reclaimable_bytes;
	}
	return sum;
}
