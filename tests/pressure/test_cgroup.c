/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What the plugin takes for the memory that its cgroups leave to it, in trees of files as the
 * kernel, containers and service managers make them. Whether a disk keeps within that is
 * test_disk.c's to see.
 */
#define _GNU_SOURCE
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cgroup.h"

#define MIB(n) ((uint64_t)(n) << 20)
#define NONE   UINT64_MAX

static char root[] = "/tmp/zram-cgroup.XXXXXX";

/* With all directories above it. */
static void put(const char *path, const char *text)
{
	char whole[256];

	snprintf(whole, sizeof(whole), "%s%s", root, path);
	for (char *slash = strchr(whole + strlen(root) + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(whole, 0755);
		*slash = '/';
	}

	FILE *file = fopen(whole, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void put_mib(const char *path, unsigned mib)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu\n", (unsigned long long)MIB(mib));
	put(path, text);
}

#define V1 "/sys/fs/cgroup/memory"
#define V2 "/sys/fs/cgroup"

static void nothing_known_is_no_limit(void **state)
{
	(void)state;
	assert_int_equal(cgroup_memory_left(root), NONE);
	put("/proc/self/cgroup", "");
	assert_int_equal(cgroup_memory_left(root), NONE);
	put("/proc/self/cgroup", "0::/\n");
	assert_int_equal(cgroup_memory_left(root), NONE);
	put("/proc/self/cgroup", "rubbish\n:::\n4:memory\n0::no-slash\n0::/../..\n\n");
	assert_int_equal(cgroup_memory_left(root), NONE);
}

static void without_a_number_there_is_no_limit(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "0::/a\n");
	put(V2 "/a/memory.max", "max\n");
	put(V2 "/a/memory.high", "max\n");
	put_mib(V2 "/a/memory.current", 5);
	assert_int_equal(cgroup_memory_left(root), NONE);
	put(V2 "/a/memory.max", "");
	assert_int_equal(cgroup_memory_left(root), NONE);
	put("/proc/self/cgroup", "4:memory:/a\n");
	put(V1 "/a/memory.limit_in_bytes", "9223372036854771712\n");
	assert_int_equal(cgroup_memory_left(root), NONE);
}

static void what_is_in_use_is_off_but_for_cached_files(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "0::/a\n");
	put_mib(V2 "/a/memory.max", 512);
	assert_int_equal(cgroup_memory_left(root), MIB(512));
	put_mib(V2 "/a/memory.current", 100);
	assert_int_equal(cgroup_memory_left(root), MIB(412));
	put(V2 "/a/memory.stat", "anon 1\nfile 9\ninactive_anon 7\ninactive_file 1048576\n"
				 "active_file 2097152\nunevictable 5\n");
	assert_int_equal(cgroup_memory_left(root), MIB(415));
	put_mib(V2 "/a/memory.current", 1);
	assert_int_equal(cgroup_memory_left(root), MIB(512));
	put_mib(V2 "/a/memory.current", 600);
	assert_int_equal(cgroup_memory_left(root), 0);
}

static void the_first_version_has_other_names(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "9:name=systemd:/b\n4:cpu,memory,pids:/a\n3:memory2:/c\n0::/\n");
	put_mib(V1 "/a/memory.limit_in_bytes", 512);
	put_mib(V1 "/a/memory.usage_in_bytes", 100);
	put(V1 "/a/memory.stat", "cache 5\ninactive_file 7\ntotal_inactive_file 1048576\n"
				 "total_active_file 2097152\n");
	put_mib(V1 "/b/memory.limit_in_bytes", 1);
	put_mib(V1 "/c/memory.limit_in_bytes", 1);
	assert_int_equal(cgroup_memory_left(root), MIB(415));
}

static void memory_high_counts_as_well(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "0::/a\n");
	put_mib(V2 "/a/memory.max", 512);
	put_mib(V2 "/a/memory.high", 300);
	assert_int_equal(cgroup_memory_left(root), MIB(300));
	put(V2 "/a/memory.max", "max\n");
	assert_int_equal(cgroup_memory_left(root), MIB(300));
	put_mib(V2 "/a/memory.max", 200);
	assert_int_equal(cgroup_memory_left(root), MIB(200));
}

static void the_least_of_all_above_counts(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "0::/a/b/c\n");
	put_mib(V2 "/a/memory.max", 512);
	put_mib(V2 "/a/memory.current", 400);
	put_mib(V2 "/a/b/memory.max", 256);
	put_mib(V2 "/a/b/memory.current", 10);
	put(V2 "/a/b/c/memory.max", "max\n");
	assert_int_equal(cgroup_memory_left(root), MIB(112));
	put_mib(V2 "/a/memory.current", 20);
	assert_int_equal(cgroup_memory_left(root), MIB(246));
	put("/proc/self/cgroup", "0::/a\n");
	assert_int_equal(cgroup_memory_left(root), MIB(492));
	put("/proc/self/cgroup", "0::/\n");
	assert_int_equal(cgroup_memory_left(root), NONE);
}

/* Its own part only is mounted in a container, but the path may be the machine's. */
static void a_container_finds_its_own(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "4:memory:/docker/0123456789abcdef\n");
	put_mib(V1 "/memory.limit_in_bytes", 64);
	put_mib(V1 "/memory.usage_in_bytes", 4);
	assert_int_equal(cgroup_memory_left(root), MIB(60));
	put("/proc/self/cgroup", "0::/\n");
	put_mib(V2 "/memory.max", 32);
	assert_int_equal(cgroup_memory_left(root), MIB(32));
}

static int make(void **state)
{
	(void)state;
	memset(root + sizeof(root) - 7, 'X', 6);
	return mkdtemp(root) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *at)
{
	(void)status;
	(void)type;
	(void)at;
	return remove(path);
}

static int remove_all(void **state)
{
	(void)state;
	return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, remove_all)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_known_is_no_limit),
		TEST(without_a_number_there_is_no_limit),
		TEST(what_is_in_use_is_off_but_for_cached_files),
		TEST(the_first_version_has_other_names),
		TEST(memory_high_counts_as_well),
		TEST(the_least_of_all_above_counts),
		TEST(a_container_finds_its_own),
	};

	return cmocka_run_group_tests_name("cgroup", tests, NULL, NULL);
}
