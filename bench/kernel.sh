#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# The part "kernel" of bench/run: libzram and the kernel's zram on the memory of a
# process. The kernel's pages pass through system calls and the block layer, ours
# through a call of the library; its handles and its table (16 bytes a page) are not among
# its bytes, ours are. The device is left as it was found: empty.
set -eu

here=$(dirname "$0")
# shellcheck source=bench/part.sh
. "$here/part.sh"
# shellcheck source=bench/device.sh
. "$here/device.sh"
pages=16384
rounds=${ROUNDS:-5}
if [ -n "${QUICK:-}" ]; then
	pages=8192
	rounds=${ROUNDS:-2}
fi

open_device "$pages"
begin kernel
for threads in 1 2; do
	echo "kernel: lz4, $threads thread(s)" >&2
	"$BUILD/bench/bench_store" --data "$work/memory" --pages "$pages" --rounds "$rounds" \
		--threads "$threads" --algorithm lz4 --device "$device" >>"$tsv"
done
