/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The Linux process habitat. A pool is one reserved stretch of address space:
 *
 *   [ own pages and bitmaps | metadata pages ... | ranges for zspages ... ]
 *
 * reserved without access and made accessible from the low end of each part as
 * it is needed, so that a pool never has more than five mappings, however
 * fragmented, and under strict overcommit is charged for what it uses only.
 * Pages become real when touched and are given back with MADV_DONTNEED.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "port/pagemap.h"
#include "port/port.h"
#include "zsmalloc.h"

/* Metadata gets a sixteenth of the address space for zspages: for 8-byte objects, half. */
#define META_SHARE 16u

/* Address space: so many times what a pool can hold, as most zspages are not full. */
#define DATA_OVERSIZE 4u

/* References to metadata reach 2^31 units of 8 bytes. */
#define MAX_META ((size_t)(SIZE_MAX / 16 < UINT64_C(1) << 34 ? SIZE_MAX / 16 : UINT64_C(1) << 34))

/* The least that is reserved and made accessible at a time. */
#define MIN_WINDOW ((size_t)64 << 20)
#define MIN_STEP   ((size_t)4 << 20)

/* The process itself, where a pidfd is asked for; since Linux 6.14. */
#ifndef PIDFD_SELF_THREAD_GROUP
#define PIDFD_SELF_THREAD_GROUP (-10001)
#endif

/* A part of the window of which the low end is accessible. */
struct part {
	char *base;
	size_t size;
	size_t open; /* bytes accessible */
};

struct linux_port {
	struct zs_port port;
	char *window;
	size_t window_size;
	struct part meta, data;
	struct pagemap meta_map, data_map;
	uint32_t fixed_pages; /* own pages that do not depend on the bitmaps */
	/* For fork(): guarded by watch_lock. */
	struct linux_port *next;
	void (*before_fork)(void *);
	void (*after_fork)(void *, int);
	void *fork_arg;
};

static pthread_mutex_t watch_lock = PTHREAD_MUTEX_INITIALIZER;
static struct linux_port *watched;

static struct linux_port *self(struct zs_port *port)
{
	return (struct linux_port *)port;
}

static size_t round_up(size_t n, size_t unit)
{
	return (n + unit - 1) / unit * unit;
}

/* Makes at least need bytes of a part accessible; further steps grow with it. */
static int part_open(struct part *part, size_t need)
{
	if (need <= part->open)
		return 1;
	size_t want = round_up(need + part->open / 8, MIN_STEP);
	if (want > part->size)
		want = part->size;
	for (size_t size = want;; size = need) {
		if (mprotect(part->base + part->open, size - part->open, PROT_READ | PROT_WRITE) ==
		    0) {
			part->open = size;
			return 1;
		}
		if (size == need)
			return 0;
	}
}

/* The pages of a bitmap that are real: all words up to the highest number taken were touched. */
static uint32_t map_pages(const struct linux_port *p, const struct pagemap *map)
{
	size_t bytes = (map->high + 31) / 32 * sizeof(uint32_t);

	return (uint32_t)((bytes + p->port.page_size - 1) / p->port.page_size);
}

/* Takes a number and makes its unit bytes accessible. */
static uint32_t take(struct linux_port *p, struct pagemap *map, struct part *part, size_t unit)
{
	uint32_t number = pagemap_take(map);

	if (number == UINT32_MAX)
		return ZS_NO_PAGE;
	/* The bitmap's page is real now, whatever comes of the rest. */
	p->port.own_pages =
		p->fixed_pages + map_pages(p, &p->meta_map) + map_pages(p, &p->data_map);
	if (!part_open(part, ((size_t)number + 1) * unit)) {
		pagemap_release(map, number);
		return ZS_NO_PAGE;
	}
	return number;
}

static uint32_t page_alloc(struct zs_port *port)
{
	return take(self(port), &self(port)->meta_map, &self(port)->meta, port->page_size);
}

/* Locked memory (mlockall) is given back by a call of its own, since Linux 5.18. */
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

/* Returns whether the pages are gone. */
static int give_back(void *start, size_t bytes)
{
	int saved = errno;
	int gone = madvise(start, bytes, MADV_DONTNEED) == 0 ||
		   madvise(start, bytes, MADV_DONTNEED_LOCKED) == 0;

	errno = saved;
	return gone;
}

static void page_free(struct zs_port *port, uint32_t page)
{
	char *start = port->meta_base + (size_t)page * port->page_size;

	/* Whoever gets the page next wants it zeroed. */
	if (!give_back(start, port->page_size))
		memset(start, 0, port->page_size);
	pagemap_release(&self(port)->meta_map, page);
}

static uint32_t range_alloc(struct zs_port *port)
{
	return take(self(port), &self(port)->data_map, &self(port)->data,
		    ZS_RANGE_PAGES * port->page_size);
}

static void range_free(struct zs_port *port, uint32_t range)
{
	pagemap_release(&self(port)->data_map, range);
}

/*
 * All spans in one call: then the processors that run this process' other threads have
 * to be told only once. Refused before Linux 6.14.
 */
static int give_back_all(const struct zs_port *port, const struct zs_span *spans, unsigned count)
{
#ifdef SYS_process_madvise
	static _Atomic int refused;
	struct iovec all[ZS_SPANS_MAX];
	size_t bytes = 0;
	int saved = errno;

	if (atomic_load_explicit(&refused, memory_order_relaxed))
		return 0;
	for (unsigned i = 0; i < count; i++) {
		all[i].iov_base = spans[i].start;
		all[i].iov_len = spans[i].pages * port->page_size;
		bytes += all[i].iov_len;
	}
	if (syscall(SYS_process_madvise, PIDFD_SELF_THREAD_GROUP, all, count, MADV_DONTNEED, 0) ==
	    (long)bytes)
		return 1;
	/* What part of it was done does no harm when it is done again. */
	atomic_store_explicit(&refused, 1, memory_order_relaxed);
	errno = saved;
#else
	(void)port;
	(void)spans;
	(void)count;
#endif
	return 0;
}

static void decommit(struct zs_port *port, const struct zs_span *spans, unsigned count)
{
	if (count > 1 && give_back_all(port, spans, count))
		return;
	for (unsigned i = 0; i < count; i++)
		give_back(spans[i].start, spans[i].pages * port->page_size);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t entropy(struct zs_port *port)
{
	uint64_t value;
	int saved = errno;

	if (getrandom(&value, sizeof(value), GRND_NONBLOCK) != (ssize_t)sizeof(value))
		value = now() * UINT64_C(0x9e3779b97f4a7c15) + (uintptr_t)port;
	errno = saved;
	return value;
}

/* The handlers run in whatever order pthread_atfork() gives: once for all pools. */
static void before_fork(void)
{
	pthread_mutex_lock(&watch_lock);
	for (struct linux_port *p = watched; p; p = p->next)
		p->before_fork(p->fork_arg);
}

static void after_fork(int in_child)
{
	for (struct linux_port *p = watched; p; p = p->next)
		p->after_fork(p->fork_arg, in_child);
	pthread_mutex_unlock(&watch_lock);
}

static void in_parent(void)
{
	after_fork(0);
}

static void in_child(void)
{
	after_fork(1);
}

static int watch_fork(struct zs_port *port, void (*before)(void *), void (*after)(void *, int),
		      void *arg)
{
	static int installed;
	struct linux_port *p = self(port);

	p->before_fork = before;
	p->after_fork = after;
	p->fork_arg = arg;
	pthread_mutex_lock(&watch_lock);
	if (!installed)
		installed = pthread_atfork(before_fork, in_parent, in_child) == 0;
	int error = installed ? ZS_OK : ZS_ENOMEM;
	if (!error) {
		p->next = watched;
		watched = p;
	}
	pthread_mutex_unlock(&watch_lock);
	return error;
}

static void destroy(struct zs_port *port)
{
	struct linux_port *p = self(port);

	pthread_mutex_lock(&watch_lock);
	for (struct linux_port **link = &watched; *link; link = &(*link)->next) {
		if (*link == p) {
			*link = p->next;
			break;
		}
	}
	pthread_mutex_unlock(&watch_lock);
	munmap(p->window, p->window_size);
}

static const struct zs_port_ops linux_ops = {
	.page_alloc = page_alloc,
	.page_free = page_free,
	.range_alloc = range_alloc,
	.range_free = range_free,
	.decommit = decommit,
	.relax = zs_port_relax,
	.now = now,
	.entropy = entropy,
	.set_error = zs_port_set_error,
	.die = zs_port_die,
	.watch_fork = watch_fork,
	.destroy = destroy,
};

/* How much address space for zspages to ask for first. */
static size_t wanted_window(uint64_t limit, size_t range)
{
	uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * zs_port_page_size();
	uint64_t most = sizeof(void *) == 8 ? UINT64_C(1) << 44 : UINT64_C(1) << 29;

	if (limit && limit < memory)
		memory = limit;
	/* A pool with a small limit still has a zspage in many classes. */
	memory = memory * DATA_OVERSIZE + 2048 * (uint64_t)range;
	if (memory > most)
		memory = most;
	return (size_t)(memory / range * range);
}

/* Reserves window bytes aligned to page_size, which may be more than the system's. */
static char *reserve(size_t bytes, size_t page_size)
{
	size_t extra = page_size - zs_port_page_size();
	char *map = mmap(NULL, bytes + extra, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (map == MAP_FAILED)
		return NULL;
	size_t head = -(uintptr_t)map & (page_size - 1);
	if (head)
		munmap(map, head);
	if (extra - head)
		munmap(map + head + bytes, extra - head);
	return map + head;
}

/* Sizes of the parts for a window with data bytes for zspages. */
struct layout {
	size_t meta, data, own, meta_words, data_words, total;
};

static struct layout lay_out(size_t data, size_t page_size, size_t pool_bytes)
{
	size_t range = ZS_RANGE_PAGES * page_size;
	struct layout l = { .data = data };

	l.meta = round_up(data / META_SHARE < MAX_META ? data / META_SHARE : MAX_META, page_size);
	l.meta_words = round_up(l.meta / page_size / 8 + 8, page_size);
	l.data_words = round_up(data / range / 8 + 8, page_size);
	l.own = round_up(sizeof(struct linux_port) + 64 + pool_bytes, page_size);
	l.total = l.own + l.meta_words + l.data_words + l.meta + l.data;
	return l;
}

/*
 * Reserves as much as is to be had. Where the wish has to be cut down, address
 * space is limited (RLIMIT_AS) and the program needs some too: half of what
 * would go is left to it.
 */
static char *reserve_most(size_t *data, size_t page_size, size_t pool_bytes, struct layout *l)
{
	size_t range = ZS_RANGE_PAGES * page_size;
	int cut = 0;

	for (size_t want = *data;; want = want / 8 * 7 / range * range, cut = 1) {
		if (want < range * 16)
			return NULL;
		*l = lay_out(want, page_size, pool_bytes);
		char *window = reserve(l->total, page_size);
		if (!window)
			continue;
		if (cut && want / 2 >= MIN_WINDOW) {
			munmap(window, l->total);
			want = want / 2 / range * range;
			*l = lay_out(want, page_size, pool_bytes);
			window = reserve(l->total, page_size);
			if (!window)
				return NULL;
		}
		*data = want;
		return window;
	}
}

int zs_port_linux_create(const struct zs_pool_options *options, size_t page_size, size_t pool_bytes,
			 struct zs_port **port)
{
	size_t range = ZS_RANGE_PAGES * page_size;
	size_t data = wanted_window(options->limit, range);
	struct layout l;
	char *window = reserve_most(&data, page_size, pool_bytes, &l);

	if (!window)
		return ZS_ENOMEM;
	size_t head = l.own + l.meta_words + l.data_words;
	if (mprotect(window, head, PROT_READ | PROT_WRITE) != 0) {
		munmap(window, l.total);
		return ZS_ENOMEM;
	}
	/* Huge pages would make untouched tails real. Fails where there are none: as well. */
	madvise(window, l.total, MADV_NOHUGEPAGE);

	struct linux_port *p = (struct linux_port *)(void *)window;
	p->window = window;
	p->window_size = l.total;
	p->meta = (struct part){ .base = window + head, .size = l.meta };
	p->data = (struct part){ .base = window + head + l.meta, .size = l.data };
	p->meta_map = (struct pagemap){ .words = (uint32_t *)(void *)(window + l.own),
					.count = (uint32_t)(l.meta / page_size) };
	p->data_map =
		(struct pagemap){ .words = (uint32_t *)(void *)(window + l.own + l.meta_words),
				  .count = (uint32_t)(l.data / range) };
	p->fixed_pages = (uint32_t)(l.own / page_size);
	p->port = (struct zs_port){
		.ops = &linux_ops,
		.page_size = page_size,
		.alone = zs_port_alone(),
		.meta_base = p->meta.base,
		.meta_pages = p->meta_map.count,
		.data_base = p->data.base,
		.pool_memory = window + round_up(sizeof(*p), 64),
		.own_pages = p->fixed_pages,
	};
	/* Number 0 means none, so page 0 is taken and never touched. */
	if (page_alloc(&p->port) != 0) {
		munmap(window, l.total);
		return ZS_ENOMEM;
	}
	*port = &p->port;
	return ZS_OK;
}
