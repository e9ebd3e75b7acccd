/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * zsmalloc - a dense, compacting allocator for compressed pages, cache values
 * and other objects of 1 byte to a few pages.
 *
 * Names and meaning are those of the Linux kernel's zsmalloc (mm/zsmalloc.c),
 * so that its documentation and its users' habits carry over.
 *
 * Objects are named by opaque handles, not by pointers: an object may be moved
 * whenever it is not mapped. zs_map_object() pins it and gives its address,
 * zs_unmap_object() lets it move again.
 *
 * Threads: every call may be made from any thread at any time, except that
 * zs_destroy_pool() must be the last call on its pool. What a call locks is
 * said at the call: "shard lock" is the lock of the run of neighbouring size
 * classes that the object belongs to (a run spans 32 classes), "pool lock" is
 * the pool's lock for pages. Both are held for bounded, short times; a thread
 * that waits for one spins, then yields the processor, then sleeps.
 * No call may be made from a signal handler.
 *
 * Errors: a handle of 0, NULL or -1, with errno set (in a freestanding build:
 * zs_last_error()). A call that fails changes nothing.
 *
 * Wrong use (a handle that the pool did not give out, was freed or is mapped
 * when it must not be) is not an error but a fault of the program: see
 * enum zs_misuse.
 */
#ifndef ZSMALLOC_H
#define ZSMALLOC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ZS_VERSION_MAJOR 0
#define ZS_VERSION_MINOR 1
#define ZS_VERSION_PATCH 0

struct zs_pool;

/*
 * Names one object of one pool from zs_malloc() to zs_free(). Never 0.
 *
 * How surely a wrong handle is noticed: one that was freed, until its entry has been used
 * again 127 times, or, once most of its neighbours were freed too, but for a chance of
 * 2^-7; with 64 bits one of another pool, forged or damaged by all
 * but a chance of 2^-19 at most. With 32 bits there is no room for a tag, and the larger
 * the pool may become the less for the generation: a wrong handle
 * that happens to name a live object is accepted by a chance of 2^-7 (2^-3 in a
 * process's pool), any other never.
 */
typedef uintptr_t zs_handle;

/*
 * What the program does with a mapped object. RO and WO save a copy where an
 * object has to be copied to be mapped (fixed buffer); elsewhere all three are
 * the same address. After ZS_MM_WO the object's old contents are undefined:
 * every byte that is to be read later has to be written.
 */
enum zs_mapmode {
	ZS_MM_RW, /* read and write */
	ZS_MM_RO, /* read only: what is written is lost, or a fault (debug build) */
	ZS_MM_WO  /* write only: what is read is undefined */
};

/* The ways to use a pool wrongly; each is noticed before anything is touched. */
enum zs_misuse {
	ZS_MISUSE_BAD_HANDLE,   /* not a handle of this pool: forged, damaged, or of another pool */
	ZS_MISUSE_STALE_HANDLE, /* was freed (and perhaps its place given to another object) */
	ZS_MISUSE_FREE_MAPPED,  /* zs_free() of an object that is mapped */
	ZS_MISUSE_NOT_MAPPED,   /* zs_unmap_object() of an object that is not mapped */
	ZS_MISUSE_DESTROY_MAPPED, /* zs_destroy_pool() with objects mapped */
	ZS_MISUSE_OVERRUN, /* zs_obj_write() beyond the object; debug build: bytes past the object were written */
	ZS_MISUSE_RO_WRITTEN, /* debug build: an object mapped ZS_MM_RO was written */
	ZS_MISUSE_CORRUPT /* zs_free(), debug build: every call: a handle that is good leads to no
			       * object, as the program has overwritten the allocator's data */
};

/*
 * Called on wrong use, in the thread that made the call, with no lock held.
 * message is one line without newline that names the pool, the handle and the
 * fault. If it returns, the faulty call does nothing and returns 0 or NULL (but an
 * unmap that finds what a debug build looks for is done).
 * Default: the line goes to standard error and the process aborts.
 */
typedef void zs_misuse_fn(struct zs_pool *pool, enum zs_misuse fault, zs_handle handle,
			  const char *message, void *data);

/*
 * Called by zs_destroy_pool(), once for each size class in which objects are
 * still alive. bytes is objects times the class's slot size.
 */
typedef void zs_leak_fn(const char *pool_name, size_t class_size, uint64_t objects, uint64_t bytes,
			void *data);

enum zs_compaction {
	ZS_COMPACTION_AUTO, /* zs_malloc() and zs_free() each do a bounded bit of it when it pays */
	ZS_COMPACTION_MANUAL /* only zs_compact() and zs_compact_some() */
};

/* A zeroed struct, like NULL, asks for the defaults. */
struct zs_pool_options {
	const char *name;       /* for messages; copied, cut to 31 bytes. Default "zsmalloc" */
	size_t max_object_size; /* bytes, up to ZS_MAX_OBJECT_SIZE, in a fixed buffer up to one page,
				 * which is the default */
	uint64_t limit; /* bytes, everything counted, rounded down to pages. Default 0: none */
	/*
	 * Every object's address is a multiple of this: a power of two from 1
	 * to 16. Smaller is denser: slots are this many bytes apart at least.
	 * Default 8, at least what a pointer needs.
	 */
	size_t alignment;
	/*
	 * Bytes, a power of two. Process: a multiple of the system's page size,
	 * which is the default, up to 65536. Fixed buffer: 256 to 65536,
	 * default 4096.
	 */
	size_t page_size;
	/*
	 * If not NULL the pool lives in these buffer_size bytes and takes no
	 * memory from anywhere else (no MMU, no system calls; pages scattered,
	 * objects that straddle two of them are copied when mapped). The buffer
	 * belongs to the pool until zs_destroy_pool().
	 */
	void *buffer;
	size_t buffer_size;
	/*
	 * Fixed buffer: how many straddling objects may be mapped at once, 1 to
	 * 64; each costs max_object_size bytes of the buffer. Default 2.
	 */
	unsigned map_buffers;
	enum zs_compaction compaction;
	/*
	 * Automatic compaction begins when free slots hold about this many 1024ths of the
	 * pool more than it last had to leave: less is denser, more moves fewer
	 * objects. 1 to 1024, default 8.
	 */
	unsigned compaction_slack;
	/*
	 * Handles are numbers below 2^handle_bits, for programs that keep very many: 32 to
	 * the bits of a zs_handle, which is the default. Shorter ones tell less surely what
	 * is wrong with a handle (see zs_handle), and may be too short for the pool
	 * that could be (then: EINVAL; a lower limit asks for less).
	 */
	unsigned handle_bits;
	/*
	 * 1: where an object was that is freed or moved, there are zeros before the memory is
	 * used again or given back; so are copies in map buffers, and, when the pool is
	 * destroyed, all of a fixed buffer. 0 (default): what was there stays.
	 */
	unsigned zero_on_free;
	zs_misuse_fn *on_misuse;
	zs_leak_fn *on_leak;
	void *hook_data; /* passed to both hooks */
};

#define ZS_MAX_OBJECT_SIZE ((size_t)65536)

/*
 * Makes an empty pool. O(1).
 * Returns NULL and sets errno iff
 *   EINVAL  an option is out of its range, buffer_size is given without buffer, or the
 *           buffer is too small or the limit too low to hold an empty pool;
 *   ENOMEM  the habitat refused address space or pages.
 */
struct zs_pool *zs_create_pool(const struct zs_pool_options *options);

/*
 * Returns all memory of the pool. Objects that are still alive are reported to
 * on_leak, class by class. NULL is ignored. No other call may be under way.
 * Misuse: an object is mapped (then the pool is left as it is).
 * O(size classes + zspages).
 */
void zs_destroy_pool(struct zs_pool *pool);

/*
 * Allocates an object of size bytes; its contents are undefined.
 * Returns 0 and sets errno iff
 *   EINVAL    size is 0;
 *   EMSGSIZE  size is above the pool's max_object_size;
 *   ENOSPC    the pool would exceed its limit;
 *   ENOMEM    the habitat refused a page.
 * O(1); takes a shard lock, sometimes the pool lock. With automatic compaction
 * it may move a bounded number of objects (see zsmalloc(7)).
 */
zs_handle zs_malloc(struct zs_pool *pool, size_t size);

/*
 * Frees an object. 0 is ignored. Never fails, needs no memory.
 * Misuse: a bad or stale handle; the object is mapped.
 * O(1); takes a shard lock, sometimes the pool lock.
 */
void zs_free(struct zs_pool *pool, zs_handle handle);

/*
 * Pins an object and returns its address, valid until the matching
 * zs_unmap_object(). Maps nest: an object may be mapped any number of times, by
 * any threads, and moves again after as many unmaps. Any number of objects may
 * be mapped at once (fixed buffer: straddling ones up to map_buffers).
 * The size bytes asked of zs_malloc() may be used, at an address that is a
 * multiple of the pool's alignment. The allocator keeps no reader from a writer:
 * that is the program's affair.
 * Misuse: a bad or stale handle; returns NULL if the handler returns.
 * Returns NULL and sets errno iff
 *   EBUSY   (fixed buffer only) the object straddles two pages and all map
 *           buffers are in use;
 *   ENOMEM  the object is already mapped six times or more and no page can be
 *           had to count further maps.
 * O(1); takes a shard lock; waits for a move of the object under way, at most
 * one object's copy.
 */
void *zs_map_object(struct zs_pool *pool, zs_handle handle, enum zs_mapmode mode);

/* Undoes one zs_map_object(); from any thread. O(1); takes a shard lock. */
void zs_unmap_object(struct zs_pool *pool, zs_handle handle);

/*
 * Today's kernel interface to the same. zs_obj_read_begin() pins the object and
 * returns its contents for reading: in place, or, if it straddles scattered
 * pages, in local_copy, which has room for zs_object_size() bytes
 * (max_object_size always suffices; it may be NULL where addresses are
 * contiguous, that is, without a fixed buffer). zs_obj_read_end() takes the pointer that
 * zs_obj_read_begin() gave. Between them nobody may free the object.
 */
void *zs_obj_read_begin(struct zs_pool *pool, zs_handle handle, void *local_copy);
void zs_obj_read_end(struct zs_pool *pool, zs_handle handle, void *handle_mem);

/*
 * Copies len bytes from mem to the start of the object. Needs no map buffer: while a
 * straddling object is mapped in a fixed buffer, what is written here is lost at the unmap.
 * Misuse: a bad or stale handle; len is above zs_object_size().
 * O(len); takes a shard lock for the whole copy.
 */
void zs_obj_write(struct zs_pool *pool, zs_handle handle, const void *mem, size_t len);

/*
 * The size of the object's slot: at least what was asked of zs_malloc(). May
 * grow when the object is moved, never below what was asked.
 * Misuse: a bad or stale handle (0 if the handler returns). O(1); shard lock.
 */
size_t zs_object_size(struct zs_pool *pool, zs_handle handle);

/*
 * The smallest size (at most one page) whose object takes as much memory as a whole page:
 * compressing a page to this size or above saves nothing. O(1), no lock.
 */
size_t zs_huge_class_size(struct zs_pool *pool);

/*
 * The index of the size class that an object of this size belongs to when all
 * classes are open, for zs_class_stats(). Size 0 counts as 1, sizes above the maximum
 * as the maximum. O(1), no lock.
 */
unsigned zs_lookup_class_index(struct zs_pool *pool, size_t size);

/* How many size classes the pool has: indices run from 0 to this minus one. */
unsigned zs_class_count(struct zs_pool *pool);

/*
 * Sets the limit in bytes, everything counted, rounded down to pages; 0: none. A limit below
 * what the pool holds is kept to from then on: nothing is taken until enough
 * was given back. Address space is reserved when a pool is made: one that was made with a
 * limit cannot always grow much beyond it (ENOMEM then). O(1); takes the pool lock.
 */
void zs_set_limit(struct zs_pool *pool, uint64_t limit);

/*
 * Compacts the whole pool: moves objects out of the emptiest zspages of each
 * class into the fullest and gives the pages back. Mapped objects stay where
 * they are. Returns the bytes of objects' pages given back; pages of tables that
 * become empty on the way go back too, uncounted. Needs no memory.
 * O(zspages + bytes moved); takes one shard lock at a time, for one object's
 * copy (to plan, for a look at the shard's zspages) at most, so that all other calls go on meanwhile.
 */
uint64_t zs_compact(struct zs_pool *pool);

/* How much zs_compact_some() may do; 0 = no bound. */
struct zs_compact_budget {
	uint64_t bytes; /* of objects to move; passed by less than one object */
	uint64_t nanoseconds; /* passed by less than the work on 128 handles (fixed buffer: has no clock, ignored) */
};

struct zs_compact_result {
	uint64_t moved_bytes; /* bytes of objects moved */
	uint64_t moved_objects;
	uint64_t freed_bytes;     /* of objects' pages given back to the habitat */
	uint64_t remaining_bytes; /* what a full compaction would still give back */
	uint64_t skipped_zspages; /* left because an object in them was mapped */
};

/*
 * Compacts to a budget (NULL: no bound) and can be called again to go on where it
 * stopped. result may be NULL. Returns 1 if the budget ended it, 0 if nothing is
 * left to do. Locks like zs_compact().
 */
int zs_compact_some(struct zs_pool *pool, const struct zs_compact_budget *budget,
		    struct zs_compact_result *result);

/*
 * What zs_compact() would give back now if no object were mapped, in bytes. Within
 * a page a class while a compaction is under way, else exact. O(zspages); takes one shard lock at a time.
 */
uint64_t zs_compactable_bytes(struct zs_pool *pool);

/*
 * Bytes (pages) that the pool holds, everything counted: objects, free slots,
 * tables, handles. Agrees with what the operating system sees. O(1), no lock.
 */
uint64_t zs_get_total_size_bytes(struct zs_pool *pool);
uint64_t zs_get_total_pages(struct zs_pool *pool);

/*
 * Where every byte is:
 *   total_bytes == object_bytes + free_bytes + tail_bytes + handle_bytes + metadata_bytes
 * The figures of a shard are of one moment; shards are visited one after the
 * other, so while other threads allocate the sum is exact only shard by shard
 * (metadata_bytes is what remains of the total).
 */
struct zs_pool_stats {
	uint64_t total_bytes;    /* what the pool holds */
	uint64_t limit_bytes;    /* 0: none */
	uint64_t peak_bytes;     /* the most that total_bytes ever was */
	uint64_t objects;        /* objects alive */
	uint64_t object_bytes;   /* slots in use: objects times the slot size of their class */
	uint64_t free_bytes;     /* free slots whose pages the pool holds */
	uint64_t tail_bytes;     /* page bytes that are part of no complete slot */
	uint64_t handle_bytes;   /* the tables that lead from handles to objects */
	uint64_t metadata_bytes; /* all the rest: descriptors, class tables, the pool itself */
	uint64_t zspages;
	uint64_t data_pages;      /* pages held for slots */
	uint64_t mapped_objects;  /* pinned now */
	uint64_t compacted_pages; /* pages given back by compaction since the pool was made */
	uint64_t moved_objects;   /* by compaction since the pool was made */
	size_t page_size;
	size_t max_object_size;
	unsigned classes; /* as zs_class_count() */
};

/* O(zspages); takes one shard lock at a time. */
void zs_pool_stats(struct zs_pool *pool, struct zs_pool_stats *stats);

/*
 * Fullness bands: zspages[i] counts those with at least i * 10 % and less than
 * (i + 1) * 10 % of their slots in use; zspages[10] the completely full.
 */
#define ZS_FULLNESS_BANDS 11

struct zs_class_stats {
	size_t size;               /* bytes a slot */
	unsigned pages_per_zspage; /* when completely filled */
	unsigned objs_per_zspage;
	unsigned open;       /* 1: new objects go here; 0: to the next larger open class */
	uint64_t objects;    /* slots in use */
	uint64_t free_slots; /* free slots whose pages the pool holds */
	uint64_t pages;      /* held now */
	uint64_t zspages[ZS_FULLNESS_BANDS];
	uint64_t reclaimable_bytes; /* what compacting this class would give back */
};

/* Returns 0, or -1 with errno EINVAL if there is no such class. O(zspages of its shard); shard lock. */
int zs_class_stats(struct zs_pool *pool, unsigned index, struct zs_class_stats *stats);

/* One zspage as zs_for_each_zspage() shows it. */
struct zs_zspage_info {
	size_t class_size; /* bytes a slot */
	unsigned class_index;
	unsigned slots;   /* when completely filled */
	unsigned objects; /* slots in use */
	unsigned pages;   /* held now, at most pages_max */
	unsigned pages_max;
};

/*
 * Shows every zspage, class by class. visit is called with a shard lock held: it
 * must not call into the pool. O(zspages).
 */
void zs_for_each_zspage(struct zs_pool *pool,
			void (*visit)(const struct zs_zspage_info *info, void *data), void *data);

/* Told of each broken invariant by zs_check(), in words, one line without newline. */
typedef void zs_report_fn(const char *what, void *data);

/*
 * Walks every invariant of the pool. Returns 0, or the number broken; each is
 * told to report (NULL: only counted). Takes all locks of the pool while it
 * walks; report must not call into the pool. O(objects).
 */
unsigned long zs_check(struct zs_pool *pool, zs_report_fn *report, void *data);

/*
 * The error of the last failed call of this pool, as an errno number of Linux.
 * For freestanding programs, which have no errno; NULL: of the last zs_create_pool().
 */
int zs_last_error(struct zs_pool *pool);

#ifdef __cplusplus
}
#endif

#endif /* ZSMALLOC_H */
