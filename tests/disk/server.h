/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * A disk served by nbdkit for as long as one test, and connections to it through libnbd.
 * What goes wrong in here fails the test. The plugin's file is $ZRAM_PLUGIN.
 */
#ifndef DISK_SERVER_H
#define DISK_SERVER_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <sys/types.h>

#include <cmocka.h>
#include <libnbd.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define KIB(n)          ((size_t)(n) << 10)
#define MIB(n)          ((size_t)(n) << 20)
#define BLOCK           KIB(4)

struct server {
	pid_t pid; /* 0: none */
	char directory[64];
	char socket[96];
	char control[96];
};

/* Whether there is a plugin to serve; says why not. */
bool server_possible(void);

/* The parameters for the plugin are ended by NULL. */
void server_open(struct server *server, const char *const *parameters);

/* Stops it, and it must end well. */
void server_close(struct server *server);

/* For a test that failed: shows what nbdkit said and removes what is left. */
void server_abandon(struct server *server);

struct nbd_handle *server_connect(const struct server *server);

/* One line of the attribute stat, through the control socket. */
uint64_t server_figure(const struct server *server, const char *name);

/* The call, which returned -1 if it failed, was good. */
void assert_nbd(int result);

/* The contents of the block. */
void read_block(struct nbd_handle *nbd, uint64_t block, void *contents);

#endif /* DISK_SERVER_H */
