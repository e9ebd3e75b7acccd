/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The store under faults, against a copy of what it must hold: whatever is refused, a call
 * that fails says so with a documented error, every block reads as the copy has it, the
 * figures add up, and the store goes on.
 */
#include "../zram/store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zdict.h>

#include "inject.h"

#define MODEL   MIB(4)
#define THREADS 4

struct plan {
	struct zram_options options;
	unsigned blocks;     /* of the store, before scale */
	unsigned filled;     /* of them, before the faults begin */
	bool has_dictionary; /* options.dictionary is filled in */
	bool trained;
};

static struct world {
	const struct plan *plan;
	struct zram *zram;
	size_t block;
	size_t size; /* of the store, in bytes */
	uint64_t serial;
	struct rng rng;
} w;

static unsigned char model[MODEL];
static unsigned char bytes[MODEL], again[MODEL];

/* --- calls --- */

static void assert_documented(int error)
{
	bool limited = w.plan->options.mem_limit || number_attribute(w.zram, "mem_limit");

	assert_true(error == ENOMEM || error == EIO || (error == ENOSPC && limited));
	assert_true(refusals() || error == ENOSPC);
}

/* Returns how much was written, which is in the model then. */
static size_t put(const void *from, size_t count, size_t offset)
{
	ssize_t done;

	errno = 0;
	done = zram_pwrite(w.zram, from, count, offset);
	if (done < 0) {
		assert_documented(errno);
		return 0;
	}
	assert_true((size_t)done == count || (offset + (size_t)done) % w.block == 0);
	assert_true((size_t)done == count || done > 0);
	memcpy(model + offset, from, (size_t)done);
	return (size_t)done;
}

static void put_stamp(size_t block, enum stamp stamp)
{
	unsigned char stamped[ZRAM_MAX_BLOCK_SIZE];

	stamp_fill(stamped, w.block, stamp_key(stamp, w.serial++));
	put(stamped, w.block, block * w.block);
}

/* What can be read is right. */
static void get(size_t count, size_t offset)
{
	ssize_t done;

	errno = 0;
	done = zram_pread(w.zram, again, count, offset);
	if (done < 0) {
		assert_int_equal(errno, EIO);
		assert_true(refusals() > 0);
		return;
	}
	assert_true((size_t)done == count ||
		    ((offset + (size_t)done) % w.block == 0 && refusals()));
	assert_memory_equal(again, model + offset, (size_t)done);
}

static void discard(size_t offset, size_t length)
{
	size_t from = (offset + w.block - 1) / w.block * w.block;
	size_t to = (offset + length) / w.block * w.block;

	assert_int_equal(zram_discard(w.zram, offset, length), 0);
	if (from < to)
		memset(model + from, 0, to - from);
}

/* Where it fails, any part of the range may read as zeros. */
static void zero(size_t offset, size_t length)
{
	errno = 0;
	if (zram_write_zeroes(w.zram, offset, length) == 0) {
		memset(model + offset, 0, length);
		return;
	}
	assert_documented(errno);
	own_begin();
	assert_int_equal(zram_pread(w.zram, again, length, offset), length);
	own_end();
	for (size_t i = 0; i < length; i++) {
		if (again[i])
			assert_int_equal(again[i], model[offset + i]);
	}
	memcpy(model + offset, again, length);
}

static void resize(size_t size)
{
	errno = 0;
	if (zram_resize(w.zram, size)) {
		assert_documented(errno);
		return;
	}
	if (size < w.size)
		memset(model + size, 0, w.size - size);
	w.size = size;
}

/* An attribute is as it was, or as it was to become. */
static void set(const char *name, const char *value, const char *expected)
{
	char before[512], after[512];

	own_begin();
	assert_true(zram_get(w.zram, name, before, sizeof(before)) > 0);
	own_end();
	errno = 0;
	int result = zram_set(w.zram, name, value);
	int error = errno;
	own_begin();
	assert_true(zram_get(w.zram, name, after, sizeof(after)) > 0);
	own_end();
	if (result == 0) {
		assert_non_null(strstr(after, expected));
		return;
	}
	assert_true(refusals() > 0);
	assert_true(error == ENOMEM || error == ENOSPC || error == EIO || error == EMFILE ||
		    (error == EINVAL && !strcmp(name, "algorithm_params")));
	assert_string_equal(before, after);
}

/* --- begin and end --- */

static unsigned char dictionary[8192];
static size_t trained_size;

static void make_dictionaries(void)
{
	enum { SAMPLES = 200, SAMPLE = 512 };
	static char samples[SAMPLES * SAMPLE + 1];
	size_t sizes[SAMPLES];
	struct rng rng = rng_seeded(3);

	for (size_t i = 0; i < SAMPLES; i++) {
		sizes[i] = SAMPLE;
		for (size_t k = 0; k < SAMPLE; k += 8)
			snprintf(samples + i * SAMPLE + k, 9, "word%03u ", rng_below(&rng, 150));
	}
	trained_size =
		ZDICT_trainFromBuffer(dictionary, sizeof(dictionary), samples, sizes, SAMPLES);
	assert_false(ZDICT_isError(trained_size));
}

static struct zram_options options_of(const struct plan *plan)
{
	struct zram_options options = plan->options;

	if (plan->has_dictionary) {
		options.dictionary = dictionary + (plan->trained ? 0 : 16);
		options.dictionary_size = trained_size - (plan->trained ? 0 : 16);
	}
	return options;
}

static void prepare(const void *arg)
{
	const struct plan *plan = arg;

	w = (struct world){ .plan = plan, .rng = rng_seeded(17) };
	w.block = plan->options.block_size ? plan->options.block_size : BLOCK;
	w.size = plan->blocks * scale * w.block;
	if (w.size > MODEL)
		w.size = MODEL;
	memset(model, 0, w.size);
}

static void open_store(const void *arg)
{
	struct zram_options options;

	prepare(arg);
	options = options_of(w.plan);
	options.size = w.size;
	w.zram = store_open(&options);
	for (size_t i = 0; i < w.plan->filled; i++)
		put_stamp(i, i % 4);
}

static void assert_is_model(void)
{
	assert_sound(w.zram);
	assert_int_equal(zram_size(w.zram), w.size);
	assert_int_equal(zram_pread(w.zram, again, w.size, 0), w.size);
	assert_memory_equal(again, model, w.size);
}

static void assert_usable(void)
{
	set_attribute(w.zram, "mem_limit", "0");
	for (size_t i = 0; i < w.size / w.block; i += 3)
		put_stamp(i, (i + 1) % 4);
	put("abc", 3, w.size - 5);
	assert_is_model();
	discard(w.block, w.size / 2);
	zram_compact(w.zram);
	assert_is_model();
	assert_int_equal(zram_reset(w.zram), 0);
	memset(model, 0, w.size);
	put_stamp(1, PACKED);
	assert_is_model();
}

static void close_store(void)
{
	assert_is_model();
	assert_usable();
	store_close(w.zram);
}

/* --- what is done --- */

static size_t blocks(void)
{
	return w.size / w.block;
}

static void fill(void)
{
	for (size_t i = 0; i < blocks(); i++)
		put_stamp(i, i % 4);
}

/* Each block is in turn of each kind. */
static void overwrite(void)
{
	for (unsigned turn = 1; turn < 4; turn++) {
		for (size_t i = 0; i < w.plan->filled; i++)
			put_stamp(i, (i + turn) % 4);
	}
}

/* The same kind again: where it can be, in place. */
static void overwrite_alike(void)
{
	for (size_t i = 0; i < w.plan->filled; i++) {
		put_stamp(i, i % 4);
		put(model + i * w.block, w.block, i * w.block);
	}
}

static void write_parts(void)
{
	for (unsigned n = 0; n < 40; n++) {
		size_t count = rng_between(&w.rng, 1, (uint32_t)(2 * w.block));
		size_t offset = rng_below(&w.rng, (uint32_t)(w.size - count));

		pattern_fill(bytes, count, n);
		put(bytes, count, offset);
	}
}

/* Block after block: what was done is done, the rest is as it was. */
static void write_many(void)
{
	for (unsigned n = 0; n < 3; n++) {
		size_t first = n;
		size_t count = (blocks() - first) * w.block - n * 100;

		for (size_t i = 0; i <= count / w.block; i++)
			stamp_fill(bytes + i * w.block, w.block,
				   stamp_key((i + n) % 4, w.serial++));
		put(bytes, count, first * w.block);
	}
}

static void read_all(void)
{
	for (unsigned n = 0; n < 30; n++) {
		size_t count = rng_between(&w.rng, 1, (uint32_t)(3 * w.block));

		get(count, rng_below(&w.rng, (uint32_t)(w.size - count)));
	}
	get(w.size, 0);
}

static void discard_and_write(void)
{
	for (unsigned n = 0; n < 30; n++) {
		size_t count = rng_between(&w.rng, 1, (uint32_t)(8 * w.block));

		discard(rng_below(&w.rng, (uint32_t)(w.size - count)), count);
		put_stamp(rng_below(&w.rng, (uint32_t)blocks()), n % 4);
	}
}

static void write_zeroes(void)
{
	for (unsigned n = 0; n < 40; n++) {
		size_t count = rng_between(&w.rng, 1, (uint32_t)(4 * w.block));

		zero(rng_below(&w.rng, (uint32_t)(w.size - count)), count);
		put_stamp(rng_below(&w.rng, (uint32_t)blocks()), n % 4);
	}
}

static void change_size(void)
{
	size_t full = w.size;

	for (unsigned n = 0; n < 12; n++) {
		resize(full - rng_below(&w.rng, (uint32_t)(full / 2)) - 1);
		if (w.size >= w.block)
			put_stamp(w.size / w.block - 1, PACKED);
		resize(full);
		put_stamp(blocks() / 2 + n, n % 4);
	}
	own_begin();
	resize(full);
	own_end();
}

static void reset(void)
{
	for (unsigned n = 0; n < 4; n++) {
		errno = 0;
		if (zram_reset(w.zram) == 0)
			memset(model, 0, w.size);
		else
			assert_int_equal(errno, ENOMEM);
		put_stamp(n, PACKED);
		put_stamp(blocks() - 1, RAW);
	}
}

static void compact(void)
{
	for (unsigned n = 0; n < 4; n++) {
		for (size_t i = n; i < blocks(); i += 3)
			discard(i * w.block, w.block);
		zram_compact(w.zram);
		for (size_t i = n; i < blocks(); i += 5)
			put_stamp(i, i % 4);
	}
}

static void change_algorithm(void)
{
	for (const char *const *name = zram_algorithms(); *name; name++) {
		char bracketed[32];

		snprintf(bracketed, sizeof(bracketed), "[%s]", *name);
		set("comp_algorithm", *name, bracketed);
	}
	put_stamp(0, PACKED);
	put_stamp(1, RAW);
	get(2 * w.block, 0);
}

static char dictionary_path[] = "/tmp/zram-faults-XXXXXX";

static void make_dictionary_file(void)
{
	int fd = mkstemp(dictionary_path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, dictionary, trained_size), trained_size);
	close(fd);
}

static void change_params(void)
{
	char value[64], expected[64];

	snprintf(value, sizeof(value), "level=5 dict=%s", dictionary_path);
	snprintf(expected, sizeof(expected), "level=5 dict_size=%zu", trained_size);
	set("algorithm_params", value, expected);
	set("algorithm_params", "level=2", "level=2");
	set("algorithm_params", "dict=", "dict_size=0");
	put_stamp(0, PACKED);
	get(w.block, 0);
}

static void change_compaction(void)
{
	set("compaction", "manual", "manual");
	set("compaction", "auto", "auto");
	put_stamp(0, PACKED);
}

/* Never above the limit. */
static void meet_limit(void)
{
	for (unsigned n = 0; n < 2; n++) {
		for (size_t i = 0; i < blocks(); i++) {
			put_stamp(i, i % 3 ? PACKED : RAW);
			own_begin();
			assert_true(stats_of(w.zram).mem_used_total <= w.plan->options.mem_limit);
			own_end();
		}
		discard(n * w.block * 7, w.size / 2);
	}
}

static void move_limit(void)
{
	for (size_t i = 0; i < blocks(); i++) {
		if (i % 8 == 0) {
			char value[32];

			snprintf(value, sizeof(value), "%llu",
				 i % 24 == 0 ? 0ull
					     : (unsigned long long)stats_of(w.zram).mem_used_total +
						       (i % 16) * 2000);
			set_attribute(w.zram, "mem_limit", value);
		}
		put_stamp(i, i % 4);
	}
}

static int check_extent(const struct zram_extent *extent, void *data)
{
	uint64_t *next = data;

	assert_int_equal(extent->offset, *next);
	*next += extent->length;
	return 0;
}

/* What the store says of itself needs no memory. */
static void ask(void)
{
	for (size_t i = 0; i < blocks(); i += 2) {
		uint64_t next = 0;

		put_stamp(i, i % 4);
		assert_sound(w.zram);
		assert_int_equal(zram_get_extents(w.zram, 0, UINT64_MAX, check_extent, &next), 0);
		assert_int_equal(next, w.size);
		for (const char *const *name = zram_attributes(); *name; name++)
			assert_true(zram_get(w.zram, *name, (char *)again, 4096) > 0 ||
				    errno == EACCES);
	}
}

/* --- blocks far from each other: nodes and chunks of the table --- */

#define FAR_BLOCKS 14

static struct {
	uint64_t key[FAR_BLOCKS];
} far_away;

static uint64_t far_block(size_t i)
{
	return i * i * i * UINT64_C(9999991);
}

static void open_far(const void *arg)
{
	struct zram_options options;

	prepare(arg);
	memset(&far_away, 0, sizeof(far_away));
	options = options_of(w.plan);
	options.size = UINT64_C(1) << 56;
	w.zram = store_open(&options);
}

static void write_far(void)
{
	unsigned char stamped[BLOCK];

	for (size_t i = 0; i < FAR_BLOCKS; i++) {
		uint64_t key = stamp_key(i % 4, w.serial++);

		stamp_fill(stamped, BLOCK, key);
		errno = 0;
		if (zram_pwrite(w.zram, stamped, BLOCK, far_block(i) * BLOCK) == BLOCK)
			far_away.key[i] = key;
		else
			assert_documented(errno);
	}
}

static void write_and_forget_far(void)
{
	write_far();
	for (size_t i = 0; i < FAR_BLOCKS; i += 2) {
		assert_int_equal(zram_discard(w.zram, far_block(i) * BLOCK, BLOCK), 0);
		far_away.key[i] = 0;
	}
	zram_compact(w.zram);
	write_far();
}

static void close_far(void)
{
	assert_sound(w.zram);
	for (size_t i = 0; i < FAR_BLOCKS; i++)
		assert_stamp(w.zram, far_block(i), far_away.key[i]);
	set_attribute(w.zram, "mem_limit", "0");
	write_far();
	for (size_t i = 0; i < FAR_BLOCKS; i++)
		assert_stamp(w.zram, far_block(i), far_away.key[i]);
	assert_int_equal(zram_discard(w.zram, 0, UINT64_MAX), 0);
	zram_compact(w.zram);
	assert_int_equal(stats_of(w.zram).table_bytes, 0);
	store_close(w.zram);
}

/* --- threads: each has a part of the store --- */

struct writer {
	pthread_t thread;
	size_t first, count;
	uint64_t keys[64];
};

static atomic_bool wrong;

static void *write_and_read(void *data)
{
	struct writer *writer = data;
	unsigned char stamped[BLOCK], read[BLOCK];

	for (uint64_t n = 0; n < 3 * writer->count; n++) {
		size_t i = n * 7 % writer->count;
		uint64_t key = stamp_key(n % 4, n);
		uint64_t offset = (writer->first + i) * BLOCK;

		stamp_fill(stamped, BLOCK, key);
		if (zram_pwrite(w.zram, stamped, BLOCK, offset) == BLOCK)
			writer->keys[i] = key;
		else if (errno != ENOMEM && errno != EIO)
			atomic_store(&wrong, true);
		stamp_fill(stamped, BLOCK, writer->keys[i]);
		if (zram_pread(w.zram, read, BLOCK, offset) != BLOCK
			    ? errno != EIO
			    : memcmp(stamped, read, BLOCK) != 0)
			atomic_store(&wrong, true);
	}
	return NULL;
}

static void write_by_threads(void)
{
	static struct writer writers[THREADS];
	size_t share = blocks() / THREADS;

	assert_true(share <= COUNT_OF(writers[0].keys));
	atomic_store(&wrong, false);
	for (size_t i = 0; i < THREADS; i++) {
		memset(&writers[i], 0, sizeof(writers[i]));
		writers[i].first = i * share;
		writers[i].count = share;
		assert_int_equal(
			pthread_create(&writers[i].thread, NULL, write_and_read, &writers[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(writers[i].thread, NULL);
	disarm();
	assert_false(atomic_load(&wrong));
	for (size_t i = 0; i < THREADS; i++) {
		for (size_t k = 0; k < share; k++)
			stamp_fill(model + (writers[i].first + k) * BLOCK, BLOCK,
				   writers[i].keys[k]);
	}
}

/* --- a store that is made under faults --- */

static void create(void)
{
	struct zram_options options = options_of(w.plan);

	options.size = w.size;
	errno = 0;
	w.zram = zram_create(&options);
	if (w.zram)
		return;
	assert_true(refusals() > 0);
	if (errno != ENOMEM)
		print_error("zram_create: %s\n", strerror(errno));
	assert_int_equal(errno, ENOMEM);
}

static void use_and_destroy(void)
{
	if (w.zram)
		close_store();
}

/* --- all of them --- */

#define PLAN(name, ...) static const struct plan name = { __VA_ARGS__ }

PLAN(lz4, .blocks = 48, .options.algorithm = "lz4");
PLAN(lz4hc, .blocks = 24, .options.algorithm = "lz4hc");
PLAN(zstd, .blocks = 24, .options.algorithm = "zstd");
PLAN(lzo, .blocks = 24, .options.algorithm = "lzo");
PLAN(none, .blocks = 48, .options.algorithm = "none");
PLAN(lz4_dictionary, .blocks = 24, .options.algorithm = "lz4", .has_dictionary = true);
PLAN(lz4hc_dictionary, .blocks = 24, .options.algorithm = "lz4hc", .has_dictionary = true);
PLAN(zstd_dictionary, .blocks = 24, .options.algorithm = "zstd", .has_dictionary = true);
PLAN(zstd_trained, .blocks = 24, .options.algorithm = "zstd", .has_dictionary = true,
     .trained = true);
PLAN(filled, .blocks = 36, .filled = 27);
PLAN(filled_zstd, .blocks = 16, .filled = 12, .options.algorithm = "zstd");
PLAN(large_blocks, .blocks = 6, .filled = 5, .options.block_size = 65536);
PLAN(unchecked, .blocks = 40, .filled = 40, .options.checksum = ZRAM_CHECKSUM_OFF);
PLAN(by_hand, .blocks = 48, .filled = 48, .options.compaction = ZS_COMPACTION_MANUAL);
PLAN(limited, .blocks = 40, .options.mem_limit = KIB(210));
PLAN(limited_zstd, .blocks = 16, .options.mem_limit = KIB(590), .options.algorithm = "zstd");
PLAN(limits, .blocks = 40);
PLAN(shared, .blocks = 48, .options.max_comp_streams = THREADS);
PLAN(far_plan, .blocks = 1);
PLAN(far_limited, .blocks = 1, .options.mem_limit = MIB(1));

#define ON(title, work, plan)                               \
	{                                                   \
		title, open_store, work, close_store, &plan \
	}
#define CREATE(title, plan)                                    \
	{                                                      \
		title, prepare, create, use_and_destroy, &plan \
	}

static const struct scenario scenarios[] = {
	CREATE("create, lz4", lz4),
	CREATE("create, lz4hc", lz4hc),
	CREATE("create, zstd", zstd),
	CREATE("create, lzo", lzo),
	CREATE("create, none", none),
	CREATE("create, lz4 with a dictionary", lz4_dictionary),
	CREATE("create, lz4hc with a dictionary", lz4hc_dictionary),
	CREATE("create, zstd with a raw dictionary", zstd_dictionary),
	CREATE("create, zstd with a trained dictionary", zstd_trained),
	ON("fill, lz4", fill, lz4),
	ON("fill, lz4hc", fill, lz4hc),
	ON("fill, zstd", fill, zstd),
	ON("fill, lzo", fill, lzo),
	ON("fill, none", fill, none),
	ON("fill, lz4 with a dictionary", fill, lz4_dictionary),
	ON("fill, lz4hc with a dictionary", fill, lz4hc_dictionary),
	ON("fill, zstd with a dictionary", fill, zstd_trained),
	ON("overwrite", overwrite, filled),
	ON("overwrite, zstd", overwrite, filled_zstd),
	ON("overwrite with the same", overwrite_alike, filled),
	ON("write parts of blocks", write_parts, filled),
	ON("write parts of blocks of 64 KiB", write_parts, large_blocks),
	ON("write many blocks at once", write_many, filled),
	ON("write many blocks of 64 KiB", write_many, large_blocks),
	ON("read", read_all, filled),
	ON("read, zstd", read_all, filled_zstd),
	ON("read, no checksums", read_all, unchecked),
	ON("read blocks of 64 KiB", read_all, large_blocks),
	ON("discard and write", discard_and_write, filled),
	ON("write zeros", write_zeroes, filled),
	ON("resize", change_size, filled),
	ON("reset", reset, filled),
	ON("compact", compact, by_hand),
	ON("change the algorithm", change_algorithm, lz4),
	ON("change its parameters", change_params, zstd),
	ON("change the compaction", change_compaction, lz4),
	ON("at the limit", meet_limit, limited),
	ON("at the limit, zstd", meet_limit, limited_zstd),
	ON("change the algorithm at the limit", change_algorithm, limited_zstd),
	ON("the limit moves", move_limit, limits),
	ON("extents and attributes", ask, filled),
	ON("four threads", write_by_threads, shared),
	{ "blocks far from each other", open_far, write_far, close_far, &far_plan },
	{ "blocks far from each other, some forgotten", open_far, write_and_forget_far, close_far,
	  &far_plan },
	{ "blocks far from each other, at the limit", open_far, write_and_forget_far, close_far,
	  &far_limited },
};

static bool can_run(const struct scenario *scenario)
{
	const struct plan *plan = scenario->arg;

	return !plan->options.algorithm || has_algorithm(plan->options.algorithm);
}

static void every_refusal_is_reported_and_changes_nothing(void **state)
{
	(void)state;
	make_dictionaries();
	make_dictionary_file();
	for (size_t i = 0; i < COUNT_OF(scenarios); i++) {
		if (can_run(&scenarios[i]))
			run_scenario(&scenarios[i]);
		else
			print_message("%-44s not in this build\n", scenarios[i].name);
	}
	unlink(dictionary_path);
	print_total(5000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_refusal_is_reported_and_changes_nothing),
	};

	take_arguments(argc, argv);
	return cmocka_run_group_tests_name("faults-store", tests, NULL, NULL);
}
