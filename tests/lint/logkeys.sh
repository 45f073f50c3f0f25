# A log line has no key twice: none that the logger itself writes, and none of its own. JSON with two is no JSON.
# shellcheck disable=SC2046,SC2154,SC2069 # lists of names without blanks; lib.sh; complaints on stdout
. "${0%/*}/lib.sh"

# Joins each call of log_…( up to its end, drops the event, and looks at the keys of the texts that follow.
keys() {
    $AWK '
        function look(call, where,    text, key, seen, first, with_error) {
            first = 1
            with_error = call ~ /^log_(err|warn_err)\(/
            while (match(call, /"([^"\\]|\\.)*"/)) {
                text = " " substr(call, RSTART + 1, RLENGTH - 2)
                call = substr(call, RSTART + RLENGTH)
                if (first) { first = 0; continue }
                while (match(text, / [a-zA-Z0-9_.]+=/)) {
                    key = substr(text, RSTART + 1, RLENGTH - 2)
                    text = substr(text, RSTART + RLENGTH - 1)
                    if (key in own || (with_error && key in of_error)) print where ": the logger itself writes " key "="
                    else if (key in seen) print where ": " key "= twice in one line"
                    seen[key] = 1
                }
            }
            calls++
        }
        BEGIN { n = split("ts level role pid event cut", a); for (i = 1; i <= n; i++) own[a[i]]
            n = split("error pointer detail", a); for (i = 1; i <= n; i++) of_error[a[i]] }
        FNR == 1 { call = "" }
        call == "" && /(^|[^a-z_])log_(debug|info|warn|error|err|warn_err|at|line)\(.*/ && !/^#/ {
            match($0, /log_(debug|info|warn|error|err|warn_err|at|line)\(/)
            call = substr($0, RSTART); where = FILENAME ":" FNR
            if (call ~ /\);/) { look(call, where); call = "" }
            next
        }
        call != "" { call = call $0; if (/\);/) { look(call, where); call = "" } }
        END { if (!calls) print "no log line found" }' $(files src -- -name '*.c')
}

check "no key of a log line is there twice" keys
done_testing
