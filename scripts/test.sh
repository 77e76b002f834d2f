#!/usr/bin/env bash
# All tests, on a fresh clone or a worked-in one. Arguments go to `swift test`, for example --filter Launcher.
# The last line is Swift Testing's summary.
set -euo pipefail

if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then
    cat <<'TEXT'
Usage: scripts/test.sh [SWIFT-TEST-OPTION...]

Sets up what is missing (Debian packages through apt-get, with sudo where not root; a Python environment with the
`openai` package for one test, Chromium for another), checks the format of all Swift files, builds everything in the release configuration,
tries programs that embed the worker (scripts/try_hosts.sh) and clients that install in under two minutes
(scripts/try_clients.sh) and runs all tests; those of the kernels and
models also at every lesser CPU level (winnow bench levels), and a simulated cluster under 10,000 schedules of faults. Options go to `swift test`, which then runs once, and no
hosts and clients are tried: scripts/test.sh --filter LauncherTests
Exit status: 0 when the format is clean, the clients that could be installed pass and all tests pass, 1 otherwise.
TEXT
    exit 0
fi

# shellcheck source-path=SCRIPTDIR source=lib/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/setup.sh"
cd "$root"

headline "Setting up"
prepare python3 python3-venv g++ abigail-tools
# The official OpenAI client talks to the gateway in one test.
python=$root/.build/python-openai
if ! "$python/bin/python" -c 'import openai' 2>/dev/null; then
    mkdir -p "$root/.build"
    if ! { run_quietly "python venv" "$logs/venv.log" python3 -m venv --clear "$python" &&
        run_quietly "pip install openai" "$logs/pip.log" \
            "$python/bin/pip" install --disable-pip-version-check --timeout 20 --retries 2 openai; }; then
        say "${red}The openai package can't be installed: the test of the official client IS SKIPPED.${plain}"
    fi
fi
if "$python/bin/python" -c 'import openai' 2>/dev/null; then
    export WINNOW_OPENAI_PYTHON=$python/bin/python
fi

# One test looks at the status page in a browser.
if [ $# = 0 ] && ! command -v chromium chromium-browser google-chrome google-chrome-stable >/dev/null; then
    # In a shell of its own: without it everything else is tested all the same.
    (install_packages chromium) ||
        say "${red}Chromium can't be installed: the test of the status page IS SKIPPED.${plain}"
fi

headline "Format"
unclean=
if find Sources Tests Package.swift -name '*.swift' ! -name '*.pb.swift' -print0 |
    xargs -0 swift format lint --strict --parallel --configuration .swift-format 2>"$logs/format.log"; then
    say "  clean"
else
    unclean=yes
    head -n 40 "$logs/format.log" >&2
    say "${red}The format is not clean${plain}; \`swift format -i --configuration .swift-format FILE\` corrects most of it."
fi

headline "Building"
build "swift build" --build-tests

# The openai client has a test of its own, and guidellm brings 6 GB of PyTorch.
client_failed=
if [ $# = 0 ]; then
    hosts=0
    scripts/try_hosts.sh --built "$(products)" || hosts=$?
    case $hosts in
    0) ;;
    69) say "${red}Not every compiler is installed: the run of the hosts named above IS SKIPPED.${plain}" ;;
    *) client_failed=yes ;;
    esac
    clients=0
    scripts/try_clients.sh --winnow "$(products)/winnow" litellm langchain-openai lm-eval || clients=$?
    case $clients in
    0) ;;
    69) say "${red}Not every client can be installed: the run of those that failed above IS SKIPPED.${plain}" ;;
    *) client_failed=yes ;;
    esac
fi

headline "Testing"
# Swift Testing's summary is to be the last line.
tells_logs=
# Not all tests at once: a thousand that share two cores leave each other's clients waiting for longer than any client
# should wait. The option is experimental, and may come to have another name.
width=()
if grep -q -- --experimental-maximum-parallelization-width <<<"$(swift test --help-hidden)"; then
    width=(--experimental-maximum-parallelization-width $((4 * $(nproc))))
fi
test_all() { swift test -c "$configuration" --skip-build --disable-xctest --parallel "${width[@]}" "$@"; }
# Whole clusters under 10,000 schedules of faults, on all cores and alone: it would starve the tests that watch a clock.
failed=
if [ $# = 0 ] && [ -z "${WINNOW_CPU_LEVEL:-}" ]; then
    WINNOW_SIMULATIONS=10000 run_quietly "10,000 simulated schedules of faults" "$logs/simulation.log" \
        test_all --filter SimulationTests || failed+=" simulation"
fi
# What depends on kernels, once for each lesser CPU that this one can compute as; all tests at its own level come last.
if [ $# = 0 ] && [ -z "${WINNOW_CPU_LEVEL:-}" ]; then
    mapfile -t levels < <("$(products)/winnow" bench levels)
    for level in "${levels[@]:0:${#levels[@]}-1}"; do
        WINNOW_CPU_LEVEL=$level run_quietly "kernels for CPUs of level $level" "$logs/$level.log" \
            test_all --filter '^(ComputeTests|TransformerTests|SpeculationTests)\.|StoryTests' || failed+=" $level"
    done
fi
status=0
test_all "$@" || status=$?
if [ -n "$failed" ]; then
    for level in $failed; do
        say "${red}Tests fail (simulation, or CPU level): $level${plain}:"
        grep 'Test run with' "$logs/$level.log" | tail -n 1
    done
    exit 1
fi
if [ -n "$unclean$client_failed" ]; then exit 1; fi
exit "$status"
