# Makefile.am lists every source and every test, once. (Two branches that add the same line merge into two.)
# shellcheck disable=SC2046,SC2154,SC2069 # lists of names without blanks; lib.sh; complaints on stdout
. "${0%/*}/lib.sh"

listed() {
    sed -n 's/^\t\([a-z][^ $]*\) \\$/\1/p' Makefile.am
}

doubles() {
    listed | sort | uniq -d | sed 's/$/ is listed twice in Makefile.am/'
}

gone() {
    for f in $(listed); do
        [ -e "$f" ] || [ -e "$f.c" ] || echo "$f is listed in Makefile.am and is not there"
    done
}

forgotten() {
    all=$(listed)
    for f in $(files src -- -name '*.[ch]' -o -name '*.def') $(files sql -- -name '*.sql') \
        $(files tests -- -name 'test_*.c') $(files tests -- -name '*.py' ! -path 'tests/lib/[!t]*' ! -path tests/lib/tap.py) $(files tests/lint -- -name '*.sh' ! -name lib.sh); do
        case $f in tests/*.c) f=${f%.c} ;; esac
        echo "$all" | grep -qxF "$f" || echo "$f is not listed in Makefile.am"
    done
}

check "nothing is listed twice" doubles
check "what is listed is there" gone
check "what is there is listed" forgotten
done_testing
