# shellcheck shell=sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# The kernel's zram for a part of bench/run, which sources this after part.sh: set up with lz4
# and left as it was found, empty. Who comes from open_device has the memory of a process in
# $work/memory too.

device=/dev/zram0
sys=/sys/block/zram0
algorithm=''
work=''

no_device() { # why
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

close_device() {
	[ -z "$algorithm" ] || reset_device
	[ -z "$work" ] || rm -rf "$work"
}

# open_device PAGES: or the part ends here, and says why
open_device() {
	[ -b "$device" ] || no_device "there is no $device"
	[ -w "$device" ] || no_device "no permission for $device"
	[ -w "$sys/disksize" ] || no_device "no permission for $sys"
	[ "$(cat "$sys/initstate")" = 0 ] || no_device "$device is in use"
	command -v python3 >/dev/null 2>&1 ||
		no_device 'python3, for process memory, is not installed'
	trap close_device EXIT
	trap 'exit 1' INT TERM HUP
	work=$(mktemp -d)
	# Twice what is used: some of it is filled with one word.
	python3 "${here:?}/pages.py" "$(($1 / 128))" "$work/memory"
	found=$(sed 's/.*\[\(.*\)\].*/\1/' "$sys/comp_algorithm")
	(echo lz4 >"$sys/comp_algorithm") 2>/dev/null || no_device "$device does not take lz4"
	algorithm=$found
	(echo $(($1 * 4096)) >"$sys/disksize") 2>/dev/null ||
		no_device "$device does not take a size"
}
