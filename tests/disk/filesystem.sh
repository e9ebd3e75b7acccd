#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# A file system on the disk, by nbdfuse and a loop device: a source tree is copied onto it,
# survives being unmounted, and passes its fsck; what is deleted and trimmed costs no memory.
# shellcheck source=tests/disk/disk.sh
. "$(dirname "$0")/disk.sh"

tree=$(cd "$(dirname "$0")/../.." && pwd)

may_mount() { # file system
	test "$(id -u)" = 0 || skip 'only root may mount'
	test -w /dev/fuse || skip 'no access to /dev/fuse'
	grep -qw "$1" /proc/filesystems || modprobe "$1" 2>/dev/null ||
		skip "no $1 in this kernel"
	mkdir "$dir/probe"
	mount -t tmpfs none "$dir/probe" 2>/dev/null || skip 'mounting is not allowed here'
	umount "$dir/probe"
}

# Sets device.
attach_loop() {
	attach_file
	device=$(losetup --find --show "$file" 2>/dev/null) || skip 'no loop device to be had'
	at_end "losetup -d $device 2>/dev/null"
	mkdir "$dir/mnt"
	at_end "umount -q $dir/mnt 2>/dev/null"
}

detach_loop() {
	losetup -d "$device"
	# It goes away when the kernel is done with it.
	while losetup "$device" >/dev/null 2>&1; do
		sleep 0.02
	done
	detach_file
}

copy_tree() { # directory
	mkdir "$1"
	cp -a "$tree/include" "$tree/src" "$tree/tests" "$tree/man" "$1"
}

compare_tree() { # directory
	for part in include src tests man; do
		diff -r "$tree/$part" "$1/$part"
	done
}

# On a first mount two copies are made and one is deleted, on a second one is found.
keeps_a_tree() { # type, size, mkfs's words, --, fsck's words
	type=$1 size=$2 make=$3
	shift 3
	while test "$1" != --; do
		make="$make $1"
		shift
	done
	shift
	check=$*
	need nbdfuse losetup "${make%% *}" "${check%% *}"
	may_mount "$type"
	serve "size=$size"
	attach_loop
	# shellcheck disable=SC2086
	$make "$device"
	mount -t "$type" "$device" "$dir/mnt"
	copy_tree "$dir/mnt/gone"
	copy_tree "$dir/mnt/tree"
	rm -r "$dir/mnt/gone"
	umount "$dir/mnt"
	# shellcheck disable=SC2086
	$check "$device"
	mount -t "$type" "$device" "$dir/mnt"
	compare_tree "$dir/mnt/tree"
	umount "$dir/mnt"
	detach_loop
	test "$(figure failed_writes)" = 0
	stop
}

trim_frees() {
	need nbdfuse losetup mkfs.ext4 fstrim
	may_mount ext4
	serve size=128M
	attach_loop
	mkfs.ext4 -q "$device"
	mount -t ext4 "$device" "$dir/mnt"
	before=$(figure mem_used_total)
	make_data "$dir/mnt/file" 50000000 21
	sync "$dir/mnt/file"
	full=$(figure mem_used_total)
	rm "$dir/mnt/file"
	# What its journal still holds on to is not trimmed.
	sync -f "$dir/mnt"
	fstrim "$dir/mnt"
	after=$(figure mem_used_total)
	echo "before $before, with the file $full, after $after"
	test "$full" -gt $((before + 20000000))
	test "$after" -lt $((before + 2000000))
	umount "$dir/mnt"
	e2fsck -fn "$device"
	detach_loop
	stop
}

try 'ext4: a source tree survives, and e2fsck finds no fault' \
	keeps_a_tree ext4 64M mkfs.ext4 -q -- e2fsck -fn
try 'ext4 with blocks of 1 KiB on a disk with blocks of 4 KiB' \
	keeps_a_tree ext4 48M mkfs.ext4 -q -b 1024 -- e2fsck -fn
try 'xfs: a source tree survives, and xfs_repair finds no fault' \
	keeps_a_tree xfs 320M mkfs.xfs -q -- xfs_repair -n
try 'fstrim gives back the memory of a file that was deleted' trim_frees
finish
