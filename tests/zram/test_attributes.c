/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* Every attribute, got and set, with values that are good and such as are not. */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const only_got[] = { "block_size", "zero_on_free", "initstate", "mm_stat",
					"io_stat",    "stat",         "classes" };
static const char *const only_set[] = { "compact", "reset" };
static const char *const both[] = { "disksize",       "mem_limit",        "mem_used_max",
				    "comp_algorithm", "algorithm_params", "max_comp_streams",
				    "checksum",       "compaction" };

static bool is_attribute(const char *name)
{
	for (const char *const *at = zram_attributes(); *at; at++) {
		if (!strcmp(*at, name))
			return true;
	}
	return false;
}

static struct zram *open_one(void)
{
	struct zram_options options = { .size = MIB(64) };

	return store_open(&options);
}

static void the_list_names_all_attributes(void **state)
{
	size_t count = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(only_got); i++)
		assert_true(is_attribute(only_got[i]));
	for (size_t i = 0; i < COUNT_OF(only_set); i++)
		assert_true(is_attribute(only_set[i]));
	for (size_t i = 0; i < COUNT_OF(both); i++)
		assert_true(is_attribute(both[i]));
	while (zram_attributes()[count])
		count++;
	assert_int_equal(count, COUNT_OF(only_got) + COUNT_OF(only_set) + COUNT_OF(both));
}

static void what_is_no_attribute_is_refused(void **state)
{
	static const char *const names[] = { "",         "foo",      "disksiz", "disksizes",
					     "DISKSIZE", "mm_stat ", "../stat" };
	struct zram *zram = open_one();
	char value[64];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		assert_refused(zram_get(zram, names[i], value, sizeof(value)), ENOENT);
		assert_refused(zram_set(zram, names[i], "1"), ENOENT);
	}
	store_close(zram);
}

static void what_can_only_be_got_or_set_is_refused_the_other_way(void **state)
{
	struct zram *zram = open_one();
	char value[65536];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(only_got); i++) {
		assert_true(zram_get(zram, only_got[i], value, sizeof(value)) > 0);
		assert_refused(zram_set(zram, only_got[i], "1"), EACCES);
	}
	for (size_t i = 0; i < COUNT_OF(only_set); i++) {
		assert_refused(zram_get(zram, only_set[i], value, sizeof(value)), EACCES);
		assert_int_equal(zram_set(zram, only_set[i], "1"), 0);
	}
	for (size_t i = 0; i < COUNT_OF(both); i++)
		assert_true(zram_get(zram, both[i], value, sizeof(value)) > 0);
	store_close(zram);
}

static void a_value_is_cut_as_snprintf_does(void **state)
{
	struct zram *zram = open_one();
	char whole[65536], part[65536];

	(void)state;
	for (const char *const *name = zram_attributes(); *name; name++) {
		ssize_t length = zram_get(zram, *name, whole, sizeof(whole));

		if (length < 0)
			continue;
		assert_int_equal(strlen(whole), length);
		assert_int_equal(whole[length - 1], '\n');
		assert_int_equal(zram_get(zram, *name, NULL, 0), length);
		for (size_t size = 1; size < (size_t)length + 2; size++) {
			memset(part, 'x', size + 1);
			assert_int_equal(zram_get(zram, *name, part, size), length);
			assert_int_equal(strlen(part),
					 size <= (size_t)length ? size - 1 : (size_t)length);
			assert_memory_equal(part, whole, strlen(part));
			assert_int_equal(part[size], 'x');
		}
	}
	store_close(zram);
}

static void numbers_are_read_as_the_kernel_reads_them(void **state)
{
	static const struct {
		const char *text;
		uint64_t number;
	} good[] = {
		{ "16777216", 16777216 },    { "0x1000000", 16777216 },
		{ "0X1000000", 16777216 },   { "0100000000", 16777216 },
		{ "16384K", 16777216 },      { "16384k", 16777216 },
		{ "16M", 16777216 },         { "16m", 16777216 },
		{ "0x10M", 16777216 },       { "020M", 16777216 },
		{ "1G", UINT64_C(1) << 30 }, { "3g", UINT64_C(3) << 30 },
		{ "2T", UINT64_C(2) << 40 }, { "2t", UINT64_C(2) << 40 },
		{ "5P", UINT64_C(5) << 50 }, { "7E", UINT64_C(7) << 60 },
		{ "16M\n", 16777216 },       { "16777217", 16777217 },
	};
	struct zram *zram = open_one();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		set_attribute(zram, "disksize", good[i].text);
		assert_int_equal(number_attribute(zram, "disksize"), good[i].number);
		assert_int_equal(zram_size(zram), good[i].number);
		set_attribute(zram, "mem_limit", good[i].text);
		assert_int_equal(stats_of(zram).mem_limit, good[i].number);
	}
	store_close(zram);
}

static const char *const no_numbers[] = { "",
					  " ",
					  "x",
					  "K",
					  "-1",
					  "-1K",
					  "1KK",
					  "1Z",
					  "1.5G",
					  "1 2",
					  "0x",
					  "09",
					  "1K4",
					  "four",
					  "18446744073709551616",
					  "99999999999999999999999",
					  "17E",
					  "0x1ffffffffffffffff" };

static void what_is_no_number_is_refused(void **state)
{
	static const char *const names[] = { "disksize", "mem_limit", "mem_used_max",
					     "max_comp_streams", "checksum" };
	struct zram *zram = open_one();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		uint64_t before = number_attribute(zram, names[i]);

		for (size_t j = 0; j < COUNT_OF(no_numbers); j++) {
			errno = 0;
			if (zram_set(zram, names[i], no_numbers[j]) != -1 || errno != EINVAL)
				print_error("%s = \"%s\"\n", names[i], no_numbers[j]);
			assert_refused(zram_set(zram, names[i], no_numbers[j]), EINVAL);
		}
		assert_int_equal(number_attribute(zram, names[i]), before);
	}
	store_close(zram);
}

static void disksize_resizes(void **state)
{
	struct zram *zram = open_one();

	(void)state;
	write_stamp(zram, 0, stamp_key(PACKED, 0));
	write_stamp(zram, 10, stamp_key(PACKED, 10));
	set_attribute(zram, "disksize", "32K");
	assert_int_equal(zram_size(zram), KIB(32));
	assert_int_equal(stats_of(zram).orig_data_size, BLOCK);
	set_attribute(zram, "disksize", "1M");
	assert_stamp(zram, 0, stamp_key(PACKED, 0));
	assert_stamp(zram, 10, 0);
	assert_refused(zram_set(zram, "disksize", "8E"), EINVAL);
	assert_int_equal(zram_size(zram), MIB(1));
	set_attribute(zram, "disksize", "0");
	assert_attribute(zram, "disksize", "0\n");
	store_close(zram);
}

static void mem_used_max_begins_anew_with_what_is_held(void **state)
{
	struct zram *zram = open_one();
	uint64_t peak;

	(void)state;
	for (uint64_t i = 0; i < 1000; i++)
		write_stamp(zram, i, stamp_key(RAW, i));
	zram_discard(zram, 0, UINT64_MAX);
	zram_compact(zram);
	peak = number_attribute(zram, "mem_used_max");
	assert_true(peak > 1000 * BLOCK);
	assert_int_equal(peak, stats_of(zram).mem_used_max);
	assert_refused(zram_set(zram, "mem_used_max", "1"), EINVAL);
	assert_int_equal(number_attribute(zram, "mem_used_max"), peak);
	set_attribute(zram, "mem_used_max", "0");
	assert_int_equal(number_attribute(zram, "mem_used_max"), stats_of(zram).mem_used_total);
	assert_true(number_attribute(zram, "mem_used_max") < peak / 2);
	store_close(zram);
}

static void the_algorithm_is_changed_while_nothing_is_stored(void **state)
{
	struct zram *zram = open_one();
	char value[256], bracketed[64];

	(void)state;
	for (const char *const *name = zram_algorithms(); *name; name++) {
		set_attribute(zram, "comp_algorithm", *name);
		assert_true(zram_get(zram, "comp_algorithm", value, sizeof(value)) > 0);
		snprintf(bracketed, sizeof(bracketed), "[%s]", *name);
		assert_non_null(strstr(value, bracketed));
		for (const char *const *other = zram_algorithms(); *other; other++)
			assert_non_null(strstr(value, *other));
		write_stamp(zram, 1, stamp_key(PACKED, 1));
		assert_stamp(zram, 1, stamp_key(PACKED, 1));
		assert_refused(zram_set(zram, "comp_algorithm", "lz4"), EBUSY);
		assert_sound(zram);
		assert_int_equal(zram_discard(zram, 0, UINT64_MAX), 0);
	}
	assert_refused(zram_set(zram, "comp_algorithm", "gzip"), EINVAL);
	assert_refused(zram_set(zram, "comp_algorithm", ""), EINVAL);
	set_attribute(zram, "comp_algorithm", "zstd\n");
	assert_true(zram_get(zram, "comp_algorithm", value, sizeof(value)) > 0);
	assert_non_null(strstr(value, "[zstd]"));
	store_close(zram);
}

static void the_level_is_changed_while_nothing_is_stored(void **state)
{
	static const char *const bad[] = { "",          "level",      "level=",
					   "level=x",   "level=1000", "leve=3",
					   "level=3 x", "5",          "level=3 level" };
	struct zram_options options = { .size = MIB(1), .algorithm = "zstd" };
	struct zram *zram = store_open(&options);

	(void)state;
	set_attribute(zram, "algorithm_params", "level=7");
	assert_attribute(zram, "algorithm_params", "level=7 dict_size=0\n");
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		if (zram_set(zram, "algorithm_params", bad[i]) == 0)
			print_error("algorithm_params = \"%s\"\n", bad[i]);
		assert_int_equal(zram_set(zram, "algorithm_params", bad[i]), -1);
		assert_attribute(zram, "algorithm_params", "level=7 dict_size=0\n");
	}
	write_stamp(zram, 1, stamp_key(PACKED, 1));
	assert_refused(zram_set(zram, "algorithm_params", "level=3"), EBUSY);
	assert_attribute(zram, "algorithm_params", "level=7 dict_size=0\n");
	assert_stamp(zram, 1, stamp_key(PACKED, 1));
	assert_int_equal(zram_reset(zram), 0);
	set_attribute(zram, "algorithm_params", "level=3");
	assert_attribute(zram, "algorithm_params", "level=3 dict_size=0\n");
	store_close(zram);
}

static void compaction_is_automatic_or_manual(void **state)
{
	static const char *const bad[] = { "", "0", "1", "AUTO", "autos", "manual auto" };
	struct zram *zram = open_one();

	(void)state;
	assert_attribute(zram, "compaction", "auto\n");
	set_attribute(zram, "compaction", "manual");
	assert_attribute(zram, "compaction", "manual\n");
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_refused(zram_set(zram, "compaction", bad[i]), EINVAL);
	write_stamp(zram, 1, stamp_key(PACKED, 1));
	assert_refused(zram_set(zram, "compaction", "auto"), EBUSY);
	assert_attribute(zram, "compaction", "manual\n");
	assert_int_equal(zram_discard(zram, 0, UINT64_MAX), 0);
	set_attribute(zram, "compaction", "auto");
	assert_attribute(zram, "compaction", "auto\n");
	store_close(zram);
}

static void checksums_are_on_or_off(void **state)
{
	struct zram *zram = open_one();

	(void)state;
	assert_attribute(zram, "checksum", "1\n");
	set_attribute(zram, "checksum", "0");
	assert_attribute(zram, "checksum", "0\n");
	assert_refused(zram_set(zram, "checksum", "2"), EINVAL);
	write_stamp(zram, 1, stamp_key(PACKED, 1));
	set_attribute(zram, "checksum", "1");
	assert_attribute(zram, "checksum", "1\n");
	write_stamp(zram, 2, stamp_key(PACKED, 2));
	assert_stamp(zram, 1, stamp_key(PACKED, 1));
	assert_stamp(zram, 2, stamp_key(PACKED, 2));
	store_close(zram);
}

static void streams_are_bounded(void **state)
{
	static const char *const good[] = { "1", "256", "17", "0x10" };
	static const unsigned numbers[] = { 1, 256, 17, 16 };
	struct zram *zram = open_one();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		set_attribute(zram, "max_comp_streams", good[i]);
		assert_int_equal(number_attribute(zram, "max_comp_streams"), numbers[i]);
		write_stamp(zram, i, stamp_key(PACKED, i));
		assert_stamp(zram, i, stamp_key(PACKED, i));
	}
	assert_refused(zram_set(zram, "max_comp_streams", "0"), EINVAL);
	assert_refused(zram_set(zram, "max_comp_streams", "257"), EINVAL);
	store_close(zram);
}

static void compact_and_reset_do_what_their_calls_do(void **state)
{
	struct zram_options options = { .size = MIB(64), .compaction = ZS_COMPACTION_MANUAL };
	struct zram *zram = store_open(&options);
	uint64_t before;

	(void)state;
	for (uint64_t i = 0; i < 3000; i++)
		write_stamp(zram, i, stamp_key(PACKED, i));
	for (uint64_t i = 0; i < 3000; i++) {
		if (i % 4)
			zram_discard(zram, i * BLOCK, BLOCK);
	}
	before = stats_of(zram).mem_used_total;
	set_attribute(zram, "compact", "1");
	assert_true(stats_of(zram).mem_used_total < before / 2);
	assert_stamp(zram, 4, stamp_key(PACKED, 4));
	set_attribute(zram, "reset", "1");
	assert_int_equal(stats_of(zram).orig_data_size, 0);
	assert_bytes(zram, 0, MIB(1), 0);
	store_close(zram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_list_names_all_attributes),
		cmocka_unit_test(what_is_no_attribute_is_refused),
		cmocka_unit_test(what_can_only_be_got_or_set_is_refused_the_other_way),
		cmocka_unit_test(a_value_is_cut_as_snprintf_does),
		cmocka_unit_test(numbers_are_read_as_the_kernel_reads_them),
		cmocka_unit_test(what_is_no_number_is_refused),
		cmocka_unit_test(disksize_resizes),
		cmocka_unit_test(mem_used_max_begins_anew_with_what_is_held),
		cmocka_unit_test(the_algorithm_is_changed_while_nothing_is_stored),
		cmocka_unit_test(the_level_is_changed_while_nothing_is_stored),
		cmocka_unit_test(compaction_is_automatic_or_manual),
		cmocka_unit_test(checksums_are_on_or_off),
		cmocka_unit_test(streams_are_bounded),
		cmocka_unit_test(compact_and_reset_do_what_their_calls_do),
	};

	return cmocka_run_group_tests_name("zram-attributes", tests, NULL, NULL);
}
