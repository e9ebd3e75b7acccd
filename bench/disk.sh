#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# The part "disk" of bench/run: the nbdkit plugin and the disks in memory that
# nbdkit has itself. First nbdcopy, onto a new server each time; then fio: all
# servers filled, then random writes and reads on one after the other.
set -eu

here=$(dirname "$0")
copy_mib=512
fio_mib=512
copies=${ROUNDS:-3}
segments=3  # of random writes
segment_s=8 # of each, in seconds; where growth is not the question:
short_s=3
read_s=2
copied='zram-lz4 zram-zstd memory-zstd memory-malloc memory-sparse'
written='zram-lz4 zram-zstd memory-zstd memory-malloc'
short=memory-malloc
if [ -n "${QUICK:-}" ]; then
	copy_mib=128
	fio_mib=128
	copies=${ROUNDS:-2}
	segments=2
	segment_s=3
	short_s=1
	read_s=1
	copied='zram-lz4 zram-zstd memory-zstd memory-malloc'
	written='zram-lz4 zram-zstd memory-zstd'
	short=zram-lz4
fi
depth=32
# What is left of a block's 4 KiB is zeros.
compressible=60
tsv=$RESULTS/disk.tsv
plugin=$BUILD/plugin/nbdkit-zram-plugin.so
tool=$BUILD/tools/zram

for program in nbdkit nbdcopy fio; do
	if ! command -v "$program" >/dev/null 2>&1; then
		echo "skipped: disk ($program is not installed)"
		exit 0
	fi
done
if ! fio --enghelp 2>/dev/null | grep -qw nbd; then
	echo 'skipped: disk (this fio has no nbd engine)'
	exit 0
fi
if ! [ -e "$plugin" ]; then
	echo 'skipped: disk (the plugin was not built)'
	exit 0
fi
case $plugin in
/*) ;;
*) plugin=$PWD/$plugin ;;
esac

without() { # word list
	echo " $2 " | sed "s/ $1 / /"
}
if ! nbdkit --dump-plugin memory | grep -qx zstd=yes; then
	echo 'skipped: memory-zstd (this nbdkit was built without it)'
	copied=$(without memory-zstd "$copied")
	written=$(without memory-zstd "$written")
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

start_server() { # name mib
	name=$1 size=$2M
	case $name in
	zram-*)
		set -- "$plugin" algorithm="${name#zram-}" control="$work/$name.control" ;;
	memory-*)
		set -- memory allocator="${name#memory-}" ;;
	esac
	nbdkit -f -P "$work/$name.ready" -U "$work/$name.socket" "$@" size="$size" &
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

report() { # round name measure value
	printf '%s\t%s\t%s\t%s\n' "$@" >>"$tsv"
}

seconds_of() { # command...
	from=$(date +%s%N)
	"$@"
	until=$(date +%s%N)
	awk -v ns=$((until - from)) 'BEGIN { printf "%.3f", ns / 1e9 }'
}

# Processor time of a server so far, in ticks; its memory, in bytes.
ticks_of() { # name
	sed 's/.*) //' "/proc/$(cat "$work/$1.pid")/stat" | awk '{ print $12 + $13 }'
}

resident_of() { # name
	awk '/^VmRSS:/ { print $2 * 1024 }' "/proc/$(cat "$work/$1.pid")/status"
}

report_memory() { # round name when
	report "$1" "$2" "resident-$3" "$(resident_of "$2")"
	case $2 in
	zram-*)
		"$tool" get --control "$work/$2.control" mm_stat >"$work/mm_stat"
		report "$1" "$2" "compressed-$3" "$(awk '{ print $2 }' "$work/mm_stat")"
		report "$1" "$2" "used-$3" "$(awk '{ print $3 }' "$work/mm_stat")" ;;
	esac
}

copy_both_ways() { # round name
	round=$1 name=$2
	start_server "$name" "$copy_mib"
	before=$(ticks_of "$name")
	report "$round" "$name" copy-write "$(seconds_of nbdcopy "$work/files" "$(uri "$name")")"
	between=$(ticks_of "$name")
	report "$round" "$name" copy-read "$(seconds_of nbdcopy "$(uri "$name")" null:)"
	report "$round" "$name" copy-write-ticks $((between - before))
	report "$round" "$name" copy-read-ticks $(($(ticks_of "$name") - between))
	report_memory "$round" "$name" copied
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
		--size="${fio_mib}m" --randseed="$round" --refill_buffers \
		--buffer_compress_percentage="$compressible" --buffer_compress_chunk=4k \
		--iodepth="$depth" --output-format=terse --terse-version=3 "$@" |
		grep '^3;' | tail -n 1
}

# Terse version 3: what was read from field 6 on, what was written from field 47 on; of
# each the KiB, the calls a second at 2, percentiles from 12 on. Ticks: see ticks_of().
report_fio() { # round name measure line first-field ticks
	echo "$4" | awk -F ';' -v OFS='\t' -v round="$1" -v name="$2" -v measure="$3" -v first="$5" \
		-v ticks="$6" '
		{
			print round, name, measure, $(first + 2)
			print round, name, measure "-ticks", ticks / ($first / 4)
			for (i = first + 12; i < first + 32; i++) {
				if (split($i, part, "=") == 2 && part[1] + 0 == 99)
					print round, name, measure "-p99", part[2]
			}
		}' >>"$tsv"
}

fill() { # name
	run_fio 1 "$1" write 256k >/dev/null
	report_memory 1 "$1" filled
}

write_and_read() { # round name
	duration=$segment_s
	if [ "$2" = "$short" ]; then
		duration=$short_s
	fi
	before=$(ticks_of "$2")
	line=$(run_fio "$1" "$2" randwrite 4k --norandommap --time_based --runtime="$duration")
	between=$(ticks_of "$2")
	report_fio "$1" "$2" random-write "$line" 47 $((between - before))
	line=$(run_fio "$1" "$2" randread 4k --norandommap --time_based --runtime="$read_s")
	report_fio "$1" "$2" random-read "$line" 6 $(($(ticks_of "$2") - between))
}

printf '#round\tserver\tmeasure\tvalue\n' >"$tsv"
sh "$here/files.sh" "$copy_mib" "$work/files"
truncate -s "${copy_mib}M" "$work/files"
for round in $(seq "$copies"); do
	echo "nbdcopy, round $round of $copies" >&2
	for name in $copied; do
		copy_both_ways "$round" "$name"
	done
done
rm "$work/files"

for name in $written; do
	start_server "$name" "$fio_mib"
	fill "$name"
done
for round in $(seq "$segments"); do
	echo "fio, round $round of $segments" >&2
	for name in $written; do
		write_and_read "$round" "$name"
	done
done
for name in $written; do
	report_memory 1 "$name" aged
	stop_server "$name"
done

echo "The disk: nbdcopy of $copy_mib MiB of files; fio on $fio_mib MiB, $compressible % compressible,"
echo "$depth requests at a time, $((segments * segment_s)) s of random writes:"
awk -v ticks_per_s="$(getconf CLK_TCK)" -f "$here/median.awk" -f "$here/disk.awk" "$tsv"
echo "written: $tsv"
