#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# The tests of this directory in a virtual machine of 1 GiB, where what concerns a whole machine
# may be set: memory that is never promised twice (vm.overcommit_memory=2), the second version
# of cgroups, and the kernel's end of processes when there is none left. Not part of make check.
# Usage: tests/pressure/guest.sh [BUILD]. KERNEL names a Linux image; default: the newest in /boot.
# ACCEL=kvm is quicker where KVM works. Needs qemu-system-x86_64, a static busybox, cpio.
set -u

build=${1:-build}
kernel=${KERNEL:-$(find /boot -name 'vmlinuz-*' 2>/dev/null | sort -V | tail -n 1)}
plugin=$build/plugin/nbdkit-zram-plugin.so
programs="$build/tests/pressure/pressure_library $build/tests/pressure/pressure_disk
	$build/tests/pressure/pressure_signals $build/tools/zram"

skip() {
	echo "guest: skipped: $*"
	exit 77
}

for program in qemu-system-x86_64 busybox cpio nbdkit; do
	command -v $program >/dev/null 2>&1 || skip "no $program here"
done
test -r "$kernel" || skip 'no kernel to be had (KERNEL=IMAGE names one)'
nbdkit=$(command -v nbdkit)

top=$(mktemp -d "${TMPDIR:-/tmp}/zram-guest.XXXXXX") || exit 1
trap 'rm -rf "$top"' EXIT
trap 'exit 1' HUP INT TERM
root=$top/root
mkdir -p "$root/bin" "$root/proc" "$root/sys" "$root/dev" "$root/tmp" "$root/build/plugin" \
	"$root/build/tools"

# All that these need of libraries, at the same places.
# shellcheck disable=SC2086
set -- $programs "$nbdkit" "$plugin"
for library in $(ldd "$@" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p' |
	sort -u); do
	mkdir -p "$root$(dirname "$library")"
	cp -L "$library" "$root$library"
done
# shellcheck disable=SC2086
cp $programs "$nbdkit" "$(command -v busybox)" "$root/bin"
cp "$plugin" "$root/build/plugin"

cat >"$root/init" <<'END'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mount -t tmpfs none /tmp
mount -t cgroup2 none /sys/fs/cgroup
echo +memory >/sys/fs/cgroup/cgroup.subtree_control
ip link set lo up
export PATH=/bin ZRAM_PLUGIN=/build/plugin/nbdkit-zram-plugin.so ZRAM_TOOL=/bin/zram
failed=0

run() {
	echo "== $*"
	"$@" || failed=$((failed + 1))
}

echo "Linux $(uname -r), $(grep MemTotal /proc/meminfo)"
echo 2 >/proc/sys/vm/overcommit_memory
echo 20 >/proc/sys/vm/overcommit_ratio
grep Commit /proc/meminfo
run pressure_library machine
echo 0 >/proc/sys/vm/overcommit_memory
run pressure_library
run pressure_disk
run pressure_signals
echo "guest: $failed failed"
poweroff -f
END
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) | gzip -1 >"$top/initrd" || exit 1

accel=${ACCEL:-tcg}
qemu-system-x86_64 -accel "$accel" -m 1024 -smp 2 -nographic -no-reboot -net none \
	-kernel "$kernel" -initrd "$top/initrd" -append 'console=ttyS0 panic=-1 quiet loglevel=1' </dev/null |
	tee "$top/log"
grep -q '^guest: 0 failed' "$top/log"
