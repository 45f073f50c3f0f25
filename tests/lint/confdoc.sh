# conf/lathe.conf and docs/settings.md know every setting of src/core/settings.def and every field of sections.def, with the
# same default, reload (of a field: needed) and meaning, in the same order, and nothing else. `make settings` writes both.
# shellcheck disable=SC2046,SC2154,SC2069 # lists of names without blanks; lib.sh; complaints on stdout
. "${0%/*}/lib.sh"

# Each of these prints: SECTION.NAME TAB DEFAULT TAB RELOAD TAB TEXT. Numbers without units.
number='function number(v) {
    if (v !~ /^[0-9]+(ms|s|m|h|d|K|M|G|T)$/) return v
    u = v; sub(/^[0-9]+/, "", u); sub(/[a-zA-Z]+$/, "", v)
    return sprintf("%.0f", v * (u == "s" ? 1000 : u == "m" ? 60000 : u == "h" ? 3600000 : u == "d" ? 86400000 : \
        u == "K" ? 1024 : u == "M" ? 1024 ^ 2 : u == "G" ? 1024 ^ 3 : u == "T" ? 1024 ^ 4 : 1)) }'

table() {
    $AWK '/^#/ || /^KIND/ { next }
        /^[A-Z]+\(/ {
        line = $0; kind = tolower(substr(line, 1, index(line, "(") - 1)); sub(/^[A-Z]+\(/, "", line)
        if (kind != "setting") line = kind ", " line
        sub(/"\)[ \t]*$/, "", line)
        text = line; sub(/.*, "/, "", text)
        sub(/, "[^"]*$/, "", line)
        n = split(line, a, /, */)
        value = line; sub(/^[^,]*, *[^,]*, *[^,]*, */, "", value); sub(/, *[^,]*, *[^,]*, *[^,]*$/, "", value)
        gsub(/^"|"$/, "", value)
        if (a[3] == "bool") value = (value ~ /^(1|true)$/) ? "true" : "false"
        print a[1] "." a[2] "\t" value "\t" a[n] "\t" text }' src/core/settings.def src/core/sections.def
}

sample() {
    $AWK "$number"'
        /^;?\[/ { section = $0; gsub(/[];[]| .*/, "", section) }
        /^; / { if (!said) { text = substr($0, 3); said = 1 } }
        /^;[a-z_]+ =/ {
            name = $1; sub(/^;/, "", name); value = $0; sub(/^[^=]*= ?/, "", value)
            reload = sub(/ \((R|needed)\)$/, "", text) ? "yes" : "no"
            print section "." name "\t" number(value) "\t" reload "\t" text; said = 0 }
        /^$|^;?\[/ { said = 0 }
        /^[^;[]/ { print "line " FNR " is not a comment: " $0 }' conf/lathe.conf
}

manual() {
    $AWK -F ' *[|] *' "$number"'
        /^## \[/ { kind = $1; sub(/^## \[/, "", kind); sub(/ .*/, ".", kind) }
        /^\| `/ { name = $2; gsub(/`/, "", name); name = kind name; value = $3
            if (value == "(empty)") value = ""; gsub(/`/, "", value)
            print name "\t" number(value) "\t" ($5 == "yes" ? "yes" : "no") "\t" $6 }' docs/settings.md
}

# Lines beginning with < are the table's, those with > the other's.
same() {
    scratch=$(mktemp -d)
    table >"$scratch/table"
    [ "$(wc -l <"$scratch/table")" -gt 5 ] || echo "src/core/settings.def: hardly a row; has its form changed?"
    "$1" >"$scratch/other"
    diff "$scratch/table" "$scratch/other" | grep '^[<>]' || true
    rm -rf "$scratch"
}

check "conf/lathe.conf is the table of settings" same sample
check "docs/settings.md is the table of settings" same manual
done_testing
