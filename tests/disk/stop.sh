#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# A server that is told to stop stops, whatever its clients are doing, and leaves nothing
# behind; one that was killed is in nobody's way.
# shellcheck source=tests/disk/disk.sh
. "$(dirname "$0")/disk.sh"

# One request at a time on each of several connections: when more of one connection are under
# way, nbdkit 1.32 itself may give up (raw_send_socket: Assertion `sock >= 0'), whatever the
# plugin.

# Until the load is really on.
await_requests() { # how many
	until test "$(figure writes)" -ge "$1"; do
		kill -0 "$load" || fail 'the load has ended already'
		sleep 0.02
	done
}

end_of_load() {
	wait "$load" && fail 'the load went on without a server'
	cat "$dir/load.log"
}

signal_under_load() { # signal, parameters...
	need fio
	fio --enghelp | grep -qw nbd || skip 'this fio has no NBD engine'
	signal=$1
	shift
	serve size=64M "$@"
	fio --name=load --ioengine=nbd --uri="$uri" --output="$dir/load.log" --aux-path="$dir" \
		--rw=randrw --bs=4k --size=64m --iodepth=1 --thread=1 --numjobs=8 --time_based=1 \
		--runtime=600 &
	load=$!
	at_end "kill $load 2>/dev/null; wait $load"
	await_requests 2000
	kill "-$signal" "$pid"
	wait "$pid" || fail "nbdkit ended with $?"
	test ! -e "$control"
	end_of_load
}

stop_amid_a_copy() {
	need nbdcopy
	serve size=1T algorithm=zstd
	nbdcopy --requests=1 -- [ "$(command -v nbdkit)" --exit-with-parent pattern 1T ] "$uri" \
		>"$dir/load.log" 2>&1 &
	load=$!
	at_end "kill $load 2>/dev/null; wait $load"
	await_requests 200
	stop
	end_of_load
}

# nbdkit waits until a client that does nothing goes.
client_that_does_nothing() {
	need nbdfuse
	test -w /dev/fuse || skip 'no access to /dev/fuse'
	serve size=1M
	attach_file
	kill "$pid"
	detach_file || true
	wait "$pid" || fail "nbdkit ended with $?"
	test ! -e "$control"
}

control_clients() {
	serve size=1M
	"$ZRAM_TOOL" get --control "$control" disksize >/dev/null
	"$ZRAM_TOOL" top --control "$control" >/dev/null 2>&1 </dev/null &
	at_end "kill $! 2>/dev/null; wait $!"
	stop
}

after_a_kill() {
	serve size=1M
	kill -KILL "$pid"
	wait "$pid" || true
	test -S "$control"
	rm -f "$socket" "$dir/pid"
	serve size=2M
	test "$(figure disksize)" = 2097152
	stop
}

# Two servers with one control socket: the second is refused, the first one's stays.
control_in_use() {
	serve size=1M
	if nbdkit --foreground --unix "$dir/second" --run 'exit 0' "$ZRAM_PLUGIN" size=1M \
		"control=$control" 2>"$dir/said"; then
		fail 'a second server took the control socket'
	fi
	cat "$dir/said"
	test "$(figure disksize)" = 1048576
	stop
}

control_is_private() {
	umask 0
	serve size=1M
	test "$(stat -c %a "$control")" = 600
	stop
}

# The tool's server: it ends with the tool, and nothing is left of either.
tool() { # signal
	need nbdcopy
	make_data "$dir/file" 1000000 41
	"$ZRAM_TOOL" serve --size 1000000 --socket "$dir/socket" --control "$dir/control" \
		--name "test-$$-$cases" >"$dir/serve.log" 2>&1 &
	pid=$!
	at_end "kill $pid 2>/dev/null; wait $pid; cat $dir/serve.log"
	until grep -q '^To end it' "$dir/serve.log"; do
		kill -0 $pid 2>/dev/null || fail 'zram serve has ended'
		sleep 0.02
	done
	uri=$(sed -n 's/^ *\(nbd+unix:[^ ]*\)$/\1/p' "$dir/serve.log")
	nbdcopy "$dir/file" "$uri"
	nbdcopy "$uri" - | cmp - "$dir/file"
	kill "-$1" $pid
	wait $pid || fail "zram serve ended with $?"
	test ! -e "$dir/socket"
	test ! -e "$dir/control"
}

try 'SIGTERM under load' signal_under_load TERM
try 'SIGINT under load' signal_under_load INT algorithm=zstd
try 'SIGTERM under load at the memory limit' signal_under_load TERM limit=8M
try 'SIGTERM amid a copy' stop_amid_a_copy
try 'SIGTERM while a client does nothing' client_that_does_nothing
try 'SIGTERM while the control socket is in use' control_clients
try 'a server that was killed leaves no obstacle' after_a_kill
try 'a control socket that is in use is not taken over' control_in_use
try 'the control socket is its owner'"'"'s alone, whatever the umask' control_is_private
try 'zram serve ends on SIGTERM and leaves nothing' tool TERM
try 'zram serve ends on SIGHUP and leaves nothing' tool HUP
finish
