/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What the cgroups of this process leave to it. Who takes more than a cgroup allows is killed,
 * not refused: so it has to be known beforehand.
 */
#ifndef PLUGIN_CGROUP_H
#define PLUGIN_CGROUP_H

#include <stdint.h>

/*
 * Bytes of memory that can be had before one of this process' cgroups, or of those above
 * them, has all it may: what is in use now is off, but for files that are only cached. UINT64_MAX
 * if none has a limit, or nothing can be found out. Both versions of cgroups; where they are
 * mounted as is usual, in /sys/fs/cgroup. root is put before all paths: "", but for tests.
 */
uint64_t cgroup_memory_left(const char *root);

#endif /* PLUGIN_CGROUP_H */
