/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The allocator's data, its invariants, and who may touch what. Everything that
 * the core's files share is here; each section names the file that owns it.
 *
 * Locks, in the order in which they may be taken:
 *   1. a shard's lock: everything in the shard, its zspages, handle blocks and
 *      handle entries. Never two of them, but by zs_lock_all() (in the order in
 *      which the shards were made).
 *   2. the pool's lock: page numbers, metadata pages and chunks, map buffers,
 *      the list of shards.
 *   3. charge_lock: pages are counted, the limit is set. With one of the others held, for a
 *      few instructions.
 * Decommitting pages of zspages, which is a system call, is done with none held, and so is
 * telling of misuse. Debug builds check all this (debug.c).
 */
#ifndef ZS_CORE_H
#define ZS_CORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "port/port.h"
#include "zsmalloc.h"

#ifndef ZS_DEBUG
#define ZS_DEBUG 0
#endif

/* Bytes behind each object; those that come first, and never change. */
#define ZS_FOOTER (ZS_DEBUG ? 16u : 0u)
#define ZS_CANARY (ZS_DEBUG ? 4u : 0u)

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* For what is short once its callers are known. */
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define NOINLINE      __attribute__((noinline))

/*
 * A chunk of metadata: its distance from meta_base in units of 8 bytes. 0: none.
 * Metadata names metadata by reference, never by pointer.
 */
typedef uint32_t zs_ref;
#define REF_SHIFT 3

struct zs_lock {
	_Atomic uint32_t held;
	_Atomic uint32_t waiters; /* who found it held and has not got it yet */
	_Atomic uint32_t rounds;  /* of waiting for a shard's, until they are noted. Under itself */
};

/* --- metadata pages: meta.c ------------------------------------------------ */

/* Heads a metadata page, which is cut into chunks of one size. Pool lock. */
struct meta_page {
	uint32_t magic; /* see zs_meta_magic() */
	uint16_t chunk; /* units of 8 bytes a chunk */
	uint16_t nchunks;
	uint16_t nfree; /* length of the free list; > 0: on the pool's list for chunk, else on full_pages */
	uint16_t first_free; /* index of a free chunk + 1, 0: none; the next one is in it */
	uint32_t next, prev; /* page numbers, 0: none */
};

enum meta_kind {
	META_CHUNKS, /* anything but */
	META_BLOCKS  /* struct handle_block: a handle leads here */
};

#define META_HEAD ((sizeof(struct meta_page) + 7) & ~(size_t)7)

/* Chunk sizes in units are below this: a shard is the largest chunk. */
#define META_LISTS 256u

/* --- handles: handle.c ----------------------------------------------------- */

/*
 * A handle entry says where an object is:
 *   bits 0..11   slot in its zspage
 *   bits 12..21  zspage in the shard
 *   bits 22..24  pins: how many maps; PINS_MANY: the count is in a struct pin_count
 *   bits 25..31  generation
 */
#define SLOT_BITS   12
#define ZSPAGE_BITS 10
#define PIN_BITS    3
#define GEN_BITS    7
#define LOC_BITS    (SLOT_BITS + ZSPAGE_BITS)
#define LOC_MASK    ((UINT32_C(1) << LOC_BITS) - 1)
#define PIN_ONE     (UINT32_C(1) << LOC_BITS)
#define PINS_MANY   ((UINT32_C(1) << PIN_BITS) - 1)
#define PIN_MASK    (PINS_MANY << LOC_BITS)
#define GEN_SHIFT   (LOC_BITS + PIN_BITS)
#define MAX_SLOTS   (UINT32_C(1) << SLOT_BITS)
#define MAX_ZSPAGES (UINT32_C(1) << ZSPAGE_BITS)

#define BLOCK_HANDLES_MAX 126u

/*
 * A handle, from its low end: index in the block, reference of the block,
 * generation, tag. What there can be of metadata decides on the division, as in a
 * short handle every bit that a reference leaves over counts.
 */
#define INDEX_BITS 7u
#define INDEX_MASK ((1u << INDEX_BITS) - 1)
#define LIFE_BITS  20u

#define LIVE_WORDS ((BLOCK_HANDLES_MAX + 31) / 32)

/*
 * The entries of up to 126 handles of one shard. A full-sized store has an entry for
 * each index; a smaller one has those of the live indices only, in order, so
 * that a block most of whose objects were freed shrinks. Shard lock.
 */
struct handle_block {
	zs_ref next; /* of the shard's list; in a free chunk the free list's link */
	zs_ref prev;
	_Atomic uint32_t shard; /* 0: the block is not in use. Read without lock */
	_Atomic uint32_t store; /* uint32_t[cap]; cap == handles per block: indexed, less: packed */
	_Atomic uint32_t key;   /* of this life of the block, goes into the tags of its handles */
	uint8_t cap;
	uint8_t gen; /* no entry that the store does not hold was ever of a later generation: see spread() */
	uint16_t nlive; /* == bits in live, <= cap */
	uint32_t live[LIVE_WORDS];
};

/* How often an object is mapped that is mapped PINS_MANY times or more. Shard lock. */
struct pin_count {
	zs_ref next;
	uint32_t count;
	zs_handle handle;
};

/* --- zspages: zspage.c ----------------------------------------------------- */

/*
 * A zspage is on the list of its group:
 *   0..9         has room below its limit; inuse / slots of its class in tenths
 *   GROUP_GROW   no room, but more pages could become real
 *   GROUP_SOURCE is being emptied by compaction, and has no room below its limit
 *   GROUP_NONE   on no list: full, or its pages are being given back
 */
enum { GROUP_GROW = 10, GROUP_SOURCE, NR_GROUPS, GROUP_NONE = NR_GROUPS };

#define BAND_MASK ((UINT32_C(1) << GROUP_GROW) - 1)

/*
 * pages of pages_per_zspage are real, always the lowest.
 * limit <= slots that lie in real pages completely; == unless a source, or one that is busy.
 * inuse == bits in map; room == clear bits in map below limit.
 */
struct zspage {
	uint32_t range; /* contiguous habitat: its range of addresses */
	uint16_t inuse;
	uint16_t room;
	uint16_t limit; /* slots below it may be given out; above it compaction moves objects away */
	uint16_t next, prev; /* in the group's list: index + 1, 0: none */
	uint8_t class;       /* in the shard */
	uint8_t group;
	uint8_t pages;
	uint8_t flags;
	uint16_t hint;  /* all words of map below it are full up to limit */
	uint32_t size;  /* of its class */
	uint64_t map[]; /* a bit a slot, 1: in use; then, scattered habitat: uint32_t page[] */
};

#define ZSPAGE_SOURCE 1u /* being emptied above its limit, or has been */
#define ZSPAGE_BUSY   2u /* pages above the limit are being given back without lock */
#define ZSPAGE_KEPT   4u /* empty, and counted in pool->kept_pages */
#define ZSPAGE_PINNED 8u /* compaction met a mapped object in it, and leaves it alone for now */
/* A source whose pass has ended: nothing is above its limit, and its pages there are not yet given back. */
#define ZSPAGE_LEFT 16u

/* One size class of a shard. room, inuse: slots; sums over its zspages. */
struct size_class {
	uint32_t size;
	uint32_t band_factor; /* inuse * band_factor >> 16 is the band */
	uint32_t inuse;
	uint32_t room;
	uint32_t npages; /* real */
	uint16_t slots;  /* a zspage */
	uint16_t pages_per_zspage;
	uint16_t groups; /* bit g: list g is not empty */
	uint16_t nzspages;
	uint16_t head[NR_GROUPS];
};

#define SHARD_CLASSES 32u

/* The zspages of a shard are found through a table in chunks of 64 (32 with small pages). */
#define ZTAB_CHUNKS 16u
#define ZTAB_FREE   UINT32_C(0x80000000) /* marks an unused entry; references are below it */

enum pass_state {
	PASS_IDLE,
	PASS_SCAN, /* visiting handle blocks, moving what is above a limit */
	PASS_TRIM  /* giving back what the sources have above their limits */
};

/*
 * A run of neighbouring size classes with one lock, one list of handle blocks and
 * one set of zspages. When its zspage table is full another shard of the same
 * run is made.
 */
struct shard {
	struct zs_lock lock;
	zs_ref self;
	_Atomic uint32_t next; /* shard of the same run, 0: none; written once, under pool lock */
	_Atomic uint32_t all_next; /* shard made next in the pool; likewise */
	uint32_t run;
	uint32_t open;        /* bit c: class c is open, new objects go to it */
	uint64_t objects;     /* == sum of inuse == sum of nlive */
	uint64_t room_bytes;  /* == sum of room * size */
	uint64_t npages;      /* == sum of npages */
	uint64_t pinned;      /* objects with pins */
	uint32_t allocations; /* since the shard was made; wraps */
	/* handle blocks */
	zs_ref blocks;    /* list */
	zs_ref hand;      /* the block that gives the next handle, always full-sized; 0: none */
	uint8_t hand_cap; /* the hand's cap before zs_handle_reserve() made it what it is, 0: none */
	uint8_t hand_index; /* where to look for a free index in it */
	uint32_t nblocks;
	uint32_t free_handles; /* sum of handles per block - nlive */
	size_t store_bytes;    /* sum of cap entries */
	zs_ref pin_counts;
	/* zspages */
	uint16_t nzspages;    /* table entries ever used */
	uint16_t free_zspage; /* index + 1 of an unused table entry, which holds the next one */
	zs_ref ztab[ZTAB_CHUNKS];
	/* the compaction pass under way */
	uint8_t pass;          /* enum pass_state */
	zs_ref cursor;         /* PASS_SCAN: the block to visit next */
	uint32_t cursor_index; /* PASS_SCAN: index in it; PASS_TRIM: zspage to look at next */
	uint32_t pass_ended;   /* operations() at the end of the last pass */
	bool met_pinned;       /* some zspage has ZSPAGE_PINNED */
	uint32_t sources[MAX_ZSPAGES / 32]; /* bit z: zspage z became a source in this pass */
	uint32_t to_move;            /* objects at or above the limit of their zspage, a source */
	_Atomic uint32_t left_pages; /* of zspages with ZSPAGE_LEFT; none during a pass */
	uint64_t settled_bytes;      /* room_bytes that the last pass could not help, or less */
	uint64_t trigger_bytes; /* room_bytes at which automatic compaction looks again; 0 during a pass */
	/* ever since */
	uint64_t moved_objects;
	uint64_t compacted_pages;
	struct size_class class[SHARD_CLASSES];
};

_Static_assert(sizeof(struct shard) <= 2048 - META_HEAD,
	       "a page of 2048 bytes holds a shard, one of 4096 two");

/* --- the pool: pool.c ------------------------------------------------------ */

#define NAME_BYTES 32

/* A straddling object that is mapped, in a habitat without contiguous addresses. Pool lock. */
struct map_buffer {
	zs_handle handle; /* 0: not in use */
	uint32_t maps;
	zs_handle dirty; /* == handle: has to be copied back; else 0 */
};

/*
 * Threads that allocate the same sizes at the same time wait for each other. Once they have done
 * so for long enough, a run's threads divide into lanes, each with a shard of its own to begin
 * with. Not before: further shards mean further half-used pages, and less room that an
 * allocation may find, so that more pages come and go.
 */
#define LANES        4u
#define SPREAD_AFTER 4096u /* rounds of waiting; see zs_lock_slow() */
#define FORGIVEN     128u  /* of them each 64 allocations in a shard */

/* The shards of one run of classes. */
struct run {
	_Atomic uint32_t first;       /* 0: none yet */
	_Atomic uint32_t hint[LANES]; /* that a lane's threads try first, 0: none yet */
	_Atomic uint32_t crowding; /* rounds of waiting, less those forgiven; up to SPREAD_AFTER */
};

/*
 * The object that was mapped or allocated last, by a program of one thread: it is mapped and
 * unmapped next. Whoever takes a lock may move or free objects: nothing is known any more.
 */
struct recent {
	_Atomic zs_handle handle; /* 0: none */
	uint32_t *entry;
	struct shard *shard;
	char *address;
};

struct zs_pool {
	const char *alone; /* port->alone; only who is may go by it, and for one call */
	struct recent recent;
	/* What every call needs; constant. */
	char *meta_base, *data_base; /* the port's */
	size_t range_bytes;
	uint32_t ref_mask; /* handles: see lay_out_handles() */
	uint32_t gen_mask;
	uint64_t low_mask; /* what a tag is computed from */
	uint64_t tag_mask, tag_factor;
	uint32_t secret;
	unsigned gen_pos;
	unsigned block_handles;         /* as many as leave the least of a page over */
	unsigned ztab_shift, ztab_mask; /* zspages a chunk of a shard's table */
	bool short_tag;                 /* a handle's block has to be found where blocks are */
	bool contiguous;
	struct zs_port *port;
	size_t page_size;
	unsigned page_shift;
	bool zero_on_free; /* what holds no object holds zeros: slots, map buffers */
	/* size classes; constant */
	size_t max_object_size;
	size_t alignment;
	unsigned alignment_shift;
	unsigned min_class; /* below it a page would have more than MAX_SLOTS slots */
	unsigned nclasses;
	unsigned nruns;
	unsigned handle_bits;
	unsigned tag_pos, tag_bits;
	/* counts; a limit of 0 is SIZE_MAX pages */
	_Atomic size_t limit_pages;
	_Atomic size_t held_at_limit; /* total_pages when the limit was set */
	struct zs_lock charge_lock;   /* for the three around it; total_pages shrinks without */
	_Atomic size_t total_pages;   /* <= limit_pages or held_at_limit */
	_Atomic size_t peak_pages;
	_Atomic size_t recent_peak;  /* of total_pages; comes down as objects are allocated */
	_Atomic size_t kept_pages;   /* of empty zspages, <= KEPT_PAGES_MAX */
	_Atomic size_t left_pages;   /* of all shards, <= LEFT_PAGES_MAX but for a moment */
	_Atomic size_t busy_zspages; /* with ZSPAGE_BUSY */
	_Atomic uint32_t meta_end;   /* references to metadata are below this */
	_Atomic int refusal;         /* why the last page that was asked for could not be had */
	_Atomic int last_error;
	struct zs_lock lock;
	uint32_t *chunk_lists;        /* by units a chunk: pages with a free one; META_CHUNKS */
	uint32_t block_list;          /* pages with a free chunk; META_BLOCKS */
	uint32_t full_pages;          /* pages without one */
	size_t meta_pages;            /* pages cut into chunks */
	size_t releasing_pages;       /* of no zspage, not yet given back */
	uint64_t places;              /* sum of zs_mix() of all zspages' ranges, or pages */
	uint32_t block_lives;         /* blocks made so far */
	struct run *runs;             /* nruns of them */
	_Atomic uint32_t first_shard; /* of all, in the order they were made; 0: none */
	uint32_t last_shard;
	_Atomic uint32_t unfinished_shards; /* made, but on no list yet: see zs_make_shard() */
	enum zs_compaction compaction;
	unsigned slack; /* 1/1024 */
	zs_misuse_fn *on_misuse;
	zs_leak_fn *on_leak;
	void *hook_data;
	char name[NAME_BYTES];
	unsigned map_buffers;
	struct map_buffer *buffers;
	char *map_memory; /* map_buffers times map_bytes */
	size_t map_bytes;
	char *shard_memory; /* a shard a run, where a shard does not fit in a page; else NULL */
	uint64_t sum;       /* of the constants of this struct; for zs_check() */
	uint64_t port_sum;  /* of the port's */
};

/* Empty zspages stay with the pool up to this many pages, so that a class that
 * comes and goes does not fetch and return its page each time. */
#define KEPT_PAGES_MAX 16u

/*
 * Pages that automatic compaction emptied wait for each other, to go back together: as long as they
 * are no more than this, and than a 256th of the pool, when some are added.
 */
#define LEFT_PAGES_MAX 16u
#define LEFT_SHIFT     8

static inline void *zs_ptr(const struct zs_pool *pool, zs_ref ref)
{
	return pool->meta_base + ((size_t)ref << REF_SHIFT);
}

static inline struct shard *zs_shard(const struct zs_pool *pool, zs_ref ref)
{
	return zs_ptr(pool, ref);
}

static inline struct handle_block *zs_block(const struct zs_pool *pool, zs_ref ref)
{
	return zs_ptr(pool, ref);
}

/* A shard's table entry: the zspage's reference, or a link of the unused ones. */
static inline zs_ref *zs_table(const struct zs_pool *pool, const struct shard *shard,
			       uint32_t index)
{
	zs_ref *chunk = zs_ptr(pool, shard->ztab[index >> pool->ztab_shift]);

	return &chunk[index & pool->ztab_mask];
}

static inline struct zspage *zs_zspage(const struct zs_pool *pool, const struct shard *shard,
				       uint32_t index)
{
	return zs_ptr(pool, *zs_table(pool, shard, index));
}

/* Whether there is an object where a handle's entry leads. */
static inline bool zs_is_object(const struct zs_pool *pool, const struct shard *shard, uint32_t loc)
{
	uint32_t index = loc >> SLOT_BITS;
	unsigned slot = loc & (MAX_SLOTS - 1);

	if (index >= shard->nzspages || *zs_table(pool, shard, index) & ZTAB_FREE)
		return false;
	const struct zspage *zspage = zs_zspage(pool, shard, index);
	return slot < shard->class[zspage->class].slots && zspage->map[slot / 64] >> slot % 64 & 1;
}

/* --- bits and locks -------------------------------------------------------- */

static inline unsigned bit_first(uint32_t word)
{
	return (unsigned)__builtin_ctz(word);
}

static inline unsigned bit_last(uint32_t word)
{
	return 31u - (unsigned)__builtin_clz(word);
}

/* Without the compiler's help, which could be a call to its library. */
static inline unsigned bit_count(uint32_t word)
{
	word -= word >> 1 & UINT32_C(0x55555555);
	word = (word & UINT32_C(0x33333333)) + (word >> 2 & UINT32_C(0x33333333));
	word = (word + (word >> 4)) & UINT32_C(0x0f0f0f0f);
	return word * UINT32_C(0x01010101) >> 24;
}

static inline unsigned bit_count64(uint64_t word)
{
	return bit_count((uint32_t)word) + bit_count((uint32_t)(word >> 32));
}

static inline unsigned bit_first64(uint64_t word)
{
#if UINTPTR_MAX > UINT32_MAX
	return (unsigned)__builtin_ctzll(word);
#else
	uint32_t low = (uint32_t)word;

	return low ? bit_first(low) : 32 + bit_first((uint32_t)(word >> 32));
#endif
}

static inline unsigned bit_last64(uint64_t word)
{
	uint32_t high = (uint32_t)(word >> 32);

	return high ? 32 + bit_last(high) : bit_last((uint32_t)word);
}

/* So mixed that two sets of numbers whose mixtures have the same sum are the same. */
static inline uint64_t zs_mix(uint64_t x)
{
	x = (x ^ x >> 31) * UINT64_C(0x7fb5d329728ea185);
	x = (x ^ x >> 27) * UINT64_C(0x81dadef4bc2dd44d);
	return x ^ x >> 33;
}

#define load_relaxed(p)     atomic_load_explicit(p, memory_order_relaxed)
#define store_relaxed(p, v) atomic_store_explicit(p, v, memory_order_relaxed)

void zs_lock_slow(const struct zs_pool *pool, struct zs_lock *lock);
void zs_lock_again(struct zs_pool *pool, struct zs_lock *lock);
#if ZS_DEBUG
void zs_debug_lock(const struct zs_pool *pool, const struct zs_lock *lock);
void zs_debug_unlock(const struct zs_lock *lock);
void zs_debug_lock_all(const struct zs_pool *pool);
void zs_debug_unlock_all(const struct zs_pool *pool);
void zs_debug_no_lock(const struct zs_pool *pool);
#endif

/* Without a look at the order of locks: for zs_lock_all(). */
static inline void zs_lock_any(struct zs_pool *pool, struct zs_lock *lock)
{
	if (load_relaxed(&pool->recent.handle))
		store_relaxed(&pool->recent.handle, 0);
	/* A locked instruction takes as long as many others. */
	if (likely(*pool->alone))
		store_relaxed(&lock->held, 1);
	else if (unlikely(atomic_exchange_explicit(&lock->held, 1, memory_order_acquire)))
		zs_lock_slow(pool, lock);
}

static inline void zs_lock(struct zs_pool *pool, struct zs_lock *lock)
{
#if ZS_DEBUG
	zs_debug_lock(pool, lock);
#endif
	zs_lock_any(pool, lock);
}

static inline void zs_unlock_any(struct zs_lock *lock)
{
	atomic_store_explicit(&lock->held, 0, memory_order_release);
}

static inline void zs_unlock(struct zs_lock *lock)
{
#if ZS_DEBUG
	zs_debug_unlock(lock);
#endif
	zs_unlock_any(lock);
}

/* pool.c */
void zs_lock_all(struct zs_pool *pool);
void zs_unlock_all(struct zs_pool *pool);
int zs_charge(struct zs_pool *pool, size_t pages);
void zs_note_peak(struct zs_pool *pool);
void zs_uncharge(struct zs_pool *pool, size_t pages);
void zs_forget_peak(struct zs_pool *pool);
int zs_refusal(struct zs_pool *pool);
void zs_fail(struct zs_pool *pool, int error);

/* Visits every shard: for (shard = zs_next_shard(pool, NULL); shard; shard = zs_next_shard(pool, shard)) */
struct shard *zs_next_shard(struct zs_pool *pool, const struct shard *shard);
int zs_make_shard(struct zs_pool *pool, unsigned run, struct shard **shard);
void zs_finish_shard(struct zs_pool *pool, struct shard *shard, bool wanted);

/* sizes.c: which size has which class, and what its zspages are like */
size_t zs_descriptor_bytes(const struct zs_pool *pool, size_t slots, size_t pages);
uint32_t zs_first_open(const struct zs_pool *pool, unsigned run);
unsigned zs_class_of_units(const struct zs_pool *pool, uint32_t units);

/* Up to so many alignments there is a class to each number of them. */
#define LINEAR_CLASSES 512u

static inline unsigned zs_class_of(const struct zs_pool *pool, size_t size)
{
	uint32_t units =
		(uint32_t)((size + ZS_FOOTER + pool->alignment - 1) >> pool->alignment_shift);

	if (likely(units <= LINEAR_CLASSES) && likely(units > pool->min_class))
		return units - 1;
	return zs_class_of_units(pool, units);
}
size_t zs_class_size(const struct zs_pool *pool, unsigned class);
void zs_init_class(const struct zs_pool *pool, struct size_class *class, unsigned index);

/* meta.c */
zs_ref zs_meta_alloc(struct zs_pool *pool, enum meta_kind kind, size_t bytes);
zs_ref zs_meta_pack(struct zs_pool *pool, zs_ref ref);
void zs_meta_free(struct zs_pool *pool, enum meta_kind kind, zs_ref ref);
/* pool lock held */
void zs_meta_free_locked(struct zs_pool *pool, enum meta_kind kind, zs_ref ref);
int zs_page_alloc(struct zs_pool *pool, uint32_t *page); /* pool lock held */
void zs_page_free(struct zs_pool *pool, uint32_t page);  /* pool lock held; does not uncharge */
uint32_t zs_meta_magic(const struct zs_pool *pool, enum meta_kind kind, uint32_t page);

static inline struct meta_page *zs_meta_page(const struct zs_pool *pool, uint32_t page)
{
	return (struct meta_page *)(void *)(pool->meta_base + ((size_t)page << pool->page_shift));
}

/* handle.c */

/* A handle taken apart, and what it leads to. Valid as long as the shard is locked. */
struct zs_object {
	struct shard *shard;
	struct handle_block *block;
	unsigned index;
	uint32_t *entry;
	zs_handle handle;
};

void zs_misuse(struct zs_pool *pool, enum zs_misuse fault, zs_handle handle); /* misuse.c */
bool zs_is_place_of_block(const struct zs_pool *pool, zs_ref ref);
int zs_handle_reserve(struct zs_pool *pool, struct shard *shard);
void zs_handle_unreserve(struct zs_pool *pool, struct shard *shard);
void zs_handle_free(struct zs_pool *pool, const struct zs_object *object);
uint32_t *zs_packed_entry(const struct zs_pool *pool, struct handle_block *block, unsigned index);
unsigned zs_nth_live(const struct handle_block *block, unsigned n);
unsigned zs_free_index(const struct zs_pool *pool, const struct handle_block *block, unsigned from);

static inline bool zs_is_live(const struct handle_block *block, unsigned index)
{
	return block->live[index / 32] >> index % 32 & 1;
}

static inline uint32_t *zs_entry(const struct zs_pool *pool, struct handle_block *block,
				 unsigned index)
{
	if (unlikely(block->cap != pool->block_handles))
		return zs_packed_entry(pool, block, index);
	return (uint32_t *)zs_ptr(pool, load_relaxed(&block->store)) + index;
}

/*
 * The upper bits of a block's key prove that there is a block, to one who does
 * not know the pool's secret; the lower ones differ from life to life.
 */
static inline uint32_t zs_proof_of(const struct zs_pool *pool, zs_ref ref)
{
	return pool->secret ^ ref * UINT32_C(0x9e3779b1);
}

int zs_pin(struct zs_pool *pool, const struct zs_object *object);
bool zs_unpin(struct zs_pool *pool, const struct zs_object *object);
bool zs_is_block(const struct zs_pool *pool, zs_ref ref);
void zs_block_pack(struct zs_pool *pool, struct handle_block *block);

static inline uint32_t zs_entry_pins(uint32_t entry)
{
	return (entry & PIN_MASK) >> LOC_BITS;
}

/* zspage.c */
int zs_slot_alloc(struct zs_pool *pool, struct shard *shard, unsigned class, uint32_t *loc);
zs_ref zs_slot_free(struct zs_pool *pool, struct shard *shard, uint32_t loc);
unsigned zs_pages_to_leave(const struct zs_pool *pool, const struct shard *shard,
			   const struct zspage *zspage);
void zs_unleave(struct zs_pool *pool, struct shard *shard, struct zspage *zspage);
void zs_restore_source(struct zs_pool *pool, struct shard *shard, uint32_t index);
zs_ref zs_retire_if_empty(struct zs_pool *pool, struct shard *shard, uint32_t index);
void zs_relist(struct zs_pool *pool, struct shard *shard, uint32_t index, struct zspage *zspage,
	       unsigned group);
void zs_unkeep(struct zs_pool *pool, struct zspage *zspage);

void zs_zspage_release(struct zs_pool *pool, const struct size_class *class, zs_ref ref);
void zs_move_limit(struct zs_pool *pool, struct shard *shard, struct zspage *zspage,
		   unsigned limit);
void zs_unlist(const struct zs_pool *pool, struct shard *shard, uint32_t index,
	       struct zspage *zspage);
unsigned zs_real_slots(const struct zs_pool *pool, const struct size_class *class,
		       const struct zspage *zspage);
unsigned zs_top_slot(const struct size_class *class, const struct zspage *zspage);
unsigned zs_pages_for(const struct zs_pool *pool, const struct size_class *class, unsigned slots);

/* The pages from .. to - 1 of a zspage. */
struct zs_tail {
	const struct size_class *class;
	struct zspage *zspage;
	unsigned from, to;
};

void zs_decommit(struct zs_pool *pool, const struct zs_tail *tails, unsigned count);
void zs_cut(struct zs_pool *pool, struct shard *shard, const struct zs_tail *tail);
size_t zs_drop_kept(struct zs_pool *pool);

/* uint64_t in a zspage's map. */
static inline unsigned zs_map_words(const struct size_class *class)
{
	return (class->slots + 63u) / 64;
}

/* The scattered habitat's page numbers follow the map. */
static inline uint32_t *zs_page_list(const struct size_class *class, struct zspage *zspage)
{
	return (uint32_t *)(void *)(zspage->map + zs_map_words(class));
}

/* object.c: the bytes of a slot */

/* Where addresses are contiguous: the slot is simply there. */
static inline char *zs_contiguous_address(const struct zs_pool *pool, const struct zspage *zspage,
					  unsigned slot)
{
	return pool->data_base + zspage->range * pool->range_bytes + (size_t)slot * zspage->size;
}

char *zs_slot_address(const struct zs_pool *pool, const struct size_class *class,
		      struct zspage *zspage, unsigned slot);
bool zs_straddles(const struct zs_pool *pool, const struct size_class *class, unsigned slot);
void zs_slot_read(const struct zs_pool *pool, const struct size_class *class, struct zspage *zspage,
		  unsigned slot, size_t offset, void *to, size_t len);
void zs_slot_write(const struct zs_pool *pool, const struct size_class *class,
		   struct zspage *zspage, unsigned slot, size_t offset, const void *from,
		   size_t len);

void zs_slot_copy(const struct zs_pool *pool, const struct size_class *class, struct zspage *to,
		  unsigned to_slot, struct zspage *from, unsigned from_slot);
void zs_slot_zero(const struct zs_pool *pool, const struct size_class *class, struct zspage *zspage,
		  unsigned slot);
bool zs_slot_is_zero(const struct zs_pool *pool, const struct size_class *class,
		     struct zspage *zspage, unsigned slot);

/* check.c */
uint64_t zs_sum_of_constants(const struct zs_pool *pool);
uint64_t zs_sum_of_port(const struct zs_port *port);

/* compact.c */
void zs_compact_step_auto(struct zs_pool *pool, struct shard *shard);
void zs_relist_busy(struct zs_pool *pool, struct shard *shard);
size_t zs_give_left(struct zs_pool *pool);
bool zs_await_pages(struct zs_pool *pool);
void zs_set_trigger(const struct zs_pool *pool, struct shard *shard);
uint32_t zs_free_slots(const struct zs_pool *pool, const struct shard *shard,
		       const struct size_class *class);
uint64_t zs_class_gain(struct zs_pool *pool, struct shard *shard, unsigned class);

/* Whether automatic compaction may have something to do in a shard. */
static inline bool zs_wants_compaction(const struct shard *shard)
{
	return shard->room_bytes > shard->trigger_bytes;
}

/* debug.c: what only debug builds do; nothing in others */
#if ZS_DEBUG
struct debug_slot {
	const struct zs_pool *pool;
	const struct size_class *class;
	struct zspage *zspage;
	unsigned slot;
};
void zs_debug_alloc(const struct debug_slot *slot, size_t size);
void zs_debug_free(const struct debug_slot *slot);
void zs_debug_extend(const struct debug_slot *slot, size_t size);
void zs_debug_move(const struct debug_slot *from, const struct debug_slot *to);
size_t zs_debug_size(const struct debug_slot *slot);
bool zs_debug_intact(const struct debug_slot *slot);
void zs_debug_map(const struct debug_slot *slot, enum zs_mapmode mode, bool first);
bool zs_debug_ro_intact(const struct debug_slot *slot);
#else
#endif

#endif /* ZS_CORE_H */
