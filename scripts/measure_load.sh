#!/usr/bin/env bash
# How long a model of 3.2 B parameters takes to load in int8: packed from the model, and from the weights cache; and that the
# stage of a split model opens nothing of the other stages. `scripts/measure_load.sh --help` says more.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/measure_load.sh [--threads N] [--folder DIR] [--help]

Makes a synthetic model of 3.2 B parameters (6 GiB) in a new folder, which goes at the end with all that is in it (16 GiB
at the most), and prints how long `winnow generate` takes from its start to the end of its first token:

  cold           nothing kept: the weights are quantised and packed
  cold, keeping  likewise, and until the packed weights lie in the cache
  warm           from the cache, whose files lie in memory
  warm, disk     from the cache, whose files must be read from the disk

Then it splits the model in two, removes it, and starts a cluster of the parts, the second stage under strace: every file
in the folder that this stage opens until a request is answered is listed. Exits with 1 unless a warm start takes under 8 s and the worker opens its own part alone.

  --threads N    compute threads (2)
  --folder DIR   where to make the folder (the system's for temporary files)
TEXT
}

threads=2
where=${TMPDIR:-/tmp}
while (($#)); do
    case $1 in
    --threads) threads=$2 && shift 2 ;;
    --folder) where=$2 && shift 2 ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && exit 64 ;;
    esac
done
cd "$(dirname "$0")/.."
winnow=${WINNOW_PROGRAM:-.build/release/winnow}
[[ -x $winnow ]] || { echo "build first: swift build -c release" >&2 && exit 69; }
folder=$(mktemp -d "$where/winnow-load.XXXXXX")
processes=()
# shellcheck disable=SC2317 # by the trap
clean() {
    for process in "${processes[@]}"; do kill -TERM "$process" 2>/dev/null || true; done
    for process in "${processes[@]}"; do wait "$process" 2>/dev/null || true; done
    rm -rf "$folder"
}
trap clean EXIT
model=$folder/model

"$winnow" model synth --hidden 3072 --layers 28 --ffn 8192 --heads 24 --kv-heads 8 --vocab 65536 --context 8192 \
    --out "$model" | grep weights
cat "$model/model.safetensors" >/dev/null
failed=0

# start NAME CACHE: prints the seconds of a start, and leaves them in $seconds.
start() {
    local begin end
    begin=$(date +%s%N)
    "$winnow" generate --model "$model" --dtype int8 --threads "$threads" --prompt hello --max-tokens 1 \
        --weights-cache "$2" >/dev/null 2>&1
    end=$(date +%s%N)
    seconds=$(((end - begin) / 1000000))
    printf '%-15s %d.%02d s\n' "$1" $((seconds / 1000)) $((seconds % 1000 / 10))
}

start "cold" none
start "cold, keeping" "$folder/cache"
start "warm" "$folder/cache"
((seconds < 8000)) || failed=1
sync
for file in "$folder"/cache/*; do dd if="$file" iflag=nocache count=0 status=none; done
start "warm, disk" "$folder/cache"
du -sh "$folder/cache" | awk '{print "the cache        " $1}'
rm -rf "$folder/cache"

"$winnow" model split "$model" --stages 2 --out "$folder/parts"
command -v strace >/dev/null || { echo "no strace here: nothing said about what is opened" >&2 && exit 69; }
rm -rf "$model"
# run LOG COMMAND...: in the background, to be ended with this script.
run() {
    local log=$1 && shift
    "$@" >"$folder/$log" 2>&1 &
    processes+=($!)
}
# until_line LOG PATTERN: waits for a line of the last process started.
until_line() {
    until grep -q "$2" "$folder/$1"; do
        kill -0 "${processes[-1]}" 2>/dev/null || { cat "$folder/$1" >&2 && exit 1; }
        sleep 0.1
    done
}
run coordinator.log "$winnow" coordinator --model "$folder/parts/coordinator" --stages 2 --http 127.0.0.1:0 \
    --listen "ipc://$folder/control"
until_line coordinator.log "^listening "
worker=("$winnow" worker --coordinator "ipc://$folder/control" --dtype int8 --weights-cache none --model)
run first.log "${worker[@]}" "$folder/parts/stage-0"
# -D: the process that is ended with this script is the worker, not strace.
run second.log strace -D -f -qq -e trace=open,openat -o "$folder/trace" "${worker[@]}" "$folder/parts/stage-1"
until_line coordinator.log "^ready "
url=$(sed -n 's/^ready //p' "$folder/coordinator.log")
curl -sf "$url/v1/completions" -H 'Content-Type: application/json' \
    -d '{"model": "coordinator", "prompt": "hello", "max_tokens": 4, "ignore_eos": true}' | grep -o '"completion_tokens":[0-9]*'
echo "the worker of stage-1 opened:"
opened=$(grep -o "\"${folder}[^\"]*\"" "$folder/trace" | tr -d '"' | sort -u | sed "s|$folder/||")
echo "$opened"
if grep -qv "^parts/stage-1/" <<<"$opened" || ! grep -q "^parts/stage-1/model.safetensors" <<<"$opened"; then failed=1; fi
exit $failed
