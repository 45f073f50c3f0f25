/* evidence.c: workers, profiles, figures: what is read to show and to predict. */
#include <stdio.h>

#include "model/strategy.h"
#include "store/inside.h"
#include "store/rows.h"

#define STATS_MS 2000
/* $1: store.horizon_warn, ms: what holds the vacuum back for longer is told. */
#define HORIZON "lathe_horizon($1::bigint * interval '1 millisecond')"

static const struct stmt workers_stmt = {
    "workers",
    "SELECT id, name, host, queues, pid, slots, busy, started_at, seen_at, cores, thread_start, process_start, "
    "item_cost, process_item, timer_slack, claimed_at FROM workers ORDER BY id"};

/* A worker that was not heard of for a minute says nothing of the machine as it is. */
static const struct stmt host_stmt = {
    "host", "SELECT cores, thread_start, process_start, item_cost, process_item, timer_slack FROM workers "
            "WHERE seen_at > now() - interval '1 minute' AND item_cost > 0 ORDER BY seen_at DESC LIMIT 1"};

static const struct stmt profile_stmt = {
    "profile",
    "SELECT runs, items, cpu, wait, result_bytes, failure_rate FROM profiles WHERE handler = $1::text AND digest = $2::bigint"};

static const struct stmt corrections_stmt = {
    "corrections",
    "SELECT strategy, runs, factor FROM corrections WHERE handler = $1::text AND digest = $2::bigint"};

/* Counting stops at a million: it is a gauge, and the claim does not wait for it. kib is in no index: the table is read, and
 * not the index that claims make holes in. */
static const struct stmt stats_stmt = {
    "stats",
    "SELECT q.n, coalesce(extract(epoch FROM now() - o.created_at), 0)::float8, l.n, coalesce(l.units, 0)::bigint, "
    "(SELECT count(*) FROM workers WHERE seen_at > now() - interval '1 minute'), c.stalled, c.age, "
    "coalesce(h.age_s, 0)::float8, coalesce(h.what, '') "
    "FROM (SELECT count(kib) AS n FROM (SELECT kib FROM work LIMIT 1000000) w) q LEFT JOIN LATERAL "
    "(SELECT t.created_at FROM work w JOIN tasks t ON t.id = w.task ORDER BY w.task LIMIT 1) o ON true, "
    "(SELECT count(*) AS n, sum(remaining) AS units FROM leases) l CROSS JOIN "
    "(SELECT count(*) FILTER (WHERE w.claimed < now() - interval '30 s') AS stalled, "
    "coalesce(max(extract(epoch FROM now() - w.claimed)), 0)::float8 AS age FROM (SELECT coalesce(claimed_at, started_at) AS claimed "
    "FROM workers WHERE seen_at > now() - interval '1 minute' AND busy < slots) w) c "
    "LEFT JOIN LATERAL (SELECT age_s, what FROM " HORIZON " LIMIT 1) h ON true"};

static const struct stmt horizon_stmt = {
    "horizon",
    "SELECT count(*) OVER (), age_s, what FROM " HORIZON " WHERE $2::uuid = "
    "(SELECT id FROM workers WHERE seen_at > now() - interval '1 minute' ORDER BY id LIMIT 1) LIMIT 1"};

static struct host read_host(struct row *r)
{
    struct host h = {.cores = row_int(r)};
    h.thread_start = row_num(r);
    h.process_start = row_num(r);
    h.item_cost = row_num(r);
    h.process_item = row_num(r);
    h.timer_slack = row_num(r);
    return h;
}

static void read_worker(struct arena *a, struct row *r, struct worker_info *w)
{
    w->id = row_uuid(r);
    w->name = arena_copy(a, row_span(r));
    w->host = arena_copy(a, row_span(r));
    w->queues = arena_copy(a, row_span(r));
    w->pid = row_int(r);
    w->slots = row_int(r);
    w->busy = row_int(r);
    w->started_us = row_time(r);
    w->seen_us = row_time(r);
    w->costs = read_host(r);
    w->cores = w->costs.cores;
    w->claimed_us = row_time(r);
}

bool store_workers(struct store *s, struct arena *a, struct worker_info **ret, size_t *ret_n, struct err *e)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    if (!store_read(s, &workers_stmt, NULL, &r, e))
        return false;
    size_t n = (size_t)PQntuples(r);
    struct worker_info *list = arena_array(a, n, sizeof *list);
    for (size_t i = 0; i < n; i++) {
        struct row row = row_at(r, (int)i);
        read_worker(a, &row, &list[i]);
    }
    *ret = list;
    *ret_n = n;
    return true;
}

bool store_host(struct store *s, struct host *ret, struct err *e)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    if (!store_read(s, &host_stmt, NULL, &r, e))
        return false;
    *ret = (struct host){0};
    if (PQntuples(r) > 0) {
        struct row row = row_at(r, 0);
        *ret = read_host(&row);
    }
    return true;
}

static void read_corrections(const PGresult *r, struct correction *corrections, int room)
{
    for (int k = 0; k < room && strategies[k]; k++) {
        corrections[k] = (struct correction){.runs = 0, .factor = 1};
        for (int i = 0; i < PQntuples(r); i++) {
            struct row row = row_at(r, i);
            if (!span_is(row_span(&row), strategies[k]->name))
                continue;
            corrections[k].runs = row_int(&row);
            corrections[k].factor = row_num(&row);
        }
    }
}

bool store_profile(struct store *s, struct span handler, uint64_t digest, int64_t deadline,
                   struct profile *ret, struct correction *corrections, int room, struct err *e)
{
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    struct step steps[] = {{.stmt = &profile_stmt, .params = &p},
                           {.stmt = &corrections_stmt, .params = &p, .sync = true}};
    int64_t most = store_deadline(s);
    params_text(&p, handler);
    params_int(&p, (int64_t)digest);
    if (!store_run_until(s, steps, COUNT_OF(steps), deadline < most ? deadline : most, e))
        return false;
    *ret = (struct profile){0};
    if (PQntuples(steps[0].result) > 0) {
        struct row row = row_at(steps[0].result, 0);
        ret->runs = row_int(&row);
        ret->items = row_int(&row);
        ret->cpu = row_num(&row);
        ret->wait = row_num(&row);
        ret->result_bytes = row_num(&row);
        ret->failure_rate = row_num(&row);
    }
    read_corrections(steps[1].result, corrections, room);
    db_steps_clear(steps, COUNT_OF(steps));
    return true;
}

static bool read_stats(struct store *s, struct store_stats *ret, struct err *e)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    params_int(&p, conf_now(&s->conf->store_horizon_warn));
    if (!store_read(s, &stats_stmt, &p, &r, e))
        return false;
    struct row row = row_at(r, 0);
    ret->queued = row_int(&row);
    ret->oldest_queued_s = row_num(&row);
    ret->leases = row_int(&row);
    ret->running = row_int(&row);
    ret->workers = row_int(&row);
    ret->stalled = row_int(&row);
    ret->claim_age_s = row_num(&row);
    ret->horizon_s = row_num(&row);
    struct span what = row_span(&row);
    snprintf(ret->horizon, sizeof ret->horizon, SPAN_FMT, SPAN_ARG(what));
    return true;
}

/* One asks at a time; the others take the figures that there are. */
bool store_stats(struct store *s, struct store_stats *ret, struct err *e)
{
    struct store_stats fresh = {0};
    pthread_mutex_lock(&s->mutex);
    bool known = clock_now() < s->stats_until || (s->stats_asked && s->stats_until > 0);
    if (known)
        *ret = s->stats;
    else
        s->stats_asked = true;
    pthread_mutex_unlock(&s->mutex);
    if (known)
        return true;
    bool ok = read_stats(s, &fresh, e);
    pthread_mutex_lock(&s->mutex);
    s->stats_asked = false;
    if (ok) {
        s->stats = fresh;
        s->stats_until = clock_after_ms(STATS_MS);
    }
    pthread_mutex_unlock(&s->mutex);
    if (ok)
        *ret = fresh;
    return ok;
}

bool store_horizon(struct store_worker *w, int64_t *ret_count, double *ret_age_s, char *ret_what, size_t room,
                   struct err *e)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    params_int(&p, conf_now(&w->store->conf->store_horizon_warn));
    params_uuid(&p, w->id);
    if (!db_one(&w->db, &horizon_stmt, &p, store_worker_deadline(w), &r, e))
        return false;
    *ret_count = 0;
    if (PQntuples(r) == 0)
        return true;
    struct row row = row_at(r, 0);
    *ret_count = row_int(&row);
    *ret_age_s = row_num(&row);
    struct span what = row_span(&row);
    snprintf(ret_what, room, SPAN_FMT, SPAN_ARG(what));
    return true;
}
