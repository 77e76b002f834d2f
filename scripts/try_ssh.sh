#!/usr/bin/env bash
# Three hosts over real ssh, on one machine. `scripts/try_ssh.sh --help` says more.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/try_ssh.sh [--winnow FILE]

Makes three hosts and an operator's desk of network namespaces on one bridge, 1 Gbit/s each (tc tbf), an sshd in each host
with keys of its own, and runs the needle pair on them from one topology file, with `winnow launch --push`:

  0  `winnow check` finds nothing; a way that is closed between two hosts, and a host whose address leads to another, are
     named;
  1  the demo's question is answered from the whole prompt, and from a tenth of it, the rows going from host to host;
  2  under load one ssh connection is killed: its process comes back, and no request is lost or answered otherwise;
  3  Ctrl-C's signal ends everything everywhere;
  4  SIGKILL of the launcher with requests in flight: nothing is left on any host within 10 seconds;
  5  a host that is cut off (its link set down) ends its process by itself, within 12 seconds; one whose launcher is merely
     stopped for as long does not;
  6  workers started by hand that are told only where the coordinator is find the address they are known by.

Needs root. Removes what it made. Prints a line for each; exit status 0 when all hold.

  --winnow FILE    the program to test, instead of building it
TEXT
}

# shellcheck source-path=SCRIPTDIR source=lib/try.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/try.sh"
[ "$(id -u)" = 0 ] || fail 77 "network namespaces need root"
ready_to_try python3 openssh-server openssh-client rsync iproute2

mark=wn$$
hosts=(a b c)

clean_up() {
    [ -n "${launcher:-}" ] && kill -KILL "$launcher" 2>/dev/null || true
    for host in "${hosts[@]}"; do
        [ -s "$work/$host/sshd.pid" ] && kill "$(cat "$work/$host/sshd.pid")" 2>/dev/null || true
    done
    for pid in $(python3 "$root/scripts/lib/running.py" "$work"); do kill -KILL "$pid" 2>/dev/null || true; done
    for host in "${hosts[@]}" desk; do ip netns delete "$mark-$host" 2>/dev/null || true; done
}

headline "Making three hosts"
ip netns add "$mark-desk"
at_desk() { ip netns exec "$mark-desk" "$@"; }
at_desk ip link set lo up
at_desk ip link add bridge type bridge
at_desk ip address add 10.77.0.254/24 dev bridge
at_desk ip link set bridge up
mkdir -p /run/sshd
ssh-keygen -q -t ed25519 -N '' -f "$work/key"
chmod 755 "$work"
number=0
for host in "${hosts[@]}"; do
    number=$((number + 1))
    address=10.77.0.$number
    mkdir "$work/$host"
    ip netns add "$mark-$host"
    ip -n "$mark-$host" link set lo up
    ip -n "$mark-$host" link add eth0 type veth peer name "to-$host" netns "$mark-desk"
    ip -n "$mark-$host" address add "$address/24" dev eth0
    ip -n "$mark-$host" link set eth0 up
    at_desk ip link set "to-$host" master bridge up
    ip netns exec "$mark-$host" tc qdisc add dev eth0 root tbf rate 1gbit burst 128kb latency 50ms
    at_desk tc qdisc add dev "to-$host" root tbf rate 1gbit burst 128kb latency 50ms
    ssh-keygen -q -t ed25519 -N '' -f "$work/$host/hostkey"
    cp "$work/key.pub" "$work/$host/authorized_keys"
    cat >"$work/$host/sshd_config" <<CONFIG
ListenAddress $address:22
HostKey $work/$host/hostkey
PidFile $work/$host/sshd.pid
AuthorizedKeysFile $work/$host/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
MaxStartups 50
Subsystem sftp internal-sftp
CONFIG
    ip netns exec "$mark-$host" "$(command -v sshd)" -f "$work/$host/sshd_config" -E "$work/$host/sshd.log"
    printf '%s %s\n' "$address" "$(cut -d ' ' -f 1,2 "$work/$host/hostkey.pub")" >>"$work/known_hosts"
done
cat >"$work/ssh_config" <<CONFIG
Host *
    User root
    IdentityFile $work/key
    IdentitiesOnly yes
    UserKnownHostsFile $work/known_hosts
    StrictHostKeyChecking yes
CONFIG
cat >"$work/cluster.yaml" <<YAML
name: needle
model: $root/cluster/models/needle-main-2m
speculator: $root/cluster/models/needle-speculator-0.4m
hosts:
  a: {address: 10.77.0.1, executable: $work/a/winnow}
  b: {address: 10.77.0.2, executable: $work/b/winnow}
  c: {address: 10.77.0.3, executable: $work/c/winnow}
coordinator: {host: a, http: "10.77.0.1:8080"}
pipelines:
  - stages: [{host: a}, {host: b}, {host: c}]
YAML
say "  10.77.0.1 to 10.77.0.3, an sshd in each"

status=0
at_desk python3 "$root/scripts/lib/try_ssh.py" "$winnow" "$work" "$root/cluster/prompts" "$mark" || status=$?
exit $status
