# shellcheck shell=bash disable=SC2154
# Synthetic models for measurements. Sourced after setup.sh.

# synth_model WINNOW FOLDER OPTION...: makes a model once; a half-made one is never taken for a whole one.
synth_model() {
    local winnow=$1 folder=$2
    shift 2
    [ -f "$folder/config.json" ] && return
    mkdir -p "$(dirname "$folder")"
    rm -rf "${folder:?}.new"
    run_quietly "making $(basename "$folder")" "$logs/synth.log" "$winnow" model synth "$@" --seed 1 --dtype bf16 \
        --out "$folder.new" || fail 70 "could not make the synthetic model"
    rm -rf "${folder:?}"
    mv "$folder.new" "$folder"
}
