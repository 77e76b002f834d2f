#!/usr/bin/env bash
# Winnow's server beside llama-cpp-python's, on the same model file, in one report. `--help` says more.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/compare_servers.sh --model FILE.gguf [OPTION...] -- LOADGEN-OPTION...

Starts a Winnow cluster (one stage) and llama-cpp-python's OpenAI-compatible server on the same GGUF file and the same number
of threads, and measures both in turns by one `winnow loadgen --target winnow=... --target llama.cpp=... LOADGEN-OPTION...`:

  scripts/compare_servers.sh --model m.gguf -- --rate 0.5 --duration 60 --prompt-tokens 512 --html both.html
  scripts/compare_servers.sh --model m.gguf -- --find-max-qps --slo ttft:p90:5s --samples 44 --prompts p.jsonl --html both.html

llama-cpp-python's server answers one request at a time and the others wait; so much is part of what is compared.

  --model FILE     the model, as GGUF
  --threads N      compute threads of each server (2)
  --context N      tokens of context (4096)
  --python FILE    a Python that has llama-cpp-python[server]; nothing is installed then
  --winnow FILE    a winnow that is built already; nothing is built then
  -h, --help       this text

The first run compiles llama-cpp-python from PyPI into .build/peers/server (minutes). Both servers are stopped at the end.
Exit status: that of the load generator; 64 wrong usage; 69 a server did not start.
TEXT
}

model='' threads=2 context=4096 python='' winnow=''
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage && exit 0 ;;
    --model | --threads | --context | --python | --winnow)
        [ $# -ge 2 ] || { usage >&2 && exit 64; }
        declare "${1#--}=$2"
        shift 2
        ;;
    --) shift && break ;;
    *) usage >&2 && exit 64 ;;
    esac
done
[ -n "$model" ] && [ $# -gt 0 ] || { usage >&2 && exit 64; }
[ -f "$model" ] || { printf 'no such file: %s\n' "$model" >&2 && exit 65; }
model=$(realpath "$model")

# shellcheck source-path=SCRIPTDIR source=lib/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/setup.sh"
# shellcheck source-path=SCRIPTDIR source=lib/cluster.sh
source "$root/scripts/lib/cluster.sh"

headline "Setting up"
if [ -z "$winnow" ]; then
    prepare python3 python3-venv
    build "swift build" --product winnow
    winnow=$(products)/winnow
fi
if [ -z "$python" ]; then
    environment=$root/.build/peers/server
    python=$environment/bin/python
    if ! "$python" -c 'import llama_cpp.server.app' 2>/dev/null; then
        run_quietly "python venv" "$logs/venv.log" python3 -m venv --clear "$environment" ||
            fail 69 "no Python environment could be made"
        run_quietly "pip install llama-cpp-python[server]" "$logs/pip.log" \
            "$environment/bin/pip" install --disable-pip-version-check 'llama-cpp-python[server]' ||
            fail 69 "llama-cpp-python could not be installed"
    fi
fi

headline "Starting both servers"
cat >"$logs/winnow.yaml" <<YAML
name: compare
model: "$model"
coordinator: {threads: 1}
pipelines: [{stages: 1, threads: $threads}]
YAML
start_cluster "winnow" "$logs/winnow.yaml" "$winnow"

llama_pid=
stop_llama() {
    [ -n "$llama_pid" ] || return 0
    kill -TERM "$llama_pid" 2>/dev/null || true
    wait "$llama_pid" 2>/dev/null || true
    llama_pid=
}
on_end stop_llama
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
began=$SECONDS
"$python" -m llama_cpp.server --model "$model" --host 127.0.0.1 --port "$port" --n_ctx "$context" \
    --n_threads "$threads" --n_threads_batch "$threads" --use_mmap true >"$logs/llama.log" 2>&1 </dev/null &
llama_pid=$!
until "$python" -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:$port/v1/models', timeout=2)" 2>/dev/null; do
    kill -0 "$llama_pid" 2>/dev/null || { tail -n 20 "$logs/llama.log" >&2 && fail 69 "llama-cpp-python's server did not start"; }
    ((SECONDS - began < 120)) || fail 69 "llama-cpp-python's server did not answer within two minutes"
    sleep 0.5
done
say "  $(clock $((SECONDS - began)))  llama.cpp: http://127.0.0.1:$port"

headline "Measuring"
"$winnow" loadgen --target "winnow=$cluster_url" --target "llama.cpp=http://127.0.0.1:$port" "$@"
