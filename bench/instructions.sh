#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# Instructions of a call, counted by valgrind's callgrind: what the function and all that it calls
# take in bench/instructions.c, on the average. With --check as a test, in TAP, against a budget: a
# tenth above what a build with gcc for x86-64 took when the budget was set.
# BUILD: the build directory.
set -u
cd "$(dirname "$0")/.." || exit 1

# Budget, calls, functions, and the arguments of the program.
rows='
 43 200000 zs_map_object,zs_unmap_object hot
132 200000 zs_map_object,zs_unmap_object map
290 200000 zs_map_object,zs_unmap_object map threads
340 220000 zs_malloc replace
380 220000 zs_malloc replace threads
225 200000 zs_free replace
340 200000 zs_free replace threads
232 200000 zs_obj_write write
1450 200000 zs_free replace zero
'

check=no
test "${1:-}" != --check || check=yes
if ! command -v valgrind >/dev/null 2>&1; then
	test $check = no || { echo '1..0 # SKIP no valgrind here'; exit 0; }
	echo 'instructions.sh: valgrind is missing' >&2
	exit 1
fi
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT

# Of all calls of a function together.
count() { # function argument...
	function=$1
	shift
	valgrind --tool=callgrind --callgrind-out-file="$out" --collect-atstart=no \
		--toggle-collect="$function" "${BUILD:-build}/bench/instructions" "$@" \
		>/dev/null 2>&1 || return 1
	sed -n 's/^\(totals\|summary\): //p' "$out" | head -n 1
}

row() { # budget calls functions argument...
	budget=$1 calls=$2 functions=$3
	shift 3
	sum=0
	for function in $(echo "$functions" | tr ',' ' '); do
		part=$(count "$function" "$@") || { echo "not ok $cases - $functions, $*"; return 1; }
		sum=$((sum + part))
	done
	each=$((sum / calls))
	if test $check = no; then
		printf '%5d  %s, %s\n' $each "$functions" "$*"
	elif test $each -gt 0 && test $each -le "$budget"; then
		echo "ok $cases - $functions, $*: $each of $budget instructions"
	else
		echo "not ok $cases - $functions, $*: $each instructions, not $budget"
		return 1
	fi
}

failed=0
cases=0
echo "$rows" | grep -v '^$' >"$out.rows"
trap 'rm -f "$out" "$out.rows"' EXIT
test $check = no || echo "1..$(wc -l <"$out.rows")"
while read -r line; do
	cases=$((cases + 1))
	# shellcheck disable=SC2086 # words
	row $line </dev/null || failed=1
done <"$out.rows"
exit $failed
