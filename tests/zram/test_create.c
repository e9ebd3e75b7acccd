/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* A store is made as its options say, or refused; every algorithm stores what it is given. */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>

static void assert_defaults(struct zram *zram)
{
	assert_int_equal(zram_size(zram), 0);
	assert_int_equal(zram_block_size(zram), 4096);
	assert_attribute(zram, "disksize", "0\n");
	assert_attribute(zram, "block_size", "4096\n");
	assert_attribute(zram, "mem_limit", "0\n");
	assert_attribute(zram, "checksum", "1\n");
	assert_attribute(zram, "compaction", "auto\n");
	assert_attribute(zram, "initstate", "1\n");
	assert_attribute(zram, "zero_on_free", "0\n");
	assert_in_range(number_attribute(zram, "max_comp_streams"), 4, 256);
}

static void a_zeroed_struct_and_null_ask_for_the_defaults(void **state)
{
	const struct zram_options zeroed = { 0 };
	char value[256];
	struct zram *zram;

	(void)state;
	zram = store_open(NULL);
	assert_defaults(zram);
	assert_true(zram_get(zram, "comp_algorithm", value, sizeof(value)) > 0);
	assert_non_null(strstr(value, "[lz4]"));
	store_close(zram);
	zram = store_open(&zeroed);
	assert_defaults(zram);
	store_close(zram);
}

static void a_store_is_made_as_its_options_say(void **state)
{
	const struct zram_options options = {
		.size = 1234567,
		.block_size = 16384,
		.algorithm = "zstd",
		.level = 3,
		.mem_limit = 64 << 20,
		.compaction = ZS_COMPACTION_MANUAL,
		.checksum = ZRAM_CHECKSUM_OFF,
		.max_comp_streams = 7,
	};
	struct zram *zram = store_open(&options);
	char value[256];

	(void)state;
	assert_int_equal(zram_size(zram), 1234567);
	assert_int_equal(zram_block_size(zram), 16384);
	assert_int_equal(number_attribute(zram, "mem_limit"), 64 << 20);
	assert_int_equal(number_attribute(zram, "max_comp_streams"), 7);
	assert_attribute(zram, "checksum", "0\n");
	assert_attribute(zram, "compaction", "manual\n");
	assert_true(zram_get(zram, "comp_algorithm", value, sizeof(value)) > 0);
	assert_non_null(strstr(value, "[zstd]"));
	assert_true(zram_get(zram, "algorithm_params", value, sizeof(value)) > 0);
	assert_string_equal(value, "level=3 dict_size=0\n");
	store_close(zram);
}

static void assert_bad(const struct zram_options *options, const char *what)
{
	struct zram *zram;

	errno = 0;
	zram = zram_create(options);
	if (zram || errno != EINVAL)
		print_error("%s: %s\n", what, zram ? "accepted" : strerror(errno));
	assert_null(zram);
	assert_int_equal(errno, EINVAL);
}

static void an_option_out_of_its_range_is_refused(void **state)
{
	static const char dictionary[] = "what many blocks have in common";
#define BAD(...)                              \
	{                                     \
		{ __VA_ARGS__ }, #__VA_ARGS__ \
	}
	static const struct {
		struct zram_options options;
		const char *what;
	} bad[] = {
		BAD(.size = ZRAM_MAX_SIZE + 1),
		BAD(.size = UINT64_MAX),
		BAD(.block_size = 1),
		BAD(.block_size = 2048),
		BAD(.block_size = 4095),
		BAD(.block_size = 6000),
		BAD(.block_size = 65535),
		BAD(.block_size = 131072),
		BAD(.block_size = SIZE_MAX),
		BAD(.algorithm = ""),
		BAD(.algorithm = "LZ4"),
		BAD(.algorithm = "lz"),
		BAD(.algorithm = "lz44"),
		BAD(.algorithm = "gzip"),
		BAD(.algorithm = "zstd", .level = 1000),
		BAD(.algorithm = "lz4", .level = -1),
		BAD(.algorithm = "none", .level = 1),
		BAD(.algorithm = "lz4hc", .level = 13),
		BAD(.algorithm = "none", .dictionary = dictionary,
		    .dictionary_size = sizeof(dictionary)),
		BAD(.dictionary_size = 100),
		BAD(.mem_limit = 1),
		BAD(.mem_limit = 4096),
		BAD(.compaction = (enum zs_compaction)2),
		BAD(.checksum = (enum zram_checksum)2),
		BAD(.max_comp_streams = 257),
		BAD(.zero_on_free = 2),
		BAD(.max_comp_streams = ~0u),
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_bad(&bad[i].options, bad[i].what);
}

static void lzo_cannot_use_a_dictionary(void **state)
{
	const struct zram_options options = { .algorithm = "lzo",
					      .dictionary = "common",
					      .dictionary_size = 6 };

	(void)state;
	if (!has_algorithm("lzo"))
		skip();
	assert_bad(&options, "lzo with a dictionary");
}

static void the_largest_and_the_smallest_of_each_option_are_accepted(void **state)
{
	static const struct zram_options good[] = {
		{ .size = ZRAM_MAX_SIZE },
		{ .size = 1 },
		{ .block_size = ZRAM_MIN_BLOCK_SIZE },
		{ .block_size = ZRAM_MAX_BLOCK_SIZE },
		{ .max_comp_streams = 1 },
		{ .max_comp_streams = 256 },
		{ .mem_limit = UINT64_MAX },
		{ .algorithm = "zstd", .level = 19 },
		{ .algorithm = "zstd", .level = -5 },
		{ .algorithm = "lz4", .level = 20 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		struct zram *zram = store_open(&good[i]);

		assert_int_equal(zram_size(zram), good[i].size);
		store_close(zram);
	}
}

static void the_list_of_algorithms_has_those_that_are_always_there(void **state)
{
	(void)state;
	assert_true(has_algorithm("lz4"));
	assert_true(has_algorithm("zstd"));
	assert_true(has_algorithm("none"));
	assert_false(has_algorithm(""));
}

/* The lowest limit at which an empty store can be made. */
static uint64_t lowest_limit(void)
{
	struct zram_options options = { .size = MIB(1) };
	uint64_t refused = 0, accepted = MIB(64);

	while (accepted - refused > 1) {
		struct zram *zram;

		options.mem_limit = refused + (accepted - refused) / 2;
		zram = zram_create(&options);
		if (zram) {
			assert_true(stats_of(zram).mem_used_total <= options.mem_limit);
			store_close(zram);
			accepted = options.mem_limit;
		} else {
			assert_int_equal(errno, EINVAL);
			refused = options.mem_limit;
		}
	}
	return accepted;
}

static void an_empty_store_fits_in_its_limit_or_is_refused(void **state)
{
	uint64_t least = lowest_limit();
	struct zram *zram = store_open(NULL);

	(void)state;
	print_message("an empty store takes %llu bytes, the lowest limit is %llu\n",
		      (unsigned long long)stats_of(zram).mem_used_total, (unsigned long long)least);
	assert_true(least <= MIB(1));
	store_close(zram);
}

static void null_is_nothing_to_destroy(void **state)
{
	(void)state;
	zram_destroy(NULL);
}

/* Blocks of all kinds, then all overwritten by another kind. */
static void store_and_compare(const struct zram_options *options)
{
	struct zram *zram = store_open(options);
	uint64_t blocks = options->size / options->block_size;

	for (uint64_t round = 0; round < 2; round++) {
		for (uint64_t i = 0; i < blocks; i++)
			write_stamp(zram, i, stamp_key((i + round) % 4, i + round));
		assert_sound(zram);
		for (uint64_t i = 0; i < blocks; i++)
			assert_stamp(zram, i, stamp_key((i + round) % 4, i + round));
	}
	store_close(zram);
}

static void each_algorithm_stores_blocks_of_each_size(void **state)
{
	static const int levels[] = { 0, 1, 3, 9 };

	(void)state;
	for (const char *const *name = zram_algorithms(); *name; name++) {
		for (size_t size = 4096; size <= 65536; size *= 2) {
			struct zram_options options = {
				.size = 40 * size,
				.block_size = size,
				.algorithm = *name,
				.checksum = size % 3 == 1 ? ZRAM_CHECKSUM_ON : ZRAM_CHECKSUM_OFF,
			};

			store_and_compare(&options);
		}
	}
	for (size_t i = 0; i < COUNT_OF(levels); i++) {
		struct zram_options options = { .size = 40 * 4096,
						.block_size = 4096,
						.algorithm = "zstd",
						.level = levels[i] };

		store_and_compare(&options);
		options.algorithm = "lz4hc";
		if (has_algorithm("lz4hc"))
			store_and_compare(&options);
	}
}

/* Text that a higher level finds more in. */
static void fill_with_text(unsigned char *text, size_t size, uint64_t seed)
{
	static const char *const words[] = { "page ",  "zspage ", "slot ",    "handle ", "map ",
					     "unmap ", "pool ",   "habitat ", "port ",   "block " };
	struct rng rng = rng_seeded(seed);
	size_t at = 0;

	while (at < size) {
		const char *word = words[rng_below(&rng, COUNT_OF(words))];

		while (*word && at < size)
			text[at++] = (unsigned char)*word++;
	}
}

static uint64_t compressed_text(const struct zram_options *wanted)
{
	struct zram_options options = *wanted;
	unsigned char text[4096];
	struct zram *zram;
	uint64_t bytes;

	options.size = 100 * sizeof(text);
	zram = store_open(&options);
	for (unsigned i = 0; i < 100; i++) {
		fill_with_text(text, sizeof(text), i);
		assert_int_equal(zram_pwrite(zram, text, sizeof(text), i * sizeof(text)),
				 sizeof(text));
		assert_contents(zram, i * sizeof(text), text, sizeof(text));
	}
	bytes = stats_of(zram).compr_data_size;
	store_close(zram);
	return bytes;
}

static void a_higher_level_compresses_more(void **state)
{
	const struct zram_options fast = { .algorithm = "zstd", .level = 1 };
	const struct zram_options thorough = { .algorithm = "zstd", .level = 19 };

	(void)state;
	assert_true(compressed_text(&thorough) < compressed_text(&fast));
}

static void a_raw_dictionary_saves_bytes(void **state)
{
	static const char *const names[] = { "lz4", "lz4hc", "zstd" };
	unsigned char dictionary[8000];

	(void)state;
	fill_with_text(dictionary, sizeof(dictionary), 1000);
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		struct zram_options options = { .algorithm = names[i] };
		uint64_t without, with;

		if (!has_algorithm(names[i]))
			continue;
		without = compressed_text(&options);
		options.dictionary = dictionary;
		options.dictionary_size = sizeof(dictionary);
		with = compressed_text(&options);
		print_message("%s: %llu bytes, with a dictionary %llu\n", names[i],
			      (unsigned long long)without, (unsigned long long)with);
		assert_true(with < without);
	}
}

static void the_dictionary_is_copied_and_counted(void **state)
{
	unsigned char *dictionary = malloc(100000), text[4096];
	struct zram_options options = { .size = MIB(1),
					.algorithm = "zstd",
					.dictionary = dictionary,
					.dictionary_size = 100000 };
	struct zram *plain = store_open(NULL), *zram;
	char value[128];

	(void)state;
	assert_non_null(dictionary);
	fill_with_text(dictionary, 100000, 1);
	zram = store_open(&options);
	memset(dictionary, 0, 100000);
	free(dictionary);
	fill_with_text(text, sizeof(text), 2);
	assert_int_equal(zram_pwrite(zram, text, sizeof(text), 0), sizeof(text));
	assert_contents(zram, 0, text, sizeof(text));
	assert_true(stats_of(zram).stream_bytes >= stats_of(plain).stream_bytes + 100000);
	assert_true(zram_get(zram, "algorithm_params", value, sizeof(value)) > 0);
	assert_non_null(strstr(value, "dict_size=100000\n"));
	store_close(zram);
	store_close(plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_zeroed_struct_and_null_ask_for_the_defaults),
		cmocka_unit_test(a_store_is_made_as_its_options_say),
		cmocka_unit_test(an_option_out_of_its_range_is_refused),
		cmocka_unit_test(lzo_cannot_use_a_dictionary),
		cmocka_unit_test(the_largest_and_the_smallest_of_each_option_are_accepted),
		cmocka_unit_test(the_list_of_algorithms_has_those_that_are_always_there),
		cmocka_unit_test(an_empty_store_fits_in_its_limit_or_is_refused),
		cmocka_unit_test(null_is_nothing_to_destroy),
		cmocka_unit_test(each_algorithm_stores_blocks_of_each_size),
		cmocka_unit_test(a_higher_level_compresses_more),
		cmocka_unit_test(a_raw_dictionary_saves_bytes),
		cmocka_unit_test(the_dictionary_is_copied_and_counted),
	};

	return cmocka_run_group_tests_name("zram-create", tests, NULL, NULL);
}
