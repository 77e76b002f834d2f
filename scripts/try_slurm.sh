#!/usr/bin/env bash
# A real Slurm of three nodes on one machine runs a rendered script. `scripts/try_slurm.sh --help` says more.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/try_slurm.sh [--winnow FILE]

Starts munged, slurmctld and three slurmd (-N n1 to n3) on this machine with a configuration of their own, and has them run
what `winnow launch cluster/slurm/cluster.yaml --render slurm` writes:

  1  the job becomes ready, a step for each process on the node the topology says;
  2  winnow loadgen gets right answers, from whole prompts and from a tenth of them;
  3  a step that is killed is started again, and the cluster serves;
  4  scancel ends all of it;
  5  the same script on one node serves too.

Needs root. Removes what it made. Prints a line for each; exit status 0 when all hold.

  --winnow FILE    the program to test, instead of building it
TEXT
}

# shellcheck source-path=SCRIPTDIR source=lib/try.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/try.sh"
[ "$(id -u)" = 0 ] || fail 77 "munged, slurmctld and slurmd need root here"
ready_to_try python3 munge slurmctld slurmd slurm-client

started=()

clean_up() {
    local index pid
    [ -n "${SLURM_CONF:-}" ] && timeout 10 scancel --user root 2>/dev/null || true
    sleep 1
    for ((index = ${#started[@]} - 1; index >= 0; index--)); do kill "${started[index]}" 2>/dev/null || true; done
    for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
    for pid in $(python3 "$root/scripts/lib/running.py" "$work"); do kill -KILL "$pid" 2>/dev/null || true; done
}

headline "Starting a Slurm of three nodes"
# free_port: a port nobody has now.
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
chmod 755 "$work"
mkdir "$work/state" "$work/munge"
chmod 700 "$work/munge"
cp "$winnow" "$work/winnow"
mungekey --create --keyfile "$work/munge/key"
munged --foreground --force --key-file "$work/munge/key" --socket "$work/munge.socket" --pid-file "$work/munge/pid" \
    --log-file "$logs/munged.log" --seed-file "$work/munge/seed" >/dev/null 2>&1 &
started+=($!)
export SLURM_CONF=$work/slurm.conf
host=$(hostname -s)
cat >"$SLURM_CONF" <<CONF
ClusterName=try
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge.socket
CredType=cred/munge
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool-%n
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd-%n.pid
SlurmctldLogFile=$logs/slurmctld.log
SlurmdLogFile=$logs/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
MpiDefault=none
KillWait=20
ReturnToService=2
SwitchType=switch/none
NodeName=n1 NodeAddr=127.0.0.1 NodeHostname=$host Port=$(free_port) CPUs=4
NodeName=n2 NodeAddr=127.0.0.1 NodeHostname=$host Port=$(free_port) CPUs=4
NodeName=n3 NodeAddr=127.0.0.1 NodeHostname=$host Port=$(free_port) CPUs=4
PartitionName=all Nodes=n1,n2,n3 Default=YES MaxTime=INFINITE State=UP
CONF
until [ -S "$work/munge.socket" ]; do sleep 0.1; done
slurmctld -D >"$logs/slurmctld.out" 2>&1 &
started+=($!)
for node in n1 n2 n3; do
    mkdir "$work/spool-$node"
    slurmd -D -N "$node" >"$logs/slurmd-$node.out" 2>&1 &
    started+=($!)
done
for ((second = 0; second < 60; second++)); do
    [ "$(sinfo --noheader --Node --format=%t 2>/dev/null | sort -u)" = idle ] && break
    sleep 1
done
((second < 60)) || {
    sinfo --Node --long >&2
    tail -n 20 "$logs"/slurm*.out >&2
    fail 70 "the nodes did not become idle"
}
say "  $(sinfo --noheader --Node --format='%N %t' | paste -sd , -)"

status=0
python3 "$root/scripts/lib/try_slurm.py" "$work/winnow" "$work" "$root" || status=$?
exit $status
