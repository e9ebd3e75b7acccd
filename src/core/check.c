/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * zs_check(): recomputes from the bitmaps and the handle entries everything that
 * the pool believes of itself, and compares. All locks are held.
 */
#include "core/quick.h"
#include "core/text.h"

struct check {
	struct zs_pool *pool;
	const struct shard *shard; /* under the glass, NULL: the pool itself */
	zs_report_fn *report;
	void *data;
	unsigned long broken;
	uint64_t data_pages; /* of all shards so far */
	uint64_t kept, left, busy;
	size_t blocks;                  /* handle blocks of all shards so far */
	size_t meta_pages, used_blocks; /* of all metadata pages so far */
	uint64_t places;                /* of all zspages so far */
	unsigned buffers;               /* map buffers of mapped objects */
	unsigned shards;
};

/* Notes one broken invariant; which and of: "zspage 17", "class 3". */
static void broken(struct check *check, const char *what, const char *which, uint64_t of)
{
	struct line line = { .length = 0 };

	check->broken++;
	if (!check->report)
		return;
	if (check->shard) {
		say(&line, "shard ");
		say_number(&line, check->shard->self);
		say(&line, ", ");
	}
	say(&line, which);
	say(&line, " ");
	say_number(&line, of);
	say(&line, ": ");
	say(&line, what);
	check->report(line.text, check->data);
}

/* Whether a reference can be followed at all. */
static bool leads_somewhere(const struct check *check, zs_ref ref)
{
	return ref && ref < load_relaxed(&check->pool->meta_end);
}

static void expect(struct check *check, bool holds, const char *what, const char *which,
		   uint64_t of)
{
	if (!holds)
		broken(check, what, which, of);
}

/* --- what never changes --- */

static uint64_t sum_of(const uint64_t *values, size_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum = zs_mix(sum + values[i] + 1);
	return sum;
}

#define NUMBER(value) ((uint64_t)(uintptr_t)(value))

uint64_t zs_sum_of_constants(const struct zs_pool *pool)
{
	uint64_t name[NAME_BYTES];
	const uint64_t values[] = {
		NUMBER(pool->port),
		NUMBER(pool->alone),
		pool->page_size,
		pool->page_shift,
		pool->contiguous,
		pool->zero_on_free,
		pool->max_object_size,
		pool->alignment,
		pool->alignment_shift,
		pool->min_class,
		pool->nclasses,
		pool->nruns,
		pool->ztab_shift,
		pool->ztab_mask,
		NUMBER(pool->meta_base),
		NUMBER(pool->data_base),
		pool->range_bytes,
		pool->block_handles,
		pool->handle_bits,
		pool->gen_pos,
		pool->tag_pos,
		pool->tag_bits,
		pool->gen_mask,
		pool->ref_mask,
		pool->short_tag,
		pool->low_mask,
		pool->tag_mask,
		pool->tag_factor,
		pool->secret,
		NUMBER(pool->chunk_lists),
		NUMBER(pool->runs),
		pool->compaction,
		pool->slack,
		NUMBER(pool->on_misuse),
		NUMBER(pool->on_leak),
		NUMBER(pool->hook_data),
		pool->map_buffers,
		NUMBER(pool->buffers),
		NUMBER(pool->map_memory),
		pool->map_bytes,
		NUMBER(pool->shard_memory),
	};

	for (unsigned i = 0; i < NAME_BYTES; i++)
		name[i] = (unsigned char)pool->name[i];
	return sum_of(values, sizeof(values) / sizeof(values[0])) ^ sum_of(name, NAME_BYTES);
}

uint64_t zs_sum_of_port(const struct zs_port *port)
{
	const uint64_t values[] = {
		NUMBER(port->ops),   port->page_size,         NUMBER(port->meta_base),
		port->meta_pages,    NUMBER(port->data_base), NUMBER(port->pool_memory),
		NUMBER(port->alone),
	};

	return sum_of(values, sizeof(values) / sizeof(values[0]));
}

/* Whether what leads to everything else can be followed. */
static bool check_constants(struct check *check)
{
	const struct zs_pool *pool = check->pool;
	bool same = pool->sum == zs_sum_of_constants(pool) &&
		    pool->port_sum == zs_sum_of_port(pool->port);

	expect(check, same, "a constant has changed", "pool", 0);
	return same;
}

/* --- zspages --- */

/* What all zspages of a class add up to. */
struct sums {
	uint64_t inuse, room, zspages, pages;
	uint64_t above; /* objects at or above a source's limit */
	uint64_t left;  /* pages above the limit of one that has them left */
	uint64_t grouped[NR_GROUPS];
};

static unsigned bits_below(const struct zspage *zspage, unsigned words, unsigned limit)
{
	unsigned count = 0;

	for (unsigned w = 0; w < words; w++) {
		uint64_t mask = limit >= (w + 1) * 64 ? UINT64_MAX
				: limit > w * 64      ? (UINT64_C(1) << (limit - w * 64)) - 1
						      : 0;
		count += bit_count64(zspage->map[w] & mask);
	}
	return count;
}

static void check_hint(struct check *check, const struct zspage *zspage, uint32_t index)
{
	for (unsigned w = 0; w < zspage->hint; w++) {
		unsigned end = zspage->limit < (w + 1) * 64 ? zspage->limit % 64 : 64;
		uint64_t mask = end == 64 ? UINT64_MAX : (UINT64_C(1) << end) - 1;

		if (zspage->limit > w * 64 && ~zspage->map[w] & mask)
			broken(check, "a free slot lies below the hint", "zspage", index);
	}
}

/* Where freed memory is zeroed, free slots are zero. */
static void check_zeroed(struct check *check, const struct size_class *class, uint32_t index,
			 unsigned real)
{
	struct zspage *zspage = zs_zspage(check->pool, check->shard, index);

	/* Where something is wrong already its bytes may lie anywhere. */
	if (!check->pool->zero_on_free || check->broken)
		return;
	for (unsigned slot = 0; slot < real; slot++) {
		if (!(zspage->map[slot / 64] >> slot % 64 & 1) &&
		    !zs_slot_is_zero(check->pool, class, zspage, slot))
			broken(check, "a free slot is not zero", "zspage", index);
	}
}

/* Where its pages are. */
static void add_places(struct check *check, const struct size_class *class,
		       const struct zspage *zspage)
{
	const uint32_t *list = (const uint32_t *)(const void *)(zspage->map + zs_map_words(class));

	if (check->pool->contiguous)
		check->places += zs_mix(zspage->range);
	for (unsigned page = 0; !check->pool->contiguous && page < zspage->pages; page++)
		check->places += zs_mix(list[page]);
}

static void check_zspage(struct check *check, const struct zspage *zspage, uint32_t index,
			 struct sums *sums)
{
	const struct size_class *class = &check->shard->class[zspage->class];
	unsigned all = bits_below(zspage, zs_map_words(class), zs_map_words(class) * 64u);
	unsigned real = zs_real_slots(check->pool, class, zspage);
	unsigned low = bits_below(zspage, zs_map_words(class), zspage->limit);
	bool source = zspage->flags & ZSPAGE_SOURCE, busy = zspage->flags & ZSPAGE_BUSY;

	expect(check, all == zspage->inuse, "inuse is not the number of bits in the map", "zspage",
	       index);
	expect(check, bits_below(zspage, zs_map_words(class), real) == all,
	       "a slot is in use where no page is", "zspage", index);
	expect(check, zspage->size == class->size, "size is not that of its class", "zspage",
	       index);
	expect(check, zspage->pages <= class->pages_per_zspage, "more pages than the class allows",
	       "zspage", index);
	expect(check, source || busy ? zspage->limit <= real : zspage->limit == real,
	       "limit is not the end of the complete slots", "zspage", index);
	bool left = zspage->flags & ZSPAGE_LEFT;
	expect(check, !source || left == (check->shard->pass == PASS_IDLE),
	       "is a source without a pass", "zspage", index);
	expect(check, !left || (source && all == low),
	       "waits to be given back, and is not empty there", "zspage", index);
	expect(check, !source || check->shard->sources[index / 32] >> index % 32 & 1,
	       "is a source that compaction does not see", "zspage", index);
	expect(check, zspage->room == zspage->limit - low, "room is not the free slots below limit",
	       "zspage", index);
	expect(check, zspage->group == zs_group_of(class, zspage), "is in the wrong group",
	       "zspage", index);
	expect(check, zspage->inuse || zspage->flags & (ZSPAGE_KEPT | ZSPAGE_BUSY | ZSPAGE_SOURCE),
	       "is empty but was not given back", "zspage", index);
	expect(check, !(zspage->flags & ZSPAGE_KEPT) || !zspage->inuse, "is kept but not empty",
	       "zspage", index);
	expect(check, !(zspage->flags & ZSPAGE_PINNED) || check->shard->met_pinned,
	       "is left alone for good", "zspage", index);
	expect(check,
	       !(zspage->flags &
		 ~(ZSPAGE_SOURCE | ZSPAGE_BUSY | ZSPAGE_KEPT | ZSPAGE_PINNED | ZSPAGE_LEFT)),
	       "has a flag that is none", "zspage", index);
	check_hint(check, zspage, index);
	check_zeroed(check, class, index, real);
	add_places(check, class, zspage);

	sums->inuse += zspage->inuse;
	sums->room += zspage->room;
	sums->pages += zspage->pages;
	sums->zspages++;
	sums->above += source ? all - low : 0;
	if (zspage->group < NR_GROUPS)
		sums->grouped[zspage->group]++;
	sums->left += left ? zs_pages_to_leave(check->pool, check->shard, zspage) : 0;
	check->kept += zspage->flags & ZSPAGE_KEPT ? zspage->pages : 0;
	check->busy += busy;
}

static void check_list(struct check *check, const struct size_class *class, unsigned index,
		       unsigned group, uint64_t length)
{
	const struct shard *shard = check->shard;
	uint32_t previous = 0, next = class->head[group];
	uint64_t seen = 0;

	expect(check, !next == !(class->groups >> group & 1), "groups and list heads disagree",
	       "class", index);
	for (; next && seen <= length; seen++) {
		if (next > shard->nzspages || *zs_table(check->pool, shard, next - 1) & ZTAB_FREE) {
			broken(check, "a list leads to no zspage", "class", index);
			return;
		}
		const struct zspage *zspage = zs_zspage(check->pool, shard, next - 1);
		expect(check, zspage->prev == previous, "a list's back link is wrong", "zspage",
		       next - 1);
		expect(check, zspage->group == group && &shard->class[zspage->class] == class,
		       "is on a list that is not its own", "zspage", next - 1);
		previous = next;
		next = zspage->next;
	}
	expect(check, seen == length, "a list has not as many zspages as the group", "class",
	       index);
}

static void check_geometry(struct check *check, const struct size_class *class, unsigned index)
{
	struct size_class fresh = { 0 };

	if (index < check->pool->min_class || index >= check->pool->nclasses)
		return;
	zs_init_class(check->pool, &fresh, index);
	expect(check,
	       class->size == fresh.size && class->slots == fresh.slots &&
		       class->pages_per_zspage == fresh.pages_per_zspage &&
		       class->band_factor == fresh.band_factor,
	       "geometry changed", "class", index);
}

static unsigned count_unused(struct check *check)
{
	const struct shard *shard = check->shard;
	unsigned count = 0;

	for (uint32_t next = shard->free_zspage; next; count++) {
		if (next > shard->nzspages || count > shard->nzspages ||
		    !(*zs_table(check->pool, shard, next - 1) & ZTAB_FREE)) {
			broken(check, "the list of unused table entries is broken", "entry", next);
			break;
		}
		next = *zs_table(check->pool, shard, next - 1) & ~ZTAB_FREE;
	}
	return count;
}

/* Returns whether what follows can be trusted not to lead astray. */
static bool check_zspages(struct check *check)
{
	const struct shard *shard = check->shard;
	struct sums sums[SHARD_CLASSES] = { { 0 } };
	uint64_t room_bytes = 0, pages = 0, inuse = 0, above = 0, left = 0;
	unsigned unused = 0;

	for (uint32_t index = 0; index < shard->nzspages; index++) {
		if (*zs_table(check->pool, shard, index) & ZTAB_FREE) {
			unused++;
			continue;
		}
		if (!leads_somewhere(check, *zs_table(check->pool, shard, index))) {
			broken(check, "the table leads nowhere", "zspage", index);
			return false;
		}
		const struct zspage *zspage = zs_zspage(check->pool, shard, index);
		if (zspage->class >= SHARD_CLASSES || !shard->class[zspage->class].size) {
			broken(check, "has no class", "zspage", index);
			return false;
		}
		check_zspage(check, zspage, index, &sums[zspage->class]);
	}
	expect(check, count_unused(check) == unused, "unused table entries are lost", "table", 0);
	for (unsigned i = 0; i < SHARD_CLASSES; i++) {
		const struct size_class *class = &shard->class[i];

		check_geometry(check, class, shard->run * SHARD_CLASSES + i);
		expect(check, class->inuse == sums[i].inuse, "inuse is wrong", "class", i);
		expect(check, class->room == sums[i].room, "room is wrong", "class", i);
		expect(check, class->nzspages == sums[i].zspages, "nzspages is wrong", "class", i);
		expect(check, class->npages == sums[i].pages, "npages is wrong", "class", i);
		for (unsigned group = 0; group < NR_GROUPS; group++)
			check_list(check, class, i, group, sums[i].grouped[group]);
		inuse += class->inuse;
		room_bytes += sums[i].room * class->size;
		pages += sums[i].pages;
		above += sums[i].above;
		left += sums[i].left;
	}
	expect(check, shard->objects == inuse, "objects is not the slots in use", "objects", inuse);
	expect(check, shard->room_bytes == room_bytes, "room_bytes is wrong", "bytes", room_bytes);
	expect(check, shard->npages == pages, "npages is wrong", "pages", pages);
	expect(check, shard->to_move == above, "to_move is wrong", "objects", above);
	expect(check, load_relaxed(&shard->left_pages) == left, "left_pages is wrong", "pages",
	       left);
	check->left += left;
	check->data_pages += pages;
	return true;
}

/* --- handles --- */

static uint64_t sum_of_slots(const struct check *check)
{
	const struct shard *shard = check->shard;
	uint64_t sum = 0;

	for (uint32_t index = 0; index < shard->nzspages; index++) {
		if (*zs_table(check->pool, shard, index) & ZTAB_FREE)
			continue;
		const struct zspage *zspage = zs_zspage(check->pool, shard, index);
		const struct size_class *class = &shard->class[zspage->class % SHARD_CLASSES];
		for (unsigned slot = 0; slot < class->slots; slot++) {
			if (zspage->map[slot / 64] >> slot % 64 & 1)
				sum += zs_mix(index << SLOT_BITS | slot);
		}
	}
	return sum;
}

static uint64_t pins_counted(struct check *check, zs_handle handle)
{
	uint64_t count = 0;

	for (zs_ref next = check->shard->pin_counts; leads_somewhere(check, next);) {
		const struct pin_count *pins = zs_ptr(check->pool, next);

		if (pins->handle == handle)
			count += pins->count;
		next = pins->next;
	}
	return count;
}

struct entries {
	uint64_t live, pinned, many, slots;
};

/* The map buffer of a mapped object, if it has one. */
static void check_buffer(struct check *check, zs_handle handle, uint32_t entry)
{
	uint64_t pins = zs_entry_pins(entry);

	if (pins == PINS_MANY)
		pins = pins_counted(check, handle);
	for (unsigned i = 0; i < check->pool->map_buffers; i++) {
		const struct map_buffer *buffer = &check->pool->buffers[i];

		if (buffer->handle != handle)
			continue;
		check->buffers++;
		expect(check, buffer->maps && buffer->maps <= pins,
		       "its map buffer has not its maps", "entry", entry);
		expect(check, !buffer->dirty || buffer->dirty == handle,
		       "its map buffer is neither clean nor dirty", "entry", entry);
	}
}

static void check_entry(struct check *check, zs_ref ref, unsigned index, struct entries *entries)
{
	struct handle_block *block = zs_block(check->pool, ref);
	uint32_t entry = *zs_entry(check->pool, block, index);
	uint32_t loc = entry & LOC_MASK, zspage = loc >> SLOT_BITS, slot = loc & (MAX_SLOTS - 1);

	entries->live++;
	entries->slots += zs_mix(loc);
	entries->pinned += zs_entry_pins(entry) != 0;
	if (zspage >= check->shard->nzspages ||
	    *zs_table(check->pool, check->shard, zspage) & ZTAB_FREE) {
		broken(check, "leads to no zspage", "entry", entry);
		return;
	}
	const struct zspage *z = zs_zspage(check->pool, check->shard, zspage);
	const struct size_class *class = &check->shard->class[z->class % SHARD_CLASSES];
	expect(check, slot < class->slots && z->map[slot / 64] >> slot % 64 & 1,
	       "leads to a free slot", "entry", entry);
	zs_handle handle = zs_handle_of(check->pool, ref, index, entry >> GEN_SHIFT);
	if (zs_entry_pins(entry))
		check_buffer(check, handle, entry);
	if (zs_entry_pins(entry) == PINS_MANY) {
		entries->many++;
		expect(check, pins_counted(check, handle) >= PINS_MANY, "its maps are not counted",
		       "entry", entry);
	}
#if ZS_DEBUG
	struct debug_slot s = { check->pool, class, zs_zspage(check->pool, check->shard, zspage),
				slot };
	/* Where something is wrong already its bytes may lie anywhere. */
	expect(check, check->broken || zs_debug_intact(&s),
	       "bytes past the object's end are written", "entry", entry);
#endif
}

static void check_block(struct check *check, zs_ref ref, zs_ref previous, struct entries *entries)
{
	struct handle_block *block = zs_block(check->pool, ref);
	unsigned handles = check->pool->block_handles, live = 0;

	if (!leads_somewhere(check, block->store)) {
		broken(check, "its store is nowhere", "block", ref);
		return;
	}
	expect(check, load_relaxed(&block->shard) == check->shard->self, "is of another shard",
	       "block", ref);
	expect(check, block->prev == previous, "its back link is wrong", "block", ref);
	expect(check, block->cap <= handles && block->nlive <= block->cap, "its store is too small",
	       "block", ref);
	for (unsigned index = 0; index < LIVE_WORDS * 32; index++) {
		if (!zs_is_live(block, index))
			continue;
		live++;
		if (index < handles && live <= block->cap)
			check_entry(check, ref, index, entries);
		else
			broken(check, "an index is beyond its end", "block", ref);
	}
	expect(check, live == block->nlive, "nlive is not the number of bits in live", "block",
	       ref);
	expect(check, ref != check->shard->hand || block->cap == handles,
	       "hand without a full store", "block", ref);
	expect(check, live || ref == check->shard->hand, "is empty but was not given back", "block",
	       ref);
}

static void check_handles(struct check *check)
{
	const struct shard *shard = check->shard;
	struct entries entries = { 0 };
	zs_ref previous = 0;
	uint64_t blocks = 0, store_bytes = 0, many = 0;
	bool hand = !shard->hand, cursor = !shard->cursor;

	for (zs_ref ref = shard->blocks; ref && blocks <= shard->nblocks; blocks++) {
		if (!zs_is_block(check->pool, ref)) {
			broken(check, "is none", "block", ref);
			break;
		}
		const struct handle_block *block = zs_block(check->pool, ref);

		check_block(check, ref, previous, &entries);
		store_bytes += block->cap * sizeof(uint32_t);
		hand |= ref == shard->hand;
		cursor |= ref == shard->cursor;
		previous = ref;
		ref = block->next;
	}
	for (zs_ref next = shard->pin_counts; leads_somewhere(check, next) && many <= entries.many;
	     many++)
		next = ((const struct pin_count *)zs_ptr(check->pool, next))->next;
	check->blocks += blocks;

	uint64_t handles = blocks * check->pool->block_handles;
	expect(check, blocks == shard->nblocks, "nblocks is wrong", "blocks", blocks);
	expect(check, shard->hand_index < check->pool->block_handles,
	       "hand_index is beyond the block's end", "index", shard->hand_index);
	expect(check, hand, "the hand is on no block", "block", shard->hand);
	expect(check, cursor, "the cursor is on no block", "block", shard->cursor);
	expect(check, shard->store_bytes == store_bytes, "store_bytes is wrong", "bytes",
	       store_bytes);
	expect(check, shard->free_handles == handles - entries.live, "free_handles is wrong",
	       "handles", handles - entries.live);
	expect(check, shard->objects == entries.live, "objects is not the live handles", "objects",
	       entries.live);
	expect(check, shard->pinned == entries.pinned, "pinned is wrong", "objects",
	       entries.pinned);
	expect(check, many == entries.many, "counts of maps are lost or left over", "counts", many);
	expect(check, sum_of_slots(check) == entries.slots,
	       "slots and handles are not the same objects", "slots", entries.live);
}

/* --- the pool --- */

/* The classes that are open from the start are, and none that is none. */
static bool is_open_right(const struct check *check)
{
	const struct shard *shard = check->shard;
	uint32_t always = zs_first_open(check->pool, shard->run);

	for (unsigned i = 0; i < SHARD_CLASSES; i++) {
		if (shard->open >> i & 1 && !shard->class[i].size)
			return false;
	}
	return (shard->open & always) == always;
}

static void check_shard(struct check *check, const struct shard *shard)
{
	check->shard = shard;
	expect(check, zs_shard(check->pool, shard->self) == shard, "is somewhere else", "shard",
	       shard->self);
	expect(check, shard->pass <= PASS_TRIM, "no such state of a pass", "pass", shard->pass);
	expect(check, shard->pass == PASS_SCAN || !shard->cursor, "a cursor without a scan", "pass",
	       shard->pass);
	expect(check, shard->run < check->pool->nruns, "no such run", "run", shard->run);
	expect(check, shard->run >= check->pool->nruns || is_open_right(check),
	       "closed from the start", "classes", shard->open);
	if (shard->run < check->pool->nruns && check_zspages(check))
		check_handles(check);
	check->shard = NULL;
}

static bool is_shard(const struct check *check, uint32_t ref)
{
	for (struct shard *s = zs_next_shard(check->pool, NULL); s;
	     s = zs_next_shard(check->pool, s)) {
		if (s->self == ref)
			return true;
	}
	return false;
}

/* Each shard is on the list of its run, and nothing else is. */
static void check_run(struct check *check, unsigned index, unsigned *listed)
{
	const struct run *run = &check->pool->runs[index];
	bool hints[LANES];

	for (unsigned lane = 0; lane < LANES; lane++)
		hints[lane] = !load_relaxed(&run->hint[lane]);
	for (uint32_t ref = load_relaxed(&run->first); ref;) {
		if (!is_shard(check, ref) || ++*listed > check->shards ||
		    zs_shard(check->pool, ref)->run != index) {
			broken(check, "its list leads to no shard of it", "run", index);
			return;
		}
		for (unsigned lane = 0; lane < LANES; lane++)
			hints[lane] |= load_relaxed(&run->hint[lane]) == ref;
		ref = load_relaxed(&zs_shard(check->pool, ref)->next);
	}
	for (unsigned lane = 0; lane < LANES; lane++)
		expect(check, hints[lane], "a hint is no shard of it", "run", index);
	expect(check, load_relaxed(&run->crowding) <= SPREAD_AFTER, "too much crowding", "run",
	       index);
}

static void check_runs(struct check *check)
{
	struct zs_pool *pool = check->pool;
	uint32_t last = 0;
	unsigned listed = 0;

	for (struct shard *s = zs_next_shard(pool, NULL); s; s = zs_next_shard(pool, s)) {
		check->shards++;
		last = s->self;
	}
	for (unsigned index = 0; index < pool->nruns; index++)
		check_run(check, index, &listed);
	expect(check, listed == check->shards, "shards are on no run's list", "shards",
	       check->shards);
	expect(check, last == pool->last_shard, "last_shard is not the last", "shard", last);
}

static void check_buffers(struct check *check)
{
	unsigned used = 0;

	for (unsigned i = 0; i < check->pool->map_buffers; i++) {
		const struct map_buffer *buffer = &check->pool->buffers[i];

		used += buffer->handle != 0;
		expect(check, buffer->handle || (!buffer->maps && !buffer->dirty),
		       "is free but in use", "map buffer", i);
	}
	expect(check, used == check->buffers, "map buffers are of no mapped object", "buffers",
	       used);
}

/* Free chunks of a metadata page; -1: the list is broken. */
static int free_chunks(const struct meta_page *meta)
{
	const char *chunks = (const char *)meta + META_HEAD;
	int count = 0;

	for (uint32_t next = meta->first_free; next; count++) {
		if (next > meta->nchunks || count > meta->nchunks)
			return -1;
		next = *(const uint32_t *)(const void *)(chunks + ((size_t)(next - 1) * meta->chunk
								   << REF_SHIFT));
	}
	return count;
}

/* A page of metadata, of what its list says: chunk 0: the list of full ones. */
static void check_meta_page(struct check *check, uint32_t page, enum meta_kind kind, uint32_t chunk)
{
	const struct meta_page *meta = zs_meta_page(check->pool, page);
	uint32_t magic = meta->magic;
	bool blocks = magic == zs_meta_magic(check->pool, META_BLOCKS, page);

	if (!blocks && magic != zs_meta_magic(check->pool, META_CHUNKS, page)) {
		broken(check, "is listed but no metadata", "page", page);
		return;
	}
	expect(check, free_chunks(meta) == meta->nfree, "nfree is not the length of the free list",
	       "page", page);
	if (chunk)
		expect(check,
		       meta->chunk == chunk && blocks == (kind == META_BLOCKS) && meta->nfree &&
			       meta->nfree < meta->nchunks,
		       "is on the wrong list", "page", page);
	else
		expect(check, !meta->nfree, "is listed as full but is not", "page", page);
	check->meta_pages++;
	if (blocks)
		check->used_blocks += meta->nchunks - meta->nfree;
}

static void check_meta_list(struct check *check, uint32_t head, enum meta_kind kind, uint32_t chunk)
{
	uint32_t previous = 0;

	for (uint32_t page = head; page;) {
		if (page >= check->pool->port->meta_pages ||
		    check->meta_pages > check->pool->meta_pages) {
			broken(check, "a list of metadata pages is broken", "chunk", chunk);
			return;
		}
		const struct meta_page *meta = zs_meta_page(check->pool, page);
		expect(check, meta->prev == previous, "its back link is wrong", "page", page);
		check_meta_page(check, page, kind, chunk);
		previous = page;
		page = meta->next;
	}
}

static void check_meta(struct check *check)
{
	struct zs_pool *pool = check->pool;
	size_t lists = pool->page_size / 8 < META_LISTS ? pool->page_size / 8 : META_LISTS;

	check_meta_list(check, pool->block_list, META_BLOCKS, sizeof(struct handle_block) / 8);
	for (uint32_t chunk = 1; chunk < lists; chunk++)
		check_meta_list(check, pool->chunk_lists[chunk], META_CHUNKS, chunk);
	check_meta_list(check, pool->full_pages, META_CHUNKS, 0);
	expect(check, check->meta_pages == pool->meta_pages, "meta_pages is wrong", "pages",
	       check->meta_pages);
	expect(check, check->used_blocks == check->blocks, "handle blocks are lost", "blocks",
	       check->used_blocks);
}

unsigned long zs_check(struct zs_pool *pool, zs_report_fn *report, void *data)
{
	struct check check = { .pool = pool, .report = report, .data = data };

	if (!check_constants(&check))
		return check.broken;
	zs_lock_all(pool);
	for (struct shard *s = zs_next_shard(pool, NULL); s; s = zs_next_shard(pool, s))
		check_shard(&check, s);
	check_runs(&check);
	check_buffers(&check);
	check_meta(&check);
	expect(&check, pool->places == check.places, "zspages are not where their pages are",
	       "pool", 0);
	expect(&check,
	       load_relaxed(&pool->meta_end) <= (uint64_t)pool->port->meta_pages
							<< (pool->page_shift - REF_SHIFT),
	       "meta_end is beyond all metadata", "end", load_relaxed(&pool->meta_end));
	size_t total = load_relaxed(&pool->total_pages);
	expect(&check,
	       total == check.data_pages + pool->meta_pages + pool->port->own_pages +
				pool->releasing_pages,
	       "total is not the sum of its parts", "pages", total);
	expect(&check,
	       total <= load_relaxed(&pool->limit_pages) ||
		       total <= load_relaxed(&pool->held_at_limit),
	       "the limit is exceeded", "pages", total);
	expect(&check, load_relaxed(&pool->peak_pages) >= total, "the peak is below the total",
	       "pages", total);
	expect(&check, load_relaxed(&pool->kept_pages) == check.kept, "kept_pages is wrong",
	       "pages", check.kept);
	expect(&check, load_relaxed(&pool->busy_zspages) == check.busy, "busy_zspages is wrong",
	       "zspages", check.busy);
	expect(&check, load_relaxed(&pool->left_pages) == check.left, "left_pages is wrong",
	       "pages", check.left);
	zs_unlock_all(pool);
	return check.broken;
}
