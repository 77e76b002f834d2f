#!/usr/bin/env bash
# From a fresh clone to a running cluster that shows what Winnow does. `scripts/demo.sh --help` says more.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/demo.sh [--quick] [--help]

Sets up what is missing (Debian packages through apt-get, with sudo where not root), builds Winnow, and then

  A  starts a coordinator and three workers on the needle pair (cluster/demo.yaml) and asks one question about a fact
     hidden in a long prompt: once with the whole prompt, once with the tenth of it that the speculator picks;
  B  makes a synthetic pair (about 64 M and 1 M parameters, kept in ~/.cache/winnow/demo), starts it the same way and
     measures time to first token and request rate with 4096-token prompts, dense and at 10 %, at most 60 s each;

and prints one small table. Everything runs on this machine, on free ports, and is stopped at the end.
Under 25 minutes with the build on 2 cores, under 4 without.

  --quick   B measures at most 20 s each: time to first token, and hardly a request rate
  --help    this text
TEXT
}

seconds=60
for argument in "$@"; do
    case $argument in
    --quick) seconds=20 ;;
    -h | --help) usage && exit 0 ;;
    *)
        usage >&2
        exit 64
        ;;
    esac
done

# shellcheck source-path=SCRIPTDIR source=lib/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/setup.sh"
# shellcheck source-path=SCRIPTDIR source=lib/cluster.sh
source "$root/scripts/lib/cluster.sh"
# shellcheck source-path=SCRIPTDIR source=lib/models.sh
source "$root/scripts/lib/models.sh"
lib=$root/scripts/lib
prompts=$root/cluster/prompts

headline "Setting up"
prepare python3
build "swift build" --product winnow
winnow=$(products)/winnow

headline "A  One question about a fact hidden in a long prompt"
start_cluster "coordinator and 3 workers, needle pair" "$root/cluster/demo.yaml" "$winnow"
# The first answer pays for memory that is touched for the first time; it does not count.
python3 "$lib/ask.py" "$cluster_url" "$prompts/needle-2048.txt" 6 dense >"$logs/first.tsv"
for mode in dense 0.1; do
    python3 "$lib/ask.py" "$cluster_url" "$prompts/needle-2048.txt" 6 "$mode" >"$logs/question-$mode.tsv"
    IFS=$'\t' read -r answer ttft prompt kept _ <"$logs/question-$mode.tsv"
    say "  $(printf '%-6s' "$mode") answer $answer, first token after $ttft ms, $kept of $prompt tokens prefilled"
done
stop_cluster

headline "B  Speed, on models large enough to be slow"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/winnow/demo
shape=(--vocab 512 --context 8192)
synth_model "$winnow" "$cache/main-64m" --hidden 896 --layers 6 --ffn 3072 --heads 14 --kv-heads 7 "${shape[@]}"
synth_model "$winnow" "$cache/speculator-1m" --hidden 128 --layers 4 --ffn 512 --heads 4 --kv-heads 2 "${shape[@]}"
cat >"$logs/synthetic.yaml" <<YAML
name: synthetic
model: "$cache/main-64m"
speculator: "$cache/speculator-1m"
coordinator: {threads: 1}
pipelines: [{stages: 3, threads: 1}]
YAML
# One token more begins the text.
python3 "$lib/make_prompts.py" "$prompts/alice.txt" 4095 16 >"$logs/prompts.jsonl"
start_cluster "coordinator and 3 workers, synthetic pair" "$logs/synthetic.yaml" "$winnow"
# The promise and the rates fit this machine: one dense request without load, after one that does not count.
head -c 4095 "$prompts/alice.txt" >"$logs/long.txt"
for _ in 1 2; do python3 "$lib/ask.py" "$cluster_url" "$logs/long.txt" 1 dense >"$logs/unloaded.tsv"; done
unloaded=$(cut -f 2 "$logs/unloaded.tsv")
bound=$(awk "BEGIN { printf \"%.1f\", 1.5 * $unloaded / 1000 + 0.05 }")s
# rates FACTOR...: requests per second, as multiples of what answering one dense request after the other gives.
rates() { printf '%s\n' "$@" | awk "{ printf \"%s%.2g\", (NR > 1 ? \",\" : \"\"), \$1 * 1000 / $unloaded }"; }
say "  dense, without load: first token after $unloaded ms; promised under load: $bound, half as much again"
measure() { # measure MODE RUNG-DURATION RATES
    say "  measuring $1 at ${3//,/, } requests/s until the promise breaks (at most $seconds s)"
    "$winnow" loadgen --target "$cluster_url" --prompts "$logs/prompts.jsonl" --max-tokens 1 --arrivals constant \
        --ladder "$3" --slo "ttft:p99:$bound" --duration "$2" --max-time "$seconds" --compare "$1" \
        --json "$logs/ladder-$1.json" >"$logs/ladder-$1.txt"
}
# Dense, three requests a rate are all that 60 s allow. Pruned, a rung must last long enough for a queue to show.
measure dense 8s "$(rates 0.8 1.6 3.2)"
measure 0.1 15s "$(rates 3.2 6.4 12.8 25.6)"
stop_cluster

headline "What was measured"
python3 "$lib/table.py" "$prompts/needle-2048.txt" \
    "$logs/question-dense.tsv" "$logs/question-0.1.tsv" "$logs/ladder-dense.json" "$logs/ladder-0.1.json"
