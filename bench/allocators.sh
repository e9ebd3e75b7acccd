#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# The part "allocators" of bench/run: the trace of compressed pages on our pool and on the
# mallocs that are installed. Times are the program's for each operation of all its threads,
# so two threads that do not hinder each other have half the time of one. CLOCK=cpu: the
# processor time of all threads instead, for a machine that does other things too.
set -eu

here=$(dirname "$0")
# shellcheck source=bench/heaps.sh
. "$here/heaps.sh"
one_in=1 small='379 MB'
calls_one_in=4 calls_small='95 MB'
copies=11 large='4 GB' large_rounds=2 large_needs_mb=6000
rounds=${ROUNDS:-3}
if [ -n "${QUICK:-}" ]; then
	one_in=4 small='95 MB'
	calls_one_in=16 calls_small='24 MB'
	rounds=${ROUNDS:-2}
fi
clock=''
[ "${CLOCK:-wall}" = wall ] || clock=--processor-time

# with_difference SUBJECT: and what a map of ours takes beyond the same loop on a plain pointer
with_difference() {
	awk -F '\t' -v OFS='\t' -v subject="$1" '{ value[$1] = $3; print }
		$1 == "map-hot" && subject ~ /^zs/ {
			print "map-over-plain", $2, $3 - value["plain-hot"]
		}'
}

# run_round ROUND THREADS ARGUMENT...
run_round() {
	round=$1 variant="$small, $2"
	shift 2
	echo "$variant, round $round of $rounds" >&2
	for subject in zs zs-manual $mallocs; do
		run_on "$subject" trace "$@" --one-in "$one_in" ${clock:+"$clock"} |
			with_difference "$subject" | put "$variant" "$subject" "$round"
	done
}

run_large() { # round
	echo "$large, round $1 of $large_rounds" >&2
	for subject in zs zs-manual $mallocs; do
		run_on "$subject" trace --copies "$copies" --phases fill,churn,free75 --churn 1 \
			${clock:+"$clock"} | put "$large, 1 thread" "$subject" "$1"
	done
}

# count_calls SUBJECT PHASES: the system calls of a program that runs these phases
count_calls() {
	(
		under="strace -c -U calls -o $calls"
		run_on "$1" trace --one-in "$calls_one_in" --phases "$2" >/dev/null
	)
	awk '{ sum = $1 } END { print sum }' "$calls"
}

# Those of the phases themselves: less what the program needs before.
put_calls() {
	echo 'system calls' >&2
	for subject in zs zs-manual $mallocs; do
		start=$(count_calls "$subject" none)
		fill=$(count_calls "$subject" fill)
		churn=$(count_calls "$subject" fill,churn)
		printf 'fill-calls\tcalls\t%d\nchurn-calls\tcalls\t%d\n' \
			$((fill - start)) $((churn - fill)) |
			put "$calls_small, 1 thread" "$subject" 1
	done
}

# What our calls take, whatever the machine.
put_instructions() {
	echo 'instructions' >&2
	sh "$here/instructions.sh" | awk -v OFS='\t' '{
		measure = $2 ~ /unmap/ ? "map-and-unmap" : substr($2, 4)
		gsub("_", "-", measure)
		sub(",", "", measure)
		variant = "1 thread" ($NF == "hot" ? ", the same object" : "")
		variant = variant ($NF == "zero" ? ", zero_on_free" : "")
		if ($NF == "threads")
			variant = "2 threads"
		print measure "-instructions", variant, "zs", "instructions", 1, $1
	}' >>"$tsv"
}

# The first touch of a machine's memory is dear in a virtual one: not counted.
touch_memory() {
	"$BUILD/bench/trace_malloc" --phases fill "$@" >/dev/null
}

begin allocators
find_mallocs
touch_memory --one-in "$one_in"
for round in $(seq "$rounds"); do
	run_round "$round" '1 thread' --threads 1
	run_round "$round" '1 thread, another asleep' --company
	run_round "$round" '2 threads' --threads 2
	run_round "$round" '8 threads' --threads 8
done

calls=$(mktemp)
trap 'rm -f "$calls"' EXIT
trap 'exit 1' INT TERM HUP
if command -v strace >/dev/null 2>&1; then
	put_calls
else
	skip 'system calls counted (strace is not installed)'
fi

if [ -n "${QUICK:-}" ]; then
	exit 0
fi

if command -v valgrind >/dev/null 2>&1; then
	put_instructions
else
	skip 'instructions counted (valgrind is not installed)'
fi
if [ "$(free_mb)" -lt "$large_needs_mb" ]; then
	skip "allocators, $large (not enough memory is free)"
	exit 0
fi
touch_memory --copies "$copies"
for round in $(seq "$large_rounds"); do
	run_large "$round"
done
