#!/bin/bash
# Feeds random inputs to what reads the outside world, and stops at the first crash, hang or hunger for memory.
#
#   scripts/fuzz.sh [NAME] [SECONDS]
#
# NAME is a folder of Tests/Fuzz: each holds a harness and a small corpus to begin with. Without one, all of them run, one
# after the other. SECONDS is for each, 60 by default. New inputs that reach new code are kept in .build-fuzz/corpus;
# an input that fails is written to .build-fuzz and named at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${2:-60}
names=${1:-$(ls Tests/Fuzz)}
export WINNOW_FUZZ=1
scratch=.build-fuzz
for name in $names; do
    if [[ ! -d Tests/Fuzz/$name ]]; then
        echo "scripts/fuzz.sh: no harness is called $name; there are: $(ls Tests/Fuzz | xargs)" >&2
        exit 2
    fi
    swift build -c release --sanitize=fuzzer --scratch-path "$scratch" --product "Fuzz$name"
    mkdir -p "$scratch/corpus/$name"
    # An input may take 5 seconds and the process 1 GiB.
    "$scratch/release/Fuzz$name" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -max_len=4096 \
        -print_final_stats=1 -artifact_prefix="$scratch/$name-" "$scratch/corpus/$name" "Tests/Fuzz/$name/corpus"
done
