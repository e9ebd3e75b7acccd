/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* Dictionaries that were trained: used by all that can, refused where they are broken. */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>

#include <zdict.h>

enum { SAMPLES = 2000, DICTIONARY = 16384 };

/* Records of one form with other values in each. */
static void make_records(unsigned char *block, size_t size, uint64_t seed)
{
	struct rng rng = rng_seeded(seed);
	char line[128];
	size_t at = 0;

	while (at < size) {
		int length = snprintf(line, sizeof(line),
				      "{\"account\":%u,\"state\":\"%s\",\"balance\":%u.%02u}\n",
				      rng_below(&rng, 1000000),
				      rng_percent(&rng, 50) ? "active" : "suspended",
				      rng_below(&rng, 100000), rng_below(&rng, 100));
		size_t part = (size_t)length < size - at ? (size_t)length : size - at;

		memcpy(block + at, line, part);
		at += part;
	}
}

static size_t train(unsigned char *dictionary)
{
	unsigned char *samples = malloc((size_t)SAMPLES * 512);
	static size_t sizes[SAMPLES];
	size_t size;

	assert_non_null(samples);
	for (size_t i = 0; i < SAMPLES; i++) {
		make_records(samples + i * 512, 512, i);
		sizes[i] = 512;
	}
	size = ZDICT_trainFromBuffer(dictionary, DICTIONARY, samples, sizes, SAMPLES);
	free(samples);
	assert_false(ZDICT_isError(size));
	return size;
}

static uint64_t cost_of_records(const char *algorithm, const void *dictionary, size_t size)
{
	struct zram_options options = { .size = 200 * BLOCK,
					.algorithm = algorithm,
					.dictionary = dictionary,
					.dictionary_size = size };
	struct zram *zram = store_open(&options);
	unsigned char block[BLOCK];
	uint64_t bytes;

	for (uint64_t i = 0; i < 200; i++) {
		make_records(block, sizeof(block), 50000 + i);
		assert_int_equal(zram_pwrite(zram, block, BLOCK, i * BLOCK), BLOCK);
	}
	for (uint64_t i = 0; i < 200; i++) {
		make_records(block, sizeof(block), 50000 + i);
		assert_contents(zram, i * BLOCK, block, BLOCK);
	}
	bytes = stats_of(zram).compr_data_size;
	store_close(zram);
	return bytes;
}

static void a_trained_dictionary_saves_bytes(void **state)
{
	static const char *const names[] = { "lz4", "lz4hc", "zstd" };
	unsigned char dictionary[DICTIONARY];
	size_t size = train(dictionary);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		uint64_t without, with;

		if (!has_algorithm(names[i]))
			continue;
		without = cost_of_records(names[i], NULL, 0);
		with = cost_of_records(names[i], dictionary, size);
		print_message("%s: %llu bytes, with the dictionary %llu\n", names[i],
			      (unsigned long long)without, (unsigned long long)with);
		assert_true(with < without);
	}
}

static void a_dictionary_of_each_size_works(void **state)
{
	static const size_t sizes[] = { 1, 7, 8, 63, 1000, 65535, 65536, 65537, 200000 };
	static const char *const names[] = { "lz4", "lz4hc", "zstd" };
	unsigned char *dictionary = malloc(200000);

	(void)state;
	assert_non_null(dictionary);
	make_records(dictionary, 200000, 3);
	for (size_t i = 0; i < COUNT_OF(names) * COUNT_OF(sizes); i++) {
		const char *name = names[i % COUNT_OF(names)];

		if (has_algorithm(name))
			cost_of_records(name, dictionary, sizes[i / COUNT_OF(names)]);
	}
	free(dictionary);
}

/* What begins like a trained dictionary must be one, for zstd. */
static void a_broken_dictionary_is_refused(void **state)
{
	unsigned char dictionary[DICTIONARY];
	struct zram_options options = { .algorithm = "zstd", .dictionary = dictionary };
	size_t size = train(dictionary);

	(void)state;
	options.dictionary_size = 40;
	errno = 0;
	assert_null(zram_create(&options));
	assert_int_equal(errno, EINVAL);
	memset(dictionary + 8, 0xFF, 200);
	options.dictionary_size = size;
	errno = 0;
	assert_null(zram_create(&options));
	assert_int_equal(errno, EINVAL);
	/* Its number may be 0. */
	memset(dictionary + 4, 0, 4);
	errno = 0;
	assert_null(zram_create(&options));
	assert_int_equal(errno, EINVAL);
}

static void write_file(const char *path, const void *bytes, size_t size)
{
	FILE *file = fopen(path, "wb");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

/* In a directory of its own, which is removed again. */
static void a_dictionary_is_set_from_a_file(void **state)
{
	char directory[] = "/tmp/zram-dictionary-XXXXXX", path[64], value[128];
	unsigned char dictionary[DICTIONARY];
	size_t size = train(dictionary);
	struct zram_options options = { .size = MIB(1), .algorithm = "zstd" };
	struct zram *zram = store_open(&options);

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/d", directory);
	snprintf(value, sizeof(value), "level=5 dict=%s", path);
	write_file(path, dictionary, size);
	set_attribute(zram, "algorithm_params", value);
	remove(path);
	remove(directory);
	snprintf(value, sizeof(value), "level=5 dict_size=%zu\n", size);
	assert_attribute(zram, "algorithm_params", value);
	write_stamp(zram, 3, stamp_key(PACKED, 3));
	assert_stamp(zram, 3, stamp_key(PACKED, 3));
	assert_refused(zram_set(zram, "algorithm_params", "level=3"), EBUSY);
	assert_stamp(zram, 3, stamp_key(PACKED, 3));
	assert_int_equal(zram_reset(zram), 0);
	set_attribute(zram, "algorithm_params", "dict=");
	assert_attribute(zram, "algorithm_params", "level=5 dict_size=0\n");
	write_stamp(zram, 3, stamp_key(PACKED, 4));
	assert_stamp(zram, 3, stamp_key(PACKED, 4));
	store_close(zram);
}

static void a_dictionary_file_that_is_not_there_changes_nothing(void **state)
{
	struct zram *zram = store_open(NULL);
	char before[128], after[128];

	(void)state;
	assert_true(zram_get(zram, "algorithm_params", before, sizeof(before)) > 0);
	assert_int_equal(zram_set(zram, "algorithm_params", "dict=/nonexistent/dictionary"), -1);
	assert_true(zram_get(zram, "algorithm_params", after, sizeof(after)) > 0);
	assert_string_equal(before, after);
	store_close(zram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_trained_dictionary_saves_bytes),
		cmocka_unit_test(a_dictionary_of_each_size_works),
		cmocka_unit_test(a_broken_dictionary_is_refused),
		cmocka_unit_test(a_dictionary_is_set_from_a_file),
		cmocka_unit_test(a_dictionary_file_that_is_not_there_changes_nothing),
	};

	return cmocka_run_group_tests_name("zram-dictionary", tests, NULL, NULL);
}
