/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Lists files and reads pieces of them. One file is open at a time: there may be
 * more of them than descriptors. What a file has lost since is zeros.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "input.h"
#include "say.h"

static int open_file(const char *path)
{
	/* O_NONBLOCK: never wait at what is a pipe. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		die(EXIT_FAILURE, "%s: %s", path, strerror(errno));
	return fd;
}

/* Of a device stat() does not know the size. */
static uint64_t size_of(const char *path, const struct stat *st)
{
	int fd = open_file(path);
	off_t size;

	if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))
		die(EXIT_FAILURE, "%s: is neither a file, a directory nor a block device", path);
	size = lseek(fd, 0, SEEK_END);
	if (size < 0)
		die(EXIT_FAILURE, "%s: %s", path, strerror(errno));
	close(fd);
	return (uint64_t)size;
}

static void add_file(struct input *input, const char *path, uint64_t size)
{
	if (input->count == input->room) {
		input->room = input->room ? input->room * 2 : 64;
		input->files =
			need_memory(reallocarray(input->files, input->room, sizeof(*input->files)));
	}
	input->files[input->count++] = (struct input_file){
		.path = text_of("%s", path),
		.fd = -1,
		.size = size,
		.start = input->bytes,
	};
	input->bytes += (size + INPUT_ALIGN - 1) / INPUT_ALIGN * INPUT_ALIGN;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static void note_unreadable(struct input *input, const char *path, int error)
{
	if (!input->unreadable++)
		complain("%s: %s (it and others like it are left out)", path, strerror(error));
}

/* Its files, whatever the depth; no links, and nothing that is mounted in it. */
static void add_directory(struct input *input, char *path)
{
	char *const roots[] = { path, NULL };
	FTS *walk = need_memory(fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, by_name));

	for (FTSENT *entry; (entry = fts_read(walk));) {
		if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR ||
		    entry->fts_info == FTS_NS)
			note_unreadable(input, entry->fts_path, entry->fts_errno);
		else if (entry->fts_info != FTS_F || !S_ISREG(entry->fts_statp->st_mode))
			continue;
		else if (access(entry->fts_path, R_OK))
			note_unreadable(input, entry->fts_path, errno);
		else
			add_file(input, entry->fts_path, (uint64_t)entry->fts_statp->st_size);
	}
	fts_close(walk);
}

void input_open(struct input *input, char **paths, int count)
{
	*input = (struct input){ 0 };
	for (int i = 0; i < count; i++) {
		struct stat st;

		if (stat(paths[i], &st))
			die(EXIT_FAILURE, "%s: %s", paths[i], strerror(errno));
		if (S_ISDIR(st.st_mode))
			add_directory(input, paths[i]);
		else
			add_file(input, paths[i], size_of(paths[i], &st));
	}
	input->pieces = (input->bytes + PIECE_BYTES - 1) / PIECE_BYTES;
}

static void close_file(struct input_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}

void input_close(struct input *input)
{
	if (input->count)
		close_file(&input->files[input->open]);
	for (size_t i = 0; i < input->count; i++)
		free(input->files[i].path);
	free(input->files);
}

/* The last file that begins at or before this place, and is not empty if that can be. */
static size_t find_file(const struct input *input, uint64_t at)
{
	size_t low = 0;
	size_t high = input->count;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (input->files[middle].start <= at)
			low = middle;
		else
			high = middle;
	}
	return low;
}

static void read_file(struct input *input, size_t index, uint64_t from, unsigned char *to,
		      size_t length)
{
	struct input_file *file = &input->files[index];

	if (file->fd < 0) {
		close_file(&input->files[input->open]);
		file->fd = open_file(file->path);
		input->open = index;
	}
	while (length) {
		ssize_t got = pread(file->fd, to, length, (off_t)from);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			die(EXIT_FAILURE, "%s: %s", file->path, strerror(errno));
		if (!got)
			return;
		to += got;
		from += (uint64_t)got;
		length -= (size_t)got;
	}
}

void input_read(struct input *input, uint64_t piece, unsigned char *to)
{
	uint64_t begin = piece * PIECE_BYTES;
	uint64_t end = begin + PIECE_BYTES;

	memset(to, 0, PIECE_BYTES);
	for (size_t i = find_file(input, begin); i < input->count; i++) {
		const struct input_file *file = &input->files[i];
		uint64_t from = file->start > begin ? file->start : begin;
		uint64_t until = file->start + file->size < end ? file->start + file->size : end;

		if (file->start >= end)
			break;
		if (from < until)
			read_file(input, i, from - file->start, to + (from - begin),
				  (size_t)(until - from));
	}
}
