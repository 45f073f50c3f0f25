# Scripts pass shellcheck (warnings and errors).
# shellcheck disable=SC2046,SC2154,SC2069 # lists of names without blanks; lib.sh; complaints on stdout
. "${0%/*}/lib.sh"

scripts() {
    for f in $(files dev .ci tests autogen.sh bench packaging conf --); do
        case $(head -n1 "$f" | tr -d '\0') in '#!'*python*) continue ;; '#!'*sh) echo "$f" ;; *) case $f in *.sh) echo "$f" ;; esac ;; esac
    done
}

clean() {
    # The lints have no #! line: they are for any POSIX shell.
    shellcheck -S warning -e SC1091 $(scripts | grep -v '^tests/lint/')
    [ ! -d tests/lint ] || shellcheck -S warning -s sh -e SC1091 $(files tests/lint -- -name '*.sh') /dev/null
}

parses() {
    for f in $(scripts); do
        case $(head -n1 "$f") in *bash*) bash -n "$f" ;; *) sh -n "$f" ;; esac
    done
}

# A skip would be a hole in a strict run.
if ! command -v shellcheck >/dev/null; then
    if [ "${CHECK_STRICT:-0}" != 0 ]; then echo "Bail out! shellcheck is not installed (dev/deps)"; exit 1; fi
    echo "1..0 # SKIP shellcheck is not installed"
    exit 0
fi
check "scripts parse" parses
check "scripts pass shellcheck" clean
done_testing
