/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The habitats of a program that has no operating system: a fixed buffer. Errors
 * are told by zs_last_error(), misuse by the handler in the options; without
 * one the processor traps.
 */
#include "port/port.h"
#include "zsmalloc.h"

int zs_port_create(const struct zs_pool_options *options, size_t page_size, size_t pool_bytes,
		   struct zs_port **port)
{
	if (!options->buffer)
		return ZS_EINVAL;
	return zs_port_buffer_create(options, page_size, pool_bytes, port);
}

size_t zs_port_page_size(void)
{
	return 0;
}

const char *zs_port_alone(void)
{
	static const char unknown;

	return &unknown;
}

unsigned zs_port_lane(void)
{
	return 0;
}

/* Who holds the lock runs on another processor. */
void zs_port_relax(unsigned tries)
{
	(void)tries;
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
}

#if ZS_DEBUG
struct zs_held *zs_port_held(void)
{
	return NULL;
}
#endif

void zs_port_set_error(int error)
{
	(void)error;
}

void zs_port_die(const char *line)
{
	(void)line;
	__builtin_trap();
}
