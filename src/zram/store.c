/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The store itself: made, read, written, discarded.
 *
 * A write compresses first, then takes the block's slot, allocates, fills the new
 * object, swaps it in, releases the slot, and frees the old object last. Whatever
 * fails on the way, the old one is still there.
 */
#include "zram/checksum.h"
#include "zram/store.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- making and destroying --- */

/* Of 1/1024: a store's blocks are rewritten in place, and bytes are what it is for. */
#define COMPACTION_SLACK 3

/* As many as a slot holds. A handle of 32 bits is as short as it is. */
#define SLOT_HANDLE_BITS 40

/*
 * A slot may be damaged like any other memory: then the pool refuses its handle,
 * the call gets nothing, and the block is reported as damaged.
 */
static void ignore_misuse(struct zs_pool *pool, enum zs_misuse fault, zs_handle handle,
			  const char *message, void *data)
{
	(void)pool;
	(void)fault;
	(void)handle;
	(void)message;
	(void)data;
}

static struct zs_pool *make_pool(const struct zram *zram, enum zs_compaction compaction)
{
	const struct zs_pool_options options = {
		.name = "zram",
		.max_object_size = zram->block_size,
		/* Lengths are multiples of the unit anyway. */
		.alignment = zram->unit > 8 ? 16 : 8,
		.compaction = compaction,
		.compaction_slack = COMPACTION_SLACK,
		.handle_bits = sizeof(zs_handle) * 8 > SLOT_HANDLE_BITS ? SLOT_HANDLE_BITS : 0,
		.zero_on_free = zram->zero_on_free,
		.on_misuse = ignore_misuse,
	};

	return zs_create_pool(&options);
}

/* From which length on a compressed block takes as much as one that is not. */
static size_t find_raw_from(const struct zram *zram)
{
	size_t huge = zs_huge_class_size(zram->pool), from = zram->block_size;
	unsigned largest = zs_lookup_class_index(zram->pool, from);

	while (from > 1 && zs_lookup_class_index(zram->pool, from - 1) == largest)
		from--;
	if (zram->unit == 1 && from > huge)
		from = huge;
	if (from > (size_t)SLOT_LENGTH_MAX * zram->unit)
		from = (size_t)SLOT_LENGTH_MAX * zram->unit;
	return from;
}

static unsigned default_streams(void)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	if (processors < 2)
		return 4;
	return processors * 2 < (long)STREAMS_MAX ? (unsigned)processors * 2 : STREAMS_MAX;
}

static bool options_are_valid(const struct zram_options *options)
{
	size_t block = options->block_size;

	if (block &&
	    (block < ZRAM_MIN_BLOCK_SIZE || block > ZRAM_MAX_BLOCK_SIZE || (block & (block - 1))))
		return false;
	return options->size <= ZRAM_MAX_SIZE && options->max_comp_streams <= STREAMS_MAX &&
	       options->zero_on_free <= 1 &&
	       (options->compaction == ZS_COMPACTION_AUTO ||
		options->compaction == ZS_COMPACTION_MANUAL) &&
	       (options->checksum == ZRAM_CHECKSUM_ON || options->checksum == ZRAM_CHECKSUM_OFF);
}

static int open_codec(const struct codec_options *options, struct codec **codec)
{
	struct codec *new = malloc(sizeof(*new));
	int error = new ? codec_open(new, options) : ENOMEM;

	if (error) {
		free(new);
		new = NULL;
	}
	*codec = new;
	return error;
}

static void close_codec(struct codec *codec)
{
	if (codec)
		codec_close(codec);
	free(codec);
}

/* Makes the parts, in the order in which zram_destroy() undoes it. */
static int build(struct zram *zram, const struct zram_options *options)
{
	const struct codec_options codec = {
		.algorithm = options->algorithm,
		.level = options->level,
		.block_size = zram->block_size,
		.dictionary = options->dictionary,
		.dictionary_size = options->dictionary_size,
	};
	int error = open_codec(&codec, &zram->codec);

	if (error)
		return error;
	zram->pool = make_pool(zram, options->compaction);
	if (!zram->pool)
		return ENOMEM;
	budget_init(&zram->budget, zram->pool);
	zram->raw_from = find_raw_from(zram);
	zram->table = table_create(&zram->budget);
	if (!zram->table)
		return ENOMEM;
	budget_take(&zram->budget, ZRAM_OWN_BYTES + codec_bytes(zram->codec));
	zram->streams.wipes = zram->zero_on_free;
	error = streams_init(&zram->streams, &zram->budget, zram->codec,
			     options->max_comp_streams ? options->max_comp_streams
						       : default_streams());
	if (error)
		return error;
	budget_set_limit(&zram->budget, options->mem_limit);
	return options->mem_limit && budget_total(&zram->budget) > options->mem_limit ? EINVAL : 0;
}

/* Also of a store that is half made. */
void zram_destroy(struct zram *zram)
{
	if (!zram)
		return;
	if (zram->streams.made)
		streams_destroy(&zram->streams);
	table_destroy(zram->table);
	if (zram->pool)
		budget_destroy(&zram->budget);
	zs_destroy_pool(zram->pool);
	close_codec(zram->codec);
	pthread_mutex_destroy(&zram->reclaim);
	free(zram);
}

static struct zram *create(const struct zram_options *options)
{
	struct zram *zram;

	if (!options_are_valid(options)) {
		errno = EINVAL;
		return NULL;
	}
	zram = calloc(1, sizeof(*zram));
	if (!zram)
		return NULL;
	zram->block_size = options->block_size ? options->block_size : ZRAM_MIN_BLOCK_SIZE;
	zram->block_shift = (unsigned)__builtin_ctzl(zram->block_size);
	zram->unit = (unsigned)(zram->block_size / 4096);
	pthread_mutex_init(&zram->reclaim, NULL);
	zram->size = options->size;
	zram->checksum = options->checksum == ZRAM_CHECKSUM_ON;
	zram->compaction = options->compaction;
	zram->zero_on_free = options->zero_on_free;
	int error = build(zram, options);
	if (!error)
		return zram;
	zram_destroy(zram);
	errno = error;
	return NULL;
}

struct zram *zram_create(const struct zram_options *options)
{
	static const struct zram_options defaults;

	return create(options ? options : &defaults);
}

const char *const *zram_algorithms(void)
{
	return codec_names();
}

/* --- what a block is to become --- */

struct content {
	unsigned code; /* for the slot */
	uint32_t checksum;
	const void *object; /* code is a length or SLOT_RAW */
	size_t length;
	uint64_t word; /* SLOT_SAME */
};

static bool has_object(unsigned code)
{
	return code != SLOT_EMPTY && code != SLOT_SAME;
}

static size_t object_length(const struct zram *zram, unsigned code)
{
	return code == SLOT_RAW ? zram->block_size : (size_t)code * zram->unit;
}

static bool is_same_filled(const struct zram *zram, const char *block, uint64_t *word)
{
	size_t rest = zram->block_size - sizeof(*word);

	memcpy(word, block, sizeof(*word));
	/* What is read of it the codec wants next; its end would have to be fetched from memory. */
	return memcmp(block, block + sizeof(*word), rest) == 0;
}

/*
 * Lengths are kept in units. Where a unit is more than a byte, the last byte of an
 * object says how many bytes, itself included, only fill it up.
 */
static size_t pad(const struct zram *zram, char *object, size_t length)
{
	size_t padded = length;

	if (zram->unit > 1) {
		padded = (length + zram->unit) / zram->unit * zram->unit;
		memset(object + length, 0, padded - length);
		object[padded - 1] = (char)(padded - length);
	}
	return padded;
}

/* The compressed length of a padded object, 0 if it cannot be one. */
static size_t unpad(const struct zram *zram, const char *object, size_t padded)
{
	size_t padding;

	if (zram->unit == 1)
		return padded;
	padding = (unsigned char)object[padded - 1];
	return padding && padding <= zram->unit && padding < padded ? padded - padding : 0;
}

/* Compresses. The content refers to the block and to the stream. Returns 0 or EIO. */
static int prepare(const struct zram *zram, struct stream *stream, const void *block,
		   struct content *content)
{
	char *to = stream->kit.compressed;
	ssize_t length;

	*content = (struct content){ .code = SLOT_SAME };
	if (is_same_filled(zram, block, &content->word))
		return 0;
	length = zram->codec->ops->compress(zram->codec, stream->kit.context, block, to);
	if (length < 0)
		return EIO;
	if ((size_t)length >= zram->raw_from) {
		content->code = SLOT_RAW;
		/* Who changes the block meanwhile gets a mixture, but one that is sound. */
		content->object = memcpy(to, block, zram->block_size);
		content->length = zram->block_size;
	} else {
		content->length = pad(zram, to, (size_t)length);
		content->code = (unsigned)(content->length / zram->unit);
		content->object = to;
	}
	if (atomic_load_explicit(&zram->checksum, memory_order_relaxed))
		content->checksum = zram_checksum(content->object, content->length);
	return 0;
}

/* --- what a block is; its slot is locked --- */

static bool is_intact(const struct zram *zram, const struct place *place, const void *object,
		      size_t length)
{
	uint32_t sum = slot_checksum(place);

	return !sum || !atomic_load_explicit(&zram->checksum, memory_order_relaxed) ||
	       sum == zram_checksum(object, length);
}

static bool decompress(const struct zram *zram, struct stream *stream, const char *object,
		       size_t length, char *block)
{
	size_t compressed = unpad(zram, object, length);

	return compressed && zram->codec->ops->decompress(zram->codec, stream->kit.context, object,
							  compressed, block);
}

/* A part of a block, or all of it. */
struct part {
	size_t from, length; /* bytes in the block */
};

/* Puts a part of an object's block to where it is wanted. Whether the object is sound. */
static bool extract(const struct zram *zram, struct stream *stream, unsigned code,
		    const char *object, struct part part, char *to)
{
	size_t length = object_length(zram, code);

	if (code == SLOT_RAW) {
		memcpy(to, object + part.from, part.length);
		return true;
	}
	if (part.length == zram->block_size)
		return decompress(zram, stream, object, length, to);
	if (!decompress(zram, stream, object, length, stream->kit.block))
		return false;
	memcpy(to, stream->kit.block + part.from, part.length);
	return true;
}

static int read_object(struct zram *zram, struct stream *stream, const struct place *place,
		       unsigned code, struct part part, char *to)
{
	zs_handle handle = (zs_handle)slot_handle(place);
	const char *object = zs_map_object(zram->pool, handle, ZS_MM_RO);
	bool sound = object && is_intact(zram, place, object, object_length(zram, code)) &&
		     extract(zram, stream, code, object, part, to);

	if (object)
		zs_unmap_object(zram->pool, handle);
	if (sound)
		return 0;
	stream_count(stream, DAMAGED_BLOCKS, 1);
	return EIO;
}

static void fill_same(char *to, struct part part, uint64_t word)
{
	char *bytes = (char *)&word;

	for (size_t i = 0; i < part.length && i < sizeof(word); i++)
		to[i] = bytes[(part.from + i) % sizeof(word)];
	/* What is there repeats itself: each copy doubles it. */
	for (size_t done = sizeof(word); done < part.length;) {
		size_t more = part.length - done < done ? part.length - done : done;

		memcpy(to + done, to, more);
		done += more;
	}
}

/* Reads part of a block whose slot is locked. Returns 0 or EIO. */
static int read_locked(struct zram *zram, struct stream *stream, const struct place *place,
		       struct part part, char *to)
{
	unsigned code = slot_code(place->slot);

	if (has_object(code))
		return read_object(zram, stream, place, code, part, to);
	if (code == SLOT_EMPTY) {
		memset(to, 0, part.length);
		return 0;
	}
	if (!slot_word_intact(place)) {
		stream_count(stream, DAMAGED_BLOCKS, 1);
		return EIO;
	}
	fill_same(to, part, slot_word(place));
	return 0;
}

/* --- reading --- */

static int read_part(struct zram *zram, struct stream *stream, uint64_t block, struct part part,
		     char *to)
{
	struct place place;
	int error;

	/* An empty slot is not written to, not even by a lock: its page may not be there. */
	if (!table_find(zram->table, block, &place) || slot_code(place.slot) == SLOT_EMPTY) {
		memset(to, 0, part.length);
		return 0;
	}
	slot_lock_read(place.slot);
	error = read_locked(zram, stream, &place, part, to);
	bool emptied = slot_code(place.slot) == SLOT_EMPTY;
	slot_unlock_read(place.slot);
	if (emptied)
		table_trim(zram->table, &place);
	return error;
}

/* The part of a request that falls into the block at offset. */
static struct part part_at(const struct zram *zram, uint64_t offset, size_t count)
{
	size_t from = (size_t)(offset & (zram->block_size - 1));
	size_t length = zram->block_size - from;

	return (struct part){ from, length < count ? length : count };
}

/* What of a request lies within the store. */
static size_t inside(const struct zram *zram, size_t count, uint64_t offset)
{
	uint64_t size = zram->size;

	if (offset >= size)
		return 0;
	return count < size - offset ? count : (size_t)(size - offset);
}

ssize_t zram_pread(struct zram *zram, void *buf, size_t count, uint64_t offset)
{
	struct stream *stream;
	size_t done = 0;
	int error = 0;

	if (count > SSIZE_MAX) {
		errno = EINVAL;
		return -1;
	}
	stream = stream_take(&zram->streams);
	size_t room = inside(zram, count, offset);
	stream_count(stream, INVALID_IO, count && !room);
	while (done < room && !error) {
		struct part part = part_at(zram, offset + done, room - done);

		error = read_part(zram, stream, (offset + done) >> zram->block_shift, part,
				  (char *)buf + done);
		if (!error)
			done += part.length;
	}
	stream_count(stream, READS, 1);
	stream_count(stream, READ_BYTES, done);
	stream_count(stream, FAILED_READS, error != 0);
	stream_release(&zram->streams, stream);
	if (!error || done)
		return (ssize_t)done;
	errno = error;
	return -1;
}

/* --- writing --- */

static void count_content(const struct zram *zram, struct stream *stream, unsigned code,
			  uint64_t by)
{
	if (code == SLOT_EMPTY)
		return;
	stream_count(stream, STORED_BLOCKS, by);
	if (code == SLOT_SAME)
		stream_count(stream, SAME_BLOCKS, by);
	else
		stream_count(stream, STORED_BYTES, by * object_length(zram, code));
	if (code == SLOT_RAW)
		stream_count(stream, RAW_BLOCKS, by);
}

/* Whether a block holds that already. */
static bool is_unchanged(const struct zram *zram, const struct place *place, unsigned code,
			 const struct content *new)
{
	zs_handle handle;
	const void *object;
	bool same;

	if (code != new->code)
		return false;
	if (code == SLOT_SAME)
		return slot_word_intact(place) && slot_word(place) == new->word;
	/* One that was written without checksum has none to compare. */
	if (slot_checksum(place) && new->checksum && slot_checksum(place) != new->checksum)
		return false;
	handle = (zs_handle)slot_handle(place);
	object = zs_map_object(zram->pool, handle, ZS_MM_RO);
	same = object && memcmp(object, new->object, new->length) == 0;
	if (object)
		zs_unmap_object(zram->pool, handle);
	return same;
}

/* Whether an object can take the place of one that was length bytes long. */
static bool fits_in_place(const struct zram *zram, zs_handle handle, size_t length, size_t new)
{
	return zs_lookup_class_index(zram->pool, length) ==
		       zs_lookup_class_index(zram->pool, new) &&
	       zs_object_size(zram->pool, handle) >= new;
}

/* What is left of an old object behind the new one that was put in its place. */
static void wipe_rest(struct zram *zram, zs_handle handle, size_t from, size_t to)
{
	char *object = to > from ? zs_map_object(zram->pool, handle, ZS_MM_RW) : NULL;

	if (!object)
		return;
	memset(object + from, 0, to - from);
	zs_unmap_object(zram->pool, handle);
}

/*
 * Puts a new object where the old one was, or makes one. *garbage: what is to be
 * freed afterwards. Returns 0, ENOMEM or ENOSPC.
 */
static int put_object(struct zram *zram, const struct place *place, unsigned code,
		      const struct content *new, zs_handle *garbage)
{
	zs_handle old = has_object(code) ? (zs_handle)slot_handle(place) : 0, handle;

	if (old && fits_in_place(zram, old, object_length(zram, code), new->length)) {
		handle = old;
	} else {
		handle = zs_malloc(zram->pool, new->length);
		if (!handle)
			return errno;
		*garbage = old;
	}
	zs_obj_write(zram->pool, handle, new->object, new->length);
	if (zram->zero_on_free && handle == old)
		wipe_rest(zram, handle, new->length, object_length(zram, code));
	slot_set_object(place, handle, new->checksum);
	return 0;
}

/* A write has failed. If the block is empty, its leaf was perhaps made for it. */
static void unlock_unchanged(struct zram *zram, const struct place *place)
{
	unsigned code = slot_code(place->slot);

	slot_unlock_write(place->slot, code);
	if (code == SLOT_EMPTY)
		table_trim(zram->table, place);
}

/*
 * Gives a block, whose slot is locked, its new content, and unlocks it. Returns 0,
 * ENOMEM or ENOSPC, and then nothing but the lock has changed.
 */
static int replace_and_unlock(struct zram *zram, struct stream *stream, const struct place *place,
			      const struct content *new)
{
	unsigned code = slot_code(place->slot);
	zs_handle garbage = 0;
	int error = 0;

	if (is_unchanged(zram, place, code, new)) {
		if (has_object(code) && new->checksum)
			slot_set_object(place, slot_handle(place), new->checksum);
		slot_unlock_write(place->slot, code);
		stream_count(stream, UNCHANGED_BLOCKS, 1);
		return 0;
	}
	if (has_object(new->code)) {
		error = put_object(zram, place, code, new, &garbage);
	} else {
		if (has_object(code))
			garbage = (zs_handle)slot_handle(place);
		slot_set_word(place, new->word);
	}
	if (error) {
		unlock_unchanged(zram, place);
		return error;
	}
	slot_unlock_write(place->slot, new->code);
	zs_free(zram->pool, garbage);
	count_content(zram, stream, code, UINT64_MAX);
	count_content(zram, stream, new->code, 1);
	stream_count(stream, RAW_WRITES, new->code == SLOT_RAW);
	return 0;
}

/* data NULL: zeros. */
static void patch(char *block, struct part part, const char *data)
{
	if (data)
		memcpy(block + part.from, data, part.length);
	else
		memset(block + part.from, 0, part.length);
}

/* The block is read, changed, and written with its slot locked. */
static int rewrite_part(struct zram *zram, struct stream *stream, uint64_t block, struct part part,
			const char *data)
{
	struct part whole = { 0, zram->block_size };
	struct content content;
	struct place place;
	int error = table_lock(zram->table, block, &place);

	if (error)
		return error;
	error = read_locked(zram, stream, &place, whole, stream->kit.block);
	if (!error) {
		patch(stream->kit.block, part, data);
		error = prepare(zram, stream, stream->kit.block, &content);
	}
	if (error) {
		unlock_unchanged(zram, &place);
		return error;
	}
	return replace_and_unlock(zram, stream, &place, &content);
}

static int write_whole(struct zram *zram, struct stream *stream, uint64_t block, const char *data)
{
	struct content content;
	struct place place;

	/* It comes from memory while the block is compressed. */
	if (table_find(zram->table, block, &place))
		__builtin_prefetch(place.slot, 1);
	int error = prepare(zram, stream, data, &content);
	if (!error)
		error = table_lock(zram->table, block, &place);
	return error ? error : replace_and_unlock(zram, stream, &place, &content);
}

static bool is_out_of_memory(int error)
{
	return error == ENOSPC || error == ENOMEM;
}

static int try_write(struct zram *zram, struct stream *stream, uint64_t block, struct part part,
		     const char *data)
{
	if (part.length == zram->block_size)
		return write_whole(zram, stream, block, data);
	return rewrite_part(zram, stream, block, part, data);
}

/*
 * Before memory is said to be at its end, all of it has to be in use. Another call may
 * have made room for this one.
 */
static int write_with_reclaim(struct zram *zram, struct stream *stream, uint64_t block,
			      struct part part, const char *data)
{
	pthread_mutex_lock(&zram->reclaim);
	int error = try_write(zram, stream, block, part, data);
	if (is_out_of_memory(error) && zs_compact(zram->pool) + table_trim_all(zram->table))
		error = try_write(zram, stream, block, part, data);
	pthread_mutex_unlock(&zram->reclaim);
	return error;
}

static int write_part(struct zram *zram, struct stream *stream, uint64_t block, struct part part,
		      const char *data)
{
	int error = try_write(zram, stream, block, part, data);

	if (is_out_of_memory(error))
		error = write_with_reclaim(zram, stream, block, part, data);
	budget_note_peak(&zram->budget);
	return error;
}

/* Writes from *done on, as far as it goes. Returns 0 or the error of the block at *done. */
static int write_range(struct zram *zram, struct stream *stream, const char *buf, size_t count,
		       uint64_t offset, size_t *done)
{
	int error = 0;

	while (*done < count && !error) {
		struct part part = part_at(zram, offset + *done, count - *done);

		error = write_part(zram, stream, (offset + *done) >> zram->block_shift, part,
				   buf + *done);
		if (!error)
			*done += part.length;
	}
	return error;
}

/* Gives back the parts of the table that cover nothing. Called without a stream. */
static uint64_t prune(struct zram *zram)
{
	uint64_t freed;

	streams_quiesce(&zram->streams);
	freed = table_prune(zram->table);
	streams_resume(&zram->streams);
	return freed;
}

/*
 * The last reserve before a call is refused: it has the store for itself, so that all
 * of the memory that other calls had under way is there for it. Takes back its stream and
 * returns the one to go on with. The store's size may be another then.
 */
static struct stream *share_with_none(struct zram *zram, struct stream *stream)
{
	stream_release(&zram->streams, stream);
	stream = streams_quiesce(&zram->streams);
	table_prune(zram->table);
	return stream;
}

static struct stream *share_again(struct zram *zram)
{
	streams_resume(&zram->streams);
	return stream_take(&zram->streams);
}

ssize_t zram_pwrite(struct zram *zram, const void *buf, size_t count, uint64_t offset)
{
	struct stream *stream;
	size_t done = 0;
	int error;

	if (count > SSIZE_MAX) {
		errno = EINVAL;
		return -1;
	}
	stream = stream_take(&zram->streams);
	error = write_range(zram, stream, buf, inside(zram, count, offset), offset, &done);
	if (is_out_of_memory(error)) {
		stream = share_with_none(zram, stream);
		error = write_range(zram, stream, buf, inside(zram, count, offset), offset, &done);
		stream = share_again(zram);
	}
	if (!error && count && !inside(zram, count, offset)) {
		stream_count(stream, INVALID_IO, 1);
		error = ENOSPC;
	}
	stream_count(stream, WRITES, 1);
	stream_count(stream, WRITTEN_BYTES, done);
	stream_count(stream, FAILED_WRITES, error != 0);
	stream_release(&zram->streams, stream);
	if (!error || done)
		return (ssize_t)done;
	errno = error;
	return -1;
}

int zram_flush(struct zram *zram)
{
	(void)zram;
	return 0;
}

/* --- discarding --- */

/* Whether there was anything. */
static bool drop_block(struct zram *zram, struct stream *stream, const struct place *place)
{
	unsigned code = slot_code(place->slot);
	zs_handle garbage = 0;

	if (code == SLOT_EMPTY)
		return false;
	slot_lock_write(place->slot);
	/* It may have changed. If its leaf went meanwhile, the lock is its only content. */
	code = slot_code(place->slot);
	if (has_object(code))
		garbage = (zs_handle)slot_handle(place);
	/* The word of a block that was filled with it, or the checksum of its object. */
	if (zram->zero_on_free && code != SLOT_EMPTY)
		slot_set_object(place, 0, 0);
	slot_unlock_write(place->slot, SLOT_EMPTY);
	zs_free(zram->pool, garbage);
	count_content(zram, stream, code, UINT64_MAX);
	stream_count(stream, FREED_BLOCKS, code != SLOT_EMPTY);
	return true;
}

/* Drops the blocks of [from, to), and the leaves of the table that are empty then. */
static void drop_blocks(struct zram *zram, struct stream *stream, uint64_t from, uint64_t to)
{
	for (uint64_t block = from; block < to;) {
		uint64_t end = (block / LEAF_SLOTS + 1) * LEAF_SLOTS;
		struct place place;
		bool dropped = false;

		if (!table_find(zram->table, block, &place)) {
			block = table_next(zram->table, block);
			continue;
		}
		for (end = end < to ? end : to; block < end; block++, place_step(&place))
			dropped |= drop_block(zram, stream, &place);
		if (dropped)
			table_trim(zram->table, &place);
	}
}

/* The first block that begins at or after a byte. */
static uint64_t block_from(const struct zram *zram, uint64_t offset)
{
	return (offset >> zram->block_shift) + ((offset & (zram->block_size - 1)) != 0);
}

/* The block after the last one that ends at or before a byte; the store's end ends its last one. */
static uint64_t block_to(const struct zram *zram, uint64_t offset, uint64_t size)
{
	return offset == size ? block_from(zram, size) : offset >> zram->block_shift;
}

int zram_discard(struct zram *zram, uint64_t offset, uint64_t length)
{
	struct stream *stream = stream_take(&zram->streams);
	uint64_t size = zram->size;

	if (offset < size && length) {
		if (length > size - offset)
			length = size - offset;
		drop_blocks(zram, stream, block_from(zram, offset),
			    block_to(zram, offset + length, size));
	}
	stream_release(&zram->streams, stream);
	return 0;
}

/* Zeros in a part of a block. */
static int zero_part(struct zram *zram, struct stream *stream, uint64_t offset, uint64_t end)
{
	uint64_t block = offset >> zram->block_shift;
	struct part part = { (size_t)(offset & (zram->block_size - 1)), (size_t)(end - offset) };
	struct place place;

	if (part.length == 0 || !table_find(zram->table, block, &place) ||
	    slot_code(place.slot) == SLOT_EMPTY)
		return 0;
	return write_part(zram, stream, block, part, NULL);
}

static int zero_range(struct zram *zram, struct stream *stream, uint64_t offset, uint64_t end,
		      uint64_t size)
{
	uint64_t from = block_from(zram, offset), to = block_to(zram, end, size);
	int error;

	if (from > to) /* in one block, and neither its begin nor its end */
		return zero_part(zram, stream, offset, end);
	error = zero_part(zram, stream, offset, from << zram->block_shift);
	if (!error && end != size)
		error = zero_part(zram, stream, to << zram->block_shift, end);
	if (!error)
		drop_blocks(zram, stream, from, to);
	return error;
}

int zram_write_zeroes(struct zram *zram, uint64_t offset, uint64_t length)
{
	struct stream *stream = stream_take(&zram->streams);
	uint64_t size = zram->size;
	int error = 0;

	if (length && (offset >= size || length > size - offset)) {
		stream_count(stream, INVALID_IO, 1);
		error = ENOSPC;
	} else if (length) {
		error = zero_range(zram, stream, offset, offset + length, size);
		if (is_out_of_memory(error)) {
			stream = share_with_none(zram, stream);
			error = zero_range(zram, stream, offset, offset + length, zram->size);
			stream = share_again(zram);
		}
	}
	stream_count(stream, FAILED_WRITES, error != 0);
	stream_release(&zram->streams, stream);
	if (!error)
		return 0;
	errno = error;
	return -1;
}

/* --- the whole store --- */

static int fail(int error)
{
	if (!error)
		return 0;
	errno = error;
	return -1;
}

int zram_empty(struct zram *zram, enum zs_compaction compaction)
{
	struct zs_pool *pool = make_pool(zram, compaction), *old = zram->pool;
	struct table *table = table_create(&zram->budget);

	if (!pool || !table) {
		zs_destroy_pool(pool);
		table_destroy(table);
		return ENOMEM;
	}
	table_destroy(zram->table);
	zram->table = table;
	zram->pool = pool;
	zram->compaction = compaction;
	budget_set_pool(&zram->budget, pool);
	zs_destroy_pool(old);
	return 0;
}

int zram_reset(struct zram *zram)
{
	streams_quiesce(&zram->streams);
	int error = zram_empty(zram, zram->compaction);
	if (!error) {
		streams_clear_counters(&zram->streams);
		zram->budget.peak = 0;
		budget_note_peak(&zram->budget);
	}
	streams_resume(&zram->streams);
	return fail(error);
}

int zram_resize(struct zram *zram, uint64_t size)
{
	int error = 0;

	if (size > ZRAM_MAX_SIZE)
		return fail(EINVAL);
	struct stream *stream = streams_quiesce(&zram->streams);
	uint64_t old = zram->size;
	if (size < old) {
		uint64_t end = block_from(zram, size) << zram->block_shift;

		/* The part of the last block that is cut off, then the blocks behind it. */
		error = zero_part(zram, stream, size, end);
		if (!error)
			drop_blocks(zram, stream, block_from(zram, size), block_from(zram, old));
	}
	if (!error)
		zram->size = size;
	streams_resume(&zram->streams);
	return fail(error);
}

int zram_change_codec(struct zram *zram, const struct codec_options *options)
{
	struct codec *codec, *old = zram->codec;
	int error = open_codec(options, &codec);

	if (error)
		return error;
	error = budget_take(&zram->budget, codec_bytes(codec));
	if (!error) {
		error = streams_set_codec(&zram->streams, codec);
		if (error)
			budget_give(&zram->budget, codec_bytes(codec));
	}
	if (error) {
		close_codec(codec);
		return error;
	}
	zram->codec = codec;
	budget_give(&zram->budget, codec_bytes(old));
	close_codec(old);
	return 0;
}

uint64_t zram_size(struct zram *zram)
{
	return zram->size;
}

size_t zram_block_size(struct zram *zram)
{
	return zram->block_size;
}

int zram_compact_some(struct zram *zram, uint64_t nanoseconds, uint64_t *freed)
{
	const struct zs_compact_budget budget = { .nanoseconds = nanoseconds };
	struct zs_compact_result result;
	bool loose = false;

	struct stream *stream = stream_take(&zram->streams);
	int stopped = zs_compact_some(zram->pool, &budget, &result);
	uint64_t sum = result.freed_bytes;
	if (!stopped) {
		sum += table_trim_all(zram->table);
		loose = table_is_loose(zram->table);
	}
	stream_release(&zram->streams, stream);
	if (loose)
		sum += prune(zram);
	if (freed)
		*freed = sum;
	return stopped;
}

uint64_t zram_compact(struct zram *zram)
{
	uint64_t freed;

	zram_compact_some(zram, 0, &freed);
	return freed;
}
