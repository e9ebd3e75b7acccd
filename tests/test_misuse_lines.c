/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Last words. Each case below is a program that does one wrong thing, run as a child, and
 * ends with exactly the line and the signal that zsmalloc(7) promises; the manual is read to
 * see that it does promise that line. What it says is not noticed must do no harm.
 */
#include "testing.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/quick.h"

enum { VICTIM_BYTES = 100, SLOTS_OF_A_PAGE = 40 };

/* The lines end with these; NULL: nothing is said. */
#define BAD      "not a handle of this pool, or freed long ago"
#define STALE    "object was freed already"
#define MAPPED   "object is freed while it is mapped"
#define UNMAPPED "object is unmapped but not mapped"
#define DESTROY  "pool is destroyed while objects are mapped"
#define OVERRUN  "bytes past the object's end are written"
#define WRITTEN  "object was written through a read-only map"
#define CORRUPT  "the allocator's data was overwritten"

static const char *const texts[] = {
	BAD, STALE, MAPPED, UNMAPPED, DESTROY, OVERRUN, WRITTEN, CORRUPT,
};

/* Where a case applies. */
#define DEBUGGED  1u  /* debug builds notice it */
#define PLAIN     2u  /* other builds: what follows is promised of them only */
#define PROCESS   4u  /* in a process */
#define BUFFER    8u  /* in a fixed buffer */
#define TAGGED    16u /* 64 bits: a handle proves which pool gave it out */
#define UNDEFINED 32u /* what the undefined-behaviour sanitizer would comment on */

/* Shared with the child, so that the parent knows which handle its line has to name. */
static struct crime {
	bool fixed;
	struct zs_pool *pool, *other_pool;
	zs_handle victim;    /* alive, VICTIM_BYTES */
	zs_handle neighbour; /* alive, in the slot before it */
	zs_handle stale;     /* freed */
	zs_handle replaced;  /* freed, and its entry is another object's */
	zs_handle old;       /* freed, as were all others of its block */
	zs_handle foreign;   /* alive in other_pool */
	zs_handle handle;    /* the one that is misused */
} * crime;

static unsigned char scratch[1 << 17];

/* --- the scene ------------------------------------------------------------- */

static struct zs_pool *make_pool(const char *name)
{
	struct zs_pool_options options = { .name = name };

	if (crime->fixed) {
		options.buffer_size = KIB(512);
		options.buffer = malloc(options.buffer_size);
	}
	return zs_create_pool(&options);
}

static zs_handle put(size_t size)
{
	zs_handle handle = zs_malloc(crime->pool, size);

	zs_obj_write(crime->pool, handle, scratch, size);
	return handle;
}

/*
 * One that was freed, and whose handle block has gone, though its pool's metadata has not. Of
 * the free blocks those that went after it are used again first.
 */
static zs_handle long_gone(void)
{
	zs_handle handles[3 * BLOCK_HANDLES_MAX], handle;

	for (size_t i = 0; i < COUNT_OF(handles); i++)
		handles[i] = put(VICTIM_BYTES);
	handle = handles[0];
	for (size_t i = 0; i < COUNT_OF(handles); i++)
		zs_free(crime->pool, handles[i]);
	return handle;
}

static void set_scene(void)
{
	crime->pool = make_pool("culprit");
	crime->other_pool = make_pool("bystander");
	crime->old = long_gone();
	crime->neighbour = put(VICTIM_BYTES);
	crime->victim = put(VICTIM_BYTES);
	crime->replaced = put(VICTIM_BYTES);
	zs_free(crime->pool, crime->replaced);
	/* As many as it takes to use every entry of a handle block again. */
	for (unsigned i = 0; i < BLOCK_HANDLES_MAX; i++)
		put(VICTIM_BYTES);
	crime->stale = put(VICTIM_BYTES);
	zs_free(crime->pool, crime->stale);
	zs_malloc(crime->other_pool, VICTIM_BYTES);
	crime->foreign = zs_malloc(crime->other_pool, VICTIM_BYTES);
	crime->handle = crime->victim;
}

/* An object that lies on two pages of a fixed buffer. It becomes the one that is misused. */
static zs_handle straddling(size_t size)
{
	do {
		crime->handle = put(size);
	} while (zs_obj_read_begin(crime->pool, crime->handle, scratch) != scratch);
	zs_obj_read_end(crime->pool, crime->handle, scratch);
	return crime->handle;
}

static unsigned char *map(zs_handle handle, enum zs_mapmode mode)
{
	return zs_map_object(crime->pool, handle, mode);
}

static void unmap(zs_handle handle)
{
	zs_unmap_object(crime->pool, handle);
}

/* --- handles that are no good ---------------------------------------------- */

static void zero(void)
{
	crime->handle = 0;
}

static void made_up(void)
{
	crime->handle = (zs_handle)UINT64_C(0x123456789ABCDEF1);
}

static void address_of_object(void)
{
	crime->handle = (zs_handle)(uintptr_t)map(crime->victim, ZS_MM_RO);
	unmap(crime->victim);
}

static void one_bit_flipped(void)
{
	crime->handle = crime->victim ^ (zs_handle)1 << (sizeof(zs_handle) * 8 - 2);
}

static void foreign(void)
{
	crime->handle = crime->foreign;
}

static void stale(void)
{
	crime->handle = crime->stale;
}

static void replaced(void)
{
	crime->handle = crime->replaced;
}

static void old(void)
{
	crime->handle = crime->old;
}

/* --- the calls that take one ----------------------------------------------- */

static void call_free(void)
{
	zs_free(crime->pool, crime->handle);
}

static void call_map(void)
{
	map(crime->handle, ZS_MM_RW);
}

static void call_unmap(void)
{
	unmap(crime->handle);
}

static void call_read_begin(void)
{
	zs_obj_read_begin(crime->pool, crime->handle, scratch);
}

static void call_read_end(void)
{
	zs_obj_read_end(crime->pool, crime->handle, scratch);
}

static void call_write(void)
{
	zs_obj_write(crime->pool, crime->handle, scratch, 8);
}

static void call_size(void)
{
	zs_object_size(crime->pool, crime->handle);
}

/* --- calls that do not fit what was called before --------------------------- */

static void free_twice(void)
{
	zs_free(crime->pool, crime->victim);
	zs_free(crime->pool, crime->victim);
}

static void free_twice_with_others_between(void)
{
	zs_free(crime->pool, crime->victim);
	for (int i = 0; i < 100; i++)
		zs_free(crime->pool, put(VICTIM_BYTES));
	zs_free(crime->pool, crime->victim);
}

static void free_after_compaction(void)
{
	zs_free(crime->pool, crime->victim);
	zs_compact(crime->pool);
	zs_free(crime->pool, crime->victim);
}

static void free_mapped(void)
{
	map(crime->victim, ZS_MM_RO);
	zs_free(crime->pool, crime->victim);
}

static void free_mapped_often(void)
{
	for (int i = 0; i < 20; i++)
		map(crime->victim, ZS_MM_RO);
	for (int i = 0; i < 19; i++)
		unmap(crime->victim);
	zs_free(crime->pool, crime->victim);
}

static void free_while_read(void)
{
	zs_obj_read_begin(crime->pool, crime->victim, scratch);
	zs_free(crime->pool, crime->victim);
}

static void free_mapped_straddling(void)
{
	zs_handle handle = straddling(1100);

	map(handle, ZS_MM_RW);
	zs_free(crime->pool, handle);
}

static void unmap_twice(void)
{
	map(crime->victim, ZS_MM_RO);
	unmap(crime->victim);
	unmap(crime->victim);
}

static void unmap_once_too_often(void)
{
	for (int i = 0; i < 20; i++)
		map(crime->victim, ZS_MM_RO);
	for (int i = 0; i < 21; i++)
		unmap(crime->victim);
}

static void unmap_straddling_twice(void)
{
	zs_handle handle = straddling(1100);

	map(handle, ZS_MM_RW);
	unmap(handle);
	unmap(handle);
}

static void unmap_neighbour(void)
{
	map(crime->victim, ZS_MM_RO);
	crime->handle = crime->neighbour;
	unmap(crime->neighbour);
}

static void unmap_with_other_pool(void)
{
	struct zs_pool *culprit = crime->other_pool;

	map(crime->victim, ZS_MM_RO);
	crime->other_pool = crime->pool;
	crime->pool = culprit;
	unmap(crime->victim);
}

static void free_with_other_pool(void)
{
	zs_free(crime->other_pool, crime->victim);
}

static void end_read_twice(void)
{
	void *mem = zs_obj_read_begin(crime->pool, crime->victim, scratch);

	zs_obj_read_end(crime->pool, crime->victim, mem);
	zs_obj_read_end(crime->pool, crime->victim, mem);
}

/* zs_obj_read_end(3): it is not looked at. */
static void end_read_of_another_address(void)
{
	zs_obj_read_begin(crime->pool, crime->victim, scratch);
	zs_obj_read_end(crime->pool, crime->victim, &crime);
}

static void destroy_mapped(void)
{
	crime->handle = 0;
	map(crime->victim, ZS_MM_RO);
	zs_destroy_pool(crime->pool);
}

static void destroy_while_read(void)
{
	crime->handle = 0;
	zs_obj_read_begin(crime->pool, crime->victim, scratch);
	zs_destroy_pool(crime->pool);
}

static void free_zero(void)
{
	zs_free(crime->pool, 0);
}

static void destroy_null(void)
{
	zs_destroy_pool(NULL);
}

/* --- bytes where they must not be ------------------------------------------ */

static void write_slot_and_one(void)
{
	zs_obj_write(crime->pool, crime->victim, scratch,
		     zs_object_size(crime->pool, crime->victim) + 1);
}

static void write_size_max(void)
{
	zs_obj_write(crime->pool, crime->victim, scratch, SIZE_MAX);
}

static void write_more_than_any_object(void)
{
	zs_obj_write(crime->pool, crime->victim, scratch, ZS_MAX_OBJECT_SIZE + 1);
}

static void write_straddling_and_one(void)
{
	zs_handle handle = straddling(1100);

	zs_obj_write(crime->pool, handle, scratch, zs_object_size(crime->pool, handle) + 1);
}

/* The next two: a byte is written at a distance from the object's start. */
static void poke(zs_handle handle, long at)
{
	unsigned char *mem = map(handle, ZS_MM_RW);

	mem[at] ^= 0xFF;
	unmap(handle);
}

static void overrun_by_one(void)
{
	poke(crime->victim, VICTIM_BYTES);
}

static void overrun_then_free(void)
{
	unsigned char *mem = zs_obj_read_begin(crime->pool, crime->victim, scratch);
	unsigned char *slot = mem == scratch ? map(crime->victim, ZS_MM_RW) : mem;

	slot[VICTIM_BYTES] ^= 0xFF;
	zs_obj_read_end(crime->pool, crime->victim, mem);
}

static void overrun_seen_by_write(void)
{
	unsigned char *mem = map(crime->victim, ZS_MM_RW);

	mem[VICTIM_BYTES] ^= 0xFF;
	zs_obj_write(crime->pool, crime->victim, scratch, 8);
}

/* As much as fits: the byte past it is the first that the debug build keeps there. */
static void overrun_of_whole_slot(void)
{
	zs_handle handle = crime->handle = put(104);

	poke(handle, 104);
}

static void overrun_straddling(void)
{
	poke(straddling(1101), 1101);
}

static void overrun_straddling_of_whole_slot(void)
{
	size_t size = zs_object_size(crime->pool, straddling(1100));

	poke(straddling(size), (long)size);
}

/* The byte before an object is past the one before: that one's calls notice it. */
static void underrun_by_one(void)
{
	zs_handle handles[SLOTS_OF_A_PAGE];

	for (int i = 0; i < SLOTS_OF_A_PAGE; i++)
		handles[i] = put(2000);
	for (int i = 1; i < SLOTS_OF_A_PAGE; i++) {
		unsigned char *before = map(handles[i - 1], ZS_MM_RO);
		size_t size = zs_object_size(crime->pool, handles[i - 1]) + ZS_FOOTER;
		unsigned char *mem = map(handles[i], ZS_MM_RW);

		unmap(handles[i - 1]);
		if (mem == before + size) {
			mem[-1] ^= 0xFF;
			crime->handle = handles[i - 1];
			zs_free(crime->pool, handles[i - 1]);
		}
		unmap(handles[i]);
	}
}

static void poke_read_only(zs_handle handle)
{
	unsigned char *mem = map(handle, ZS_MM_RO);

	mem[7] ^= 1;
	unmap(handle);
}

static void write_read_only(void)
{
	poke_read_only(crime->victim);
}

static void write_read_only_straddling(void)
{
	poke_read_only(straddling(1100));
}

static void write_what_is_read(void)
{
	unsigned char *mem = zs_obj_read_begin(crime->pool, crime->victim, scratch);

	mem[0] ^= 1;
	zs_obj_read_end(crime->pool, crime->victim, mem);
}

static void write_after_nested_read_only_maps(void)
{
	unsigned char *mem = map(crime->victim, ZS_MM_RO);

	map(crime->victim, ZS_MM_RO);
	unmap(crime->victim);
	mem[0] ^= 1;
	unmap(crime->victim);
}

/* What debug builds notice, others do not; nothing else may happen. */
static void write_read_only_unnoticed(void)
{
	poke_read_only(crime->victim);
	if (zs_check(crime->pool, NULL, NULL))
		abort();
}

/* --- the allocator's own data ---------------------------------------------- */

static void change_entry(uint32_t by)
{
	struct zs_object object;

	if (zs_find(crime->pool, crime->victim, &object)) {
		*object.entry ^= by;
		zs_unlock(&object.shard->lock);
	}
}

static uint32_t place_of(zs_handle handle)
{
	struct zs_object object;
	uint32_t place = 0;

	if (zs_find(crime->pool, handle, &object)) {
		place = *object.entry & LOC_MASK;
		zs_unlock(&object.shard->lock);
	}
	return place;
}

static void free_by_entry_of_free_slot(void)
{
	uint32_t place = place_of(crime->neighbour);

	zs_free(crime->pool, crime->neighbour);
	change_entry(place_of(crime->victim) ^ place);
	zs_free(crime->pool, crime->victim);
}

static void free_by_entry_of_no_slot(void)
{
	change_entry(MAX_SLOTS - 1);
	zs_free(crime->pool, crime->victim);
}

static void free_by_entry_of_no_zspage(void)
{
	change_entry(LOC_MASK & ~(MAX_SLOTS - 1));
	zs_free(crime->pool, crime->victim);
}

static void free_what_the_map_says_is_free(void)
{
	struct zs_object object;

	if (zs_find(crime->pool, crime->victim, &object)) {
		uint32_t loc = *object.entry & LOC_MASK;

		zs_zspage(crime->pool, object.shard, loc >> SLOT_BITS)->map[0] = 0;
		zs_unlock(&object.shard->lock);
	}
	zs_free(crime->pool, crime->victim);
}

static void map_by_entry_of_no_zspage(void)
{
	change_entry(LOC_MASK & ~(MAX_SLOTS - 1));
	map(crime->victim, ZS_MM_RO);
}

/* --- no pool --------------------------------------------------------------- */

static void map_after_destroy(void)
{
	zs_destroy_pool(crime->pool);
	map(crime->victim, ZS_MM_RO);
}

static void free_after_destroy(void)
{
	zs_destroy_pool(crime->pool);
	zs_free(crime->pool, crime->victim);
}

static void write_after_destroy(void)
{
	zs_destroy_pool(crime->pool);
	zs_obj_write(crime->pool, crime->victim, scratch, 8);
}

static void malloc_after_destroy(void)
{
	zs_destroy_pool(crime->pool);
	zs_malloc(crime->pool, VICTIM_BYTES);
}

static void destroy_twice(void)
{
	zs_destroy_pool(crime->pool);
	zs_destroy_pool(crime->pool);
}

static void use_memory_after_destroy(void)
{
	unsigned char *mem = map(crime->victim, ZS_MM_RW);

	unmap(crime->victim);
	zs_destroy_pool(crime->pool);
	*(volatile unsigned char *)mem = 1;
}

static void malloc_from_null(void)
{
	zs_malloc(NULL, VICTIM_BYTES);
}

static void free_to_null(void)
{
	zs_free(NULL, crime->victim);
}

static void map_from_null(void)
{
	zs_map_object(NULL, crime->victim, ZS_MM_RO);
}

/* --- the cases ------------------------------------------------------------- */

struct deed {
	const char *name;
	void (*choose)(void); /* the handle; NULL: the victim's, or the deed's own choice */
	void (*commit)(void);
	const char *text; /* the line; NULL: none */
	int signal;       /* 0: the program goes on */
	unsigned where;   /* 0: everywhere */
};

#define ENDS(name, commit, text, where)                  \
	{                                                \
		name, NULL, commit, text, SIGABRT, where \
	}
#define CRASHES(name, commit, where)                     \
	{                                                \
		name, NULL, commit, NULL, SIGSEGV, where \
	}
#define GOES_ON(name, commit, where)               \
	{                                          \
		name, NULL, commit, NULL, 0, where \
	}
#define CALL(call, choose, text, where)                                    \
	{                                                                  \
#call " with " #choose, choose, call, text, SIGABRT, where \
	}
#define CALLS_BUT_FREE(choose, text, where)                                                      \
	CALL(call_map, choose, text, where), CALL(call_unmap, choose, text, where),              \
		CALL(call_read_begin, choose, text, where),                                      \
		CALL(call_read_end, choose, text, where), CALL(call_write, choose, text, where), \
		CALL(call_size, choose, text, where)
#define CALLS(choose, text, where) \
	CALLS_BUT_FREE(choose, text, where), CALL(call_free, choose, text, where)

static const struct deed deeds[] = {
	CALLS_BUT_FREE(zero, BAD, 0),
	CALLS(made_up, BAD, 0),
	CALLS(address_of_object, BAD, 0),
	CALLS(one_bit_flipped, BAD, TAGGED),
	CALLS(foreign, BAD, TAGGED),
	CALLS(stale, STALE, 0),
	CALLS(replaced, STALE, 0),
	CALLS(old, STALE, 0),
	ENDS("free twice", free_twice, STALE, 0),
	ENDS("free twice, others between", free_twice_with_others_between, STALE, 0),
	ENDS("free again after compaction", free_after_compaction, STALE, 0),
	ENDS("free with another pool", free_with_other_pool, BAD, TAGGED),
	ENDS("free mapped", free_mapped, MAPPED, 0),
	ENDS("free what was mapped 20 times and unmapped 19", free_mapped_often, MAPPED, 0),
	ENDS("free while read", free_while_read, MAPPED, 0),
	ENDS("free mapped, straddling", free_mapped_straddling, MAPPED, BUFFER),
	GOES_ON("free 0", free_zero, 0),
	ENDS("unmap what was never mapped", call_unmap, UNMAPPED, 0),
	ENDS("unmap twice", unmap_twice, UNMAPPED, 0),
	ENDS("unmap 21 times what was mapped 20 times", unmap_once_too_often, UNMAPPED, 0),
	ENDS("unmap twice, straddling", unmap_straddling_twice, UNMAPPED, BUFFER),
	ENDS("unmap the neighbour", unmap_neighbour, UNMAPPED, 0),
	ENDS("unmap with another pool", unmap_with_other_pool, BAD, TAGGED),
	ENDS("end a read that never began", call_read_end, UNMAPPED, 0),
	ENDS("end a read twice", end_read_twice, UNMAPPED, 0),
	GOES_ON("end a read with another address", end_read_of_another_address, 0),
	ENDS("destroy with an object mapped", destroy_mapped, DESTROY, 0),
	ENDS("destroy while an object is read", destroy_while_read, DESTROY, 0),
	GOES_ON("destroy NULL", destroy_null, 0),
	ENDS("write the slot and a byte", write_slot_and_one, OVERRUN, 0),
	ENDS("write SIZE_MAX bytes", write_size_max, OVERRUN, 0),
	ENDS("write more than any object has", write_more_than_any_object, OVERRUN, 0),
	ENDS("write the slot and a byte, straddling", write_straddling_and_one, OVERRUN, BUFFER),
	ENDS("a byte past the object", overrun_by_one, OVERRUN, DEBUGGED),
	ENDS("a byte past an object that is read", overrun_then_free, OVERRUN, DEBUGGED),
	ENDS("a byte past the object, then a write", overrun_seen_by_write, OVERRUN, DEBUGGED),
	ENDS("a byte past the slot", overrun_of_whole_slot, OVERRUN, DEBUGGED),
	ENDS("a byte past, straddling", overrun_straddling, OVERRUN, DEBUGGED | BUFFER),
	ENDS("a byte past the slot, straddling", overrun_straddling_of_whole_slot, OVERRUN,
	     DEBUGGED | BUFFER),
	ENDS("a byte before the object", underrun_by_one, OVERRUN, DEBUGGED),
	ENDS("a write to a read-only map", write_read_only, WRITTEN, DEBUGGED),
	ENDS("a write to a read-only map, straddling", write_read_only_straddling, WRITTEN,
	     DEBUGGED | BUFFER),
	ENDS("a write to what is read", write_what_is_read, WRITTEN, DEBUGGED),
	ENDS("a write between nested read-only maps", write_after_nested_read_only_maps, WRITTEN,
	     DEBUGGED),
	GOES_ON("a write to a read-only map, unnoticed", write_read_only_unnoticed, PLAIN),
	ENDS("an entry that leads to a free slot", free_by_entry_of_free_slot, CORRUPT, 0),
	ENDS("an entry that leads to no slot", free_by_entry_of_no_slot, CORRUPT, 0),
	ENDS("an entry that leads to no zspage", free_by_entry_of_no_zspage, CORRUPT, 0),
	ENDS("a map of slots that was cleared", free_what_the_map_says_is_free, CORRUPT, 0),
	ENDS("map by an entry that leads to no zspage", map_by_entry_of_no_zspage, CORRUPT,
	     DEBUGGED),
	CRASHES("map after destroy", map_after_destroy, PROCESS),
	CRASHES("free after destroy", free_after_destroy, PROCESS),
	CRASHES("write after destroy", write_after_destroy, PROCESS),
	CRASHES("malloc after destroy", malloc_after_destroy, PROCESS),
	CRASHES("destroy twice", destroy_twice, PROCESS),
	CRASHES("an object's memory after destroy", use_memory_after_destroy, PROCESS),
	ENDS("map after destroy", map_after_destroy, BAD, BUFFER),
	ENDS("free after destroy", free_after_destroy, BAD, BUFFER),
	ENDS("write after destroy", write_after_destroy, BAD, BUFFER),
	CRASHES("malloc from NULL", malloc_from_null, UNDEFINED),
	CRASHES("free to NULL", free_to_null, UNDEFINED),
	CRASHES("map from NULL", map_from_null, UNDEFINED),
};

static bool applies(const struct deed *deed, bool fixed)
{
	unsigned not_here = (ZS_DEBUG ? PLAIN : DEBUGGED) | (UNDER_ASAN ? UNDEFINED : 0) |
			    (sizeof(zs_handle) < 8 ? TAGGED : 0);

	if (deed->where & not_here)
		return false;
	return !(deed->where & (fixed ? PROCESS : BUFFER));
}

static int do_deed(void *arg)
{
	const struct deed *deed = arg;

	set_scene();
	if (deed->choose)
		deed->choose();
	deed->commit();
	return 0;
}

/* What standard error has to hold. The pool that is used wrongly is not always the same one. */
static void expected_text(const struct deed *deed, char *text, size_t size)
{
	bool bystander = deed->commit == free_with_other_pool ||
			 deed->commit == unmap_with_other_pool;

	text[0] = 0;
	if (deed->text)
		snprintf(text, size, "zsmalloc: pool \"%s\": handle 0x%" PRIxPTR ": %s\n",
			 bystander ? "bystander" : "culprit", crime->handle, deed->text);
}

static bool ends_as_promised(const struct deed *deed, const char *habitat)
{
	char text[256];
	struct child child;

	run_child(do_deed, (void *)(uintptr_t)deed, &child);
	expected_text(deed, text, sizeof(text));
	if (child.signal == deed->signal && strcmp(child.text, text) == 0 &&
	    (deed->signal || child.code == 0))
		return true;
	print_error("%s (%s): signal %d, code %d: %s  instead of signal %d: %s\n", deed->name,
		    habitat, child.signal, child.code, child.text, deed->signal, text);
	return false;
}

static void misuse_ends_as_the_manual_says(void **state)
{
	const struct habitat *habitat = *state;
	const char *name = habitat->fixed ? "fixed buffer" : "process";
	unsigned programs = 0, wrong = 0;

	crime->fixed = habitat->fixed;
	for (size_t i = 0; i < COUNT_OF(deeds); i++) {
		if (!applies(&deeds[i], habitat->fixed))
			continue;
		programs++;
		wrong += !ends_as_promised(&deeds[i], name);
	}
	print_message("%s, %s build: %u programs that do one wrong thing, %u ended otherwise\n",
		      name, ZS_DEBUG ? "debug" : "normal", programs, wrong);
	assert_int_equal(wrong, 0);
	assert_true(programs >= 40);
}

static void the_manual_promises_each_line(void **state)
{
	FILE *manual = fopen(MANUAL, "r");
	char line[512];
	unsigned found = 0;

	(void)state;
	if (!manual) {
		print_message("skipped: no %s\n", MANUAL);
		skip();
	}
	while (fgets(line, sizeof(line), manual)) {
		for (size_t i = 0; i < COUNT_OF(texts); i++) {
			size_t length = strlen(texts[i]);

			found += strncmp(line, ".Dl ", 4) == 0 &&
				 strncmp(line + 4, texts[i], length) == 0 &&
				 line[4 + length] == '\n';
		}
	}
	fclose(manual);
	assert_int_equal(found, COUNT_OF(texts));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BOTH_HABITATS(misuse_ends_as_the_manual_says),
		cmocka_unit_test(the_manual_promises_each_line),
	};

	crime = mmap(NULL, sizeof(*crime), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (crime == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests_name("misuse lines", tests, NULL, NULL);
}
