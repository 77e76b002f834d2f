#!/usr/bin/env bash
# Well-known clients of OpenAI's API, unpatched from PyPI, against a real cluster of the needle models. `--help` says more.
set -euo pipefail

known=(openai litellm langchain-openai lm-eval guidellm)
usage() {
    cat <<TEXT
Usage: scripts/try_clients.sh [OPTION...] [CLIENT...]

Installs each client from PyPI into an environment of its own, launches a cluster of the needle models, and has each client do
a real run against it: chats, completions, streams, several prompts in one request, log-probabilities, a benchmark. Answers
are checked: the models must find what is hidden in their prompts. Prints one line a client:

  PASS lm-eval 0.4.13: generate_until 1.00 of 8, ...

  CLIENT            ${known[*]} (default: all of them)
  --environments D  where the Python environments are kept (.build/clients)
  --winnow FILE     a winnow that is built already; nothing is built then
  --url URL         a server that runs already, in front of needle-main-2m; nothing is launched then
  -h, --help        this text

guidellm brings PyTorch (6 GB); the others take less than 1 GB each and about a minute together on a good line.
After the installation nothing but the cluster is reached: model files and data sets are local.
Exit status: 0 when all pass, 1 when one fails, 69 when none fails but one could not be installed.
TEXT
}

clients=() environments='' winnow='' cluster_url=''
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage && exit 0 ;;
    --environments | --winnow | --url)
        [ $# -ge 2 ] || { usage >&2 && exit 64; }
        case $1 in
        --environments) environments=$2 ;;
        --winnow) winnow=$2 ;;
        --url) cluster_url=$2 ;;
        esac
        shift 2
        ;;
    *)
        case " ${known[*]} " in
        *" $1 "*) clients+=("$1") ;;
        *)
            printf 'unknown client or option: %s\n' "$1" >&2
            usage >&2
            exit 64
            ;;
        esac
        shift
        ;;
    esac
done
((${#clients[@]} > 0)) || clients=("${known[@]}")

# shellcheck source-path=SCRIPTDIR source=lib/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/setup.sh"
# shellcheck source-path=SCRIPTDIR source=lib/cluster.sh
source "$root/scripts/lib/cluster.sh"
environments=${environments:-$root/.build/clients}
tells_logs=

headline "Setting up"
if [ -z "$winnow" ] && [ -z "$cluster_url" ]; then
    prepare python3 python3-venv
    build "swift build" --product winnow
    winnow=$(products)/winnow
fi

# What pip installs for a client, and the module that shows that it is there.
packages() {
    case $1 in
    lm-eval) echo 'lm-eval[api] transformers' ;;
    *) echo "$1" ;;
    esac
}
module() { local name=${1//-/_}; echo "${name}"; }

missing=()
mkdir -p "$environments"
for client in "${clients[@]}"; do
    environment=$environments/$client
    "$environment/bin/python" -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$(module "$client")') is None)" \
        2>/dev/null && continue
    # shellcheck disable=SC2046
    run_quietly "python venv for $client" "$logs/venv.log" python3 -m venv --clear "$environment" &&
        run_quietly "pip install $(packages "$client")" "$logs/pip-$client.log" "$environment/bin/pip" install \
            --disable-pip-version-check --timeout 20 --retries 2 $(packages "$client") ||
        missing+=("$client")
done

# A copy of the main model that has a chat template: the needle models come without.
model=$logs/needle
cp -r "$root/cluster/models/needle-main-2m" "$model"
cat >"$model/chat_template.jinja" <<'JINJA'
{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
JINJA

if [ -z "$cluster_url" ]; then
    headline "Starting the cluster"
    cat >"$logs/clients.yaml" <<YAML
name: needle
model: "$model"
speculator: "$root/cluster/models/needle-speculator-0.4m"
coordinator: {threads: 1}
speculation: {keep_rate: 0.3}
pipelines: [{stages: 2, threads: 1}]
YAML
    start_cluster "coordinator and 2 workers" "$logs/clients.yaml" "$winnow"
fi

headline "Clients"
status=0
for client in "${clients[@]}"; do
    if [[ " ${missing[*]-} " == *" $client "* ]]; then
        printf 'FAIL %s: it could not be installed; see the log above\n' "$client"
        ((status != 0)) || status=69
        continue
    fi
    # No client may look for models or data sets elsewhere, nor tell anybody of its use.
    if seen=$(env -u http_proxy -u https_proxy -u HTTP_PROXY -u HTTPS_PROXY HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 \
        TRANSFORMERS_OFFLINE=1 HF_HOME="$logs/huggingface" DO_NOT_TRACK=1 LITELLM_LOCAL_MODEL_COST_MAP=True \
        OPENAI_API_KEY=none PATH="$environments/$client/bin:$PATH" timeout 300 \
        "$environments/$client/bin/python" "$root/scripts/lib/try_client.py" "$client" "$cluster_url" "$model" \
        "$root/Tests/WinnowTests/Fixtures/needle-1024.jsonl" "$logs" 2>"$logs/$client.log"); then
        printf 'PASS %s\n' "$seen"
    else
        tail -n 25 "$logs/$client.log" >&2
        printf 'FAIL %s: %s\n' "$client" "${seen:-it ended with an error, the end of which is above}"
        status=1
    fi
done
[ -z "$cluster_pid" ] || stop_cluster
exit "$status"
