# Includes go down: src/LAYERS says who may include whom.
# shellcheck disable=SC2046,SC2154,SC2069 # lists of names without blanks; lib.sh; complaints on stdout
. "${0%/*}/lib.sh"

up_or_sideways() {
    includes src | $AWK '
        FILENAME != "-" {
            if (/^#/ || NF == 0) next
            if ($1 == "siblings:") { groups++; for (i = 2; i <= NF; i++) { sibling[groups, $i] = 1; named[$i] = 1 } }
            else rank[$1] = ++floors
            next
        }
        $3 == "\"" {
            split($1, path, "/"); from = path[2]; to = $4; sub(/\/.*/, "", to)
            where = $1 ":" $2 ": "
            if ($1 ~ /^src\/[^\/]*$/) next
            if ($4 ~ /\.\./ || $4 !~ /\//) print where "\"" $4 "\": includes are named from src/: \"floor/file.h\""
            else if (!(from in rank)) print where "the folder " from " is no floor of src/LAYERS"
            else if (!(to in rank)) print where to " is no floor of src/LAYERS"
            else if (rank[to] > rank[from]) print where from " may not include " to ": that is a floor above"
            else if (to != from) for (g = 1; g <= groups; g++) if ((g, from) in sibling && (g, to) in sibling)
                print where from " may not include " to ": siblings are blind to each other"
        }
        END { for (f in named) if (!(f in rank)) print "src/LAYERS: siblings: " f " is no floor" }' src/LAYERS -
}

folders_are_floors() {
    for d in src/*/; do
        d=${d#src/}
        d=${d%/}
        [ "$d" = .deps ] || grep -q "^${d}[[:space:]]" src/LAYERS || echo "src/$d is not in src/LAYERS"
    done
}

no_cycles() {
    # Within a floor: who includes whom, headers only; tsort names a loop.
    includes src | $AWK '$3 == "\"" && $1 ~ /\.h$/ { print $1, "src/" $4 }' | { tsort 2>&1 >/dev/null; }
}

check "includes go down, and siblings are blind" up_or_sideways
check "every folder of src/ is a floor" folders_are_floors
check "headers do not include each other in a circle" no_cycles
done_testing
