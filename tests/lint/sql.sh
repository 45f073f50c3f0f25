# Migrations: numbered without a gap, and free of what would hurt a database in use.
# shellcheck disable=SC2046,SC2154,SC2069 # lists of names without blanks; lib.sh; complaints on stdout
. "${0%/*}/lib.sh"

numbered() {
    n=0
    for f in $(files sql -- -name '*.sql'); do
        n=$((n + 1))
        case $f in
        "sql/$(printf %03d $n)"_[a-z]*.sql) ;;
        *) echo "$f: here belongs number $(printf %03d $n)" ;;
        esac
    done
}

# Without comments, one statement's text as it stands
code() {
    sed 's/--.*//' "$1"
}

forbidden() {
    for f in $(files sql -- -name '*.sql'); do
        code "$f" | grep -niE '\b(pg_)?notify\b' | sed "s|^|$f: NOTIFY makes all commits wait for each other: |"
        code "$f" | grep -niE '^[[:space:]]*(begin|commit|rollback)[[:space:]]*(transaction|work)?[[:space:]]*;' |
            sed "s|^|$f: lathe migrate holds the transaction: |"
        code "$f" | grep -niE '\bconcurrently\b|\bvacuum\b' | sed "s|^|$f: cannot run in a transaction: |"
        code "$f" | grep -niE '\btimestamp\b[[:space:]]*(,|not|default|\)|without|$)' | sed "s|^|$f: timestamptz, not timestamp: |"
    done
}

# SQL in C obeys too.
in_c() {
    grep -nE '"[^"]*\b(NOTIFY|notify|pg_notify)\b[ (]' $(files src/store -- -name '*.c') /dev/null |
        sed 's/$/ : no NOTIFY in write transactions/' || true
}

check "numbered from 001 without a gap" numbered
check "nothing that hurts a database in use" forbidden
check "no NOTIFY from C" in_c
done_testing
