/* The settings' file, read with inih from memory: a reader of our own counts lines, and says so where inih would cut one. */
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>

#include "core/conf_table.h"
#include "core/file.h"
#include "core/limits.h"
#include "core/mem.h"

struct reading {
    struct conf *conf;
    struct span rest;
    const char *path;
    unsigned line;
    unsigned *seen; /* of each row: the line that set it */
    bool failed;    /* the first error is the one that is told */
    struct err *e;
};

static void describe_line(const struct reading *r, char *origin, size_t size)
{
    snprintf(origin, size, "%.200s line %u", r->path, r->line);
}

static void fail(struct reading *r, const char *what)
{
    if (r->failed)
        return;
    r->failed = true;
    err_set(r->e, ERR_CONFIG, "%.200s line %u: %s", r->path, r->line, what);
}

/* fgets(3) for inih, from a span. */
static char *next_line(char *to, int size, void *arg)
{
    struct reading *r = arg;
    if (r->rest.len == 0 || r->failed)
        return NULL;
    r->line++;
    struct span line = span_cut(&r->rest, '\n');
    if (line.len + 2 > (size_t)size) {
        fail(r, "the line is too long; give such a value in the environment");
        return NULL;
    }
    if (line.len && memchr(line.ptr, '\0', line.len)) {
        fail(r, "the line has a NUL byte");
        return NULL;
    }
    if (line.len)
        memcpy(to, line.ptr, line.len);
    to[line.len] = '\n';
    to[line.len + 1] = '\0';
    return to;
}

static int set_one(void *arg, const char *section, const char *name, const char *value)
{
    struct reading *r = arg;
    if (r->failed)
        return 0;
    const struct conf_row *row = conf_find(span_of(section), span_of(name));
    char text[300];
    if (!row) {
        snprintf(text, sizeof text, "there is no setting %.100s in section [%.100s]", name, section);
        fail(r, text);
        return 0;
    }
    unsigned *seen = &r->seen[row - conf_rows];
    if (*seen) { /* also how inih hands over an indented line: as more of the setting before */
        snprintf(text, sizeof text, "%s.%s was set already in line %u", section, name, *seen);
        fail(r, text);
        return 0;
    }
    *seen = r->line;
    describe_line(r, text, sizeof text);
    r->failed = !conf_set(r->conf, row, span_of(value), text, r->e);
    return !r->failed;
}

bool conf_read_text(struct conf *c, struct span text, const char *path, struct err *e)
{
    unsigned *seen CLEANUP(mem_free_at) = mem_array(conf_row_count, sizeof *seen);
    struct reading r = {.conf = c, .rest = text, .path = path, .seen = seen, .e = e};
    int bad_line = ini_parse_stream(next_line, &r, set_one, &r);
    if (r.failed)
        return false;
    if (bad_line > 0)
        return err_set(e, ERR_CONFIG, "%.200s line %d: expected [section], name = value or a comment", path,
                       bad_line);
    return bad_line == 0 || err_set(e, ERR_CONFIG, "%.200s cannot be read", path);
}

bool conf_read_file(struct conf *c, const char *path, struct err *e)
{
    struct buf text CLEANUP(buf_release) = BUF_INIT(256 * KIB);
    if (!file_read(path, &text, e)) {
        if (e)
            e->code = ERR_CONFIG;
        return false;
    }
    return conf_read_text(c, buf_view(&text), path, e);
}
