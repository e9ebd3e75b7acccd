/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Reads the options of zram serve, and turns those that are about the store into
 * what the plugin takes. What they may be is said by the store where it can say it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zram.h>

#include "command.h"
#include "place.h"
#include "say.h"
#include "settings.h"
#include "units.h"

static void pass(struct settings *settings, const char *key, const char *value)
{
	/* Said twice, the last one counts. */
	for (int i = 0; i < settings->plugin_count; i++) {
		if (!strncmp(settings->plugin[i], key, strlen(key)) &&
		    settings->plugin[i][strlen(key)] == '=') {
			settings->plugin[i] = text_of("%s=%s", key, value);
			return;
		}
	}
	settings->plugin[settings->plugin_count++] = text_of("%s=%s", key, value);
}

static uint64_t pass_size(struct settings *settings, const char *key, const char *value)
{
	char text[24];
	uint64_t bytes;

	if (!parse_size(value, &bytes))
		usage_error(&serve_command, "%s: '%s' is no size", key, value);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
	pass(settings, key, text);
	return bytes;
}

/* What "auto" comes to is for the server to say. */
static void pass_limit(struct settings *settings, const char *value)
{
	settings->limit = 0;
	if (!strcmp(value, "auto"))
		pass(settings, "limit", value);
	else
		settings->limit = pass_size(settings, "limit", value);
}

static void pass_algorithm(struct settings *settings, const char *value)
{
	const char *const *names = zram_algorithms();

	while (*names && strcmp(*names, value) != 0)
		names++;
	if (!*names)
		usage_error(&serve_command, "algorithm: there is no '%s'", value);
	settings->algorithm = value;
	pass(settings, "algorithm", value);
}

static void pass_level(struct settings *settings, const char *value)
{
	char *end;
	long level;

	errno = 0;
	level = strtol(value, &end, 10);
	if (end == value || *end || errno || level < INT_MIN || level > INT_MAX)
		usage_error(&serve_command, "level: '%s' is no number", value);
	pass(settings, "level", value);
}

static void pass_word(struct settings *settings, const char *key, const char *value,
		      const char *one, const char *other)
{
	if (strcmp(value, one) != 0 && strcmp(value, other) != 0)
		usage_error(&serve_command, "%s: '%s' is neither %s nor %s", key, value, one,
			    other);
	pass(settings, key, value);
}

static void pass_streams(struct settings *settings, const char *value)
{
	uint64_t number;

	if (!parse_number(value, &number) || number < 1 || number > 256)
		usage_error(&serve_command, "streams: '%s' is no number from 1 to 256", value);
	pass(settings, "streams", value);
}

static void set_size(struct settings *settings, const char *value)
{
	settings->size = pass_size(settings, "size", value);
	if (!settings->size || settings->size > ZRAM_MAX_SIZE)
		usage_error(&serve_command, "size: '%s' is not from 1 to 2^63 - 4096 bytes", value);
}

static void set_port(struct settings *settings, const char *value)
{
	uint64_t number;

	if (!parse_number(value, &number) || number > UINT16_MAX)
		usage_error(&serve_command, "port: '%s' is no number from 0 to 65535", value);
	settings->port = (int)number;
}

static void set_name(struct settings *settings, const char *value)
{
	if (!place_is_name(value))
		usage_error(&serve_command,
			    "name: '%s' is not up to 40 letters, digits, '.', '_' and '-'", value);
	settings->name = value;
}

static void set_option(struct settings *settings, int option, const char *value)
{
	switch (option) {
	case 's':
		set_size(settings, value);
		break;
	case 'a':
		pass_algorithm(settings, value);
		break;
	case 'l':
		pass_level(settings, value);
		break;
	case 'd':
		pass(settings, "dictionary", value);
		break;
	case 'b':
		settings->block_size = pass_size(settings, "block-size", value);
		break;
	case 'm':
		pass_limit(settings, value);
		break;
	case 'c':
		pass_word(settings, "compaction", value, "auto", "manual");
		break;
	case 'k':
		pass_word(settings, "checksum", value, "on", "off");
		break;
	case 'z':
		pass_word(settings, "zero-on-free", value, "off", "on");
		break;
	case 't':
		pass_streams(settings, value);
		break;
	case 'n':
		set_name(settings, value);
		break;
	case 'S':
		settings->socket = value;
		break;
	case 'p':
		set_port(settings, value);
		break;
	case 'A':
		settings->address = value;
		break;
	case 'C':
		settings->control = value;
		break;
	}
}

static void read_options(struct settings *settings, int argc, char **argv)
{
	static const struct option options[] = {
		{ "size", required_argument, NULL, 's' },
		{ "algorithm", required_argument, NULL, 'a' },
		{ "level", required_argument, NULL, 'l' },
		{ "dictionary", required_argument, NULL, 'd' },
		{ "block-size", required_argument, NULL, 'b' },
		{ "limit", required_argument, NULL, 'm' },
		{ "compaction", required_argument, NULL, 'c' },
		{ "checksum", required_argument, NULL, 'k' },
		{ "zero-on-free", required_argument, NULL, 'z' },
		{ "streams", required_argument, NULL, 't' },
		{ "name", required_argument, NULL, 'n' },
		{ "socket", required_argument, NULL, 'S' },
		{ "port", required_argument, NULL, 'p' },
		{ "address", required_argument, NULL, 'A' },
		{ "control", required_argument, NULL, 'C' },
		HELP_OPTION,
		END_OPTIONS,
	};
	int own = 1; /* the words before -- */
	int option;

	while (own < argc && strcmp(argv[own], "--") != 0)
		own++;
	if (own < argc) {
		settings->nbdkit = argv + own + 1;
		settings->nbdkit_count = argc - own - 1;
	}
	while ((option = next_option(&serve_command, own, argv, options)) != -1)
		set_option(settings, option, optarg);
	check_words(&serve_command, own, argv, 0, 1, "");
	if (optind < own && settings->size)
		usage_error(&serve_command, "%s: there are two sizes", argv[optind]);
	if (optind < own)
		set_size(settings, argv[optind]);
}

static void check_settings(const struct settings *settings)
{
	if (!settings->size)
		usage_error(&serve_command, "how large? For example: zram serve 4G");
	if (settings->port >= 0 && settings->socket)
		usage_error(&serve_command, "--socket and --port: only one of them");
	if (settings->port < 0 && settings->address)
		usage_error(&serve_command, "--address needs --port");
}

void read_settings(struct settings *settings, int argc, char **argv)
{
	*settings = (struct settings){
		.algorithm = "lz4",
		.block_size = ZRAM_MIN_BLOCK_SIZE,
		.port = -1,
	};
	read_options(settings, argc, argv);
	check_settings(settings);
}
