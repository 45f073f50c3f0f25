# docs/api.md has every route and every field of a submission, docs/lathe.1 every command and the fields as options, and the metrics a word for every
# route's template.
# shellcheck disable=SC2154 # lib.sh
. "${0%/*}/lib.sh"

# The templates of routes.def and alias.def, methods before them.
routes() {
    sed -n -e 's/^ROUTE(\([A-Z]*\), [A-Z_ |]*, "\([^"]*\)".*/\1 \2/p' -e 's/^ALIAS("\([^"]*\)".*/POST \1/p' \
        src/api/routes.def src/api/alias.def
}

missing_routes() {
    [ -n "$(routes)" ] || echo "src/api/routes.def: no rows ROUTE(METHOD, FLAGS, \"path\", …)"
    routes | while read -r method path; do
        grep -qF "\`$method $path\`" docs/api.md || echo "docs/api.md: nothing of $method $path"
    done
}

missing_words() {
    routes | while read -r _ path; do
        grep -qF "\"$path\"" src/core/metrics_table.c || echo "src/core/metrics_table.c: no word $path"
    done
}

missing_fields() {
    names=$(sed -n 's/^ *{*\.name = "\([a-z_]*\)".*/\1/p' src/model/submission*.c)
    [ -n "$names" ] || echo "src/model/submission*.c: no fields"
    for name in $names; do
        grep -q "^|.*\`$name\`.*|" docs/api.md || echo "docs/api.md: nothing of the field $name"
    done
}

# The command line has the fields as options; a name is only of a row of a batch, which it does not submit.
missing_options() {
    for name in $(sed -n 's/^ *{*\.name = "\([a-z_]*\)".*/\1/p' src/model/submission*.c | grep -vx name); do
        option=$(printf '%s' "$name" | sed 's/_/\\-/g')
        grep -qF -e "\\-\\-$option=" -e "\\-\\-$option " docs/lathe.1 || echo "docs/lathe.1: nothing of the option for $name"
    done
}

missing_commands() {
    for name in $(rows src/cmd/commands.def COMMAND); do
        grep -q "^\.SS lathe $name\( \|\$\)" docs/lathe.1 || echo "docs/lathe.1: nothing of lathe $name"
    done
}

check "docs/api.md has every route" missing_routes
check "docs/api.md has every field of a submission" missing_fields
check "docs/lathe.1 has every command" missing_commands
check "docs/lathe.1 has every field of a submission as an option" missing_options
check "every route has a word in the metrics" missing_words
done_testing
