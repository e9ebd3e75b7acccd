#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# Who can reach a disk: its sockets and their directory are its user's alone whatever the
# umask, no privilege is needed to serve it, and it listens to no network unless told to.
# shellcheck source=tests/disk/disk.sh
. "$(dirname "$0")/disk/disk.sh"

nobody=65534
somebody=65533

# --- who serves --------------------------------------------------------------

as() { # uid, command...: without any privilege
	uid=$1
	shift
	if test "$(id -u)" = 0; then
		set -- --reuid "$uid" --regid "$uid" --clear-groups --inh-caps=-all \
			--bounding-set=-all "$@"
	fi
	exec setpriv --no-new-privs "$@"
}

# A place for an ordinary user, with a copy of what it has to be able to read.
prepare() {
	need setpriv pgrep
	mkdir -p "$dir/tree/tools" "$dir/tree/plugin" "$dir/run"
	cp "$ZRAM_TOOL" "$dir/tree/tools/zram"
	cp "$ZRAM_PLUGIN" "$dir/tree/plugin/"
	chmod -R a+rX "$dir/tree"
	chmod 711 "$top" "$dir"
	chmod 700 "$dir/run"
	test "$(id -u)" != 0 || chown "$nobody:$nobody" "$dir/run"
	zram=$dir/tree/tools/zram
	XDG_RUNTIME_DIR=$dir/run
	export XDG_RUNTIME_DIR
	(as "$nobody" "$zram" --version) || skip 'an ordinary user cannot run programs here'
}

# Sets pid, and server, which is nbdkit's.
zram_serve() { # umask, options...
	mask=$1
	shift
	(
		umask "$mask"
		cd "$dir/run" || exit
		as "$nobody" "$zram" serve 64M --name disk "$@" >"$dir/said"
	) &
	pid=$!
	at_end "kill $pid 2>/dev/null; wait $pid"
	until grep -q 'To end it' "$dir/said" 2>/dev/null; do
		kill -0 "$pid" 2>/dev/null || fail "zram serve $* did not start"
		sleep 0.02
	done
	server=$(pgrep -P "$pid" nbdkit)
}

zram_stop() {
	kill "$pid"
	wait "$pid" || fail "zram serve ended with $?"
}

# --- modes -------------------------------------------------------------------

mode() { # file
	stat -c %a "$1"
}

only_its_users() { # umask
	prepare
	zram_serve "$1"
	ls -laR "$dir/run"
	test "$(mode "$dir/run/zram")" = 700
	test "$(mode "$dir/run/zram/disk.control")" = 600
	case $(mode "$dir/run/zram/disk.sock") in
	?00) ;;
	*) fail 'others can reach the disk' ;;
	esac
	zram_stop
}

control_of_plain_nbdkit() { # umask
	umask "$1"
	serve size=1M
	test "$(mode "$control")" = 600
	stop
}

# Not even where the directory lets them.
others_cannot_control() {
	test "$(id -u)" = 0 || skip 'only root can be somebody else'
	prepare
	chmod 755 "$dir"
	umask 000
	serve size=1M
	("$zram" get --control "$control" disksize) || fail 'root cannot'
	if (as "$somebody" "$zram" get --control "$control" disksize); then
		fail 'somebody can'
	fi
	stop
}

directory_of_others() {
	prepare
	(as "$nobody" mkdir -m 0777 "$dir/run/zram")
	chmod 0777 "$dir/run/zram"
	if (as "$nobody" "$zram" serve 64M >"$dir/said" 2>&1); then
		fail 'it served from a directory that others can write to'
	fi
	cat "$dir/said"
	grep -q 'not a directory that only you can use' "$dir/said"
}

# --- privileges --------------------------------------------------------------

has_no_privilege() { # pid
	grep -E '^(Uid|Cap|NoNewPrivs)' "/proc/$1/status"
	test "$(awk '/^CapEff:/ { print $2 }' "/proc/$1/status")" = 0000000000000000
	test "$(awk '/^NoNewPrivs:/ { print $2 }' "/proc/$1/status")" = 1
	test "$(awk '/^Uid:/ { print $2 }' "/proc/$1/status")" != 0
}

without_privilege() {
	need nbdcopy
	prepare
	zram_serve 022
	has_no_privilege "$pid"
	has_no_privilege "$server"
	make_data "$dir/file" 3000000 91
	uri="nbd+unix:///?socket=$dir/run/zram/disk.sock"
	nbdcopy "$dir/file" "$uri"
	nbdcopy "$uri" "$dir/back"
	cmp -n 3000000 "$dir/file" "$dir/back"
	(as "$nobody" "$zram" set --name disk mem_limit 100M)
	(as "$nobody" "$zram" compact --name disk)
	zram_stop
}

# --- what it listens to ------------------------------------------------------

# Inodes of the sockets that a process has.
sockets_of() { # pid...
	for process in "$@"; do
		find "/proc/$process/fd" -type l -exec readlink {} + 2>/dev/null |
			sed -n 's/^socket:\[\([0-9]*\)\]$/\1/p'
	done | sort -u >"$dir/inodes"
}

# Of them those of a table of the kernel: the column of the inode, and what is to be printed.
in_table() { # file, column of the inode, column to print
	test -r "/proc/$server/net/$1" || return 0
	awk -v column="$2" -v shown="$3" 'NR == FNR { own[$1]; next } $column in own { print $shown }' \
		"$dir/inodes" "/proc/$server/net/$1"
}

network() { # local addresses, and protocols, of all sockets that are not Unix sockets
	for table in tcp tcp6 udp udp6 udplite udplite6 raw raw6 icmp icmp6; do
		in_table "$table" 10 2
	done
	in_table packet 9 3
	in_table netlink 10 2
}

unix() { # paths of those that listen
	awk 'NR == FNR { own[$1]; next } $7 in own && $4 == "00010000" { print $8 }' \
		"$dir/inodes" "/proc/$server/net/unix" | sort
}

only_unix_sockets() {
	prepare
	zram_serve 022
	sockets_of "$pid" "$server"
	cat "$dir/inodes"
	test -s "$dir/inodes"
	test -z "$(network)" || fail "it has these sockets: $(network)"
	printf '%s\n' "$dir/run/zram/disk.control" "$dir/run/zram/disk.sock" >"$dir/expected"
	unix | diff "$dir/expected" -
	zram_stop
}

# What finds nothing above finds this.
with_a_port() {
	prepare
	zram_serve 022 --port 0
	sockets_of "$pid" "$server"
	network >"$dir/network"
	cat "$dir/network"
	test -s "$dir/network"
	grep -vE '^(0100007F|00000000000000000000000001000000):' "$dir/network" &&
		fail 'it listens to more than this machine'
	unix | grep -x "$dir/run/zram/disk.control"
	zram_stop
}

# --- what is freed -----------------------------------------------------------

zero_on_free_is_passed_on() { # expected, options...
	expected=$1
	shift
	prepare
	zram_serve 022 "$@"
	(as "$nobody" "$zram" get --name disk zero_on_free) | grep -x "$expected"
	zram_stop
}

for mask in 000 022 077; do
	try "zram serve, umask $mask: sockets and directory are its user's alone" \
		only_its_users "$mask"
done
for mask in 000 022 0777; do
	try "nbdkit, umask $mask: the control socket has mode 0600" control_of_plain_nbdkit "$mask"
done
try 'a control socket that others can see but not use' others_cannot_control
try 'a directory that others can write to is refused' directory_of_others
try 'a disk is served, used and controlled without any privilege' without_privilege
try 'zram serve listens to nothing but its two Unix sockets' only_unix_sockets
try 'with --port it listens to this machine' with_a_port
try 'memory that is freed is zeroed if asked for' zero_on_free_is_passed_on 1 --zero-on-free on
try 'and is not by default' zero_on_free_is_passed_on 0
finish
