#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# The zram command as its user meets it: real disks, real clients. Usage:
# test_tool.sh ZRAM; prints one line a check, exits 1 if one failed, 77 if nbdkit or
# the clients are missing.
set -u

zram=$1
failed=0
server=''
work=$(mktemp -d) || exit 1
XDG_RUNTIME_DIR=$work/run
export XDG_RUNTIME_DIR
mkdir "$XDG_RUNTIME_DIR"
disks=$XDG_RUNTIME_DIR/zram

skip() {
	echo "skipped: $*"
	exit 77
}

clean_up() {
	test -z "$server" || kill "$server" 2>/dev/null
	wait
	rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

for program in nbdkit nbdcopy nbdinfo pgrep; do
	command -v $program >/dev/null || skip "there is no $program"
done
plugin=$(dirname "$zram")/../plugin/nbdkit-zram-plugin.so
test -e "$plugin" || skip 'there is no plugin'
# The plugin of a sanitized build is no use to an nbdkit that is not.
sanitizer=$(ldd "$plugin" | awk '/lib(a|t)san/ { print $3; exit }')

check() { # what, command...
	what=$1
	shift
	if "$@" >"$work/said" 2>&1; then
		echo "ok - $what"
	else
		echo "not ok - $what"
		cat "$work/said"
		failed=1
	fi
}

# --- what commands say -------------------------------------------------------

# The exit code, nothing on standard output, one line "zram: ..." that holds these words.
refuses() { # code, words, arguments...
	code=$1
	words=$2
	shift 2
	"$zram" "$@" >"$work/out" 2>"$work/err" </dev/null
	got=$?
	cat "$work/out" "$work/err"
	test $got = "$code" && test ! -s "$work/out" && test "$(wc -l <"$work/err")" = 1 &&
		grep -q "^zram: .*$words" "$work/err"
}

# The exit code 0, and these words on standard output.
prints() { # words, arguments...
	words=$1
	shift
	"$zram" "$@" >"$work/out" 2>"$work/err" </dev/null || return 1
	cat "$work/out" "$work/err"
	test ! -s "$work/err" && grep -q -e "$words" "$work/out"
}

all_help() {
	for command in serve stat top map get set compact reset estimate; do
		prints "^Usage: zram $command" $command --help || return 1
		prints "^Usage: zram $command" help $command || return 1
		prints "^  $command " --help || return 1
	done
}

notices_full_output() { # arguments...
	"$zram" "$@" >/dev/full 2>"$work/err"
	test $? = 1 && grep -q '^zram: standard output: No space left' "$work/err"
}

# --- a disk ------------------------------------------------------------------

start() { # arguments of serve...
	: >"$work/banner"
	LD_PRELOAD=$sanitizer ASAN_OPTIONS=detect_leaks=0 "$zram" serve "$@" >"$work/banner" 2>"$work/trouble" &
	server=$!
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		grep -q Ctrl-C "$work/banner" && break
		kill -0 $server 2>/dev/null || break
		sleep 0.1
	done
	uri=$(sed -n 's/^  \(nbd[^ ]*\)$/\1/p' "$work/banner")
	test -n "$uri" || cat "$work/trouble"
	test -n "$uri"
}

end() { # signal; the exit code of serve is to be 0
	kill -s "$1" "$server"
	wait "$server"
	code=$?
	server=''
	cat "$work/trouble"
	test $code = 0
}

stop() { # signal; nothing is to be said
	end "$1" && test ! -s "$work/trouble"
}

nothing_left() {
	ls -l "$disks"
	test -z "$(ls "$disks")"
}

private() { # path, mode
	stat -c '%a %u %n' "$1"
	test "$(stat -c '%a %u' "$1")" = "$2 $(id -u)"
}

stores_and_gives_back() {
	nbdcopy "$work/data" "$uri" || return 1
	nbdcopy "$uri" "$work/copy" || return 1
	cmp -n "$(stat -c %s "$work/data")" "$work/data" "$work/copy"
}

value() { # name in zram stat --json
	"$zram" stat --json | sed -n "s/^  \"$1\": \([0-9]*\),*$/\1/p"
}

same_figures() {
	"$zram" get mm_stat | tr ' ' '\n' >"$work/a"
	"$zram" stat --json | sed -n '4,12s/.*: \([0-9]*\),*$/\1/p' >"$work/b"
	test -s "$work/a" && diff "$work/a" "$work/b"
}

adds_up() {
	test "$(value mem_used_total)" = $(($(value pool_bytes) + $(value table_bytes) + \
		$(value stream_bytes) + $(value own_bytes)))
}

# Each metric is described before it comes, and holds one number.
good_prometheus() {
	"$zram" stat --prometheus | awk '
		/^# HELP / { help = $3; next }
		/^# TYPE / { if ($3 != help || $4 !~ /^(gauge|counter)$/) exit 1; type = $4; next }
		{
			split($1, name, "{")
			if (name[1] != help || $NF !~ /^[0-9]+$/) exit 1
			if (type == "counter" && name[1] !~ /_total$/) exit 1
			count++
		}
		END { if (count < 25) exit 1 }'
}

good_json() {
	python3 -c 'import json, sys; assert json.load(sys.stdin)["comp_algorithm"] == "lz4"' \
		<"$work/json"
}

good_svg() {
	"$zram" map --svg "$work/map.svg" &&
		python3 -c 'import sys, xml.dom.minidom as m; m.parse(sys.argv[1])' "$work/map.svg"
}

sets() { # name, value, what get then says
	"$zram" set "$1" "$2" && test "$("$zram" get "$1")" = "$3"
}

is_empty() {
	"$zram" reset --yes && test "$(value orig_data_size)" = 0 &&
		nbdcopy "$uri" "$work/copy" && cmp -n 1048576 "$work/copy" /dev/zero
}

# nbdkit sees its parent die, and the name can be used again.
ends_with_parent() {
	child=$(pgrep -P "$server")
	kill -s KILL "$server"
	wait "$server" 2>/dev/null
	server=''
	for _ in $(seq 200); do
		# Who has ended may wait for init to take note of it.
		case $(ps -o stat= -p "$child") in
		'' | Z*) return 0 ;;
		esac
		sleep 0.1
	done
	ps -o pid,ppid,stat,args -p "$child"
	return 1
}

# serve is told by its child's end.
ends_with_child() {
	kill -s KILL "$(pgrep -P "$server")"
	wait "$server"
	code=$?
	server=''
	test $code = 1 && grep -q '^zram: nbdkit was ended by signal 9' "$work/trouble"
}

# nbdkit may complain of the clients, and abort, but serve ends and exits 0.
stops_under_load() {
	while nbdcopy "$work/data" "$uri"; do :; done >/dev/null 2>&1 &
	client=$!
	sleep 0.3
	end TERM || return 1
	wait $client
	return 0
}

only_loopback() {
	port=${uri##*:}
	ss -Hltn "sport = :$port" | awk '{ print $4 }' >"$work/listening"
	cat "$work/listening"
	test -s "$work/listening" && ! grep -vE '^(127\.0\.0\.1|\[::1\]):' "$work/listening"
}

# A terminal is what script(1) makes.
top_quits() {
	(sleep 1 && printf q) | TERM=xterm script -qec "$zram top --interval 0.2" /dev/null \
		>"$work/screen" || return 1
	grep -q 'of the disk' "$work/screen" && tail -c 40 "$work/screen" | grep -q '\[?1049l'
}

# --- estimate ----------------------------------------------------------------

estimate_agrees() { # what is stored takes what was said, within 3 %
	"$zram" estimate --all --algorithm lz4 --block-size 4K "$work/data"
	said=$("$zram" estimate --all --algorithm lz4 --block-size 4K "$work/data" |
		awk '$1 == "lz4" { print $6 }')
	is=$(awk "BEGIN { print 100 * $(value mem_used_total) / $(stat -c %s "$work/data") }")
	echo "estimated: $said %, is: $is %"
	awk "BEGIN { d = $said - $is; exit !($is > 1 && d * d < 9) }"
}

# --- the checks --------------------------------------------------------------

# Text, numbers, zeros: 16 MiB that compress like files do.
seq 1 1500000 | head -c 12582912 >"$work/data"
head -c 2097152 /dev/zero >>"$work/data"
head -c 2097152 /dev/urandom >>"$work/data"

check 'it tells its version' prints '^zram [0-9]' --version
check 'it and each command have a help' all_help
check 'no command is wrong usage' refuses 2 'which command'
check 'an unknown command is wrong usage' refuses 2 'no such command' fly
check 'an unknown option is wrong usage' refuses 2 'unknown option' stat --fly
check 'a value that is missing is wrong usage' refuses 2 'needs a value' stat --name
check 'no size is wrong usage' refuses 2 'zram serve 4G' serve
check 'a bad size is wrong usage' refuses 2 'no size' serve 4Q
check 'an unknown algorithm is wrong usage' refuses 2 "no 'fly'" serve 1G --algorithm fly
check 'a path and a port are wrong usage' refuses 2 'only one' serve 1G --port 1 --socket a
check 'without a disk, stat exits 3' refuses 3 'no disk of yours' stat
check 'without that disk, get exits 3' refuses 3 'no disk is served there' get --name fly disksize
check 'a full disk under standard output is noticed' notices_full_output --help

check 'a disk is served on a Unix socket' start 1G
check 'its directory is private' private "$disks" 700
check 'its NBD socket is private' private "$disks/zram0.sock" 700
check 'its control socket is private' private "$disks/zram0.control" 600
check 'a client stores data and gets it back' stores_and_gives_back
check 'stat shows it' prints 'memory taken' stat
check 'mm_stat and --json have the same figures' same_figures
check 'the parts of the memory add up' adds_up
check '--prometheus describes each metric' good_prometheus
if command -v python3 >/dev/null; then
	"$zram" stat --json >"$work/json"
	check '--json is JSON' good_json
	check 'map draws an SVG' good_svg
fi
check 'map draws text' prints '3841-4096' map
check 'what it costs was estimated well' estimate_agrees
check 'an attribute is read' prints '^1073741824$' get disksize
check 'an attribute is set' sets mem_limit 512M 536870912
check 'an unknown attribute is refused' refuses 1 'fly' get fly
check 'a bad value is refused' refuses 1 '' set mem_limit fly
check 'a command that is no terminal gets no top' refuses 1 'terminal' top
if script -qec true /dev/null </dev/null >/dev/null 2>&1; then # terminals can be had here
	check 'top draws, ends with q, and gives the terminal back' top_quits
fi
check 'the same name is not served twice' refuses 1 'served already' serve 1G --name zram0
check 'compact says what came back' prints '^zram0: .* in use' compact
check 'reset asks, or wants --yes' refuses 2 'yes' reset
check 'reset forgets everything' is_empty
check 'Ctrl-C ends it' stop INT
check 'it leaves nothing behind' nothing_left

check 'a disk is served over TCP' start 64M --port 0 --algorithm zstd --block-size 64K
if command -v ss >/dev/null; then
	check 'only to this machine' only_loopback
fi
check 'a client stores data over TCP' stores_and_gives_back
check 'SIGHUP ends it' stop HUP

check 'a disk with a name and paths of its own' start 64M --name mine --socket "$work/a b" \
	--control "$work/control"
check 'a path with a blank is escaped' stores_and_gives_back
check 'its control socket is found by its path' prints '^67108864$' get --control \
	"$work/control" disksize
check 'SIGTERM ends it under load' stops_under_load
check 'it leaves nothing behind' nothing_left

check 'arguments after -- go to nbdkit' start 64M -- --filter=cow
check 'nbdkit ends when zram serve is killed' ends_with_parent
check 'what a killed one left is no obstacle' start 64M
check 'zram serve ends when nbdkit does' ends_with_child
check 'it leaves nothing behind' nothing_left

test $failed = 0
