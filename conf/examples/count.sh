#!/bin/sh
# A command for Lathe in plain shell: counts the bytes of its input. docs/commands.md tells how lines look.
#
#     [command sh.count]
#     program = /bin/sh /usr/share/lathe/examples/count.sh
#
# Without a parser of JSON: the id is the first thing in a line, the input the last but for the params.
while IFS= read -r line; do
    id=${line#'{"id":'}
    id=${id%%,*}
    input=${line#*'"input":'}
    input=${input%',"params":'*}
    printf '{"id":%s,"result":%d}\n' "$id" "${#input}"
done
