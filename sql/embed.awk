# Reads the names of migrations (NNN_name.sql), one a line, and prints the C file that carries them.
# The other half is src/store/migrations.h.
BEGIN {
    print "/* Made from sql/ by sql/embed.awk. */"
    print "#include \"store/migrations.h\"\n"
    print "const struct migration migrations[] = {"
}
{
    file = $0
    base = file
    sub(/.*\//, "", base)
    if (base !~ /^[0-9][0-9][0-9]_[a-z0-9_]+\.sql$/) {
        print "sql/embed.awk: not NNN_name.sql: " base > "/dev/stderr"
        failed = 1
        exit 1
    }
    printf "    {%d, \"%s\",\n", substr(base, 1, 3) + 0, base
    any = 0
    while ((got = (getline line < file)) > 0) {
        gsub(/\\/, "\\\\", line)
        gsub(/"/, "\\\"", line)
        gsub(/\t/, "\\t", line)
        gsub(/\?/, "\\?", line)
        printf "     \"%s\\n\"\n", line
        any = 1
    }
    if (got < 0 || !any) {
        print "sql/embed.awk: cannot read, or empty: " file > "/dev/stderr"
        failed = 1
        exit 1
    }
    close(file)
    print "    },"
    count++
}
END {
    if (failed)
        exit 1
    print "    {0, NULL, NULL},\n};\n"
    printf "const size_t migrations_count = %d;\n", count
}
