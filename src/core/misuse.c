/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What happens when the program is wrong: one line that names the pool, the
 * handle and the fault, to the installed handler or as the process's last word.
 */
#include "core/core.h"
#include "core/text.h"

static const char *const fault_text[] = {
	[ZS_MISUSE_BAD_HANDLE] = "not a handle of this pool, or freed long ago",
	[ZS_MISUSE_STALE_HANDLE] = "object was freed already",
	[ZS_MISUSE_FREE_MAPPED] = "object is freed while it is mapped",
	[ZS_MISUSE_NOT_MAPPED] = "object is unmapped but not mapped",
	[ZS_MISUSE_DESTROY_MAPPED] = "pool is destroyed while objects are mapped",
	[ZS_MISUSE_OVERRUN] = "bytes past the object's end are written",
	[ZS_MISUSE_RO_WRITTEN] = "object was written through a read-only map",
	[ZS_MISUSE_CORRUPT] = "the allocator's data was overwritten",
};

/* No lock is held. Returns if the program's handler does. */
void zs_misuse(struct zs_pool *pool, enum zs_misuse fault, zs_handle handle)
{
	struct line line = { .length = 0 };

#if ZS_DEBUG
	zs_debug_no_lock(pool);
#endif
	say(&line, "zsmalloc: pool \"");
	say(&line, pool->name);
	say(&line, "\": handle ");
	say_hex(&line, handle);
	say(&line, ": ");
	say(&line, fault_text[fault]);
	if (pool->on_misuse)
		pool->on_misuse(pool, fault, handle, line.text, pool->hook_data);
	else
		pool->port->ops->die(line.text);
}
