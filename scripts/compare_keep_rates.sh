#!/usr/bin/env bash
# The maximal QPS of whole and pruned prompts, side by side, on models large enough to be slow. `--help` says more.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/compare_keep_rates.sh [OPTION...] [-- LOADGEN-OPTION...]

Makes a synthetic pair once (251 M main model, 4 M speculator), launches it as a pipeline on this machine, and climbs a ladder
of rates in each mode with one `winnow loadgen --compare`:

  scripts/compare_keep_rates.sh                                  about an hour on two cores
  scripts/compare_keep_rates.sh --tokens 2048 -- --ladder 0.5x:1.5:4 --slo ttft:p90:3x --samples 44

The promise is on the p99 TTFT: three times what a whole prompt takes alone, for every mode. A rung that keeps it for 459
requests proves it at 99 %; whole prompts lose theirs within a few dozen requests. The ratio is therefore the highest rate
proved with pruned prompts over a rate shown to be too much for whole ones: at least so much. Rates are multiples of what each
mode gives to one request after the other.

  --tokens N       prompt length, of exactly so many tokens (8192)
  --modes LIST     what is compared; the first sets the bound (dense,0.1)
  --stages N       stages of the pipeline, one worker of one thread each (2)
  --dtype TYPE     number formats of all processes (int8)
  --models DIR     where the models are, or will be made: 530 MB (~/.cache/winnow/compare)
  --winnow FILE    a winnow that is built already; nothing is built then
  --json FILE      the report as JSON (keep-rates.json)
  --html FILE      the report as a page (keep-rates.html)
  -h, --help       this text

Options after -- go to `winnow loadgen`; they replace the defaults named above. Exit status: that of the load generator.
TEXT
}

tokens=8192 modes=dense,0.1 stages=2 dtype=int8 models=${XDG_CACHE_HOME:-$HOME/.cache}/winnow/compare winnow=''
json=keep-rates.json html=keep-rates.html
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage && exit 0 ;;
    --tokens | --modes | --stages | --dtype | --models | --winnow | --json | --html)
        [ $# -ge 2 ] || { usage >&2 && exit 64; }
        declare "${1#--}=$2"
        shift 2
        ;;
    --) shift && break ;;
    *) usage >&2 && exit 64 ;;
    esac
done

# shellcheck source-path=SCRIPTDIR source=lib/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/setup.sh"
# shellcheck source-path=SCRIPTDIR source=lib/cluster.sh
source "$root/scripts/lib/cluster.sh"
# shellcheck source-path=SCRIPTDIR source=lib/models.sh
source "$root/scripts/lib/models.sh"

headline "Setting up"
if [ -z "$winnow" ]; then
    prepare
    build "swift build" --product winnow
    winnow=$(products)/winnow
fi
shape=(--vocab 8192 --context 131072)
synth_model "$winnow" "$models/main-251m" --hidden 1024 --layers 16 --ffn 4096 --heads 16 --kv-heads 4 "${shape[@]}"
synth_model "$winnow" "$models/speculator-4m" --hidden 256 --layers 4 --ffn 1024 --heads 4 --kv-heads 2 "${shape[@]}"

cat >"$logs/keep-rates.yaml" <<YAML
name: keep-rates
model: "$models/main-251m"
speculator: "$models/speculator-4m"
dtype: $dtype
coordinator: {threads: 1}
pipelines: [{stages: $stages, threads: 1}]
YAML
start_cluster "coordinator and $stages workers" "$logs/keep-rates.yaml" "$winnow"

has() {
    local word=$1
    shift
    local option
    for option in "$@"; do [ "$option" = "$word" ] && return 0; done
    return 1
}
defaults=()
has --slo "$@" || defaults+=(--slo ttft:p99:3x)
has --ladder "$@" || has --find-max-qps "$@" || has --rate "$@" || defaults+=(--ladder 0.9x,1.2x)
has --samples "$@" || has --rate "$@" || defaults+=(--samples 459)
has --timeout "$@" || defaults+=(--timeout 10m)
headline "Measuring"
"$winnow" loadgen --target "$cluster_url" --prompt-tokens "$tokens" --exact-lengths 16 --max-tokens 1 --compare "$modes" \
    "${defaults[@]}" --json "$json" --html "$html" "$@"
