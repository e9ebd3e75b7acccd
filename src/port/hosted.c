/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The habitats of a program that has an operating system: a Linux process's
 * memory, or a fixed buffer if the options name one. Errors go to errno, last
 * words to standard error.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef __has_include
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#define SINGLE_THREADED
#endif
#endif

#include "port/port.h"
#include "zsmalloc.h"

int zs_port_create(const struct zs_pool_options *options, size_t page_size, size_t pool_bytes,
		   struct zs_port **port)
{
	if (options->buffer)
		return zs_port_buffer_create(options, page_size, pool_bytes, port);
	return zs_port_linux_create(options, page_size, pool_bytes, port);
}

size_t zs_port_page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

const char *zs_port_alone(void)
{
#ifdef SINGLE_THREADED
	return &__libc_single_threaded;
#else
	static const char unknown;

	return &unknown;
#endif
}

/* Threads are numbered as they come. Initial-exec: no call to find the variable. */
unsigned zs_port_lane(void)
{
	static _Thread_local unsigned lane __attribute__((tls_model("initial-exec")));
	static _Atomic unsigned lanes;

	if (!lane)
		lane = ++lanes;
	return lane;
}

/*
 * The holder has few instructions to go: spin first. On a loaded machine it may
 * have been preempted: let it run. If it has a lower priority than we, only
 * sleep helps.
 */
void zs_port_relax(unsigned tries)
{
	if (tries < 100) {
#if defined(__x86_64__) || defined(__i386__)
		__builtin_ia32_pause();
#elif defined(__aarch64__)
		__asm__ volatile("yield");
#endif
	} else if (tries < 200) {
		sched_yield();
	} else {
		int saved = errno;
		nanosleep(&(struct timespec){ .tv_nsec = 50000 }, NULL);
		errno = saved;
	}
}

#if ZS_DEBUG
struct zs_held *zs_port_held(void)
{
	static _Thread_local struct zs_held held;

	return &held;
}
#endif

void zs_port_set_error(int error)
{
	switch (error) {
	case ZS_EINVAL:
		errno = EINVAL;
		break;
	case ZS_EMSGSIZE:
		errno = EMSGSIZE;
		break;
	case ZS_ENOSPC:
		errno = ENOSPC;
		break;
	case ZS_EBUSY:
		errno = EBUSY;
		break;
	default:
		errno = ENOMEM;
	}
}

void zs_port_die(const char *line)
{
	char text[256];
	size_t length = strnlen(line, sizeof(text) - 1);

	memcpy(text, line, length);
	text[length] = '\n';
	if (write(STDERR_FILENO, text, length + 1) < 0) {
		/* Nobody to tell. */
	}
	abort();
}
