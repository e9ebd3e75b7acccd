/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* What all behaviour tests share; see testing.h. */
#include "testing.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define GUARD_BYTES   KIB(64)
#define GUARD_VALUE   0xA7
#define CHILD_SECONDS 120

struct habitat process_habitat = { .fixed = false };
struct habitat buffer_habitat = { .fixed = true, .buffer_size = MIB(16) };

void only_for_small_pages(const struct habitat *habitat)
{
	if (habitat->fixed || sysconf(_SC_PAGESIZE) == 4096)
		return;
	print_message("skipped: it is about pages of 4096 bytes\n");
	skip();
}

bool rng_percent(struct rng *rng, unsigned percent)
{
	return rng_below(rng, 100) < percent;
}

void note_fault(struct zs_pool *pool, enum zs_misuse fault, zs_handle handle, const char *message,
		void *data)
{
	struct faults *faults = data;

	faults->count++;
	faults->pool = pool;
	faults->fault = fault;
	faults->handle = handle;
	snprintf(faults->message, sizeof(faults->message), "%s", message);
}

void assert_one_fault(struct faults *faults, enum zs_misuse fault, zs_handle handle)
{
	assert_int_equal(faults->count, 1);
	assert_int_equal(faults->fault, fault);
	assert_int_equal(faults->handle, handle);
	faults->count = 0;
}

void assert_no_fault(const struct faults *faults)
{
	if (faults->count)
		print_error("unexpected fault: %s\n", faults->message);
	assert_int_equal(faults->count, 0);
}

static void make_buffer(struct rig *rig, size_t size)
{
	rig->buffer_size = size;
	rig->guarded = malloc(size + 2 * GUARD_BYTES);
	assert_non_null(rig->guarded);
	memset(rig->guarded, GUARD_VALUE, size + 2 * GUARD_BYTES);
	rig->buffer = rig->guarded + GUARD_BYTES;
}

static void open_rig(struct rig *rig, const struct habitat *habitat,
		     const struct zs_pool_options *wanted, bool tolerant)
{
	struct zs_pool_options options = { 0 };

	memset(rig, 0, sizeof(*rig));
	if (wanted)
		options = *wanted;
	if (habitat->fixed) {
		make_buffer(rig, options.buffer_size ? options.buffer_size : habitat->buffer_size);
		options.buffer = rig->buffer;
		options.buffer_size = rig->buffer_size;
	} else {
		options.buffer_size = 0;
		options.map_buffers = 0;
	}
	if (tolerant) {
		options.on_misuse = note_fault;
		options.hook_data = &rig->faults;
	}
	rig->pool = zs_create_pool(&options);
	if (!rig->pool)
		print_error("zs_create_pool: %s\n", strerror(errno));
	assert_non_null(rig->pool);
}

void rig_open(struct rig *rig, const struct habitat *habitat, const struct zs_pool_options *options)
{
	open_rig(rig, habitat, options, false);
}

void rig_open_tolerant(struct rig *rig, const struct habitat *habitat,
		       const struct zs_pool_options *options)
{
	open_rig(rig, habitat, options, true);
}

void rig_assert_guards(const struct rig *rig)
{
	size_t i;

	if (!rig->guarded)
		return;
	for (i = 0; i < GUARD_BYTES; i++) {
		assert_int_equal(rig->guarded[i], GUARD_VALUE);
		assert_int_equal(rig->buffer[rig->buffer_size + i], GUARD_VALUE);
	}
}

void rig_close(struct rig *rig)
{
	assert_healthy(rig->pool);
	assert_no_fault(&rig->faults);
	zs_destroy_pool(rig->pool);
	assert_no_fault(&rig->faults);
	rig_assert_guards(rig);
	free(rig->guarded);
	memset(rig, 0, sizeof(*rig));
}

static void print_broken(const char *what, void *data)
{
	(void)data;
	print_error("zs_check: %s\n", what);
}

void assert_healthy(struct zs_pool *pool)
{
	assert_int_equal(zs_check(pool, print_broken, NULL), 0);
}

void assert_same_stats(const struct zs_pool_stats *before, const struct zs_pool_stats *after)
{
	assert_int_equal(before->total_bytes, after->total_bytes);
	assert_int_equal(before->limit_bytes, after->limit_bytes);
	/* A call that gave up halfway may have held more for a moment: that is the peak. */
	assert_true(before->peak_bytes <= after->peak_bytes);
	assert_int_equal(before->objects, after->objects);
	assert_int_equal(before->object_bytes, after->object_bytes);
	assert_int_equal(before->free_bytes, after->free_bytes);
	assert_int_equal(before->tail_bytes, after->tail_bytes);
	assert_int_equal(before->handle_bytes, after->handle_bytes);
	assert_int_equal(before->metadata_bytes, after->metadata_bytes);
	assert_int_equal(before->zspages, after->zspages);
	assert_int_equal(before->data_pages, after->data_pages);
	assert_int_equal(before->mapped_objects, after->mapped_objects);
	assert_int_equal(before->compacted_pages, after->compacted_pages);
	assert_int_equal(before->moved_objects, after->moved_objects);
	assert_int_equal(before->page_size, after->page_size);
	assert_int_equal(before->max_object_size, after->max_object_size);
	assert_int_equal(before->classes, after->classes);
}

bool object_make(struct zs_pool *pool, struct object *object, size_t size, uint64_t tag)
{
	void *mem;

	object->handle = zs_malloc(pool, size);
	object->size = size;
	object->tag = tag;
	if (!object->handle)
		return false;
	mem = zs_map_object(pool, object->handle, ZS_MM_WO);
	if (!mem) {
		zs_free(pool, object->handle);
		return false;
	}
	pattern_fill(mem, size, tag);
	zs_unmap_object(pool, object->handle);
	return true;
}

bool object_intact(struct zs_pool *pool, const struct object *object)
{
	const void *mem = zs_map_object(pool, object->handle, ZS_MM_RO);
	bool intact;

	if (!mem)
		return false;
	intact = pattern_holds(mem, object->size, object->tag);
	zs_unmap_object(pool, object->handle);
	return intact;
}

void object_free(struct zs_pool *pool, struct object *object)
{
	zs_free(pool, object->handle);
	object->handle = 0;
}

static void objects_make_room(struct objects *objects)
{
	if (objects->count < objects->room)
		return;
	objects->room = objects->room ? 2 * objects->room : 1024;
	objects->at = realloc(objects->at, objects->room * sizeof(*objects->at));
	assert_non_null(objects->at);
}

bool objects_add(struct objects *objects, struct zs_pool *pool, size_t size)
{
	objects_make_room(objects);
	if (!object_make(pool, &objects->at[objects->count], size, objects->next_tag))
		return false;
	objects->next_tag++;
	objects->count++;
	return true;
}

void objects_fill(struct objects *objects, struct zs_pool *pool, struct rng *rng, size_t count,
		  uint32_t min, uint32_t max)
{
	while (count--) {
		if (objects_add(objects, pool, rng_between(rng, min, max)))
			continue;
		print_error("zs_malloc: %s\n", strerror(errno));
		fail();
	}
}

int objects_fill_up(struct objects *objects, struct zs_pool *pool, struct rng *rng, uint32_t min,
		    uint32_t max)
{
	do {
		errno = 0;
	} while (objects_add(objects, pool, rng_between(rng, min, max)));
	return errno;
}

void objects_remove(struct objects *objects, struct zs_pool *pool, size_t index)
{
	object_free(pool, &objects->at[index]);
	objects->at[index] = objects->at[--objects->count];
}

void objects_free_random(struct objects *objects, struct zs_pool *pool, struct rng *rng,
			 unsigned percent)
{
	size_t frees = objects->count * percent / 100;

	while (frees--)
		objects_remove(objects, pool, rng_below(rng, (uint32_t)objects->count));
}

void objects_free_all(struct objects *objects, struct zs_pool *pool)
{
	while (objects->count)
		object_free(pool, &objects->at[--objects->count]);
	objects_forget(objects);
}

void objects_forget(struct objects *objects)
{
	free(objects->at);
	memset(objects, 0, sizeof(*objects));
}

void assert_objects_intact(const struct objects *objects, struct zs_pool *pool)
{
	size_t i;

	for (i = 0; i < objects->count; i++)
		assert_true(object_intact(pool, &objects->at[i]));
}

uint64_t objects_payload(const struct objects *objects)
{
	uint64_t bytes = 0;
	size_t i;

	for (i = 0; i < objects->count; i++)
		bytes += objects->at[i].size;
	return bytes;
}

static void become_child(int write_end, int (*body)(void *arg), void *arg)
{
	static const int caught[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS };
	const struct rlimit no_core = { 0, 0 };
	size_t i;

	for (i = 0; i < COUNT_OF(caught); i++)
		signal(caught[i], SIG_DFL);
	setrlimit(RLIMIT_CORE, &no_core);
	dup2(write_end, STDERR_FILENO);
	close(write_end);
	alarm(CHILD_SECONDS);
	_exit(body(arg));
}

static void collect_text(int read_end, struct child *child)
{
	char rest[256];
	ssize_t got;

	while (child->text_bytes < sizeof(child->text) - 1) {
		got = read(read_end, child->text + child->text_bytes,
			   sizeof(child->text) - 1 - child->text_bytes);
		if (got <= 0)
			break;
		child->text_bytes += (size_t)got;
	}
	while (read(read_end, rest, sizeof(rest)) > 0)
		;
	child->text[child->text_bytes] = 0;
}

/* An emulator (qemu-user) adds a line when a signal ends its program. */
static void cut_emulators_line(struct child *child)
{
	char *line = strstr(child->text, "qemu: uncaught target signal");

	if (!line || !child->signal)
		return;
	*line = 0;
	child->text_bytes = (size_t)(line - child->text);
}

void run_child(int (*body)(void *arg), void *arg, struct child *child)
{
	int ends[2], status;
	pid_t pid;

	memset(child, 0, sizeof(*child));
	assert_int_equal(pipe(ends), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(ends[0]);
		become_child(ends[1], body, arg);
	}
	close(ends[1]);
	collect_text(ends[0], child);
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	child->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	child->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	cut_emulators_line(child);
}
