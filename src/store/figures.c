/* figures.c: figures over the tasks of a window of time. Ids are in the order of time, so a window is a range of the primary
 * key, and what is looked at is bounded whatever the table holds. */
#include "core/limits.h"
#include "store/inside.h"
#include "store/records.h"
#include "store/rows.h"

/* Parents of comparisons have no work of their own and are left out. */
static const struct stmt figures_stmt = {
    "figures",
    "WITH held AS MATERIALIZED (SELECT DISTINCT u.task FROM leases l, unnest(l.tasks) u(task)), "
    "looked AS MATERIALIZED (SELECT t.id, t.handler, t.queue, t.container, CASE WHEN t.state = 'queued' AND "
    "(t.id IN (SELECT task FROM held)) IS TRUE THEN 'running' WHEN t.state = 'queued' AND t.run_at > now() AND t.tries = 0 "
    "THEN 'scheduled' ELSE t.state END AS state, t.items_done, t.items_failed, "
    "extract(epoch FROM t.finished_at - t.started_at)::float8 AS ran, "
    "extract(epoch FROM t.started_at - greatest(t.created_at, t.run_at))::float8 AS waited "
    "FROM tasks t WHERE t.id >= $1::uuid ORDER BY t.id DESC LIMIT $2::bigint), "
    "ends AS (SELECT (SELECT count(*) FROM looked) AS n, (SELECT id FROM looked ORDER BY id LIMIT 1) AS first) "
    "SELECT coalesce(s.handler, ''), coalesce(s.queue, ''), count(s.state), count(*) FILTER (WHERE s.state = 'scheduled'), "
    "count(*) FILTER (WHERE s.state = 'queued'), count(*) FILTER (WHERE s.state = 'running'), "
    "count(*) FILTER (WHERE s.state = 'succeeded'), count(*) FILTER (WHERE s.state = 'failed'), "
    "count(*) FILTER (WHERE s.state = 'cancelled'), coalesce(sum(s.items_done), 0)::bigint, "
    "coalesce(sum(s.items_failed), 0)::bigint, "
    "coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY s.ran), 0), "
    "coalesce(percentile_cont(0.95) WITHIN GROUP (ORDER BY s.ran), 0), "
    "coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY s.waited), 0), "
    "coalesce(percentile_cont(0.95) WITHIN GROUP (ORDER BY s.waited), 0), "
    "(SELECT n FROM ends), (SELECT first FROM ends), now() "
    "FROM looked s WHERE NOT s.container GROUP BY GROUPING SETS ((s.handler, s.queue), ()) "
    "ORDER BY grouping(s.handler) DESC, 3 DESC LIMIT $3::bigint"};

static const struct stmt errors_stmt = {
    "figures_errors",
    "SELECT d.code, count(*) FROM (SELECT code FROM dead WHERE task >= $1::uuid ORDER BY task DESC "
    "LIMIT $2::bigint) d GROUP BY d.code ORDER BY 2 DESC, 1 LIMIT $3::bigint"};

#define GROUPS_MOST 500
#define ERRORS_MOST 50

static void read_figures(struct arena *a, struct row *row, struct figures *f)
{
    f->handler = arena_copy(a, row_span(row));
    f->queue = arena_copy(a, row_span(row));
    f->tasks = row_int(row);
    for (int i = 0; i < TASK_STATES; i++)
        f->states[i] = row_int(row); /* in the order of state.def */
    f->items_done = row_int(row);
    f->items_failed = row_int(row);
    f->run_p50 = row_num(row);
    f->run_p95 = row_num(row);
    f->wait_p50 = row_num(row);
    f->wait_p95 = row_num(row);
}

/* The first row is of all, and there also without any task. */
static void read_groups(struct arena *a, const PGresult *r, int64_t window_s, struct task_figures *ret)
{
    struct row row = row_at(r, 0);
    read_figures(a, &row, &ret->all);
    int64_t looked = row_int(&row);
    struct uuid first = row_uuid(&row);
    ret->to_us = row_time(&row);
    ret->from_us = ret->to_us - window_s * 1000000;
    ret->whole = looked < LIMIT_FIGURES_LOOK;
    if (!ret->whole)
        ret->from_us = uuid_wall_ms(first) * 1000;
    ret->groups_n = (size_t)PQntuples(r) - 1;
    ret->groups = arena_array(a, ret->groups_n, sizeof *ret->groups);
    for (size_t i = 0; i < ret->groups_n; i++) {
        row = row_at(r, (int)i + 1);
        read_figures(a, &row, &ret->groups[i]);
    }
}

static void read_errors(struct arena *a, const PGresult *r, struct task_figures *ret)
{
    ret->errors_n = (size_t)PQntuples(r);
    ret->errors = arena_array(a, ret->errors_n, sizeof *ret->errors);
    for (size_t i = 0; i < ret->errors_n; i++) {
        struct row row = row_at(r, (int)i);
        ret->errors[i].code = arena_copy(a, row_span(&row));
        ret->errors[i].count = row_int(&row);
    }
}

bool store_figures(struct store *s, struct arena *a, int64_t window_s, struct task_figures *ret,
                   struct err *e)
{
    struct params p CLEANUP(params_release_at) = PARAMS_INIT, q CLEANUP(params_release_at) = PARAMS_INIT;
    struct step steps[] = {{.stmt = &figures_stmt, .params = &p, .sync = true},
                           {.stmt = &errors_stmt, .params = &q, .sync = true}};
    struct uuid since = uuid_floor(clock_shared_us() - window_s * 1000000);
    *ret = (struct task_figures){.whole = true};
    params_uuid(&p, since);
    params_int(&p, LIMIT_FIGURES_LOOK);
    params_int(&p, GROUPS_MOST + 1);
    params_uuid(&q, since);
    params_int(&q, LIMIT_FIGURES_LOOK);
    params_int(&q, ERRORS_MOST);
    if (!store_run(s, steps, COUNT_OF(steps), e))
        return false;
    read_groups(a, steps[0].result, window_s, ret);
    read_errors(a, steps[1].result, ret);
    db_steps_clear(steps, COUNT_OF(steps));
    return true;
}
