/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The job itself: the pages of the listed files, compressed, one object each
 * in a pool; a random half freed, the pool compacted, the rest read back and
 * compared, all freed. Keeps 22 bytes a page beside the pool, and takes the
 * figures that the report prints: what each moment held, how long each step took.
 */
#ifndef PACK_H
#define PACK_H

#include <stdbool.h>
#include <stdint.h>

#include <zsmalloc.h>

#include "files.h"

/* When memory is looked at. */
enum moment { STORED, HALF_FREED, COMPACTED, ALL_FREED, MOMENTS };

struct moment_figures {
	uint32_t pages;   /* stored */
	uint64_t payload; /* bytes asked of zs_malloc() and not freed */
	uint64_t held;    /* bytes, by zs_get_total_size_bytes() */
	int64_t grown;    /* bytes of memory that the process took for the pool, by the kernel */
	uint64_t zspages;
};

/* What the clock is stopped for. */
enum step { READ, COMPRESS, STORE, FREE_HALF, COMPACT, READ_BACK, COMPARE, FREE_REST, STEPS };

struct step_figures {
	uint64_t ns;
	uint64_t pages;
};

struct compare_figures {
	uint64_t with_file;     /* pages equal, byte for byte, to the file read again */
	uint64_t with_checksum; /* the file changed since, but the page has its checksum */
};

struct pack {
	struct zs_pool *pool;
	const struct file_list *files;
	uint64_t seed;

	/* One entry a page of the files; a page that is not stored has handle 0. */
	zs_handle *handles;
	uint64_t *checksums; /* of the page as it was read */
	uint16_t *sizes;     /* stored; PAGE_BYTES: not compressed */
	uint32_t *order;     /* stored pages in the order of freeing; the first half goes first */

	uint32_t stored;    /* entries of order */
	uint32_t raw;       /* of these, not compressed */
	size_t changed;     /* files skipped because they changed or went away */
	uint64_t baseline;  /* resident_bytes() before there was a pool */
	uint64_t predicted; /* zs_compactable_bytes() before compaction */
	struct zs_compact_result compaction;
	struct moment_figures moments[MOMENTS];
	struct step_figures steps[STEPS];
	struct compare_figures compared;
};

/* Makes the pool. limit is in bytes, 0: none. Returns 0 or an errno number. */
int pack_open(struct pack *pack, const struct file_list *files, uint64_t limit, uint64_t seed);

/*
 * Stores every page. Returns 0, or the errno number of the zs_malloc() that
 * failed; what was stored until then stays stored and can be compared.
 */
int pack_store(struct pack *pack);

void pack_free_half(struct pack *pack);
void pack_compact(struct pack *pack);

/*
 * Reads all that is stored back and compares it with the files. Returns false
 * and says on standard error which page it is if one differs.
 */
bool pack_compare(struct pack *pack);

void pack_free_rest(struct pack *pack);

/* For memory of the program's own that is taken while the pool lives: do not count it. */
void pack_ignore_growth(struct pack *pack, uint64_t resident_before);

void pack_close(struct pack *pack);

#endif /* PACK_H */
