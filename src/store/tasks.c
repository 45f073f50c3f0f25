/* tasks.c: reading tasks, and cancelling one. */
#include <stdio.h>

#include "core/limits.h"
#include "store/inside.h"
#include "store/rows.h"

#define STR_(x) #x
#define STR(x) STR_(x)
#define FIRST_RESULTS 65536 /* bytes of results that a task brings along */

static const struct stmt get_stmt = {
    "get", "SELECT " TASK_COLUMNS ", " TASK_RESULTS(STR(FIRST_RESULTS)) " FROM tasks t " TASK_HELD
                                                                        " WHERE t.id = ANY ($1::uuid[])"};

/* Of those, the ones that are over. Somebody waits for this answer, and what it costs is mostly the size of the statement. */
static const struct stmt get_ended_stmt = {
    "get_ended",
    "SELECT " TASK_ENDED_COLUMNS
    ", " TASK_RESULTS(STR(FIRST_RESULTS)) " FROM tasks t "
                                          "WHERE t.id = ANY ($1::uuid[]) AND lathe_final(t.state)"};

static const struct stmt children_stmt = {"children",
                                          "SELECT " TASK_COLUMNS ", NULL::bytea FROM tasks t " TASK_HELD
                                          " WHERE t.parent = $1::uuid ORDER BY t.ord, t.id"};

/* FROM_: where the tasks come from, in no order yet. All leases are looked at once and not for each task. */
#define LIST(FROM_)                                                                                                     \
    "WITH held AS MATERIALIZED (SELECT u.task, min(l.since) AS since FROM leases l, unnest(l.tasks) u(task) "           \
    "GROUP BY u.task) SELECT " TASK_COLUMNS ", NULL::bytea FROM (SELECT w.* FROM " FROM_                                \
    " w WHERE w.id >= $1::uuid AND w.id < $2::uuid "                                                                    \
    "AND ($3::text = '' OR w.handler = $3) AND ($4::text = '' OR w.strategy = $4) AND ($5::text = '' OR w.queue = $5) " \
    "AND ($6::text = '' OR $6::text::task_state = CASE WHEN w.state = 'queued' AND "                                    \
    "(w.id IN (SELECT task FROM held)) IS TRUE THEN 'running' WHEN w.state = 'queued' AND w.run_at > now() "            \
    "AND w.tries = 0 THEN 'scheduled' ELSE w.state END) "                                                               \
    "ORDER BY w.id DESC LIMIT $7::bigint) t LEFT JOIN LATERAL ("                                                        \
    "SELECT min(held.since) AS since FROM held WHERE t.state = 'queued' AND held.task = t.id) h ON true "               \
    "ORDER BY t.id DESC"

/* Newest first is the order of the primary key. */
static const struct stmt list_stmt = {"list", LIST("tasks")};

/* OFFSET 0: by tasks_parent, and not down the primary key until enough of them came by. */
static const struct stmt list_children_stmt = {
    "list_children", LIST("(SELECT * FROM tasks WHERE parent = $8::uuid OFFSET 0)")};

/* Those that failed are found by the list of them, whatever else there is. */
static const struct stmt list_dead_stmt = {
    "list_dead",
    LIST(
        "(SELECT t.* FROM (SELECT d.task FROM dead d WHERE d.task >= $1::uuid AND d.task < $2::uuid "
        "AND ($8::text = '' OR d.code = $8) AND ($3::text = '' OR d.handler = $3) AND ($4::text = '' OR d.strategy = $4) "
        "AND ($5::text = '' OR d.queue = $5) ORDER BY d.task DESC LIMIT $7::bigint) d JOIN tasks t ON t.id = d.task)")};

static const struct stmt dead_last_stmt = {
    "dead_last",
    "SELECT task FROM dead WHERE task >= $1::uuid AND task < $2::uuid ORDER BY task DESC OFFSET $3::bigint LIMIT 1"};

/* The last task that a page looks at. */
static const struct stmt list_last_stmt = {
    "list_last",
    "SELECT id FROM tasks WHERE id >= $1::uuid AND id < $2::uuid ORDER BY id DESC OFFSET $3::bigint LIMIT 1"};

static const struct stmt cancel_stmt = {"cancel", "SELECT ended, released FROM lathe_cancel($1::uuid)"};

/* ---- a row ---- */

static void read_names(struct arena *a, struct row *r, struct task *t)
{
    t->handler = arena_copy(a, row_span(r));
    t->strategy = arena_copy(a, row_span(r));
    t->inner = arena_copy(a, row_span(r));
    t->queue = arena_copy(a, row_span(r));
    t->params = arena_copy(a, row_span(r));
    t->tags = arena_copy(a, row_span(r));
    t->meta = arena_copy(a, row_span(r));
}

static void read_numbers(struct arena *a, struct row *r, struct task *t)
{
    t->shape.processes = row_int(r);
    t->shape.threads = row_int(r);
    t->shape.width = row_int(r);
    t->shape.grain = row_int(r);
    t->priority = (int)row_int(r);
    t->attempt = (int)row_int(r);
    t->items_total = row_int(r);
    t->items_done = row_int(r);
    t->items_failed = row_int(r);
    t->batch_size = row_int(r);
    t->workers = row_int(r);
    t->units_total = row_int(r);
    t->units_done = row_int(r);
    t->item_timeout_ms = row_int(r);
    t->timeout_ms = row_int(r);
    t->fail_fast = row_bool(r);
    t->created_us = row_time(r);
    t->started_us = row_time(r);
    t->finished_us = row_time(r);
    t->run_at_us = row_time(r);
    t->tries = (int)row_int(r);
    t->terms = arena_copy(a, row_span(r));
    t->measured.wall_us = row_int(r);
    t->measured.cpu_us = row_int(r);
    t->measured.wait_us = row_int(r);
    t->measured.peak_rss_kib = row_int(r);
    t->measured.cached = row_int(r);
    t->measured.predicted_us = row_int(r);
}

static void read_error(struct row *r, struct err *e)
{
    bool none = row_null(r);
    struct span code = row_span(r), text = row_span(r);
    if (none)
        return;
    e->code = err_by_slug(code);
    snprintf(e->text, sizeof e->text, SPAN_FMT, SPAN_ARG(text));
}

/* Whole lines of a piece that was cut after FIRST_RESULTS bytes. */
static struct span whole_lines(struct span piece)
{
    while (piece.len > 0 && piece.ptr[piece.len - 1] != '\n')
        piece.len--;
    return piece;
}

void task_from_row(struct arena *a, const PGresult *result, int row, struct task *t)
{
    struct row r = row_at(result, row);
    *t = (struct task){.id = row_uuid(&r)};
    t->parent = row_uuid(&r);
    bool known = state_by_name(row_span(&r), &t->state);
    assert(known);
    t->cancelling = row_bool(&r);
    read_names(a, &r, t);
    read_numbers(a, &r, t);
    read_error(&r, &t->err);
    t->results = arena_copy(a, whole_lines(row_span(&r)));
    if (t->items_total > 0)
        t->progress = (double)t->items_done / (double)t->items_total;
    else
        t->progress = state_final(t->state) ? 1 : 0;
}

static void read_all(struct arena *a, const PGresult *r, struct task **ret, size_t *ret_n)
{
    size_t n = (size_t)PQntuples(r);
    struct task *list = arena_array(a, n, sizeof *list);
    for (size_t i = 0; i < n; i++)
        task_from_row(a, r, (int)i, &list[i]);
    *ret = list;
    *ret_n = n;
}

/* ---- the calls ---- */

static bool no_task(struct uuid id, struct err *e)
{
    char text[UUID_TEXT];
    uuid_format(id, text);
    return err_set(e, ERR_NO_TASK, "there is no task %s", text);
}

static void get_params(struct params *p, const struct uuid *ids, size_t n)
{
    params_array(p, PG_UUID);
    for (size_t i = 0; i < n; i++)
        element_uuid(p, ids[i]);
    params_end(p);
}

bool store_get_many(struct store *s, struct arena *a, const struct uuid *ids, size_t n, bool finals_only,
                    struct task **ret, size_t *ret_n, struct err *e)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    get_params(&p, ids, n);
    if (!store_read(s, finals_only ? &get_ended_stmt : &get_stmt, &p, &r, e))
        return false;
    read_all(a, r, ret, ret_n);
    return true;
}

bool store_get(struct store *s, struct arena *a, struct uuid id, struct task *ret, struct err *e)
{
    struct task *list;
    size_t n;
    if (!store_get_many(s, a, &id, 1, false, &list, &n, e))
        return false;
    if (n == 0)
        return no_task(id, e);
    *ret = list[0];
    return true;
}

bool store_children(struct store *s, struct arena *a, struct uuid parent, struct task **ret, size_t *ret_n,
                    struct err *e)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    params_uuid(&p, parent);
    if (!store_read(s, &children_stmt, &p, &r, e))
        return false;
    read_all(a, r, ret, ret_n);
    return true;
}

struct range {
    struct uuid from, to; /* without `to` */
};

/* Ids are in the order of time, so that times and the cursor are one range of ids. */
static struct range list_range(const struct task_filter *f)
{
    struct range r = {.from = {{0}}};
    memset(r.to.b, 0xff, sizeof r.to.b);
    r.from.b[15] = 1; /* not nil: that would be NULL */
    if (f->since_us > 0)
        r.from = uuid_floor(f->since_us);
    if (f->until_us > 0)
        r.to = uuid_floor(f->until_us);
    if (!uuid_is_nil(f->before) && memcmp(f->before.b, r.to.b, sizeof r.to.b) < 0)
        r.to = f->before;
    return r;
}

/* Cuts the range to what one page looks at. *ret_last: the last of it; nil when the range has no more. */
static bool cut_range(struct store *s, const struct stmt *last_stmt, struct range *range,
                      struct uuid *ret_last, struct err *e)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    params_uuid(&p, range->from);
    params_uuid(&p, range->to);
    params_int(&p, LIMIT_LIST_LOOK - 1);
    if (!store_read(s, last_stmt, &p, &r, e))
        return false;
    if (PQntuples(r) > 0) {
        struct row row = row_at(r, 0);
        *ret_last = range->from = row_uuid(&row);
    }
    return true;
}

bool store_list(struct store *s, struct arena *a, const struct task_filter *f, struct task **ret,
                size_t *ret_n, struct uuid *ret_next, struct err *e)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    struct range range = list_range(f);
    struct uuid last = {{0}};
    bool of_parent = !uuid_is_nil(f->parent);
    bool failed = f->by_state && f->state == TASK_failed && !of_parent;
    bool filtered = f->handler.len > 0 || f->strategy.len > 0 || f->queue.len > 0 || f->by_state;
    assert(f->limit >= 1 && f->limit <= (int)LIMIT_LIST);
    if (filtered && !of_parent && !cut_range(s, failed ? &dead_last_stmt : &list_last_stmt, &range, &last, e))
        return false;
    params_uuid(&p, range.from);
    params_uuid(&p, range.to);
    params_text(&p, f->handler);
    params_text(&p, f->strategy);
    params_text(&p, f->queue);
    params_text(&p, f->by_state ? span_of(state_name(f->state)) : SPAN(""));
    params_int(&p, f->limit);
    if (of_parent)
        params_uuid(&p, f->parent);
    else if (failed)
        params_text(&p, f->error);
    if (!store_read(s, of_parent ? &list_children_stmt : failed ? &list_dead_stmt : &list_stmt, &p, &r, e))
        return false;
    read_all(a, r, ret, ret_n);
    *ret_next = *ret_n < (size_t)f->limit ? last : (struct uuid){{0}};
    return true;
}

bool store_cancel(struct store *s, struct arena *a, struct uuid id, struct task *ret, struct ended *ret_ended,
                  struct err *e)
{
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    struct params q CLEANUP(params_release_at) = PARAMS_INIT;
    struct step steps[] = {{.stmt = &cancel_stmt, .params = &p, .sync = true},
                           {.stmt = &get_stmt, .params = &q, .sync = true}};
    params_uuid(&p, id);
    get_params(&q, &id, 1);
    if (!store_run(s, steps, COUNT_OF(steps), e))
        return false;
    bool found = PQntuples(steps[1].result) == 1;
    if (found) {
        struct row row = row_at(steps[0].result, 0);
        *ret_ended = ended_from_row(a, &row);
        task_from_row(a, steps[1].result, 0, ret);
    }
    db_steps_clear(steps, COUNT_OF(steps));
    return found || no_task(id, e);
}
