# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# Draws a table of bench/plot.awk as SVG: gnuplot -c plot.gp TABLE SVG STYLE LABEL AXIS,
# where STYLE is bars or lines, and LABEL is of the values. AXIS is "-": from 0 on; "one":
# with a line at 1; or "log": the same, on a logarithmic axis.
table = ARG1
style = ARG3
set terminal svg size 920,400 dynamic enhanced font "sans-serif,13" background "#ffffff"
set output ARG2
set datafile separator "\t"
set datafile missing "-"
set termoption noenhanced
set border 3 linecolor rgb "#555555"
set tics nomirror
set grid ytics linecolor rgb "#dddddd"
set key outside right top
set ylabel ARG4
set linetype 1 linecolor rgb "#0b5fa5" linewidth 2
set linetype 2 linecolor rgb "#6fb1e4" linewidth 2
set linetype 3 linecolor rgb "#444444" linewidth 2
set linetype 4 linecolor rgb "#d9822b" linewidth 2
set linetype 5 linecolor rgb "#3f9b57" linewidth 2
set linetype 6 linecolor rgb "#a6508f" linewidth 2
set linetype 7 linecolor rgb "#b8a534" linewidth 2
set yrange [0:*]
if (ARG5 eq "log") {
	set logscale y 2
	set yrange [0.25:*]
}
if (ARG5 ne "-") { set arrow from graph 0, first 1 to graph 1, first 1 nohead linecolor rgb "#b03030" front }
columns = words(system("head -n 1 '" . table . "' | tr '\t ' '\n_'"))
if (style eq "bars") {
	set style data histogram
	set style histogram clustered gap 1
	set style fill solid 0.9 noborder
	set boxwidth 0.9
	set xtics rotate by -25 scale 0
	plot for [i=2:columns+1] table using i:xtic(1) title columnheader(i) linetype i-1
} else {
	set logscale x
	set format x "10^{%L}"
	set termoption enhanced
	set xlabel "objects"
	plot for [i=2:columns+1] table using 1:i with linespoints title columnheader(i) linetype i-1
}
