#!/bin/sh
# embed.sh FILE HEADER FUNCTION: prints a C file whose FUNCTION, declared in HEADER, returns FILE's text
# without the lines that are comments.
set -eu
# One string, longer than C99 obliges a compiler to take.
printf '#include "%s"\n\n#pragma GCC diagnostic ignored "-Woverlength-strings"\n\nconst char *%s(void) {\n    return\n' "$2" "$3"
sed -e '/^ *# /d' -e '/^#/d' -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$/\\n"/' "$1"
printf ';\n}\n'
