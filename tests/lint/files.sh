# Sources stay readable, and free of what belongs to one machine.
# shellcheck disable=SC2046,SC2154,SC2069 # lists of names without blanks; lib.sh; complaints on stdout
. "${0%/*}/lib.sh"

long() {
    for f in $(files src tests include examples -- -name '*.[ch]' -o -name '*.py' -o -name '*.sh'); do
        n=$(wc -l <"$f")
        [ "$n" -le 600 ] || echo "$f: $n lines; 600 is the end, 400 the aim"
        [ "$n" -le 400 ] || echo "# $f: $n lines; 400 is the aim" >&3
    done
}

gotos() {
    $AWK '{ line = $0; sub(/\/\*.*/, "", line); sub(/\/\/.*/, "", line) }
        line ~ /(^|[ \t;{)])goto[ \t]+[a-z_]+[ \t]*;/ { print FILENAME ":" FNR ": goto; an arena or CLEANUP does it" }' \
        $(files src tests -- -name '*.[ch]') /dev/null
}

# Paths of the machine where it was written say nothing elsewhere.
machine() {
    grep -InE '(^|[^A-Za-z0-9_.$}/-])/(work|root|home/[a-z]+|Users)(/|$)|(^|[^A-Za-z_])shared/(design|hooks)' \
        $(files src tests include examples sql conf dev docs bench packaging .ci README.md CONTRIBUTING.md Makefile.am configure.ac -- \
            ! -path tests/lint/files.sh ! -path tests/lint/selftest.sh) /dev/null | cut -c1-160 || true
}

blanks() {
    grep -InE '[[:space:]]+$' $(files src tests include examples sql conf dev -- ! -path conf/lathe.conf ! -path 'tests/fuzz/corpus/*') /dev/null |
        cut -d: -f1,2 | sed 's/$/: blanks at the end of the line/'
    grep -nP '\t' $(files src tests include examples -- -name '*.[ch]') /dev/null | cut -d: -f1,2 | sed 's/$/: a tab/'
    true
}

# What a build made and somebody committed: git would put it back later, and make would take it for fresh.
products() {
    git ls-files -ci --exclude-standard 2>/dev/null | sed 's/$/: made by a build, yet in the repository/'
}

exec 3>&1
check "no source is over 600 lines" long
check "no goto" gotos
check "no path of one machine" machine
check "no blanks at line ends, no tabs in C" blanks
check "nothing that a build makes is in the repository" products
done_testing
