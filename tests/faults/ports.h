/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* What a pool took from its port, counted at the port. */
#ifndef FAULTS_PORTS_H
#define FAULTS_PORTS_H

struct zs_pool;

/*
 * The port has given out as many pages and ranges as the pool knows of: none is lost. No
 * other call may be under way.
 */
void assert_pages_add_up(struct zs_pool *pool);

#endif
