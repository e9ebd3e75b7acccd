#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# Instructions of a call, counted by valgrind's callgrind: what the function and all that it calls
# take in bench/instructions.c, on the average. Prints the name, the kind of program, the number.
# BUILD: the build directory.
set -u
cd "$(dirname "$0")/.." || exit 1
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT

count() { # calls function...; the rest of the program's arguments in $arguments
	calls=$1
	shift
	sum=0
	for function in "$@"; do
		# shellcheck disable=SC2086 # words
		valgrind --tool=callgrind --callgrind-out-file="$out" --collect-atstart=no \
			--toggle-collect="$function" "${BUILD:-build}/bench/instructions" \
			$arguments >/dev/null 2>&1 || exit 1
		sum=$(sed -n 's/^\(totals\|summary\): //p' "$out" |
			awk -v sum="$sum" -v calls="$calls" '{ printf "%.1f", sum + $1 / calls; exit }')
	done
	printf '%-18s %-12s %s\n' "$1${2:+ + unmap}" "$kind" "$sum"
}

for kind in '1 thread' '2 threads' 'zero_on_free'; do
	case $kind in
	2*) option=threads ;;
	z*) option=zero ;;
	*) option='' ;;
	esac
	# The objects that the pool begins with are allocated too.
	arguments="replace $option"
	count 220000 zs_malloc
	count 200000 zs_free
	arguments="map $option"
	count 200000 zs_map_object zs_unmap_object
	arguments="write $option"
	count 200000 zs_obj_write
done
