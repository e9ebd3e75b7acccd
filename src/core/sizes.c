/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Which size belongs to which size class. Classes are one alignment apart up to
 * 512 alignments, then 256 to each doubling, so that rounding costs at most
 * 1/256 of an object. Not all of them are in use: see alloc.c for how they open.
 */
#include "core/core.h"

#define OCTAVE_SHIFT 8 /* classes a doubling, as a shift */

unsigned zs_class_of_units(const struct zs_pool *pool, uint32_t units)
{
	unsigned class;

	if (likely(units <= LINEAR_CLASSES)) {
		class = units - 1;
	} else {
		unsigned octave = bit_last((units - 1) / LINEAR_CLASSES);
		uint32_t above = units - (LINEAR_CLASSES << octave);

		class = LINEAR_CLASSES + (octave << OCTAVE_SHIFT) + ((above - 1) >> (octave + 1));
	}
	return class < pool->min_class ? pool->min_class : class;
}

size_t zs_class_size(const struct zs_pool *pool, unsigned class)
{
	size_t largest = pool->max_object_size + ZS_FOOTER + pool->alignment - 1;
	size_t units = class + 1;

	if (class >= LINEAR_CLASSES) {
		unsigned octave = (class - LINEAR_CLASSES) >> OCTAVE_SHIFT;
		size_t step = ((class - LINEAR_CLASSES) & ((1u << OCTAVE_SHIFT) - 1)) + 1;

		units = ((size_t)LINEAR_CLASSES << octave) + (step << (octave + 1));
	}
	largest -= largest & (pool->alignment - 1);
	/* Even if no object may be as large as the smallest class. */
	size_t smallest = (size_t)(pool->min_class + 1) << pool->alignment_shift;
	largest = largest < smallest ? smallest : largest;
	return units << pool->alignment_shift < largest ? units << pool->alignment_shift : largest;
}

/*
 * A zspage's descriptor with its map and, in the scattered habitat, its list of pages. Rounded to
 * few sizes, those of other chunks among them: each further size would cost a pool a metadata
 * page, most of which nothing else can use.
 */
size_t zs_descriptor_bytes(const struct zs_pool *pool, size_t slots, size_t pages)
{
	const size_t sizes[] = { 48, 128, 256, pool->block_handles * sizeof(uint32_t) };
	size_t most = pool->page_size - META_HEAD;
	size_t bytes = sizeof(struct zspage) + (slots + 63) / 64 * 8;

	if (!pool->contiguous)
		bytes += pages * sizeof(uint32_t);
	size_t step = (size_t)1 << bit_last((uint32_t)bytes - 1) >> 1;
	size_t rounded = (bytes + step - 1) & ~(step - 1);
	for (unsigned i = sizeof(sizes) / sizeof(sizes[0]); i-- > 0;) {
		if (bytes <= sizes[i])
			rounded = sizes[i];
	}
	return bytes < most && rounded > most ? most : rounded;
}

/*
 * How many pages a zspage of the class has: the number that leaves the smallest
 * part of it over (the seed's get_pages_per_zspage()). Of equals the largest:
 * pages become real one by one, and so cost nothing before.
 */
void zs_init_class(const struct zs_pool *pool, struct size_class *class, unsigned index)
{
	size_t size = zs_class_size(pool, index);
	unsigned most = pool->contiguous ? ZS_RANGE_PAGES : 16;
	size_t best_slots = 1, best_bytes = size; /* as if nothing fitted worse */
	size_t best_waste = size;

	for (unsigned pages = 1; pages <= most; pages++) {
		size_t bytes = (size_t)pages << pool->page_shift;
		size_t slots = bytes / size;
		if (slots == 0)
			continue;
		if (slots > MAX_SLOTS ||
		    zs_descriptor_bytes(pool, slots, pages) > pool->page_size - META_HEAD)
			break;
		size_t waste = bytes - slots * size;
		if ((uint64_t)waste * best_bytes <= (uint64_t)best_waste * bytes) {
			best_slots = slots;
			best_waste = waste;
			best_bytes = bytes;
		}
	}
	class->size = (uint32_t)size;
	class->pages_per_zspage = (uint16_t)(best_bytes >> pool->page_shift);
	class->slots = (uint16_t)best_slots;
	class->band_factor = (uint32_t)((10u << 16) / best_slots);
}

/* At first one class in eight is open, and the largest. */
uint32_t zs_first_open(const struct zs_pool *pool, unsigned run)
{
	uint32_t open = UINT32_C(0x80808080);
	unsigned base = run * SHARD_CLASSES;

	if (pool->nclasses - base < SHARD_CLASSES) {
		open |= UINT32_C(1) << (pool->nclasses - 1 - base);
		open &= UINT32_MAX >> (SHARD_CLASSES - (pool->nclasses - base));
	}
	if (pool->min_class > base && pool->min_class - base < SHARD_CLASSES)
		open &= UINT32_MAX << (pool->min_class - base);
	return open;
}

unsigned zs_lookup_class_index(struct zs_pool *pool, size_t size)
{
	if (size == 0)
		size = 1;
	return zs_class_of(pool, size < pool->max_object_size ? size : pool->max_object_size);
}

unsigned zs_class_count(struct zs_pool *pool)
{
	return pool->nclasses;
}

/*
 * From the class of a page's size down: a class is huge as long as its zspages
 * have no more slots than pages.
 */
size_t zs_huge_class_size(struct zs_pool *pool)
{
	size_t page = pool->page_size;
	struct size_class class = { 0 };

	if (pool->max_object_size < page)
		return page;
	for (unsigned index = zs_class_of(pool, page - ZS_FOOTER); index > pool->min_class;
	     index--) {
		zs_init_class(pool, &class, index - 1);
		if (class.slots > class.pages_per_zspage)
			return class.size - ZS_FOOTER + 1;
	}
	return 1;
}
