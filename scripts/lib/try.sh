# shellcheck shell=bash
# How the scripts that try the program on something real begin: their one option, the program, a folder for what they make,
# verdicts. Sourced with the script's own arguments, once it has a function `usage`.

winnow=
while (($# > 0)); do
    case $1 in
    --winnow)
        (($# > 1)) || { usage >&2 && exit 64; }
        winnow=$(realpath "$2")
        shift 2
        ;;
    -h | --help) usage && exit 0 ;;
    *)
        usage >&2
        exit 64
        ;;
    esac
done

# shellcheck source-path=SCRIPTDIR source-path=SCRIPTDIR/lib source=setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

# ready_to_try PACKAGE...: the packages, the program (built unless it was named), and `work`, a folder that goes at the end
# after the script's own clean_up.
ready_to_try() {
    install_packages "$@"
    if [ -z "$winnow" ]; then
        prepare
        build "swift build" --product winnow
        winnow=$(products)/winnow
    fi
    work=$(mktemp -d)
    on_end clean_up
    on_end remove_work
}
clean_up() { :; }
remove_work() { rm -rf "${work:?}"; }

failed=0
verdict() { # verdict STATUS TEXT
    if (($1 == 0)); then say "  ok   $2"; else
        say "  FAIL $2"
        failed=1
    fi
}

wait_for() { # wait_for SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || return 1
        sleep 0.1
    done
}
