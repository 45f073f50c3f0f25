/* gates.c: queues as an operator sees and sets them: what is in them, their limits, and whether they are paused. */
#include <assert.h>

#include "store/inside.h"
#include "store/rows.h"

/* What is told of the queues in `names`. Units are counted by index, queue by queue, up to $1. */
#define TELL                                                                                                     \
    "runs AS (SELECT t.queue, count(*) AS n FROM leases l, unnest(l.tasks, l.seqs) u(task, seq) "                \
    "JOIN tasks t ON t.id = u.task WHERE NOT lathe_final(t.state) AND ($2::text IS NULL OR t.queue = $2) "       \
    "AND NOT EXISTS (SELECT FROM results r WHERE r.task = u.task AND r.seq = u.seq AND r.part = 0) "             \
    "GROUP BY t.queue) "                                                                                         \
    "SELECT n.name, (SELECT count(*) FROM (SELECT FROM work w WHERE w.queue = n.name LIMIT $1::bigint) w), "     \
    "(SELECT count(*) FROM (SELECT FROM waiting w WHERE w.queue = n.name LIMIT $1) w), coalesce(runs.n, 0), "    \
    "coalesce((SELECT extract(epoch FROM now() - coalesce(t.run_at, t.created_at)) FROM work w "                 \
    "JOIN tasks t ON t.id = w.task WHERE w.queue = n.name ORDER BY w.rank, w.task, w.seq LIMIT 1), 0)::float8, " \
    "coalesce(q.paused, false), coalesce(q.reason, ''), q.since, "                                               \
    "coalesce(g.concurrency, 0), coalesce(g.rate, 0), coalesce(g.per_s, 1) "                                     \
    "FROM names n LEFT JOIN runs ON runs.queue = n.name LEFT JOIN queues q ON q.name = n.name "                  \
    "LEFT JOIN gates g ON g.name = 'queue/' || n.name ORDER BY n.name LIMIT $3::bigint"

/* Queues that are held, and those that have units. The names in work and in waiting are found by steps in their indexes, from each
 * to the next. */
static const struct stmt queues_stmt = {
    "queues",
    "WITH RECURSIVE step AS ((SELECT queue FROM work ORDER BY queue LIMIT 1) UNION ALL "
    "SELECT (SELECT w.queue FROM work w WHERE w.queue > s.queue ORDER BY w.queue LIMIT 1) FROM step s WHERE s.queue IS NOT NULL), "
    "later AS ((SELECT queue FROM waiting ORDER BY queue LIMIT 1) UNION ALL "
    "SELECT (SELECT w.queue FROM waiting w WHERE w.queue > s.queue ORDER BY w.queue LIMIT 1) FROM later s WHERE s.queue IS NOT NULL), "
    "names AS (SELECT name FROM queues UNION (SELECT queue FROM step WHERE queue IS NOT NULL LIMIT $3) "
    "UNION (SELECT queue FROM later WHERE queue IS NOT NULL LIMIT $3) "
    "UNION SELECT DISTINCT t.queue FROM leases l, unnest(l.tasks) u(task) JOIN tasks t ON t.id = u.task), " TELL};

static const struct stmt queue_stmt = {"queue", "WITH names AS (SELECT $2::text AS name), " TELL};

/* The gates that units of a queue are in or wait for, the fullest first. Which ones are shown is decided by
 * counts that end at $4; all of a gate is counted as far as that, too. */
static const struct stmt gates_stmt = {
    "gates",
    "WITH waits AS (SELECT w.gate, count(*) AS n FROM (SELECT gate FROM waiting WHERE queue = $1::text AND gate IS NOT NULL "
    "LIMIT $4::bigint) w GROUP BY w.gate), shown AS (SELECT g.* FROM gates g LEFT JOIN waits w ON w.gate = g.name "
    "WHERE g.name = 'queue/' || $1 OR w.gate IS NOT NULL OR g.name IN ("
    "SELECT i.gate FROM (SELECT gate, task FROM inside LIMIT $4) i JOIN tasks t ON t.id = i.task AND t.queue = $1) "
    "ORDER BY coalesce(w.n, 0) DESC, g.name LIMIT $3::bigint) "
    "SELECT g.name, coalesce(g.concurrency, 0), coalesce(g.rate, 0), g.per_s, "
    "(SELECT count(*) FROM (SELECT FROM inside i WHERE i.gate = g.name LIMIT $4) i), "
    "(SELECT count(*) FROM (SELECT FROM waiting w WHERE w.gate = g.name LIMIT $4) w) AS waits, "
    "ARRAY(SELECT i.task FROM inside i WHERE i.gate = g.name ORDER BY i.task LIMIT $2::bigint), "
    "ARRAY(SELECT w.task FROM waiting w WHERE w.gate = g.name ORDER BY w.rank, w.task, w.seq LIMIT $2) "
    "FROM shown g ORDER BY waits DESC, g.name"};

static const struct stmt limit_queue_stmt = {
    "limit_queue",
    "SELECT lathe_limit_queue($1::text, nullif($2::bigint, 0)::integer, nullif($3::bigint, 0)::integer, $4::float8)"};

static const struct stmt pause_queue_stmt = {"pause_queue",
                                             "SELECT lathe_pause_queue($1::text, $2::bool, $3::text)"};

static const struct stmt room_stmt = {"queues_room",
                                      "SELECT count(*) < $2::bigint OR bool_or(name = $1::text) FROM queues"};

static void read_limit(struct row *r, struct limit *l)
{
    *l = (struct limit){.concurrency = row_int(r)};
    l->rate = row_int(r);
    l->per_s = row_num(r);
}

static void read_queue(struct arena *a, struct row *r, struct queue_info *q)
{
    q->name = arena_copy(a, row_span(r));
    q->queued = row_int(r);
    q->waiting = row_int(r);
    q->running = row_int(r);
    q->oldest_s = row_num(r);
    q->paused = row_bool(r);
    q->reason = arena_copy(a, row_span(r));
    q->paused_us = row_time(r);
    read_limit(r, &q->limit);
}

static bool list(struct store *s, struct arena *a, struct span name, int64_t most, struct queue_info **ret,
                 size_t *ret_n, struct err *e)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    params_int(&p, LIMIT_QUEUE_LOOK);
    if (name.len > 0)
        params_text(&p, name);
    else
        params_null(&p);
    params_int(&p, most);
    if (!store_read(s, name.len > 0 ? &queue_stmt : &queues_stmt, &p, &r, e))
        return false;
    *ret_n = (size_t)PQntuples(r);
    *ret = arena_array(a, *ret_n, sizeof **ret);
    for (size_t i = 0; i < *ret_n; i++) {
        struct row row = row_at(r, (int)i);
        read_queue(a, &row, &(*ret)[i]);
    }
    return true;
}

bool store_queues(struct store *s, struct arena *a, struct queue_info **ret, size_t *ret_n, struct err *e)
{
    return list(s, a, SPAN(""), LIMIT_LIST, ret, ret_n, e);
}

static void read_ids(struct arena *a, struct row *r, struct uuid **ret, size_t *ret_n)
{
    struct span ids = row_span(r);
    *ret_n = row_uuids_count(ids);
    *ret = arena_array(a, *ret_n, sizeof **ret);
    for (size_t i = 0; i < *ret_n; i++)
        (*ret)[i] = row_uuids_at(ids, i);
}

static bool read_gates(struct store *s, struct arena *a, struct queue_info *q, struct err *e)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    params_text(&p, q->name);
    params_int(&p, LIMIT_HOLDERS_SHOWN);
    params_int(&p, LIMIT_GATES_SHOWN);
    params_int(&p, LIMIT_QUEUE_LOOK);
    if (!store_read(s, &gates_stmt, &p, &r, e))
        return false;
    q->gates_n = (size_t)PQntuples(r);
    q->gates = arena_array(a, q->gates_n, sizeof *q->gates);
    for (size_t i = 0; i < q->gates_n; i++) {
        struct row row = row_at(r, (int)i);
        struct gate_info *g = &q->gates[i];
        g->name = arena_copy(a, row_span(&row));
        read_limit(&row, &g->limit);
        g->inside = row_int(&row);
        g->waiting = row_int(&row);
        read_ids(a, &row, &g->holders, &g->holders_n);
        read_ids(a, &row, &g->next, &g->next_n);
    }
    return true;
}

bool store_queue(struct store *s, struct arena *a, struct span name, struct queue_info *ret, struct err *e)
{
    struct queue_info *found;
    size_t n;
    if (!list(s, a, name, 1, &found, &n, e))
        return false;
    assert(n == 1); /* a name is enough to be a queue */
    *ret = found[0];
    return read_gates(s, a, ret, e);
}

static bool has_room(struct store *s, struct span name, struct err *e)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    params_text(&p, name);
    params_int(&p, LIMIT_QUEUES);
    if (!store_read(s, &room_stmt, &p, &r, e))
        return false;
    struct row row = row_at(r, 0);
    return row_bool(&row) || err_set(e, ERR_BUSY,
                                     "%u queues are paused or limited already: resume some, or take their "
                                     "limits away",
                                     LIMIT_QUEUES);
}

bool store_limit_queue(struct store *s, struct span name, const struct limit *l, struct err *e)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    params_text(&p, name);
    params_int(&p, l->concurrency);
    params_int(&p, l->rate);
    params_num(&p, l->per_s);
    return has_room(s, name, e) && store_read(s, &limit_queue_stmt, &p, &r, e);
}

bool store_pause_queue(struct store *s, struct span name, bool paused, struct span reason, struct err *e)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    params_text(&p, name);
    params_bool(&p, paused);
    params_text(&p, reason);
    return (!paused || has_room(s, name, e)) && store_read(s, &pause_queue_stmt, &p, &r, e);
}
