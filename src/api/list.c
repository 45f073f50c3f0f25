/* GET /api/v1/tasks: filters, newest first, a page at a time by keyset. */
#include "api/cursor.h"
#include "api/inside.h"
#include "api/list.h"
#include "core/when.h"
#include "model/strategy.h"

static const struct field list_fields[] = {LIST_FIELDS(struct list_query, )};
static const struct fields list_table = FIELDS(list_fields, struct list_query);

static bool read_time(const char *name, const char *text, int64_t *ret, struct err *e)
{
    if (text[0] == '\0' || when_read(span_of(text), ret))
        return true;
    return err_at(e, ERR_BAD_FIELD, name, "\"%s\" must be a time of RFC 3339, as in 2026-11-21T03:14:05Z",
                  name);
}

static bool read_state(const struct list_query *l, struct task_filter *f, struct err *e)
{
    f->by_state = l->state[0] != '\0';
    if (!f->by_state || state_by_name(span_of(l->state), &f->state))
        return true;
    struct buf known CLEANUP(buf_release) = BUF_INIT(256);
    for (int s = 0; s < TASK_STATES; s++)
        buf_printf(&known, "%s%s", s ? ", " : "", state_name((enum task_state)s));
    return err_at(e, ERR_BAD_FIELD, "state", "\"state\" must be one of " SPAN_FMT,
                  SPAN_ARG(buf_view(&known)));
}

/* Aliases mean the strategy; compare is none, but its parents are listed under that word. */
static bool read_strategy(const struct list_query *l, struct task_filter *f, struct err *e)
{
    f->strategy = span_of(l->strategy);
    if (l->strategy[0] == '\0' || span_is(f->strategy, "compare"))
        return true;
    const struct strategy *s = strategy_find(f->strategy);
    if (!s)
        return err_at(e, ERR_BAD_FIELD, "strategy",
                      "there is no strategy of this name; see /api/v1/strategies");
    f->strategy = span_of(s->name);
    return true;
}

/* What a cursor is bound to; the size of a page may change on the way. */
static struct span filters_text(struct call *c, const struct list_query *l)
{
    return span_of(arena_printf(&c->arena, "%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s", l->handler, l->strategy,
                                l->queue, l->state, l->since, l->until, l->parent, l->error));
}

bool list_filter(struct call *c, const struct list_query *l, struct task_filter *f, struct span *ret_filters,
                 struct err *e)
{
    struct span filters = *ret_filters = filters_text(c, l);
    *f = (struct task_filter){.handler = span_of(l->handler),
                              .queue = span_of(l->queue),
                              .error = span_of(l->error),
                              .limit = (int)l->limit};
    if (!read_strategy(l, f, e) || !read_state(l, f, e) || !read_time("since", l->since, &f->since_us, e) ||
        !read_time("until", l->until, &f->until_us, e))
        return false;
    if (l->error[0] && f->by_state && f->state != TASK_failed)
        return err_at(e, ERR_BAD_FIELD, "error",
                      "only tasks that failed have an \"error\": state must be failed");
    if (l->error[0]) {
        f->by_state = true;
        f->state = TASK_failed;
    }
    if (l->parent[0] && !uuid_parse(span_of(l->parent), &f->parent))
        return err_at(e, ERR_BAD_FIELD, "parent", "\"parent\" must be the id of a task, a UUID");
    if (l->cursor[0] && !cursor_read(span_of(l->cursor), filters, &f->before))
        return err_at(
            e, ERR_BAD_FIELD, "cursor",
            "the cursor is not one that this list gave: begin again without it, with the same filters");
    return true;
}

/* Returns how many there was room for: one at least. */
static size_t write_tasks(struct json_out *o, const struct buf *body, const struct task *tasks, size_t n)
{
    size_t written = 0;
    json_key(o, "tasks");
    json_open(o, '[');
    while (written < n && body->len < LIMIT_PAGE)
        task_write(&tasks[written++], o);
    json_close(o, ']');
    return written;
}

void tasks_list(struct api *a, struct call *c, struct span parameter)
{
    (void)parameter;
    struct err e = ERR_INIT;
    struct list_query l;
    struct query q;
    struct task_filter f;
    struct task *tasks;
    struct uuid go_on;
    size_t n;
    fields_defaults(&list_table, &l);
    if (!query_read(c, &q, &e) || !query_fields(&q, &list_table, &l, &e)) {
        answer_problem(c, &e);
        return;
    }
    struct span filters, cursor;
    query_take(&q, "cursor", &cursor);
    struct span others = query_rest(c, &q); /* for the link */
    bool good = list_filter(c, &l, &f, &filters, &e);
    f.limit++; /* is there another one? */
    if (!good || !store_list(a->store, &c->arena, &f, &tasks, &n, &go_on, &e)) {
        answer_problem(c, &e);
        return;
    }
    char next[CURSOR_TEXT];
    struct json_out o = json_out(&c->res.body);
    json_open(&o, '{');
    size_t written = write_tasks(&o, &c->res.body, tasks, n < (size_t)l.limit ? n : (size_t)l.limit);
    if (written < n)
        go_on = tasks[written - 1].id;
    bool more = !uuid_is_nil(go_on);
    if (more) {
        cursor_write(go_on, filters, next);
        if (others.len < LIMIT_HEADER / 2) /* a header has its limit; next_cursor is in the document anyway */
            call_header(c, "Link", "</api/v1/tasks?" SPAN_FMT "%scursor=%s>; rel=\"next\"", SPAN_ARG(others),
                        others.len ? "&" : "", next);
    }
    json_key(&o, "next_cursor");
    json_put_str(&o, more ? next : NULL);
    json_close(&o, '}');
    c->res.status = 200;
    call_send(c);
}
