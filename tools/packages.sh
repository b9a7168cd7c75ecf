# packages.sh: sees to it that the Debian packages are there; sourced by ./run and ./check.
#
#   need_packages WHY PACKAGE...   installs those that are missing, saying which and why; does nothing otherwise
#
# shellcheck shell=sh

# Read by the scripts that source this file.
# shellcheck disable=SC2034
packages_build="gcc libc6-dev meson ninja-build pkg-config libmicrohttpd-dev libevent-dev libjansson-dev libcurl4-openssl-dev libwslay-dev nettle-dev libsqlite3-dev"
# clang and its run time build the fuzz harnesses, g++ the C++ programs that use the library; bash, curl, jq and procps are
# what the documents' examples run; prometheus is what /metrics is for, and brings promtool.
# shellcheck disable=SC2034
packages_check="g++ libcmocka-dev libvterm-dev python3 bash curl jq shellcheck procps clang libclang-rt-dev prometheus strace"

# Whom `./run --bench table` compares with.  redis-tools holds Redis's server without a service that starts by itself.
# shellcheck disable=SC2034
packages_bench_table="uthash-dev libglib2.0-dev redis-tools"

# Prints those of its arguments that dpkg does not have installed, or that no installed package provides.
missing_packages() {
    have=$(dpkg-query -W -f '${db:Status-Status} ${Package} ${Provides}\n' 2>/dev/null |
        sed -n 's/^installed //p' | sed 's/([^)]*)//g; s/,/ /g' | tr -s ' ' '\n' | sort -u)
    for package in "$@"; do
        printf '%s\n' "$have" | grep -qxF "$package" || printf '%s ' "$package"
    done
}

# Debian starts a service as soon as its package is there.  Only the programs are wanted, so what has just been installed is
# stopped again; where no init runs, as in a container, nothing was started.
stop_services() {
    for service in prometheus redis-server; do
        case " $missing" in
        *" $service "*) ;;
        *) continue ;;
        esac
        $as_root update-rc.d "$service" disable >/dev/null 2>&1 </dev/null || :
        $as_root invoke-rc.d "$service" stop >/dev/null 2>&1 </dev/null || :
    done
}

need_packages() {
    why=$1
    shift
    if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
        # Another distribution: what is missing shows in the build, so say once what it is called on Debian.
        printf 'No apt-get here. Needed %s, by their Debian names: %s\n' "$why" "$*" >&2
        return 0
    fi
    missing=$(missing_packages "$@")
    [ -n "$missing" ] || return 0
    printf 'Installing what is missing %s: %s\n' "$why" "$missing" >&2
    if [ "$(id -u)" = 0 ]; then
        as_root="env"
    elif command -v sudo >/dev/null 2>&1; then
        as_root="sudo env"
        printf 'This needs root, so it goes through sudo.\n' >&2
    else
        printf 'Not root, and there is no sudo. As root, run: apt-get install --no-install-recommends %s\n' "$missing" >&2
        return 1
    fi
    log=$(mktemp)
    # Both variables are lists of words.
    # shellcheck disable=SC2086
    if $as_root apt-get update >"$log" 2>&1 </dev/null &&
        $as_root DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing >>"$log" 2>&1 </dev/null; then
        rm -f "$log"
        stop_services
    else
        cat "$log" >&2
        rm -f "$log"
        printf 'Installing failed; the log is above. Needed %s: %s\n' "$why" "$missing" >&2
        return 1
    fi
}
