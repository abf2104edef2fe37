#!/bin/sh
# sizes.sh -- prints the ten longest files and functions: that is where two ideas share one room. Never fails.
cd "${srcdir:-$(dirname "$0")/../..}" || exit 1
files=$(find appliance modules -name '*.c' | sort)
echo "longest files:"
# shellcheck disable=SC2086 # no name holds a blank
wc -l $files | grep -v ' total$' | sort -rn | head -10
echo "longest functions:"
# shellcheck disable=SC2086
awk '/^[a-z_][A-Za-z0-9_]*\(/ { name = $0; sub(/\(.*/, "", name) }
	/^\{/ { start = FNR }
	/^\}/ && start { print FNR - start + 1, FILENAME ":" start, name; start = 0 }' $files | sort -rn | head -10
