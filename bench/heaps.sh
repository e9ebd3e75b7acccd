# shellcheck shell=sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# What the parts of bench/run that compare allocators share; sourced by them. A subject is a
# pool of ours (zs, zs-manual: without automatic compaction) or a malloc; each program is built
# for both, NAME_zs and NAME_malloc (heap.h). $here and BUILD are set.

# shellcheck source=bench/part.sh
. "${here:?}/part.sh"

mallocs='glibc jemalloc mimalloc tcmalloc'

# The path of a malloc's library if it is installed, else nothing.
library() {
	case $1 in
	tcmalloc) file=libtcmalloc_minimal.so ;;
	*) file=lib$1.so ;;
	esac
	PATH=$PATH:/usr/sbin:/sbin ldconfig -p |
		awk -v file="$file." 'index($1, file) == 1 { print $NF; exit }'
}

# Leaves in mallocs those that are installed.
find_mallocs() {
	found=''
	for malloc in $mallocs; do
		if [ "$malloc" = glibc ] || [ -n "$(library "$malloc")" ]; then
			found="$found $malloc"
		else
			skip "$malloc (not installed)"
		fi
	done
	mallocs=${found# }
}

# run_on SUBJECT PROGRAM [ARGUMENT...], after the words in $under if it is set
run_on() {
	name=$1 program=$BUILD/bench/$2
	shift 2
	# shellcheck disable=SC2086
	case $name in
	zs) ${under:-} "${program}_zs" "$@" ;;
	zs-manual) ${under:-} "${program}_zs" --manual "$@" ;;
	glibc) ${under:-} "${program}_malloc" "$@" ;;
	*) LD_PRELOAD=$(library "$name") ${under:-} "${program}_malloc" "$@" ;;
	esac
}

# MB that may be taken without pushing anything out.
free_mb() {
	awk '$1 == "MemAvailable:" { print int($2 * 1.024 / 1000) }' /proc/meminfo
}
