/* worker.c: a worker's connection and its turn: finish and claim in one round trip. */
#include "store/inside.h"

#include <stdio.h>

#include "core/fault.h"
#include "core/limits.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "store/rows.h"

#define GOODBYE_MS 2000
#define LARGE (1u * MIB)          /* results that may need more than a statement's usual time */
#define SLOWEST_PER_MS (4u * KIB) /* they are given a ms for so many bytes on top of it */
#define ONE_PAUSE_MS 100          /* without claims for one after one that was not enough */
#define SLOW_MOST 3               /* attempts to store a large result while PostgreSQL is otherwise well */

/* For this transaction. */
static const struct stmt patience_stmt = {"patience",
                                          "SELECT set_config('statement_timeout', $1::text, true)"};

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
    store_db_init(s, &w->sweeper, false);
    w->sweeper.unlimited = true;
    *ret = w;
    return true;
}

void store_worker_tell(struct store_worker *w, void (*finished)(void *arg, const struct finish *f), void *arg)
{
    w->told = finished;
    w->told_arg = arg;
}

/* A claim whose answer was lost may have been made: without this its units would wait until the lease expires. */
static bool give_back_unsure(struct store_worker *w, int64_t deadline, struct err *e)
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
    w->db.hurry = hurry;
}

int64_t store_worker_deadline(const struct store_worker *w)
{
    int64_t most = store_deadline(w->store), own = clock_after_ms(w->most_ms);
    return w->most_ms > 0 && own < most ? own : most;
}

/* In a call of their own, when nobody waits for it. */
static void tell_lessons(struct store_worker *w, int64_t deadline)
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
    if (!give_back_unsure(w, deadline, &e))
        return; /* its units wait for the end of their lease */
    if (!db_one(&w->db, &gone_stmt, &p, deadline, &r, &e))
        return; /* the list of workers forgets it by itself, later */
    tell_lessons(w, deadline);
}

void store_worker_free(struct store_worker *w)
{
    if (!w)
        return;
    if (w->db.conn || !uuid_is_nil(w->unsure))
        say_goodbye(w);
    db_close(&w->db);
    lessons_release(&w->lessons);
    if (w->sweeping && !db_script_over(&w->sweeper, clock_after_ms(GOODBYE_MS), NULL, NULL))
        db_close(&w->sweeper);
    char *queues;
    memcpy(&queues, &w->queues.ptr, sizeof queues);
    mem_free(queues);
    mem_free(w);
}

/* ---- a turn ---- */

/* Everything that one round trip carries: transactions, each ended by its sync. */
struct turn {
    struct store_worker *worker;
    struct finish *const *finishes;
    size_t finishes_n;
    struct finish **sorted; /* first those that end by the quick statements, then the others */
    size_t quick_n;
    bool told;
    struct step steps[10];
    size_t n;
    struct params patience, logs, cached, quick, finish, claim;
    int64_t more_ms; /* than usual, for the bytes */
    struct step *quick_step, *rest_step;
    struct step *finish_step, *lessons_step, *claim_step; /* the last of each: it ends the transaction */
    struct uuid lease;
    struct claim_place from; /* behind which the claim begins */
    bool one;                /* the claim is for one unit */
};

static struct step *add(struct turn *t, struct step s)
{
    assert(t->n < COUNT_OF(t->steps));
    t->steps[t->n] = s;
    return &t->steps[t->n++];
}

static void turn_release(struct turn *t)
{
    db_steps_clear(t->steps, t->n);
    params_release(&t->patience);
    params_release(&t->logs);
    params_release(&t->cached);
    params_release(&t->quick);
    params_release(&t->finish);
    params_release(&t->claim);
    mem_free(t->sorted);
}

static bool committed(const struct step *s)
{
    return s && s->synced && s->err.code == ERR_NONE;
}

/* Who waits for a task is told not after the claim, which is somebody else's; and unless it was familiar, when what it taught is
 * stored too, so that he can ask for it. */
static void on_finished(void *arg)
{
    struct turn *t = arg;
    const struct store_worker *w = t->worker;
    if (t->told || !committed(t->finish_step))
        return;
    t->told = true;
    if (t->quick_step)
        finish_many_answers(t->quick_step->result, t->sorted, t->quick_n);
    if (t->rest_step)
        finish_answers(t->rest_step->result, t->sorted + t->quick_n, t->finishes_n - t->quick_n);
    for (size_t i = 0; i < t->finishes_n && w->told; i++)
        w->told(w->told_arg, t->finishes[i]);
}

/* Large results take their time, here and there. */
static void be_patient(struct turn *t)
{
    char text[24];
    size_t bytes = 0;
    for (size_t i = 0; i < t->finishes_n; i++)
        bytes += t->finishes[i]->results.len;
    if (bytes < LARGE)
        return;
    t->more_ms = (int64_t)(bytes / SLOWEST_PER_MS);
    snprintf(text, sizeof text, "%lld",
             (long long)(conf_now(&t->worker->store->conf->store_timeout) + t->more_ms));
    params_text(&t->patience, span_of(text));
    add(t, (struct step){.stmt = &patience_stmt, .params = &t->patience});
}

static void add_finishes(struct turn *t)
{
    size_t n = t->finishes_n;
    t->sorted = mem_array(n, sizeof(struct finish *));
    t->quick_n = finish_sort(t->finishes, n, t->sorted);
    if (t->quick_n == 1 && n == 1) {
        finish_one_params(&t->quick, t->sorted[0]);
        t->quick_step = add(t, (struct step){.stmt = &finish_one_stmt, .params = &t->quick});
    } else if (t->quick_n > 0) {
        finish_many_params(&t->quick, t->sorted, t->quick_n, n - t->quick_n);
        t->quick_step = add(t, (struct step){.stmt = &finish_many_stmt, .params = &t->quick});
    }
    if (t->quick_n < n) {
        finish_params(&t->finish, t->sorted + t->quick_n, n - t->quick_n);
        t->rest_step = add(t, (struct step){.stmt = &finish_stmt, .params = &t->finish});
    }
    t->finish_step = t->rest_step ? t->rest_step : t->quick_step;
    t->finish_step->sync = true;
}

/* Of one queue or of any, and where claims from the beginning are cheap: else these are seldom, and each must do all that it can. */
static bool may_be_one(const struct store_worker *w)
{
    return w->quiet && w->from.whole_ns == 0 && clock_now() >= w->one_after &&
           !memchr(w->queues.ptr, ',', w->queues.len);
}

static void add_claim(struct turn *t, int want)
{
    if (t->one) {
        claim_one_params(&t->claim, t->worker, t->lease, want);
        t->claim_step = add(t, (struct step){.stmt = &claim_one_stmt, .params = &t->claim, .sync = true});
        return;
    }
    claim_params(&t->claim, t->worker, t->lease, want, &t->from);
    add(t, (struct step){.stmt = &claim_begin_stmt});
    t->claim_step = add(t, (struct step){.stmt = &claim_stmt, .params = &t->claim, .sync = true});
}

static void add_lessons(struct turn *t)
{
    t->n += lessons_steps(&t->worker->lessons, &t->steps[t->n]);
    assert(t->n <= COUNT_OF(t->steps));
    t->lessons_step = &t->steps[t->n - 1];
}

static void prepare(struct turn *t, struct store_worker *w, struct finish *const *list, size_t n, int want)
{
    *t = (struct turn){.worker = w,
                       .finishes = list,
                       .finishes_n = n,
                       .patience = PARAMS_INIT,
                       .logs = PARAMS_INIT,
                       .cached = PARAMS_INIT,
                       .quick = PARAMS_INIT,
                       .finish = PARAMS_INIT,
                       .claim = PARAMS_INIT};
    if (n > 0) {
        be_patient(t);
        if (logs_params(&t->logs, list, n))
            add(t, (struct step){.stmt = &logs_stmt, .params = &t->logs});
        if (cached_params(&t->cached, list, n))
            add(t, (struct step){.stmt = &cached_stmt, .params = &t->cached});
        add_finishes(t);
        lessons_add(&w->lessons, list, n);
        if (lessons_due(&w->lessons))
            add_lessons(t);
        struct step *last = t->lessons_step && w->lessons.urgent ? t->lessons_step : t->finish_step;
        last->over = on_finished;
        last->arg = t;
    }
    if (want > 0) {
        t->lease = uuid_v7();
        t->from = claim_from(&w->from, clock_now());
        t->one = n == 0 && may_be_one(w);
        add_claim(t, want);
    }
}

bool store_warm(struct store_worker *w, struct err *e)
{
    struct params one CLEANUP(params_release_at) = PARAMS_INIT;
    struct params many CLEANUP(params_release_at) = PARAMS_INIT;
    struct params all CLEANUP(params_release_at) = PARAMS_INIT;
    const struct unit nobodys = {.count = 0};
    const struct finish nothing = {.unit = &nobodys, .err = ERR_INIT};
    struct finish *const none[1] = {NULL};
    finish_one_params(&one, &nothing);
    finish_many_params(&many, none, 0, 0);
    finish_params(&all, none, 0);
    struct step steps[] = {{.stmt = &finish_one_stmt, .params = &one},
                           {.stmt = &finish_many_stmt, .params = &many},
                           {.stmt = &finish_stmt, .params = &all, .sync = true}};
    bool ok = db_run(&w->db, steps, COUNT_OF(steps), store_worker_deadline(w), e);
    if (ok && steps[2].err.code != ERR_NONE)
        ok = err_set(e, steps[2].err.code, "%s", steps[2].err.text);
    db_steps_clear(steps, COUNT_OF(steps));
    return ok;
}

/* Acts as if the connection had been lost before the answers came: from `s` on nothing is known. */
static bool lose(struct store_worker *w, struct turn *t, struct step *s, const char *point, struct err *e)
{
    if (!s || !fault_hit(point))
        return true;
    db_close(&w->db);
    for (; s < t->steps + t->n; s++)
        s->synced = false;
    return err_set(e, ERR_STORE, "fault point %s", point);
}

/* What follows a finish that was stored may be refused: the turn is good, but somebody should know. */
static void notice_refusals(struct store_worker *w, const struct turn *t, const struct step *main)
{
    const struct err *why = NULL;
    for (const struct step *s = main + 1; s < t->steps + t->n && !why; s++)
        if (s->err.code != ERR_NONE)
            why = &s->err;
    if (why && committed(main)) {
        metric_add(M_store_errors, NULL, 1);
        if (!w->deaf)
            log_warn_err("store.refused", why,
                         "meaning=ends were stored; what was learned or claimed with them was not");
    }
    w->deaf = why != NULL;
}

/* When PostgreSQL began with the claim: it answers one transaction after the other. 0: it did not. */
static int64_t claim_began(const struct store_worker *w, const struct turn *t)
{
    int64_t began = w->db.sent_at;
    for (const struct step *s = t->steps; s < t->claim_step; s++)
        if (s->sync)
            began = s->synced ? s->over_at : 0;
    return began;
}

static bool whole(const struct turn *t)
{
    return t->from.rank_us == 0;
}

/* It was refused, or not answered. Says nothing where it did not begin: what goes before it in the turn was not over. */
static void miss_claim(struct store_worker *w, const struct turn *t)
{
    const struct step *s = t->claim_step;
    w->quiet = false;
    int64_t over = s->synced ? s->over_at : clock_now(), began = claim_began(w, t);
    if (began != 0)
        claim_failed(&w->from, whole(t), over - began, over);
}

static void take_claim(struct store_worker *w, const struct turn *t, int want, struct claim *ret)
{
    const struct step *s = t->claim_step;
    struct claim_place last = {.rank_us = 0};
    w->more = t->one && claim_one_read(s->result, t->lease, ret, &last);
    if (w->more) {
        w->quiet = false;
        w->one_after = clock_after_ms(ONE_PAUSE_MS);
        return; /* the other claim follows */
    }
    if (!t->one)
        claim_read(s->result, t->lease, ret, &last);
    w->quiet = ret->count < (size_t)want;
    claim_took(&w->from, whole(t), s->over_at - claim_began(w, t), ret->count, want, &last, s->over_at);
    ret->again = claim_again(&w->from, whole(t));
}

/* The step that the turn is about is the finish, or the claim when there is nothing to finish. False: it was not done, as
 * far as is known, and *e says why. A claim that nobody got to know is given back before the next one. */
static bool round_trip(struct store_worker *w, struct finish *const *list, size_t n, int want,
                       struct claim *ret, struct err *e)
{
    struct turn t CLEANUP(turn_release);
    struct err why = ERR_INIT;
    prepare(&t, w, list, n, want);
    const struct step *main = t.finish_step ? t.finish_step : t.claim_step;
    if (!main)
        return true;
    int64_t deadline = store_worker_deadline(w) + (w->most_ms > 0 ? 0 : t.more_ms * NS_PER_MS);
    bool lost = !db_run(&w->db, t.steps, t.n, deadline, &why);
    on_finished(&t); /* if the connection was lost in between */
    lost = lost || !lose(w, &t, t.finish_step, "store.finished", &why);
    lost = lost || !lose(w, &t, t.claim_step, "store.claimed", &why);

    bool done = committed(main);
    if (t.lessons_step && t.lessons_step->synced)
        lessons_clear(&w->lessons);
    w->answered = w->answered || done;
    notice_refusals(w, &t, main);
    if (committed(t.claim_step))
        w->claimed = clock_now();
    else if (t.claim_step)
        miss_claim(w, &t);
    if (done && committed(t.claim_step))
        take_claim(w, &t, want, ret);
    else if (t.claim_step && (lost || committed(t.claim_step)))
        w->unsure = t.lease;
    if (done)
        return true;
    metric_add(M_store_errors, NULL, 1);
    if (e)
        *e = main->err.code != ERR_NONE ? main->err : why;
    return false;
}

/* Nobody will ever store its results: it ends as failed, with the reason instead of them. */
static void give_up(struct finish *f, const struct err *why)
{
    const struct unit *u = f->unit;
    log_err("store.refused_results", why, "handler=" SPAN_FMT " bytes=%zu", SPAN_ARG(u->handler),
            f->results.len);
    *f = (struct finish){.unit = u,
                         .state = TASK_failed,
                         .items_done = u->count,
                         .items_failed = u->count,
                         .started_us = f->started_us,
                         .finished_us = f->finished_us,
                         .log = f->log,
                         .logged_us = f->logged_us,
                         .shown = f->shown,
                         .err = *why};
}

/* Not even that it failed can be stored: somebody runs it again, until worker.attempts. Nothing else of this worker would
 * be stored otherwise. False: PostgreSQL was lost, *why. */
static bool drop(struct store_worker *w, struct finish *f, struct err *why)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct ended ended;
    log_err("store.refused_end", why, "handler=" SPAN_FMT " meaning=the unit is given back",
            SPAN_ARG(f->unit->handler));
    f->applied = false;
    if (store_release(w, &a, &f->unit, 1, true, &ended, why))
        return true;
    return why->code == ERR_DATA; /* it is left to the end of its lease */
}

/* PostgreSQL refused the batch for what is in it: each unit by itself, and one that is refused alone is given up. */
static bool one_by_one(struct store_worker *w, struct finish *const *list, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        struct claim none = {.count = 0};
        struct err why = ERR_INIT;
        if (round_trip(w, &list[i], 1, 0, &none, &why))
            continue;
        if (why.code == ERR_DATA) {
            give_up(list[i], &why);
            if (round_trip(w, &list[i], 1, 0, &none, &why) ||
                (why.code == ERR_DATA && drop(w, list[i], &why)))
                continue;
        }
        if (e)
            *e = why;
        return false;
    }
    return true;
}

/* A finish did not end in time. When PostgreSQL does other things for us and the same result fails again and again, it is
 * too much for this PostgreSQL: it is given up, or nothing else of this worker would ever be stored. */
static void notice_slow(struct store_worker *w, struct finish *const *list, size_t n, const struct err *why)
{
    struct finish *largest = list[0];
    for (size_t i = 1; i < n; i++)
        if (list[i]->results.len > largest->results.len)
            largest = list[i];
    if (largest->results.len < LARGE || !w->answered)
        return;
    w->slow_n = uuid_eq(w->slow, largest->unit->task) ? w->slow_n + 1 : 1;
    w->slow = largest->unit->task;
    w->answered = false;
    if (w->slow_n < SLOW_MOST)
        return;
    give_up(largest, why);
    w->slow_n = 0;
}

bool store_turn(struct store_worker *w, struct finish *finishes, size_t n, int want, struct claim *ret,
                struct err *e)
{
    struct err why = ERR_INIT;
    struct claim claim = {.again = CLOCK_NEVER};
    int64_t patience = store_deadline(w->store); /* a failure before it was no matter of time */
    if (fault_hit("store.turn"))
        return err_set(e, ERR_STORE, "fault point store.turn");
    if (!give_back_unsure(w, store_worker_deadline(w), e))
        return false;
    struct finish **list = mem_array(n > 0 ? n : 1, sizeof *list);
    for (size_t i = 0; i < n; i++)
        list[i] = &finishes[i];
    want = want > (int)LIMIT_CLAIM ? (int)LIMIT_CLAIM : want;
    w->more = false;
    bool ok = round_trip(w, list, n, want, &claim, &why);
    if (ok && w->more)
        ok = round_trip(w, list, n, want, &claim, &why);
    if (!ok && n > 0 && why.code == ERR_DATA)
        ok = one_by_one(w, list, n, &why);
    if (!ok && n > 0 && why.code == ERR_STORE && clock_now() >= patience)
        notice_slow(w, list, n, &why);
    mem_free(list);
    if (ok && n == 0 && claim.count == 0 && lessons_due(&w->lessons))
        tell_lessons(w, store_worker_deadline(w));
    if (ok)
        *ret = claim;
    else if (e)
        *e = why;
    return ok;
}
