#!/usr/bin/env bash
# What the winnow command is linked from, as an SPDX 2.3 document. `scripts/sbom.sh --help` says more.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/sbom.sh [--out FILE]

Writes a list of what the built `winnow` is linked from (SPDX 2.3, JSON) to FILE, else to standard output: the Swift packages
whose objects are in it, with version, revision and licence; the libraries it loads, with the Debian package each is from, its
version and licence; the Swift runtime. Builds winnow first where it is not built.

  --out FILE    where to write it
TEXT
}

out=/dev/stdout
while (($# > 0)); do
    case $1 in
    --out)
        (($# > 1)) || { usage >&2 && exit 64; }
        out=$(realpath -m "$2")
        shift 2
        ;;
    -h | --help) usage && exit 0 ;;
    *)
        usage >&2
        exit 64
        ;;
    esac
done

# shellcheck source-path=SCRIPTDIR source=lib/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/setup.sh"
cd "$root"
install_packages python3
products=$(products)
if ! [ -x "$products/winnow" ]; then
    prepare python3
    build "swift build" --product winnow
fi
python3 scripts/lib/sbom.py "$root" "$products" >"$out"
