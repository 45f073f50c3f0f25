/* schedules.c: the table of schedules, and firing: one transaction that reads a due one, inserts its tasks and moves it on. */
#include "store/inside.h"

#include <stdio.h>

#include "core/fault.h"
#include "core/limits.h"
#include "core/metrics.h"
#include "store/rows.h"

/* In the order of read_schedule. */
#define COLUMNS                                                                                                     \
    "s.name, coalesce(s.cron, ''), s.timezone, s.strategy, s.body, coalesce(s.error, ''), coalesce(s.every_s, 0), " \
    "s.run_at, s.missed, s.paused, s.next_at, s.last_at, s.created_at, s.updated_at, s.last_task, s.fired"

static const struct stmt now_stmt = {"now", "SELECT now()"};

/* Not past the limit, unless it is there already. What it was to fire for is forgotten, what it has fired is not. */
static const struct stmt put_schedule_stmt = {
    "put_schedule",
    "INSERT INTO schedules AS s (name, cron, timezone, strategy, body, every_s, run_at, missed, paused, next_at) "
    "SELECT $1::text, nullif($2::text, ''), $3::text, $4::text, $5::text, nullif($6::bigint, 0), $7::timestamptz, $8::text, "
    "$9::bool, $10::timestamptz WHERE EXISTS (SELECT FROM schedules WHERE name = $1::text) "
    "OR (SELECT count(*) FROM schedules) < $11::bigint "
    "ON CONFLICT (name) DO UPDATE SET cron = excluded.cron, timezone = excluded.timezone, strategy = excluded.strategy, "
    "body = excluded.body, every_s = excluded.every_s, run_at = excluded.run_at, missed = excluded.missed, "
    "paused = excluded.paused, next_at = excluded.next_at, error = NULL, updated_at = now() "
    "RETURNING s.xmax = 0, " COLUMNS};

static const struct stmt get_schedule_stmt = {"get_schedule",
                                              "SELECT " COLUMNS " FROM schedules s WHERE s.name = $1::text"};

static const struct stmt list_schedules_stmt = {
    "list_schedules",
    "SELECT " COLUMNS " FROM schedules s WHERE s.name > $1::text ORDER BY s.name LIMIT $2::bigint"};

static const struct stmt pause_schedule_stmt = {
    "pause_schedule",
    "UPDATE schedules s SET paused = $2::bool, next_at = $3::timestamptz, updated_at = now() "
    "WHERE s.name = $1::text RETURNING " COLUMNS};

static const struct stmt drop_schedule_stmt = {"drop_schedule",
                                               "DELETE FROM schedules WHERE name = $1::text RETURNING name"};

static const struct stmt begin_stmt = {"begin", "BEGIN"};
static const struct stmt commit_stmt = {"commit", "COMMIT"};
static const struct stmt due_stmt = {"due", "SELECT " COLUMNS ", clock_timestamp() FROM lathe_due() s"};

/* The guard, next_at, makes it safe without a transaction around it. */
static const struct stmt moved_stmt = {
    "moved",
    "UPDATE schedules SET next_at = $3::timestamptz, last_at = coalesce($4::timestamptz, last_at), "
    "last_task = coalesce((SELECT id FROM tasks WHERE id = $5::uuid), last_task), fired = fired + $6::bigint, error = nullif($7::text, '') "
    "WHERE name = $1::text AND next_at = $2::timestamptz"};

/* ---- a row ---- */

static int missed_of(struct span name)
{
    int i = 0;
    while (missed_names[i] && !span_is(name, missed_names[i]))
        i++;
    return missed_names[i] ? i : MISSED_ONCE;
}

static void read_schedule(struct arena *a, struct row *r, struct schedule *s)
{
    s->name = arena_copy(a, row_span(r));
    s->cron = arena_copy(a, row_span(r));
    s->timezone = arena_copy(a, row_span(r));
    s->strategy = arena_copy(a, row_span(r));
    s->body = arena_copy(a, row_span(r));
    s->error = arena_copy(a, row_span(r));
    s->every_s = row_int(r);
    s->run_at_us = row_time(r);
    s->missed = missed_of(row_span(r));
    s->paused = row_bool(r);
    s->next_us = row_time(r);
    s->last_us = row_time(r);
    s->created_us = row_time(r);
    s->updated_us = row_time(r);
    s->last_task = row_uuid(r);
    s->fired = row_int(r);
}

static bool no_schedule(struct span name, struct err *e)
{
    return err_set(e, ERR_NO_SCHEDULE, "there is no schedule \"" SPAN_FMT "\"", SPAN_ARG(name));
}

/* One row, or ERR_NO_SCHEDULE. */
static bool read_one(struct store *s, struct arena *a, const struct stmt *stmt, const struct params *p,
                     struct span name, struct schedule *ret, struct err *e)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    if (!store_read(s, stmt, p, &r, e))
        return false;
    if (PQntuples(r) == 0)
        return no_schedule(name, e);
    struct row row = row_at(r, 0);
    read_schedule(a, &row, ret);
    return true;
}

/* ---- the calls of an api ---- */

static bool now_of(struct store *s, int64_t *ret_us, struct err *e)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    if (!store_read(s, &now_stmt, NULL, &r, e))
        return false;
    struct row row = row_at(r, 0);
    *ret_us = row_time(&row);
    return true;
}

bool store_put_schedule(struct store *s, struct arena *a, const struct schedule *put, struct schedule *ret,
                        bool *ret_new, struct err *e)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    struct schedule_clock clock;
    int64_t now_us;
    if (!schedule_clock(a, put, &clock, e) || !now_of(s, &now_us, e))
        return false;
    int64_t next_us = schedule_next(&clock, now_us);
    if (next_us == 0)
        return err_at(e, ERR_BAD_FIELD, "/run_at", "\"/run_at\" is past: the schedule would never fire");
    params_text(&p, put->name);
    params_text(&p, put->cron);
    params_text(&p, put->timezone);
    params_text(&p, put->strategy);
    params_text(&p, put->body);
    params_int(&p, put->every_s);
    params_time(&p, put->run_at_us);
    params_text(&p, span_of(missed_names[put->missed]));
    params_bool(&p, put->paused);
    params_time(&p, next_us);
    params_int(&p, LIMIT_SCHEDULES);
    if (!store_read(s, &put_schedule_stmt, &p, &r, e))
        return false;
    if (PQntuples(r) == 0)
        return err_set(e, ERR_CONFLICT, "there are %d schedules already: delete some", LIMIT_SCHEDULES);
    struct row row = row_at(r, 0);
    *ret_new = row_bool(&row);
    read_schedule(a, &row, ret);
    return true;
}

bool store_get_schedule(struct store *s, struct arena *a, struct span name, struct schedule *ret,
                        struct err *e)
{
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    params_text(&p, name);
    return read_one(s, a, &get_schedule_stmt, &p, name, ret, e);
}

bool store_list_schedules(struct store *s, struct arena *a, struct span after, int limit,
                          struct schedule **ret, size_t *ret_n, struct err *e)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    params_text(&p, after);
    params_int(&p, limit);
    if (!store_read(s, &list_schedules_stmt, &p, &r, e))
        return false;
    *ret_n = (size_t)PQntuples(r);
    *ret = arena_array(a, *ret_n, sizeof **ret);
    for (size_t i = 0; i < *ret_n; i++) {
        struct row row = row_at(r, (int)i);
        read_schedule(a, &row, &(*ret)[i]);
    }
    return true;
}

/* What fell into the pause was not missed; a single time that did is made good by the schedule's rule. */
bool store_pause_schedule(struct store *s, struct arena *a, struct span name, bool pause,
                          struct schedule *ret, struct err *e)
{
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    struct schedule_clock clock;
    struct schedule old;
    int64_t now_us;
    if (!store_get_schedule(s, a, name, &old, e))
        return false;
    if (!pause && old.paused && old.run_at_us == 0) {
        if (!schedule_clock(a, &old, &clock, e) || !now_of(s, &now_us, e))
            return false;
        old.next_us = schedule_next(&clock, now_us);
    }
    params_text(&p, name);
    params_bool(&p, pause);
    params_time(&p, old.next_us);
    return read_one(s, a, &pause_schedule_stmt, &p, name, ret, e);
}

bool store_drop_schedule(struct store *s, struct span name, struct err *e)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    params_text(&p, name);
    if (!store_read(s, &drop_schedule_stmt, &p, &r, e))
        return false;
    return PQntuples(r) > 0 || no_schedule(name, e);
}

/* ---- firing ---- */

/* All of them, or the connection is closed: that ends what it had begun. */
static bool run(struct store_worker *w, struct step *steps, size_t n, struct err *e)
{
    bool ok = db_run(&w->db, steps, n, store_worker_deadline(w), e);
    for (size_t i = 0; i < n && ok; i++) {
        if (steps[i].err.code == ERR_NONE)
            continue;
        ok = false;
        if (e)
            *e = steps[i].err;
    }
    if (ok)
        return true;
    metric_add(M_store_errors, NULL, 1);
    db_steps_clear(steps, n);
    db_close(&w->db);
    return false;
}

static bool run_one(struct store_worker *w, const struct stmt *stmt, const struct params *p, struct err *e)
{
    struct step step = {.stmt = stmt, .params = p, .sync = true};
    if (!run(w, &step, 1, e))
        return false;
    db_steps_clear(&step, 1);
    return true;
}

bool store_fire_begin(struct store_worker *w, struct arena *a, struct schedule *ret, bool *ret_due,
                      int64_t *ret_now_us, struct err *e)
{
    struct step steps[] = {{.stmt = &begin_stmt}, {.stmt = &due_stmt, .sync = true}};
    if (!run(w, steps, COUNT_OF(steps), e))
        return false;
    const PGresult *r = steps[1].result;
    bool due = PQntuples(r) > 0;
    if (due) {
        struct row row = row_at(r, 0);
        read_schedule(a, &row, ret);
        *ret_now_us = row_time(&row);
    }
    db_steps_clear(steps, COUNT_OF(steps));
    *ret_due = due;
    return due || run_one(w, &commit_stmt, NULL, e);
}

static void moved_params(struct params *p, const struct schedule *s, const struct fired *f)
{
    params_text(p, s->name);
    params_time(p, s->next_us);
    params_time(p, f->next_us);
    params_time(p, f->at_us);
    params_uuid(p, f->task);
    params_int(p, f->count);
    params_text(p, f->error);
}

/* What became of the tasks. One whose unique work is there already is that task, and no new one. */
static void read_verdicts(struct arena *a, struct new_tasks *const *lists, size_t n, struct fired *f)
{
    for (size_t i = 0; i < n; i++) {
        const struct put_verdict *v = lists[i]->verdicts;
        bool last = i + 1 == n;
        if (v->held)
            f->error = SPAN("a transaction that is not over has its unique key");
        else if (v->crowd != PUT_ROOM)
            f->error = SPAN("/limit/key: there are as many limits in use as there may be");
        else if (v->bad_need > 0)
            f->error = span_of(arena_printf(
                a, "/depends_on/%d: there is no such task, or it was not accepted", v->bad_need - 1));
        else if (uuid_is_nil(v->existing))
            continue;
        else if (last)
            f->task = v->existing;
        f->count--;
    }
    if (f->count == 0 && f->error.len > 0)
        f->at_us = 0;
}

/* The tasks, in the transaction that is open. */
static bool put_fired(struct store_worker *w, struct arena *a, struct new_tasks *const *lists, size_t n,
                      struct fired *f, struct err *e)
{
    struct put_batch put CLEANUP(put_batch_release);
    struct step steps[PUT_STEPS];
    put_batch_init(&put);
    size_t steps_n = put_steps(&put, lists, n, steps);
    if (!run(w, steps, steps_n, e))
        return false;
    put_answers(steps, steps_n, lists, n);
    read_verdicts(a, lists, n, f);
    db_steps_clear(steps, steps_n);
    return true;
}

bool store_fire_end(struct store_worker *w, struct arena *a, const struct schedule *s, struct fired *f,
                    struct new_tasks *const *lists, size_t n, struct err *e)
{
    struct params moved CLEANUP(params_release_at) = PARAMS_INIT;
    struct step steps[] = {{.stmt = &moved_stmt, .params = &moved}, {.stmt = &commit_stmt, .sync = true}};
    if (n > 0 && !put_fired(w, a, lists, n, f, e))
        return false;
    moved_params(&moved, s, f);
    if (fault_hit("store.fire")) {
        db_close(&w->db);
        return err_set(e, ERR_STORE, "fault point store.fire");
    }
    if (!run(w, steps, COUNT_OF(steps), e))
        return false;
    db_steps_clear(steps, COUNT_OF(steps));
    if (fault_hit("store.fired")) { /* committed, but nobody knows */
        db_close(&w->db);
        return err_set(e, ERR_STORE, "fault point store.fired");
    }
    return true;
}

bool store_fire_refuse(struct store_worker *w, const struct schedule *s, const struct fired *f, struct err *e)
{
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    moved_params(&p, s, f);
    return run_one(w, &moved_stmt, &p, e);
}
