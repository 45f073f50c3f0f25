/* GET /api/v1/tasks/{id}/results: streamed in item order, a piece at a time, as NDJSON or as one JSON document. */
#include <inttypes.h>
#include <string.h>

#include "api/inside.h"
#include "api/prefer.h"

struct results_query {
    int64_t offset, limit;
};

static const struct field results_fields[] = {
    {.name = "offset",
     .type = FIELD_INT,
     .offset = offsetof(struct results_query, offset),
     .min = 0,
     .max = LIMIT_ITEMS,
     .def = 0,
     .summary = "index of the first item"},
    {.name = "limit",
     .type = FIELD_INT,
     .offset = offsetof(struct results_query, limit),
     .min = 1,
     .max = LIMIT_ITEMS,
     .def = LIMIT_ITEMS,
     .summary = "how many items at most"},
};
static const struct fields results_table = FIELDS(results_fields, struct results_query);

/* JSON: the head, then the lines with commas for their ends, then the tail. */
struct results {
    struct store *store;
    struct store_results from;
    struct task task;
    bool begun, comma; /* comma: a line has ended, and another may follow */
};

static bool more_lines(void *arg, struct buf *out, bool *ret_end, struct err *e)
{
    struct results *r = arg;
    return store_results_more(r->store, &r->from, out, ret_end, e);
}

static void put_head(struct results *r, struct buf *out)
{
    char id[UUID_TEXT];
    uuid_format(r->task.id, id);
    buf_printf(out, "{\"task\":\"%s\",\"state\":\"%s\",\"items\":[", id, state_name(r->task.state));
    r->begun = true;
}

/* Where to go on: nowhere when the last item was given, or when the task is over and has no more. */
static void put_tail(const struct results *r, struct buf *out)
{
    bool more = r->from.next < r->task.items_total && (r->from.limit == 0 || !state_final(r->task.state));
    buf_puts(out, "],\"next\":");
    if (more)
        buf_int(out, r->from.next);
    else
        buf_puts(out, "null");
    buf_char(out, '}');
}

/* The lines in `lines` as elements of a list; a piece may end in the middle of a line. */
static void put_elements(struct results *r, struct span lines, struct buf *out)
{
    while (lines.len) {
        const char *end = memchr(lines.ptr, '\n', lines.len);
        if (r->comma)
            buf_char(out, ',');
        buf_span(out, span_take(&lines, end ? (size_t)(end - lines.ptr) : lines.len));
        r->comma = end != NULL;
        span_take(&lines, 1);
    }
}

static bool more_json(void *arg, struct buf *out, bool *ret_end, struct err *e)
{
    struct results *r = arg;
    struct buf lines CLEANUP(buf_release) = BUF_INIT(out->max - 256); /* room for head and tail */
    if (!store_results_more(r->store, &r->from, &lines, ret_end, e))
        return false;
    if (!r->begun)
        put_head(r, out);
    put_elements(r, buf_view(&lines), out);
    if (*ret_end)
        put_tail(r, out);
    return true;
}

void results_get(struct api *a, struct call *c, struct span parameter)
{
    static const char *const types[] = {"application/json", "application/x-ndjson"};
    struct err e = ERR_INIT;
    struct uuid id;
    struct query q;
    struct results_query asked;
    struct results *r = arena_alloc(&c->arena, sizeof *r);
    fields_defaults(&results_table, &asked);
    int type = media_choose(c->req.accept, types, 2);
    if (type < 0) {
        err_set(&e, ERR_NOT_ACCEPTABLE, "results are application/json or application/x-ndjson");
        answer_problem(c, &e);
        return;
    }
    if (!id_of(parameter, &id, &e) || !query_read(c, &q, &e) ||
        !query_fields(&q, &results_table, &asked, &e) || !store_get(a->store, &c->arena, id, &r->task, &e)) {
        answer_problem(c, &e);
        return;
    }
    r->store = a->store;
    r->from = (struct store_results){.id = id, .next = asked.offset, .limit = asked.limit};
    call_header(c, "Vary", "Accept");
    call_header(c, "Lathe-Task-State", "%s", state_name(r->task.state));
    call_header(c, "Lathe-Items-Total", "%" PRId64, r->task.items_total);
    c->res.content_type = types[type];
    c->res.stream = (struct stream){.more = type == 0 ? more_json : more_lines, .arg = r};
    c->res.status = 200;
    call_send(c);
}
