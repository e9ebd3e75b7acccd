/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* What zs_check() is to the pool, for the store: it recomputes what the store believes. */
#ifndef FAULTS_STORE_AUDIT_H
#define FAULTS_STORE_AUDIT_H

struct zram;

/*
 * Returns NULL, or what is wrong, in words. No call may be under way. What never changes is
 * compared with what it was when the store was first audited: call it with first set then.
 */
const char *store_audit(struct zram *zram, int first);

#endif
