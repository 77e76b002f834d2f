#!/usr/bin/env bash
# A cluster under weather that lasts: a busy host, a slow stage, a crowd of bad clients, processes that end. `--help` says more.
set -euo pipefail

known=(busy nice slow crowd killed spare rolling drain bubble)
usage() {
    cat <<'TEXT'
Usage: scripts/soak.sh [--seconds N] [--model DIR] [--winnow FILE] [WEATHER...]

Launches a cluster for each weather and holds it there; nothing may be lost, no process taken for dead, nothing may grow.

  busy    a model of 3.2 B parameters (random weights, int8) over two stages, three clients with dense prompts, and eight
          busy loops beside it; 600 s
  nice    the same with the workers at nice 19, so that the loops leave them a hundredth; 120 s, then without the loops
          until all is answered
  slow    the needle pair over two stages in bf16, eight clients; the last stage is stopped for nine tenths of each 100 ms;
          120 s. Each text must be that of the undisturbed run
  crowd   the needle pair over two stages, 1,000 connections at a time: a third read a few bytes a second, a third leave in
          the middle, a third behave; six rounds, of which the last may use no more than the third. A few are told 429: those
          beyond the prompts that may wait to be read
  killed  the needle pair over two stages, four clients: SIGKILL for either worker, started again after 3 s. Each text must be
          that of the undisturbed run, and nobody may get nothing for 6 s
  spare   the same with a spare: 1.5 s
  rolling the same with a spare and two speculators: SIGTERM for each process but the coordinator, one after the other
  drain   the pair: SIGTERM for the cluster while 20 streams run, each of which must come to its end
  bubble  the pair: the stages' bubble by the metrics and by a trace, which may differ by 0.02

Prints a line for each: requests, faults, memory before and after.

  --seconds N    hold each weather so long
  --model DIR    the model of `busy` and `nice`, instead of writing one (6 GiB, in the temporary folder; gone at the end)
  --winnow FILE  a winnow that is built already; nothing is built then
  -h, --help     this text

Exit status: 0 when all hold, 1 otherwise.
TEXT
}

weathers=() seconds='' model='' winnow=''
while (($# > 0)); do
    case $1 in
    -h | --help) usage && exit 0 ;;
    --seconds | --model | --winnow)
        (($# > 1)) || { usage >&2 && exit 64; }
        case $1 in
        --seconds)
            [[ $2 =~ ^[0-9]{1,6}$ ]] || { usage >&2 && exit 64; }
            seconds=$2
            ;;
        --model) model=$2 ;;
        --winnow) winnow=$2 ;;
        esac
        shift 2
        ;;
    *)
        case " ${known[*]} " in
        *" $1 "*) weathers+=("$1") ;;
        *)
            printf 'unknown weather or option: %s\n' "$1" >&2
            usage >&2
            exit 64
            ;;
        esac
        shift
        ;;
    esac
done
((${#weathers[@]} > 0)) || weathers=("${known[@]}")

# shellcheck source-path=SCRIPTDIR source=lib/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/setup.sh"
# shellcheck source-path=SCRIPTDIR source=lib/cluster.sh
source "$root/scripts/lib/cluster.sh"
if [ -z "$winnow" ]; then
    headline "Setting up"
    prepare python3
    build "swift build" --product winnow
    winnow=$(products)/winnow
fi

soak=
stop_soak() {
    [ -n "$soak" ] || return 0
    kill -TERM "$soak" 2>/dev/null || true
    wait "$soak" || true
    soak=
}
on_end stop_soak

write_model() {
    [ -z "$model" ] || return 0
    run_quietly "a model of 3.2 B parameters" "$logs/synth.log" "$winnow" model synth --hidden 3072 --layers 28 \
        --ffn 8192 --heads 24 --kv-heads 8 --vocab 65536 --context 8192 --out "$logs/model" || fail 70 "no model"
    model=$logs/model
}

headline "Soak"
failed=0
for weather in "${weathers[@]}"; do
    topology=$logs/$weather.yaml
    case $weather in
    busy | nice)
        write_model
        printf 'name: soak\nmodel: %s\ndtype: int8\npipelines: [{stages: 2, threads: 1}]\n' \
            "$(cd "$model" && pwd)" >"$topology"
        ;;
    *)
        printf 'name: soak\nmodel: %s\nspeculator: %s\ndtype: bf16\npipelines: [{stages: 2, threads: 1}]\n' \
            "$root/cluster/models/needle-main-2m" "$root/cluster/models/needle-speculator-0.4m" >"$topology"
        ;;
    esac
    case $weather in
    slow | crowd)
        # All clients come from one address here.
        printf 'coordinator: {%s}\n' "max_requests: 1100, max_connections: 1100, max_connections_per_address: 1100, \
max_queued_tokens: 8388608" >>"$topology"
        ;;
    killed) printf 'restart: {policy: always, backoff: 3}\n' >>"$topology" ;;
    spare) printf 'restart: {policy: always, backoff: 3}\nspares: 1\n' >>"$topology" ;;
    rolling) printf 'spares: 1\nspeculators: 2\n' >>"$topology" ;;
    drain) printf 'coordinator: {drain_time: 60}\n' >>"$topology" ;;
    bubble) printf 'coordinator: {trace: "%s"}\n' "$logs/trace.json" >>"$topology" ;;
    esac
    start_cluster "$weather" "$topology" "$winnow"
    # In the background, so that a signal to this script is heard at once.
    python3 "$root/scripts/lib/soak.py" "$weather" --url "$cluster_url" --launch "$cluster_pid" \
        --text "$root/cluster/prompts/alice.txt" --trace "$logs/trace.json" ${seconds:+--seconds "$seconds"} &
    soak=$!
    wait "$soak" || failed=1
    soak=
    stop_cluster
    ((cluster_status == 0)) || failed=1
done
exit "$failed"
