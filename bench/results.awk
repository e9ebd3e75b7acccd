# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# Reads bench/results/PART.tsv while kind is "results": medians over the rounds, in the order
# of first appearance, and what a subject is compared with. Needs median.awk.

function is_malloc(subject)
{
	return subject ~ /^(glibc|jemalloc|mimalloc|tcmalloc)$/
}

function more_is_better(unit)
{
	return unit ~ /\/s$/
}

# Appends to the list of a key what is not in it yet.
function note(list, key, word)
{
	if ((list, key, word) in noted)
		return
	noted[list, key, word]
	names[list, key, ++counts[list, key]] = word
}

function has(part, measure, variant, subject)
{
	return (part, measure, variant, subject) in values
}

function value(part, measure, variant, subject)
{
	return median(values[part, measure, variant, subject])
}

# Whether a name is of a pattern with at most one "*" in it; sets starred to what that
# stands for.
function matches(name, pattern, at, tail)
{
	starred = ""
	at = index(pattern, "*")
	if (!at)
		return name == pattern
	tail = substr(pattern, at + 1)
	if (length(name) < length(pattern) - 1 || substr(name, 1, at - 1) != substr(pattern, 1, at - 1) ||
	    substr(name, length(name) - length(tail) + 1) != tail)
		return 0
	starred = substr(name, at, length(name) - length(pattern) + 1)
	return 1
}

# The mallocs by value, the fastest (or the one that takes least) first; their number.
function sort_mallocs(part, measure, variant, i, j, n, subject, sign)
{
	sign = more_is_better(units[part, measure, variant]) ? -1 : 1
	n = 0
	for (i = 1; i <= counts["subjects", part]; i++) {
		subject = names["subjects", part, i]
		if (!is_malloc(subject) || !has(part, measure, variant, subject))
			continue
		for (j = ++n; j > 1 && sign * value(part, measure, variant, sorted[j - 1]) > \
		     sign * value(part, measure, variant, subject); j--)
			sorted[j] = sorted[j - 1]
		sorted[j] = subject
	}
	return n
}

# What a reference of targets.tsv comes to, "" if it was not measured; reference_name says
# who that is. "*" in a variant is what the target's "*" stood for. "subject@variant" is the
# same measure elsewhere.
function reference(part, measure, variant, name, star, n, at)
{
	reference_name = name
	if (name == "1")
		return 1
	if (name == "fastest-malloc") {
		n = sort_mallocs(part, measure, variant)
		reference_name = n ? sorted[1] : name
	} else if (name == "median-malloc") {
		n = sort_mallocs(part, measure, variant)
		if (!n)
			return ""
		reference_name = "the median malloc"
		return (value(part, measure, variant, sorted[int((n + 1) / 2)]) + \
			value(part, measure, variant, sorted[int(n / 2) + 1])) / 2
	} else if ((at = index(name, "@"))) {
		variant = substr(name, at + 1)
		name = substr(name, 1, at - 1)
		sub(/\*/, star, variant)
		reference_name = name " at " variant
		return has(part, measure, variant, name) ? value(part, measure, variant, name) : ""
	}
	if (!has(part, measure, variant, reference_name))
		return ""
	return value(part, measure, variant, reference_name)
}

kind == "results" && FNR == 1 {
	part = FILENAME
	sub(/.*\//, "", part)
	sub(/\.tsv$/, "", part)
}

kind == "results" && !/^#/ && NF == 6 {
	key = part SUBSEP $1 SUBSEP $2
	values[key, $3] = values[key, $3] " " $6
	units[key] = $4
	note("variants", part, $2)
	note("measures", part, $1)
	note("subjects", part, $3)
}
