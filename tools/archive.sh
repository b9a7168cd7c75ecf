#!/bin/sh
# archive.sh: makes one static library of several, in which only chosen names are global.
#
#   archive.sh OUTPUT FOLDER 'NAMES*' LIBRARY... -- COMPILER...
#
# All of the first LIBRARY is taken, and what it needs of the others.  The names that are kept are a wildcard of objcopy's.
set -eu

output=$1
folder=$2
names=$3
whole=$4
shift 4
libraries=
while [ "$1" != -- ]; do
    libraries="$libraries $1"
    shift
done
shift

mkdir -p "$folder"
object=$folder/curfew.o
# The build's paths have no spaces that matter here: they are relative to the build folder.
# shellcheck disable=SC2086
"$@" -r -nostdlib -o "$object" -Wl,--whole-archive "$whole" -Wl,--no-whole-archive $libraries
objcopy --wildcard --keep-global-symbol="$names" "$object"
rm -f "$output"
ar rcs "$output" "$object"
