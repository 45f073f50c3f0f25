#!/bin/sh
# The diffs of CONTRIBUTING.md are those of real files: every line that one adds stands in its file, in that order.
# Usage: contributing.sh [ROOT]
set -eu
root=${1:-${top_srcdir:-.}}
echo 1..1
if awk -v root="$root" '
    function load(path,    line, n) {
        n = 0
        while ((getline line < (root "/" path)) > 0)
            file[++n] = line
        close(root "/" path)
        lines = n
        at = 0
        if (n == 0) { printf "# %s: no such file\n", path; bad = 1 }
    }
    /^```diff$/ { in_diff = 1; next }
    /^```$/ { in_diff = 0 }
    !in_diff { next }
    /^\+\+\+ b\// { path = substr($0, 7); load(path); next }
    /^\+/ {
        want = substr($0, 2)
        seen++
        while (at < lines && file[at + 1] != want)
            at++
        if (at >= lines) { printf "# %s has no line (in this order): %s\n", path, want; bad = 1; at = 0 }
        else at++
    }
    END { if (seen < 20) { print "# found no diffs"; bad = 1 } exit bad }' "$root/CONTRIBUTING.md"
then echo "ok 1 - the diffs of CONTRIBUTING.md are true"
else echo "not ok 1 - the diffs of CONTRIBUTING.md are true"; exit 1
fi
