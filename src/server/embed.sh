#!/bin/sh
# embed.sh FILE HEADER FUNCTION: prints a C file whose FUNCTION, declared in HEADER, returns FILE's text
# without the lines that are comments.
set -eu
printf '#include "%s"\n\nconst char *%s(void) {\n    return\n' "$2" "$3"
sed -e '/^#/d' -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$/\\n"/' "$1"
printf ';\n}\n'
