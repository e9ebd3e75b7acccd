#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# Instructions of a call (of a pair of calls), counted by valgrind's callgrind in the loops of
# bench/instructions.c, loop included. BUILD: the build directory.
set -u
cd "$(dirname "$0")/.." || exit 1
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT

for option in '' zero; do
	for loop in map_and_unmap free_and_malloc write_100; do
		valgrind --tool=callgrind --callgrind-out-file="$out" --toggle-collect=$loop \
			"${BUILD:-build}/bench/instructions" $option >/dev/null 2>&1 || exit 1
		printf '%-18s %-5s ' $loop "$option"
		sed -n 's/^\(totals\|summary\): //p' "$out" | awk '{ printf "%d\n", $1 / 200000; exit }'
	done
done
