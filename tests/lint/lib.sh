# What the lints share: where the tree is, and TAP. Sourced, with the lint's own name in $0.
#
#     . "${0%/*}/lib.sh"
#     check "what must hold" command…    # one test: what the command prints are the complaints
#     done_testing
#
# LINT_ROOT is the tree to look at: selftest.sh gives them bad ones.
export LC_ALL=C
lint_dir=$(cd "${0%/*}" && pwd)
# shellcheck disable=SC2034 # for headers.sh
build=${top_builddir:-$(cd "$lint_dir/../.." && pwd)}
CC=${CC:-cc}
AWK=${AWK:-awk}
cd "${LINT_ROOT:-$lint_dir/../..}" || exit 1
tests=0
failed=0

check() {
    what=$1
    shift
    tests=$((tests + 1))
    status=0
    complaints=$("$@" 2>&1) || status=$?
    if [ $status = 0 ] && [ -z "$complaints" ]; then
        echo "ok $tests - $what"
    else
        failed=$((failed + 1))
        echo "not ok $tests - $what"
        printf '%s\n' "${complaints:-exit $status}" | head -60 | sed 's/^/# /'
    fi
}

done_testing() {
    echo "1..$tests"
    [ "$failed" = 0 ]
    exit
}

# files FOLDER… -- FIND-EXPRESSION: sorted names of the files there, less what a build makes.
files() {
    folders=
    while [ "$1" != -- ]; do
        [ ! -e "$1" ] || folders="$folders $1"
        shift
    done
    shift
    [ $# = 0 ] || set -- "(" "$@" ")"
    # shellcheck disable=SC2086 # a list
    [ -z "$folders" ] || find $folders -type f ! -path 'src/store/migrations.c' ! -path '*/.*' \
        ! -path '*/__pycache__/*' ! -name '*.o' ! -name '*.a' ! -name '*.log' ! -name '*.trs' "$@" | sort
}

# Prints, for every #include of the sources in $1…: FILE LINE KIND(" or <) NAME
includes() {
    # shellcheck disable=SC2046
    set -- $(files "$@" -- -name '*.[ch]') $(files "$@" -- -name '*.def')
    [ $# = 0 ] || $AWK '/^[ \t]*#[ \t]*include[ \t]*[<"]/ {
        kind = index($0, "<") && (!index($0, "\"") || index($0, "<") < index($0, "\"")) ? "<" : "\""
        name = $0; sub(/^[^<"]*[<"]/, "", name); sub(/[>"].*/, "", name)
        print FILENAME, FNR, kind, name }' "$@"
}

# Arguments of a registry macro's rows: rows FILE MACRO prints the first argument of each.
rows() {
    sed -n "s/^$2(\\([a-z0-9_]*\\)[,)].*/\\1/p" "$1"
}
