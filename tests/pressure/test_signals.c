/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Ends at random moments: a server that is told to end while clients write ends soon, in the
 * way that is documented, and leaves nothing behind; clients that are killed in the middle of
 * a request take nothing with them and leave nothing in the server; and the next client is served.
 *
 * Usage: pressure_signals [--seed N] [--seconds N]. With seconds it goes on with other seeds.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch.h"
#include "long_run.h"
#include "pattern.h"

enum {
	CLIENTS = 4,
	ENDS = 12,   /* servers that are told to end, of each kind */
	KILLS = 100, /* clients that are killed, of each kind of server */
	BLOCKS = 2048,
	MOST = 64,     /* blocks a request */
	PATIENCE = 20, /* seconds */
};

/* What may grow in a server meanwhile: malloc() keeps some of what it had for each thread. */
#define SLACK MIB(6)

static struct long_run run;

/* --- clients ------------------------------------------------------------------ */

/* In memory that is shared: what it was doing when it was stopped. */
struct client {
	pid_t pid;
	bool controls;    /* by the control socket */
	atomic_bool asks; /* a request is on its way, or its answer */
	atomic_ulong done;
};

/* Each block says itself what it must be. */
static void fill(unsigned char *block, uint64_t key)
{
	memcpy(block, &key, sizeof(key));
	pattern_fill(block + sizeof(key), BLOCK - sizeof(key), key);
	/* All sizes after compression, so that objects come and go in all classes. */
	memset(block + sizeof(key), (int)key, key % 8 * 500);
}

static bool is_whole(const unsigned char *block)
{
	unsigned char wanted[BLOCK] = { 0 };
	uint64_t key;

	memcpy(&key, block, sizeof(key));
	if (key)
		fill(wanted, key);
	return memcmp(block, wanted, BLOCK) == 0;
}

static int ask(struct client *self, struct nbd_handle *nbd, struct rng *rng, unsigned char *bytes)
{
	uint64_t count = 1 + rng_below(rng, MOST);
	uint64_t first = rng_below(rng, (uint32_t)(BLOCKS - count));
	uint32_t what = rng_below(rng, 8);
	int result;

	for (uint64_t i = 0; i < count && what > 1; i++)
		fill(bytes + i * BLOCK, rng_next(rng) | 1);
	atomic_store(&self->asks, true);
	if (what == 0)
		result = nbd_pread(nbd, bytes, count * BLOCK, first * BLOCK, 0);
	else if (what == 1)
		result = nbd_trim(nbd, count * BLOCK, first * BLOCK, 0);
	else
		result = nbd_pwrite(nbd, bytes, count * BLOCK, first * BLOCK, 0);
	atomic_store(&self->asks, false);
	return result;
}

static _Noreturn void be_client(struct client *self, const struct server *server, uint64_t seed)
{
	static unsigned char bytes[MOST * BLOCK];
	struct rng rng = rng_seeded(seed);
	struct nbd_handle *nbd = nbd_create();

	if (!nbd || nbd_connect_unix(nbd, server->socket))
		_exit(1);
	while (ask(self, nbd, &rng, bytes) == 0)
		atomic_fetch_add(&self->done, 1);
	_exit(0);
}

/* Half a request now and then, and half an answer. */
static _Noreturn void be_controller(struct client *self, const struct server *server)
{
	static const char *const requests[] = { "get classes\n", "set compact 1\n", "get st",
						"at\n", "get mm_stat\n" };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char answer[100];

	memcpy(address.sun_path, server->control, sizeof(server->control));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		_exit(1);
	for (size_t i = 0;; i = (i + 1) % COUNT_OF(requests)) {
		atomic_store(&self->asks, true);
		if (send(fd, requests[i], strlen(requests[i]), MSG_NOSIGNAL) < 0)
			_exit(0);
		if (i == 2)
			continue;
		if (recv(fd, answer, sizeof(answer), 0) <= 0)
			_exit(0);
		atomic_store(&self->asks, false);
		atomic_fetch_add(&self->done, 1);
	}
}

static void start(struct client *client, const struct server *server, uint64_t seed)
{
	pid_t pid;

	atomic_store(&client->asks, false);
	pid = fork();
	assert_true(pid >= 0);
	if (pid > 0) {
		client->pid = pid;
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (client->controls)
		be_controller(client, server);
	be_client(client, server, seed);
}

/* Returns whether it was in the middle of a request. */
static bool kill_client(struct client *client)
{
	int status;
	bool amid;

	assert_true(client->pid > 0);
	kill(client->pid, SIGSTOP);
	assert_int_equal(waitpid(client->pid, &status, WUNTRACED), client->pid);
	amid = atomic_load(&client->asks);
	if (WIFSTOPPED(status)) {
		kill(client->pid, SIGKILL);
		assert_int_equal(waitpid(client->pid, &status, 0), client->pid);
	} else {
		fail_msg("a client has ended by itself: status %#x", (unsigned)status);
	}
	client->pid = 0;
	return amid;
}

/* They are told nothing: that the server is gone they see. */
static void reap(struct client *clients)
{
	for (size_t i = 0; i < CLIENTS; i++) {
		int status;
		unsigned waited = 0;

		while (clients[i].pid && waitpid(clients[i].pid, &status, WNOHANG) == 0) {
			if (waited++ == PATIENCE * 1000)
				fail_msg("a client hangs although the server is gone");
			usleep(1000);
		}
		clients[i].pid = 0;
	}
}

static unsigned long done_by(const struct client *clients)
{
	unsigned long done = 0;

	for (size_t i = 0; i < CLIENTS; i++)
		done += atomic_load(&clients[i].done);
	return done;
}

static void await_load(struct client *clients)
{
	for (unsigned waited = 0; done_by(clients) < 4 * CLIENTS; waited++) {
		if (waited == PATIENCE * 1000)
			fail_msg("the clients do nothing");
		usleep(1000);
	}
}

/* --- the test's world ---------------------------------------------------------- */

struct world {
	struct server server;
	struct client *clients; /* CLIENTS of them, shared */
	struct rng rng;
};

static int begin(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	world->clients = mmap(NULL, CLIENTS * sizeof(struct client), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	world->rng = rng_seeded(run.seed);
	*state = world;
	return world->clients == MAP_FAILED ? -1 : 0;
}

static int end(void **state)
{
	struct world *world = *state;

	for (size_t i = 0; i < CLIENTS; i++)
		if (world->clients[i].pid > 0) {
			kill(world->clients[i].pid, SIGKILL);
			waitpid(world->clients[i].pid, NULL, 0);
		}
	server_abandon(&world->server);
	if (world->server.directory[0])
		launch_clear(&world->server);
	munmap(world->clients, CLIENTS * sizeof(struct client));
	free(world);
	return 0;
}

static void open_server(struct world *world, enum launch what)
{
	/* With more, nbdkit before 1.34 may end itself when a client hangs up, as zram serve knows. */
	static const char *const plugin[] = { "--threads=1", "size=1G", NULL };
	static const char *const tool[] = { "1G", NULL };
	const struct launch_options options = { .what = what,
						.words = what == LAUNCH_ZRAM ? tool : plugin };

	launch(&world->server, &options);
}

/* The last of them uses the control socket. */
static void begin_load(struct world *world)
{
	memset(world->clients, 0, CLIENTS * sizeof(struct client));
	world->clients[CLIENTS - 1].controls = true;
	for (size_t i = 0; i < CLIENTS; i++)
		start(&world->clients[i], &world->server, rng_next(&world->rng));
	await_load(world->clients);
}

static void assert_serves(struct world *world)
{
	struct nbd_handle *nbd = server_connect(&world->server);
	unsigned char block[BLOCK], found[BLOCK];

	fill(block, rng_next(&world->rng) | 1);
	assert_nbd(nbd_pwrite(nbd, block, BLOCK, (uint64_t)BLOCKS * BLOCK, 0));
	read_block(nbd, BLOCKS, found);
	assert_memory_equal(block, found, BLOCK);
	nbd_close(nbd);
}

/* --- servers are told to end ---------------------------------------------------- */

static struct {
	unsigned long signals[NSIG];
	unsigned long requests; /* that were done before */
	unsigned long twice;
} ends;

static int send_signal(struct world *world, const int *signals, size_t count)
{
	int number = signals[rng_below(&world->rng, (uint32_t)count)];

	usleep(rng_below(&world->rng, 40000));
	assert_int_equal(kill(world->server.pid, number), 0);
	ends.signals[number]++;
	return number;
}

static void end_under_load(struct world *world, enum launch what, const int *signals, size_t count)
{
	open_server(world, what);
	begin_load(world);
	send_signal(world, signals, count);
	/* The second time, zram serve kills it. */
	if (what == LAUNCH_ZRAM && rng_below(&world->rng, 4) == 0) {
		ends.twice++;
		usleep(rng_below(&world->rng, 2000));
		kill(world->server.pid, SIGTERM);
	}

	int status = launch_wait(&world->server, PATIENCE);

	if (status)
		fail_msg("it ended with status %#x", (unsigned)status);
	assert_false(launch_has_litter(&world->server, what));
	reap(world->clients);
	ends.requests += done_by(world->clients);
	launch_clear(&world->server);
}

static void print_ends(void)
{
	printf("%lu SIGTERM, %lu SIGINT, %lu SIGHUP, %lu SIGQUIT; %lu of them twice; %lu requests "
	       "until then\n",
	       ends.signals[SIGTERM], ends.signals[SIGINT], ends.signals[SIGHUP],
	       ends.signals[SIGQUIT], ends.twice, ends.requests);
	assert_true(ends.signals[SIGTERM] && ends.signals[SIGINT] && ends.requests > 100);
	memset(&ends, 0, sizeof(ends));
}

static void zram_serve_that_is_told_to_end_under_load_ends_and_leaves_nothing(void **state)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT };

	for (unsigned i = 0; i < ENDS; i++)
		end_under_load(*state, LAUNCH_ZRAM, signals, COUNT_OF(signals));
	print_ends();
}

static void nbdkit_that_is_told_to_end_under_load_ends_and_leaves_no_control_socket(void **state)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGQUIT };

	for (unsigned i = 0; i < ENDS; i++)
		end_under_load(*state, LAUNCH_NBDKIT, signals, COUNT_OF(signals));
	print_ends();
}

/* nbdkit then ends by itself, and the next server finds everything there, but nobody behind it. */
static void zram_serve_that_is_killed_leaves_no_server_and_no_obstacle(void **state)
{
	struct world *world = *state;

	/* What has lost its parent is ours. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (unsigned i = 0; i < ENDS / 4; i++) {
		open_server(world, LAUNCH_ZRAM);
		begin_load(world);

		struct server orphan = { .pid = launch_holder(&world->server, LAUNCH_ZRAM) };

		usleep(rng_below(&world->rng, 40000));
		kill(world->server.pid, SIGKILL);
		assert_int_equal(launch_wait(&world->server, PATIENCE), SIGKILL);
		launch_wait(&orphan, PATIENCE);
		reap(world->clients);
	}
	open_server(world, LAUNCH_ZRAM);
	assert_serves(world);
	kill(world->server.pid, SIGTERM);
	assert_int_equal(launch_wait(&world->server, PATIENCE), 0);
	assert_false(launch_has_litter(&world->server, LAUNCH_ZRAM));
	launch_clear(&world->server);
	printf("%d SIGKILL\n", ENDS / 4);
}

/* --- clients are killed ---------------------------------------------------------- */

static unsigned entries(pid_t pid, const char *name)
{
	char path[64];
	unsigned count = 0;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);

	DIR *directory = opendir(path);

	assert_non_null(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static uint64_t anonymous(pid_t pid)
{
	char path[64], line[128];
	unsigned long kib = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);

	FILE *file = fopen(path, "re");

	assert_non_null(file);
	while (fgets(line, sizeof(line), file) && sscanf(line, "RssAnon: %lu kB", &kib) != 1)
		;
	fclose(file);
	return (uint64_t)kib << 10;
}

/* What there is of a server when nobody uses it and nothing is stored. */
struct rest {
	unsigned descriptors, threads;
	uint64_t memory;
};

static void empty_disk(struct world *world)
{
	struct nbd_handle *nbd = server_connect(&world->server);

	assert_nbd(nbd_trim(nbd, (uint64_t)(BLOCKS + 1) * BLOCK, 0, 0));
	nbd_close(nbd);
}

/*
 * Connections are taken down some time after they were hung up: waits until there is no more than
 * wanted, or, if that is not known, until nothing has gone for a while.
 */
static struct rest rest_of(struct world *world, enum launch what, const struct rest *wanted)
{
	pid_t pid = launch_holder(&world->server, what);
	struct rest rest = { UINT_MAX, UINT_MAX, 0 };
	unsigned tries = wanted ? PATIENCE * 100 : 30;

	assert_true(pid > 0);
	for (unsigned i = 0; i < tries; i++) {
		unsigned descriptors = entries(pid, "fd"), threads = entries(pid, "task");

		if (descriptors < rest.descriptors || threads < rest.threads)
			i = wanted ? i : 0;
		rest = (struct rest){ descriptors, threads, anonymous(pid) };
		if (wanted && descriptors <= wanted->descriptors && threads <= wanted->threads)
			break;
		usleep(10000);
	}
	return rest;
}

static void assert_all_whole(struct world *world)
{
	static unsigned char bytes[MOST * BLOCK];
	struct nbd_handle *nbd = server_connect(&world->server);

	for (uint64_t first = 0; first < BLOCKS; first += MOST) {
		assert_nbd(nbd_pread(nbd, bytes, sizeof(bytes), first * BLOCK, 0));
		for (size_t i = 0; i < MOST; i++)
			assert_true(is_whole(bytes + i * BLOCK));
	}
	nbd_close(nbd);
}

/* Returns how many of them were in the middle of a request. */
static unsigned kill_some(struct world *world, unsigned count)
{
	unsigned amid = 0;

	for (unsigned i = 0; i < count; i++) {
		struct client *client = &world->clients[rng_below(&world->rng, CLIENTS)];

		usleep(rng_below(&world->rng, 10000));
		amid += kill_client(client);
		start(client, &world->server, rng_next(&world->rng));
		if (i % 10 == 0)
			assert_serves(world);
	}
	return amid;
}

static void stop_clients(struct world *world)
{
	for (size_t i = 0; i < CLIENTS; i++)
		kill_client(&world->clients[i]);
}

static void kill_clients_of(struct world *world, enum launch what)
{
	struct rest empty, before, after;
	unsigned amid;

	open_server(world, what);
	empty = rest_of(world, what, NULL);
	begin_load(world);
	/* Once all that is kept for good has been made. */
	amid = kill_some(world, KILLS / 3);
	stop_clients(world);
	empty_disk(world);
	before = rest_of(world, what, &empty);
	for (size_t i = 0; i < CLIENTS; i++)
		start(&world->clients[i], &world->server, rng_next(&world->rng));
	amid += kill_some(world, KILLS * 2 / 3);
	stop_clients(world);
	assert_all_whole(world);
	empty_disk(world);
	after = rest_of(world, what, &empty);
	printf("%d clients killed, %u of them in the middle of a request; "
	       "%u and %u descriptors, %u and %u threads, %" PRIu64 " and %" PRIu64 " bytes\n",
	       KILLS, amid, empty.descriptors, after.descriptors, empty.threads, after.threads,
	       before.memory, after.memory);
	assert_true(amid > KILLS / 4);
	assert_true(after.descriptors <= empty.descriptors);
	assert_true(after.threads <= empty.threads);
	assert_true(after.memory <= before.memory + SLACK);
	assert_serves(world);
	kill(world->server.pid, SIGTERM);
	assert_int_equal(launch_wait(&world->server, PATIENCE), 0);
	assert_false(launch_has_litter(&world->server, what));
	launch_clear(&world->server);
}

static void clients_of_zram_serve_that_are_killed_leave_nothing_in_it(void **state)
{
	kill_clients_of(*state, LAUNCH_ZRAM);
}

static void clients_of_nbdkit_that_are_killed_leave_nothing_in_it(void **state)
{
	kill_clients_of(*state, LAUNCH_NBDKIT);
}

/* --- poll() that fails for good --------------------------------------------------- */

/* With fewer descriptors allowed than it polls. Whoever ends it need not wait for ever. */
static void a_control_socket_that_cannot_poll_any_more_does_not_keep_the_server(void **state)
{
	static const char *const words[] = { "size=1G", NULL };
	const struct launch_options options = { .what = LAUNCH_NBDKIT, .words = words };
	struct world *world = *state;
	struct rlimit none = { 1, 1 };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	launch(&world->server, &options);
	memcpy(address.sun_path, world->server.control, sizeof(world->server.control));
	assert_int_equal(prlimit(world->server.pid, RLIMIT_NOFILE, &none, NULL), 0);
	/* It comes out of the poll() that it is in. */
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	usleep(300000);
	kill(world->server.pid, SIGTERM);
	/* With which exit code is nbdkit's affair, whose poll() fails too. */
	assert_true(WIFEXITED(launch_wait(&world->server, PATIENCE)));
	close(fd);
	launch_clear(&world->server);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(zram_serve_that_is_told_to_end_under_load_ends_and_leaves_nothing),
		TEST(nbdkit_that_is_told_to_end_under_load_ends_and_leaves_no_control_socket),
		TEST(zram_serve_that_is_killed_leaves_no_server_and_no_obstacle),
		TEST(clients_of_zram_serve_that_are_killed_leave_nothing_in_it),
		TEST(clients_of_nbdkit_that_are_killed_leave_nothing_in_it),
		TEST(a_control_socket_that_cannot_poll_any_more_does_not_keep_the_server),
	};
	int failed = 0;

	if (!long_run_read(&run, argc, argv) || run.only) {
		fprintf(stderr, "usage: %s [--seed N] [--seconds N]\n", argv[0]);
		return 2;
	}
	if (!launch_possible())
		return 77;
	while (!failed && long_run_next(&run))
		failed = cmocka_run_group_tests_name("signals", tests, NULL, NULL);
	return failed;
}
