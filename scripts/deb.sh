#!/usr/bin/env bash
# A Debian package of Winnow. `scripts/deb.sh --help` says more.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/deb.sh [--out DIR] [--built DIR] [--help]

Installs Winnow (scripts/install.sh) into a folder and makes winnow_VERSION_ARCH.deb of it with dpkg-deb: command, library, header,
pkg-config file, completions, man pages and systemd unit.

  --out DIR    where the package goes (default: .build)
  --built DIR  take what was built before, as scripts/install.sh does

Prints the package's path. Needs dpkg-dev.
TEXT
}

out='' built=()
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage && exit 0 ;;
    --out | --built)
        [ $# -ge 2 ] || { usage >&2 && exit 64; }
        if [ "$1" = --out ]; then out=$2; else built=(--built "$2"); fi
        shift 2
        ;;
    *)
        usage >&2
        exit 64
        ;;
    esac
done

# shellcheck source-path=SCRIPTDIR source=lib/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/setup.sh"
out=${out:-$root/.build}
architecture=$(dpkg --print-architecture)
folder=$logs/package
umask 022
multiarch=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
"$root/scripts/install.sh" --prefix /usr --destdir "$folder" --libdir "lib/$multiarch" "${built[@]}"
version=$("$folder/usr/bin/winnow" --version)
doc=$folder/usr/share/doc/winnow
install -d "$folder/DEBIAN" "$doc"
find "$folder/usr/share/man" -name '*.1' -exec gzip -9n {} +
# Libraries are found by their SONAME; the rest of the name is this release's.
cat >"$doc/copyright" <<TEXT
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: winnow

Files: *
Copyright: the Winnow authors
License: Apache-2.0
 On Debian systems the full text of the Apache License, version 2.0, is in /usr/share/common-licenses/Apache-2.0.
TEXT
printf 'winnow (%s) unstable; urgency=medium\n\n  * Release %s.\n\n -- Winnow authors <winnow@localhost.invalid>  %s\n' \
    "$version-1" "$version" "$(date -R -d "@${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct)}")" |
    gzip -9n >"$doc/changelog.Debian.gz"
# Packages of Swift bring their own copies, which are linked in: Yams its parser, Foundation its zlib.
install -d "$folder/usr/share/lintian/overrides"
printf 'winnow: embedded-library libyaml *\nwinnow: embedded-library zlib *\n' >"$folder/usr/share/lintian/overrides/winnow"
printf 'libwinnow_worker 1 winnow (>= %s)\n' "$version" >"$folder/DEBIAN/shlibs"
printf 'activate-noawait ldconfig\n' >"$folder/DEBIAN/triggers"
cat >"$folder/DEBIAN/control" <<TEXT
Package: winnow
Version: $version-1
Architecture: $architecture
Maintainer: Winnow authors <winnow@localhost.invalid>
Installed-Size: $(du -ks "$folder/usr" | cut -f 1)
Depends: libc6 (>= 2.36), libgcc-s1, libstdc++6 (>= 12), libzmq5 (>= 4.3), libsodium23, libonig5
Recommends: libopenblas0-pthread, libdnnl2
Section: net
Priority: optional
Homepage: https://arxiv.org/abs/2502.02789
Description: speculative prefill over a cluster of CPU hosts
 Winnow serves a large language model from many ordinary hosts. A small speculator reads the whole prompt and says which parts
 matter; only those go, at their original positions, through a pipeline of workers that each hold some layers of the model.
 .
 This package has the command and libwinnow_worker, the worker for programs in C and what speaks C.
TEXT
install -d "$out"
package=$out/winnow_$version-1_$architecture.deb
dpkg-deb --root-owner-group --build "$folder" "$package" >&2
printf '%s\n' "$package"
