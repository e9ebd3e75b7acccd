/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Included before everything else when the library is compiled, which hides
 * all symbols by default: the public functions are the exception. (zsmalloc.map
 * could not bring a hidden symbol back.)
 */
#pragma GCC visibility push(default)
#include "zsmalloc.h"
#pragma GCC visibility pop
