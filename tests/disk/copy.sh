#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# What is copied to a disk comes back: nbdcopy and qemu-img, every algorithm, block size
# and way of asking.
# shellcheck source=tests/disk/disk.sh
. "$(dirname "$0")/disk.sh"

mib=1048576

there_and_back() { # bytes, parameters...
	need nbdcopy
	bytes=$1
	shift
	make_data "$dir/file" "$bytes" 1
	serve "size=$bytes" "$@"
	nbdcopy "$dir/file" "$uri"
	nbdcopy "$uri" "$dir/back"
	same "$dir/file" "$dir/back"
	# Over what is there already, in many small requests at the same time.
	make_data "$dir/file" "$bytes" 2
	nbdcopy --connections=4 --request-size=8192 "$dir/file" "$uri"
	nbdcopy --synchronous "$uri" "$dir/back"
	same "$dir/file" "$dir/back"
	test "$(figure failed_reads)" = 0
	test "$(figure failed_writes)" = 0
	stop
}

sparse_file() {
	need nbdcopy
	truncate -s 128M "$dir/file"
	make_data "$dir/part" "$mib" 3
	dd if="$dir/part" of="$dir/file" bs=1M seek=70 conv=notrunc status=none
	serve size=128M
	nbdcopy --destination-is-zero "$dir/file" "$uri"
	test "$(figure orig_data_size)" -le "$mib"
	nbdcopy "$uri" - | cmp - "$dir/file"
	stop
}

through_a_pipe() {
	need nbdcopy
	make_data "$dir/file" 10000000 4
	serve size=10000000
	head -c 10000000 "$dir/file" | nbdcopy - "$uri"
	nbdcopy "$uri" - | cmp - "$dir/file"
	stop
}

qemu_convert() {
	need qemu-img
	make_data "$dir/file" $((16 * mib)) 5
	serve size=16M
	qemu-img convert -n -f raw -O raw "$dir/file" "$uri"
	qemu-img compare -f raw -F raw "$dir/file" "$uri"
	qemu-img convert -f raw -O qcow2 "$uri" "$dir/image"
	qemu-img compare -f qcow2 -F raw "$dir/image" "$uri"
	stop
}

# A format that seeks, writes parts of clusters and reads them again, on the disk itself.
qemu_image_on_disk() {
	need qemu-img
	make_data "$dir/file" $((16 * mib)) 6
	serve size=32M
	qemu-img create -q -f qcow2 "$uri" 16M
	qemu-img convert -n -f raw -O qcow2 "$dir/file" "$uri"
	qemu-img check -q -f qcow2 "$uri"
	qemu-img compare -f raw -F qcow2 "$dir/file" "$uri"
	stop
}

for algorithm in $(nbdkit "$ZRAM_PLUGIN" --dump-plugin | sed -n 's/^zram_algorithms=//p'); do
	try "nbdcopy there and back: $algorithm" there_and_back $((8 * mib)) "algorithm=$algorithm"
done
try 'nbdcopy there and back: zstd, level 9, blocks of 64 KiB' \
	there_and_back $((8 * mib)) algorithm=zstd level=9 block-size=64K
try 'nbdcopy there and back: no checksums, one stream' \
	there_and_back $((8 * mib)) checksum=off streams=1
try 'nbdcopy there and back: a size that is no multiple of anything' there_and_back 7654321
try 'nbdcopy there and back: such a size in blocks of 64 KiB' \
	there_and_back 7654321 block-size=64K
try 'nbdcopy from and to a pipe' through_a_pipe
try 'the holes of a sparse file take no memory' sparse_file
try 'qemu-img convert and compare' qemu_convert
try 'a qcow2 image on the disk' qemu_image_on_disk
finish
