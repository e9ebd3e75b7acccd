# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# What one picture of bench/plots.tsv shows, as a table for gnuplot: a column for each
# subject, a row for each measure of the variant "select", or for each variant of the
# measure "select"; of the unit, and with names of rows like "only". With a reference, values are
# ratios to it. Variants that begin with a number are rows of numbers. Needs median.awk and
# results.awk.

function shown(part, measure, variant)
{
	return (part, measure, variant) in units && (unit == "" || units[part, measure, variant] == unit)
}

# The first variant of the pattern that has what is to be shown.
function find_variant(part, i, j)
{
	for (i = 1; i <= counts["variants", part]; i++) {
		for (j = 1; j <= counts["measures", part]; j++) {
			if (matches(names["measures", part, j], only) && \
			    matches(names["variants", part, i], select) && \
			    shown(part, names["measures", part, j], names["variants", part, i]))
				return names["variants", part, i]
		}
	}
	return ""
}

function row(title, measure, variant, base, i)
{
	base = relative == "-" ? 1 : reference(part, measure, variant, relative)
	if (!matches(title, only) || !shown(part, measure, variant) || base == "" || base <= 0)
		return
	if (!rows_shown++) {
		for (i = 1; i <= counts["subjects", part]; i++)
			printf "\t%s", names["subjects", part, i]
		print ""
	}
	printf "%s", title
	for (i = 1; i <= counts["subjects", part]; i++)
		printf "\t%s", has(part, measure, variant, names["subjects", part, i]) ? \
			value(part, measure, variant, names["subjects", part, i]) / base : "-"
	print ""
}

BEGIN {
	FS = "\t"
}

END {
	if (rows == "variants") {
		for (i = 1; i <= counts["variants", part]; i++)
			row(names["variants", part, i], select, names["variants", part, i])
	} else if ((variant = find_variant(part)) != "") {
		for (i = 1; i <= counts["measures", part]; i++)
			row(names["measures", part, i], names["measures", part, i], variant)
	}
}
