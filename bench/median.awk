# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# The median of numbers with blanks between them.

function median(list, values, count, i, j, swap)
{
	count = split(list, values, " ")
	for (i = 2; i <= count; i++) {
		for (j = i; j > 1 && values[j - 1] + 0 > values[j] + 0; j--) {
			swap = values[j]
			values[j] = values[j - 1]
			values[j - 1] = swap
		}
	}
	if (count % 2)
		return values[(count + 1) / 2] + 0
	return (values[count / 2] + values[count / 2 + 1]) / 2
}
