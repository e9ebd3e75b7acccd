/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Lists and reads the input files. Symbolic links are followed when they are
 * given as roots and skipped below them. A file that cannot be read is counted
 * and skipped; only a lack of memory ends the listing.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"
#include "progress.h"

static struct inode_id *inode_place(const struct inode_set *set, struct inode_id id)
{
	size_t at = (size_t)((id.inode ^ id.device << 40) * 0x9e3779b97f4a7c15u >> 20);

	for (;; at++) {
		struct inode_id *place = &set->places[at & (set->room - 1)];

		if (!place->inode || (place->inode == id.inode && place->device == id.device))
			return place;
	}
}

static int inode_set_grow(struct inode_set *set)
{
	struct inode_set larger = { .room = set->room ? set->room * 2 : 1024, .count = set->count };

	larger.places = calloc(larger.room, sizeof(*larger.places));
	if (!larger.places)
		return -1;
	for (size_t i = 0; i < set->room; i++)
		if (set->places[i].inode)
			*inode_place(&larger, set->places[i]) = set->places[i];
	free(set->places);
	*set = larger;
	return 0;
}

/* Returns 1 if the inode is new, 0 if it was met before, -1 if memory is short. */
static int inode_set_add(struct inode_set *set, const struct stat *st)
{
	struct inode_id id = { (uint64_t)st->st_dev, (uint64_t)st->st_ino };
	struct inode_id *place;

	if (set->count * 2 >= set->room && inode_set_grow(set))
		return -1;
	place = inode_place(set, id);
	if (place->inode)
		return 0;
	*place = id;
	set->count++;
	return 1;
}

static void note_trouble(struct file_list *list, const char *path, int error)
{
	list->unreadable++;
	if (!list->trouble[0])
		snprintf(list->trouble, sizeof(list->trouble), "%s: %s", path, strerror(error));
}

static struct file *new_file(struct file_list *list)
{
	if (list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 256;
		struct file *files = realloc(list->files, room * sizeof(*files));

		if (!files)
			return NULL;
		list->files = files;
		list->room = room;
	}
	return &list->files[list->count];
}

static int add_file(struct file_list *list, const char *path, const struct stat *st)
{
	uint64_t pages = ((uint64_t)st->st_size + PAGE_BYTES - 1) / PAGE_BYTES;
	uint32_t room = list->max_pages - list->pages;
	struct file *file;

	if (!pages)
		return 0;
	if (access(path, R_OK)) {
		note_trouble(list, path, errno);
		return 0;
	}
	file = new_file(list);
	if (!file)
		return -1;
	*file = (struct file){
		.path = strdup(path),
		.size = (uint64_t)st->st_size,
		.mtime = st->st_mtim,
		.first_page = list->pages,
		.pages = pages < room ? (uint32_t)pages : room,
	};
	if (!file->path)
		return -1;
	list->pages += file->pages;
	list->count++;
	progress_at(list->count);
	return 0;
}

static int list_path(struct file_list *list, const char *path, bool is_root);

static int list_entry(struct file_list *list, const char *directory, const char *name)
{
	size_t length = strlen(directory);
	const char *slash = length && directory[length - 1] == '/' ? "" : "/";
	char *path;
	int failed;

	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return 0;
	if (asprintf(&path, "%s%s%s", directory, slash, name) < 0)
		return -1;
	failed = list_path(list, path, false);
	free(path);
	return failed;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int list_directory(struct file_list *list, const char *path)
{
	struct dirent **entries;
	int count = scandir(path, &entries, NULL, by_name);
	int failed = 0;

	if (count < 0) {
		note_trouble(list, path, errno);
		return errno == ENOMEM ? -1 : 0;
	}
	for (int i = 0; i < count; i++) {
		if (!failed)
			failed = list_entry(list, path, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return failed;
}

static int list_path(struct file_list *list, const char *path, bool is_root)
{
	struct stat st;
	int is_new;

	if (list->pages == list->max_pages)
		return 0;
	if (is_root ? stat(path, &st) : lstat(path, &st)) {
		note_trouble(list, path, errno);
		return 0;
	}
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
		if (is_root)
			note_trouble(list, path, EINVAL);
		return 0;
	}
	is_new = inode_set_add(&list->seen, &st);
	if (is_new != 1)
		return is_new;
	return S_ISDIR(st.st_mode) ? list_directory(list, path) : add_file(list, path, &st);
}

int files_list(struct file_list *list, const char *const *roots, size_t count, uint32_t max_pages)
{
	int failed = 0;

	*list = (struct file_list){ .max_pages = max_pages };
	progress_begin("listing files", 0);
	for (size_t i = 0; i < count && !failed; i++)
		failed = list_path(list, roots[i], true);
	progress_end();
	free(list->seen.places);
	list->seen = (struct inode_set){ 0 };
	return failed;
}

void files_forget(struct file_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->files[i].path);
	free(list->files);
	*list = (struct file_list){ 0 };
}

static bool is_unchanged(const struct file *file, const struct stat *st)
{
	return S_ISREG(st->st_mode) && (uint64_t)st->st_size == file->size &&
	       st->st_mtim.tv_sec == file->mtime.tv_sec &&
	       st->st_mtim.tv_nsec == file->mtime.tv_nsec;
}

int file_open(const struct file *file)
{
	/* O_NONBLOCK: never wait at something that has become a pipe since. */
	int fd = open(file->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) || !is_unchanged(file, &st)) {
		close(fd);
		errno = ESTALE;
		return -1;
	}
	return fd;
}

bool file_read(int fd, const struct file *file, uint32_t page, uint32_t count, void *to)
{
	uint64_t from = (uint64_t)page * PAGE_BYTES;
	size_t room = (size_t)count * PAGE_BYTES;
	size_t wanted = file->size - from < room ? (size_t)(file->size - from) : room;
	size_t done = 0;

	while (done < wanted) {
		ssize_t got = pread(fd, (char *)to + done, wanted - done, (off_t)(from + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		done += (size_t)got;
	}
	memset((char *)to + wanted, 0, room - wanted);
	return true;
}

const struct file *file_of_page(const struct file_list *list, uint32_t page)
{
	size_t low = 0;
	size_t high = list->count;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (list->files[middle].first_page <= page)
			low = middle;
		else
			high = middle;
	}
	return &list->files[low];
}
