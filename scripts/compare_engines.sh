#!/usr/bin/env bash
# Winnow's forward pass beside other engines', on the same weights. `scripts/compare_engines.sh --help` says more.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/compare_engines.sh [OPTION...]

Measures prefill and decode of Winnow, llama.cpp (through llama-cpp-python), Hugging Face transformers (PyTorch) and
OpenVINO GenAI on the same weights, threads and CPUs, in one run and in turns: in every repetition each engine runs
once, in an order that rotates, while the others sleep. Prints the medians and, for each pair that is compared, the
ratio of Winnow's tokens per second to the peer's: the median of the ratios within the repetitions, with their minimum
and maximum.

  --tokens LIST        prompt lengths for prefill (512,2048,4096,8192)
  --repetitions N      counted runs of every engine at every length (5)
  --quick              512 tokens and decode only, 3 repetitions, where the two options above do not say otherwise
  --engines LIST       which engines (all but those in parentheses):
                         winnow-bf16 winnow-int8 (winnow-f32 winnow-pruned winnow-pruned-sparse)
                         transformers-bf16 (transformers-f32)
                         llama-bf16 (llama-f32) llama-q8_0 llama-q4_0 llama-q4_k_m
                         llama-bench-bf16 llama-bench-q8_0, where --llama-bench names one
                         openvino-bf16 openvino-int8 openvino-w8a8 (openvino-trishape openvino-xattention)
  --threads N          compute threads of every engine (1)
  --cpus LIST          the CPUs all of them are pinned to, e.g. 0,2-3 (the first N this process may use)
  --timeout SECONDS    an engine that needs longer for one run is reported as such, and left out of the rest of that
                       length and of longer ones (600)
  --llama-bench FILE   a llama-bench that you have built, of llama.cpp or of a fork such as ik_llama.cpp: each run is a
                       process of its own; weights are repacked as it loads them where it can (-rtr)
  --llama-flash-attention on|off|best
                       best: llama.cpp runs each length once with and once without before anything counts, and stays
                       with what was faster (best)
  --json FILE          also writes every single measurement there
  --models DIR         where the models are, or are made when missing (.build/peers/models)
  --python FILE        a Python that has the peers; nothing is installed then
  --winnow FILE        a winnow that is built already; nothing is built then
  -h, --help           this text

What is measured. Prefill: a prompt of random tokens, from an empty cache to the logits of its last token. Decode: 64
tokens, one after the other, from a context of 512. Loading and a warm-up of the same length never count (llama-bench
warms up with a token or a short prompt). bf16, f32 and W8A8 engines run at every length, llama.cpp's quantised ones and
openvino-int8 at 512 (or the shortest) and in decode. Compared are
  prefill   winnow-bf16 with each bf16 peer, winnow-int8 with each quantised one, both winnow-pruned with OpenVINO's
  decode    winnow-bf16 with each bf16 peer, winnow-int8 with those of 8 bits
and winnow-f32 with transformers-f32 and llama-f32 where they are asked for. A CPU without bf16 instructions shows
PyTorch's bf16 in a bad light: ask for transformers-f32 too there.

openvino-int8 has weights of 8 bits, openvino-w8a8 weights and activations (NNCF's post-training quantisation); trishape
and xattention are the latter with GenAI's two kinds of sparse prefill, as they are configured by default. Before
anything counts OpenVINO runs with its plain and its paged attention, the latter with prompts cut into 512 and 2048 rows
and whole, and stays with what was fastest; what it cannot run is named below the table. winnow-pruned is the first
token from a tenth of the prompt, in int8, winnow-pruned-sparse the same with `speculator_attention: sparse`, their
speculator's time included: what it leaves out is not what sparse attention leaves out, and neither is a whole prompt.

The first run installs llama-cpp-python (compiled for this CPU), torch, transformers, openvino-genai, optimum-intel and
NNCF from PyPI into .build/peers/env (about 7 GB; pip's own settings apply), as far as --engines needs them, and makes a
random model of 260 M parameters, its GGUF twin and three quantised ones, and three for OpenVINO (3 GB). Later runs use
what is there. Run it on a machine that does nothing else.

Progress goes to standard error, the result to standard output. Ctrl-C ends everything and prints what was measured.

Exit status: 0 done; 64 wrong usage; 65 a model is bad; 69 a peer could not be installed or started (it is named, the
others are measured); 70 Winnow failed, or the script; 130 ended by Ctrl-C.
TEXT
}

for argument in "$@"; do
    case $argument in -h | --help) usage && exit 0 ;; esac
done

# shellcheck source-path=SCRIPTDIR source=lib/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/setup.sh"
driver=$root/scripts/lib/compare_engines.py
peers=$root/.build/peers

command -v python3 >/dev/null || install_packages python3
# What the options ask for, as shell words; wrong ones are told apart here, before anything is installed or built.
needs=$(python3 -B "$driver" --needs "$@") || {
    status=$?
    tells_logs=
    rm -rf "$logs"
    exit "$status"
}
eval "$needs"
# shellcheck disable=SC2154 # need_llama, need_transformers, need_openvino, given_python and given_winnow come from the line above
arguments=("$@")

if [ -z "$given_winnow" ]; then
    headline "Building Winnow"
    prepare python3
    build "swift build" --product winnow
    arguments+=(--winnow "$(products)/winnow")
fi

# Whether the environment has the modules.
has() {
    local module
    for module in "$@"; do "$peers/env/bin/python" -c "import $module" >/dev/null 2>&1 || return 1; done
}
# install_peer NAME MODULES PACKAGE...: a failure is told; the driver then finds the peer missing and goes on without it.
install_peer() {
    local name=$1 modules=$2
    shift 2
    # shellcheck disable=SC2086 # several modules
    has $modules && return
    run_quietly "pip install $name" "$logs/pip-$name.log" "$peers/env/bin/pip" install \
        --disable-pip-version-check --timeout 60 --retries 3 "$@" ||
        say "  ${red}$name can't be installed: going on WITHOUT it.${plain}"
}
if [ -z "$given_python" ] && [ -n "$need_llama$need_transformers$need_openvino" ]; then
    headline "Installing the peers"
    mkdir -p "$peers"
    if [ ! -x "$peers/env/bin/pip" ]; then
        # Without root or network the rest may still be there.
        (install_packages python3-venv ${need_llama:+g++ cmake}) || true
        run_quietly "python venv" "$logs/venv.log" python3 -m venv --clear "$peers/env" ||
            say "  ${red}no environment for the peers: going on WITHOUT them.${plain}"
    fi
    if [ -x "$peers/env/bin/pip" ]; then
        [ -z "$need_llama" ] || CMAKE_ARGS="-DGGML_NATIVE=ON ${CMAKE_ARGS:-}" \
            install_peer llama.cpp llama_cpp llama-cpp-python
        [ -z "$need_transformers" ] || install_peer transformers "torch transformers" torch transformers
        [ -z "$need_openvino" ] || install_peer OpenVINO "openvino_genai optimum.intel nncf" \
            openvino openvino-genai openvino-tokenizers optimum-intel nncf
    fi
    arguments+=(--python "$peers/env/bin/python")
fi

# The driver ends what it starts, whatever ends it.
trap - EXIT INT TERM HUP
rm -rf "$logs"
exec python3 -B "$driver" --state "$peers" "${arguments[@]}"
