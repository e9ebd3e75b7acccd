#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# What a disk costs: nothing for what was never written, little for what compresses, and
# what is trimmed comes back, also as the operating system counts it.
# shellcheck source=tests/disk/disk.sh
. "$(dirname "$0")/disk.sh"

mib=1048576

resident() { # bytes of the server that are in RAM
	awk '/^VmRSS:/ { print $2 * 1024 }' "/proc/$pid/status"
}

trim_gives_back() { # parameters...
	need nbdcopy qemu-io
	make_data "$dir/file" $((32 * mib)) 31
	serve size=32M "$@"
	nbdcopy "$dir/file" "$uri"
	# What the server needs for requests, it has from here on.
	nbdcopy "$uri" - | cmp - "$dir/file"
	full=$(figure pool_bytes)
	full_resident=$(resident)
	qemu-io -f raw -c 'discard 0 24M' "$uri"
	if test "$("$ZRAM_TOOL" get --control "$control" compaction)" = manual; then
		"$ZRAM_TOOL" compact --control "$control"
	fi
	part=$(figure pool_bytes)
	nbdcopy "$uri" "$dir/back"
	truncate -s 24M "$dir/zeros"
	cmp -n $((24 * mib)) "$dir/zeros" "$dir/back"
	cmp "$dir/file" "$dir/back" $((24 * mib)) $((24 * mib))
	qemu-io -f raw -c 'discard 24M 8M' "$uri"
	after=$(figure pool_bytes)
	after_resident=$(resident)
	echo "$full ($full_resident), $part, $after ($after_resident)"
	test "$(figure orig_data_size)" = 0
	test "$full" -gt $((12 * mib))
	test "$part" -lt $((full / 2))
	test "$after" -lt $((full / 20))
	# The rest is room for what the clients' threads had under way.
	test $((full_resident - after_resident)) -gt $((full * 3 / 4))
	stop
}

# As many zeros as there were other things before.
zeros_cost_nothing() {
	need nbdcopy
	make_data "$dir/file" $((16 * mib)) 32
	truncate -s 16M "$dir/zeros"
	serve size=16M
	nbdcopy "$dir/file" "$uri"
	nbdcopy --allocated "$dir/zeros" "$uri"
	test "$(figure compr_data_size)" = 0
	test "$(figure mem_used_total)" -lt $mib
	nbdcopy "$uri" - | cmp - "$dir/zeros"
	stop
}

stored() { # bytes of what is kept for blocks
	echo $(($(figure pool_bytes) + $(figure table_bytes)))
}

reset_forgets() {
	need nbdcopy
	make_data "$dir/file" $((16 * mib)) 33
	truncate -s 16M "$dir/zeros"
	serve size=16M
	empty=$(stored)
	nbdcopy "$dir/file" "$uri"
	test "$(stored)" -gt $((4 * mib))
	"$ZRAM_TOOL" reset --yes --control "$control"
	test "$(stored)" -le "$empty"
	nbdcopy "$uri" - | cmp - "$dir/zeros"
	nbdcopy "$dir/file" "$uri"
	nbdcopy "$uri" - | cmp - "$dir/file"
	stop
}

# Three of four blocks, here and there: what is left lies scattered.
trim_scattered() { # uri
	awk 'BEGIN { for (at = 0; at < 8192; at++) if (at % 4) print "discard " at * 4 "k 4k" }' |
		qemu-io -f raw "$1" >/dev/null
}

# Blocks here and there are trimmed: only moving objects together gives pages back.
compaction_gives_back() {
	need nbdcopy qemu-io
	make_data "$dir/file" $((32 * mib)) 34
	serve size=32M compaction=manual
	nbdcopy "$dir/file" "$uri"
	trim_scattered "$uri"
	before=$(figure mem_used_total)
	nbdcopy "$uri" "$dir/sparse"
	"$ZRAM_TOOL" compact --control "$control"
	after=$(figure mem_used_total)
	kept=$(figure compr_data_size)
	echo "$before to $after, $kept are kept"
	test "$after" -lt $((before * 3 / 4))
	test "$(figure pages_compacted)" -gt 0
	nbdcopy "$uri" - | cmp - "$dir/sparse"
	stop
}

# What trimming left to be compacted is compacted when nobody asks for anything any more.
idle_disk_compacts() {
	need nbdcopy qemu-io
	make_data "$dir/file" $((32 * mib)) 37
	serve size=32M
	nbdcopy "$dir/file" "$uri"
	trim_scattered "$uri"
	nbdcopy "$uri" "$dir/sparse"
	kept=$(figure compr_data_size)
	tries=300
	until test "$(figure pool_bytes)" -lt $((kept * 108 / 100)); do
		test $((tries -= 1)) -gt 0 || fail "it still takes $(figure pool_bytes) for $kept"
		sleep 0.2
	done
	nbdcopy "$uri" - | cmp - "$dir/sparse"
	stop
}

# In the middle of a copy; what follows is still a disk.
copy_hits_the_limit() {
	need nbdcopy qemu-img qemu-io
	make_data "$dir/file" $((64 * mib)) 35
	make_data "$dir/other" $((4 * mib)) 36
	# nbdcopy hangs up with requests under way, which nbdkit before 1.34 bears only so.
	nbdkit_options=--threads=1
	serve size=64M limit=16M
	if nbdcopy "$dir/file" "$uri" 2>"$dir/said"; then
		fail 'a copy of 64 MiB of noise and zeros fitted into 16 MiB'
	fi
	cat "$dir/said"
	grep -q 'No space left on device' "$dir/said"
	test "$(figure mem_used_max)" -le $((16 * mib))
	qemu-io -f raw -c 'discard 0 64M' "$uri"
	nbdcopy "$dir/other" "$uri"
	truncate -s 64M "$dir/other"
	nbdcopy "$uri" - | cmp - "$dir/other"
	# And with a higher limit all of it goes.
	"$ZRAM_TOOL" set --control "$control" mem_limit 0
	nbdcopy "$dir/file" "$uri"
	nbdcopy "$uri" - | cmp - "$dir/file"
	stop
}

try 'trim gives memory back' trim_gives_back
try 'trim gives memory back, compacting by hand' trim_gives_back compaction=manual
try 'trim gives memory back, blocks of 64 KiB' trim_gives_back block-size=64K algorithm=zstd
try 'zeros written over data cost nothing' zeros_cost_nothing
try 'reset forgets everything' reset_forgets
try 'compaction gives back what lies between' compaction_gives_back
try 'a disk that nobody uses compacts itself' idle_disk_compacts
try 'a copy that hits the memory limit fails, the disk goes on' copy_hits_the_limit
finish
