#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# The part "store" of bench/run: libzram and the raw codecs on the memory of a
# process, on files, and on pages of the sizes of the trace.
set -eu

here=$(dirname "$0")
pages=16384
rounds=${ROUNDS:-5}
if [ -n "${QUICK:-}" ]; then
	pages=4096
	rounds=${ROUNDS:-2}
fi
tsv=$RESULTS/store.tsv
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

measure() { # data rounds algorithm...
	data=$1 count=$2
	shift 2
	for algorithm in "$@"; do
		for threads in 1 2; do
			echo "$data pages, $algorithm, $threads thread(s)" >&2
			file=$work/$data
			[ -f "$file" ] || file=''
			"$BUILD/bench/bench_store" ${file:+--data "$file"} --pages "$pages" \
				--rounds "$count" --threads "$threads" --algorithm "$algorithm" |
				sed "s/^/$data	/" >>"$tsv"
		done
	done
}

printf '#data\tkind\tround\talgorithm\tthreads\tside\tphase\tpages\twall_ns|compressed\tcpu_ns|used\n' \
	>"$tsv"
# Twice what is used: some of it is filled with one word.
mib=$((pages / 128))
if command -v python3 >/dev/null 2>&1; then
	python3 "$here/pages.py" "$mib" "$work/memory"
	measure memory "$rounds" lz4
	measure memory "$(((rounds + 1) / 2))" zstd-1 zstd-3
else
	echo 'skipped: process memory (python3 is not installed)'
fi
sh "$here/files.sh" "$mib" "$work/files"
measure files "$rounds" lz4
if [ -z "${QUICK:-}" ]; then
	measure files "$(((rounds + 1) / 2))" zstd-1
fi
measure synthetic "$rounds" lz4
echo 'The store and the raw codec, pages filled with one word left out:'
awk -v clock="$CLOCK" -f "$here/median.awk" -f "$here/store.awk" "$tsv"
echo "written: $tsv"
