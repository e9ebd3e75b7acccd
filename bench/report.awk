# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# Renders docs/BENCHMARKS.md: bench/BENCHMARKS.md.in with a line "@what" replaced by
#   @machine             what the results were measured on
#   @skipped             what was left out
#   @stand               every target: value, limit, met or missed
#   @lost                the missed ones, the worst first
#   @tables PART [rows]  medians and spread; rows are measures, or variants if it says so
#   @plot NAME TITLE     the picture, if it was drawn
# Reads files of the kinds results, machine, skipped, targets and text, in this order; plots
# is a list of the pictures. Needs median.awk and results.awk.

function number(amount, unit)
{
	if (unit == "B/B" || unit == "ratio" || amount < 1)
		return sprintf("%.3f", amount)
	return sprintf((amount >= 100 ? "%.0f" : (amount >= 10 ? "%.1f" : "%.2f")), amount)
}

# The median, and behind it the least and the most if there were several rounds.
function cell(part, measure, variant, subject, unit, list, n, i, least, most)
{
	if (!has(part, measure, variant, subject))
		return "-"
	n = split(values[part, measure, variant, subject], list, " ")
	least = most = list[1] + 0
	for (i = 2; i <= n; i++) {
		least = list[i] + 0 < least ? list[i] + 0 : least
		most = list[i] + 0 > most ? list[i] + 0 : most
	}
	n = number(value(part, measure, variant, subject), unit)
	least = number(least, unit)
	most = number(most, unit)
	return least == most ? n : n " (" least "-" most ")"
}

function is_met(ratio, relation, factor)
{
	return relation == "<=" ? ratio <= factor : (relation == "<" ? ratio < factor : ratio >= factor)
}

# Patterns and references of targets.tsv, for people.
function words(text)
{
	gsub(/\*/, "any", text)
	return text
}

function reference_words(t, name, at)
{
	name = target[t, 7]
	at = index(name, "@")
	if (at)
		name = (substr(name, 1, at - 1) == target[t, 4] ? "itself" : substr(name, 1, at - 1)) " at " \
			substr(name, at + 1)
	sub(/\*, /, "", name)
	sub(/^fastest-malloc$/, "the fastest malloc", name)
	sub(/^median-malloc$/, "the median malloc", name)
	return name
}

# What a target asks for: a limit of the value itself, or of a ratio.
function aim(t, unit, relation)
{
	relation = target[t, 5] == "<=" ? "≤" : (target[t, 5] == ">=" ? "≥" : target[t, 5])
	if (target[t, 7] == "1")
		return relation " " target[t, 6] (unit == "" ? "" : " " unit)
	return sprintf("%s %.2f × %s", relation, target[t, 6], reference_words(t))
}

# How far a ratio is off: above 1 the target is missed.
function distance(t, ratio)
{
	return target[t, 5] == ">=" ? target[t, 6] / ratio : ratio / target[t, 6]
}

# A target on one variant: a verdict next to its row, the worst of its variants kept.
function judge(t, variant, star, part, measure, subject, unit, ours, base, ratio, met, how)
{
	part = target[t, 1]
	measure = target[t, 2]
	subject = target[t, 4]
	if (!has(part, measure, variant, subject))
		return
	unit = units[part, measure, variant]
	base = reference(part, measure, variant, target[t, 7], star)
	if (base == "" || base <= 0)
		return
	ours = value(part, measure, variant, subject)
	ratio = ours / base
	met = is_met(ratio, target[t, 5], target[t, 6] + 0)
	how = sprintf("%.3f × %s", ratio, reference_name)
	if (target[t, 7] == "1")
		how = number(ours, unit)
	verdicts[part, measure, variant] = verdicts[part, measure, variant] \
		(verdicts[part, measure, variant] == "" ? "" : "; ") \
		subject " " how ": " (met ? "met" : "**missed**")
	judged[t]++
	met_on[t] += met
	if (target[t, 7] != "1")
		how = how " (" number(ours, unit) " / " number(base, unit) " " unit ")"
	else
		how = how " " unit
	if (judged[t] == 1 || distance(t, ratio) > farthest[t]) {
		farthest[t] = distance(t, ratio)
		worst[t] = how
		worst_variant[t] = variant
	}
}

function judge_all(t, i, part)
{
	for (t = 1; t <= targets; t++) {
		part = target[t, 1]
		for (i = 1; i <= counts["variants", part]; i++) {
			if (matches(names["variants", part, i], target[t, 3]))
				judge(t, names["variants", part, i], starred)
		}
		if (!judged[t])
			unmeasured++
		else if (met_on[t] == judged[t])
			met_count++
		else
			lose(t)
	}
}

# Sorted in: the farther off the higher up.
function lose(t, i)
{
	for (i = ++lost; i > 1 && farthest[losing[i - 1]] < farthest[t]; i--)
		losing[i] = losing[i - 1]
	losing[i] = t
}

function verdict(t)
{
	if (!judged[t])
		return "not measured"
	if (judged[t] == 1)
		return met_on[t] ? "met" : "**missed**"
	return (met_on[t] == judged[t] ? "met" : "**missed**") " (" met_on[t] " of " judged[t] ")"
}

function print_stand(t, unit)
{
	printf "%d of %d targets are met, %d are missed, %d were not measured.\n\n", met_count, targets, lost, \
		unmeasured
	print "| part | measure | on | aimed at | the worst of it | |"
	print "|---|---|---|---|---|---|"
	for (t = 1; t <= targets; t++) {
		unit = units[target[t, 1], target[t, 2], worst_variant[t]]
		print "| " target[t, 1] " | " target[t, 2] " | " (judged[t] == 1 ? worst_variant[t] : words(target[t, 3])) \
			" | " target[t, 4] " " aim(t, unit) " | " (judged[t] ? worst[t] : "-") \
			(judged[t] > 1 ? ", " worst_variant[t] : "") " | " verdict(t) " |"
	}
}

function print_lost(i, t)
{
	if (!lost)
		print "Nowhere, of what is aimed at and was measured."
	for (i = 1; i <= lost; i++) {
		t = losing[i]
		print "- **" target[t, 1] ", " target[t, 2] "**, " worst_variant[t] ": " target[t, 4] " " worst[t] \
			"; aimed at " aim(t, units[target[t, 1], target[t, 2], worst_variant[t]]) \
			(judged[t] > 1 ? "; missed on " judged[t] - met_on[t] " of " judged[t] : "") "."
	}
}

function print_row(part, measure, variant, title, s, line)
{
	if (!((part, measure, variant) in units))
		return
	line = "| " title " | " units[part, measure, variant]
	for (s = 1; s <= columns; s++)
		line = line " | " cell(part, measure, variant, column[s], units[part, measure, variant])
	print line " | " verdicts[part, measure, variant] " |"
}

# Those of the subjects that have a value in the table; sets column and columns.
function find_columns(part, fixed, by_variant, s, r, subject, found)
{
	columns = 0
	for (s = 1; s <= counts["subjects", part]; s++) {
		subject = names["subjects", part, s]
		found = 0
		for (r = 1; r <= counts[(by_variant ? "variants" : "measures"), part] && !found; r++)
			found = by_variant ? has(part, fixed, names["variants", part, r], subject) : \
				has(part, names["measures", part, r], fixed, subject)
		if (found)
			column[++columns] = subject
	}
}

# A table for each variant with a row for each measure, or the other way.
function print_tables(part, by_variant, outer, inner, i, j, fixed, s)
{
	outer = by_variant ? "measures" : "variants"
	inner = by_variant ? "variants" : "measures"
	if (!counts[outer, part])
		print "Not measured."
	for (i = 1; i <= counts[outer, part]; i++) {
		fixed = names[outer, part, i]
		find_columns(part, fixed, by_variant)
		printf "%s| %s | unit", (i > 1 ? "\n" : ""), fixed
		for (s = 1; s <= columns; s++)
			printf " | %s", column[s]
		printf " | target |\n|---|---"
		for (s = 1; s <= columns; s++)
			printf "|---"
		print "|---|"
		for (j = 1; j <= counts[inner, part]; j++) {
			if (by_variant)
				print_row(part, fixed, names[inner, part, j], names[inner, part, j])
			else
				print_row(part, names[inner, part, j], fixed, names[inner, part, j])
		}
	}
}

BEGIN {
	FS = "\t"
}

kind == "machine" || kind == "skipped" {
	sub(/^skipped: /, "")
	kept[kind, ++kept_count[kind]] = "- " $0
}

kind == "targets" && !/^#/ && NF == 7 {
	targets++
	for (i = 1; i <= 7; i++)
		target[targets, i] = $i
}

kind == "text" && FNR == 1 {
	judge_all()
}

kind == "text" && !/^@/ {
	print
}

kind == "text" && /^@/ {
	split(substr($0, 2), word, " ")
	if (word[1] == "stand")
		print_stand()
	else if (word[1] == "lost")
		print_lost()
	else if (word[1] == "tables")
		print_tables(word[2], word[3] == "variants")
	else if (word[1] == "plot" && index(" " plots " ", " " word[2] " "))
		print "![" substr($0, length("@plot " word[2] " ") + 1) "](benchmarks/" word[2] ".svg)"
	else if (word[1] == "machine" || word[1] == "skipped") {
		if (!kept_count[word[1]])
			print "- nothing"
		for (i = 1; i <= kept_count[word[1]]; i++)
			print kept[word[1], i]
	}
}
