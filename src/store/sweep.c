/*
 * sweep.c: what PostgreSQL's autovacuum does once a minute at most, sooner, on a connection that is open for the time of it. One thing at a
 * time, however long it takes, and nobody waits for it.
 *
 * VACUUM keeps `work` small. A claim begins at the front of the index, where the units stood that were claimed before: with 400,000 of
 * them not vacuumed yet it took 12 ms to pass by. ANALYZE makes plans fit tables that have grown (sql/018_statistics.sql). It may take
 * minutes, in which its snapshot keeps from every VACUUM what dies; so what is dead already is vacuumed before it.
 */
#include "core/log.h"
#include "store/inside.h"
#include "store/rows.h"

#define SWEEP_DEAD 20000
#define SWEEP_OPEN_MS 1000
#define LOOK_PAUSE_MS \
    20000 /* when nothing came of it: a closer look found nothing, or somebody is in the way */
#define LOOK_PAUSE_MOST_MS 600000 /* doubled up to this, while all stays as it is */

/* By the catalogs: what reads tables is the sweeper's, for a turn would wait for it. With it, what one may know them again by: another
 * table is due, or ten thousand rows of one were changed. */
static const struct stmt miscounted_stmt = {
    "miscounted",
    "SELECT count(*), pg_stat_get_dead_tuples('work'::regclass), "
    "coalesce(sum(hashtext(m || pg_stat_get_mod_since_analyze(m::regclass) / 10000)), 0)::bigint "
    "FROM lathe_miscounted(false) m"};

/* One line for a series of failures. */
static void note_refusal(struct store_worker *w, const struct err *e)
{
    bool again = w->sweep_failed[w->sweeping];
    w->sweep_failed[w->sweeping] = e->code != ERR_NONE;
    if (e->code != ERR_NONE && !again)
        log_warn_err("store.sweep", e, "what=%s meaning=it is left to autovacuum until it goes well again",
                     w->sweeping == SWEEPING_WORK ? "VACUUM" : "ANALYZE");
}

static void note_counted(struct store_worker *w, const PGresult *r)
{
    if (PQntuples(r) != 1 || PQgetisnull(r, 0, 0))
        return;
    w->look_pause_ms = 0;
    log_info("store.counted", "tables=%s meaning=they had outgrown their statistics; plans are made anew",
             PQgetvalue(r, 0, 0));
}

static bool free_now(struct store_worker *w)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    struct err e = ERR_INIT;
    if (w->sweeping == SWEEPING_NOTHING)
        return true;
    if (!db_script_over(&w->sweeper, clock_now(), &r, &e))
        return false;
    if (r || e.code != ERR_NONE)
        note_refusal(w, &e);
    if (r && w->sweeping == SWEEPING_TABLES)
        note_counted(w, r);
    w->sweeping = SWEEPING_NOTHING;
    return true;
}

static bool start(struct store_worker *w, enum sweeping what, const char *sql, struct err *e)
{
    if (!db_script_start(&w->sweeper, sql, clock_after_ms(SWEEP_OPEN_MS), e))
        return false;
    w->sweeping = what;
    return true;
}

static bool vacuum(struct store_worker *w, struct err *e)
{
    return start(w, SWEEPING_WORK, "VACUUM (SKIP_LOCKED, TRUNCATE off) work, leases", e);
}

void sweep(struct store_worker *w, int64_t dead)
{
    if (free_now(w) && dead >= SWEEP_DEAD && !vacuum(w, NULL))
        log_debug("store.sweep", "meaning=it could not be begun");
}

/* Once: what a transaction keeps that is not over stays, however often it is vacuumed. */
static bool vacuum_before(struct store_worker *w, int64_t dead)
{
    w->vacuumed = !w->vacuumed && dead >= SWEEP_DEAD;
    return w->vacuumed;
}

/* A table that a closer look says nothing of stays due by the catalogs for as long as it has few rows in many pages. */
static bool look_again(struct store_worker *w, int64_t seen)
{
    int64_t now = clock_now();
    if (seen != w->seen)
        w->look_pause_ms = w->look_pause_ms > 0 ? LOOK_PAUSE_MS : 0;
    w->seen = seen;
    return now >= w->looked + w->look_pause_ms * NS_PER_MS;
}

static bool count(struct store_worker *w, struct err *e)
{
    w->looked = clock_now();
    w->look_pause_ms = w->look_pause_ms > 0 ? 2 * w->look_pause_ms : LOOK_PAUSE_MS;
    if (w->look_pause_ms > LOOK_PAUSE_MOST_MS)
        w->look_pause_ms = LOOK_PAUSE_MOST_MS;
    return start(w, SWEEPING_TABLES, "CALL lathe_count_anew(NULL)", e);
}

bool store_measure(struct store_worker *w, struct err *e)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    bool may = free_now(w);
    if (!db_one(&w->db, &miscounted_stmt, NULL, store_worker_deadline(w), &r, e))
        return false;
    struct row row = row_at(r, 0);
    int64_t due = row_int(&row), dead = row_int(&row);
    may = look_again(w, row_int(&row)) && may;
    if (due == 0)
        w->vacuumed = false;
    else if (may && vacuum_before(w, dead))
        return vacuum(w, e);
    else if (may)
        return count(w, e);
    return true;
}
