#!/bin/sh
# banned.sh -- functions that are called through base/ alone, because there they are safe or can fail in one place.
#
# Comments and texts in quotes do not count. A line that must break the rule says why: /* lint: allow, ... */
# appliance/demo is left out: the lab's applications stand for other people's code and link nothing of ours.
top=${srcdir:-$(dirname "$0")/../..}
cd "$top" || exit 1
find appliance modules -name '*.[ch]' ! -path 'appliance/base/*' ! -path 'appliance/demo/*' | sort | xargs awk '
BEGIN {
	words = "strcpy strcat sprintf vsprintf gets strtok atoi malloc calloc realloc strdup strndup assert usleep"
	n = split(words, banned, " ")
}
FNR == 1 { in_comment = 0 }
{
	line = $0
	allowed = line ~ /lint: allow/
	code = ""
	while (line != "") {
		if (in_comment) {
			end = index(line, "*/")
			if (end == 0)
				break
			line = substr(line, end + 2)
			in_comment = 0
		} else if (substr(line, 1, 2) == "/*") {
			in_comment = 1
			line = substr(line, 3)
		} else if (substr(line, 1, 2) == "//") {
			break
		} else if (match(line, /^"([^"\\]|\\.)*"/) || match(line, /^\047([^\047\\]|\\.)*\047/)) {
			line = substr(line, RLENGTH + 1)
			code = code " "
		} else {
			code = code substr(line, 1, 1)
			line = substr(line, 2)
		}
	}
	if (allowed)
		next
	for (i = 1; i <= n; i++)
		if (code ~ ("(^|[^A-Za-z0-9_>.])" banned[i] "[ \t]*\\(")) {
			print FILENAME ":" FNR ": " banned[i] "() is called through base/ alone"
			bad = 1
		}
}
END { exit bad }' || { echo "FAIL: banned words (why: tests/lint/banned.sh)"; exit 1; }
echo "no banned words"
