/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The input: which files to read, and their pages. Lists regular files below
 * the given roots (each inode once, in the order of their names), so that the
 * number of pages is known before the first one is read. Never writes a file,
 * and keeps no file's contents.
 */
#ifndef FILES_H
#define FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define PAGE_BYTES 4096u

struct file {
	char *path;
	uint64_t size;         /* bytes, when listed */
	struct timespec mtime; /* when listed */
	uint32_t first_page;   /* pages of all files are numbered in one row */
	uint32_t pages;        /* the last one is padded with zeros */
};

/* The inodes met so far: an open-addressed table, at most half full. */
struct inode_set {
	struct inode_id {
		uint64_t device;
		uint64_t inode; /* 0: empty place */
	} * places;
	size_t room; /* a power of two, or 0 */
	size_t count;
};

struct file_list {
	struct file *files;
	size_t count;
	size_t room;
	uint32_t pages;
	uint32_t max_pages;
	size_t unreadable; /* files and directories skipped for an error */
	char trouble[512]; /* the first such error, in words; "" if none */
	struct inode_set seen;
};

/*
 * Lists what is below roots (files or directories) up to max_pages pages.
 * Returns 0, or -1 if memory is short.
 */
int files_list(struct file_list *list, const char *const *roots, size_t count, uint32_t max_pages);

void files_forget(struct file_list *list);

/* Opens a listed file. Returns -1 with errno set; ESTALE: it changed since it was listed. */
int file_open(const struct file *file);

/*
 * Reads count pages from page on (numbered within the file). Returns false if
 * they are not there.
 */
bool file_read(int fd, const struct file *file, uint32_t page, uint32_t count, void *to);

/* The file that a page (numbered over all files) belongs to. */
const struct file *file_of_page(const struct file_list *list, uint32_t page);

#endif /* FILES_H */
