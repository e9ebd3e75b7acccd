#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# Whether bench/report says what results that were made up come to. The output is TAP.
set -u

bench=$(dirname "$0")/../bench
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cases=0
failures=0

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

has() { # line of the page
	grep -qxF -- "$1" "$work/docs/BENCHMARKS.md" || {
		echo "# there is no line: $1"
		return 1
	}
}

has_not() { # part of a line
	! grep -qF -- "$1" "$work/docs/BENCHMARKS.md"
}

# Blanks for tabs, and a variant's inner blanks as "_": fields are easier to read so.
fields() {
	tr ' _' '\t ' >"$1"
}

mkdir "$work/results"
fields "$work/results/allocators.tsv" <<'END'
#measure variant subject unit round value
fill 9_MB,_1_thread zs ns 1 100
fill 9_MB,_1_thread glibc ns 1 80
fill 9_MB,_1_thread mimalloc ns 1 50.0
fill 9_MB,_1_thread jemalloc ns 1 60
fill 9_MB,_1_thread zs ns 2 130
fill 9_MB,_1_thread mimalloc ns 2 50.0
fill 9_MB,_1_thread zs ns 3 9
map 9_MB,_1_thread zs ns 1 12.5
fill 9_MB,_2_threads zs ns 1 54
END
fields "$work/results/store.tsv" <<'END'
#measure variant subject unit round value
read lz4,_memory store ns/page 1 1000
read lz4,_memory raw ns/page 1 950
read zstd,_memory store ns/page 1 2500
read zstd,_memory raw ns/page 1 2000
rate lz4,_memory store ops/s 1 500
rate lz4,_memory raw ops/s 1 100
END
fields "$work/targets" <<'END'
#part measure variant subject relation factor reference
allocators fill *,_1_thread zs <= 1.00 fastest-malloc
allocators fill *,_1_thread zs <= 1.70 median-malloc
allocators fill *,_2_threads zs <= 0.5405 zs@*,_1_thread
allocators map *,_1_thread zs <= 10 1
store read * store <= 1.11 raw
store rate * store >= 6.00 raw
store rate * store < 5.01 raw
store write * store <= 1.00 raw
END
echo 'skipped: tcmalloc (not installed)' >"$work/results/skipped"
echo 'processor: an abacus' >"$work/results/machine"
cat >"$work/text" <<'END'
# Title
@machine
@skipped
## Stand
@stand
## Lost
@lost
## Tables
@tables allocators
@tables store variants
@tables growth
@plot growth-malloc Growth
END

make_report() {
	sh "$bench/report" "$work/results" "$work/docs" "$work/targets" "$work/text" >"$work/out" 2>&1
	status=$?
	sed 's/^/# /' "$work/out"
	return $status
}
check 'the report is made' make_report
check 'text stays' has '# Title'
check 'the machine is described' has '- processor: an abacus'
check 'who was skipped is named' has '- tcmalloc (not installed)'
check 'a row has medians, and the spread of several rounds' has \
	'| fill | ns | 100 (9.00-130) | 80.0 | 50.0 | 60.0 | zs 2.000 × mimalloc: **missed**; zs 1.667 × the median malloc: met |'
check 'who was not measured has no figure' has '| map | ns | 12.5 | - | - | - | zs 12.5: **missed** |'
check 'variants can be rows' has '| zstd, memory | ns/page | 2500 | 2000 | store 1.250 × raw: **missed** |'
check 'a row without any figure is left out' has_not '| zstd, memory |  |'
check 'targets are counted' has \
	'3 of 8 targets are met, 4 are missed, 1 were not measured.'
check 'the fastest malloc is the one of the least time' has \
	'| allocators | fill | 9 MB, 1 thread | zs ≤ 1.00 × the fastest malloc | 2.000 × mimalloc (100 / 50.0 ns) | **missed** |'
check 'the median malloc is in the middle' has \
	'| allocators | fill | 9 MB, 1 thread | zs ≤ 1.70 × the median malloc | 1.667 × the median malloc (100 / 60.0 ns) | met |'
check 'threads are compared with one thread' has \
	'| allocators | fill | 9 MB, 2 threads | zs ≤ 0.54 × itself at 1 thread | 0.540 × zs at 9 MB, 1 thread (54.0 / 100 ns) | met |'
check 'a value can be limited itself' has \
	'| allocators | map | 9 MB, 1 thread | zs ≤ 10 ns | 12.5 ns | **missed** |'
check 'of several variants the worst counts' has \
	'| store | read | any | store ≤ 1.11 × raw | 1.250 × raw (2500 / 2000 ns/page), zstd, memory | **missed** (1 of 2) |'
check 'more is better of rates' has \
	'| store | rate | lz4, memory | store ≥ 6.00 × raw | 5.000 × raw (500 / 100 ops/s) | **missed** |'
check 'a target that nobody measured is not met' has \
	'| store | write | any | store ≤ 1.00 × raw | - | not measured |'
check 'where we lose names the worst' has \
	'- **store, read**, zstd, memory: store 1.250 × raw (2500 / 2000 ns/page); aimed at ≤ 1.11 × raw; missed on 1 of 2.'
check 'the farthest off comes first' test \
	"$(sed -n '/^## Lost/,/^## Tables/s/^- \*\*\([a-z, ]*\).*/\1/p' "$work/docs/BENCHMARKS.md" | tr '\n' ';')" \
	= 'allocators, fill;allocators, map;store, rate;store, read;'
check 'what is met is not where we lose' has_not '**, 9 MB, 2 threads'
check 'a part without results says so' has 'Not measured.'
check 'a picture without results is left out' has_not '!['
echo "1..$cases"
test "$failures" = 0
