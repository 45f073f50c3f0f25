# Each lint can fail: a copy of the tree, one thing broken in it, and the lint must name it; unbroken, it must say nothing.
# shellcheck disable=SC2046,SC2154 # lists of names without blanks; lib.sh
. "${0%/*}/lib.sh"
root=$PWD
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# A small good tree, every lint's subject in it.
good() {
    rm -rf "$scratch/tree"
    mkdir -p "$scratch/tree"
    cd "$scratch/tree" || exit 1
    mkdir -p src/core src/model src/store src/cache src/exec src/handlers src/queue src/api src/worker src/fcgi src/cmd \
        sql conf docs dev tests/unit tests/lint
    cp "$root/src/LAYERS" src/
    cp "$root/src/core/banned.h" src/core/
    printf '#ifndef LATHE_CORE_A_H\n#define LATHE_CORE_A_H\n#include <stddef.h>\nsize_t a(void);\n#endif\n' >src/core/a.h
    printf '#include "core/a.h"\n\nsize_t a(void)\n{\n    return 1;\n}\n' >src/core/a.c
    printf '#ifndef LATHE_STORE_S_H\n#define LATHE_STORE_S_H\n#include "core/a.h"\n#endif\n' >src/store/s.h
    printf '#include <libpq-fe.h>\n#include "store/s.h"\n' >src/store/s.c
    printf '#include "core/a.h"\n' >src/cache/c.c
    printf 'HANDLER(echo)\n' >src/handlers/handlers.def
    printf 'const struct handler handler_echo = {0};\n' >src/handlers/echo.c
    printf 'STRATEGY(hybrid)\n' >src/model/strategies.def
    printf 'const struct strategy strategy_hybrid = {0};\n' >src/model/strategy_hybrid.c
    {
        printf 'SETTING(api, threads, int, 8, 1, 256, no, "Threads, that answer")\n'
        printf 'SETTING(api, wait, ms, 25000, 0, 300000, yes, "Longest wait")\n'
        printf 'SETTING(api, listen, text, "unix:/run/a, b", 1, 9, no, "Where")\n'
        for i in 1 2 3; do printf 'SETTING(log, n%s, bool, true, 0, 1, no, "N")\n' $i; done
    } | sed 's/n1/na/; s/n2/nb/; s/n3/nc/' >src/core/settings.def
    printf 'KIND(plug, plugs, "x", "Kinds")\n' >src/core/sections.def
    {
        printf '; Head\n\n[api]\n; Threads, that answer\n;   from 1\n;threads = 8\n; Longest wait (R)\n;wait = 25s\n'
        printf '; Where\n;listen = unix:/run/a, b\n\n[log]\n'
        for n in a b c; do printf '; N\n;n%s = true\n' $n; done
    } >conf/lathe.conf
    {
        printf '# Settings\n\n| setting | default | allowed | reload | meaning |\n|---|---|---|---|---|\n'
        printf '| `api.threads` | `8` | from 1 | | Threads, that answer |\n| `api.wait` | `25s` | from 0 | yes | Longest wait |\n'
        printf '| `api.listen` | `unix:/run/a, b` | text |  | Where |\n'
        for n in a b c; do printf '| `log.n%s` | `true` | x |  | N |\n' $n; done
    } >docs/settings.md
    printf -- '-- the first\ncreate table t (at timestamptz not null);\n' >sql/001_first.sql
    printf 'void t(void);\nvoid t(void)\n{\n    log_info("a.b", "n=%%d",\n             1);\n}\n' >src/core/t.c
    printf '#!/bin/sh\nset -eu\necho "$1"\n' >dev/thing
    printf '/* a test */\n' >tests/unit/test_a.c
    {
        echo 'AM_CPPFLAGS = -Isrc -include core/banned.h'
        for f in $(find src sql -type f ! -name LAYERS) tests/unit/test_a; do printf '\t%s \\\n' "$f"; done
    } >Makefile.am
}

# says LINT TEXT: the lint fails on the tree as it is now, and says TEXT.
says() {
    out=$(LINT_ROOT=$scratch/tree CC=$CC AWK=$AWK CHECK_STRICT=1 CPPFLAGS='' top_builddir=/nonexistent \
        sh "$lint_dir/$1.sh" 2>&1) && echo "$1 found nothing wrong; it should have said: $2"
    case $out in *"$2"*) ;; *) printf '%s should have said: %s\n%s\n' "$1" "$2" "$out" ;; esac
}

silent() {
    good
    for lint in layers foreign banned headers logkeys registry lists confdoc sql files shell; do
        [ "$lint" != shell ] || command -v shellcheck >/dev/null || continue
        out=$(LINT_ROOT=$scratch/tree CC=$CC AWK=$AWK CPPFLAGS='' top_builddir=/nonexistent sh "$lint_dir/$lint.sh" 2>&1) ||
            printf '%s complains of a good tree:\n%s\n' "$lint" "$out"
    done
}

line() {
    printf '%s\n' "$2" >>"$1"
}

layers() {
    good; line src/core/a.c '#include "store/s.h"'
    says layers "src/core/a.c:7: core may not include store: that is a floor above"
    good; line src/cache/c.c '#include "store/s.h"'
    says layers "cache may not include store: siblings"
    good; line src/cache/c.c '#  include "../core/a.h"'
    says layers "includes are named from src/"
    good; mkdir src/attic; line src/attic/x.c 'int x;'
    says layers "src/attic is not in src/LAYERS"
    good; line src/core/a.h '#include "core/b.h"'; line src/core/b.h '#include "core/a.h"'
    says layers "src/core/b.h"
}

foreign() {
    for h in libpq-fe.h hiredis/hiredis.h fcgiapp.h json-c/json.h ev.h ini.h cmocka.h; do
        good; line src/queue/q.c "#include <$h>"
        says foreign "src/queue/q.c:1: <$h>"
    done
}

banned() {
    good; sed -i '/^#define atoi(/d' src/core/banned.h
    says banned "does not ban atoi"
    good; sed -i 's/^#define strtok(.*/#define strtok(...) BANNED(strtok, x)\n#undef strtok/' src/core/banned.h
    says banned "a call of strtok compiles"
    good; echo 'AM_CPPFLAGS = -Isrc' >Makefile.am
    says banned "lacks -include"
    good; line src/core/a.c '#undef sprintf'
    says banned "src/core/a.c:7:#undef sprintf: say why"
    good; line src/core/a.c 'int f(void) { return (atoi)("1"); }'
    says banned "steps around the ban"
}

headers() {
    good; sed -i '/stddef/d' src/core/a.h
    says headers "src/core/a.h: "
    good; sed -i 's/LATHE_STORE_S_H/LATHE_S_H/' src/store/s.h
    says headers "the guard is not LATHE_STORE_S_H"
}

logkeys() {
    good; line src/core/t.c 'void u(void) { log_info("c", "pid=%d", 1); }'
    says logkeys "src/core/t.c:7: the logger itself writes pid="
    good; line src/core/t.c "$(printf 'void u(struct err *e) {\n    log_warn_err("c", e,\n    "n=%%d error=%%s",\n  1, "x");\n}')"
    says logkeys "src/core/t.c:8: the logger itself writes error="
    good; line src/core/t.c 'void u(void) { log_error("c", "n=%d m=" "x n=%d", 1, 2); }'
    says logkeys "n= twice in one line"
}

registry() {
    good; line src/handlers/handlers.def 'HANDLER(ghost)'
    says registry "HANDLER(ghost): nothing in src/handlers/ defines handler_ghost"
    good; line src/handlers/more.c 'const struct handler handler_more = {0};'
    says registry "handler_more is not listed"
    good; line src/handlers/handlers.def 'HANDLER(echo)'
    says registry "echo is listed twice"
    good; line src/model/strategy_new.c 'const struct strategy strategy_new = {0};'
    says registry "strategy_new is not listed"
    good; mv src/handlers/echo.c src/handlers/parrot.c
    says registry "there is no src/handlers/echo.c"
}

lists() {
    good; line src/core/new.c 'int x;'
    says lists "src/core/new.c is not listed"
    good; rm src/cache/c.c
    says lists "src/cache/c.c is listed in Makefile.am and is not there"
    good; line Makefile.am "$(printf '\tsrc/core/a.c \\')"
    says lists "src/core/a.c is listed twice"
    good; line tests/unit/test_b.c '/* */'
    says lists "tests/unit/test_b is not listed"
}

confdoc() {
    good; line src/core/settings.def 'SETTING(log, level, text, "info", 1, 8, yes, "Level")'
    says confdoc "< log.level"
    good; line src/core/sections.def 'PLUG(size, int, 1, 0, 9, no, "Size")'
    says confdoc "< plug.size"
    good; sed -i 's/^;threads = 8/;threads = 9/' conf/lathe.conf
    says confdoc "> api.threads	9"
    good; sed -i 's/`25s`/`25m`/' docs/settings.md
    says confdoc "> api.wait	1500000"
    good; line conf/lathe.conf ';ghost = 1'
    says confdoc "> log.ghost"
    good; sed -i 's/ (R)//' conf/lathe.conf
    says confdoc "> api.wait	25000	no"
    good; sed -i 's/^;listen/listen/' conf/lathe.conf
    says confdoc "is not a comment"
}

sql() {
    good; mv sql/001_first.sql sql/002_first.sql
    says sql "here belongs number 001"
    good; line sql/002_two.sql "select pg_notify('a', 'b');"
    says sql "NOTIFY makes all commits wait"
    good; line sql/002_two.sql 'COMMIT;'
    says sql "holds the transaction"
    good; line sql/002_two.sql 'create table x (at timestamp not null);'
    says sql "timestamptz"
    good; line src/store/s.c 'const char *q = "NOTIFY a";'
    says sql "no NOTIFY in write"
}

files_() {
    good; yes 'int x;' | head -601 >src/core/big.c
    says files "src/core/big.c: 601 lines"
    good; line src/core/a.c '    goto out;'
    says files "src/core/a.c:7: goto"
    good; line docs/settings.md 'see /home/ann/notes'
    says files "docs/settings.md:"
    good; line src/core/a.c '/* x */ '
    says files "blanks at the end"
    good; line src/core/a.c "$(printf '\tint x;')"
    says files "a tab"
    command -v git >/dev/null || return 0
    good; echo '*.o' >.gitignore; line src/core/a.o x
    git init -q . && git add -f src/core/a.o
    says files "src/core/a.o: made by a build"
}

shell() {
    command -v shellcheck >/dev/null || return 0
    good; line dev/thing 'cd $1; rm -rf $UNSET/*'
    says shell "dev/thing"
    good; line dev/thing 'if then'
    says shell "dev/thing"
}

check "a good tree passes all" silent
for lint in layers foreign banned headers logkeys registry lists confdoc sql files_ shell; do
    check "${lint%_} can fail" $lint
done
done_testing
