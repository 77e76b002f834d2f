#!/usr/bin/env bash
# Everything but the coordinator fails under load, and nothing may be lost. `scripts/chaos.sh --help` says more.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/chaos.sh [--seed N] [--requests N] [--faults N] [--small] [--record FILE] [--winnow FILE]

Starts a coordinator, two pipelines of two stages, a spare and two speculators on the needle pair (in bf16, where a row is
the same in any company, so that texts compare), all behind a proxy that can harm single links. Eight clients send the
requests, half dense and half pruned, half streamed, half sampled: first undisturbed, then the same again while faults happen
that are drawn from the seed:

  kill, kill-loading     SIGKILL, started again after 0.5 to 3 s; killed once more while it loads
  stop                   SIGSTOP, and SIGCONT after 0.5 to 8 s
  leave, kill-leaving    SIGTERM, started again; and killed while it leaves
  cut-, hold-control     the link to the coordinator broken, or its bytes held, for 0.5 to 4 s; likewise -data (the links
                         that rows travel over) and -both; slow-data: every piece of them 50 ms late

Prints each fault and, of requests that went wrong, how they ended; then how many were answered, failed, differ from the
undisturbed run or hung, the longest pause, KV rows still held, and the memory of each process.

  --seed N         of requests and faults; default 1
  --requests N     default 1000
  --faults N       default 60
  --small          one pipeline, no spare, the coordinator scores
  --record FILE    append the record there too
  --winnow FILE    the program to test, instead of building it
  --help           this text

Exit status: 0 when nothing was lost, 1 otherwise.
TEXT
}

options=()
winnow=
while (($# > 0)); do
    case $1 in
    --seed | --requests | --faults | --record)
        (($# > 1)) || { usage >&2 && exit 64; }
        [ "$1" = --record ] || [[ $2 =~ ^[0-9]{1,9}$ ]] || { usage >&2 && exit 64; }
        options+=("$1" "$2")
        shift 2
        ;;
    --winnow)
        (($# > 1)) || { usage >&2 && exit 64; }
        winnow=$2
        shift 2
        ;;
    --small)
        options+=(--small)
        shift
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
if [ -z "$winnow" ]; then
    headline "Setting up"
    prepare python3
    build "swift build" --product winnow
    winnow=$(products)/winnow
fi

chaos=
stop_chaos() {
    [ -n "$chaos" ] || return 0
    kill -TERM "$chaos" 2>/dev/null || true
    wait "$chaos" || true
    chaos=
}
on_end stop_chaos

headline "Chaos"
# In the background, so that a signal to this script is heard at once.
python3 "$root/scripts/lib/chaos.py" --winnow "$winnow" --models "$root/cluster/models" \
    --text "$root/cluster/prompts/alice.txt" --logs "$logs/processes" "${options[@]}" &
chaos=$!
status=0
wait "$chaos" || status=$?
chaos=
exit "$status"
