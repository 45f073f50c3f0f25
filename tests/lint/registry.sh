# What a registry lists exists, and what exists is listed.
# shellcheck disable=SC2046,SC2154,SC2069 # lists of names without blanks; lib.sh; complaints on stdout
. "${0%/*}/lib.sh"

# both_ways TABLE MACRO FOLDER PREFIX: rows MACRO(x) of TABLE against definitions of `PREFIXx =` in FOLDER.
both_ways() {
    [ -f "$1" ] || { echo "$1 is missing"; return; }
    listed=$(rows "$1" "$2")
    [ -n "$listed" ] || echo "$1: no rows $2(symbol)"
    echo "$listed" | sort | uniq -d | sed "s|.*|$1: & is listed twice|"
    found=$(sed -n "s/^const struct [a-z_]* $4\\([a-z0-9_]*\\) = .*/\\1/p" $(files "$3" -- -name '*.c') /dev/null)
    echo "$found" | sort | uniq -d | sed "s|.*|$3: $4& is defined twice|"
    for x in $listed; do
        echo "$found" | grep -qx "$x" || echo "$1: $2($x): nothing in $3/ defines $4$x"
    done
    for x in $found; do
        echo "$listed" | grep -qx "$x" || echo "$3: $4$x is not listed in $1"
    done
}

# The file of a variant bears its name, so that nobody has to search.
named() {
    for x in $(rows "$1" "$2"); do
        [ -f "$3$x.c" ] || echo "$2($x): there is no $3$x.c"
    done
}

check "handlers: registry and files agree" both_ways src/handlers/handlers.def HANDLER src/handlers handler_
check "handlers: the file bears the name" named src/handlers/handlers.def HANDLER src/handlers/
check "strategies: registry and files agree" both_ways src/model/strategies.def STRATEGY src/model strategy_
check "strategies: the file bears the name" named src/model/strategies.def STRATEGY src/model/strategy_
done_testing
