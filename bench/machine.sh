#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# Says on what, and of what, bench/run measures: a line for each thing. Nothing that
# names the machine.
set -u

library_version() { # start of the file's name
	path=$(PATH=$PATH:/usr/sbin:/sbin ldconfig -p |
		awk -v name="$1" 'index($1, name ".so.") == 1 { print $NF; exit }')
	[ -n "$path" ] || return 1
	path=$(readlink -f "$path")
	package=$(dpkg-query -S "$path" 2>/dev/null | sed 's/: .*//')
	dpkg-query -W -f '${Version}\n' "${package:-none}" 2>/dev/null || basename "$path"
}

say() { # what value
	[ -z "$2" ] || echo "$1: $2"
}

of_cpu() { # field of lscpu
	LC_ALL=C lscpu 2>/dev/null | sed -n "s/^$1: *//p" | head -n 1
}

say 'date' "$(date -u +%Y-%m-%d)"
say 'commit' "$(git -C "$(dirname "$0")" describe --always --dirty 2>/dev/null)"
say 'processor' "$(of_cpu 'Model name'), $(nproc) cores"
say 'caches' "L1d $(of_cpu 'L1d cache'), L2 $(of_cpu 'L2 cache'), L3 $(of_cpu 'L3 cache')"
say 'hypervisor' "$(of_cpu 'Hypervisor vendor')"
say 'memory' "$(awk '/^MemTotal:/ { printf "%.1f GiB", $2 / 1048576 }' /proc/meminfo)"
say 'huge pages' "$(sed 's/.*\[\(.*\)\].*/\1/' /sys/kernel/mm/transparent_hugepage/enabled 2>/dev/null)"
say 'kernel' "$(uname -srm | sed 's|-[^ ]*||')"
say 'compiler' "$("${CC:-cc}" --version | head -n 1)"
say 'glibc' "$(ldd --version 2>/dev/null | sed -n '1s/.* //p')"
for name in jemalloc mimalloc tcmalloc_minimal; do
	say "${name%_minimal}" "$(library_version "lib$name")"
done
for name in liblz4 libzstd; do
	say "${name#lib}" "$(pkg-config --modversion "$name" 2>/dev/null)"
done
say 'nbdkit' "$(nbdkit --version 2>/dev/null | sed 's/^nbdkit //')"
say 'nbdcopy' "$(nbdcopy --version 2>/dev/null | sed -n '1s/.* //p')"
say 'fio' "$(fio --version 2>/dev/null | sed 's/^fio-//')"
