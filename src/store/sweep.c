/*
 * sweep.c: what PostgreSQL's autovacuum does once a minute at most, sooner, on a connection that is open for the time of it. One thing at a
 * time, and nobody waits for it.
 *
 * VACUUM keeps `work` small. A claim begins at the front of the index, where the units stood that were claimed before: with 400,000 of
 * them not vacuumed yet it took 12 ms to pass by. ANALYZE makes plans fit tables that have grown (sql/018_statistics.sql).
 */
#include <assert.h>
#include <stdio.h>

#include "store/inside.h"
#include "store/rows.h"

#define SWEEP_DEAD 20000
#define SWEEP_OPEN_MS 1000
#define SWEEP_TEXT 512

static const struct stmt miscounted_stmt = {
    "miscounted", "SELECT string_agg(quote_ident(name), ', ') FROM lathe_miscounted() name"};

static bool free_now(struct store_worker *w)
{
    w->sweeping = w->sweeping && !db_script_over(&w->sweeper, clock_now());
    return !w->sweeping;
}

void sweep(struct store_worker *w, int64_t dead)
{
    if (free_now(w) && dead >= SWEEP_DEAD)
        w->sweeping = db_script_start(&w->sweeper, "VACUUM (SKIP_LOCKED, TRUNCATE off) work, leases",
                                      clock_after_ms(SWEEP_OPEN_MS), NULL);
}

bool store_measure(struct store_worker *w, bool *ret_due, struct err *e)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    char sql[SWEEP_TEXT];
    *ret_due = false;
    if (!db_one(&w->db, &miscounted_stmt, NULL, store_worker_deadline(w), &r, e))
        return false;
    struct row row = row_at(r, 0);
    struct span names = row_span(&row);
    *ret_due = names.len > 0;
    if (!*ret_due || !free_now(w))
        return true;
    int n = snprintf(sql, sizeof sql, "ANALYZE (SKIP_LOCKED) " SPAN_FMT, SPAN_ARG(names));
    assert(n > 0 && (size_t)n < sizeof sql); /* all of them fit */
    w->sweeping = db_script_start(&w->sweeper, sql, clock_after_ms(SWEEP_OPEN_MS), e);
    return w->sweeping;
}
