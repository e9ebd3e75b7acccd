#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# The part "store" of bench/run: libzram and the raw codecs on the memory of a
# process, on files, and on pages of the sizes of the trace.
set -eu

here=$(dirname "$0")
# shellcheck source=bench/part.sh
. "$here/part.sh"
pages=16384
rounds=${ROUNDS:-5}
if [ -n "${QUICK:-}" ]; then
	pages=4096
	rounds=${ROUNDS:-2}
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

measure() { # data rounds algorithm...
	data=$1 count=$2
	shift 2
	for algorithm in "$@"; do
		for threads in 1 2; do
			echo "store: $data, $algorithm, $threads thread(s)" >&2
			file=$work/$data
			[ -f "$file" ] || file=''
			"$BUILD/bench/bench_store" ${file:+--data "$file"} --pages "$pages" \
				--rounds "$count" --threads "$threads" --algorithm "$algorithm" >>"$tsv"
		done
	done
}

begin store
# Twice what is used: some of it is filled with one word, and left out.
mib=$((pages / 128))
if command -v python3 >/dev/null 2>&1; then
	python3 "$here/pages.py" "$mib" "$work/memory"
	measure memory "$rounds" lz4 zstd-1
else
	skip 'process memory (python3 is not installed)'
fi
sh "$here/files.sh" "$mib" "$work/files"
measure files "$rounds" lz4
if [ -z "${QUICK:-}" ]; then
	measure memory "$(((rounds + 1) / 2))" zstd-3
	measure files "$(((rounds + 1) / 2))" zstd-1
	measure synthetic "$rounds" lz4
fi
