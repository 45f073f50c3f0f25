/* lease.c: what keeps and ends leases: the beat, giving units back, and the reaper. All times are the database's. */
#include "core/clock.h"
#include "core/fault.h"
#include "core/metrics.h"
#include "store/inside.h"
#include "store/rows.h"

static const struct stmt worker_stmt = {
    "worker",
    "INSERT INTO workers (id, started_at, seen_at, pid, slots, busy, cores, thread_start, process_start, item_cost, "
    "process_item, timer_slack, name, host, queues, claimed_at) "
    "VALUES ($1::uuid, now(), now(), $2::bigint, $3::bigint, $4::bigint, $5::bigint, $6::float8, $7::float8, $8::float8, "
    "$9::float8, $10::float8, $11::text, $12::text, $13::text, now() - $14::bigint * interval '1 millisecond') "
    "ON CONFLICT (id) DO UPDATE SET seen_at = now(), slots = excluded.slots, busy = excluded.busy, cores = excluded.cores, "
    "thread_start = excluded.thread_start, process_start = excluded.process_start, item_cost = excluded.item_cost, "
    "process_item = excluded.process_item, timer_slack = excluded.timer_slack, queues = excluded.queues, "
    "claimed_at = excluded.claimed_at "
    "RETURNING (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"};

static const struct stmt renew_stmt = {
    "renew",
    "UPDATE leases SET until = now() + $2::bigint * interval '1 millisecond' WHERE id = ANY ($1::uuid[]) RETURNING id"};

static const struct stmt stops_stmt = {
    "stops", "SELECT DISTINCT t.id FROM leases l, unnest(l.tasks) u(task) JOIN tasks t ON t.id = u.task "
             "WHERE l.id = ANY ($1::uuid[]) AND NOT lathe_final(t.state) AND lathe_stops(t)"};

const struct stmt release_stmt = {
    "release",
    "SELECT ended, released FROM lathe_release($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint::integer, $5::bigint::integer)"};

static const struct stmt reap_stmt = {
    "reap",
    "SELECT leader, leases_n, requeued, failed, ended, released, dead, leaked FROM lathe_reap($1::bigint::integer, 100)"};

static const struct stmt expire_stmt = {"expire", "SELECT expired, ended, released FROM lathe_expire(1000)"};

static const struct stmt wake_stmt = {
    "wake",
    "SELECT woken, CASE WHEN next IS NULL THEN -1 ELSE greatest(extract(epoch FROM next - now()) * 1000, 0) END::bigint "
    "FROM lathe_wake($1::bigint)"};

static const struct stmt fire_at_stmt = {
    "fire_at", "SELECT CASE WHEN min(next_at) IS NULL THEN -1 "
               "ELSE greatest(extract(epoch FROM min(next_at) - now()) * 1000, 0) END::bigint "
               "FROM schedules WHERE NOT paused"};

/* ---- the beat ---- */

static void worker_params(struct params *p, const struct worker_info *i, int64_t claimed)
{
    params_uuid(p, i->id);
    params_int(p, i->pid);
    params_int(p, i->slots);
    params_int(p, i->busy);
    params_int(p, i->cores);
    params_num(p, i->costs.thread_start);
    params_num(p, i->costs.process_start);
    params_num(p, i->costs.item_cost);
    params_num(p, i->costs.process_item);
    params_num(p, i->costs.timer_slack);
    params_text(p, i->name);
    params_text(p, i->host);
    params_text(p, i->queues);
    if (claimed > 0)
        params_int(p, (clock_now() - claimed) / NS_PER_MS);
    else
        params_null(p);
}

static void uuids(struct params *p, const struct uuid *list, size_t n)
{
    params_array(p, PG_UUID);
    for (size_t i = 0; i < n; i++)
        element_uuid(p, list[i]);
    params_end(p);
}

static void find_lost(const PGresult *r, const struct uuid *leases, size_t n, bool *lost)
{
    for (size_t i = 0; i < n; i++) {
        lost[i] = true;
        for (int k = 0; k < PQntuples(r) && lost[i]; k++) {
            struct row row = row_at(r, k);
            lost[i] = !uuid_eq(row_uuid(&row), leases[i]);
        }
    }
}

static void read_ids(struct arena *a, const PGresult *r, struct uuid **ret, size_t *ret_n)
{
    *ret_n = (size_t)PQntuples(r);
    *ret = arena_array(a, *ret_n, sizeof **ret);
    for (size_t i = 0; i < *ret_n; i++) {
        struct row row = row_at(r, (int)i);
        (*ret)[i] = row_uuid(&row);
    }
}

static bool run(struct store_worker *w, struct step *steps, size_t n, struct err *e)
{
    bool ok = db_run(&w->db, steps, n, store_worker_deadline(w), e);
    w->answered = w->answered || ok;
    if (ok && steps[n - 1].err.code != ERR_NONE) {
        ok = false;
        if (e)
            *e = steps[n - 1].err;
    }
    if (!ok) {
        metric_add(M_store_errors, NULL, 1);
        db_steps_clear(steps, n);
    }
    return ok;
}

bool store_beat(struct store_worker *w, struct arena *a, const struct worker_info *info,
                const struct uuid *leases, size_t n, bool *lost, struct uuid **ret_cancelled,
                size_t *ret_cancelled_n, struct err *e)
{
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    struct params renew CLEANUP(params_release_at) = PARAMS_INIT;
    struct params stops CLEANUP(params_release_at) = PARAMS_INIT;
    struct step steps[] = {{.stmt = &lazy_stmt},
                           {.stmt = &worker_stmt, .params = &p},
                           {.stmt = &renew_stmt, .params = &renew},
                           {.stmt = &stops_stmt, .params = &stops}};
    size_t steps_n = n > 0 ? COUNT_OF(steps) : 2; /* who holds nothing is only listed */
    steps[steps_n - 1].sync = true;
    if (fault_hit("store.beat"))
        return err_set(e, ERR_STORE, "fault point store.beat");
    worker_params(&p, info, w->claimed);
    uuids(&renew, leases, n);
    params_int(&renew, conf_now(&w->store->conf->worker_lease));
    uuids(&stops, leases, n);
    if (!run(w, steps, steps_n, e))
        return false;
    struct row row = row_at(steps[1].result, 0);
    clock_told(row_int(&row));
    *ret_cancelled_n = 0;
    if (n > 0) {
        find_lost(steps[2].result, leases, n, lost);
        read_ids(a, steps[3].result, ret_cancelled, ret_cancelled_n);
    }
    db_steps_clear(steps, steps_n);
    return true;
}

/* ---- giving back ---- */

struct ended ended_from_row(struct arena *a, struct row *r)
{
    struct span ids = row_span(r);
    struct ended ended = {.count = row_uuids_count(ids)};
    ended.ids = arena_array(a, ended.count, sizeof *ended.ids);
    for (size_t i = 0; i < ended.count; i++)
        ended.ids[i] = row_uuids_at(ids, i);
    ended.released = row_bool(r);
    return ended;
}

void release_params(struct params *p, struct uuid lease)
{
    uuids(p, &lease, 1);
    params_array(p, PG_UUID); /* no task: all of the lease */
    params_end(p);
    params_array(p, PG_INT);
    params_end(p);
    params_int(p, 0);
    params_int(p, 0); /* no matter */
}

bool store_release(struct store_worker *w, struct arena *a, const struct unit *const *units, size_t n,
                   bool count, struct ended *ret, struct err *e)
{
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    struct step step = {.stmt = &release_stmt, .params = &p, .sync = true};
    params_array(&p, PG_UUID);
    for (size_t i = 0; i < n; i++)
        element_uuid(&p, units[i]->lease);
    params_end(&p);
    params_array(&p, PG_UUID);
    for (size_t i = 0; i < n; i++)
        element_uuid(&p, units[i]->task);
    params_end(&p);
    params_array(&p, PG_INT);
    for (size_t i = 0; i < n; i++)
        element_int(&p, units[i]->seq);
    params_end(&p);
    params_int(&p, count);
    params_int(&p, conf_now(&w->store->conf->worker_attempts));
    if (n == 0) {
        *ret = (struct ended){.count = 0};
        return true;
    }
    if (!run(w, &step, 1, e))
        return false;
    struct row row = row_at(step.result, 0);
    *ret = ended_from_row(a, &row);
    db_steps_clear(&step, 1);
    return true;
}

/* ---- what waits ---- */

bool store_wake(struct store_worker *w, int room, int64_t *ret_woken, int64_t *ret_next_ms,
                int64_t *ret_fire_ms, struct err *e)
{
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    struct step steps[] = {
        {.stmt = &lazy_stmt}, {.stmt = &wake_stmt, .params = &p}, {.stmt = &fire_at_stmt, .sync = true}};
    params_int(&p, room);
    if (!run(w, steps, COUNT_OF(steps), e))
        return false;
    struct row row = row_at(steps[1].result, 0);
    *ret_woken = row_int(&row);
    *ret_next_ms = row_int(&row);
    row = row_at(steps[2].result, 0);
    *ret_fire_ms = row_int(&row);
    db_steps_clear(steps, COUNT_OF(steps));
    return true;
}

/* ---- the reaper ---- */

static struct ended both(struct arena *a, struct ended x, struct ended y)
{
    struct ended all = {.count = x.count + y.count, .released = x.released || y.released};
    all.ids = arena_array(a, all.count, sizeof *all.ids);
    for (size_t i = 0; i < all.count; i++)
        all.ids[i] = i < x.count ? x.ids[i] : y.ids[i - x.count];
    return all;
}

bool store_reap(struct store_worker *w, struct arena *a, struct reaped *ret, struct err *e)
{
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    struct step steps[] = {{.stmt = &reap_stmt, .params = &p, .sync = true},
                           {.stmt = &expire_stmt, .sync = true}};
    if (fault_hit("store.reap"))
        return err_set(e, ERR_STORE, "fault point store.reap");
    params_int(&p, conf_now(&w->store->conf->worker_attempts));
    if (!run(w, steps, COUNT_OF(steps), e))
        return false;
    if (steps[0].err.code != ERR_NONE) {
        if (e)
            *e = steps[0].err;
        db_steps_clear(steps, COUNT_OF(steps));
        return false;
    }
    struct row row = row_at(steps[0].result, 0), late = row_at(steps[1].result, 0);
    struct reaped r = {.leader = row_bool(&row)};
    r.leases = row_int(&row);
    r.requeued = row_int(&row);
    r.failed = row_int(&row);
    r.ended = ended_from_row(a, &row);
    int64_t dead = row_int(&row);
    r.leaked = row_int(&row);
    sweep(w, r.leader ? dead : 0);
    r.expired = row_int(&late);
    r.ended = both(a, r.ended, ended_from_row(a, &late));
    db_steps_clear(steps, COUNT_OF(steps));
    *ret = r;
    return true;
}
