/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Mapping objects: a pin, and an address. Where a slot straddles scattered pages
 * the address is that of a map buffer, filled and written back as the mode asks.
 */
#include "core/quick.h"

/* Where an object is, looked up once its shard is locked. */
struct place {
	struct size_class *class;
	struct zspage *zspage;
	unsigned slot;
};

static struct place place_of(const struct zs_pool *pool, const struct zs_object *object)
{
	uint32_t loc = *object->entry & LOC_MASK;
	struct zspage *zspage = zs_zspage(pool, object->shard, loc >> SLOT_BITS);

	return (struct place){ &object->shard->class[zspage->class], zspage,
			       loc & (MAX_SLOTS - 1) };
}

/* What the user may have of a slot. */
static size_t usable(const struct zs_pool *pool, const struct place *place)
{
	size_t size = place->class->size - ZS_FOOTER;

	return size < pool->max_object_size ? size : pool->max_object_size;
}

static bool straddles(const struct zs_pool *pool, const struct place *place)
{
	return unlikely(!pool->contiguous) && zs_straddles(pool, place->class, place->slot);
}

#if ZS_DEBUG
static struct debug_slot debug_slot(const struct zs_pool *pool, const struct place *place)
{
	return (struct debug_slot){ pool, place->class, place->zspage, place->slot };
}
#endif

/* --- map buffers; pool lock --- */

static struct map_buffer *find_buffer(struct zs_pool *pool, zs_handle handle)
{
	for (unsigned i = 0; i < pool->map_buffers; i++) {
		if (pool->buffers[i].handle == handle)
			return &pool->buffers[i];
	}
	return NULL;
}

static char *buffer_memory(const struct zs_pool *pool, const struct map_buffer *buffer)
{
	return pool->map_memory + (size_t)(buffer - pool->buffers) * pool->map_bytes;
}

/*
 * The bytes of an object that need not be read when it is mapped to be written:
 * all, but debug builds want what lies behind the object back as it was.
 */
static size_t unread(const struct zs_pool *pool, const struct place *place)
{
#if ZS_DEBUG
	struct debug_slot slot = debug_slot(pool, place);

	return zs_debug_size(&slot);
#else
	(void)pool;
	return place->class->size;
#endif
}

/* All maps of a straddling object share one buffer, so that they see each other. */
static char *map_straddling(struct zs_pool *pool, const struct zs_object *object,
			    const struct place *place, enum zs_mapmode mode)
{
	zs_lock(pool, &pool->lock);
	struct map_buffer *buffer = find_buffer(pool, object->handle);
	if (!buffer) {
		buffer = find_buffer(pool, 0);
		size_t from = mode == ZS_MM_WO ? unread(pool, place) : 0;
		if (buffer)
			zs_slot_read(pool, place->class, place->zspage, place->slot, from,
				     buffer_memory(pool, buffer) + from, place->class->size - from);
	}
	char *address = NULL;
	if (buffer) {
		buffer->handle = object->handle;
		buffer->maps++;
		if (mode != ZS_MM_RO)
			buffer->dirty = buffer->handle;
		address = buffer_memory(pool, buffer);
	}
	zs_unlock(&pool->lock);
	return address;
}

/* Whether a buffer that was only to be read still is what the object is. */
static bool buffer_unwritten(struct zs_pool *pool, const struct map_buffer *buffer,
			     const struct place *place)
{
#if ZS_DEBUG
	for (size_t i = 0; i < usable(pool, place); i++) {
		char byte;

		zs_slot_read(pool, place->class, place->zspage, place->slot, i, &byte, 1);
		if (byte != buffer_memory(pool, buffer)[i])
			return false;
	}
#else
	(void)pool, (void)buffer, (void)place;
#endif
	return true;
}

/* Objects pinned by zs_obj_read_begin() have no buffer. Returns whether all is well. */
static bool unmap_straddling(struct zs_pool *pool, const struct zs_object *object)
{
	struct place where = place_of(pool, object), *place = &where;
	bool intact = true;

	if (!straddles(pool, place))
		return true;
	zs_lock(pool, &pool->lock);
	struct map_buffer *buffer = find_buffer(pool, object->handle);
	if (buffer && --buffer->maps == 0) {
		if (buffer->dirty)
			zs_slot_write(pool, place->class, place->zspage, place->slot, 0,
				      buffer_memory(pool, buffer),
				      place->class->size - ZS_FOOTER + ZS_CANARY);
		else
			intact = buffer_unwritten(pool, buffer, place);
		if (pool->zero_on_free)
			__builtin_memset(buffer_memory(pool, buffer), 0, place->class->size);
		buffer->handle = 0;
		buffer->dirty = 0;
	}
	zs_unlock(&pool->lock);
	return intact;
}

/* --- the calls --- */

/* Any object; its shard is locked. */
static NOINLINE void *map_found(struct zs_pool *pool, struct zs_object object, enum zs_mapmode mode)
{
	char *address;
	int error;

	struct place place = place_of(pool, &object);
#if ZS_DEBUG
	bool first = !zs_entry_pins(*object.entry);
#endif
	error = zs_pin(pool, &object);
	if (unlikely(error)) {
		error = ZS_ENOMEM;
		address = NULL;
	} else if (straddles(pool, &place)) {
		address = map_straddling(pool, &object, &place, mode);
		if (!address) {
			zs_unpin(pool, &object);
			error = ZS_EBUSY;
		}
	} else {
		address = zs_slot_address(pool, place.class, place.zspage, place.slot);
	}
#if ZS_DEBUG
	if (address) {
		struct debug_slot slot = debug_slot(pool, &place);
		zs_debug_map(&slot, mode, first);
	}
#endif
	(void)mode;
	zs_unlock(&object.shard->lock);
	if (unlikely(error))
		zs_fail(pool, error);
	return address;
}

/* Whether a pin is a number in the entry, and an address a sum. */
static inline bool is_simple(const struct zs_pool *pool, uint32_t entry)
{
	return !ZS_DEBUG && likely(pool->contiguous) &&
	       likely(zs_entry_pins(entry) < PINS_MANY - 1);
}

static NOINLINE void *map_locked(struct zs_pool *pool, zs_handle handle, enum zs_mapmode mode)
{
	struct zs_object object;

	if (unlikely(!zs_find(pool, handle, &object)))
		return NULL;
	uint32_t entry = *object.entry;
	if (unlikely(!is_simple(pool, entry)))
		return map_found(pool, object, mode);
	*object.entry = entry + PIN_ONE;
	object.shard->pinned += zs_entry_pins(entry) == 0;
	const struct zspage *zspage =
		zs_zspage(pool, object.shard, (entry & LOC_MASK) >> SLOT_BITS);
	char *address = zs_contiguous_address(pool, zspage, entry & (MAX_SLOTS - 1));
	zs_unlock(&object.shard->lock);
	return address;
}

/*
 * For one who is alone: makes an object the recent one. False: there is more to it than a handle
 * that leads to an object at an address.
 */
static ALWAYS_INLINE bool recall(struct zs_pool *pool, zs_handle handle)
{
	struct zs_object object;

	if (unlikely(!zs_find_alone(pool, handle, &object)))
		return false;
	zs_remember(pool, handle, object.entry, object.shard,
		    zs_zspage(pool, object.shard, (*object.entry & LOC_MASK) >> SLOT_BITS),
		    *object.entry & (MAX_SLOTS - 1));
	return true;
}

/* Maps the recent object, if it is not mapped. */
static ALWAYS_INLINE bool pin_recent(struct zs_pool *pool)
{
	if (unlikely(*pool->recent.entry & PIN_MASK))
		return false;
	*pool->recent.entry += PIN_ONE;
	pool->recent.shard->pinned++;
	return true;
}

static NOINLINE void *map_another(struct zs_pool *pool, zs_handle handle, enum zs_mapmode mode)
{
	if (zs_is_alone(pool) && likely(recall(pool, handle)) && likely(pin_recent(pool)))
		return pool->recent.address;
	return map_locked(pool, handle, mode);
}

void *zs_map_object(struct zs_pool *pool, zs_handle handle, enum zs_mapmode mode)
{
	if (zs_is_alone(pool) && zs_is_recent(pool, handle) && likely(pin_recent(pool)))
		return pool->recent.address;
	return map_another(pool, handle, mode);
}

/* Takes a pin off any object, whose shard is locked; buffered: a straddling one has a buffer. */
static NOINLINE void unmap_found(struct zs_pool *pool, struct zs_object object, bool buffered)
{
	enum zs_misuse fault = ZS_MISUSE_NOT_MAPPED;
	bool fine = false;

	if (likely(zs_entry_pins(*object.entry))) {
		fine = true;
		if (unlikely(!pool->contiguous) && buffered && !unmap_straddling(pool, &object)) {
			fault = ZS_MISUSE_RO_WRITTEN;
			fine = false;
		}
		bool last = zs_unpin(pool, &object);
		(void)last;
#if ZS_DEBUG
		struct place place = place_of(pool, &object);
		struct debug_slot slot = debug_slot(pool, &place);
		if (!zs_debug_intact(&slot)) {
			fault = ZS_MISUSE_OVERRUN;
			fine = false;
		} else if (last && !zs_debug_ro_intact(&slot)) {
			fault = ZS_MISUSE_RO_WRITTEN;
			fine = false;
		}
#endif
	}
	zs_unlock(&object.shard->lock);
	if (unlikely(!fine))
		zs_misuse(pool, fault, object.handle);
}

static NOINLINE void unmap_locked(struct zs_pool *pool, zs_handle handle, bool buffered)
{
	struct zs_object object;

	if (unlikely(!zs_find(pool, handle, &object)))
		return;
	uint32_t entry = *object.entry, pins = zs_entry_pins(entry);
	if (unlikely(!is_simple(pool, entry)) || unlikely(!pins)) {
		unmap_found(pool, object, buffered);
		return;
	}
	*object.entry = entry - PIN_ONE;
	object.shard->pinned -= pins == 1;
	zs_unlock(&object.shard->lock);
}

/* Takes the only pin off the recent object. */
static ALWAYS_INLINE bool unpin_recent(struct zs_pool *pool)
{
	if (unlikely((*pool->recent.entry & PIN_MASK) != PIN_ONE))
		return false;
	*pool->recent.entry -= PIN_ONE;
	pool->recent.shard->pinned--;
	return true;
}

static ALWAYS_INLINE void unmap(struct zs_pool *pool, zs_handle handle, bool buffered)
{
	if (!zs_is_alone(pool) || !zs_is_recent(pool, handle) || unlikely(!unpin_recent(pool)))
		unmap_locked(pool, handle, buffered);
}

void zs_unmap_object(struct zs_pool *pool, zs_handle handle)
{
	unmap(pool, handle, true);
}

void *zs_obj_read_begin(struct zs_pool *pool, zs_handle handle, void *local_copy)
{
	struct zs_object object;
	void *address = NULL;

	if (zs_is_alone(pool) && likely(recall(pool, handle)) && likely(pin_recent(pool)))
		return pool->recent.address;

	if (unlikely(!zs_find(pool, handle, &object)))
		return NULL;
	struct place place = place_of(pool, &object);
#if ZS_DEBUG
	bool first = !zs_entry_pins(*object.entry);
#endif
	int error = zs_pin(pool, &object);
	if (likely(!error)) {
		address = local_copy;
		if (straddles(pool, &place))
			zs_slot_read(pool, place.class, place.zspage, place.slot, 0, local_copy,
				     usable(pool, &place));
		else
			address = zs_slot_address(pool, place.class, place.zspage, place.slot);
#if ZS_DEBUG
		struct debug_slot slot = debug_slot(pool, &place);
		zs_debug_map(&slot, ZS_MM_RO, first);
#endif
	}
	zs_unlock(&object.shard->lock);
	if (unlikely(error))
		zs_fail(pool, ZS_ENOMEM);
	return address;
}

void zs_obj_read_end(struct zs_pool *pool, zs_handle handle, void *handle_mem)
{
	(void)handle_mem;
	unmap(pool, handle, false);
}

/* Writes to the recent object, if that fits. */
static ALWAYS_INLINE bool write_recent(struct zs_pool *pool, const void *mem, size_t len)
{
	uint32_t index = (*pool->recent.entry & LOC_MASK) >> SLOT_BITS;

	if (unlikely(len > zs_zspage(pool, pool->recent.shard, index)->size) ||
	    unlikely(len > pool->max_object_size))
		return false;
	__builtin_memcpy(pool->recent.address, mem, len);
	return true;
}

void zs_obj_write(struct zs_pool *pool, zs_handle handle, const void *mem, size_t len)
{
	struct zs_object object;

	if (zs_is_alone(pool) && zs_is_recent(pool, handle) && likely(write_recent(pool, mem, len)))
		return;

	if (unlikely(!zs_find(pool, handle, &object)))
		return;
	struct place place = place_of(pool, &object);
	bool fits = len <= usable(pool, &place);
#if ZS_DEBUG
	struct debug_slot slot = debug_slot(pool, &place);
	fits = fits && zs_debug_intact(&slot);
	if (fits)
		zs_debug_extend(&slot, len);
	if (fits && zs_entry_pins(*object.entry))
		zs_debug_map(&slot, ZS_MM_RW, false);
#endif
	if (likely(fits))
		zs_slot_write(pool, place.class, place.zspage, place.slot, 0, mem, len);
	zs_unlock(&object.shard->lock);
	if (unlikely(!fits))
		zs_misuse(pool, ZS_MISUSE_OVERRUN, handle);
}

size_t zs_object_size(struct zs_pool *pool, zs_handle handle)
{
	struct zs_object object;

	if (unlikely(!zs_find(pool, handle, &object)))
		return 0;
	struct place place = place_of(pool, &object);
	size_t size = usable(pool, &place);
	zs_unlock(&object.shard->lock);
	return size;
}
