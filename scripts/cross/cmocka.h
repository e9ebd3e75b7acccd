/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * A stand-in for the part of cmocka that the tests use, for builds for another machine or
 * another C library: distributions have cmocka for their own only.
 * Prints the same lines. One source file of a program defines what is shared:
 * weak symbols, so that it does not matter which.
 */
#ifndef STAND_IN_CMOCKA_H
#define STAND_IN_CMOCKA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define STANDIN __attribute__((weak))

typedef void (*CMUnitTestFunction)(void **state);
typedef int (*CMFixtureFunction)(void **state);

struct CMUnitTest {
	const char *name;
	CMUnitTestFunction test_func;
	CMFixtureFunction setup_func;
	CMFixtureFunction teardown_func;
	void *initial_state;
};

enum { STANDIN_FAILED = 1, STANDIN_SKIPPED };

extern jmp_buf standin_end_of_test;
STANDIN jmp_buf standin_end_of_test;

#define cmocka_unit_test(test) { #test, test, NULL, NULL, NULL }
#define cmocka_unit_test_setup_teardown(test, setup, teardown) { #test, test, setup, teardown, NULL }
#define cmocka_run_group_tests_name(name, tests, setup, teardown) \
	standin_run(tests, sizeof(tests) / sizeof((tests)[0]), setup, teardown)

static inline void print_message(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline void print_message(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	fflush(stdout);
}

static inline void print_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline void print_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
}

static inline void standin_check(int holds, const char *what, const char *file, int line)
{
	if (holds)
		return;
	print_error("[  ERROR   ] --- %s\n[   LINE   ] --- %s:%d\n", what, file, line);
	longjmp(standin_end_of_test, STANDIN_FAILED);
}

static inline void standin_equal(uintmax_t a, uintmax_t b, const char *what, const char *file,
				 int line)
{
	if (a != b)
		print_error("%#jx != %#jx\n", a, b);
	standin_check(a == b, what, file, line);
}

#define STANDIN_CHECK(holds, what) standin_check(holds, what, __FILE__, __LINE__)

#define assert_true(c) STANDIN_CHECK(!!(c), #c)
#define assert_false(c) STANDIN_CHECK(!(c), "not " #c)
#define assert_null(p) STANDIN_CHECK((p) == NULL, #p " is null")
#define assert_non_null(p) STANDIN_CHECK((p) != NULL, #p " is not null")
#define assert_int_equal(a, b) \
	standin_equal((uintmax_t)(a), (uintmax_t)(b), #a " == " #b, __FILE__, __LINE__)
#define assert_int_not_equal(a, b) STANDIN_CHECK((uintmax_t)(a) != (uintmax_t)(b), #a " != " #b)
#define assert_ptr_equal(a, b) STANDIN_CHECK((const void *)(a) == (const void *)(b), #a " == " #b)
#define assert_ptr_not_equal(a, b) \
	STANDIN_CHECK((const void *)(a) != (const void *)(b), #a " != " #b)
#define assert_string_equal(a, b) STANDIN_CHECK(strcmp(a, b) == 0, #a " == " #b)
#define assert_string_not_equal(a, b) STANDIN_CHECK(strcmp(a, b) != 0, #a " != " #b)
#define assert_memory_equal(a, b, n) STANDIN_CHECK(memcmp(a, b, n) == 0, #a " == " #b)
#define assert_memory_not_equal(a, b, n) STANDIN_CHECK(memcmp(a, b, n) != 0, #a " != " #b)
#define assert_in_range(v, low, high) \
	STANDIN_CHECK((uintmax_t)(v) >= (low) && (uintmax_t)(v) <= (high), #v " in range")

#define fail() STANDIN_CHECK(0, "Failure!")
#define fail_msg(...) (print_error(__VA_ARGS__), print_error("\n"), STANDIN_CHECK(0, "Failure!"))
#define skip() longjmp(standin_end_of_test, STANDIN_SKIPPED)

static inline int standin_run_one(const struct CMUnitTest *test)
{
	void *state = test->initial_state;
	int end = setjmp(standin_end_of_test);

	if (end)
		return end;
	if (test->setup_func && test->setup_func(&state))
		return STANDIN_FAILED;
	test->test_func(&state);
	if (test->teardown_func && test->teardown_func(&state))
		return STANDIN_FAILED;
	return 0;
}

/* Returns how many tests failed. */
static inline int standin_run(const struct CMUnitTest *tests, size_t count,
			      CMFixtureFunction setup, CMFixtureFunction teardown)
{
	static const char *const words[] = { "      OK", " FAILED ", " SKIPPED" };
	int ends[3] = { 0, 0, 0 };
	void *state = NULL;

	print_message("[==========] Running %zu test(s).\n", count);
	if (setup && setup(&state))
		return (int)count;
	for (size_t i = 0; i < count; i++) {
		print_message("[ RUN      ] %s\n", tests[i].name);
		int end = standin_run_one(&tests[i]);
		ends[end]++;
		print_message("[ %s ] %s\n", words[end], tests[i].name);
	}
	if (teardown && teardown(&state))
		ends[STANDIN_FAILED]++;
	print_message("[==========] %zu test(s) run.\n[  PASSED  ] %d test(s).\n", count, ends[0]);
	if (ends[STANDIN_SKIPPED])
		print_message("[  SKIPPED ] %d test(s).\n", ends[STANDIN_SKIPPED]);
	if (ends[STANDIN_FAILED])
		print_message("[  FAILED  ] %d test(s).\n", ends[STANDIN_FAILED]);
	return ends[STANDIN_FAILED];
}

#endif /* STAND_IN_CMOCKA_H */
