/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * What the operating system says this process holds, to compare with what the
 * library says. Linux only; allocates nothing.
 */
#ifndef ZS_TEST_RESIDENT_H
#define ZS_TEST_RESIDENT_H

#include <stdint.h>

/*
 * Bytes of anonymous memory resident now, counted page by page by the kernel
 * (the counters in /proc/self/status are only roughly right).
 * 0 if the kernel does not tell, or tells of an emulator that runs this process.
 */
uint64_t resident_anonymous_bytes(void);

#endif /* ZS_TEST_RESIDENT_H */
