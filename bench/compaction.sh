#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# The part "compaction" of bench/run, always after a random 75 % of the objects were freed: its
# speed next to memcpy(), how long a thread that maps objects waits meanwhile, and the whole pool
# next to the kernel's, with the same pages in both.
set -eu

here=$(dirname "$0")
# shellcheck source=bench/part.sh
. "$here/part.sh"
# shellcheck source=bench/device.sh
. "$here/device.sh"
one_in=1
pages=32768
rounds=${ROUNDS:-5}
if [ -n "${QUICK:-}" ]; then
	one_in=4
	pages=8192
	rounds=${ROUNDS:-2}
fi

begin compaction
echo 'ours' >&2
"$BUILD/bench/compaction" --rounds "$rounds" --one-in "$one_in" >>"$tsv"
if [ -x "$BUILD/bench/compaction_kernel" ]; then
	echo 'the kernel' >&2
	open_device "$pages"
	"$BUILD/bench/compaction_kernel" "$device" "$work/memory" "$pages" "$rounds" >>"$tsv"
else
	skip "the kernel's compaction (liblz4 is not installed)"
fi
