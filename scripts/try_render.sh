#!/usr/bin/env bash
# What `winnow launch --render` writes, held against systemd's and Kubernetes' own judges. `scripts/try_render.sh --help` says more.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/try_render.sh [--winnow FILE]

Renders the worked examples in cluster/ and checks

  - units: `systemd-analyze verify` has nothing to say, `systemd-analyze security` at most 3.0 for each service;
  - manifests: kubernetes-validate (from PyPI, in a folder of its own) with --strict passes every one, and what kubectl's
    Kustomize makes of them and of an overlay; each pod has a key, in a file that nobody else may read; API keys and a
    certificate that a topology names are in a Secret of the coordinator's;
  - the batch script: bash reads it;
  - the PodMonitor passes its definition, if the variable WINNOW_PODMONITOR_CRD names the file (the Prometheus operator's
    monitoring.coreos.com_podmonitors.yaml).

Prints a line for each; exit status 0 when all hold. scripts/try_slurm.sh runs the batch script.

  --winnow FILE    the program to test, instead of building it
TEXT
}

# shellcheck source-path=SCRIPTDIR source=lib/try.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/try.sh"
ready_to_try python3 python3-venv systemd

headline "systemd"
for example in one-host three-hosts numa; do
    "$winnow" launch "$root/cluster/$example/cluster.yaml" --render systemd --out "$work/$example" \
        --executable "$winnow" >/dev/null
    for host in "$work/$example"/*/; do
        [ "$(basename "$host")" = keys ] && continue
        status=0
        systemd-analyze verify "$host"*.service "$host"*.target >"$work/verify" 2>&1 || status=$?
        [ -s "$work/verify" ] && status=1 && cat "$work/verify" >&2
        verdict "$status" "$example, $(basename "$host"): systemd-analyze verify"
        for unit in "$host"*.service; do
            status=0
            systemd-analyze security --no-pager --offline=yes --threshold=30 "$unit" >"$work/security" 2>&1 || status=$?
            verdict "$status" "$(basename "$unit"): $(tail -n 1 "$work/security" | grep -o 'exposure level.*' | tr -d '→')"
        done
    done
done

headline "Kubernetes"
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check kubernetes-validate
"$winnow" launch "$root/cluster/kubernetes/cluster.yaml" --render kubernetes --out "$work/manifests" \
    --image registry.example/winnow:0.1.0 --memory 8Gi >/dev/null
# API keys and a certificate that lie beside the topology file go with the manifests.
mkdir "$work/http"
tls=$root/Tests/GatewayTests/Fixtures/tls
install -m 600 "$tls/server.key" "$tls/server.pem" "$tls/ca.pem" "$work/http"
"$winnow" keys api new alice --file "$work/http/api-keys" >/dev/null
{
    cat "$root/cluster/kubernetes/cluster.yaml"
    printf '\n%s\n' 'coordinator: {api_keys: api-keys, tls_certificate: server.pem, tls_key: server.key, tls_client_ca: ca.pem, admin: "*:9090"}'
} >"$work/http/cluster.yaml"
"$winnow" launch "$work/http/cluster.yaml" --render kubernetes --out "$work/https" \
    --image registry.example/winnow:0.1.0 >/dev/null
status=0
for pair in api-keys:api-keys server.pem:tls.crt server.key:tls.key ca.pem:ca.crt; do
    cmp "$work/http/${pair%:*}" "$work/https/base/http/${pair#*:}" >&2 || status=1
done
[ -z "$(find "$work/https/base/http" -type f ! -perm 600)" ] || status=1
grep -q 'files: \[http/api-keys, http/tls.crt, http/tls.key, http/ca.crt\]' "$work/https/base/kustomization.yaml" || status=1
grep -q 'secretName: needle-coordinator-http' "$work/https/base/coordinator.yaml" || status=1
verdict "$status" "API keys, certificate and private key in a Secret of the coordinator's"
for manifest in "$work"/manifests/base/*.yaml "$work"/https/base/coordinator.yaml; do
    [ "$(basename "$manifest")" = kustomization.yaml ] && continue
    status=0
    "$work/venv/bin/kubernetes-validate" --strict "$manifest" >"$work/validate" 2>&1 || status=$?
    grep -q "WARN\|ERROR" "$work/validate" && status=1
    ((status == 0)) || cat "$work/validate" >&2
    verdict "$status" "$(basename "$manifest"): $(grep -c passed "$work/validate") resources"
done
# Kustomize's own files have no schema there: every file the base names exists, and each of its manifests is named.
status=0
named=$(sed -n 's/^  - \(.*\.yaml\)$/\1/p' "$work/manifests/base/kustomization.yaml" | sort)
there=$(cd "$work/manifests/base" && printf '%s\n' *.yaml | grep -v kustomization | sort)
[ "$named" = "$there" ] || status=1
verdict "$status" "kustomization.yaml names every manifest"

if [ -n "${WINNOW_PODMONITOR_CRD:-}" ]; then
    status=0
    "$work/venv/bin/python" "$root/scripts/lib/check_crd.py" "$WINNOW_PODMONITOR_CRD" \
        "$work/manifests/monitoring/pod-monitor.yaml" >&2 || status=$?
    verdict "$status" "the PodMonitor, by its definition"
else
    say "${red}WINNOW_PODMONITOR_CRD names no definition: the PodMonitor IS NOT CHECKED.${plain}"
fi
open=$(find "$work" -name '*.key' ! -perm 600)
verdict "${#open}" "$(find "$work" -name '*.key' | wc -l) keys, all of mode 600"
if command -v kubectl >/dev/null; then
    status=0
    # An overlay as cluster/kubernetes/README.md has it.
    mkdir "$work/overlay"
    printf '%s\n' 'apiVersion: kustomize.config.k8s.io/v1beta1' 'kind: Kustomization' 'namespace: winnow' \
        'resources: [../manifests/base]' 'components: [../manifests/monitoring]' >"$work/overlay/kustomization.yaml"
    kubectl kustomize "$work/overlay" >"$work/overlay.yaml" || status=$?
    grep -q '^kind: PodMonitor' "$work/overlay.yaml" || status=1
    kubectl kustomize "$work/manifests/base" >"$work/built.yaml" || status=$?
    "$work/venv/bin/kubernetes-validate" --strict "$work/built.yaml" >"$work/validate" 2>&1 || status=$?
    grep -q "WARN\|ERROR" "$work/validate" && status=1 && cat "$work/validate" >&2
    verdict "$status" "kubectl kustomize: $(grep -c '^kind: Secret' "$work/built.yaml") Secrets among $(grep -c passed "$work/validate") resources"
    status=0
    kubectl kustomize "$work/https/base" >"$work/https.yaml" || status=$?
    for file in api-keys tls.crt tls.key ca.crt; do
        grep -q "^  $file: ." "$work/https.yaml" || status=1
    done
    "$work/venv/bin/kubernetes-validate" --strict "$work/https.yaml" >"$work/validate" 2>&1 || status=$?
    grep -q "WARN\|ERROR" "$work/validate" && status=1 && cat "$work/validate" >&2
    verdict "$status" "kubectl kustomize: what HTTP reads"
    # A StatefulSet's Secret holds the keys of its own pods.
    status=0
    for group in pipeline-fast pipeline-deep speculators spares; do
        held=$(sed -n "/^  needle-$group-[0-9]*\.key:/p" "$work/built.yaml" | wc -l)
        replicas=$(sed -n 's/^  replicas: //p' "$work/manifests/base/$group.yaml")
        [ "$held" = "$replicas" ] || status=1
    done
    verdict "$status" "a key for each pod"
else
    say "${red}There is no kubectl: what Kustomize makes of the base IS NOT TRIED.${plain}"
fi

headline "Slurm"
"$winnow" launch "$root/cluster/slurm/cluster.yaml" --render slurm --out "$work/slurm" >/dev/null
status=0
bash -n "$work/slurm/winnow-needle.sbatch" || status=$?
verdict "$status" "bash reads winnow-needle.sbatch"
if command -v shellcheck >/dev/null; then
    status=0
    shellcheck --severity=warning "$work/slurm/winnow-needle.sbatch" >&2 || status=$?
    verdict "$status" "shellcheck"
fi
exit "$failed"
