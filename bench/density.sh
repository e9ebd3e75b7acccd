#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# The part "density" of bench/run: what is resident for each byte alive, everything counted, at
# the end of each phase of the allocators' trace, on four data sets. "Compacted" is for a malloc
# what it has for giving memory back (heap.h).
set -eu

here=$(dirname "$0")
# shellcheck source=bench/heaps.sh
. "$here/heaps.sh"
mib=512 # of files, before they are compressed
one_in=1 process='process memory'
if [ -n "${QUICK:-}" ]; then
	mib=64
	one_in=4 process='process memory, 95 MB'
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

# sizes NAME DIRECTORY...: the trace of the files there whose names are read; a list longer
# than what is taken of it breaks the pipe: no failure.
sizes() {
	LC_ALL=C sort | tr '\n' '\0' | xargs -0 cat 2>/dev/null | head -c "$((mib << 20))" |
		"$BUILD/bench/sizes" >"$work/$1" || true
}

# measure VARIANT [ARGUMENT...]
measure() {
	variant=$1
	shift
	echo "$variant" >&2
	for subject in zs zs-manual $mallocs; do
		run_on "$subject" trace "$@" \
			--phases fill,churn,churn-compacted,free75,free75-compacted |
			sed -n 's/-resident\t/\t/p' | put "$variant" "$subject" 1
	done
}

begin density
find_mallocs
measure "$process" --one-in "$one_in"
measure '19 MB' --one-in 20
if [ -x "$BUILD/bench/sizes" ]; then
	find /usr/lib -type f -name '*.so*' -size +3k | sizes objects
	find /usr/include /usr/lib /usr/share -type f -size +3k \
		\( -name '*.txt' -o -name '*.html' -o -name '*.h' -o -name '*.py' -o -name '*.p[lm]' \
		-o -name '*.md' -o -name '*.xml' -o -name '*.js' -o -name '*.css' \) | sizes text
	measure 'shared objects' --data "$work/objects"
	measure 'text' --data "$work/text"
else
	skip 'density of shared objects and of text (liblz4 is not installed)'
fi
