#!/usr/bin/env bash
# What somebody sees who reads every packet between three hosts. `scripts/try_capture.sh --help` says more.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/try_capture.sh [--winnow FILE]

Makes three hosts of network namespaces on one bridge, runs the needle pair on them (a coordinator, two stages and a
speculator, each request crossing every link) and captures all packets of all links with tshark:

  1  in plain text, twice: what the links carry of a prompt (its tokens, hidden rows, importance) is found in the second
     capture by what the first one showed, so that it would be found in the third too;
  2  with keys, which is the default: none of it is in the capture, no word of the prompt, every connection between hosts is
     CURVE from its first bytes, and nothing else but ARP and ICMP is on the links.

The client asks on the coordinator's own loopback. Needs root. Removes what it made. Prints a line for each; exit status 0 when
all hold.

  --winnow FILE    the program to test, instead of building it
TEXT
}

# shellcheck source-path=SCRIPTDIR source=lib/try.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/try.sh"
[ "$(id -u)" = 0 ] || fail 77 "network namespaces need root"
ready_to_try python3 iproute2 tshark

mark=wc$$
hosts=(a b c)

clean_up() {
    for pid in $(python3 "$root/scripts/lib/running.py" "$work"); do kill -KILL "$pid" 2>/dev/null || true; done
    for host in "${hosts[@]}" desk; do ip netns delete "$mark-$host" 2>/dev/null || true; done
}

headline "Making three hosts"
ip netns add "$mark-desk"
ip -n "$mark-desk" link set lo up
ip -n "$mark-desk" link add bridge type bridge
ip -n "$mark-desk" link set bridge up
number=0
for host in "${hosts[@]}"; do
    number=$((number + 1))
    ip netns add "$mark-$host"
    ip -n "$mark-$host" link set lo up
    ip -n "$mark-$host" link add eth0 type veth peer name "to-$host" netns "$mark-desk"
    ip -n "$mark-$host" address add "10.78.0.$number/24" dev eth0
    ip -n "$mark-$host" link set eth0 up
    ip -n "$mark-desk" link set "to-$host" master bridge up
done
say "  10.78.0.1 to 10.78.0.3, one link each"
# By this path the processes are known as this script's.
cp "$winnow" "$work/winnow"

status=0
python3 "$root/scripts/lib/try_capture.py" "$work" "$root/cluster" "$mark" || status=$?
exit $status
