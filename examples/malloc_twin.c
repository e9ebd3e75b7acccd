/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Both ends of the comparison with malloc. The sizes travel in a memory file
 * that the twin maps, its own tables are mapped too: its heap holds nothing but
 * the objects. What stands for compaction there is malloc_trim(0), by which
 * glibc gives back every page that is wholly free.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <malloc.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "malloc_twin.h"
#include "measure.h"
#include "shuffle.h"

/* What the memory file holds. */
struct sequence {
	uint64_t seed;
	uint32_t count;
	uint16_t sizes[];
};

/* Returns a memory file with the sizes of all that was stored, in the order of storing; or -1. */
static int write_sequence(const struct pack *pack)
{
	size_t bytes = sizeof(struct sequence) + pack->stored * sizeof(uint16_t);
	int fd = memfd_create("zspack-sizes", MFD_CLOEXEC);
	struct sequence *sequence = MAP_FAILED;

	if (fd >= 0 && !ftruncate(fd, (off_t)bytes))
		sequence = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (sequence == MAP_FAILED) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	sequence->seed = pack->seed;
	for (uint32_t page = 0; page < pack->files->pages; page++)
		if (pack->sizes[page])
			sequence->sizes[sequence->count++] = pack->sizes[page];
	munmap(sequence, bytes);
	return fd;
}

static pid_t start_twin(int sizes_fd, int answer_fd)
{
	char program[] = "zspack";
	char option[] = MALLOC_TWIN_OPTION;
	char *arguments[] = { program, option, NULL };
	posix_spawn_file_actions_t files;
	pid_t pid;
	int error;

	if (posix_spawn_file_actions_init(&files))
		return -1;
	error = posix_spawn_file_actions_adddup2(&files, sizes_fd, STDIN_FILENO);
	if (!error)
		error = posix_spawn_file_actions_adddup2(&files, answer_fd, STDOUT_FILENO);
	if (!error)
		error = posix_spawn(&pid, "/proc/self/exe", &files, NULL, arguments, environ);
	posix_spawn_file_actions_destroy(&files);
	return error ? -1 : pid;
}

bool malloc_twin_run(const struct pack *pack, struct twin_figures *figures)
{
	int sizes_fd = write_sequence(pack);
	int answer[2];
	pid_t pid;
	bool is_answered;

	if (sizes_fd < 0)
		return false;
	if (pipe2(answer, O_CLOEXEC)) {
		close(sizes_fd);
		return false;
	}
	pid = start_twin(sizes_fd, answer[1]);
	close(sizes_fd);
	close(answer[1]);
	/* So few bytes come through a pipe in one piece. */
	is_answered = read(answer[0], figures, sizeof(*figures)) == sizeof(*figures);
	close(answer[0]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return is_answered;
}

static const struct sequence *map_sequence(void)
{
	const struct sequence *sequence = MAP_FAILED;
	struct stat st;

	if (!fstat(STDIN_FILENO, &st) && st.st_size >= (off_t)sizeof(*sequence))
		sequence = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, STDIN_FILENO, 0);
	return sequence == MAP_FAILED ? NULL : sequence;
}

static bool store_all(void **objects, const struct sequence *sequence)
{
	static char contents[PAGE_BYTES];

	memset(contents, 0x5a, sizeof(contents));
	for (uint32_t i = 0; i < sequence->count; i++) {
		objects[i] = malloc(sequence->sizes[i]);
		if (!objects[i])
			return false;
		memcpy(objects[i], contents, sequence->sizes[i]);
	}
	return true;
}

static void free_some(void **objects, const uint32_t *order, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++)
		free(objects[order[i]]);
}

static uint64_t grown_since(uint64_t baseline)
{
	uint64_t now = resident_bytes();

	return now > baseline ? now - baseline : 0;
}

static bool run_sequence(const struct sequence *sequence, struct twin_figures *figures)
{
	uint32_t count = sequence->count;
	void **objects = resident_array(count * sizeof(*objects));
	uint32_t *order = resident_array(count * sizeof(*order));
	uint64_t baseline;

	if (!objects || !order)
		return false;
	for (uint32_t i = 0; i < count; i++)
		order[i] = i;
	shuffle(order, count, sequence->seed);
	resident_bytes(); /* its stack is real from here on */
	baseline = resident_bytes();
	if (!store_all(objects, sequence))
		return false;
	figures->held[STORED] = grown_since(baseline);
	free_some(objects, order, 0, count / 2);
	figures->held[HALF_FREED] = grown_since(baseline);
	malloc_trim(0);
	figures->held[COMPACTED] = grown_since(baseline);
	free_some(objects, order, count / 2, count);
	figures->held[ALL_FREED] = grown_since(baseline);
	return true;
}

int malloc_twin_main(void)
{
	const struct sequence *sequence = map_sequence();
	struct twin_figures figures;

	if (!sequence || !run_sequence(sequence, &figures))
		return 1;
	return write(STDOUT_FILENO, &figures, sizeof(figures)) != sizeof(figures);
}
