/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The system refuses memory: the first request of it, the second and so on,
 * once and for good, until the call under test is through without a refusal.
 * Each refusal is reported, and nothing but that has happened. The requests are those of
 * libzram and libzsmalloc, which are linked with --wrap here.
 */
#include "store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

static struct {
	atomic_bool armed;
	bool for_good;
	unsigned long fail_at; /* the call that is refused, from 1 */
	atomic_ulong calls;    /* since it was armed */
	atomic_ulong refused;
} faults;

static bool refuse(void)
{
	unsigned long call;

	if (!atomic_load(&faults.armed))
		return false;
	call = atomic_fetch_add(&faults.calls, 1) + 1;
	if (call < faults.fail_at || (call > faults.fail_at && !faults.for_good))
		return false;
	atomic_fetch_add(&faults.refused, 1);
	errno = ENOMEM;
	return true;
}

static void arm(unsigned long fail_at, bool for_good)
{
	atomic_store(&faults.calls, 0);
	atomic_store(&faults.refused, 0);
	faults.fail_at = fail_at;
	faults.for_good = for_good;
	atomic_store(&faults.armed, true);
}

/* Returns whether anything was refused. */
static bool disarm(void)
{
	atomic_store(&faults.armed, false);
	return atomic_load(&faults.refused) > 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **memory, size_t alignment, size_t size);
void *__real_mmap(void *address, size_t length, int protection, int flags, int file, off_t offset);
void *__real_mmap64(void *address, size_t length, int protection, int flags, int file,
		    off64_t offset);
int __real_mprotect(void *address, size_t length, int protection);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size);
void *__wrap_mmap(void *address, size_t length, int protection, int flags, int file, off_t offset);
void *__wrap_mmap64(void *address, size_t length, int protection, int flags, int file,
		    off64_t offset);
int __wrap_mprotect(void *address, size_t length, int protection);

void *__wrap_malloc(size_t size)
{
	return refuse() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return refuse() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return refuse() ? NULL : __real_realloc(old, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return refuse() ? NULL : __real_aligned_alloc(alignment, size);
}

int __wrap_posix_memalign(void **memory, size_t alignment, size_t size)
{
	return refuse() ? ENOMEM : __real_posix_memalign(memory, alignment, size);
}

void *__wrap_mmap(void *address, size_t length, int protection, int flags, int file, off_t offset)
{
	return refuse() ? MAP_FAILED
			: __real_mmap(address, length, protection, flags, file, offset);
}

/* What mmap() is where files may be large. */
void *__wrap_mmap64(void *address, size_t length, int protection, int flags, int file,
		    off64_t offset)
{
	return refuse() ? MAP_FAILED
			: __real_mmap64(address, length, protection, flags, file, offset);
}

int __wrap_mprotect(void *address, size_t length, int protection)
{
	return refuse() ? -1 : __real_mprotect(address, length, protection);
}

/* Runs body with each request refused in turn; it returns false when it was refused. */
struct trial {
	bool (*body)(void *data);
	void (*after)(void *data, bool succeeded);
	void *data;
};

/* The number of different requests that could be refused. */
static unsigned long refuse_each(const struct trial *trial, bool for_good)
{
	unsigned long fail_at = 0;
	bool succeeded, refused;

	do {
		arm(++fail_at, for_good);
		errno = 0;
		succeeded = trial->body(trial->data);
		refused = disarm();
		if (!refused)
			assert_true(succeeded);
		trial->after(trial->data, succeeded);
		assert_true(fail_at < 100000);
	} while (refused);
	return fail_at - 1;
}

static void refuse_once_and_for_good(const struct trial *trial, const char *what)
{
	unsigned long once = refuse_each(trial, false), for_good = refuse_each(trial, true);

	print_message("%s: %lu requests of memory refused\n", what, once);
	assert_true(once > 0);
	assert_true(for_good > 0);
}

/* Creation. */

struct creation {
	struct zram_options options;
	struct zram *zram;
};

static bool create(void *data)
{
	struct creation *creation = data;

	creation->zram = zram_create(&creation->options);
	return creation->zram != NULL;
}

static void after_create(void *data, bool succeeded)
{
	struct creation *creation = data;

	if (!succeeded) {
		assert_int_equal(errno, ENOMEM);
		return;
	}
	write_stamp(creation->zram, 3, stamp_key(PACKED, 3));
	assert_stamp(creation->zram, 3, stamp_key(PACKED, 3));
	store_close(creation->zram);
}

static void a_store_that_cannot_be_made_is_reported(void **state)
{
	static const char dictionary[] = "page page page zspage slot handle map unmap pool port";
	struct creation creation = { .options = { .size = MIB(1) } };
	const struct trial trial = { create, after_create, &creation };

	(void)state;
	for (const char *const *name = zram_algorithms(); *name; name++) {
		creation.options.algorithm = *name;
		refuse_once_and_for_good(&trial, *name);
	}
	creation.options.algorithm = "zstd";
	creation.options.dictionary = dictionary;
	creation.options.dictionary_size = sizeof(dictionary);
	refuse_once_and_for_good(&trial, "zstd with a dictionary");
}

/* Writes: as much as needs new pages, tables and contexts in one go. */

enum { FAR = 1 << 20 };

struct writing {
	struct zram *zram;
	struct zram_options options;
	unsigned char *bytes;
	uint64_t first;
	size_t blocks;
	ssize_t done;
};

static void open_for_writing(struct writing *writing)
{
	writing->zram = store_open(&writing->options);
	for (uint64_t i = 0; i < 3; i++)
		write_stamp(writing->zram, writing->first + i, stamp_key(PACKED, 1000 + i));
}

static bool write_all(void *data)
{
	struct writing *writing = data;
	size_t size = zram_block_size(writing->zram);

	writing->done = zram_pwrite(writing->zram, writing->bytes, writing->blocks * size,
				    writing->first * size);
	return writing->done == (ssize_t)(writing->blocks * size);
}

/* What was done has the new contents, the rest the old ones; then it can be written. */
static void after_write(void *data, bool succeeded)
{
	struct writing *writing = data;
	size_t size = zram_block_size(writing->zram);
	size_t done = writing->done < 0 ? 0 : (size_t)writing->done;

	if (!succeeded) {
		if (writing->done < 0)
			assert_int_equal(errno, ENOMEM);
		assert_int_equal(done % size, 0);
	}
	assert_sound(writing->zram);
	assert_contents(writing->zram, writing->first * size, writing->bytes, done);
	for (uint64_t i = done / size; i < writing->blocks; i++) {
		if (i < 3)
			assert_stamp(writing->zram, writing->first + i,
				     stamp_key(PACKED, 1000 + i));
		else
			assert_bytes(writing->zram, (writing->first + i) * size, size, 0);
	}
	assert_true(write_all(writing));
	assert_contents(writing->zram, writing->first * size, writing->bytes,
			writing->blocks * size);
	store_close(writing->zram);
	open_for_writing(writing);
}

static void refuse_writes(const char *algorithm, size_t block_size, size_t blocks)
{
	struct writing writing = {
		.options = { .size = (uint64_t)2 * FAR * block_size,
			     .block_size = block_size,
			     .algorithm = algorithm },
		.bytes = malloc(blocks * block_size),
		.first = FAR,
		.blocks = blocks,
	};
	const struct trial trial = { write_all, after_write, &writing };
	char what[64];

	assert_non_null(writing.bytes);
	for (uint64_t i = 0; i < blocks; i++)
		stamp_fill(writing.bytes + i * block_size, block_size,
			   stamp_key(i % 4 == 3 ? PACKED : RAW, i));
	open_for_writing(&writing);
	snprintf(what, sizeof(what), "%s, %zu blocks of %zu", algorithm, blocks, block_size);
	refuse_once_and_for_good(&trial, what);
	store_close(writing.zram);
	free(writing.bytes);
}

/* Enough for the pool to ask for more address space, which with sanitizers takes its time. */
enum { MANY = UNDER_ASAN ? 1600 : 3000 };

static void a_refused_write_leaves_the_old_contents_and_says_how_far_it_got(void **state)
{
	(void)state;
	for (const char *const *name = zram_algorithms(); *name; name++)
		refuse_writes(*name, 4096, MANY);
	refuse_writes("lz4", 65536, 400);
}

/* Many small writes: each refusal meets a store in another state. */

struct series {
	struct zram *zram;
	uint64_t at;
};

static bool write_on(void *data)
{
	struct series *series = data;
	unsigned char block[BLOCK];

	for (uint64_t i = 0; i < 3000; i++) {
		uint64_t number = series->at++;

		stamp_fill(block, sizeof(block), stamp_key(number % 4, number));
		if (zram_pwrite(series->zram, block, BLOCK, number * 300 * BLOCK) != BLOCK)
			return false;
	}
	return true;
}

static void after_writing_on(void *data, bool succeeded)
{
	struct series *series = data;
	uint64_t last = series->at - 1;

	if (!succeeded) {
		assert_int_equal(errno, ENOMEM);
		assert_bytes(series->zram, last * 300 * BLOCK, BLOCK, 0);
	}
	for (uint64_t i = 0; i < series->at - !succeeded; i += 100)
		assert_stamp(series->zram, i * 300, stamp_key(i % 4, i));
	assert_sound(series->zram);
	assert_int_equal(zram_reset(series->zram), 0);
	series->at = 0;
}

static void a_scattered_write_may_be_refused_anywhere(void **state)
{
	struct zram_options options = { .size = UINT64_C(1) << 50 };
	struct series series = { .zram = store_open(&options) };
	const struct trial trial = { write_on, after_writing_on, &series };

	(void)state;
	write_on(&series);
	assert_int_equal(zram_reset(series.zram), 0);
	series.at = 0;
	refuse_once_and_for_good(&trial, "scattered");
	store_close(series.zram);
}

/* Reset: "-1 with ENOMEM, and nothing changed". */

static bool reset(void *data)
{
	return zram_reset(data) == 0;
}

static void after_reset(void *data, bool succeeded)
{
	if (succeeded)
		assert_int_equal(stats_of(data).orig_data_size, 0);
	else
		assert_int_equal(errno, ENOMEM);
	assert_sound(data);
	for (uint64_t i = 0; i < 100 && !succeeded; i++)
		assert_stamp(data, i, stamp_key(i % 4, i));
	for (uint64_t i = 0; i < 100; i++)
		write_stamp(data, i, stamp_key(i % 4, i));
}

static void a_refused_reset_changes_nothing(void **state)
{
	struct zram_options options = { .size = MIB(4) };
	struct zram *zram = store_open(&options);
	const struct trial trial = { reset, after_reset, zram };

	(void)state;
	for (uint64_t i = 0; i < 100; i++)
		write_stamp(zram, i, stamp_key(i % 4, i));
	refuse_once_and_for_good(&trial, "reset");
	store_close(zram);
}

/* Threads: contexts that cannot be made for all of them are shared. */

enum { THREADS = 4, READS = 2000 };

struct crowd {
	struct zram *zram;
	atomic_ulong wrong;
	atomic_ulong written;
	atomic_ulong refused;
};

static void *read_and_write(void *data)
{
	struct crowd *crowd = data;
	unsigned char block[BLOCK];

	for (uint64_t i = 0; i < READS; i++) {
		if (zram_pread(crowd->zram, block, BLOCK, i % 100 * BLOCK) != BLOCK ||
		    !stamp_holds(block, BLOCK))
			atomic_fetch_add(&crowd->wrong, 1);
		errno = 0;
		stamp_fill(block, BLOCK, stamp_key(PACKED, i));
		if (zram_pwrite(crowd->zram, block, BLOCK, i % 100 * BLOCK) == BLOCK)
			atomic_fetch_add(&crowd->written, 1);
		else if (errno == ENOMEM)
			atomic_fetch_add(&crowd->refused, 1);
		else
			atomic_fetch_add(&crowd->wrong, 1);
	}
	return NULL;
}

static void threads_share_the_contexts_that_there_are(void **state)
{
	struct zram_options options = { .size = MIB(1), .max_comp_streams = THREADS };
	struct crowd crowd = { .zram = store_open(&options) };
	pthread_t threads[THREADS];

	(void)state;
	for (uint64_t i = 0; i < 100; i++)
		write_stamp(crowd.zram, i, stamp_key(PACKED, i));
	arm(1, true);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_and_write, &crowd), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	print_message("threads: %lu requests of memory refused, %lu writes\n",
		      atomic_load(&faults.refused), atomic_load(&crowd.refused));
	disarm();
	assert_int_equal(atomic_load(&crowd.wrong), 0);
	assert_int_equal(atomic_load(&crowd.written) + atomic_load(&crowd.refused),
			 THREADS * READS);
	for (uint64_t i = 0; i < 100; i++)
		write_stamp(crowd.zram, i, stamp_key(RAW, i));
	store_close(crowd.zram);
}

/* What must not need memory. */

static void nothing_but_writing_needs_memory(void **state)
{
	struct zram_options options = { .size = UINT64_C(1) << 40 };
	struct zram *zram = store_open(&options);
	unsigned char block[BLOCK];

	(void)state;
	for (uint64_t i = 0; i < 3000; i++)
		write_stamp(zram, i, stamp_key(i % 4, i));
	arm(1, true);
	assert_int_equal(zram_pread(zram, block, BLOCK, 2 * BLOCK), BLOCK);
	assert_true(stamp_holds(block, BLOCK));
	for (uint64_t i = 0; i < 3000; i++) {
		if (i % 3)
			assert_int_equal(zram_discard(zram, i * BLOCK, BLOCK), 0);
	}
	zram_compact(zram);
	assert_int_equal(zram_write_zeroes(zram, 0, 300 * BLOCK), 0);
	assert_int_equal(zram_resize(zram, MIB(64)), 0);
	disarm();
	for (uint64_t i = 300; i < 3000; i += 3)
		assert_stamp(zram, i, stamp_key(i % 4, i));
	store_close(zram);
}

static bool set_algorithm(void *data)
{
	return zram_set(data, "comp_algorithm", "zstd") == 0;
}

static void after_set_algorithm(void *data, bool succeeded)
{
	char value[128];

	if (!succeeded)
		assert_int_equal(errno, ENOMEM);
	assert_true(zram_get(data, "comp_algorithm", value, sizeof(value)) > 0);
	assert_non_null(strstr(value, succeeded ? "[zstd]" : "[lz4]"));
	write_stamp(data, 1, stamp_key(PACKED, 1));
	assert_stamp(data, 1, stamp_key(PACKED, 1));
	assert_int_equal(zram_reset(data), 0);
	set_attribute(data, "comp_algorithm", "lz4");
}

static void a_refused_change_of_algorithm_changes_nothing(void **state)
{
	struct zram_options options = { .size = MIB(4) };
	struct zram *zram = store_open(&options);
	const struct trial trial = { set_algorithm, after_set_algorithm, zram };

	(void)state;
	refuse_once_and_for_good(&trial, "comp_algorithm");
	store_close(zram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_store_that_cannot_be_made_is_reported),
		cmocka_unit_test(a_refused_write_leaves_the_old_contents_and_says_how_far_it_got),
		cmocka_unit_test(a_scattered_write_may_be_refused_anywhere),
		cmocka_unit_test(a_refused_reset_changes_nothing),
		cmocka_unit_test(threads_share_the_contexts_that_there_are),
		cmocka_unit_test(nothing_but_writing_needs_memory),
		cmocka_unit_test(a_refused_change_of_algorithm_changes_nothing),
	};

	return cmocka_run_group_tests_name("zram-nomem", tests, NULL, NULL);
}
