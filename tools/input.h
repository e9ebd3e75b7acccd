/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Files, also all those of a directory, and block devices in a row, as if they were one
 * disk, cut into pieces. Each file begins at a multiple of 4 KiB, as it would in a
 * filesystem on that disk.
 */
#ifndef TOOLS_INPUT_H
#define TOOLS_INPUT_H

#include <stddef.h>
#include <stdint.h>

#define PIECE_BYTES 65536u /* the largest block: each block of any size is in one piece */
#define INPUT_ALIGN 4096u

struct input_file {
	char *path;
	int fd; /* -1: not the one that is open */
	uint64_t size;
	uint64_t start; /* where it begins in the row */
};

struct input {
	struct input_file *files;
	size_t count;
	size_t room;
	size_t open;    /* the index of the file that is open, if there is one */
	uint64_t bytes; /* of the row */
	uint64_t pieces;
	uint64_t unreadable; /* files of directories, left out */
};

/* Each ends the process if a file cannot be read that was named. */
void input_open(struct input *input, char **paths, int count);
void input_read(struct input *input, uint64_t piece, unsigned char *to);

void input_close(struct input *input);

#endif
