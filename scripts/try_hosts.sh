#!/usr/bin/env bash
# Programs in several languages that embed the worker, each in a real cluster. `scripts/try_hosts.sh --help` says more.
set -euo pipefail

known=(c cpp python rust go swift)
pairs=7
usage() {
    cat <<TEXT
Usage: scripts/try_hosts.sh [OPTION...] [HOST...]

Builds the hosts of cluster/hosts/ and runs each as a stage and as the speculator of a cluster of the needle pair, beside a
worker of winnow's own: it must answer right, live through a restart of the coordinator, drain on request and end with status
0. Prints one line a host. A host whose compiler is missing is skipped, loudly.

  HOST           ${known[*]} (default: all of them)
  --built DIR    winnow and libwinnow_worker.so that are built already; nothing is built then
  --lives N      instead: one process makes a worker, serves with it and destroys it, N times over; threads, descriptors and
                 memory must be flat
  --check        instead: the C host under valgrind, over a whole life in a cluster
  --clean        instead: a fresh Debian 12 without Swift (debootstrap; as root). Winnow is installed there by scripts/install.sh,
                 the C host is built there with what pkg-config says and nothing else, and cluster and host run there; then the same
                 with the package that scripts/deb.sh makes, which lintian (where it is) finds no error in
  --speed MODEL  instead: the C host against \`winnow worker\`, ${pairs} pairs of runs with the same requests, in turn first and
                 second; wall and CPU time. Wants a machine that does nothing else
  -h, --help     this text

Exit status: 0 when all that could be built pass (--speed: within 2 %), 1 when one fails, 69 when none fails but one was skipped,
75 when the runs of --speed differ too much to tell.
TEXT
}

hosts=() built='' lives='' speed='' check='' clean=''
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage && exit 0 ;;
    --check | --clean)
        case $1 in
        --check) check=yes ;;
        --clean) clean=yes ;;
        esac
        shift
        ;;
    --built | --lives | --speed)
        [ $# -ge 2 ] || { usage >&2 && exit 64; }
        case $1 in
        --built) built=$2 ;;
        --lives) lives=$2 ;;
        --speed) speed=$2 ;;
        esac
        shift 2
        ;;
    *)
        case " ${known[*]} " in
        *" $1 "*) hosts+=("$1") ;;
        *)
            printf 'unknown host or option: %s\n' "$1" >&2
            usage >&2
            exit 64
            ;;
        esac
        shift
        ;;
    esac
done
((${#hosts[@]} > 0)) || hosts=("${known[@]}")

# shellcheck source-path=SCRIPTDIR source=lib/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/setup.sh"
lib=$root/scripts/lib models=$root/cluster/models
if [ -n "$clean" ]; then
    # shellcheck source-path=SCRIPTDIR source=lib/clean_system.sh
    source "$lib/clean_system.sh"
    try_clean_system
    exit
fi
if [ -z "$built" ]; then
    prepare python3
    build "swift build" --product winnow
    build "swift build" --product winnow_worker
    built=$(products)
fi

# The library as an installation lays it.
place=$logs/place
mkdir -p "$place/lib" "$place/include" "$place/bin"
cp "$built/libwinnow_worker.so" "$place/lib/libwinnow_worker.so.1"
ln -sfn libwinnow_worker.so.1 "$place/lib/libwinnow_worker.so"
cp "$root"/Sources/CWinnowWorker/include/winnow_worker.h* "$place/include/"
printf 'Name: winnow_worker\nDescription: worker\nVersion: 0\nLibs: -L%s -lwinnow_worker\nCflags: -I%s\n' \
    "$place/lib" "$place/include" >"$place/winnow_worker.pc"
export PKG_CONFIG_PATH=$place LD_LIBRARY_PATH=$place/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

sources=$root/cluster/hosts
# make NAME: builds a host and names its command in `host`; status 69 where its compiler is missing.
make() {
    local flags
    read -ra flags <<<"$(pkg-config --cflags --libs winnow_worker)"
    host=("$place/bin/$1")
    case $1 in
    c)
        command -v cc >/dev/null || return 69
        cc -std=gnu11 -Wall -Wextra -Werror "$sources/c/host.c" "${flags[@]}" -o "$place/bin/c"
        ;;
    cpp)
        command -v c++ >/dev/null || return 69
        c++ -std=c++17 -Wall -Wextra -Werror "$sources/cpp/host.cpp" "${flags[@]}" -pthread -o "$place/bin/cpp"
        ;;
    python) host=(python3 "$sources/python/host.py") ;;
    rust)
        command -v rustc >/dev/null || return 69
        rustc --edition 2021 -O -A dead_code -L "$place/lib" "$sources/rust/host.rs" -o "$place/bin/rust"
        ;;
    go)
        command -v go >/dev/null || return 69
        (cd "$sources/go" && CGO_ENABLED=1 GOFLAGS=-mod=mod GOCACHE=$logs/go-cache go build -o "$place/bin/go" .)
        ;;
    swift)
        # A package of its own, built in the tree's folder with the tree's versions of what both depend on: nothing twice.
        cp "$root/Package.resolved" "$sources/swift/Package.resolved"
        swift build --package-path "$sources/swift" --scratch-path "$root/.build" -c "$configuration" --product Host
        host=("$root/.build/$configuration/Host")
        ;;
    esac
}

if [ -n "$lives" ]; then
    read -ra flags <<<"$(pkg-config --cflags --libs winnow_worker)"
    cc -std=gnu11 "$root/Tests/WinnowTests/Fixtures/hosts/lives.c" "${flags[@]}" -o "$place/bin/lives"
    exec python3 "$lib/host_lives.py" "$built/winnow" "$place/bin/lives" "$models/stories260K" "$lives"
elif [ -n "$speed" ]; then
    make c
    exec python3 "$lib/host_speed.py" "$built/winnow" "${host[0]}" "$(realpath "$speed")" \
        "$root/cluster/prompts/needle-2048.txt" "$pairs"
elif [ -n "$check" ]; then
    make c
    # Valgrind can't read Swift's debug information.
    strip --strip-debug "$place/lib/libwinnow_worker.so.1"
    # Valgrind knows no AVX-512. What is still reachable at the end is Swift's, made once.
    WINNOW_CPU_LEVEL=avx2 exec python3 "$lib/try_host.py" "$built/winnow" "$models" "c under valgrind" \
        valgrind --quiet --fair-sched=yes --error-exitcode=99 --num-callers=40 \
        --suppressions="$lib/valgrind.supp" --leak-check=full \
        --show-leak-kinds=definite --errors-for-leak-kinds=definite \
        "${host[0]}"
fi

failed='' skipped=''
for name in "${hosts[@]}"; do
    status=0
    make "$name" >"$logs/$name.log" 2>&1 || status=$?
    if ((status == 69)); then
        say "${red}SKIP $name: its compiler is not installed${plain}"
        skipped=yes
        continue
    elif ((status != 0)); then
        say "${red}FAIL $name: can't be built${plain}"
        tail -n 20 "$logs/$name.log" >&2
        failed=yes
        continue
    fi
    python3 "$lib/try_host.py" "$built/winnow" "$models" "$name" "${host[@]}" || failed=yes
done
[ -z "$failed" ] || exit 1
[ -z "$skipped" ] || exit 69
