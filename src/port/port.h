/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What a habitat owes the core: pages, a way to wait, and a few words to say
 * when things go wrong. One file per habitat implements it. The core calls
 * down through struct zs_port_ops and knows nothing else of the world.
 *
 * A habitat has page numbers, not pointers: metadata pages lie at
 * meta_base + number * page_size, so that metadata can name metadata by index
 * and a pool can one day live at another address.
 */
#ifndef ZS_PORT_H
#define ZS_PORT_H

#include <stddef.h>
#include <stdint.h>

struct zs_port;
struct zs_pool_options;

/* Pages of contiguous addresses. */
struct zs_span {
	void *start;
	size_t pages;
};

/* Error numbers; those of Linux, as a freestanding program has no errno.h. */
enum zs_error {
	ZS_OK = 0,
	ZS_ENOMEM = 12,
	ZS_EBUSY = 16,
	ZS_EINVAL = 22,
	ZS_ENOSPC = 28,
	ZS_EMSGSIZE = 90
};

/* A range of contiguous addresses is this many pages long. */
#define ZS_RANGE_PAGES 64u

#define ZS_SPANS_MAX 32u

/* No page, no range. */
#define ZS_NO_PAGE UINT32_MAX

struct zs_port_ops {
	/*
	 * One zeroed page, ZS_NO_PAGE if there is none; and back. Page 0 is
	 * never given out. Called with the pool lock held.
	 */
	uint32_t (*page_alloc)(struct zs_port *port);
	void (*page_free)(struct zs_port *port, uint32_t page);
	/*
	 * A range of ZS_RANGE_PAGES pages of contiguous addresses at
	 * data_base + number * ZS_RANGE_PAGES * page_size, whose pages become
	 * real when touched. Pages must be decommitted before range_free().
	 * NULL: addresses cannot be contiguous here, zspages are made of single
	 * pages. Called with the pool lock held.
	 */
	uint32_t (*range_alloc)(struct zs_port *port);
	void (*range_free)(struct zs_port *port, uint32_t range);
	/*
	 * Gives pages of ranges back; touched again they are real and zero. At most
	 * ZS_SPANS_MAX spans at once. No lock held.
	 */
	void (*decommit)(struct zs_port *port, const struct zs_span *spans, unsigned count);
	/* Called by a thread that waits for a lock, with the number of times it has done so. */
	void (*relax)(unsigned tries);
	/* Nanoseconds since some moment; NULL where there is no clock. */
	uint64_t (*now)(void);
	/* A number that an attacker cannot guess (or the best there is). */
	uint64_t (*entropy)(struct zs_port *port);
	/* Tells the caller of a public function of an enum zs_error (sets errno). */
	void (*set_error)(int error);
	/* Says one line (without newline) and ends the program. */
	void (*die)(const char *line);
	/*
	 * Has before() called before the process forks and after() afterwards,
	 * in the parent and in the child, for as long as the port lives. Returns
	 * ZS_OK or ZS_ENOMEM. NULL where there is no fork.
	 */
	int (*watch_fork)(struct zs_port *port, void (*before)(void *),
			  void (*after)(void *, int in_child), void *arg);
	/* Returns everything, struct zs_port and pool_memory included. */
	void (*destroy)(struct zs_port *port);
};

/* Made by a habitat's constructor; a habitat's own struct begins with it. */
struct zs_port {
	const struct zs_port_ops *ops;
	size_t page_size;
	char *meta_base;
	uint32_t meta_pages; /* page numbers are below this */
	char *data_base;     /* NULL without range_alloc */
	void *pool_memory;   /* zeroed, as many bytes as the constructor was asked for */
	/* Not 0 as long as the program has one thread, 0 where that is not known. */
	const char *alone;
	/*
	 * Pages that the port itself holds (pool_memory included). Changes only
	 * in page_alloc() and range_alloc(), by one at most.
	 */
	uint32_t own_pages;
};

/*
 * What the core calls before there is a port; defined once a build, by hosted.c or by
 * freestanding.c. zs_port_create() chooses the habitat by the options, which
 * have been checked for range, and returns an enum zs_error and, if that is
 * ZS_OK, the port. pool_bytes: size of pool_memory.
 */
int zs_port_create(const struct zs_pool_options *options, size_t page_size, size_t pool_bytes,
		   struct zs_port **port);
/* The system's page size; 0 where only a fixed buffer will do. */
size_t zs_port_page_size(void);
void zs_port_set_error(int error);
void zs_port_die(const char *line);

/* Where it is said whether the program has one thread: see struct zs_port. Never NULL. */
const char *zs_port_alone(void);

/* A number for the calling thread, the same each time, 0 where there are no threads. */
unsigned zs_port_lane(void);

/* The calling thread has waited for a lock so many times. */
void zs_port_relax(unsigned tries);

#if ZS_DEBUG
/* What a thread has locked of the pool whose lock it took first, by rank: see debug.c. */
#define ZS_LOCK_RANKS 3
struct zs_held {
	const void *pool, *lock[ZS_LOCK_RANKS];
};

/* The calling thread's; NULL where there are no threads. */
struct zs_held *zs_port_held(void);
#endif

/* The habitats' own constructors. */
int zs_port_buffer_create(const struct zs_pool_options *options, size_t page_size,
			  size_t pool_bytes, struct zs_port **port);
int zs_port_linux_create(const struct zs_pool_options *options, size_t page_size, size_t pool_bytes,
			 struct zs_port **port);

#endif /* ZS_PORT_H */
