/* Options become the query string and the body that an HTTP caller would have sent, and go the same way from there. */
#include <string.h>

#include "cmd/options.h"
#include "cmd/work.h"
#include "core/file.h"
#include "handlers/registry.h"

static const char shorts[] = "n=items_count w=workers b=batch_size q=queue";

struct reading {
    struct arena *arena;
    int *argc;
    char **argv;
    struct buf query, body;
    struct json_out o; /* into body */
    struct err *e;
};

static void put_encoded(struct buf *b, struct span text)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || strchr("-._", c)) {
            buf_char(b, text.ptr[i]);
        } else {
            buf_char(b, '%');
            buf_char(b, hex[c >> 4]);
            buf_char(b, hex[c & 15]);
        }
    }
}

static void put_pair(struct reading *r, const char *prefix, struct span name, struct span value)
{
    if (r->query.len)
        buf_char(&r->query, '&');
    buf_puts(&r->query, prefix);
    put_encoded(&r->query, name);
    buf_char(&r->query, '=');
    put_encoded(&r->query, value);
}

static bool put_json(struct reading *r, const char *name, struct span text)
{
    struct err bad = ERR_INIT;
    if (!json_check(text, &bad))
        return err_at(r->e, ERR_BAD_FIELD, name, "this is not JSON: %s", bad.text);
    json_key(&r->o, name);
    json_put_raw(&r->o, text);
    return true;
}

/* A JSON list as it is, or a value a line. */
static bool put_items(struct reading *r, const char *path)
{
    struct buf text CLEANUP(buf_release) = BUF_INIT(LIMIT_BODY);
    struct err bad = ERR_INIT;
    if (!file_read(strcmp(path, "-") == 0 ? "/dev/stdin" : path, &text, r->e))
        return false;
    struct span rest = buf_view(&text);
    if (span_starts(rest, "[") && json_check(rest, &bad))
        return put_json(r, "items", rest);
    json_key(&r->o, "items");
    json_open(&r->o, '[');
    for (int line = 1; rest.len; line++) {
        struct span value = span_trim(span_cut(&rest, '\n'));
        if (value.len && !json_check(value, &bad))
            return err_at(r->e, ERR_BAD_JSON, "items", "%s, line %d is not JSON: %s", path, line, bad.text);
        if (value.len)
            json_put_raw(&r->o, value);
    }
    json_close(&r->o, ']');
    return true;
}

static bool on_option(void *arg, const struct field *f, struct span value, struct err *e)
{
    struct reading *r = arg;
    (void)e; /* r->e */
    if (strcmp(f->name, "items") == 0)
        return put_items(r, arena_text(r->arena, value));
    if (f->type == FIELD_JSON && strcmp(f->name, "strategies") != 0)
        return put_json(r, f->name, value);
    put_pair(r, "", span_of(f->name), value);
    return true;
}

static bool read_params(struct reading *r)
{
    const char *pair;
    for (;;) {
        if (!options_next("--param", "-p", r->argc, r->argv, &pair, r->e))
            return false;
        if (!pair)
            return true;
        struct span value = span_of(pair), name = span_cut(&value, '=');
        if (name.len == strlen(pair))
            return err_set(r->e, ERR_USAGE, "--param takes name=value, not \"%s\"", pair);
        put_pair(r, "params.", name, value);
    }
}

static bool read_options(struct reading *r)
{
    json_open(&r->o, '{');
    if (!options_each(&submission_fields, shorts, r->argc, r->argv, on_option, r, r->e))
        return false;
    json_close(&r->o, '}');
    if (!read_params(r))
        return false;
    return (!r->query.failed && !r->body.failed) ||
           err_set(r->e, ERR_TOO_LARGE, "this is more than a submission may have: %u bytes", LIMIT_BODY);
}

bool work_read(struct arena *a, const struct strategy *strategy, int *argc, char **argv,
               struct submission *ret, struct err *e)
{
    struct reading r = {.arena = a,
                        .argc = argc,
                        .argv = argv,
                        .query = BUF_INIT(LIMIT_QUERY),
                        .body = BUF_INIT(LIMIT_BODY),
                        .e = e};
    const struct json *body;
    r.o = json_out(&r.body);
    bool good = read_options(&r) && json_read(a, arena_copy(a, buf_view(&r.body)), &body, e) &&
                submission_read(a, strategy, body, arena_copy(a, buf_view(&r.query)), handler_find, ret, e);
    buf_release(&r.query);
    buf_release(&r.body);
    return good;
}

void work_help(struct buf *out)
{
    buf_puts(out, "The work:\n");
    options_help(&submission_fields, shorts, out);
    buf_puts(
        out,
        "  -p, --param=NAME=VALUE           one of the handler's params, as often as needed\n"
        "JSON is given as text, strategies as words with commas, and items as a file (- for standard input): a\n"
        "JSON list, or a value a line.\n");
}
