# A header can be included first: it includes what it uses, and is guarded by its own name.
# shellcheck disable=SC2046,SC2154,SC2069 # lists of names without blanks; lib.sh; complaints on stdout
. "${0%/*}/lib.sh"

alone() {
    config=
    [ ! -f "$build/config.h" ] || config="-include $build/config.h"
    for h in $(files src -- -name '*.h' ! -name banned.h); do
        # shellcheck disable=SC2086 # flags
        printf '#include "%s"\n#include "%s"\n' "${h#src/}" "${h#src/}" |
            $CC -fsyntax-only -x c -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Wundef -Werror $config -I src ${CPPFLAGS:-} - 2>&1 |
            sed -n "/error/{s|^|$h: |p;q;}"
    done
}

guarded() {
    for h in $(files src -- -name '*.h'); do
        guard=LATHE_$(echo "${h#src/}" | tr 'a-z/.-' 'A-Z___')
        grep -q "^#ifndef $guard\$" "$h" || echo "$h: the guard is not $guard"
    done
}

check "each header compiles alone, twice" alone
check "each header is guarded by its name" guarded
done_testing
