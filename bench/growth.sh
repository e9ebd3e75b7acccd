#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# The part "growth" of bench/run: what an operation and an object of 32 bytes take as the heap
# grows from 10,000 objects on, ours and a fast malloc.
set -eu

here=$(dirname "$0")
# shellcheck source=bench/heaps.sh
. "$here/heaps.sh"
bytes_each=64 # at most, with the list of the objects
most=100000000
rounds=${ROUNDS:-3}
if [ -n "${QUICK:-}" ]; then
	most=1000000
	rounds=${ROUNDS:-2}
fi
while [ "$(free_mb)" -lt $((most * bytes_each / 1000000)) ]; do
	skip "growth to $most objects (not enough memory is free)"
	most=$((most / 10))
done

begin growth
mallocs='mimalloc tcmalloc jemalloc glibc'
find_mallocs
for round in $(seq "$rounds"); do
	for subject in zs "${mallocs%% *}"; do
		echo "$subject, round $round of $rounds" >&2
		run_on "$subject" growth "$most" |
			awk -F '\t' -v OFS='\t' -v subject="$subject" -v round="$round" \
				'{ print $1, $2 " objects", subject, $3, round, $4 }' >>"$tsv"
	done
done
