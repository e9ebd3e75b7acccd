/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * zram serve: a disk for as long as the command runs. Reads the options, takes a
 * name, has nbdkit serve the plugin, and says how to attach the disk. What was made for
 * it is removed in the end, whatever the end is.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <zram.h>

#include "command.h"
#include "control.h"
#include "listener.h"
#include "place.h"
#include "say.h"
#include "server.h"
#include "settings.h"
#include "units.h"

#define MAX_DISKS 1000 /* that get a name by themselves */

static const char help[] =
	"Usage: zram serve SIZE [OPTION]... [-- NBDKIT-ARGUMENT...]\n"
	"Serves a compressed disk in RAM until Ctrl-C, and says how to attach it. The disk\n"
	"takes memory only for what is written to it. When it ends, its contents are gone.\n"
	"\n"
	"  SIZE, --size SIZE      of the disk: bytes, or with K, M, G, T, P, E\n"
	"  --algorithm NAME       lz4 (default), lz4hc, zstd, lzo, none\n"
	"  --level N              of the algorithm's own scale\n"
	"  --dictionary FILE      what blocks are likely to have in common (lz4, lz4hc, zstd)\n"
	"  --block-size SIZE      4K (default) to 64K: larger is denser and slower\n"
	"  --limit SIZE           of the memory; a write that needs more fails. 0: none;\n"
	"                         auto (default): what this command's cgroup allows\n"
	"  --compaction WHEN      auto (default) or manual\n"
	"  --checksum WHETHER     on (default) or off\n"
	"  --zero-on-free WHETHER off (default) or on: zero what is overwritten or discarded\n"
	"  --streams N            requests compressed at the same time\n"
	"\n"
	"  --name NAME            for the other commands (default: zram0, zram1, ...)\n"
	"  --socket PATH          the Unix socket for NBD (default: a private one)\n"
	"  --port N               TCP instead, on this machine only; 0: any free port\n"
	"  --address A            with --port: for who can reach this address\n"
	"  --control PATH         the socket for the other commands (default: by the name)\n"
	"  --help                 show this\n"
	"\n"
	"What follows -- goes to nbdkit, for example --tls=require or --filter=cow.\n";

/* What is removed when the process ends. */
static struct {
	char *paths[4];
	int count;
} litter;

static void remove_litter(void)
{
	for (int i = 0; i < litter.count; i++)
		unlink(litter.paths[i]);
}

static void remove_at_end(const char *path)
{
	if (!litter.count)
		atexit(remove_litter);
	litter.paths[litter.count++] = text_of("%s", path);
}

static int lock_name(const char *directory, const char *name)
{
	char *path = place_path(directory, name, "lock");
	int fd = place_lock(path);

	if (fd >= 0)
		remove_at_end(path);
	free(path);
	return fd;
}

/* The first free name if none was asked for. Returns its lock. */
static int take_name(const char *directory, struct settings *settings)
{
	int fd;

	if (settings->name) {
		fd = lock_name(directory, settings->name);
		if (fd < 0)
			die(EXIT_FAILURE, "%s: a disk with this name is served already",
			    settings->name);
		return fd;
	}
	for (int i = 0; i < MAX_DISKS; i++) {
		char *name = text_of("zram%d", i);

		fd = lock_name(directory, name);
		if (fd >= 0) {
			settings->name = name;
			return fd;
		}
		free(name);
	}
	die(EXIT_FAILURE, "%s: too many disks", directory);
}

/* Clients of the disk have other working directories. */
static char *from_root(const char *path)
{
	char *here;
	char *absolute;

	if (path[0] == '/')
		return text_of("%s", path);
	here = getcwd(NULL, 0);
	if (!here)
		die(EXIT_FAILURE, "the working directory: %s", strerror(errno));
	absolute = text_of("%s/%s", here, path);
	free(here);
	return absolute;
}

/* The plugin beside this program in a build tree; else nbdkit's own, by its name. */
static char *find_plugin(void)
{
	char program[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
	char *path;

	if (length > 0) {
		program[length] = '\0';
		*strrchr(program, '/') = '\0';
		path = text_of("%s/../plugin/nbdkit-zram-plugin.so", program);
		if (!access(path, R_OK))
			return path;
		free(path);
	}
	return text_of("zram");
}

static char **nbdkit_words(const struct settings *settings, const char *control)
{
	int room = settings->plugin_count + settings->nbdkit_count + 6;
	char **words = need_memory(calloc((size_t)room, sizeof(*words)));
	int count = 0;

	words[count++] = text_of("nbdkit");
	words[count++] = text_of("--exit-with-parent");
	/* Connections are still served in parallel. Whoever asks for more threads gets them. */
	if (!server_survives_hangups())
		words[count++] = text_of("--threads=1");
	words[count++] = find_plugin();
	words[count++] = text_of("control=%s", control);
	for (int i = 0; i < settings->plugin_count; i++)
		words[count++] = settings->plugin[i];
	for (int i = 0; i < settings->nbdkit_count; i++)
		words[count++] = settings->nbdkit[i];
	return words;
}

/* The limit that it took by itself if none was given. */
static uint64_t limit_of(const struct settings *settings, const char *control)
{
	struct target target = { .control = control };
	struct control *server;
	uint64_t limit;
	char *value;

	if (settings->limit)
		return settings->limit;
	server = control_open(&target);
	value = control_get(server, "mem_limit");
	if (!parse_number(value, &limit))
		limit = 0;
	free(value);
	control_close(server);
	return limit;
}

static void show_disk(const struct settings *settings, const struct listener *listener,
		      const char *control)
{
	char size[FIGURE_ROOM];
	char block[FIGURE_ROOM];
	char text[FIGURE_ROOM];
	uint64_t limit = limit_of(settings, control);

	printf("%s: a disk of %s in RAM, compressed with %s in blocks of %s, %s%s%s.\n\n  %s\n",
	       settings->name, figure_bytes(size, settings->size), settings->algorithm,
	       figure_bytes(block, settings->block_size), limit ? "at most " : "no memory limit",
	       limit ? figure_bytes(text, limit) : "",
	       limit && !settings->limit ? " (what its cgroup leaves to it)" : "", listener->uri);
}

static void show_uses(const struct listener *listener, const char *socket)
{
	const char *uri = listener->uri;

	printf("\nTo use it:\n");
	if (socket)
		printf("  as a block device    sudo modprobe nbd && sudo nbd-client -unix '%s' /dev/nbd0\n",
		       socket);
	else
		printf("  as a block device    sudo modprobe nbd && sudo nbd-client %s %u /dev/nbd0\n",
		       listener->host, listener->port);
	printf("  without the module   mkdir -p disk && nbdfuse disk '%s' &\n"
	       "                       sudo losetup --find --show disk/nbd\n"
	       "  in a virtual machine qemu-system-x86_64 -drive "
	       "'file=%s,format=raw,if=virtio,discard=unmap'\n"
	       "  as a copy of a file  nbdcopy FILE '%s'\n",
	       uri, uri, uri);
}

/* Returns false if it could not be printed, which has then been said. */
static bool show_banner(const struct settings *settings, const struct listener *listener,
			const char *socket, const char *control)
{
	show_disk(settings, listener, control);
	show_uses(listener, socket);
	printf("\nTo look after it: zram stat%s%s%s; zram top, map, compact, reset.\n"
	       "To end it, and forget what it holds: Ctrl-C.\n",
	       settings->control ? " --control '" : "", settings->control ? control : "",
	       settings->control ? "'" : "");
	if (settings->address)
		complain("whoever reaches %s can read and write the disk (nbdkit-tls(1) says how "
			 "to prevent it)",
			 settings->address);
	return close_output(EXIT_SUCCESS) == EXIT_SUCCESS;
}

/*
 * Says what is to be said of the way it ended; returns the exit code. What was told to end
 * and is gone has done what was asked for, if not always in a nice way.
 */
static int judge(const struct server *server, bool was_used)
{
	int status = server->status;
	bool is_asked = server->stops;

	if (WIFSIGNALED(status)) {
		if (!is_asked || WTERMSIG(status) != SIGTERM)
			complain("nbdkit was ended by signal %d (%s)", WTERMSIG(status),
				 strsignal(WTERMSIG(status)));
		return is_asked ? EXIT_SUCCESS : EXIT_FAILURE;
	}
	if (is_asked && !WEXITSTATUS(status))
		return EXIT_SUCCESS;
	/* What it could not start with, nbdkit has said in its own line. */
	if (is_asked || was_used || !WEXITSTATUS(status))
		complain("nbdkit ended with exit code %d", WEXITSTATUS(status));
	return EXIT_FAILURE;
}

/* Who has the name has these paths too: what is there is of a server that was killed. */
static char *own_path(const char *directory, const char *name, const char *kind)
{
	char *path = place_path(directory, name, kind);

	clear_socket(path);
	return path;
}

/* Returns whether the disk could be used. */
static bool serve_until_end(struct server *server, const struct settings *settings,
			    const struct listener *listener, const char *socket,
			    const char *control)
{
	bool is_ready = server_wait_ready(server, control);
	bool is_said = is_ready && show_banner(settings, listener, socket, control);

	if (is_ready && !is_said)
		server_stop(server);
	server_wait_end(server);
	return is_said;
}

static int serve(struct settings *settings)
{
	char *directory = place_directory(true);
	int lock = take_name(directory, settings);
	char *socket = own_path(directory, settings->name, "sock");
	char *control = own_path(directory, settings->name, "control");
	struct listener listener;
	struct server server;
	bool was_used;

	if (settings->socket)
		socket = from_root(settings->socket);
	if (settings->control)
		control = from_root(settings->control);
	clear_socket(control);
	remove_at_end(control);
	if (settings->port >= 0) {
		listen_tcp(&listener, settings->address, (uint16_t)settings->port);
		socket = NULL;
	} else {
		listen_unix(&listener, socket);
		remove_at_end(socket);
	}
	server_start(&server, nbdkit_words(settings, control), &listener, lock);
	was_used = serve_until_end(&server, settings, &listener, socket, control);
	return judge(&server, was_used);
}

static int run(int argc, char **argv)
{
	struct settings settings;

	read_settings(&settings, argc, argv);
	return serve(&settings);
}

const struct command serve_command = {
	.name = "serve",
	.summary = "serve a disk until Ctrl-C, and say how to attach it",
	.help = help,
	.run = run,
};
