# shellcheck shell=bash disable=SC2154
# Starting and stopping a cluster from a script. Sourced after setup.sh.

cluster_pid=
cluster_status=0

# start_cluster TITLE TOPOLOGY WINNOW: launches on free ports and waits until it serves; the URL is in $cluster_url.
start_cluster() {
    local title=$1 topology=$2 winnow=$3 began=$SECONDS
    local ready=$logs/cluster.url
    cluster_log=$logs/cluster-$(basename "$topology" .yaml).log
    rm -f "$ready"
    # A process group of its own: a Ctrl-C at the terminal reaches this script, which ends the launcher in order.
    set -m
    "$winnow" launch "$topology" --http 127.0.0.1:0 --ready-file "$ready" --timeout 120 --verbose \
        >"$logs/cluster.out" 2>"$cluster_log" </dev/null &
    set +m
    cluster_pid=$!
    while [ ! -s "$ready" ]; do
        if ! kill -0 "$cluster_pid" 2>/dev/null; then
            local status=0
            wait "$cluster_pid" || status=$?
            cluster_pid=
            [ -t 2 ] && printf '\r\e[K' >&2
            tail -n 40 "$cluster_log" >&2
            fail "$status" "the cluster did not start"
        fi
        [ -t 2 ] && printf '\r\e[K  %s  %s' "$(clock $((SECONDS - began)))" "$title" >&2
        sleep 0.1
    done
    cluster_url=$(cat "$ready")
    [ -t 2 ] && printf '\r\e[K' >&2
    printf '  %s%s%s  %s: %s\n' "$green" "$(clock $((SECONDS - began)))" "$plain" "$title" "$cluster_url" >&2
}

# Ends the cluster, if it has not ended, and waits for the last of its processes; its exit status is in $cluster_status.
stop_cluster() {
    [ -n "$cluster_pid" ] || return 0
    local status=0
    kill -TERM "$cluster_pid" 2>/dev/null || true
    wait "$cluster_pid" || status=$?
    cluster_pid=
    cluster_status=$status
    if ((status != 0)); then
        tail -n 40 "$cluster_log" >&2
        say "  the cluster ended with exit status $status"
    fi
    return 0
}

on_end stop_cluster
