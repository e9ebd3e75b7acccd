/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Names of files may come from a fuzzer's input: while they are enclosed, open() finds
 * the few files of this module, which are in memory, and no others. For programs that
 * are linked with FILES_WRAP (see meson.build).
 */
#ifndef FUZZ_FILES_H
#define FUZZ_FILES_H

#include <stdbool.h>

void files_enclose(bool on);

#endif /* FUZZ_FILES_H */
