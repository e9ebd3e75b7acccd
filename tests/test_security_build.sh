#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# Whether what was built is hardened, by the files that came out. The output is TAP.
# Usage: test_security_build.sh OPTION... -- FILE..., with as options what the build was
# configured to have: canaries, stack-clash, control-flow, fortify; or off, if nothing. What
# the compiler cannot do is not an option and is not looked for.
set -u

options=' '
while test $# != 0 && test "$1" != --; do
	options="$options$1 "
	shift
done
shift
cases=0
failures=0

skip_all() {
	echo "1..0 # SKIP $*"
	exit 0
}

case $options in
*' off '*) skip_all 'configured with -Dhardening=false, or with a sanitizer' ;;
esac
command -v readelf >/dev/null 2>&1 || skip_all 'no readelf here'

check() { # title, function, arguments...
	title=$1
	shift
	cases=$((cases + 1))
	if "$@"; then
		echo "ok $cases - $title"
	else
		echo "not ok $cases - $title"
		failures=$((failures + 1))
	fi
}

has() { # option
	case $options in
	*" $1 "*) return 0 ;;
	esac
	return 1
}

# --- what is looked at -------------------------------------------------------

program_headers() {
	readelf -lW "$1"
}

dynamic() {
	readelf -dW "$1"
}

relro() {
	program_headers "$1" | grep -q GNU_RELRO
}

bound_at_start() {
	dynamic "$1" | grep -q 'FLAGS_1.*NOW'
}

any_address() { # a shared library, or a program that is loaded like one
	readelf -hW "$1" | grep -q 'Type: *DYN' && ! dynamic "$1" | grep -q TEXTREL
}

program_of_any_address() {
	dynamic "$1" | grep -q 'FLAGS_1.*PIE'
}

no_code_on_stack() {
	program_headers "$1" | awk '$1 == "GNU_STACK" { found = 1; bad = /E/ && $7 ~ /E/ }
		END { exit !found || bad }'
}

never_both_written_and_run() {
	program_headers "$1" | awk '$1 == "LOAD" { found++; bad += /RWE/ }
		END { exit !found || bad }'
}

calls() { # file, pattern of a function that it needs
	readelf --dyn-syms -W "$1" | awk '$7 == "UND" { sub(/@.*/, "", $8); print $8 }' | grep -qE "$2"
}

# Where a call through a pointer may end is marked, not only in the few functions of the system's
# start-up code.
marks_targets() {
	command -v objdump >/dev/null 2>&1 || return 0
	test "$(objdump -d --no-show-raw-insn "$1" | grep -cE '\<endbr(64|32)\>')" -gt 20
}

# The compiler notes what it was told, if it makes debug information at all; clang does not.
was_told() { # file, option
	told=$(readelf --debug-dump=info "$1" 2>/dev/null | grep -F 'DW_AT_producer' | grep -F GNU)
	test -z "$told" || ! echo "$told" | grep -F ' C11 ' | grep -vqF -- "$2"
}

for file in "$@"; do
	name=$(basename "$file")
	if ! test -e "$file"; then
		echo "# $name was not built"
		continue
	fi
	check "$name: what is relocated is read-only then" relro "$file"
	check "$name: all functions are bound at the start" bound_at_start "$file"
	check "$name: can be loaded anywhere, and changes no code for it" any_address "$file"
	check "$name: no code on the stack" no_code_on_stack "$file"
	check "$name: no memory is both written and run" never_both_written_and_run "$file"
	case $name in
	*.so*) ;;
	*) check "$name: a program at any address" program_of_any_address "$file" ;;
	esac
	! has canaries || check "$name: canaries" calls "$file" '^__stack_chk_fail$'
	case $name in
	libzsmalloc*) ;; # calls nothing that could be checked
	*) ! has fortify || check "$name: checked functions" calls "$file" '^__[a-z]+_chk$' ;;
	esac
	! has control-flow || check "$name: targets of calls are marked" marks_targets "$file"
	! has stack-clash || check "$name: large stack frames are touched page by page" \
		was_told "$file" -fstack-clash-protection
done
echo "1..$cases"
test "$cases" != 0 && test "$failures" = 0
