/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The bytes of a slot. With contiguous addresses a slot is simply there; without,
 * it may begin on one page of its zspage and end on the next.
 */
#include "core/core.h"

static char *page_address(const struct zs_pool *pool, const struct size_class *class,
			  struct zspage *zspage, size_t offset)
{
	uint32_t page = zs_page_list(class, zspage)[offset >> pool->page_shift];

	return pool->meta_base + ((size_t)page << pool->page_shift) +
	       (offset & (pool->page_size - 1));
}

bool zs_straddles(const struct zs_pool *pool, const struct size_class *class, unsigned slot)
{
	size_t start = (size_t)slot * class->size;

	return !pool->contiguous &&
	       start >> pool->page_shift != (start + class->size - 1) >> pool->page_shift;
}

/* The address of a slot that does not straddle. */
char *zs_slot_address(const struct zs_pool *pool, const struct size_class *class,
		      struct zspage *zspage, unsigned slot)
{
	size_t offset = (size_t)slot * class->size;

	if (likely(pool->contiguous))
		return zs_contiguous_address(pool, zspage, slot);
	return page_address(pool, class, zspage, offset);
}

/* How much of len bytes from offset on lies on one page. */
static size_t on_page(const struct zs_pool *pool, size_t offset, size_t len)
{
	size_t left = pool->page_size - (offset & (pool->page_size - 1));

	return len < left ? len : left;
}

void zs_slot_read(const struct zs_pool *pool, const struct size_class *class, struct zspage *zspage,
		  unsigned slot, size_t offset, void *to, size_t len)
{
	if (pool->contiguous) {
		__builtin_memcpy(to, zs_slot_address(pool, class, zspage, slot) + offset, len);
		return;
	}
	offset += (size_t)slot * class->size;
	for (char *out = to; len;) {
		size_t part = on_page(pool, offset, len);

		__builtin_memcpy(out, page_address(pool, class, zspage, offset), part);
		out += part;
		offset += part;
		len -= part;
	}
}

void zs_slot_write(const struct zs_pool *pool, const struct size_class *class,
		   struct zspage *zspage, unsigned slot, size_t offset, const void *from,
		   size_t len)
{
	if (pool->contiguous) {
		__builtin_memcpy(zs_slot_address(pool, class, zspage, slot) + offset, from, len);
		return;
	}
	offset += (size_t)slot * class->size;
	for (const char *in = from; len;) {
		size_t part = on_page(pool, offset, len);

		__builtin_memcpy(page_address(pool, class, zspage, offset), in, part);
		in += part;
		offset += part;
		len -= part;
	}
}

/* Calls visit for each piece of a slot that lies on one page, while it returns true. */
static bool each_piece(const struct zs_pool *pool, const struct size_class *class,
		       struct zspage *zspage, unsigned slot, bool (*visit)(char *at, size_t bytes))
{
	size_t start = (size_t)slot * class->size;

	if (pool->contiguous)
		return visit(zs_slot_address(pool, class, zspage, slot), class->size);
	for (size_t done = 0; done < class->size;) {
		size_t part = on_page(pool, start + done, class->size - done);

		if (!visit(page_address(pool, class, zspage, start + done), part))
			return false;
		done += part;
	}
	return true;
}

static bool zero(char *at, size_t bytes)
{
	__builtin_memset(at, 0, bytes);
	return true;
}

static bool is_zero(char *at, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		if (at[i])
			return false;
	}
	return true;
}

void zs_slot_zero(const struct zs_pool *pool, const struct size_class *class, struct zspage *zspage,
		  unsigned slot)
{
	each_piece(pool, class, zspage, slot, zero);
}

bool zs_slot_is_zero(const struct zs_pool *pool, const struct size_class *class,
		     struct zspage *zspage, unsigned slot)
{
	return each_piece(pool, class, zspage, slot, is_zero);
}

void zs_slot_copy(const struct zs_pool *pool, const struct size_class *class, struct zspage *to,
		  unsigned to_slot, struct zspage *from, unsigned from_slot)
{
	size_t start = (size_t)from_slot * class->size;

	if (pool->contiguous) {
		__builtin_memcpy(zs_slot_address(pool, class, to, to_slot),
				 zs_slot_address(pool, class, from, from_slot), class->size);
		return;
	}
	for (size_t done = 0; done < class->size;) {
		size_t part = on_page(pool, start + done, class->size - done);

		zs_slot_write(pool, class, to, to_slot, done,
			      page_address(pool, class, from, start + done), part);
		done += part;
	}
}
