# Banned functions are compile errors: src/core/banned.h is included by the build before every file. This proves that it
# is, that each of them really fails, and that nobody lifts a ban without saying why.
# shellcheck disable=SC2046,SC2086,SC2154,SC2069 # lists of names without blanks, a compiler with its launcher; lib.sh; complaints on stdout
. "${0%/*}/lib.sh"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

each_fails() {
    names=$(sed -n 's/^#define \([a-z_0-9]*\)(\.\.\.) BANNED.*/\1/p' src/core/banned.h)
    [ "$(echo "$names" | wc -l)" -gt 30 ] || echo "src/core/banned.h: only $(echo "$names" | wc -l) functions"
    for f in strcpy strcat sprintf vsprintf strtok atoi gmtime localtime system rand sleep; do
        echo "$names" | grep -qx $f || echo "src/core/banned.h does not ban $f"
    done
    # One file with a function each: as many errors as functions
    for f in $names; do
        echo "void f_$f(void); void f_$f(void) { $f(0); }"
    done >"$scratch/all.c"
    said=$($CC -fsyntax-only -D_GNU_SOURCE -I src -include core/banned.h -fmax-errors=0 -ferror-limit=0 "$scratch/all.c" 2>&1 ||
        $CC -fsyntax-only -D_GNU_SOURCE -I src -include core/banned.h "$scratch/all.c" 2>&1)
    for f in $names; do
        case $said in *sorry_${f}_is_banned*) ;; *) echo "a call of $f compiles" ;; esac
    done
}

build_includes_it() {
    grep -q '^AM_CPPFLAGS.*-include core/banned\.h' Makefile.am || echo "Makefile.am: AM_CPPFLAGS lacks -include core/banned.h"
}

lifted() {
    names=$(sed -n 's/^#define \([a-z_0-9]*\)(\.\.\.) BANNED.*/\1/p' src/core/banned.h | paste -sd'|')
    grep -nE "^[[:space:]]*#[[:space:]]*undef[[:space:]]+($names)([[:space:]]|\$)" $(files src tests -- -name '*.[ch]') /dev/null |
        grep -v '^src/core/banned\.h:' | grep -v '/\*.*\*/' | sed 's/$/: say why in a comment on the line/'
    # (name)(…) would step around a macro
    grep -nE "\\(($names)\\)[[:space:]]*\\(" $(files src -- -name '*.[ch]') /dev/null | sed 's/$/: steps around the ban/'
    true
}

check "each banned function is a compile error" each_fails
check "every source file is compiled with the bans" build_includes_it
check "a ban is lifted only with its reason" lifted
done_testing
