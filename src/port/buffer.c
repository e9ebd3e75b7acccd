/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The fixed buffer habitat: a pool that lives in memory given by the caller and
 * takes nothing from anywhere else. No MMU, no system calls, no libc; pages are
 * handed out one by one from anywhere in the buffer, so zspages are chains of
 * scattered pages.
 *
 * Layout: struct buffer_port, the page bitmap, the pool's own memory, then the
 * pages. What comes before the first free page is counted as own_pages.
 */
#include "port/pagemap.h"
#include "port/port.h"
#include "zsmalloc.h"

struct buffer_port {
	struct zs_port port;
	struct pagemap map;
};

static struct buffer_port *self(struct zs_port *port)
{
	return (struct buffer_port *)port;
}

static uint32_t page_alloc(struct zs_port *port)
{
	uint32_t page = pagemap_take(&self(port)->map);

	if (page == UINT32_MAX)
		return ZS_NO_PAGE;
	__builtin_memset(port->meta_base + (size_t)page * port->page_size, 0, port->page_size);
	return page;
}

static void page_free(struct zs_port *port, uint32_t page)
{
	pagemap_release(&self(port)->map, page);
}

/* There is no source of chance here: addresses and a counter have to do. */
static uint64_t entropy(struct zs_port *port)
{
	static uint32_t pools;

	return (uint64_t)(uintptr_t)port * UINT64_C(0x9e3779b97f4a7c15) + ++pools;
}

static void destroy(struct zs_port *port)
{
	(void)port;
}

static const struct zs_port_ops buffer_ops = {
	.page_alloc = page_alloc,
	.page_free = page_free,
	.relax = zs_port_relax,
	.entropy = entropy,
	.set_error = zs_port_set_error,
	.die = zs_port_die,
	.destroy = destroy,
};

static size_t align16(size_t n)
{
	return (n + 15) & ~(size_t)15;
}

int zs_port_buffer_create(const struct zs_pool_options *options, size_t page_size,
			  size_t pool_bytes, struct zs_port **port)
{
	/* Pages are page-aligned within the buffer, not in memory: nobody asks for more than 16. */
	size_t skip = -(uintptr_t)options->buffer & 15;
	if (options->buffer_size < skip + page_size)
		return ZS_EINVAL;
	size_t pages = (options->buffer_size - skip) / page_size;
	if (pages > UINT32_C(1) << 30)
		return ZS_EINVAL;

	size_t map_bytes = (pages + 31) / 32 * sizeof(uint32_t);
	size_t own = align16(sizeof(struct buffer_port)) + align16(map_bytes) + align16(pool_bytes);
	size_t own_pages = (own + page_size - 1) / page_size;
	if (own_pages >= pages)
		return ZS_EINVAL;

	char *base = (char *)options->buffer + skip;
	__builtin_memset(base, 0, own);
	struct buffer_port *p = (struct buffer_port *)(void *)base;
	p->map.words = (uint32_t *)(void *)(base + align16(sizeof(*p)));
	p->map.count = (uint32_t)pages;
	for (size_t i = 0; i < own_pages; i++)
		pagemap_take(&p->map);
	p->port = (struct zs_port){
		.ops = &buffer_ops,
		.page_size = page_size,
		.alone = zs_port_alone(),
		.meta_base = base,
		.meta_pages = (uint32_t)pages,
		.pool_memory = base + align16(sizeof(*p)) + align16(map_bytes),
		.own_pages = (uint32_t)own_pages,
	};
	*port = &p->port;
	return ZS_OK;
}
