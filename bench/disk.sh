#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# The part "disk" of bench/run: the nbdkit plugin and the disks in memory that
# nbdkit has itself. First nbdcopy, onto a new server each time; then fio: all
# servers filled, then random writes and reads on one after the other.
set -eu

here=$(dirname "$0")
# shellcheck source=bench/part.sh
. "$here/part.sh"
mib=512
copies=${ROUNDS:-3}
segments=3   # of random writes
segment_s=20 # of each, in seconds; on servers whose size is not in question:
short_s=3
read_s=2
if [ -n "${QUICK:-}" ]; then
	mib=128
	copies=${ROUNDS:-2}
	segments=2
	segment_s=2
	short_s=1
	read_s=1
fi
servers='zram-lz4 zram-zstd memory-zstd memory-malloc memory-sparse'
depth=32
# What is left of a block's 4 KiB is zeros.
compressible=60
plugin=$BUILD/plugin/nbdkit-zram-plugin.so
tool=$BUILD/tools/zram

skip_all() { # why
	skip "disk ($*)"
	exit 0
}

for program in nbdkit nbdcopy fio; do
	command -v "$program" >/dev/null 2>&1 || skip_all "$program is not installed"
done
fio --enghelp 2>/dev/null | grep -qw nbd || skip_all 'this fio has no nbd engine'
[ -e "$plugin" ] || skip_all 'the plugin was not built'
case $plugin in
/*) ;;
*) plugin=$PWD/$plugin ;;
esac

if ! nbdkit --dump-plugin memory | grep -qx zstd=yes; then
	skip 'memory-zstd (this nbdkit was built without it)'
	servers=$(echo "$servers" | sed 's/memory-zstd //')
fi

work=$(mktemp -d)

# Waits, so that no server of an earlier round takes time from a later one.
stop_server() { # name
	pid=$(cat "$work/$1.pid")
	kill "$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
	rm -f "$work/$1".*
}

clean() {
	for file in "$work"/*.pid; do
		[ -s "$file" ] || continue
		name=${file##*/}
		stop_server "${name%.pid}"
	done
	rm -rf "$work"
}
trap clean EXIT
trap 'exit 1' INT TERM HUP

start_server() { # name
	name=$1
	case $name in
	zram-*)
		set -- "$plugin" algorithm="${name#zram-}" control="$work/$name.control" ;;
	memory-*)
		set -- memory allocator="${name#memory-}" ;;
	esac
	nbdkit -f -P "$work/$name.ready" -U "$work/$name.socket" "$@" size="${mib}M" &
	echo $! >"$work/$name.pid"
	until [ -s "$work/$name.ready" ]; do
		if ! kill -0 "$(cat "$work/$name.pid")" 2>/dev/null; then
			echo "bench: $name: the server did not start" >&2
			exit 1
		fi
		sleep 0.02
	done
}

uri() { # name
	echo "nbd+unix:///?socket=$work/$1.socket"
}

report() { # round name variant measure unit value
	printf '%s\t%s\t%s\n' "$4" "$5" "$6" | put "$3, $mib MiB" "$2" "$1"
}

seconds_of() { # command...
	from=$(date +%s%N)
	"$@"
	until=$(date +%s%N)
	awk -v ns=$((until - from)) 'BEGIN { printf "%.3f", ns / 1e9 }'
}

# Processor time of a server so far, in ticks.
ticks_of() { # name
	sed 's/.*) //' "/proc/$(cat "$work/$1.pid")/stat" | awk '{ print $12 + $13 }'
}

report_processor() { # round name variant measure unit ticks calls: for each of them
	report "$1" "$2" "$3" "$4" "$5" "$(awk -v ticks="$6" -v hertz="$(getconf CLK_TCK)" \
		-v calls="$7" -v scale="$([ "$5" = us ] && echo 1e6 || echo 1)" \
		'BEGIN { printf "%.4f", ticks / hertz / calls * scale }')"
}

# Resident memory of a server, for each byte of the disk, and for each compressed one.
report_memory() { # round name variant when
	resident=$(awk '/^VmRSS:/ { print $2 * 1024 }' "/proc/$(cat "$work/$2.pid")/status")
	report "$1" "$2" "$3" "memory-$4" B/B \
		"$(awk -v resident="$resident" -v mib="$mib" 'BEGIN { printf "%.4f", resident / mib / 1048576 }')"
	case $2 in
	zram-*)
		[ "$4" != empty ] || return 0
		"$tool" get --control "$work/$2.control" mm_stat >"$work/mm_stat"
		report "$1" "$2" "$3" "overhead-$4" B/B \
			"$(awk -v resident="$resident" '{ printf "%.4f", resident / $2 }' "$work/mm_stat")"
		report "$1" "$2" "$3" "store-overhead-$4" B/B \
			"$(awk '{ printf "%.4f", $3 / $2 }' "$work/mm_stat")" ;;
	esac
}

copy_both_ways() { # round name
	round=$1 name=$2
	start_server "$name"
	before=$(ticks_of "$name")
	report "$round" "$name" nbdcopy copy-write s \
		"$(seconds_of nbdcopy "$work/files" "$(uri "$name")")"
	between=$(ticks_of "$name")
	report "$round" "$name" nbdcopy copy-read s "$(seconds_of nbdcopy "$(uri "$name")" null:)"
	after=$(ticks_of "$name")
	report_processor "$round" "$name" nbdcopy copy-write-processor s $((between - before)) 1
	report_processor "$round" "$name" nbdcopy copy-read-processor s $((after - between)) 1
	report_memory "$round" "$name" nbdcopy copied
	if [ "$round" = 1 ]; then
		nbdcopy "$(uri "$name")" - | cmp - "$work/files"
	fi
	stop_server "$name"
}

# Seeded by round: other data each time, the same on each server. Prints the last
# line of fio's, fields between semicolons.
run_fio() { # round name mode block-size [option...]
	round=$1 name=$2 mode=$3 block=$4
	shift 4
	fio --name=bench --ioengine=nbd --uri="$(uri "$name")" --rw="$mode" --bs="$block" \
		--size="${mib}m" --randseed="$round" --refill_buffers \
		--buffer_compress_percentage="$compressible" --buffer_compress_chunk=4k \
		--iodepth="$depth" --output-format=terse --terse-version=3 "$@" |
		grep '^3;' | tail -n 1
}

# Terse version 3: what was read from field 6 on, what was written from field 47 on; of
# each the KiB, the calls a second at 2, percentiles from 12 on.
report_fio() { # round name measure line first-field ticks
	echo "$4" | awk -F ';' -v OFS='\t' -v measure="$3" -v first="$5" '
		{
			print measure, "ops/s", $(first + 2)
			for (i = first + 12; i < first + 32; i++) {
				if (split($i, part, "=") == 2 && part[1] + 0 == 99)
					print measure "-p99", "us", part[2]
			}
		}' | put "fio, $mib MiB" "$2" "$1"
	report_processor "$1" "$2" fio "$3-processor" us "$6" \
		"$(echo "$4" | awk -F ';' -v first="$5" '{ print $first / 4 }')"
}

fill() { # name
	run_fio 1 "$1" write 256k >/dev/null
	report_memory 1 "$1" fio filled
}

write_and_read() { # round name
	case $2 in
	memory-malloc | memory-sparse) duration=$short_s ;;
	*) duration=$segment_s ;;
	esac
	before=$(ticks_of "$2")
	line=$(run_fio "$1" "$2" randwrite 4k --norandommap --time_based --runtime="$duration")
	report_fio "$1" "$2" random-write "$line" 47 $(($(ticks_of "$2") - before))
	before=$(ticks_of "$2")
	line=$(run_fio "$1" "$2" randread 4k --norandommap --time_based --runtime="$read_s")
	report_fio "$1" "$2" random-read "$line" 6 $(($(ticks_of "$2") - before))
}

begin disk
sh "$here/files.sh" "$mib" "$work/files"
truncate -s "${mib}M" "$work/files"
for round in $(seq "$copies"); do
	echo "disk: nbdcopy, round $round of $copies" >&2
	for name in $servers; do
		copy_both_ways "$round" "$name"
	done
done
rm "$work/files"

for name in $servers; do
	start_server "$name"
	report_memory 1 "$name" fio empty
	fill "$name"
done
for round in $(seq "$segments"); do
	echo "disk: fio, round $round of $segments" >&2
	for name in $servers; do
		write_and_read "$round" "$name"
	done
done
for name in $servers; do
	report_memory 1 "$name" fio aged
	stop_server "$name"
done
