/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * Writes a disk's figures as JSON and in Prometheus' text format. The label may be a
 * path, with any byte in it: JSON gets bytes that are no ASCII as they are.
 */
#include <inttypes.h>
#include <stdio.h>

#include "export.h"

static void put_json_string(const char *text, FILE *to)
{
	fputc('"', to);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fprintf(to, "\\%c", *text);
		else if ((unsigned char)*text < 0x20)
			fprintf(to, "\\u%04x", (unsigned)*text);
		else
			fputc(*text, to);
	}
	fputc('"', to);
}

void export_json(const char *label, const char *algorithm, const struct zram_stats *stats, FILE *to)
{
	fputs("{\n  \"name\": ", to);
	put_json_string(label, to);
	fputs(",\n  \"comp_algorithm\": ", to);
	put_json_string(algorithm, to);
	for (size_t i = 0; i < figure_total; i++)
		fprintf(to, ",\n  \"%s\": %" PRIu64, figures[i].name,
			figure_value(stats, &figures[i]));
	fputs("\n}\n", to);
}

static void put_metric_label(const char *text, FILE *to)
{
	fputs("{disk=\"", to);
	for (; *text; text++) {
		if (*text == '\n')
			fputs("\\n", to);
		else if (*text == '"' || *text == '\\')
			fprintf(to, "\\%c", *text);
		else
			fputc(*text, to);
	}
	fputc('"', to);
}

void export_prometheus(const char *label, const char *algorithm, const struct zram_stats *stats,
		       FILE *to)
{
	fputs("# HELP zram_info What the disk is.\n# TYPE zram_info gauge\nzram_info", to);
	put_metric_label(label, to);
	fprintf(to, ",algorithm=\"%s\"} 1\n", algorithm);
	for (size_t i = 0; i < figure_total; i++) {
		const struct figure *figure = &figures[i];

		fprintf(to, "# HELP %s %s\n# TYPE %s %s\n%s", figure->metric, figure->help,
			figure->metric, figure->kind == COUNTER ? "counter" : "gauge",
			figure->metric);
		put_metric_label(label, to);
		fprintf(to, "} %" PRIu64 "\n", figure_value(stats, figure));
	}
}
