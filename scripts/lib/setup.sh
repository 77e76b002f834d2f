# shellcheck shell=bash
# Set-up that demo.sh and test.sh share: packages, toolchain, a build with a progress line. Sourced, not run.

# Where the package lies, whatever folder the script was called from.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
configuration=release

if [ -t 2 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' dim=$'\e[2m' plain=$'\e[0m'
else
    bold='' red='' green='' dim='' plain=''
fi

say() { printf '%s\n' "$*" >&2; }
headline() { printf '\n%s%s%s\n' "$bold" "$*" "$plain" >&2; }
fail() { # fail EXIT-CODE MESSAGE...
    local code=$1
    shift
    printf '%serror:%s %s\n' "$red" "$plain" "$*" >&2
    exit "$code"
}

# Seconds as m:ss.
clock() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

# run_quietly TITLE LOG COMMAND...: runs the command with its output in LOG and shows one line instead: elapsed time and
# the command's last word on what it is doing. On failure the end of the log follows.
run_quietly() {
    local title=$1 log=$2 began=$SECONDS last told=$SECONDS status=0
    shift 2
    # A process group of its own, so that an interrupted script can end it together with what it started.
    set -m
    "$@" >"$log" 2>&1 </dev/null &
    set +m
    local pid=$!
    quiet_job=$pid
    while kill -0 "$pid" 2>/dev/null; do
        if [ -t 2 ]; then
            # A log may hold carriage returns and half lines; show the last printable one.
            last=$(tail -c 2000 "$log" | tr '\r' '\n' | grep -v '^[[:space:]]*$' | tail -n 1 | tr -cd '[:print:]')
            printf '\r\e[K  %s  %s  %s%.70s%s' "$(clock $((SECONDS - began)))" "$title" "$dim" "$last" "$plain" >&2
        elif ((SECONDS - told >= 60)); then
            told=$SECONDS
            last=$(tail -c 2000 "$log" | tr '\r' '\n' | grep -v '^[[:space:]]*$' | tail -n 1 | tr -cd '[:print:]')
            printf '  %s  %s  %.70s\n' "$(clock $((SECONDS - began)))" "$title" "$last" >&2
        fi
        sleep 0.5
    done
    wait "$pid" || status=$?
    quiet_job=
    [ -t 2 ] && printf '\r\e[K' >&2
    if ((status == 0)); then
        printf '  %s%s%s  %s\n' "$green" "$(clock $((SECONDS - began)))" "$plain" "$title" >&2
    else
        printf '  %s%s%s  %s failed (exit status %d); the end of its log:\n\n' \
            "$red" "$(clock $((SECONDS - began)))" "$plain" "$title" "$status" >&2
        # Compiler errors may be far above the end: show them first.
        grep -E '(error|fatal):' "$log" | sort -u | head -n 20 >&2 || true
        tail -n 40 "$log" >&2
        printf '\nThe whole log: %s\n' "$log" >&2
    fi
    return "$status"
}

# install_packages PACKAGE...: installs what is missing, through apt-get.
install_packages() {
    local missing=() package
    if ! command -v dpkg-query >/dev/null; then
        say "This is not a Debian system: $* are taken to be installed."
        return
    fi
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    ((${#missing[@]} == 0)) && return
    local as_root=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || fail 69 "these packages are missing: ${missing[*]}. Install them as root."
        as_root=(sudo)
        # Asks for the password here, where it can be seen.
        sudo -v || fail 69 "these packages are missing: ${missing[*]}. Install them as root."
    fi
    say "Missing packages: ${missing[*]}"
    run_quietly "apt-get update" "$logs/apt-update.log" "${as_root[@]}" apt-get update ||
        say "  (going on with the package lists that are there)"
    run_quietly "apt-get install" "$logs/apt-install.log" \
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" ||
        fail 69 "could not install ${missing[*]}"
}

# The toolchain the package needs.
require_swift() {
    command -v swift >/dev/null ||
        fail 69 "there is no \`swift\` on the PATH. Install Swift 6.3 or newer: https://www.swift.org/install/linux/"
    local version
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p' | head -n 1)
    case $version in
    '' | [0-5].* | 6.[0-2]) fail 69 "Swift 6.3 or newer is needed, found ${version:-none}: https://www.swift.org/install/linux/" ;;
    esac
}

# Everything a build needs. Extra packages as arguments.
prepare() {
    install_packages libzmq3-dev libopenblas0-pthread libdnnl-dev libonig-dev libsodium-dev pkg-config "$@"
    require_swift
}

# build LABEL ARGUMENTS...: swift build in the release configuration.
build() {
    local label=$1
    shift
    run_quietly "$label" "$logs/build.log" swift build --package-path "$root" -c "$configuration" "$@" ||
        fail 70 "the build failed"
}

# The folder the build puts its products in.
products() { swift build --package-path "$root" -c "$configuration" --show-bin-path; }

# Ends the job run_quietly has in hand, with everything it started.
stop_quiet_job() {
    [ -n "$quiet_job" ] || return 0
    kill -TERM -- "-$quiet_job" 2>/dev/null || true
    wait "$quiet_job" 2>/dev/null || true
    quiet_job=
}

# Temporary files of this run: they stay when something failed.
logs=$(mktemp -d "${TMPDIR:-/tmp}/winnow.XXXXXX")
quiet_job=
# Emptied by a script whose own last line must stay the last.
tells_logs=yes

# Called at every end of the script, also by Ctrl-C: nothing it started is left. Scripts add to it with on_end.
at_end=()
on_end() { at_end+=("$1"); }
finish() {
    local status=$? action
    trap '' INT TERM HUP
    [ -t 2 ] && printf '\r\e[K' >&2
    for action in "${at_end[@]}"; do "$action"; done
    stop_quiet_job
    case $status in
    0 | 130 | 143) rm -rf "$logs" ;;
    *) [ -n "$tells_logs" ] && say "The logs of this run are in $logs" ;;
    esac
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
