/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* Included before everything else: all symbols are hidden but the public functions. */
#pragma GCC visibility push(default)
#include "zram.h"
#pragma GCC visibility pop
