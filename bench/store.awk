# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# Medians over the rounds of store.tsv or kernel.tsv as tables: nanoseconds a page by side,
# how fast the store is next to the raw codec and to the kernel (above 1: faster), and
# bytes of memory for each compressed byte. clock is wall or cpu. Needs median.awk.

function ns_of(group, side, phase)
{
	return (group, side, phase) in ns ? median(ns[group, side, phase]) : 0
}

# What is aimed at, as a part of the other side's speed.
function aim(side, phase)
{
	return side == "kernel" ? 1 : phase ~ /^read/ ? 0.75 : 0.85
}

function verdict(value, group, side, phase, part, bound)
{
	if (!value)
		return "-"
	part = value / ns_of(group, "store", phase)
	bound = aim(side, phase)
	return sprintf("%.2f (>= %.2f: %s)", part, bound, (part >= bound ? "yes" : "NO"))
}

function say(line)
{
	sub(/ +$/, "", line)
	print line
}

function header(s, line)
{
	line = sprintf("%-18s", "ns a page")
	for (s = 1; s <= sides; s++)
		line = line sprintf("%11s", side_name[s])
	for (s = 1; s <= sides; s++) {
		if (side_name[s] in aims)
			line = line sprintf("  %-22s", "speed: store / " side_name[s])
	}
	say(line)
}

function times(group, s, p, value, line, ratios)
{
	for (p = 1; p <= phases; p++) {
		line = sprintf("  %-16s", phase_name[p])
		ratios = ""
		for (s = 1; s <= sides; s++) {
			value = ns_of(group, side_name[s], phase_name[p])
			line = line sprintf("%11s", (value > 0 ? sprintf("%.0f", value) : "-"))
			if (side_name[s] in aims)
				ratios = ratios sprintf("  %-22s", verdict(value, group, side_name[s], phase_name[p]))
		}
		say(line ratios)
	}
}

function bytes(group, s, p)
{
	for (p = 1; p <= phases; p++) {
		if (!((group, "store", phase_name[p]) in used))
			continue
		printf "  bytes used / compressed after %-13s", phase_name[p]
		for (s = 1; s <= sides; s++) {
			if ((group, side_name[s], phase_name[p]) in used)
				printf "  %s %.4f", side_name[s], median(used[group, side_name[s], phase_name[p]])
		}
		if ((group, "kernel", phase_name[p]) in used)
			printf "  store / kernel %.4f (< 1)", total[group, "store", phase_name[p]] / \
				total[group, "kernel", phase_name[p]]
		print ""
	}
}

BEGIN {
	FS = "\t"
	aims["raw"]
	aims["kernel"]
}

/^#/ {
	next
}

{
	group = $1 SUBSEP $4 SUBSEP $5
	if (!(group in known_group)) {
		known_group[group] = $1 " pages (" $8 "), " $4 ", " $5 " thread" ($5 > 1 ? "s" : "")
		groups[++group_count] = group
	}
	if (!($6 in known_side)) {
		known_side[$6]
		# In the order of the columns, whoever came first.
		weight[$6] = $6 == "raw" ? 1 : $6 == "store" ? 2 : 3
		for (s = ++sides; s > 1 && weight[side_name[s - 1]] > weight[$6]; s--)
			side_name[s] = side_name[s - 1]
		side_name[s] = $6
	}
	if (!($7 in known_phase)) {
		known_phase[$7]
		phase_name[++phases] = $7
	}
}

$2 == "time" {
	ns[group, $6, $7] = ns[group, $6, $7] " " (clock == "cpu" ? $10 : $9)
}

$2 == "bytes" {
	used[group, $6, $7] = used[group, $6, $7] " " ($9 > 0 ? $10 / $9 : 0)
	total[group, $6, $7] = $10
}

END {
	for (g = 1; g <= group_count; g++) {
		print (g > 1 ? "\n" : "") known_group[groups[g]]
		header()
		times(groups[g])
		bytes(groups[g])
	}
}
