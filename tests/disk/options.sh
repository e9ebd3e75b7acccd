#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# Parameters that make no sense are refused before the server starts, in a line that says
# which one and why; those that make sense are accepted.
# shellcheck source=tests/disk/disk.sh
. "$(dirname "$0")/disk.sh"

# Says yes once it is ready to serve.
ask() { # parameters...
	nbdkit --unix - "$ZRAM_PLUGIN" "$@" --run 'echo yes' >"$dir/ready" 2>"$dir/said"
}

refused() { # what the line has in it, parameters...
	words=$1
	shift
	if ask "$@"; then
		fail "$* was accepted"
	fi
	cat "$dir/said"
	test ! -s "$dir/ready"
	test "$(wc -l <"$dir/said")" = 1
	for word in $words; do
		grep -qF -e "$word" "$dir/said" || fail "it does not say $word"
	done
}

accepted() { # parameters...
	ask "$@" || {
		cat "$dir/said"
		fail "$* was refused"
	}
	test "$(cat "$dir/ready")" = yes
}

bad() { # words that are said, parameters...
	title=$2
	test $# = 2 || title="$2 $3${4:+ $4}"
	try "refused: $title" refused "$@"
}

good() { # parameters...
	try "accepted: $*" accepted "$@"
}

head -c 100000 /dev/urandom >"$top/dictionary"
: >"$top/empty"
# The start of a dictionary of zstd's, and nothing after it.
printf '\067\244\060\354junk' >"$top/broken"

try 'refused: no size' refused size algorithm=lz4
bad 'size -1' size=-1
bad 'size' size=
bad "size 'X'" size=1X
bad 'four' four
bad '10E' 10E
bad 'size= 9223372036854771712' 9223372036854775807
bad 'colour' 1M colour=red
bad 'algorithm=lz5 lz4 zstd none' 1M algorithm=lz5
bad 'algorithm= lz4' 1M algorithm=
bad 'algorithm=LZ4 lz4' 1M algorithm=LZ4
bad 'level=high' 1M level=high
bad 'level=3x' 1M algorithm=zstd level=3x
bad 'level=99999999999' 1M level=99999999999
bad 'level=1000 zstd' 1M algorithm=zstd level=1000
bad 'block-size=4095 4096 65536' 1M block-size=4095
bad 'block-size=2K 4096' 1M block-size=2K
bad 'block-size=128K 65536' 1M block-size=128K
bad 'block-size=12K power' 1M block-size=12K
bad 'limit=1K' 1M limit=1K
bad '-1G' 1M limit=-1G
bad 'compaction=sometimes auto manual' 1M compaction=sometimes
bad 'checksum=1 on off' 1M checksum=1
bad 'zero-on-free=1 on off' 1M zero-on-free=1
bad 'streams=0 256' 1M streams=0
bad 'streams=257 256' 1M streams=257
bad 'streams=many' 1M streams=many
bad '/nonexistent No such file' 1M dictionary=/nonexistent
bad 'dictionary=/dev/null file' 1M dictionary=/dev/null
try 'refused: an empty dictionary' refused 'dictionary= file' 1M "dictionary=$top/empty"
try 'refused: a dictionary for an algorithm that has no use for it' refused 'dictionary= none' 1M "dictionary=$top/dictionary" \
	algorithm=none
try 'refused: a dictionary that is broken' refused 'dictionary= broken' 1M \
	"dictionary=$top/broken" algorithm=zstd
bad 'control= /nonexistent/socket No such file' 1M control=/nonexistent/socket
bad '/dev/null not socket' 1M control=/dev/null
bad 'control=' 1M control=

good 1
good 9223372036854771712
good size=1M algorithm=lz4 block-size=4K
good 1M algorithm=lz4hc level=12
good 1M algorithm=zstd level=19 block-size=64K
good 1M algorithm=zstd level=-5
good 1M algorithm=none checksum=off
good 1M compaction=manual streams=1
good 1M zero-on-free=on
good 1M streams=256
good 1M limit=8M
try 'accepted: a dictionary' accepted 1M "dictionary=$top/dictionary"
try 'accepted: a dictionary for zstd' accepted 1M "dictionary=$top/dictionary" algorithm=zstd
finish
