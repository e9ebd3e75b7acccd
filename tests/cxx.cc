/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* The public header is C++ too: this program is compiled and linked as such. */
#include <zsmalloc.h>

#include <cstdio>
#include <cstring>

int main()
{
	zs_pool *pool = zs_create_pool(nullptr);
	zs_handle handle = pool ? zs_malloc(pool, 6) : 0;
	void *mem = handle ? zs_map_object(pool, handle, ZS_MM_RW) : nullptr;
	bool stored = mem && std::strcmp(static_cast<char *>(std::memcpy(mem, "bytes", 6)),
					 "bytes") == 0;

	if (mem)
		zs_unmap_object(pool, handle);
	zs_free(pool, handle);
	zs_destroy_pool(pool);
	std::printf("%u passed, %u failed\n", stored ? 1U : 0U, stored ? 0U : 1U);
	return stored ? 0 : 1;
}
