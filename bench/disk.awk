# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# Medians over the rounds of disk.tsv as a table, a column for each server, and below it
# the figures that are aimed at. Needs median.awk.

function value_of(measure, server)
{
	return (measure, server) in values ? median(values[measure, server]) : 0
}

function row(title, measure, divisor, format, s, value)
{
	printf "%-36s", title
	for (s = 1; s <= servers; s++) {
		value = value_of(measure, server_name[s])
		printf "%15s", (value > 0 ? sprintf(format, value / divisor) : "-")
	}
	print ""
}

function aim(title, value, relation, bound)
{
	if (!value)
		return
	printf "  %-62s%8.3f  (%s %g: %s)\n", title, value, relation, bound,
		(relation == "<=" ? value <= bound : value >= bound) ? "yes" : "NO"
}

function part(value, base)
{
	return base > 0 ? value / base : 0
}

BEGIN {
	FS = "\t"
	MIB = 1048576
}

/^#/ {
	next
}

{
	if (!($2 in known)) {
		known[$2]
		server_name[++servers] = $2
	}
	values[$3, $2] = values[$3, $2] " " $4
}

END {
	printf "%-36s", ""
	for (s = 1; s <= servers; s++)
		printf "%15s", server_name[s]
	print ""
	row("nbdcopy write, s", "copy-write", 1, "%.2f")
	row("  processor time of the server, s", "copy-write-ticks", ticks_per_s, "%.2f")
	row("nbdcopy read, s", "copy-read", 1, "%.2f")
	row("  processor time of the server, s", "copy-read-ticks", ticks_per_s, "%.2f")
	row("  resident then, MiB", "resident-copied", MIB, "%.1f")
	row("  mem_used_total, MiB", "used-copied", MIB, "%.1f")
	row("  compr_data_size, MiB", "compressed-copied", MIB, "%.1f")
	row("random writes a second", "random-write", 1, "%d")
	row("  p99, us", "random-write-p99", 1, "%d")
	row("  processor time of the server, us", "random-write-ticks", ticks_per_s / 1e6, "%.1f")
	row("random reads a second", "random-read", 1, "%d")
	row("  p99, us", "random-read-p99", 1, "%d")
	row("  processor time of the server, us", "random-read-ticks", ticks_per_s / 1e6, "%.1f")
	row("resident after the fill, MiB", "resident-filled", MIB, "%.1f")
	row("  after the random writes", "resident-aged", MIB, "%.1f")
	row("mem_used_total after the fill", "used-filled", MIB, "%.1f")
	row("  after the random writes", "used-aged", MIB, "%.1f")
	row("compr_data_size after the fill", "compressed-filled", MIB, "%.1f")
	row("  after the random writes", "compressed-aged", MIB, "%.1f")
	aim("nbdcopy write, time: zram-lz4 / memory-zstd",
		part(value_of("copy-write", "zram-lz4"), value_of("copy-write", "memory-zstd")), "<=", 0.5)
	aim("nbdcopy read, time: zram-lz4 / memory-zstd",
		part(value_of("copy-read", "zram-lz4"), value_of("copy-read", "memory-zstd")), "<=", 0.5)
	aim("random writes: zram-lz4 / memory-zstd",
		part(value_of("random-write", "zram-lz4"), value_of("random-write", "memory-zstd")), ">=", 4)
	aim("zram-zstd, resident after random writes / after the fill",
		part(value_of("resident-aged", "zram-zstd"), value_of("resident-filled", "zram-zstd")),
		"<=", 1.03)
}
