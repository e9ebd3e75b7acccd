#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# What nbdkit and libnbd put on top of a disk works on this one: what it says of itself,
# filters, TLS, a map of what is stored, a file of it.
# shellcheck source=tests/disk/disk.sh
. "$(dirname "$0")/disk.sh"

mib=1048576

says() { # "name: value" of nbdinfo
	grep -qE "^[[:space:]]*$1\$" "$dir/info" || {
		cat "$dir/info"
		fail "nbdinfo does not say $1"
	}
}

what_it_can() {
	need nbdinfo
	serve size=12345678 block-size=16K
	nbdinfo "$uri" >"$dir/info"
	says 'export-size: 12345678( .*)?'
	for ability in cache df fast_zero flush fua multi_conn trim zero; do
		says "can_$ability: true"
	done
	says 'is_read_only: false'
	says 'block_size_minimum: 1( .*)?'
	says 'block_size_preferred: 16384( .*)?'
	stop
}

largest() {
	need nbdinfo
	serve size=9223372036854771712
	nbdinfo --size "$uri" | grep -qx 9223372036854771712
	test "$(figure mem_used_total)" -lt $mib
	stop
}

expect_map() { # parameters for nbdinfo, then lines of "offset length type"
	nbdinfo --map "$uri" | awk '{ print $1, $2, $3 }' >"$dir/map"
	printf '%s\n' "$@" | diff - "$dir/map"
}

map() {
	need nbdinfo qemu-io
	serve size=16M
	expect_map '0 16777216 3'
	qemu-io -f raw -c 'write -P 1 4M 1M' -c 'write -P 2 8M 4k' "$uri"
	expect_map '0 4194304 3' '4194304 1048576 0' '5242880 3145728 3' '8388608 4096 0' \
		'8392704 8384512 3'
	# The end of what is written and half a block more.
	qemu-io -f raw -c 'discard 4608k 514k' "$uri"
	expect_map '0 4194304 3' '4194304 524288 0' '4718592 3670016 3' '8388608 4096 0' \
		'8392704 8384512 3'
	qemu-io -f raw -c 'discard 0 16M' "$uri"
	expect_map '0 16777216 3'
	stop
}

# A filter over a second server that has the first below it.
above() { # filter
	above_uri="nbd+unix:///?socket=$dir/above"
	nbdkit --foreground --exit-with-parent --unix "$dir/above" --pidfile "$dir/above.pid" \
		"--filter=$1" nbd "$uri" &
	above=$!
	at_end "kill $above 2>/dev/null; wait $above"
	until test -s "$dir/above.pid"; do
		kill -0 "$above" 2>/dev/null || skip 'no plugin nbd here'
		sleep 0.02
	done
}

end_above() {
	kill "$above"
	wait "$above"
}

cow_filter() {
	need nbdcopy
	make_data "$dir/file" $((4 * mib)) 11
	nbdkit_options=--filter=cow
	serve size=4M
	nbdcopy "$dir/file" "$uri"
	nbdcopy "$uri" - | cmp - "$dir/file"
	# All of it is the filter's.
	test "$(figure orig_data_size)" = 0
	stop
}

# Half of what is read is below, half above.
cow_filter_over_data() {
	need nbdcopy qemu-io
	make_data "$dir/file" $((4 * mib)) 12
	tail -c +1148577 "$dir/file" >"$dir/end"
	serve size=4M
	nbdcopy "$dir/file" "$uri"
	above cow
	qemu-io -f raw -c 'write -P 7 1M 100000' "$above_uri"
	qemu-io -f raw -c 'read -P 7 1M 100000' "$above_uri"
	nbdcopy "$uri" - | cmp - "$dir/file"
	nbdcopy "$above_uri" - | tail -c +1148577 | cmp - "$dir/end"
	end_above
	stop
}

stats_filter() {
	need nbdcopy
	make_data "$dir/file" $((4 * mib)) 13
	nbdkit_options=--filter=stats
	serve size=4M "statsfile=$dir/stats"
	nbdcopy --allocated "$dir/file" "$uri"
	nbdcopy "$uri" - | cmp - "$dir/file"
	stop
	cat "$dir/stats"
	grep -q '^write: .* 4.00 MiB' "$dir/stats"
	# What is zero is known from the extents.
	grep -q '^read: .* 3.[0-9]* MiB' "$dir/stats"
	grep -q '^extents: .* 4.00 MiB' "$dir/stats"
}

# It compares what is written with what the disk holds, and writes nothing.
checkwrite_filter() {
	need nbdcopy qemu-io
	make_data "$dir/file" $((4 * mib)) 14
	serve size=4M
	nbdcopy "$dir/file" "$uri"
	above checkwrite
	nbdcopy "$dir/file" "$above_uri"
	nbdcopy "$uri" - | cmp - "$dir/file"
	qemu-io -f raw -c 'discard 1M 4k' "$uri"
	if nbdcopy "$dir/file" "$above_uri"; then
		fail 'a block that is gone was not missed'
	fi
	end_above
	stop
}

tls() {
	need nbdcopy psktool
	nbdkit --dump-config | grep -qx 'tls=yes' || skip 'this nbdkit has no TLS'
	psktool --username alice --pskfile "$dir/keys"
	psktool --username mallory --pskfile "$dir/other"
	make_data "$dir/file" $((4 * mib)) 16
	nbdkit_options="--tls=require --tls-psk=$dir/keys"
	serve size=4M
	plain=$uri
	uri="nbds+unix://alice@/?socket=$socket&tls-psk-file=$dir/keys"
	nbdcopy "$dir/file" "$uri"
	nbdcopy "$uri" - | cmp - "$dir/file"
	if nbdinfo --size "$plain"; then
		fail 'a client without TLS was let in'
	fi
	if nbdinfo --size "nbds+unix://mallory@/?socket=$socket&tls-psk-file=$dir/other"; then
		fail 'a client with a key of its own was let in'
	fi
	stop
}

as_a_file() {
	need nbdfuse
	test -w /dev/fuse || skip 'no access to /dev/fuse'
	make_data "$dir/file" $((4 * mib)) 17
	serve size=4M
	attach_file
	dd if="$dir/file" of="$file" bs=100000 conv=notrunc status=none
	cmp "$file" "$dir/file"
	fallocate --punch-hole --offset 1M --length 2M "$file"
	test "$(figure notify_free)" -gt 0
	truncate -s 4M "$dir/zeros"
	cmp -n $((2 * mib)) "$dir/zeros" "$file" 0 $mib
	cmp -n $mib "$dir/file" "$file"
	detach_file
	stop
}

try 'it says what it is and what it can' what_it_can
try 'the largest disk takes next to nothing' largest
try 'nbdinfo --map shows what is stored' map
try 'filter cow: nothing reaches the disk' cow_filter
try 'filter cow of another server: what is below shows through' cow_filter_over_data
try 'filter stats counts what was copied' stats_filter
try 'filter checkwrite sees a difference' checkwrite_filter
try 'TLS with a shared key, and nobody without it' tls
try 'nbdfuse: the disk as a file, with holes punched in it' as_a_file
finish
