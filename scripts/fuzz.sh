#!/bin/bash
# Feeds random inputs to what reads the outside world, and stops at the first crash, hang or hunger for memory.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<TEXT
Usage: scripts/fuzz.sh [--seconds N] [--build] [--address] [--only KIND] [HARNESS...]

HARNESS is a folder of Tests/Fuzz: each holds a harness and a small corpus to begin with; beside it lies a dictionary, where
inputs have words. Without one, all of them run, one after the other. New inputs that reach new code are kept in
.build-fuzz/corpus; an input that fails is written to .build-fuzz and named at the end.

  --seconds N   for each harness, 60 by default
  --build       builds them and runs none
  --only KIND   feeds one kind of what a harness reads, and passes by all else: connection or json (HTTP), topology or
                document (Settings), json, gguf or pieces (Tokenizers), gguf, safetensors or configuration (Weights), frames,
                zap, endpoint, key or list (Wire)
  --address     with the address sanitizer too, in C and Swift; three times the memory, half the speed

$(printf '  %-12s%-10s%-9s%s\n' HARNESS 'ONE PIECE' PROCESS 'WHAT IT FEEDS'; table | while IFS='|' read -r name piece process what; do
    printf '  %-12s%-10s%-9s%s\n' "$name" "$piece MiB" "$process MiB" "$what"
done)

ONE PIECE is the most memory that one allocation may take, PROCESS what all of it may; an input may take 5 seconds.
TEXT
}

# Harness, bounds in MiB, what it reads. Inputs have at most 4 KiB, or as much as the longest of the corpus; Wire's stand for
# up to 4 MiB, and its ids for lists.
table() {
    cat <<'TEXT'
HTTP|64|1024|a connection's head and body, and the JSON of requests
Kernels|64|512|the C kernels, of any shape at any level, with memory that ends where they do
Settings|32|512|topology files and configuration documents
Templates|64|512|chat templates, rendered
Tokenizers|64|768|tokenizer.json, SentencePiece and GGUF vocabularies
Traces|32|512|recorded arrivals, for the load generator
Weights|64|768|safetensors and GGUF models
Wire|64|512|messages' frames, ZAP's questions, keys and allow-lists
TEXT
}

coverage=edge,indirect-calls,trace-cmp,inline-8bit-counters,pc-table
seconds=60 build_only='' sanitize=(--sanitize=fuzzer) scratch=.build-fuzz harnesses=()
while (($# > 0)); do
    case $1 in
    --seconds)
        [[ ${2:-} =~ ^[0-9]+$ ]] || { usage >&2 && exit 64; }
        seconds=$2
        shift
        ;;
    --build) build_only=yes ;;
    --only)
        [ -n "${2:-}" ] || { usage >&2 && exit 64; }
        export WINNOW_FUZZ_ONLY=$2
        shift
        ;;
    --address)
        # Of two sanitizers Swift's compiler hears the last, and would count no coverage.
        sanitize=(--sanitize=fuzzer --sanitize=address -Xswiftc -sanitize-coverage="$coverage") scratch=.build-fuzz-address
        ;;
    -h | --help) usage && exit 0 ;;
    -*)
        usage >&2
        exit 64
        ;;
    *) harnesses+=("$1") ;;
    esac
    shift
done
((${#harnesses[@]} > 0)) || mapfile -t harnesses < <(table | cut -d '|' -f 1)

export WINNOW_FUZZ=1
# Swift's own report of a crash would end the process before libFuzzer writes the input down.
export SWIFT_BACKTRACE=enable=no
for name in "${harnesses[@]}"; do
    if ! bounds=$(table | grep "^$name|"); then
        echo "scripts/fuzz.sh: no harness is called $name; there are: $(table | cut -d '|' -f 1 | xargs)" >&2
        exit 64
    fi
    swift build -c release "${sanitize[@]}" --scratch-path "$scratch" --product "Fuzz$name"
    [ -z "$build_only" ] || continue
    IFS='|' read -r _ piece process _ <<<"$bounds"
    bound=()
    if [ "$scratch" = .build-fuzz ]; then
        clang -O2 -Wall -Wextra -Werror -shared -fPIC Tests/Fuzz/bound.c -o "$scratch/bound.so"
        bound=(env "LD_PRELOAD=$PWD/$scratch/bound.so" "WINNOW_FUZZ_PIECE=$((piece << 20))")
    else
        # What the sanitizer keeps for itself is no input's fault; it counts the pieces.
        process=$((process * 3))
    fi
    dictionary=()
    [ ! -e "Tests/Fuzz/$name.dict" ] || dictionary=("-dict=Tests/Fuzz/$name.dict")
    mkdir -p "$scratch/corpus/$name"
    echo "== $name: $seconds s, an allocation at most $piece MiB, all at most $process MiB"
    "${bound[@]}" "$scratch/release/Fuzz$name" -max_total_time="$seconds" -timeout=5 -malloc_limit_mb="$piece" \
        -rss_limit_mb="$process" -print_final_stats=1 -artifact_prefix="$scratch/$name-" "${dictionary[@]}" \
        "$scratch/corpus/$name" "Tests/Fuzz/$name/corpus"
done
