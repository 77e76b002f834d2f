# shellcheck shell=bash
# What scripts/try_hosts.sh --clean does: Winnow on a Debian 12 that never saw Swift. Sourced, after setup.sh.
# shellcheck disable=SC2154  # root, logs, lib, models and built are the caller's.

# Which package has what the installed library needs, and a C compiler for the host.
clean_packages=gcc,libc6-dev,pkg-config,libzmq5,libsodium23,libonig5
remove_system() { rm -rf --one-file-system "${system:?}"; }

# on_system COMMAND...: there, with nothing of this system in the environment. The process is COMMAND's own, so that signals reach it.
write_on_system() {
    cat >"$1" <<TEXT
#!/bin/sh
exec unshare --mount --propagation private sh -c 'mount -t proc proc "\$0/proc" && exec chroot "\$0" /usr/bin/env -i \\
    PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "\$@"' "$system" "\$@"
TEXT
    chmod +x "$1"
}

# serve NAME WINNOW [VARIABLE...]: builds the C host there and runs it in a cluster that runs there too.
serve() {
    local name=$1 winnow=$2
    shift 2
    printf '#!/bin/sh\nexec %s %s "$@"\n' "$on_system" "$winnow" >"$logs/winnow"
    chmod +x "$logs/winnow"
    rm -f "$system/root/host"
    # shellcheck disable=SC2016  # for the shell there
    "$on_system" env "$@" sh -ec 'cd /root; cc -std=gnu11 -Wall -Wextra -Werror host.c $(pkg-config --cflags --libs winnow_worker) \
        -o host; ldd host' >"$logs/$name.log" 2>&1 || {
        cat "$logs/$name.log" >&2
        fail 1 "the C host can't be built from $name"
    }
    ! grep -qi swift "$logs/$name.log" || fail 1 "the host needs Swift: $(grep -i swift "$logs/$name.log")"
    python3 "$lib/try_host.py" "$logs/winnow" "$models" "C from $name" "$on_system" env "$@" /root/host
}

try_clean_system() {
    [ "$(id -u)" = 0 ] || fail 69 "--clean makes a root file system, and must run as root"
    install_packages debootstrap dpkg-dev python3
    system=$(mktemp -d)
    on_end remove_system
    chmod 755 "$system"
    on_system=$logs/on-system
    write_on_system "$on_system"
    run_quietly "debootstrap" "$logs/debootstrap.log" debootstrap --variant=minbase --include="$clean_packages" bookworm "$system" ||
        fail 69 "no fresh Debian can be had"
    local found
    found=$(find "$system" -xdev \( -name swift -o -name swiftc -o -name 'libswift*' \) -print -quit)
    [ -z "$found" ] || fail 1 "the fresh Debian has Swift: $found"
    cp "$root/cluster/hosts/c/host.c" "$system/root/"
    mkdir -p "$system$models"
    cp -r "$models"/needle-* "$system$models/"

    local from=() package
    [ -z "$built" ] || from=(--built "$built")
    "$root/scripts/install.sh" --prefix /opt/winnow --destdir "$system" "${from[@]}"
    serve install.sh /opt/winnow/bin/winnow PKG_CONFIG_PATH=/opt/winnow/lib/pkgconfig LD_LIBRARY_PATH=/opt/winnow/lib
    rm -rf "$system/opt/winnow"

    package=$("$root/scripts/deb.sh" --out "$logs" --built "${built:-$(products)}")
    if command -v lintian >/dev/null; then
        lintian --fail-on error --allow-root "$package" >"$logs/lintian.log" 2>&1 || {
            cat "$logs/lintian.log" >&2
            fail 1 "lintian finds errors in the package"
        }
        say "  lintian finds no error in $(basename "$package")"
    fi
    cp "$package" "$system/tmp/winnow.deb"
    run_quietly "dpkg --install" "$logs/dpkg.log" "$on_system" dpkg --install /tmp/winnow.deb || fail 1 "the package can't be installed"
    serve deb.sh /usr/bin/winnow
}
