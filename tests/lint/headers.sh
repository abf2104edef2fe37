#!/bin/sh
# headers.sh -- each header compiles alone, so that a file may include what it needs and nothing else.
#
# CC and LINT_CFLAGS come from the Makefile. Run by hand, it asks pkg-config.
top=$(cd "${srcdir:-$(dirname "$0")/../..}" && pwd) || exit 1
build=${top_builddir:-$PWD}
[ -f "$build/config.h" ] || build=$top/build
: "${CC:=gcc}"
: "${LINT_CFLAGS:=$(pkg-config --cflags libevent_core openssl libnghttp2 lua5.4 yaml-0.1 sqlite3 jansson \
	libprotobuf-c libpcre2-8 libcares libnftables libsystemd 2>/dev/null)}"
build=$(cd "$build" && pwd) || exit 1
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
cd "$top" || exit 1
[ -f "$build/config.h" ] && config="-include $build/config.h"
# shellcheck disable=SC2086 # flags are words
find appliance modules -name '*.h' | sort | xargs -P 2 -n 8 sh -c '
	flags=$1; shift
	for h in "$@"; do
		printf "#include \"%s\"\n#include \"%s\"\n" "$h" "$h" | $flags - || echo "FAIL: $h does not stand alone"
	done' sh "$CC -std=gnu11 -Wall -Wextra -Werror -fsyntax-only -x c $config -Iappliance -Imodules -I. -I$build/proto -I$build $LINT_CFLAGS" \
	>"$out" 2>&1
if [ -s "$out" ]; then
	cat "$out"
	exit 1
fi
echo "every header stands alone"
