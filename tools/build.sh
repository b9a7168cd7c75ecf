# build.sh: a quiet Meson build; sourced by ./run and ./check.
#
#   build_in FOLDER "OPTIONS OF meson setup" TARGET...   shows the log only when something fails
#
# shellcheck shell=sh

build_in() {
    folder=$1
    options=$2
    shift 2
    mkdir -p "$folder"
    log=$folder/build.log
    if [ ! -f "$folder/build.ninja" ]; then
        # The options are a list of words.
        # shellcheck disable=SC2086
        meson setup $options "$folder" >"$log" 2>&1 || { build_failed "meson setup $folder"; return 1; }
    fi
    ninja -C "$folder" "$@" >"$log" 2>&1 || { build_failed "ninja -C $folder $*"; return 1; }
}

build_failed() {
    # Without the steps that went well.
    grep -vE '^\[[0-9]+/[0-9]+\] (Compiling|Linking|Generating|Archiving) ' "$log" >&2
    printf '\n%s failed; what it said is above and in %s\n' "$1" "$log" >&2
}
