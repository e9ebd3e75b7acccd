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
device=/dev/zram0
sys=/sys/block/zram0
pages=16384
rounds=${ROUNDS:-5}
if [ -n "${QUICK:-}" ]; then
	pages=8192
	rounds=${ROUNDS:-2}
fi

skip_all() { # why
	skip "kernel zram ($*)"
	exit 0
}

# A program that looks at new devices may hold it open for a moment.
reset_device() {
	for _ in 1 2 3 4 5; do
		if (echo 1 >"$sys/reset") 2>/dev/null; then
			echo "$algorithm" >"$sys/comp_algorithm"
			return
		fi
		sleep 1
	done
	echo "bench: $device could not be reset" >&2
}

clean() {
	if [ -n "$algorithm" ]; then
		reset_device
	fi
	rm -rf "$work"
}

[ -b "$device" ] || skip_all "there is no $device"
[ -w "$device" ] || skip_all "no permission for $device"
[ -w "$sys/disksize" ] || skip_all "no permission for $sys"
[ "$(cat "$sys/initstate")" = 0 ] || skip_all "$device is in use"
command -v python3 >/dev/null 2>&1 || skip_all 'python3, for process memory, is not installed'

algorithm=''
work=$(mktemp -d)
trap clean EXIT
trap 'exit 1' INT TERM HUP
python3 "$here/pages.py" "$((pages / 128))" "$work/memory"
found=$(sed 's/.*\[\(.*\)\].*/\1/' "$sys/comp_algorithm")
(echo lz4 >"$sys/comp_algorithm") 2>/dev/null || skip_all "$device does not take lz4"
algorithm=$found
(echo $((pages * 4096)) >"$sys/disksize") 2>/dev/null || skip_all "$device does not take a size"

begin kernel
for threads in 1 2; do
	echo "kernel: lz4, $threads thread(s)" >&2
	"$BUILD/bench/bench_store" --data "$work/memory" --pages "$pages" --rounds "$rounds" \
		--threads "$threads" --algorithm lz4 --device "$device" >>"$tsv"
done
