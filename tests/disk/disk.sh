# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
# shellcheck shell=sh
#
# What the tests with real clients share; to be sourced. Each case is a function that
# try() runs under "set -e" in a process and a directory of its own, whose end also ends
# what it started there. The output is TAP. From meson come
#
#   ZRAM_PLUGIN  the plugin's file
#   ZRAM_TOOL    the zram command
#   ZRAM_DATA    a program that writes test data: see data.c
#   ZRAM_PRELOAD the sanitizer's library, if the plugin is built with one
set -u

# mkfs and their like are nobody's but root's in some places.
PATH=$PATH:/usr/sbin:/sbin

cases=0
failures=0

top=$(mktemp -d "${TMPDIR:-/tmp}/zram-test.XXXXXX") || exit 1
trap 'rm -rf "$top"' EXIT
trap 'exit 1' HUP INT TERM

# --- cases -------------------------------------------------------------------

# For all that follows in the file.
skip_all() { # reason
	echo "1..0 # SKIP $*"
	exit 0
}

# In a case: it cannot be done here.
skip() { # reason
	echo "$*" >"$dir/skipped"
	exit 77
}

# In a case: says why and ends it.
fail() { # reason
	echo "$*" >&2
	exit 1
}

need() { # program...
	for program in "$@"; do
		command -v "$program" >/dev/null 2>&1 || skip "no $program here"
	done
}

# In the case's own process, newest first.
undo() {
	status=$?
	set +e
	if test -s "$dir/undo"; then
		sed '1!G;h;$!d' "$dir/undo" >"$dir/undo.sh"
		# shellcheck source=/dev/null
		. "$dir/undo.sh"
	fi
	exit "$status"
}

# A command to be run when the case ends, however it does.
at_end() { # command line
	echo "$*" >>"$dir/undo"
}

try() { # title, function, arguments...
	title=$1
	shift
	cases=$((cases + 1))
	dir=$top/$cases
	mkdir "$dir" || exit 1
	(
		trap undo EXIT
		trap 'exit 1' HUP INT TERM
		set -e
		"$@"
	) >"$dir/log" 2>&1
	case $? in
	0)
		echo "ok $cases - $title" ;;
	77)
		echo "ok $cases - $title # SKIP $(cat "$dir/skipped")" ;;
	*)
		failures=$((failures + 1))
		echo "not ok $cases - $title"
		tail -n 60 "$dir/log" | sed 's/^/# /' ;;
	esac
	rm -rf "$dir"
}

# The last command of the file.
finish() {
	echo "1..$cases"
	test "$failures" = 0
}

# --- servers -----------------------------------------------------------------

# Words for nbdkit before the plugin's name may be set in nbdkit_options. Sets pid, uri, control.
serve() { # the plugin's parameters...
	socket=$dir/socket
	control=$dir/control
	uri="nbd+unix:///?socket=$socket"
	# Splitting the options is meant.
	# shellcheck disable=SC2086
	nbdkit --foreground --exit-with-parent --unix "$socket" --pidfile "$dir/pid" \
		${nbdkit_options:-} "$ZRAM_PLUGIN" "control=$control" "$@" &
	pid=$!
	at_end "kill $pid 2>/dev/null; wait $pid"
	until test -s "$dir/pid"; do
		kill -0 "$pid" 2>/dev/null || fail "nbdkit $* did not start"
		sleep 0.02
	done
}

# It ends well: no client and no request has broken it.
stop() {
	kill "$pid"
	wait "$pid" || fail "nbdkit ended with $?"
	test ! -e "$control" || fail 'the control socket is still there'
}

# The disk as the file $file, by nbdfuse.
attach_file() {
	mkdir "$dir/fuse"
	nbdfuse --pidfile "$dir/fuse.pid" "$dir/fuse/disk" "$uri" &
	fuse=$!
	at_end "umount -q $dir/fuse 2>/dev/null || fusermount3 -qu $dir/fuse; wait $fuse"
	until test -s "$dir/fuse.pid"; do
		kill -0 "$fuse" 2>/dev/null || skip 'nbdfuse cannot mount here'
		sleep 0.02
	done
	# shellcheck disable=SC2034 # for those who source this
	file=$dir/fuse/disk
}

detach_file() {
	umount "$dir/fuse" || fusermount3 -u "$dir/fuse"
	wait "$fuse"
}

# One figure of the disk.
figure() { # name, as in the attribute stat
	"$ZRAM_TOOL" get --control "$control" stat | awk -v name="$1" '$1 == name { print $2 }'
}

# --- data --------------------------------------------------------------------

# Of all kinds that a store treats differently; the same for the same seed.
make_data() { # file, bytes, seed
	"$ZRAM_DATA" "$2" "$3" >"$1"
}

same() { # file, file
	cmp "$1" "$2" || fail "$1 and $2 differ"
}

command -v nbdkit >/dev/null 2>&1 || skip_all 'no nbdkit here'
# A program without a sanitizer that is made to load one may hang when it exits.
test -z "${ZRAM_PRELOAD:-}" || skip_all 'a plugin with sanitizers is for the programs in C'
test -f "$ZRAM_PLUGIN" || skip_all 'the plugin was not built'
