# SPDX-License-Identifier: GPL-2.0
#
# Makes an SVG of what the bench prints: memory accesses of the longest call by size,
# both logarithmic, a line for each operation.  The dashed line is 10 log2(n).

BEGIN {
	FS = "\t"
	left = 70; top = 20; width = 560; height = 480
	split("#1f77b4 #ff7f0e #2ca02c #d62728 #9467bd #8c564b #e377c2 #7f7f7f #bcbd22 #17becf", colours, " ")
	most_x = 7; most_y = 9
}

function lg(number) { return number > 1 ? log(number) / log(10) : 0 }
function x(size) { return left + (lg(size) - 2) / (most_x - 2) * width }
function y(cost) { return top + height - lg(cost) / most_y * height }

!($1 in points) { names[++count] = $1 }
{ points[$1] = points[$1] sprintf("%.1f,%.1f ", x($2), y($4)) }

END {
	print "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1000\" height=\"540\" font-family=\"sans-serif\" font-size=\"11\">"
	print "<rect width=\"1000\" height=\"540\" fill=\"white\"/>"
	for (power = 2; power <= most_x; power++) {
		printf "<text x=\"%.1f\" y=\"%d\">1e%d</text>\n", x(10 ^ power) - 8, top + height + 16, power
		printf "<path d=\"M%.1f %d v%d\" stroke=\"#ddd\"/>\n", x(10 ^ power), top, height
	}
	for (power = 0; power <= most_y; power++) {
		printf "<text x=\"30\" y=\"%.1f\">1e%d</text>\n", y(10 ^ power) + 4, power
		printf "<path d=\"M%d %.1f h%d\" stroke=\"#ddd\"/>\n", left, y(10 ^ power), width
	}
	for (power = 2; power <= most_x; power += 0.25) {
		limit = limit sprintf("%.1f,%.1f ", x(10 ^ power), y(10 * power / lg(2)))
	}
	printf "<polyline points=\"%s\" fill=\"none\" stroke=\"black\" stroke-dasharray=\"4 4\"/>\n", limit
	for (i = 1; i <= count; i++) {
		colour = colours[(i - 1) % 10 + 1]
		dash = i > 10 ? " stroke-dasharray=\"" (i > 20 ? "2 2" : "8 3") "\"" : ""
		printf "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\"%s/>\n", points[names[i]], colour, dash
		printf "<path d=\"M%d %d h24\" stroke=\"%s\"%s/>\n", left + width + 20, top + i * 20 - 4, colour, dash
		printf "<text x=\"%d\" y=\"%d\">%s</text>\n", left + width + 50, top + i * 20, names[i]
	}
	print "</svg>"
}
