/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * A zram device of the kernel, past the page cache, with a system call for each
 * page. bench/kernel sets the device up and takes it down; here it is only used.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "side.h"

struct device {
	int file;
	uint64_t size;
	char stat[128]; /* path of mm_stat */
};

static void device_clear(void *self)
{
	struct device *device = self;
	uint64_t range[2] = { 0, device->size };

	if (ioctl(device->file, BLKDISCARD, range))
		stop("BLKDISCARD");
}

static void *device_open(const struct side_options *options)
{
	struct device *device = calloc(1, sizeof(*device));
	const char *name = strrchr(options->device, '/');

	if (!device)
		stop("no memory");
	device->size = (uint64_t)options->pages * PAGE_BYTES;
	snprintf(device->stat, sizeof(device->stat), "/sys/block%s/mm_stat", name ? name : "/");
	device->file = open(options->device, O_RDWR | O_DIRECT | O_EXCL | O_CLOEXEC);
	if (device->file < 0)
		stop(options->device);
	device_clear(device);
	return device;
}

static void device_close(void *self)
{
	struct device *device = self;

	device_clear(device);
	close(device->file);
	free(device);
}

static void device_write(void *self, unsigned thread, uint32_t page, const void *bytes)
{
	struct device *device = self;

	(void)thread;
	if (pwrite(device->file, bytes, PAGE_BYTES, (off_t)page * PAGE_BYTES) != PAGE_BYTES)
		stop("pwrite");
}

static void device_read(void *self, unsigned thread, uint32_t page, void *bytes)
{
	struct device *device = self;

	(void)thread;
	if (pread(device->file, bytes, PAGE_BYTES, (off_t)page * PAGE_BYTES) != PAGE_BYTES)
		stop("pread");
}

static void device_discard(void *self, uint32_t page)
{
	struct device *device = self;
	uint64_t range[2] = { (uint64_t)page * PAGE_BYTES, PAGE_BYTES };

	if (ioctl(device->file, BLKDISCARD, range))
		stop("BLKDISCARD");
}

/* mm_stat: orig_data_size compr_data_size mem_used_total ... */
static void device_bytes(void *self, uint64_t *compressed, uint64_t *used)
{
	struct device *device = self;
	FILE *file = fopen(device->stat, "r");

	if (!file || fscanf(file, "%*u %" SCNu64 " %" SCNu64, compressed, used) != 2)
		stop(device->stat);
	fclose(file);
}

const struct side side_device = {
	.name = "kernel",
	.open = device_open,
	.close = device_close,
	.write = device_write,
	.read = device_read,
	.discard = device_discard,
	.clear = device_clear,
	.bytes = device_bytes,
};
