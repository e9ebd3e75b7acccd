/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * nbdkit-zram-plugin: serves one store of libzram as a network block device. It translates
 * nbdkit's requests and errors to and from zram.h; what a block is and where it is kept is
 * the library's affair alone.
 *
 * The store is made after the server's fork(), in whose child an older one would be of no
 * use. Before it, one is made on trial: what cannot be is to be refused while there is
 * somebody to read why.
 */
#define NBDKIT_API_VERSION 2
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <nbdkit-plugin.h>
#include <zram.h>

#include "cgroup.h"
#include "control.h"
#include "idle.h"
#include "parameters.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

static struct parameters parameters;
static struct zram *store;

/* --- the server's life ----------------------------------------------------- */

static int plugin_config(const char *key, const char *value)
{
	return parameters_set(&parameters, key, value);
}

static int plugin_config_complete(void)
{
	return parameters_complete(&parameters);
}

/*
 * Where a cgroup's limit would have the server killed, the store's own is to refuse first. What
 * is left over is for nbdkit (each thread of a connection keeps a buffer as large as the
 * largest request that it had: 32 MiB are 16 threads with 2 MiB each), and for page tables and
 * sockets, which the cgroup counts too.
 */
static void limit_by_cgroup(void)
{
	uint64_t left = cgroup_memory_left("");
	uint64_t others = left / 8 + ((uint64_t)32 << 20);
	if (left == UINT64_MAX)
		return;
	if (others > left / 2)
		others = left / 2;
	/* 0 would be no limit; 1 is too little for any store, and is refused as such. */
	parameters.store.mem_limit = left > others ? left - others : 1;
	parameters.limit = "auto";
	nbdkit_debug("cgroups leave %" PRIu64 " bytes; the limit is %" PRIu64, left,
		     parameters.store.mem_limit);
}

static int plugin_get_ready(void)
{
	if (parameters.limit == NULL)
		limit_by_cgroup();
	if (parameters_check(&parameters) != 0)
		return -1;
	return parameters.control == NULL ? 0 : control_open(parameters.control);
}

static int plugin_after_fork(void)
{
	store = zram_create(&parameters.store);
	if (store == NULL) {
		nbdkit_error("the store cannot be made: %m");
		return -1;
	}
	parameters_free_dictionary(&parameters);
	if (parameters.control != NULL && control_start(store) != 0)
		return -1;
	if (idle_start(store) == 0)
		return 0;
	control_close();
	return -1;
}

static void plugin_cleanup(void)
{
	control_close();
	idle_stop();
}

static void plugin_unload(void)
{
	zram_destroy(store);
	parameters_free_dictionary(&parameters);
}

static void plugin_dump(void)
{
	printf("zram_algorithms=%s\n", parameters_algorithms());
	printf("zram_max_size=%" PRIu64 "\n", ZRAM_MAX_SIZE);
}

/* --- connections ----------------------------------------------------------- */

static void *plugin_open(int readonly)
{
	(void)readonly;
	return NBDKIT_HANDLE_NOT_NEEDED;
}

/* As of now: a connection keeps the size it began with if the store's is changed. */
static int64_t plugin_get_size(void *handle)
{
	(void)handle;
	return (int64_t)zram_size(store);
}

static int plugin_block_size(void *handle, uint32_t *minimum, uint32_t *preferred,
			     uint32_t *maximum)
{
	(void)handle;
	*minimum = 1;
	*preferred = (uint32_t)zram_block_size(store);
	*maximum = UINT32_MAX;
	return 0;
}

static int yes(void *handle)
{
	(void)handle;
	return 1;
}

/* What is written is where it stays, for all connections: FUA asks for nothing more. */
static int plugin_can_fua(void *handle)
{
	(void)handle;
	return NBDKIT_FUA_NATIVE;
}

/* There is no function for it: that makes it succeed and do nothing. It is all in RAM. */
static int plugin_can_cache(void *handle)
{
	(void)handle;
	return NBDKIT_CACHE_NATIVE;
}

/* --- requests -------------------------------------------------------------- */

static int failed(const char *what, uint32_t count, uint64_t offset, int error)
{
	errno = error;
	nbdkit_error("%s of %" PRIu32 " bytes at %" PRIu64 ": %m", what, count, offset);
	nbdkit_set_error(error);
	return -1;
}

/* A short count is the library's way to say that the next call will tell the reason. */
static int plugin_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
	(void)handle;
	(void)flags;
	for (char *to = buf; count != 0;) {
		ssize_t n = zram_pread(store, to, count, offset);
		if (n < 0)
			return failed("read", count, offset, errno);
		/* The store has become smaller than this connection knows. */
		if (n == 0)
			return failed("read", count, offset, EINVAL);
		to += n;
		offset += (uint64_t)n;
		count -= (uint32_t)n;
	}
	return 0;
}

static int plugin_pwrite(void *handle, const void *buf, uint32_t count, uint64_t offset,
			 uint32_t flags)
{
	(void)handle;
	(void)flags;
	for (const char *from = buf; count != 0;) {
		ssize_t n = zram_pwrite(store, from, count, offset);
		idle_note_change();
		if (n < 0)
			return failed("write", count, offset, errno);
		from += n;
		offset += (uint64_t)n;
		count -= (uint32_t)n;
	}
	return 0;
}

static int plugin_flush(void *handle, uint32_t flags)
{
	(void)handle;
	(void)flags;
	return zram_flush(store);
}

static int plugin_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	(void)handle;
	(void)flags;
	int result = zram_discard(store, offset, count);
	idle_note_change();
	return result;
}

/* Holes are zeros and zeros are holes here, and quicker than any write: flags make no odds. */
static int plugin_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	(void)handle;
	(void)flags;
	int result = zram_write_zeroes(store, offset, count);
	idle_note_change();
	return result == 0 ? 0 : failed("zeroing", count, offset, errno);
}

struct extent_list {
	struct nbdkit_extents *extents;
	bool one; /* only the first is asked for */
	bool any;
};

static int add_extent(const struct zram_extent *extent, void *data)
{
	struct extent_list *list = data;
	uint32_t type = 0;
	if (extent->flags & ZRAM_EXTENT_HOLE)
		type |= NBDKIT_EXTENT_HOLE;
	if (extent->flags & ZRAM_EXTENT_ZERO)
		type |= NBDKIT_EXTENT_ZERO;
	if (nbdkit_add_extent(list->extents, extent->offset, extent->length, type) != 0)
		return -1;
	list->any = true;
	return list->one;
}

static int plugin_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
			  struct nbdkit_extents *extents)
{
	(void)handle;
	struct extent_list list = { .extents = extents, .one = flags & NBDKIT_FLAG_REQ_ONE };
	if (zram_get_extents(store, offset, count, add_extent, &list) < 0)
		return -1;
	/* As in plugin_pread(). */
	return list.any ? 0 : failed("extents", count, offset, EINVAL);
}

static struct nbdkit_plugin plugin = {
	.name = "zram",
	.longname = "nbdkit compressed RAM disk plugin",
	.version = PLUGIN_VERSION,
	.description = "Serves a disk that lives in RAM and keeps every block compressed.",
	.magic_config_key = "size",
	.config_help = parameters_help,
	.config = plugin_config,
	.config_complete = plugin_config_complete,
	.get_ready = plugin_get_ready,
	.after_fork = plugin_after_fork,
	.cleanup = plugin_cleanup,
	.unload = plugin_unload,
	.dump_plugin = plugin_dump,
	.open = plugin_open,
	.get_size = plugin_get_size,
	.block_size = plugin_block_size,
	.can_multi_conn = yes,
	.can_fast_zero = yes,
	.can_fua = plugin_can_fua,
	.can_cache = plugin_can_cache,
	.pread = plugin_pread,
	.pwrite = plugin_pwrite,
	.flush = plugin_flush,
	.trim = plugin_trim,
	.zero = plugin_zero,
	.extents = plugin_extents,
};

struct nbdkit_plugin *plugin_init(void);
NBDKIT_REGISTER_PLUGIN(plugin)
