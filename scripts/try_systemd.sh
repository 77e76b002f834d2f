#!/usr/bin/env bash
# A real systemd, in namespaces of its own, runs rendered units. `scripts/try_systemd.sh --help` says more.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/try_systemd.sh [--winnow FILE]

Starts systemd as process 1 of its own namespaces (processes, mounts, network, control groups) with the units that
`winnow launch cluster/one-host/cluster.yaml --render systemd` writes, and checks

  1  all services become active, in their sandbox, and the cluster answers;
  2  a worker that is killed is started again;
  3  a worker that is stopped is noticed by the watchdog (3 s here) and started again;
  4  a worker reads its own key alone, and one that is struck off the list is cut off while the spare takes its place;
  5  stopping the target ends all of it.

Needs root. Removes what it made. Prints a line for each; exit status 0 when all hold.

  --winnow FILE    the program to test, instead of building it
TEXT
}

# shellcheck source-path=SCRIPTDIR source=lib/try.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/try.sh"
[ "$(id -u)" = 0 ] || fail 77 "namespaces and their systemd need root"
ready_to_try python3 systemd util-linux

outer=
clean_up() {
    # Its process 1 takes all others of the namespace along.
    [ -n "$outer" ] && kill -KILL "$outer" 2>/dev/null || true
    [ -n "$outer" ] && wait "$outer" 2>/dev/null || true
}

"$winnow" launch "$root/cluster/one-host/cluster.yaml" --render systemd --out "$work/units" >/dev/null
cp "$winnow" "$work/winnow"
# What a container's systemd has no use for.
masked=(systemd-udevd.service systemd-udev-trigger.service systemd-resolved.service systemd-timesyncd.service
    systemd-tmpfiles-setup-dev.service systemd-tmpfiles-setup.service systemd-logind.service systemd-remount-fs.service
    systemd-sysctl.service systemd-modules-load.service systemd-random-seed.service systemd-update-utmp.service
    systemd-binfmt.service systemd-firstboot.service systemd-sysusers.service systemd-machine-id-commit.service
    systemd-hwdb-update.service getty.target dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount
    sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount apparmor.service nftables.service
    networking.service)
cat >"$work/first" <<SH
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/lock
umount -R -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /usr/local/bin
cp "$work/winnow" /usr/local/bin/
mount -t tmpfs tmpfs /var/log
mkdir -p /run/etc/changes /run/etc/work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc/changes,workdir=/run/etc/work /etc
mount -t tmpfs tmpfs /etc/systemd/system
cp "$work"/units/localhost/*.service "$work"/units/localhost/*.target /etc/systemd/system/
cp -r "$work/units/localhost/winnow-needle" /etc/
for unit in ${masked[*]}; do ln -s /dev/null "/etc/systemd/system/\$unit"; done
for unit in /etc/systemd/system/winnow-*.service; do
    mkdir "\$unit.d"
    printf '[Service]\nWatchdogSec=3\n' >"\$unit.d/short.conf"
done
# As an init makes it; units get their credentials by a mount that is passed on.
mount --make-rshared /
exec env -i container=unshare PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system \
    --unit=winnow-needle.target --log-target=journal
SH

headline "Starting systemd in namespaces of its own"
unshare --fork --pid --mount --uts --ipc --net --cgroup --mount-proc --kill-child bash "$work/first" \
    >"$logs/systemd.log" 2>&1 </dev/null &
outer=$!
wait_for 10 pgrep -P "$outer" || fail 70 "systemd did not start"
first=$(pgrep -P "$outer")
inside() { nsenter --target "$first" --mount --pid --net --uts --ipc --cgroup "$@"; }
services=$(cd "$work/units/localhost" && printf '%s\n' *.service)
all_active() {
    local service
    for service in $services; do [ "$(inside systemctl is-active "$service")" = active ] || return 1; done
}
status=0
wait_for 60 all_active || status=$?
verdict "$status" "active: $(echo "$services" | paste -sd ' ' -)"
if ((status != 0)); then
    inside systemctl status --no-pager -l 'winnow-needle*' >&2 || true
    exit 1
fi

inside cat /proc/1/comm | grep -qx systemd || verdict 1 "process 1 is systemd"
serving() { inside systemctl show -p StatusText --value winnow-needle-coordinator | grep -q '^serving'; }
status=0
wait_for 30 serving || status=$?
verdict "$status" "the coordinator's status: $(inside systemctl show -p StatusText --value winnow-needle-coordinator)"
main_pid() { inside systemctl show -p MainPID --value "winnow-needle-$1"; }
sandbox=$(inside grep -E '^(CapEff|NoNewPrivs|Seccomp):' "/proc/$(main_pid worker-0)/status" | tr -s '\t\n' ' ')
status=0
[ "$sandbox" = "CapEff: 0000000000000000 NoNewPrivs: 1 Seccomp: 2 " ] || status=1
verdict "$status" "a worker's rights: $sandbox"
ask() { inside python3 "$root/scripts/lib/ask.py" http://127.0.0.1:8080 "$root/cluster/prompts/needle-2048.txt" 6 "$1"; }
for mode in dense 0.1; do
    answer=$(ask "$mode" | cut -f 1)
    status=0
    [ "$answer" = 25502 ] || status=1
    verdict "$status" "the demo's question, $mode: $answer"
done

for kind in KILL STOP; do
    before=$(main_pid worker-1)
    inside kill -"$kind" "$before"
    another() { local now && now=$(main_pid worker-1) && [ "$now" != 0 ] && [ "$now" != "$before" ]; }
    status=0
    wait_for 20 another || status=$?
    if ((status == 0)); then wait_for 20 all_active || status=$?; fi
    answer=$(ask 0.1 | cut -f 1)
    [ "$answer" = 25502 ] || status=1
    verdict "$status" "SIG$kind of worker-1: it is process $(main_pid worker-1) now and was $before; answer $answer"
done
inside journalctl --no-pager -o cat -u winnow-needle-worker-1 | grep -q "Watchdog timeout" || verdict 1 "the watchdog saw it"

credential=$(inside find /run/credentials/winnow-needle-worker-1.service -type f -printf '%f %m')
status=0
inside cat "/proc/$(main_pid worker-1)/cmdline" | tr '\0' ' ' | grep -q -- '--key /run/credentials/winnow-needle-worker-1.service/key' || status=1
[ "$credential" = "key 440" ] || [ "$credential" = "key 400" ] || status=1
verdict "$status" "worker-1's credentials: $credential"
before=$(main_pid worker-1)
"$winnow" keys revoke worker-1 --dir "$work/units/keys"
inside cp "$work/units/keys/allowed" /etc/winnow-needle/allowed
struck_off() { inside journalctl --no-pager -o cat -u winnow-needle-coordinator | grep -q "may no longer take part"; }
status=0
wait_for 20 struck_off || status=$?
wait_for 30 serving || status=$?
answer=$(ask 0.1 | cut -f 1)
[ "$answer" = 25502 ] || status=1
verdict "$status" "worker-1 is struck off: $(inside systemctl show -p StatusText --value winnow-needle-coordinator); answer $answer"

inside systemctl stop winnow-needle.target
nobody() { ! inside pgrep -x winnow; }
status=0
wait_for 20 nobody || status=$?
verdict "$status" "the target is stopped: nothing left"
exit "$failed"
