# shellcheck shell=sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# What the parts of bench/run share; sourced by them. A part writes one file of lines
# of measure, variant, subject, unit, round, value. RESULTS is set.

# begin PART: what is put from now on goes to its TSV
begin() {
	tsv=$RESULTS/$1.tsv
	mkdir -p "$RESULTS"
	printf '#measure\tvariant\tsubject\tunit\tround\tvalue\n' >"$tsv"
}

# put VARIANT SUBJECT ROUND: lines of measure, unit, value to the part's TSV
put() {
	awk -F '\t' -v OFS='\t' -v variant="$1" -v subject="$2" -v round="$3" \
		'{ print $1, variant, subject, $2, round, $3 }' >>"$tsv"
}

# Said once, however many parts say it.
skip() {
	grep -qsxF "skipped: $*" "$RESULTS/skipped" && return
	echo "skipped: $*" | tee -a "$RESULTS/skipped"
}
