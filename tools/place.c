/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Finds the directory of the user's disks. It may lie in /tmp, where anybody
 * can make one of that name first: one that others may write to is refused.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "place.h"
#include "say.h"

#define MAX_NAME 40

static bool is_own_directory(const char *path)
{
	struct stat st;

	return !lstat(path, &st) && S_ISDIR(st.st_mode) && st.st_uid == geteuid();
}

static void check_private(const char *path)
{
	struct stat st;

	if (lstat(path, &st)) {
		if (errno == ENOENT)
			return;
		die(EXIT_FAILURE, "%s: %s", path, strerror(errno));
	}
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 077)
		die(EXIT_FAILURE, "%s: not a directory that only you can use (owner, mode 0700)",
		    path);
}

char *place_directory(bool create)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char *path;

	if (runtime && runtime[0] == '/' && is_own_directory(runtime))
		path = text_of("%s/zram", runtime);
	else
		path = text_of("/tmp/zram-%lu", (unsigned long)geteuid());
	if (create && mkdir(path, 0700) && errno != EEXIST)
		die(EXIT_FAILURE, "%s: %s", path, strerror(errno));
	check_private(path);
	return path;
}

bool place_is_name(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	size_t length = strlen(name);

	return length && length <= MAX_NAME && name[0] != '.' && name[0] != '-' &&
	       strspn(name, letters) == length;
}

char *place_path(const char *directory, const char *name, const char *kind)
{
	return text_of("%s/%s.%s", directory, name, kind);
}

void place_address(struct sockaddr_un *address, const char *path)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address->sun_path))
		die(EXIT_FAILURE, "%s: too long for a socket (at most %zu bytes)", path,
		    sizeof(address->sun_path) - 1);
	memcpy(address->sun_path, path, strlen(path));
}

int place_connect(const char *path)
{
	struct sockaddr_un address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int error;

	place_address(&address, path);
	if (fd < 0 || !connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

int place_lock(const char *path)
{
	for (;;) {
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		struct stat held;
		struct stat named;

		if (fd < 0)
			die(EXIT_FAILURE, "%s: %s", path, strerror(errno));
		if (flock(fd, LOCK_EX | LOCK_NB)) {
			close(fd);
			return -1;
		}
		/* Who held it before may have removed it between open() and flock(). */
		if (!fstat(fd, &held) && !stat(path, &named) && held.st_ino == named.st_ino)
			return fd;
		close(fd);
	}
}
