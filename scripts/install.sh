#!/usr/bin/env bash
# Winnow in the places where programs and libraries are looked for. `scripts/install.sh --help` says more.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/install.sh --prefix DIR [OPTION...]

Builds Winnow in the release configuration and installs under DIR

  bin/winnow                              the command, with Swift's runtime inside
  lib/libwinnow_worker.so.1               the worker for other programs, with Swift's runtime inside
  include/winnow_worker.h, .hpp           its interface
  lib/pkgconfig/winnow_worker.pc          cc host.c $(pkg-config --cflags --libs winnow_worker)
  share/{bash-completion,zsh,fish}/...    completions
  share/man/man1/winnow*.1                a page for every command
  lib/systemd/system/winnow@.service      systemctl start winnow@NAME runs what /etc/winnow/NAME.conf says

  --prefix DIR   where to; /usr/local needs root
  --destdir DIR  put everything under DIR/PREFIX, for packagers
  --libdir NAME  the libraries' folder under the prefix (default: lib)
  --built DIR    take what was built before: the folder of `swift build -c release --show-bin-path`
  -h, --help     this text

Needs libzmq5, libsodium23 and libonig5 to run, and libopenblas0-pthread and libdnnl2 to be fast.
Exit status: 0 when all is installed.
TEXT
}

prefix='' destdir='' libdir=lib built=''
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage && exit 0 ;;
    --prefix | --destdir | --libdir | --built)
        [ $# -ge 2 ] || { usage >&2 && exit 64; }
        case $1 in
        --prefix) prefix=$2 ;;
        --destdir) destdir=$2 ;;
        --libdir) libdir=$2 ;;
        --built) built=$2 ;;
        esac
        shift 2
        ;;
    *)
        printf 'unknown option: %s\n' "$1" >&2
        usage >&2
        exit 64
        ;;
    esac
done
case $prefix in
/*) ;;
'')
    usage >&2
    exit 64
    ;;
*) prefix=$PWD/$prefix ;;
esac

# shellcheck source-path=SCRIPTDIR source=lib/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/setup.sh"
cd "$root"
if [ -z "$built" ]; then
    prepare
    build "swift build" --product winnow
    build "swift build" --product winnow_worker
    built=$(products)
fi
# Tests don't build it.
manual=$built/generate-manual
if [ ! -x "$manual" ]; then
    build "swift build" --product generate-manual
    manual=$(products)/generate-manual
fi
# The command, linked once more with Swift's runtime inside, as the library is: the objects are the same.
command=$logs/winnow
standing_alone=(-static-stdlib -use-ld=lld -Xlinker --gc-sections -Xlinker --as-needed
    -Xlinker --defsym=main=winnow_main)
for library in Foundation FoundationInternationalization FoundationEssentials _FoundationICU CoreFoundation \
    _FoundationCollections _FoundationCShims dispatch BlocksRuntime; do
    standing_alone+=("-l$library")
done
run_quietly "linking winnow" "$logs/link.log" swiftc -emit-executable "@$built/winnow.product/Objects.LinkFileList" \
    "${standing_alone[@]}" -o "$command" || fail 70 "winnow can't be linked"

target=$destdir$prefix
version=$("$command" --version)
put() { install -D -m "$1" "$2" "$target/$3"; } # put MODE FILE PLACE
put 755 "$command" bin/winnow
put 644 "$built/libwinnow_worker.so" "$libdir/libwinnow_worker.so.$version"
if command -v strip >/dev/null; then
    strip --strip-unneeded "$target/bin/winnow" "$target/$libdir/libwinnow_worker.so.$version"
fi
ln -sfn "libwinnow_worker.so.$version" "$target/$libdir/libwinnow_worker.so.1"
ln -sfn libwinnow_worker.so.1 "$target/$libdir/libwinnow_worker.so"
for header in winnow_worker.h winnow_worker.hpp; do
    put 644 "Sources/CWinnowWorker/include/$header" "include/$header"
done
install -d "$target/$libdir/pkgconfig"
cat >"$target/$libdir/pkgconfig/winnow_worker.pc" <<PC
prefix=$prefix
libdir=\${prefix}/$libdir
includedir=\${prefix}/include

Name: winnow_worker
Description: A stage or the speculator of a Winnow cluster, inside a program of your own
Version: $version
Libs: -L\${libdir} -lwinnow_worker
Cflags: -I\${includedir}
PC

install -d "$target/share/bash-completion/completions" "$target/share/zsh/site-functions" \
    "$target/share/fish/vendor_completions.d" "$target/share/man/man1"
"$command" --generate-completion-script bash >"$target/share/bash-completion/completions/winnow"
"$command" --generate-completion-script zsh >"$target/share/zsh/site-functions/_winnow"
"$command" --generate-completion-script fish >"$target/share/fish/vendor_completions.d/winnow.fish"
"$manual" "$command" --multi-page --section 1 --output-directory "$target/share/man/man1" >&2
# `man winnow worker` looks for winnow-worker.
for page in "$target"/share/man/man1/winnow.*.1; do
    name=$(basename "$page" .1)
    mv "$page" "$target/share/man/man1/${name//./-}.1"
done

install -d "$target/lib/systemd/system"
cat >"$target/lib/systemd/system/winnow@.service" <<UNIT
[Unit]
Description=Winnow %i
Documentation=man:winnow(1)
After=network-online.target
Wants=network-online.target
# WORDS of this file are the command's: WORDS=worker --model /models/main --coordinator tcp://head:5700
ConditionPathExists=/etc/winnow/%i.conf

[Service]
Type=notify
EnvironmentFile=/etc/winnow/%i.conf
ExecStart=$prefix/bin/winnow \$WORDS
Restart=on-failure
RestartSec=2
TimeoutStopSec=30
DynamicUser=yes
CacheDirectory=winnow
Environment=XDG_CACHE_HOME=/var/cache
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes

[Install]
WantedBy=multi-user.target
UNIT
say "Installed winnow $version under $target."
