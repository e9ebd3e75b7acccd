/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* Memory: the heap, mappings, and the port's pages. */
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>

#include "core/core.h"
#include "inject.h"
#include "ports.h"
#include "testing.h"

/* --- the heap --- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
int __wrap_vasprintf(char **text, const char *format, va_list arguments)
	__attribute__((format(printf, 2, 0), nonnull));
void __wrap_free(void *memory);

static void *refuse_memory(void)
{
	errno = ENOMEM;
	return NULL;
}

static void *made_here(void *memory)
{
	if (memory)
		note_made(ALLOCATION, memory);
	return memory;
}

void *__wrap_malloc(size_t size)
{
	return refused(MALLOC) ? refuse_memory() : made_here(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
	return refused(CALLOC) ? refuse_memory() : made_here(__real_calloc(count, size));
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return refused(ALIGNED_ALLOC) ? refuse_memory()
				      : made_here(__real_aligned_alloc(alignment, size));
}

static void *grow(void *old, size_t size)
{
	void *memory;

	if (old)
		note_unmade(ALLOCATION, old);
	memory = __real_realloc(old, size);
	return made_here(memory);
}

void *__wrap_realloc(void *old, size_t size)
{
	return refused(REALLOC) ? refuse_memory() : grow(old, size);
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
	return refused(TEXT) ? refuse_memory() : grow(old, count * size);
}

char *__wrap_strdup(const char *text)
{
	char *copy = refused(TEXT) ? refuse_memory() : made_here(__real_malloc(strlen(text) + 1));

	return copy ? strcpy(copy, text) : NULL;
}

int __wrap_vasprintf(char **text, const char *format, va_list arguments)
{
	va_list again;
	int length;

	if (refused(TEXT)) {
		errno = ENOMEM;
		return -1;
	}
	va_copy(again, arguments);
	length = vsnprintf(NULL, 0, format, again);
	va_end(again);
	*text = made_here(__real_malloc((size_t)length + 1));
	assert_non_null(*text);
	return vsnprintf(*text, (size_t)length + 1, format, arguments);
}

void __wrap_free(void *memory)
{
	if (memory)
		note_unmade(ALLOCATION, memory);
	__real_free(memory);
}

/* --- mappings; with 64 bits for the place in a file the name is another --- */

void *__real_mmap(void *address, size_t length, int protection, int flags, int file, off_t offset);
int __real_munmap(void *address, size_t length);
int __real_mprotect(void *address, size_t length, int protection);
int __real_madvise(void *address, size_t length, int advice);
void *__wrap_mmap(void *address, size_t length, int protection, int flags, int file, off_t offset);
void *__wrap_mmap64(void *address, size_t length, int protection, int flags, int file,
		    off_t offset);
int __wrap_munmap(void *address, size_t length);
int __wrap_mprotect(void *address, size_t length, int protection);
int __wrap_madvise(void *address, size_t length, int advice);

void *__wrap_mmap(void *address, size_t length, int protection, int flags, int file, off_t offset)
{
	void *map;

	if (refused(MMAP)) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	map = __real_mmap(address, length, protection, flags, file, offset);
	if (map != MAP_FAILED)
		__atomic_fetch_add(&living.mapped, length, __ATOMIC_RELAXED);
	return map;
}

void *__wrap_mmap64(void *address, size_t length, int protection, int flags, int file, off_t offset)
{
	return __wrap_mmap(address, length, protection, flags, file, offset);
}

int __wrap_munmap(void *address, size_t length)
{
	__atomic_fetch_sub(&living.mapped, length, __ATOMIC_RELAXED);
	return __real_munmap(address, length);
}

int __wrap_mprotect(void *address, size_t length, int protection)
{
	if (!refused(MPROTECT))
		return __real_mprotect(address, length, protection);
	errno = ENOMEM;
	return -1;
}

int __wrap_madvise(void *address, size_t length, int advice)
{
	if (!refused(MADVISE))
		return __real_madvise(address, length, advice);
	errno = EINVAL;
	return -1;
}

/* --- the port --- */

/* A port that is alive, and what was taken from it. */
struct open_port {
	struct zs_port *port;
	const struct zs_port_ops *real;
	struct zs_port_ops ops;
	size_t pages, ranges;
};

#define PORTS_MAX 8

static struct open_port ports[PORTS_MAX];
static _Thread_local bool for_metadata;

static struct open_port *find_port(const struct zs_port *port)
{
	for (size_t i = 0; i < PORTS_MAX; i++) {
		if (ports[i].port == port)
			return &ports[i];
	}
	fail_msg("%s", "a port that was not made here, or too many of them");
	return NULL;
}

static uint32_t take_page(struct zs_port *port)
{
	struct open_port *open = find_port(port);
	uint32_t page;

	if (refused(for_metadata ? METADATA : PAGE))
		return ZS_NO_PAGE;
	page = open->real->page_alloc(port);
	open->pages += page != ZS_NO_PAGE;
	return page;
}

static void give_page(struct zs_port *port, uint32_t page)
{
	struct open_port *open = find_port(port);

	open->pages--;
	open->real->page_free(port, page);
}

static uint32_t take_range(struct zs_port *port)
{
	struct open_port *open = find_port(port);
	uint32_t range;

	if (refused(RANGE))
		return ZS_NO_PAGE;
	range = open->real->range_alloc(port);
	open->ranges += range != ZS_NO_PAGE;
	return range;
}

static void give_range(struct zs_port *port, uint32_t range)
{
	struct open_port *open = find_port(port);

	open->ranges--;
	open->real->range_free(port, range);
}

static void destroy(struct zs_port *port)
{
	struct open_port *open = find_port(port);
	const struct zs_port_ops *real = open->real;

	*open = (struct open_port){ .port = NULL };
	living.ports--;
	real->destroy(port);
}

int __real_zs_port_create(const struct zs_pool_options *options, size_t page_size,
			  size_t pool_bytes, struct zs_port **port);
int __wrap_zs_port_create(const struct zs_pool_options *options, size_t page_size,
			  size_t pool_bytes, struct zs_port **port);
zs_ref __real_zs_meta_alloc(struct zs_pool *pool, enum meta_kind kind, size_t bytes);
zs_ref __wrap_zs_meta_alloc(struct zs_pool *pool, enum meta_kind kind, size_t bytes);
int __real_zs_charge(struct zs_pool *pool, size_t pages);
int __wrap_zs_charge(struct zs_pool *pool, size_t pages);

int __wrap_zs_port_create(const struct zs_pool_options *options, size_t page_size,
			  size_t pool_bytes, struct zs_port **port)
{
	struct open_port *open = find_port(NULL);
	int error = refused(PORT) ? ZS_ENOMEM
				  : __real_zs_port_create(options, page_size, pool_bytes, port);

	if (error)
		return error;
	*open = (struct open_port){ *port, (*port)->ops, *(*port)->ops, 0, 0 };
	open->ops.page_alloc = take_page;
	open->ops.page_free = give_page;
	if (open->real->range_alloc) {
		open->ops.range_alloc = take_range;
		open->ops.range_free = give_range;
	}
	open->ops.destroy = destroy;
	(*port)->ops = &open->ops;
	living.ports++;
	return ZS_OK;
}

/* A chunk is to be had where one is free: only a page can be refused for it. */
zs_ref __wrap_zs_meta_alloc(struct zs_pool *pool, enum meta_kind kind, size_t bytes)
{
	for_metadata = true;
	zs_ref ref = __real_zs_meta_alloc(pool, kind, bytes);
	for_metadata = false;
	return ref;
}

int __wrap_zs_charge(struct zs_pool *pool, size_t pages)
{
	if (load_relaxed(&pool->limit_pages) != SIZE_MAX && refused(LIMIT))
		return ZS_ENOSPC;
	return __real_zs_charge(pool, pages);
}

void assert_pages_add_up(struct zs_pool *pool)
{
	const struct open_port *open = find_port(pool->port);
	size_t data = 0, zspages = 0;

	for (struct shard *s = zs_next_shard(pool, NULL); s; s = zs_next_shard(pool, s)) {
		data += (size_t)s->npages;
		for (size_t i = 0; i < SHARD_CLASSES; i++)
			zspages += s->class[i].nzspages;
	}
	assert_int_equal(open->pages, pool->meta_pages + (pool->contiguous ? 0 : data));
	assert_int_equal(open->ranges, pool->contiguous ? zspages : 0);
	assert_int_equal(pool->releasing_pages, 0);
}
