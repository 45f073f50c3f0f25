# One foreign library, one place: a library that is known in one folder can be replaced there.
# shellcheck disable=SC2046,SC2154,SC2069 # lists of names without blanks; lib.sh; complaints on stdout
. "${0%/*}/lib.sh"

# header (regular expression) | files that may include it (regular expression)
places='
^(libpq-fe|libpq/.*|postgresql/.*)\.h$    ^src/store/
^hiredis/                                 ^src/cache/
^(fcgiapp|fcgi_stdio|fcgios|fastcgi)\.h$  ^src/fcgi/
^json(-c/.*|\.h|_object.*)                ^src/core/json
^ini\.h$                                  ^src/core/conf
^curl/                                    ^src/exec/http
^openssl/                                 ^src/core/(hmac|digest)\.c$
^(zlib|zstd)\.h$                           ^(src/core/(pack|digest)|tests/unit/test_pack)\.c$|^tests/lib/http_server\.h$
^(ev|event).*\.h$                         ^src/exec/
^(gmodule|glib|apr).*\.h$                 ^$
^lathe/handler\.h$                        ^(src/handlers/plugin|tests/)
^dlfcn\.h$                                ^(src/handlers/plugin|tests/lib/machine|tests/integration/dns_bench)
^cmocka\.h$                               ^tests/
'

strangers() {
    includes src tests | $AWK -v places="$places" '
        BEGIN { n = split(places, line, "\n")
                for (i = 1; i <= n; i++) if (split(line[i], p, " ") == 2) { header[++k] = p[1]; place[k] = p[2] } }
        { for (i = 1; i <= k; i++) if ($4 ~ header[i] && $4 !~ /^(core|model|store|cache|exec|api)\// && $1 !~ place[i])
            print $1 ":" $2 ": <" $4 "> belongs to " place[i] }'
}

# A test of an integration may look at the server behind our back.
own_eyes() {
    strangers | grep -vE '^tests/(integration|e2e|fault|contract)/.*<(libpq-fe|hiredis/)' || true
}

check "foreign headers stay in their folder" own_eyes
done_testing
