#!/usr/bin/python3
# embed.py -- turns the built page's files into one C file: embed.py OUT.c FOLDER
import hashlib
import os
import sys

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".json": "application/json",
}


def literal(data):
    """The bytes as string literals of one line each; three octal digits always, so that no digit runs into the next."""
    table = ["\\%03o" % b if b < 32 or b > 126 or b in b'"\\?' else chr(b) for b in range(256)]
    lines = ("".join(table[b] for b in data[i : i + 96]) for i in range(0, len(data), 96))
    return "\n".join('\t"%s"' % line for line in lines)


def main():
    out, folder = sys.argv[1], sys.argv[2]
    found = []
    for path, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            full = os.path.join(path, name)
            found.append(("/" + os.path.relpath(full, folder).replace(os.sep, "/"), full))
    text = ["/* Made by embed.py from the built page; do not edit. */", '#include "metrics_ui/ui_assets.h"', ""]
    rows = []
    for i, (path, full) in enumerate(found):
        with open(full, "rb") as f:
            data = f.read()
        kind = TYPES.get(os.path.splitext(full)[1])
        if kind is None:
            sys.exit("embed.py: %s: no content type for this kind of file" % full)
        tag = hashlib.sha256(data).hexdigest()[:16]
        text.append("static const char asset_%d[] =\n%s;\n" % (i, literal(data) or '\t""'))
        rows.append('\t{ "%s", "%s", "\\"%s\\"", asset_%d, sizeof(asset_%d) - 1 },' % (path, kind, tag, i, i))
    text.append("const struct ui_asset ui_assets[] = {\n%s\n\t{ 0 },\n};" % "\n".join(rows))
    partial = out + ".tmp"
    with open(partial, "w", encoding="ascii") as f:
        f.write("\n".join(text) + "\n")
    os.replace(partial, out)


main()
