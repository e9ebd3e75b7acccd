#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# make run: it copies, compares, tells, and fails if a byte differs.
# shellcheck source=tests/disk/disk.sh
. "$(dirname "$0")/disk.sh"

source=$(cd "$(dirname "$0")/../.." && pwd)

# Files for it; the disks of whoever runs the tests are left alone.
prepare() {
	need nbdcopy
	mkdir "$dir/files"
	make_data "$dir/files/one" 5000000 51
	make_data "$dir/files/other" 5000000 52
	BUILD=$(dirname "$(dirname "$ZRAM_TOOL")") MIB=8 FILES=$dir/files XDG_RUNTIME_DIR=$dir
	export BUILD MIB FILES XDG_RUNTIME_DIR
}

run() { # options of zram serve...
	"$source/scripts/run-disk" "$@"
}

nothing_is_left() {
	test -z "$(find "$dir/zram" -type f -o -type s)"
}

without_a_terminal() {
	prepare
	run >"$dir/out"
	cat "$dir/out"
	grep -q 'All 8 MiB came back' "$dir/out"
	grep -q 'memory taken' "$dir/out"
	grep -q 'nbd+unix://' "$dir/out"
	nothing_is_left
}

with_options() {
	prepare
	run --algorithm zstd --block-size 64K >"$dir/out"
	grep -q 'zstd, blocks of 64 KiB' "$dir/out"
}

# A client that changes a byte of what it reads.
byte_differs() {
	prepare
	mkdir "$dir/bin"
	cat >"$dir/bin/nbdcopy" <<END
#!/bin/sh
case \$2 in
-) $(command -v nbdcopy) "\$@" | sed '1s/./#/' ;;
*) $(command -v nbdcopy) "\$@" ;;
esac
END
	chmod +x "$dir/bin/nbdcopy"
	PATH=$dir/bin:$PATH
	if run >"$dir/out" 2>&1; then
		fail 'it did not see the difference'
	fi
	cat "$dir/out"
	grep -q 'is not what was written' "$dir/out"
	nothing_is_left
}

disk_too_small() {
	prepare
	if run --limit 1M >"$dir/out" 2>&1; then
		fail '8 MiB fitted into 1 MiB'
	fi
	cat "$dir/out"
	grep -q 'copy to the disk failed' "$dir/out"
	nothing_is_left
}

nobody_reads() {
	prepare
	{
		run
		echo $? >"$dir/code"
	} 2>/dev/null | head -n 1
	test "$(cat "$dir/code")" != 0
	nothing_is_left
}

# Ctrl-C is what ends it.
in_a_terminal() {
	need script
	# Whatever the user's is: script(1) hands its command to it.
	SHELL=/bin/sh
	export SHELL
	script -qec true /dev/null </dev/null >/dev/null || skip 'no terminals can be had here'
	prepare
	mkfifo "$dir/keys"
	# What a script starts in the background is deaf to Ctrl-C unless told otherwise. exec: a
	# shell of script(1) that stayed would end of the key by itself, and its 130 be what is seen.
	env --default-signal=INT script --quiet --return --flush \
		--command "exec '$source/scripts/run-disk'" "$dir/out" <"$dir/keys" >/dev/null &
	terminal=$!
	at_end "kill $terminal 2>/dev/null; wait $terminal; cat $dir/out"
	exec 9>"$dir/keys"
	until grep -q 'To end it' "$dir/out"; do
		kill -0 "$terminal" 2>/dev/null || fail 'it has ended by itself'
		sleep 0.02
	done
	uri=$(sed -n 's/^ *\(nbd+unix:[^ ]*\).$/\1/p' "$dir/out" | head -n 1)
	nbdinfo --size "$uri" | grep -x 8388608
	printf '\003' >&9
	wait "$terminal"
	exec 9>&-
	nothing_is_left
}

try 'without a terminal it copies, compares, tells and ends' without_a_terminal
try 'the options of zram serve' with_options
try 'a byte that differs is an error' byte_differs
try 'a copy that fails is an error' disk_too_small
try 'when nobody reads what it says it ends and leaves nothing' nobody_reads
try 'in a terminal it goes on serving until Ctrl-C' in_a_terminal
finish
