#!/usr/bin/env bash
# A worker within a control group's limits. `scripts/try_limits.sh --help` says more.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/try_limits.sh [--winnow FILE]

Runs a coordinator and, in a control group of 512 MiB and one CPU (systemd-run where systemd is process 1, else one made by
hand, of version 2 or 1), a worker that is told four threads, and checks

  1  the worker says the limits, and whose files they stand in;
  2  it computes with one thread and plans its KV rows within the memory;
  3  `winnow check` in the group says so too;
  4  it answers, within the memory, and is not killed.

Needs root. Removes what it made. Prints a line for each; exit status 0 when all hold.

  --winnow FILE    the program to test, instead of building it
TEXT
}

# shellcheck source-path=SCRIPTDIR source=lib/try.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/try.sh"
[ "$(id -u)" = 0 ] || fail 77 "control groups need root"
ready_to_try python3

memory=$((512 << 20))
started=()
groups=()
clean_up() {
    local pid group
    for pid in "${started[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
    for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
    for group in "${groups[@]}"; do rmdir "$group" 2>/dev/null || true; done
}

# own_group CONTROLLER: the folder of this process's group of a hierarchy of version 1; nothing: there is none.
own_group() {
    local path
    path=$(sed -n "s/^[0-9]*:\([^:]*,\)\{0,1\}$1\(,[^:]*\)\{0,1\}:\(.*\)/\3/p" /proc/self/cgroup)
    [ -n "$path" ] && [ -d "/sys/fs/cgroup/$1$path" ] && echo "/sys/fs/cgroup/$1${path%/}"
}

# limited COMMAND...: becomes the command, within the limits.
if [ "$(cat /proc/1/comm)" = systemd ]; then
    limited() { exec systemd-run --quiet --scope -p MemoryMax=512M -p MemorySwapMax=0 -p CPUQuota=100% -- "$@"; }
elif grep -qw memory /sys/fs/cgroup/cgroup.controllers 2>/dev/null; then
    group=/sys/fs/cgroup/winnow-try-$$
    mkdir "$group"
    groups+=("$group")
    echo '+memory +cpu' >/sys/fs/cgroup/cgroup.subtree_control
    echo "$memory" >"$group/memory.max"
    echo '100000 100000' >"$group/cpu.max"
    limited() { echo "$BASHPID" >"$group/cgroup.procs" && exec "$@"; }
else
    for controller in memory cpu; do
        parent=$(own_group "$controller") || fail 77 "there is no control group for $controller"
        group=$parent/winnow-try-$$
        mkdir "$group"
        groups+=("$group")
    done
    echo "$memory" >"${groups[0]}/memory.limit_in_bytes"
    echo 100000 >"${groups[1]}/cpu.cfs_period_us"
    echo 100000 >"${groups[1]}/cpu.cfs_quota_us"
    limited() {
        local group
        for group in "${groups[@]}"; do echo "$BASHPID" >"$group/cgroup.procs"; done
        exec "$@"
    }
fi

model=$root/cluster/models/needle-main-2m
"$winnow" coordinator --model "$model" --http 127.0.0.1:0 --listen 'tcp://127.0.0.1:*' \
    --kv-tokens 1000000000 >"$logs/coordinator.out" 2>"$logs/coordinator.log" </dev/null &
started+=($!)
wait_for 20 grep -q '^listening ' "$logs/coordinator.out" || fail 70 "the coordinator does not listen"
endpoint=$(sed -n 's/^listening //p' "$logs/coordinator.out")

headline "A worker in 512 MiB and one CPU"
(limited "$winnow" worker --model "$model" --coordinator "$endpoint" --threads 4) \
    >"$logs/worker.out" 2>"$logs/worker.log" </dev/null &
started+=($!)
wait_for 30 grep -q '^ready ' "$logs/coordinator.out" || {
    tail -n 20 "$logs/worker.log" >&2
    fail 70 "the worker does not serve"
}
url=$(sed -n 's/^ready //p' "$logs/coordinator.out")
status=0
grep -Eq 'cpus=1(\.0)? limit=/sys/fs/cgroup/.*threads=1 wanted=4' "$logs/worker.log" || status=1
verdict "$status" "$(grep -o 'cpus=.*' "$logs/worker.log" || echo 'no word of the CPU time')"
status=0
grep -Eq 'available=[0-9]+ MiB .*limit=/sys/fs/cgroup/' "$logs/worker.log" || status=1
verdict "$status" "$(grep -o 'available=.*' "$logs/worker.log" || echo 'no word of the memory')"
# Keys and values of a token in every layer, 2 bytes each.
row=$(python3 -c 'import json, sys
model = json.load(open(sys.argv[1]))
head = model.get("head_dim") or model["hidden_size"] // model["num_attention_heads"]
print(2 * 2 * model["num_hidden_layers"] * model["num_key_value_heads"] * head)' "$model/config.json")
planned() {
    curl -sS "$url/status" | python3 -c 'import json, sys
print(*(stage["kv_rows"] for stage in json.load(sys.stdin)["pipelines"][0]["stages"]))' | grep .
}
wait_for 10 planned || fail 70 "the status does not show the stage"
rows=$(planned)
status=0
((rows > 1000 && rows * row <= memory / 2)) || status=1
verdict "$status" "KV rows planned: $rows of $row bytes, $((rows * row >> 20)) MiB"
answer=$(python3 "$root/scripts/lib/ask.py" "$url" "$root/cluster/prompts/needle-2048.txt" 6 dense | cut -f 1)
status=0
[ "$answer" = 25502 ] && kill -0 "${started[1]}" || status=1
verdict "$status" "it answers the demo's question: $answer"
(limited "$winnow" check "$root/cluster/one-host/cluster.yaml") >"$logs/check" 2>&1 || true
status=0
grep -q 'MiB free within /sys/fs/cgroup/' "$logs/check" && grep -q 'CPUs\{0,1\}, 1.0 of them by /sys/fs/cgroup/' "$logs/check" || status=1
verdict "$status" "winnow check there: $(tail -n 1 "$logs/check")"
exit "$failed"
