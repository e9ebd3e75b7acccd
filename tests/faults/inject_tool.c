/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* What the command asks of files beyond what the libraries do. */
#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inject.h"

/* Both names of a call, whether or not places in files have 64 bits. */
#define CALL(source, error, result, refusal, name, parameters, arguments) \
	result __real_##name parameters;                                  \
	result __wrap_##name parameters;                                  \
	result __wrap_##name##64 parameters;                              \
	result __wrap_##name parameters                                   \
	{                                                                 \
		if (!refused(source))                                     \
			return __real_##name arguments;                   \
		errno = error;                                            \
		return refusal;                                           \
	}                                                                 \
	result __wrap_##name##64 parameters                               \
	{                                                                 \
		return __wrap_##name arguments;                           \
	}

CALL(STATUS, EACCES, int, -1, stat, (const char *path, struct stat *status), (path, status))
CALL(SEEK, EIO, off_t, -1, lseek, (int fd, off_t to, int from), (fd, to, from))
CALL(READ, EIO, ssize_t, -1, pread, (int fd, void *bytes, size_t count, off_t from),
     (fd, bytes, count, from))
CALL(OPEN, EMFILE, FILE *, NULL, fopen, (const char *path, const char *mode), (path, mode))
CALL(WALK, ENOMEM, FTS *, NULL, fts_open,
     (char *const *paths, int options, int (*compare)(const FTSENT **, const FTSENT **)),
     (paths, options, compare))
