#!/bin/sh
# layers.sh -- no file may include a higher floor (appliance/LAYERS), no role another role.
#
# A file of a floor includes its own folder and the floors above its line in LAYERS; files directly in appliance/ include
# every floor; a role includes its own folder and every floor. Generated *.pb-c.h belong to no floor, but base and codec
# know nothing of them. appliance/demo are the lab's applications, which know nothing of the mesh: their folder alone.
top=${srcdir:-$(dirname "$0")/../..}
cd "$top" || exit 1
find appliance modules -name '*.[ch]' | sort | xargs awk -v layers=appliance/LAYERS '
BEGIN {
	while ((getline line < layers) > 0)
		if (line !~ /^#/ && line != "")
			rank[line] = ++n
}
FNR == 1 {
	parts = split(FILENAME, p, "/")
	is_role = p[1] == "modules"
	is_top = parts == 2
	where = p[2]
	if (!is_top && !is_role && where != "demo" && !(where in rank)) {
		print FILENAME ": appliance/" where " is no floor of appliance/LAYERS"
		bad = 1
	}
}
/^#[ \t]*include[ \t]+"/ {
	split($0, q, "\"")
	depth = split(q[2], d, "/")
	if (q[2] ~ /\.\./)
		why = "climbs out of its folder"
	else if (q[2] ~ /\.pb-c\.h$/)
		why = where == "base" || where == "codec" ? "is a generated message" : ""
	else if (depth == 1)
		why = ""
	else if (where == "demo")
		why = d[1] == where ? "" : "is of the mesh"
	else if (is_role)
		why = d[1] == where || d[1] in rank ? "" : "is neither this role nor a floor"
	else if (!(d[1] in rank))
		why = "is no floor"
	else
		why = is_top || rank[d[1]] <= rank[where] ? "" : "is a higher floor"
	if (why != "") {
		print FILENAME ":" FNR ": " where " may not include " q[2] ", which " why
		bad = 1
	}
}
END { exit bad }' || { echo "FAIL: includes that break the floors (see appliance/LAYERS)"; exit 1; }
echo "the floors hold"
