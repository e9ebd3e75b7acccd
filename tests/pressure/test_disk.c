/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * A disk that may take less memory than its clients write: in a cgroup, of which it learns by
 * itself how much that is, and under RLIMIT_AS and RLIMIT_DATA. Eight connections fill it until
 * each was refused often; they are told why, every block is what it was or what was written,
 * the server is never killed, and the next client is served.
 *
 * Usage: pressure_disk [--seed N] [--seconds N]. With seconds it goes on with other seeds.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "box.h"
#include "launch.h"
#include "long_run.h"
#include "pattern.h"

enum {
	CLIENTS = 8,
	BLOCKS = 1 << 14, /* of each client: 64 MiB */
	MOST = 64,        /* blocks a request */
	REFUSALS = 100,   /* of each client */
	PATIENCE = 20,    /* seconds */
};

static struct long_run run;

struct world {
	struct server server;
	struct box box;
	struct rlimit addresses;
};

/* --- clients ------------------------------------------------------------------- */

struct client {
	pthread_t thread;
	struct nbd_handle *nbd;
	uint64_t number;
	int refusal; /* the errno that is expected */
	unsigned long done, refused, looks;
	bool failed, cut_off;
	uint64_t keys[BLOCKS]; /* 0: never written */
	unsigned char bytes[MOST * BLOCK];
};

static bool holds(const unsigned char *block, uint64_t key)
{
	static const unsigned char zeros[BLOCK];

	return key ? pattern_holds(block, BLOCK, key) : !memcmp(block, zeros, BLOCK);
}

/*
 * Where nbdkit itself is short of memory it cannot enlarge a thread's buffer; what the thread had
 * for one block, it still has.
 */
static bool get(struct client *self, struct nbd_handle *nbd, uint64_t first, uint64_t count)
{
	uint64_t offset = (self->number * BLOCKS + first) * BLOCK;

	if (!nbd_pread(nbd, self->bytes, count * BLOCK, offset, 0))
		return true;
	if (nbd_get_errno() != ENOMEM)
		return false;
	for (uint64_t i = 0; i < count; i++)
		if (nbd_pread(nbd, self->bytes + i * BLOCK, BLOCK, offset + i * BLOCK, 0))
			return false;
	return true;
}

/* What a request that was refused has left: of each block the old or the new. */
static bool look(struct client *self, struct nbd_handle *nbd, uint64_t first, uint64_t count,
		 uint64_t new)
{
	if (!get(self, nbd, first, count))
		return false;
	for (uint64_t i = 0; i < count; i++) {
		self->looks++;
		if (new &&holds(self->bytes + i * BLOCK, new + i))
			self->keys[first + i] = new + i;
		else if (!holds(self->bytes + i * BLOCK, self->keys[first + i]))
			return false;
	}
	return true;
}

static bool put(struct client *self, struct nbd_handle *nbd, struct rng *rng)
{
	uint64_t count = 1 + rng_below(rng, rng_below(rng, 4) ? 4 : MOST);
	uint64_t first = rng_below(rng, (uint32_t)(BLOCKS - count));
	uint64_t new = (rng_next(rng) | 1) << 8;

	for (uint64_t i = 0; i < count; i++)
		pattern_fill(self->bytes + i * BLOCK, BLOCK, new + i);
	if (!nbd_pwrite(nbd, self->bytes, count * BLOCK, (self->number * BLOCKS + first) * BLOCK,
			0)) {
		for (uint64_t i = 0; i < count; i++)
			self->keys[first + i] = new + i;
		self->done++;
		return true;
	}
	if (nbd_get_errno() != self->refusal) {
		printf("refused for another reason: %s\n", nbd_get_error());
		return false;
	}
	self->refused++;
	return look(self, nbd, first, count, new);
}

/* After a refusal now and then what is there is forgotten: others may have its room. */
static bool drop(struct client *self, struct nbd_handle *nbd, struct rng *rng)
{
	uint64_t first = rng_below(rng, BLOCKS - MOST);

	memset(self->keys + first, 0, MOST * sizeof(self->keys[0]));
	return !nbd_trim(nbd, (uint64_t)MOST * BLOCK, (self->number * BLOCKS + first) * BLOCK, 0);
}

static void *be_client(void *data)
{
	struct client *self = data;
	struct rng rng = rng_seeded(run.seed * CLIENTS + self->number);
	struct nbd_handle *nbd = self->nbd;

	for (unsigned tries = 0; !self->failed && self->refused < REFUSALS; tries++) {
		unsigned long before = self->refused;

		self->failed = tries == 100000 || !put(self, nbd, &rng);
		if (self->refused != before && self->refused % 4 == 0 && !self->failed)
			self->failed = !drop(self, nbd, &rng);
	}
	for (uint64_t first = 0; first < BLOCKS && !self->failed; first += MOST)
		self->failed = !look(self, nbd, first, MOST, 0);
	self->cut_off = nbd_aio_is_dead(nbd) || nbd_aio_is_closed(nbd);
	nbd_close(nbd);
	return NULL;
}

struct sums {
	unsigned long done, refused, looks;
	unsigned failed, cut_off;
};

static struct sums fill(const struct server *server, int refusal)
{
	struct client *clients = calloc(CLIENTS, sizeof(*clients));
	struct sums sums = { 0 };

	assert_non_null(clients);
	/* What nbdkit needs for a connection it has before memory is short. */
	for (uint64_t i = 0; i < CLIENTS; i++) {
		clients[i].nbd = server_connect(server);
		clients[i].number = i;
		clients[i].refusal = refusal;
		assert_nbd(nbd_pread(clients[i].nbd, clients[i].bytes, sizeof(clients[i].bytes), 0,
				     0));
	}
	for (size_t i = 0; i < CLIENTS; i++) {
		assert_int_equal(pthread_create(&clients[i].thread, NULL, be_client, &clients[i]),
				 0);
	}
	for (size_t i = 0; i < CLIENTS; i++) {
		pthread_join(clients[i].thread, NULL);
		sums.done += clients[i].done;
		sums.refused += clients[i].refused;
		sums.looks += clients[i].looks;
		sums.failed += clients[i].failed;
		sums.cut_off += clients[i].cut_off;
	}
	free(clients);
	printf("%lu requests done, %lu refused, %lu blocks compared\n", sums.done, sums.refused,
	       sums.looks);
	return sums;
}

/* --- the test's world ------------------------------------------------------------ */

static int begin(void **state)
{
	*state = calloc(1, sizeof(struct world));
	return *state ? 0 : -1;
}

static int end(void **state)
{
	struct world *world = *state;

	server_abandon(&world->server);
	if (world->server.directory[0])
		launch_clear(&world->server);
	if (!box_remove(&world->box))
		printf("%s cannot be removed\n", world->box.path);
	free(world);
	return 0;
}

/* nbdkit's threads are to take little themselves, so that it is the store that is refused. */
static int enter(const void *data)
{
	const struct world *world = data;
	const struct rlimit stack = { KIB(256), KIB(256) };

	if (world->box.path[0])
		return box_enter(&world->box);
	return setenv("MALLOC_ARENA_MAX", "1", 1) || setrlimit(RLIMIT_STACK, &stack) ||
	       setrlimit(RLIMIT_AS, &world->addresses);
}

static void open_disk(struct world *world, enum launch what, const char *const *words)
{
	const struct launch_options options = {
		.what = what, .words = words, .prepare = enter, .data = world
	};

	launch(&world->server, &options);
}

static void need_box(struct world *world, uint64_t bytes)
{
	const char *reason = box_make(&world->box, bytes);

	if (!reason)
		return;
	printf("skipped: %s\n", reason);
	skip();
}

/* There is room again for what comes next, and it ends well. */
static void close_disk(struct world *world, enum launch what)
{
	struct nbd_handle *nbd = server_connect(&world->server);
	unsigned char block[BLOCK], found[BLOCK];

	assert_nbd(nbd_trim(nbd, (uint64_t)CLIENTS * BLOCKS * BLOCK, 0, 0));
	for (uint64_t i = 0; i < 1000; i++) {
		pattern_fill(block, BLOCK, i);
		assert_nbd(nbd_pwrite(nbd, block, BLOCK, i * BLOCK, 0));
		read_block(nbd, i, found);
		assert_memory_equal(block, found, BLOCK);
	}
	nbd_close(nbd);
	kill(world->server.pid, SIGTERM);
	assert_int_equal(launch_wait(&world->server, PATIENCE), 0);
	assert_false(launch_has_litter(&world->server, what));
	launch_clear(&world->server);
}

/* --- in a cgroup ------------------------------------------------------------------ */

static void fill_in_box(struct world *world, enum launch what, const char *const *words)
{
	need_box(world, MIB(96));
	open_disk(world, what, words);

	struct sums sums = fill(&world->server, ENOSPC);
	uint64_t limit = server_figure(&world->server, "mem_limit");
	uint64_t most = server_figure(&world->server, "mem_used_max");

	printf("limit %" PRIu64 ", at most %" PRIu64 " taken; the cgroup had %" PRIu64
	       " of %zu bytes, %" PRIu64 " killed\n",
	       limit, most, box_peak(&world->box), MIB(96), box_kills(&world->box));
	assert_int_equal(sums.failed, 0);
	assert_true(sums.refused >= CLIENTS * REFUSALS);
	assert_int_equal(box_kills(&world->box), 0);
	assert_true(most <= limit);
	/* Most of the cgroup is the disk's. */
	assert_true(limit > MIB(96) / 3 && most > limit - MIB(1));
	close_disk(world, what);
}

static void zram_serve_keeps_within_its_cgroup_by_itself(void **state)
{
	static const char *const words[] = { "1G", NULL };

	fill_in_box(*state, LAUNCH_ZRAM, words);
}

/* With several threads for each connection, which all have buffers. */
static void so_does_nbdkit(void **state)
{
	static const char *const words[] = { "--threads=8", "size=1G", "limit=auto", NULL };

	fill_in_box(*state, LAUNCH_NBDKIT, words);
}

/* That is what the limit is for; and that the cgroup does press. */
static void without_a_limit_the_kernel_kills_it(void **state)
{
	static const char *const words[] = { "1G", "--limit", "0", NULL };
	struct world *world = *state;

	need_box(world, MIB(96));
	open_disk(world, LAUNCH_ZRAM, words);
	assert_int_equal(server_figure(&world->server, "mem_limit"), 0);

	struct sums sums = fill(&world->server, ENOSPC);

	printf("%u of %d connections were cut off, %" PRIu64 " processes killed\n", sums.cut_off,
	       CLIENTS, box_kills(&world->box));
	assert_int_equal(sums.cut_off, CLIENTS);
	assert_int_equal(WEXITSTATUS(launch_wait(&world->server, PATIENCE)), 1);
	assert_true(box_kills(&world->box) > 0);
	launch_clear(&world->server);
}

/* --- limits of the process ---------------------------------------------------------- */

static const char *const small[] = { "--threads=1", "size=1G", NULL };

static void fill_short_of_memory(struct world *world)
{
	struct sums sums = fill(&world->server, ENOMEM);

	printf("%" PRIu64 " bytes taken at most\n", server_figure(&world->server, "mem_used_max"));
	assert_int_equal(sums.failed, 0);
	assert_true(sums.refused >= CLIENTS * REFUSALS);
	close_disk(world, LAUNCH_NBDKIT);
}

/* nbdkit has 200 MiB of them before anything is served. */
static void a_disk_short_of_addresses_says_that_there_is_no_memory(void **state)
{
	struct world *world = *state;

	world->addresses = (struct rlimit){ MIB(400), MIB(400) };
	open_disk(world, LAUNCH_NBDKIT, small);
	fill_short_of_memory(world);
}

static uint64_t data_of(pid_t pid)
{
	char path[64], line[128];
	unsigned long kib = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);

	FILE *file = fopen(path, "re");

	assert_non_null(file);
	while (fgets(line, sizeof(line), file) && sscanf(line, "VmData: %lu kB", &kib) != 1)
		;
	fclose(file);
	return (uint64_t)kib << 10;
}

static void a_disk_short_of_data_says_that_there_is_no_memory(void **state)
{
	struct world *world = *state;
	struct rlimit limit;

	world->addresses = (struct rlimit){ RLIM_INFINITY, RLIM_INFINITY };
	open_disk(world, LAUNCH_NBDKIT, small);
	limit.rlim_cur = limit.rlim_max = data_of(world->server.pid) + MIB(40);
	assert_int_equal(prlimit(world->server.pid, RLIMIT_DATA, &limit, NULL), 0);
	fill_short_of_memory(world);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(zram_serve_keeps_within_its_cgroup_by_itself),
		TEST(so_does_nbdkit),
		TEST(without_a_limit_the_kernel_kills_it),
		TEST(a_disk_short_of_addresses_says_that_there_is_no_memory),
		TEST(a_disk_short_of_data_says_that_there_is_no_memory),
	};
	int failed = 0;

	if (!long_run_read(&run, argc, argv) || run.only) {
		fprintf(stderr, "usage: %s [--seed N] [--seconds N]\n", argv[0]);
		return 2;
	}
	if (!launch_possible())
		return 77;
	while (!failed && long_run_next(&run))
		failed = cmocka_run_group_tests_name("disk", tests, NULL, NULL);
	return failed;
}
