/* turn.c: a worker's turn: ends and a claim in one round trip, or in two at once. */
#include "store/inside.h"

#include <stdio.h>

#include "core/fault.h"
#include "core/limits.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "store/rows.h"

#define LARGE (1u * MIB)          /* results that may need more than a statement's usual time */
#define SLOWEST_PER_MS (4u * KIB) /* they are given a ms for so many bytes on top of it */
#define ONE_PAUSE_MS 100          /* without claims for one after one that was not enough */
#define SLOW_MOST 3               /* attempts to store a large result while PostgreSQL is otherwise well */
#define BESIDE_LEAST 64           /* ends, and units wanted, from which on a claim has a session of its own */
#define BESIDE_REST_MS \
    10000 /* that session is closed when nobody has used it for so long, and not tried sooner again */
#define BESIDE_OPEN_MS 1000     /* to open it: one can do without */
#define BESIDE_LOST_NS NS_PER_S /* for a claim to end beside ends that were lost */

/* For this transaction. */
static const struct stmt patience_stmt = {"patience",
                                          "SELECT set_config('statement_timeout', $1::text, true)"};

/* Everything that a turn carries: transactions, each ended by its sync. All of it is one round trip; but where there are many ends
 * and much is wanted, two at once: PostgreSQL then works on the claim while it stores the ends. */
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
    size_t own; /* steps that go by the worker's session; those behind them are of a claim beside them */
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

/* One line for a series: nothing is lost by it but speed. */
static void leave_beside(struct store_worker *w, const struct err *why)
{
    db_close(&w->claims);
    w->claims_after = clock_after_ms(BESIDE_REST_MS);
    metric_add(M_store_errors, NULL, 1);
    if (!w->claims_failed)
        log_warn_err("store.one_session", why,
                     "meaning=claims go by the session of the ends for a while, one after the other");
    w->claims_failed = true;
}

/* Whatever may take its time is done here, before ends wait for it. */
static bool ready_beside(struct store_worker *w, struct turn *t, int64_t deadline)
{
    struct err why = ERR_INIT;
    int64_t now = clock_now(), soon = clock_after_ms(BESIDE_OPEN_MS);
    if (w->on_claim == NULL || now < w->claims_after)
        return false;
    w->claims_used = now;
    if (db_ready(&w->claims, t->steps + t->own, t->n - t->own, soon < deadline ? soon : deadline, &why))
        return true;
    leave_beside(w, &why);
    return false;
}

static void close_unused(struct store_worker *w)
{
    if (w->claims.conn && clock_now() - w->claims_used > BESIDE_REST_MS * NS_PER_MS)
        db_close(&w->claims);
}

static void prepare(struct turn *t, struct store_worker *w, struct finish *const *list, size_t n, int want,
                    int64_t deadline)
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
    t->own = t->n;
    if (want > 0) {
        t->lease = uuid_v7();
        t->from = claim_from(&w->from, clock_now());
        t->one = n == 0 && may_be_one(w);
        add_claim(t, want);
    }
    if (n < BESIDE_LEAST || want < BESIDE_LEAST || !ready_beside(w, t, deadline))
        t->own = t->n;
}

static bool is_beside(const struct turn *t)
{
    return t->own < t->n;
}

/* What lathe_finish goes on with where it has an end to add: two thirds of the time that its first one takes are for plans. */
static const struct stmt settle_stmt = {"settle", "SELECT ended FROM lathe_settle('{}')"};

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
                           {.stmt = &finish_stmt, .params = &all},
                           {.stmt = &settle_stmt, .sync = true}};
    bool ok = db_run(&w->db, steps, COUNT_OF(steps), store_worker_deadline(w), e);
    const struct err *why = &steps[COUNT_OF(steps) - 1].err;
    if (ok && why->code != ERR_NONE)
        ok = err_set(e, why->code, "%s", why->text);
    db_steps_clear(steps, COUNT_OF(steps));
    return ok;
}

/* Acts as if the connection had been lost before the answers came: from `s` on nothing is known. */
static bool lose(struct store_worker *w, struct turn *t, struct step *s, const char *point, struct err *e)
{
    if (!s || !fault_hit(point))
        return true;
    bool own = s < t->steps + t->own;
    const struct step *end = t->steps + (own ? t->own : t->n);
    db_close(own ? &w->db : &w->claims);
    for (; s < end; s++)
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
    if (is_beside(t))
        return w->claims.sent_at;
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

static bool take_with(struct db *db, struct db *beside, struct step *steps, size_t n, int64_t deadline,
                      struct err *e)
{
    db->beside = beside;
    bool ok = db_take(db, steps, n, deadline, e);
    db->beside = NULL;
    return ok;
}

/* Hands the claim over. What it meets with says nothing of the ends. */
static void take_beside(struct store_worker *w, struct turn *t, int want, int64_t deadline)
{
    struct err why = ERR_INIT;
    struct claim c = {.again = CLOCK_NEVER, .beside = true};
    struct step *steps = t->steps + t->own;
    size_t n = t->n - t->own;
    if (!take_with(&w->claims, &w->db, steps, n, deadline, &why) ||
        !lose(w, t, t->claim_step, "store.claimed", &why)) {
        leave_beside(w, &why);
        return;
    }
    if (!committed(t->claim_step))
        return;
    w->claims_failed = false;
    take_claim(w, t, want, &c);
    db_steps_clear(steps, n); /* its memory serves the runs */
    w->on_claim(w->on_claim_arg, &c);
}

/* Two round trips at once; who answers first is served first. False: that of the ends was lost. */
static bool run_beside(struct store_worker *w, struct turn *t, int want, int64_t deadline, struct err *e)
{
    struct err why = ERR_INIT;
    bool claims = db_send(&w->claims, t->steps + t->own, t->n - t->own, deadline, &why);
    bool ends = db_send(&w->db, t->steps, t->own, deadline, e);
    bool ends_first = ends && (!claims || db_answers(&w->db, &w->claims, deadline));
    if (!claims)
        leave_beside(w, &why);
    if (ends_first)
        ends = take_with(&w->db, claims ? &w->claims : NULL, t->steps, t->own, deadline, e);
    int64_t soon = w->claims.sent_at + BESIDE_LOST_NS;
    if (claims)
        take_beside(w, t, want, ends || soon > deadline ? deadline : soon);
    if (ends && !ends_first)
        ends = take_with(&w->db, NULL, t->steps, t->own, deadline, e);
    return ends;
}

/* The step that the turn is about is the finish, or the claim when there is nothing to finish. False: it was not done, as
 * far as is known, and *e says why. A claim that nobody got to know is given back before the next one. */
static bool round_trip(struct store_worker *w, struct finish *const *list, size_t n, int want,
                       struct claim *ret, struct err *e)
{
    struct turn t CLEANUP(turn_release);
    struct err why = ERR_INIT;
    int64_t deadline = store_worker_deadline(w);
    prepare(&t, w, list, n, want, deadline);
    const struct step *main = t.finish_step ? t.finish_step : t.claim_step;
    if (!main)
        return true;
    deadline += w->most_ms > 0 ? 0 : t.more_ms * NS_PER_MS;
    bool beside = is_beside(&t);
    bool heard =
        beside ? run_beside(w, &t, want, deadline, &why) : db_run(&w->db, t.steps, t.n, deadline, &why);
    on_finished(&t); /* if the connection was lost in between */
    if (heard && lose(w, &t, t.finish_step, "store.finished", &why) && !beside)
        lose(w, &t, t.claim_step, "store.claimed", &why);

    bool done = committed(main);
    if (t.lessons_step && t.lessons_step->synced)
        lessons_clear(&w->lessons);
    w->answered = w->answered || done;
    notice_refusals(w, &t, main);
    if (committed(t.claim_step))
        w->claimed = clock_now();
    else if (t.claim_step)
        miss_claim(w, &t);
    ret->beside = beside;
    if (beside && committed(t.claim_step))
        ret->count = 0; /* it was handed over */
    else if (done && committed(t.claim_step))
        take_claim(w, &t, want, ret);
    else if (t.claim_step && (!t.claim_step->synced || committed(t.claim_step)))
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
    close_unused(w);
    if (!worker_give_back_unsure(w, store_worker_deadline(w), e))
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
        worker_tell_lessons(w, store_worker_deadline(w));
    if (ok)
        *ret = claim;
    else if (e)
        *e = why;
    return ok;
}
