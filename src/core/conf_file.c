/* The settings' file, read with inih from memory: a reader of our own counts lines, and says so where inih would cut one. */
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/conf_sections.h"
#include "core/file.h"
#include "core/limits.h"
#include "core/mem.h"

#define VALUE_MOST (64 * KIB) /* of a text in several lines, before its own range is looked at */

/* The named section that is being read: it is complete when the next one begins, or the file ends. */
struct open_section {
    const struct conf_kind *kind; /* NULL: it has no name, but those of settings.def */
    struct section_head *to;
    unsigned seen[SECTION_FIELDS_MOST]; /* of each row: the line that set it */
    const struct conf_row *row;         /* whose value is being read: indented lines may follow. NULL: none */
    struct buf value;
};

struct reading {
    struct conf *conf;
    struct span rest;
    const char *path;
    unsigned line;
    unsigned *seen; /* of each row of settings.def: the line that set it */
    struct open_section open;
    bool after_value; /* what is indented now is more of the value before, to inih */
    bool more;        /* and this line is */
    bool failed;      /* the first error is the one that is told */
    struct err *e;
};

static void describe_line(const struct reading *r, unsigned line, char *origin, size_t size)
{
    snprintf(origin, size, "%.200s line %u", r->path, line);
}

static LATHE_PRINTF(2, 3) void fail(struct reading *r, const char *format, ...)
{
    if (r->failed)
        return;
    char what[300];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    r->failed = true;
    err_set(r->e, ERR_CONFIG, "%.200s line %u: %s", r->path, r->line, what);
}

/* ---- named sections */

static void end_value(struct reading *r)
{
    struct open_section *o = &r->open;
    const struct conf_row *row = o->row;
    o->row = NULL;
    if (!row || r->failed)
        return;
    struct span value = buf_view(&o->value);
    if (!o->value.failed && conf_put(&r->conf->arena, o->to, row, value))
        return;
    char label[200], origin[300];
    snprintf(label, sizeof label, "[%s %s] %s", o->kind->name, o->to->name, row->name);
    describe_line(r, o->seen[row - o->kind->rows], origin, sizeof origin);
    r->failed = true;
    conf_refuse(row, label, value, origin, r->e);
}

static void end_section(struct reading *r)
{
    struct open_section *o = &r->open;
    end_value(r);
    for (size_t i = 0; o->kind && i < o->kind->row_count && !r->failed; i++)
        if (o->kind->rows[i].required && !o->seen[i]) {
            r->line = (unsigned)o->to->line;
            fail(r, "[%s %s] needs a line %s = …", o->kind->name, o->to->name, o->kind->rows[i].name);
        }
    o->kind = NULL;
}

/* The text between the brackets. inih keeps 49 characters of it, so it is read here. */
static void begin_section(struct reading *r, struct span text)
{
    struct span name = text, kind = span_cut(&name, ' ');
    char origin[300];
    end_section(r);
    r->after_value = false;
    r->open.kind = section_kind(kind);
    if (r->failed)
        return;
    if (r->open.kind) {
        memset(r->open.seen, 0, sizeof r->open.seen);
        describe_line(r, r->line, origin, sizeof origin);
        r->open.to = section_add(r->conf, r->open.kind, span_trim(name), r->line, origin, r->e);
        r->failed = r->open.to == NULL;
    } else if (kind.len < text.len) {
        struct buf known CLEANUP(buf_release) = BUF_INIT(200);
        for (size_t i = 0; i < conf_kind_count; i++)
            buf_printf(&known, "%s%s", i ? ", " : "", conf_kinds[i].name);
        fail(r, "there is no kind of section called \"%.*s\"; there are " SPAN_FMT,
             (int)(kind.len < 40 ? kind.len : 40), kind.ptr, SPAN_ARG(buf_view(&known)));
    }
}

static void set_field(struct reading *r, const char *name, const char *value)
{
    struct open_section *o = &r->open;
    const struct conf_row *row = section_row(o->kind, span_of(name));
    if (!row) {
        fail(r, "[%s %s]: there is no field %.100s", o->kind->name, o->to->name, name);
        return;
    }
    unsigned *seen = &o->seen[row - o->kind->rows];
    if (r->more && o->row == row && row->type == CONF_lines) {
        if (o->value.len)
            buf_char(&o->value, '\n');
        buf_puts(&o->value, value);
        return;
    }
    if (*seen) {
        fail(r, "[%s %s] %s was set already in line %u", o->kind->name, o->to->name, name, *seen);
        return;
    }
    end_value(r);
    *seen = r->line;
    o->row = row;
    buf_clear(&o->value);
    buf_puts(&o->value, value);
}

/* ---- lines */

/* What inih will make of the line, as far as sections and their fields have to know. */
static void look_at(struct reading *r, struct span line)
{
    size_t n = 0;
    if (r->line == 1 && span_starts(line, "\xef\xbb\xbf"))
        span_take(&line, 3);
    while (n < line.len && char_is_space(line.ptr[n]))
        n++;
    r->more = n > 0 && r->after_value;
    span_take(&line, n);
    if (r->more || !span_starts(line, "["))
        return;
    span_take(&line, 1);
    if (memchr(line.ptr, ']', line.len)) /* else inih will complain */
        begin_section(r, span_cut(&line, ']'));
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
        fail(r, "the line is too long; give such a value in %s",
             r->open.kind ? "several lines, where its field allows" : "the environment");
        return NULL;
    }
    if (line.len && memchr(line.ptr, '\0', line.len)) {
        fail(r, "the line has a NUL byte");
        return NULL;
    }
    look_at(r, line);
    if (r->failed)
        return NULL;
    if (line.len)
        memcpy(to, line.ptr, line.len);
    to[line.len] = '\n';
    to[line.len + 1] = '\0';
    return to;
}

static void set_row(struct reading *r, const char *section, const char *name, const char *value)
{
    const struct conf_row *row = conf_find(span_of(section), span_of(name));
    if (!row) {
        fail(r, "there is no setting %.100s in section [%.100s]", name, section);
        return;
    }
    unsigned *seen = &r->seen[row - conf_rows];
    if (*seen) { /* also how inih hands over an indented line: as more of the setting before */
        fail(r, "%s.%s was set already in line %u", section, name, *seen);
        return;
    }
    char origin[300];
    *seen = r->line;
    describe_line(r, r->line, origin, sizeof origin);
    r->failed = !conf_set(r->conf, row, span_of(value), origin, r->e);
}

static int set_one(void *arg, const char *section, const char *name, const char *value)
{
    struct reading *r = arg;
    if (r->failed)
        return 0;
    r->after_value = true;
    if (r->open.kind)
        set_field(r, name, value);
    else
        set_row(r, section, name, value);
    return !r->failed;
}

static bool read_lines(struct reading *r)
{
    int bad_line = ini_parse_stream(next_line, r, set_one, r);
    if (bad_line <= 0)
        end_section(r);
    if (r->failed)
        return false;
    if (bad_line > 0)
        return err_set(r->e, ERR_CONFIG, "%.200s line %d: expected [section], name = value or a comment",
                       r->path, bad_line);
    return bad_line == 0 || err_set(r->e, ERR_CONFIG, "%.200s cannot be read", r->path);
}

bool conf_read_text(struct conf *c, struct span text, const char *path, struct err *e)
{
    unsigned *seen CLEANUP(mem_free_at) = mem_array(conf_row_count, sizeof *seen);
    struct reading r = {.conf = c, .rest = text, .path = path, .seen = seen, .e = e};
    buf_init(&r.open.value, VALUE_MOST);
    bool good = read_lines(&r) && sections_check(c, path, e);
    buf_release(&r.open.value);
    return good;
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
