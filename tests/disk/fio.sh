#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# fio writes blocks of random sizes at random places in several jobs and reads each back
# with a checksum. Its seeds are fixed.
# shellcheck source=tests/disk/disk.sh
. "$(dirname "$0")/disk.sh"

# Where fio finds the disk: its own NBD engine if it was built with one, else a file of it.
target() {
	if fio --enghelp | grep -qw nbd; then
		echo "--ioengine=nbd" "--uri=$uri"
	else
		need nbdfuse
		attach_file
		echo "--ioengine=psync" "--filename=$file"
	fi
}

# Each job has a part of the disk of its own: what it wrote nobody else writes over.
verify() { # size of the disk, jobs, MiB each, parameters..., --, fio's options...
	need fio
	size=$1 jobs=$2 mib=$3
	shift 3
	parameters=''
	while test "$1" != --; do
		parameters="$parameters $1"
		shift
	done
	shift
	# Neither has blanks in it: splitting is meant.
	# shellcheck disable=SC2086
	serve "size=$size" $parameters
	# shellcheck disable=SC2046
	fio --name=verify $(target) --output="$dir/fio.log" --aux-path="$dir" --thread=1 \
		--numjobs="$jobs" --size="${mib}m" --offset_increment="${mib}m" \
		--randseed=4711 --allrandrepeat=1 --iodepth=8 --refill_buffers=1 \
		--buffer_compress_percentage=60 --verify=crc32c --verify_fatal=1 \
		--verify_state_save=0 "$@" || {
		cat "$dir/fio.log"
		fail 'fio found a difference'
	}
	test "$(figure damaged_blocks)" = 0
	test "$(figure written_bytes)" -ge $((jobs * mib * 1048576))
	stop
}

try 'blocks of 512 bytes to 64 KiB at random places, four jobs' \
	verify 64M 4 16 -- --rw=randwrite --bsrange=512-65536 --blockalign=512
try 'the same, compressed with zstd in blocks of 16 KiB' \
	verify 64M 4 12 algorithm=zstd block-size=16K -- \
	--rw=randwrite --bsrange=512-65536 --blockalign=512
try 'pages at random places, written twice and read in between' \
	verify 32M 2 16 -- --rw=randwrite --bs=4k --loops=2 --verify_backlog=64
try 'the same with one stream for all' \
	verify 32M 4 8 streams=1 -- --rw=randwrite --bs=4k
try 'in order, in large requests' verify 64M 2 32 -- --rw=write --bsrange=64k-1m
finish
