/* GET /api/v1/tasks/{id}/log: what its runs had to say, in the order in which they ended, as NDJSON or as one JSON document. */
#include <string.h>

#include "api/inside.h"
#include "api/prefer.h"

struct log {
    struct store *store;
    struct store_log from;
    struct task task;
    bool begun, comma; /* comma: a line went before */
};

static bool more_lines(void *arg, struct buf *out, bool *ret_end, struct err *e)
{
    struct log *l = arg;
    return store_log_more(l->store, &l->from, out, ret_end, e);
}

static void put_head(const struct log *l, struct buf *out)
{
    char id[UUID_TEXT];
    uuid_format(l->task.id, id);
    buf_printf(out, "{\"task\":\"%s\",\"state\":\"%s\",\"lines\":[", id, state_name(l->task.state));
}

/* A comma takes the place of a newline, so that what comes fits where the lines did. */
static bool more_json(void *arg, struct buf *out, bool *ret_end, struct err *e)
{
    struct log *l = arg;
    struct buf lines CLEANUP(buf_release) = BUF_INIT(out->max - 256); /* room for head and tail */
    if (!store_log_more(l->store, &l->from, &lines, ret_end, e))
        return false;
    if (!l->begun)
        put_head(l, out);
    l->begun = true;
    for (struct span rest = buf_view(&lines); rest.len > 0; l->comma = true) {
        if (l->comma)
            buf_char(out, ',');
        buf_span(out, span_cut(&rest, '\n'));
    }
    if (*ret_end)
        buf_puts(out, "]}");
    return true;
}

void log_get(struct api *a, struct call *c, struct span parameter)
{
    static const char *const types[] = {"application/json", "application/x-ndjson"};
    struct err e = ERR_INIT;
    struct uuid id;
    struct log *l = arena_alloc(&c->arena, sizeof *l);
    int type = media_choose(c->req.accept, types, 2);
    if (type < 0) {
        err_set(&e, ERR_NOT_ACCEPTABLE, "a log is application/json or application/x-ndjson");
        answer_problem(c, &e);
        return;
    }
    if (!id_of(parameter, &id, &e) || !query_none(c, &e) ||
        !store_get(a->store, &c->arena, id, &l->task, &e)) {
        answer_problem(c, &e);
        return;
    }
    l->store = a->store;
    l->from = (struct store_log){.id = id};
    call_header(c, "Vary", "Accept");
    call_header(c, "Lathe-Task-State", "%s", state_name(l->task.state));
    c->res.content_type = types[type];
    c->res.stream = (struct stream){.more = type == 0 ? more_json : more_lines, .arg = l};
    c->res.status = 200;
    call_send(c);
}
