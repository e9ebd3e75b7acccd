/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* The few functions of nbdkit that the plugin's files need, for programs without it. */
#ifndef FUZZ_NBDKIT_H
#define FUZZ_NBDKIT_H

/* What nbdkit_error() was told since the last call, how often; last: what it was, at last. */
unsigned nbdkit_complaints(const char **last);

#endif /* FUZZ_NBDKIT_H */
