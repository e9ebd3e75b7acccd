# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# Medians over the rounds of trace.tsv as tables: nanoseconds an operation, ours as
# a ratio to the fastest malloc, how two threads compare with one, and resident
# bytes for each byte alive. clock is wall or cpu. Needs median.awk.

function ours(allocator)
{
	return allocator ~ /^zs/
}

function header(title, i)
{
	printf "\n%-18s", title
	for (i = 1; i <= allocators; i++)
		printf "%11s", allocator_name[i]
}

function ratio(value, base)
{
	return base > 0 ? sprintf("%.2f", value / base) : "-"
}

function times(threads, p, a, value, fastest, our)
{
	header("ns, " threads " thread" (threads > 1 ? "s" : ""))
	printf "  %s\n", "zs / fastest malloc, zs-manual / fastest malloc"
	for (p = 1; p <= phases; p++) {
		if (!((phase_name[p], threads, allocator_name[1]) in ns))
			continue
		printf "%-18s", phase_name[p]
		fastest = 0
		for (a = 1; a <= allocators; a++) {
			value = median(ns[phase_name[p], threads, allocator_name[a]])
			printf "%11.1f", value
			if (ours(allocator_name[a]))
				our[allocator_name[a]] = value
			else if (!fastest || value < fastest)
				fastest = value
		}
		printf "  %6s %6s\n", ratio(our["zs"], fastest), ratio(our["zs-manual"], fastest)
	}
}

function scaling(p, a, one, two)
{
	header("2 thr. / 1 thr.")
	print "  operations a second"
	for (p = 1; p <= phases; p++) {
		if (!((phase_name[p], 1, allocator_name[1]) in ns))
			continue
		printf "%-18s", phase_name[p]
		for (a = 1; a <= allocators; a++) {
			one = median(ns[phase_name[p], 1, allocator_name[a]])
			two = median(ns[phase_name[p], 2, allocator_name[a]])
			printf "%11.2f", 2 * one / two
		}
		print ""
	}
}

function resident_table(p, a)
{
	header("resident / live")
	print "  1 thread"
	for (p = 1; p <= phases; p++) {
		if (!((phase_name[p], 1, allocator_name[1]) in resident))
			continue
		printf "%-18s", phase_name[p]
		for (a = 1; a <= allocators; a++)
			printf "%11.3f", median(resident[phase_name[p], 1, allocator_name[a]])
		print ""
	}
}

BEGIN {
	FS = "\t"
}

/^#/ {
	next
}

{
	if (!($2 in known_allocator)) {
		known_allocator[$2]
		allocator_name[++allocators] = $2
	}
	if (!($3 in known_phase)) {
		known_phase[$3]
		phase_name[++phases] = $3
	}
	ns[$3, $4, $2] = ns[$3, $4, $2] " " (clock == "cpu" ? $7 : $6)
	if ($8 > 0)
		resident[$3, $4, $2] = resident[$3, $4, $2] " " $8
}

END {
	times(1)
	times(2)
	scaling()
	resident_table()
}
