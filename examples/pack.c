/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Stores, frees, compacts, compares. Works in batches of pages of one file, so
 * that the clock is read three times a batch and not at every page. All memory
 * of its own is real before the baseline is measured.
 */
#include <errno.h>
#include <inttypes.h>
#include <lz4.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "measure.h"
#include "pack.h"
#include "progress.h"
#include "shuffle.h"

#define BATCH_PAGES 64u

static unsigned char raw_pages[BATCH_PAGES][PAGE_BYTES];
static unsigned char packed_pages[BATCH_PAGES][PAGE_BYTES];

/* A run of pages of one file. */
struct batch {
	const struct file *file;
	int fd;        /* of the file, or -1: it changed or is gone */
	uint32_t from; /* the first page, numbered within the file */
	uint32_t pages;
};

/* 64 bits over a page: a multiply and a shift a word, enough to notice any damage. */
static uint64_t checksum(const void *page)
{
	uint64_t sum = 0;

	for (size_t at = 0; at < PAGE_BYTES; at += sizeof(uint64_t)) {
		uint64_t word;

		memcpy(&word, (const char *)page + at, sizeof(word));
		sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
		sum ^= sum >> 32;
	}
	return sum;
}

static void count_step(struct pack *pack, enum step step, uint64_t began, uint64_t pages)
{
	pack->steps[step].ns += now_ns() - began;
	pack->steps[step].pages += pages;
}

static void take_moment(struct pack *pack, enum moment moment, uint32_t pages, uint64_t payload)
{
	struct zs_pool_stats stats;

	zs_pool_stats(pack->pool, &stats);
	pack->moments[moment] = (struct moment_figures){
		.pages = pages,
		.payload = payload,
		.held = zs_get_total_size_bytes(pack->pool),
		.grown = (int64_t)(resident_bytes() - pack->baseline),
		.zspages = stats.zspages,
	};
}

/* Touches what the work will touch, so that the pool is all that grows afterwards. */
static void warm_up(void)
{
	memset(raw_pages, 1, sizeof(raw_pages));
	memset(packed_pages, 1, sizeof(packed_pages));
	LZ4_compress_default((const char *)raw_pages[0], (char *)packed_pages[0], PAGE_BYTES,
			     PAGE_BYTES);
	resident_bytes();
}

int pack_open(struct pack *pack, const struct file_list *files, uint64_t limit, uint64_t seed)
{
	struct zs_pool_options options = {
		.name = "zspack",
		.max_object_size = PAGE_BYTES,
		.limit = limit,
		.compaction = ZS_COMPACTION_MANUAL, /* to show what compaction does */
	};
	size_t pages = files->pages;

	*pack = (struct pack){ .files = files, .seed = seed };
	pack->handles = resident_array(pages * sizeof(*pack->handles));
	pack->checksums = resident_array(pages * sizeof(*pack->checksums));
	pack->sizes = resident_array(pages * sizeof(*pack->sizes));
	pack->order = resident_array(pages * sizeof(*pack->order));
	if (!pack->handles || !pack->checksums || !pack->sizes || !pack->order)
		return ENOMEM;
	warm_up();
	pack->baseline = resident_bytes();
	pack->pool = zs_create_pool(&options);
	return pack->pool ? 0 : errno;
}

/* Fills packed_pages; a page that does not shrink enough keeps PAGE_BYTES as its size. */
static void compress_batch(struct pack *pack, const struct batch *batch)
{
	uint32_t first = batch->file->first_page + batch->from;
	size_t huge = zs_huge_class_size(pack->pool);
	int room = (int)(huge < PAGE_BYTES ? huge : PAGE_BYTES) - 1;

	for (uint32_t i = 0; i < batch->pages; i++) {
		int size = LZ4_compress_default((const char *)raw_pages[i], (char *)packed_pages[i],
						PAGE_BYTES, room);

		pack->sizes[first + i] = (uint16_t)(size > 0 ? size : (int)PAGE_BYTES);
		pack->checksums[first + i] = checksum(raw_pages[i]);
	}
}

static int store_page(struct pack *pack, uint32_t page, uint32_t in_batch)
{
	uint16_t size = pack->sizes[page];
	const void *packed = size == PAGE_BYTES ? raw_pages[in_batch] : packed_pages[in_batch];
	zs_handle handle = zs_malloc(pack->pool, size);

	if (!handle)
		return errno;
	zs_obj_write(pack->pool, handle, packed, size);
	pack->handles[page] = handle;
	return 0;
}

static int store_batch(struct pack *pack, const struct batch *batch)
{
	uint32_t first = batch->file->first_page + batch->from;
	uint64_t began = now_ns();
	uint32_t done;
	int error = 0;

	compress_batch(pack, batch);
	count_step(pack, COMPRESS, began, batch->pages);
	began = now_ns();
	for (done = 0; done < batch->pages && !error; done++)
		error = store_page(pack, first + done, done);
	count_step(pack, STORE, began, done);
	return error;
}

static int store_file(struct pack *pack, const struct file *file)
{
	struct batch batch = { .file = file, .fd = file_open(file) };
	int error = 0;

	if (batch.fd < 0) {
		pack->changed++;
		return 0;
	}
	for (; batch.from < file->pages && !error; batch.from += batch.pages) {
		uint64_t began = now_ns();

		batch.pages = file->pages - batch.from;
		if (batch.pages > BATCH_PAGES)
			batch.pages = BATCH_PAGES;
		progress_at(file->first_page + batch.from);
		if (!file_read(batch.fd, file, batch.from, batch.pages, raw_pages)) {
			pack->changed++;
			break;
		}
		count_step(pack, READ, began, batch.pages);
		error = store_batch(pack, &batch);
	}
	close(batch.fd);
	return error;
}

/* Draws the order of freeing. Returns the payload. */
static uint64_t order_stored(struct pack *pack)
{
	uint64_t payload = 0;

	for (uint32_t page = 0; page < pack->files->pages; page++) {
		if (!pack->handles[page])
			continue;
		pack->order[pack->stored++] = page;
		pack->raw += pack->sizes[page] == PAGE_BYTES;
		payload += pack->sizes[page];
	}
	shuffle(pack->order, pack->stored, pack->seed);
	return payload;
}

int pack_store(struct pack *pack)
{
	uint64_t payload;
	int error = 0;

	progress_begin("storing", pack->files->pages);
	for (size_t i = 0; i < pack->files->count && !error; i++)
		error = store_file(pack, &pack->files->files[i]);
	progress_end();
	payload = order_stored(pack);
	take_moment(pack, STORED, pack->stored, payload);
	return error;
}

/* Frees order[from..to). Returns the bytes that were asked for them. */
static uint64_t free_pages(struct pack *pack, uint32_t from, uint32_t to, enum step step)
{
	uint64_t began = now_ns();
	uint64_t freed = 0;

	for (uint32_t i = from; i < to; i++) {
		uint32_t page = pack->order[i];

		zs_free(pack->pool, pack->handles[page]);
		pack->handles[page] = 0;
		freed += pack->sizes[page];
	}
	count_step(pack, step, began, to - from);
	return freed;
}

void pack_free_half(struct pack *pack)
{
	uint32_t half = pack->stored / 2;
	uint64_t freed = free_pages(pack, 0, half, FREE_HALF);

	take_moment(pack, HALF_FREED, pack->stored - half, pack->moments[STORED].payload - freed);
}

void pack_compact(struct pack *pack)
{
	const struct moment_figures *before = &pack->moments[HALF_FREED];
	uint64_t began;

	pack->predicted = zs_compactable_bytes(pack->pool);
	began = now_ns();
	zs_compact_some(pack->pool, NULL, &pack->compaction);
	count_step(pack, COMPACT, began, before->pages);
	take_moment(pack, COMPACTED, before->pages, before->payload);
}

void pack_free_rest(struct pack *pack)
{
	free_pages(pack, pack->stored / 2, pack->stored, FREE_REST);
	take_moment(pack, ALL_FREED, 0, 0);
}

/* Brings the object's page to to. Returns false if it cannot be had or is not a whole page. */
static bool unpack_page(struct pack *pack, uint32_t page, void *to)
{
	zs_handle handle = pack->handles[page];
	uint16_t size = pack->sizes[page];
	void *object = zs_obj_read_begin(pack->pool, handle, NULL);
	int unpacked = PAGE_BYTES;

	if (!object)
		return false;
	if (size == PAGE_BYTES)
		memcpy(to, object, PAGE_BYTES);
	else
		unpacked = LZ4_decompress_safe(object, to, size, PAGE_BYTES);
	zs_obj_read_end(pack->pool, handle, object);
	return unpacked == PAGE_BYTES;
}

static bool say_damaged(const struct batch *batch, uint32_t in_batch, const char *how)
{
	uint32_t page = batch->from + in_batch;

	progress_end();
	fprintf(stderr, "zspack: %s: page %" PRIu32 " (offset %" PRIu64 ") %s\n", batch->file->path,
		page, (uint64_t)page * PAGE_BYTES, how);
	return false;
}

/* Unpacks the batch's pages that are stored into packed_pages. */
static bool read_back_batch(struct pack *pack, const struct batch *batch, uint32_t *found)
{
	uint32_t first = batch->file->first_page + batch->from;
	uint64_t began = now_ns();

	*found = 0;
	for (uint32_t i = 0; i < batch->pages; i++) {
		if (!pack->handles[first + i])
			continue;
		if (!unpack_page(pack, first + i, packed_pages[i]))
			return say_damaged(batch, i, "cannot be unpacked");
		++*found;
	}
	count_step(pack, READ_BACK, began, *found);
	return true;
}

/*
 * Compares packed_pages with the file. The checksum is the judge: it is of the
 * page as it was stored, whatever became of the file since.
 */
static bool compare_batch(struct pack *pack, const struct batch *batch)
{
	uint32_t first = batch->file->first_page + batch->from;
	bool has_file = batch->fd >= 0 &&
			file_read(batch->fd, batch->file, batch->from, batch->pages, raw_pages);

	for (uint32_t i = 0; i < batch->pages; i++) {
		if (!pack->handles[first + i])
			continue;
		if (checksum(packed_pages[i]) != pack->checksums[first + i])
			return say_damaged(batch, i, "came back different");
		if (has_file && !memcmp(packed_pages[i], raw_pages[i], PAGE_BYTES))
			pack->compared.with_file++;
		else
			pack->compared.with_checksum++;
	}
	return true;
}

static bool compare_file(struct pack *pack, const struct file *file)
{
	struct batch batch = { .file = file, .fd = file_open(file) };
	bool same = true;

	for (; batch.from < file->pages && same; batch.from += batch.pages) {
		uint64_t began;
		uint32_t found;

		batch.pages = file->pages - batch.from;
		if (batch.pages > BATCH_PAGES)
			batch.pages = BATCH_PAGES;
		progress_at(file->first_page + batch.from);
		same = read_back_batch(pack, &batch, &found);
		if (!same || !found)
			continue;
		began = now_ns();
		same = compare_batch(pack, &batch);
		count_step(pack, COMPARE, began, found);
	}
	if (batch.fd >= 0)
		close(batch.fd);
	return same;
}

bool pack_compare(struct pack *pack)
{
	bool same = true;

	progress_begin("comparing", pack->files->pages);
	for (size_t i = 0; i < pack->files->count && same; i++)
		same = compare_file(pack, &pack->files->files[i]);
	progress_end();
	return same;
}

void pack_ignore_growth(struct pack *pack, uint64_t resident_before)
{
	pack->baseline += resident_bytes() - resident_before;
}

void pack_close(struct pack *pack)
{
	size_t pages = pack->files->pages;

	zs_destroy_pool(pack->pool);
	resident_array_free(pack->handles, pages * sizeof(*pack->handles));
	resident_array_free(pack->checksums, pages * sizeof(*pack->checksums));
	resident_array_free(pack->sizes, pages * sizeof(*pack->sizes));
	resident_array_free(pack->order, pages * sizeof(*pack->order));
	*pack = (struct pack){ 0 };
}
