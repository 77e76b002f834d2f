#!/usr/bin/env bash
# The C interface against the one that programs were built with. `scripts/abi.sh --help` says more.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/abi.sh [--write] [--header FILE] [--help]

Compares winnow_worker.h with the baseline (Sources/CWinnowWorker/winnow_worker.abi) by abidiff of Debian's abigail-tools. What the
library exports is held against the header by its tests.

  --write        make the header the baseline: with every release, and never to silence a change that breaks programs
  --header FILE  another header to compare

Exit status: 0 when programs built with the baseline run as they did (additions at the end are told), 1 when not, 69 without
abidiff or a C compiler.
TEXT
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
header=$root/Sources/CWinnowWorker/include/winnow_worker.h baseline=$root/Sources/CWinnowWorker/winnow_worker.abi write=''
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage && exit 0 ;;
    --write) write=yes ;;
    --header)
        [ $# -ge 2 ] || { usage >&2 && exit 64; }
        header=$2
        shift
        ;;
    *)
        usage >&2
        exit 64
        ;;
    esac
    shift
done
for tool in abidiff abidw cc; do
    command -v "$tool" >/dev/null || { printf 'there is no %s (Debian: apt-get install abigail-tools gcc)\n' "$tool" >&2 && exit 69; }
done

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# The interface as a library with debug information: Swift's functions have none of C's types. Every function of the header, each
# with its very prototype and nothing in it.
{
    printf '#include "winnow_worker.h"\n'
    grep -v '^#' "$header" | tr '\n' ' ' | grep -o 'WINNOW_PUBLIC [^;{]*);' | sed 's/;$/ { __builtin_trap(); }/'
    # What constants are worth shows as the size of something.
    sed -n 's/^    \(WINNOW_[A-Z0-9_]*\) = .*/char constant_\1[\1 + 1];/p' "$header"
} >"$folder/shape.c"
cp "$header" "$folder/winnow_worker.h"
(cd "$folder" && cc -g -gdwarf-4 -fPIC -shared -Wl,-soname,libwinnow_worker.so.1 shape.c -o libwinnow_worker.so.1)
abidw --no-corpus-path --no-comp-dir-path --no-show-locs "$folder/libwinnow_worker.so.1" --out-file "$folder/now.abi"
if [ -n "$write" ]; then
    cp "$folder/now.abi" "$baseline"
    exit
fi
status=0
# Leaf changes: each where it is made, and not again wherever its type is used.
abidiff --leaf-changes-only --no-show-locs "$baseline" "$folder/now.abi" >"$folder/report" || status=$?
cat "$folder/report"
# Bits 1 and 2: abidiff itself failed; 8: incompatible; 4: changed, harmless where every line tells of something that was added:
# a function, a constant, a field at the end of a struct that is longer now.
harmless="^\$|summary: |^[0-9]+ Added (function|variable)s?:\$|^  \[A\] |^'struct .*' changed:\$|^  type size changed from "
harmless+="|^  [0-9]+ data member insertions?:\$|^    '.*', at offset "
if ((status & 3)); then
    exit 70
elif ((status & 8)) || { ((status & 4)) && grep -Evq "$harmless" "$folder/report"; }; then
    printf 'programs that were built with the baseline would break\n' >&2
    exit 1
fi
