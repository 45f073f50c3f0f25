/* worker.c: a worker's sessions: their life, and what it owes PostgreSQL between two turns. */
#include "store/inside.h"

#include "core/log.h"
#include "core/mem.h"
#include "store/rows.h"

#define GOODBYE_MS 2000

static const struct stmt gone_stmt = {"gone", "DELETE FROM workers WHERE id = $1::uuid"};

/* ---- life ---- */

bool store_worker_new(struct store *s, struct worker_info *info, struct store_worker **ret, struct err *e)
{
    (void)e; /* nothing is asked of PostgreSQL yet: a worker starts without it */
    struct store_worker *w = mem_alloc(sizeof *w);
    w->store = s;
    if (uuid_is_nil(info->id))
        info->id = uuid_v7();
    w->id = info->id;
    char *queues = mem_alloc(info->queues.len + 1);
    memcpy(queues, info->queues.ptr ? info->queues.ptr : "", info->queues.len);
    w->queues = (struct span){queues, info->queues.len};
    w->lessons = (struct lessons){.arena = ARENA_INIT, .profiles = PARAMS_INIT, .corrections = PARAMS_INIT};
    store_db_init(s, &w->db, true);
    db_take_over(&w->db, &s->begun);
    store_db_init(s, &w->sweeper, false);
    w->sweeper.unlimited = true;
    store_db_init(s, &w->claims, true);
    w->claims.gate = NULL; /* that it cannot be opened says nothing of the others */
    w->quiet = true;       /* as far as anybody knows */
    *ret = w;
    return true;
}

void store_worker_tell(struct store_worker *w, void (*finished)(void *arg, const struct finish *f), void *arg)
{
    w->told = finished;
    w->told_arg = arg;
}

void store_worker_hand(struct store_worker *w, void (*claimed)(void *arg, struct claim *c), void *arg)
{
    w->on_claim = claimed;
    w->on_claim_arg = arg;
}

/* A claim whose answer was lost may have been made: without this its units would wait until the lease expires. */
bool worker_give_back_unsure(struct store_worker *w, int64_t deadline, struct err *e)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    if (uuid_is_nil(w->unsure))
        return true;
    release_params(&p, w->unsure);
    if (!db_one(&w->db, &release_stmt, &p, deadline, &r, e))
        return false;
    w->unsure = (struct uuid){{0}};
    return true;
}

void store_worker_bound(struct store_worker *w, int64_t most_ms, int hurry)
{
    w->most_ms = most_ms;
    w->db.hurry = w->claims.hurry = hurry;
}

int64_t store_worker_deadline(const struct store_worker *w)
{
    int64_t most = store_deadline(w->store), own = clock_after_ms(w->most_ms);
    return w->most_ms > 0 && own < most ? own : most;
}

/* In a call of their own, when nobody waits for it. */
void worker_tell_lessons(struct store_worker *w, int64_t deadline)
{
    struct step steps[3];
    struct err e = ERR_INIT;
    size_t n = lessons_steps(&w->lessons, steps);
    if (n == 0)
        return;
    bool heard = db_run(&w->db, steps, n, deadline, &e), good = heard && steps[n - 1].err.code == ERR_NONE;
    if (!good)
        log_warn_err(
            "store.lessons", heard ? &steps[n - 1].err : &e,
            "lessons=%zu meaning=what runs taught is not stored; predictions rest on what was known before",
            w->lessons.count);
    if (heard)
        lessons_clear(&w->lessons);
    db_steps_clear(steps, n);
}

static void say_goodbye(struct store_worker *w)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    struct err e = ERR_INIT;
    int64_t deadline = clock_after_ms(GOODBYE_MS);
    params_uuid(&p, w->id);
    if (!worker_give_back_unsure(w, deadline, &e))
        return; /* its units wait for the end of their lease */
    if (!db_one(&w->db, &gone_stmt, &p, deadline, &r, &e))
        return; /* the list of workers forgets it by itself, later */
    worker_tell_lessons(w, deadline);
}

void store_worker_free(struct store_worker *w)
{
    if (!w)
        return;
    if (w->db.conn || !uuid_is_nil(w->unsure))
        say_goodbye(w);
    db_close(&w->db);
    db_close(&w->claims);
    lessons_release(&w->lessons);
    if (w->sweeping && !db_script_over(&w->sweeper, clock_after_ms(GOODBYE_MS), NULL, NULL))
        db_close(&w->sweeper);
    char *queues;
    memcpy(&queues, &w->queues.ptr, sizeof queues);
    mem_free(queues);
    mem_free(w);
}
