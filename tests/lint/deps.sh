# dev/deps --for LEVEL asks for what the level needs and nothing above it: on a machine that has nothing at all.
# shellcheck disable=SC2154 # lib.sh
. "${0%/*}/lib.sh"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for tool in sh sed tr sort grep env; do
    ln -s "$(command -v $tool)" "$scratch/$tool"
done

# asks LEVEL YES-WORDS NO-WORDS: of the packages that it would install
asks() {
    said=$(PATH=$scratch dev/deps --for "$1" --check 2>&1) && echo "--for $1 misses nothing"
    said=" $(printf '%s\n' "$said" | sed -n 's/^missing: \([^ ]*\) .*/\1/p' | tr '\n' ' ')"
    for word in $2; do
        case $said in *" $word "*) ;; *) echo "--for $1 does not ask for $word" ;; esac
    done
    for word in $3; do
        case $said in *" $word "*) echo "--for $1 asks for $word" ;; esac
    done
}

rows_are_whole() {
    sed -n "/^table='/,/^'/p" dev/deps | grep '|' | grep -vE '^(cmd|pc|h|rt|py):[^ ]+ *\|[^|]+\|[^|]+\| (build|run|test) +\| [^|]+$'
    true
}

check "every row of dev/deps says when it is needed" rows_are_whole
check "building" asks build "gcc automake libpq json-c" "psql curl cmocka clang clang-format-14 shellcheck wrk"
check "running" asks run "gcc automake libpq json-c" "cmocka clang clang-format-14 shellcheck wrk"
check "testing" asks test "gcc libpq cmocka clang clang-format-14 shellcheck wrk" ""
done_testing
