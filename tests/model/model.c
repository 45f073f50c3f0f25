#include "model.h"

#include <string.h>

const char *const verb_names[VERBS] = {"claim-one", "claim-all", "end-well", "end-badly",      "end-stopped",
                                       "finish",    "beat",      "release",  "release-unsure", "die",
                                       "expire",    "reap",      "wake",     "cancel",         "retry"};
const char *const place_names[PLACES] = {"none", "work", "waiting", "leased", "done"};

enum mistake model_mistake;

#define EACH_UNIT(u) for (int u = 0; u < UNITS; u++)
#define BIT(u) ((uint8_t)(1u << (u)))

struct state model_begin(void)
{
    struct state s = {.cancelling = 0};
    EACH_UNIT(u) s.unit[u] = (struct unit_state){.place = PLACE_WORK, .attempt = 1};
    return s;
}

/* ---- the database's side ---- */

/* lathe_settle: a unit is done; the task with the last one. */
static void settle(struct state *s, int u, enum result r)
{
    unsigned failed = 0, cancelled = 0;
    s->unit[u].place = PLACE_DONE;
    s->unit[u].result = (uint8_t)r;
    EACH_UNIT(v)
    {
        if (s->unit[v].place != PLACE_DONE)
            return;
        failed += s->unit[v].result == RESULT_FAILED;
        cancelled += s->unit[v].result == RESULT_CANCELLED;
    }
    s->over = s->cancelling ? RESULT_CANCELLED
              : failed      ? RESULT_FAILED
              : cancelled   ? RESULT_CANCELLED
                            : RESULT_SUCCEEDED;
}

/* Takes a unit off its lease, which goes with the last one. */
static void unlease(struct state *s, int l, int u)
{
    s->lease[l].units &= (uint8_t)~BIT(u);
    if (s->lease[l].units == 0)
        s->lease[l] = (struct lease_state){0};
}

/* lathe_finish of the units of a worker that it has run. What is no longer under the lease is ignored. */
static void db_finish(struct state *s, const struct worker_state *w)
{
    int l = w->lease - 1;
    EACH_UNIT(u)
    {
        bool fenced = !(s->lease[l].units & BIT(u)) && model_mistake != NO_FENCE;
        if (!(w->ended & BIT(u)) || fenced)
            continue;
        unlease(s, l, u);
        bool goes_on = !s->cancelling || model_mistake == AGAIN_AFTER_CANCEL;
        if (w->result[u] == RESULT_FAILED && s->unit[u].tries < TRIES && goes_on) { /* lathe_again */
            s->unit[u].place = PLACE_WAITING;
            s->unit[u].tries++;
            continue;
        }
        s->unit[u].results++;
        settle(s, u, w->result[u]);
    }
}

/* lathe_return: units whose worker does not finish them. */
static void db_return(struct state *s, int l, uint8_t units, int bump)
{
    EACH_UNIT(u)
    {
        if (!(units & s->lease[l].units & BIT(u)))
            continue;
        if (model_mistake != REAP_KEEPS_LEASE)
            unlease(s, l, u);
        if (model_mistake == RETURN_FORGETS) {
            s->unit[u].place = PLACE_NONE;
        } else if (s->cancelling && model_mistake != RETURN_IGNORES_CANCEL) {
            settle(s, u, RESULT_CANCELLED);
        } else if (s->unit[u].attempt + bump > ATTEMPTS && model_mistake != NO_POISON_LIMIT) {
            s->unit[u].results++; /* which says that its workers were lost */
            settle(s, u, RESULT_FAILED);
        } else {
            s->unit[u].attempt = (uint8_t)(s->unit[u].attempt + bump);
            s->unit[u].place = PLACE_WORK;
        }
    }
}

/* ---- a worker ---- */

/* A lease that neither exists nor is remembered by anybody. */
static int new_lease(const struct state *s)
{
    for (int l = 0; l < LEASES; l++) {
        bool used = s->lease[l].exists;
        for (int w = 0; w < WORKERS; w++)
            used = used || s->worker[w].lease == l + 1 || s->worker[w].unsure == l + 1;
        if (!used)
            return l;
    }
    return -1;
}

static bool claim(struct state *s, struct worker_state *w, int most, bool lost)
{
    int l = new_lease(s);
    uint8_t units = 0;
    if (l < 0 || w->lease || w->unsure)
        return false;
    EACH_UNIT(u)
    if (s->unit[u].place == PLACE_WORK && most-- > 0) {
        s->unit[u].place = PLACE_LEASED;
        units |= BIT(u);
    }
    if (units == 0)
        return false;
    s->lease[l] = (struct lease_state){.exists = 1, .units = units};
    if (lost)
        w->unsure = (uint8_t)(l + 1);
    else
        *w = (struct worker_state){.lease = (uint8_t)(l + 1), .units = units};
    return true;
}

static void forget(struct worker_state *w, uint8_t units)
{
    w->units &= (uint8_t)~units;
    w->ended &= w->units;
    EACH_UNIT(u)
    if (units & BIT(u))
        w->result[u] = RESULT_NONE;
    if (w->units == 0)
        *w = (struct worker_state){.unsure = w->unsure};
}

static bool end(struct worker_state *w, int u, enum result r)
{
    if (!(w->units & BIT(u)) || (w->ended & BIT(u)) || (r == RESULT_CANCELLED && !w->told))
        return false;
    w->ended |= BIT(u);
    w->result[u] = (uint8_t)r;
    return true;
}

static bool finish(struct state *s, struct worker_state *w, bool lost)
{
    if (w->ended == 0)
        return false;
    db_finish(s, w);
    if (!lost)
        forget(w, w->ended);
    return true;
}

static bool beat(struct state *s, struct worker_state *w, bool lost)
{
    if (w->lease == 0)
        return false;
    struct lease_state *l = &s->lease[w->lease - 1];
    l->expired = 0;
    if (lost)
        return true;
    if (!l->exists)
        forget(w, w->units);
    else if (s->cancelling)
        w->told = 1;
    return true;
}

static bool release(struct state *s, struct worker_state *w, bool lost)
{
    uint8_t back = w->units & (uint8_t)~w->ended;
    if (back == 0)
        return false;
    db_return(s, w->lease - 1, back, 0);
    if (!lost)
        forget(w, back);
    return true;
}

static bool release_unsure(struct state *s, struct worker_state *w, bool lost)
{
    if (w->unsure == 0)
        return false;
    db_return(s, w->unsure - 1, s->lease[w->unsure - 1].units, 0);
    if (!lost)
        w->unsure = 0;
    return true;
}

/* ---- others ---- */

static bool expire(struct state *s, int l)
{
    bool can = s->lease[l].exists && !s->lease[l].expired;
    s->lease[l].expired = s->lease[l].exists;
    return can;
}

static bool reap(struct state *s)
{
    bool any = false;
    for (int l = 0; l < LEASES; l++)
        if (s->lease[l].exists && s->lease[l].expired) {
            db_return(s, l, s->lease[l].units, 1);
            any = true;
        }
    return any;
}

static bool wake(struct state *s)
{
    bool any = false;
    EACH_UNIT(u)
    if (s->unit[u].place == PLACE_WAITING) {
        s->unit[u].place = PLACE_WORK;
        any = true;
    }
    return any;
}

static bool cancel(struct state *s)
{
    if (s->over || s->cancelling)
        return false;
    s->cancelling = 1;
    EACH_UNIT(u)
    if (s->unit[u].place == PLACE_WORK ||
        (s->unit[u].place == PLACE_WAITING && model_mistake != CANCEL_LEAVES_WAITING))
        settle(s, u, RESULT_CANCELLED);
    return true;
}

/* Somebody asks for a task that is over to be run once more; once, so that the model ends. */
static bool retry(struct state *s)
{
    if (s->again || (s->over != RESULT_FAILED && s->over != RESULT_CANCELLED))
        return false;
    EACH_UNIT(u) s->unit[u] = (struct unit_state){.place = PLACE_WORK, .attempt = 1};
    s->over = s->cancelling = 0;
    s->again = 1;
    return true;
}

bool model_act(const struct state *was, struct action a, struct state *ret)
{
    struct state s = *was;
    struct worker_state *w = &s.worker[a.who < WORKERS ? a.who : 0];
    bool done = false;
    switch (a.verb) {
    case CLAIM_ONE:
        done = claim(&s, w, 1, a.lost);
        break;
    case CLAIM_ALL:
        done = claim(&s, w, UNITS, a.lost);
        break;
    case END_WELL:
        done = end(w, a.unit, RESULT_SUCCEEDED);
        break;
    case END_BADLY:
        done = end(w, a.unit, RESULT_FAILED);
        break;
    case END_STOPPED:
        done = end(w, a.unit, RESULT_CANCELLED);
        break;
    case FINISH:
        done = finish(&s, w, a.lost);
        break;
    case BEAT:
        done = beat(&s, w, a.lost);
        break;
    case RELEASE:
        done = release(&s, w, a.lost);
        break;
    case RELEASE_UNSURE:
        done = release_unsure(&s, w, a.lost);
        break;
    case DIE:
        done = w->lease || w->unsure;
        *w = (struct worker_state){0};
        break;
    case EXPIRE:
        done = expire(&s, a.who);
        break;
    case REAP:
        done = reap(&s);
        break;
    case WAKE:
        done = wake(&s);
        break;
    case CANCEL:
        done = cancel(&s);
        break;
    case RETRY:
        done = retry(&s);
        break;
    case VERBS:
        break;
    }
    *ret = s;
    return done;
}

/* ---- names ---- */

static uint8_t name_lease(uint8_t old, uint8_t *names, uint8_t *next)
{
    if (old != 0 && names[old] == 0)
        names[old] = ++*next;
    return names[old];
}

static struct state named(const struct state *s, const int *order)
{
    struct state r = *s;
    uint8_t names[LEASES + 1] = {0}, next = 0;
    for (int w = 0; w < WORKERS; w++) {
        r.worker[w] = s->worker[order[w]];
        r.worker[w].lease = name_lease(r.worker[w].lease, names, &next);
        r.worker[w].unsure = name_lease(r.worker[w].unsure, names, &next);
    }
    EACH_UNIT(u) /* the others by their units, which no two share */
    for (int l = 0; l < LEASES; l++)
        if (s->lease[l].units & BIT(u))
            name_lease((uint8_t)(l + 1), names, &next);
    memset(r.lease, 0, sizeof r.lease);
    for (int l = 0; l < LEASES; l++)
        if (names[l + 1] != 0)
            r.lease[names[l + 1] - 1] = s->lease[l];
    return r;
}

struct state model_named(const struct state *s)
{
    static const int orders[][WORKERS] = {{0, 1}, {1, 0}};
    struct state a = named(s, orders[0]), b = named(s, orders[1]);
    return memcmp(&a, &b, sizeof a) <= 0 ? a : b;
}

/* ---- what may never be ---- */

const char *model_wrong(const struct state *s)
{
    bool all = true;
    EACH_UNIT(u)
    {
        const struct unit_state *x = &s->unit[u];
        int held = 0;
        for (int l = 0; l < LEASES; l++)
            held += s->lease[l].exists && (s->lease[l].units & BIT(u));
        all = all && x->place == PLACE_DONE;
        if (held != (x->place == PLACE_LEASED))
            return "a unit is in two places, or in none";
        if (x->results > 1)
            return "a result was stored twice";
        if (x->place == PLACE_DONE && x->result != RESULT_CANCELLED && x->results != 1)
            return "a unit is done and has no result";
        if (x->place != PLACE_DONE && x->results > 0)
            return "a unit that has a result can be run";
        if (s->cancelling && (x->place == PLACE_WORK || x->place == PLACE_WAITING))
            return "a cancelled task goes on";
        if (x->attempt > ATTEMPTS || x->tries > TRIES)
            return "a unit is run too often";
    }
    for (int l = 0; l < LEASES; l++)
        if (s->lease[l].exists && s->lease[l].units == 0)
            return "a lease of nothing";
    return all != (s->over != RESULT_NONE) ? "a task is over and is not" : NULL;
}

const char *model_wrong_step(const struct state *was, struct action a, const struct state *is)
{
    if (a.verb == RETRY)
        return NULL;
    if (was->over && is->over != was->over)
        return "what is over has changed";
    EACH_UNIT(u)
    {
        if (was->unit[u].place == PLACE_DONE &&
            (is->unit[u].place != PLACE_DONE || is->unit[u].result != was->unit[u].result))
            return "what is done has changed";
        if (is->unit[u].attempt < was->unit[u].attempt || is->unit[u].tries < was->unit[u].tries)
            return "a count went back";
        if (is->unit[u].attempt > was->unit[u].attempt && a.verb != REAP)
            return "a worker was counted as lost that was not";
        if (is->unit[u].tries > was->unit[u].tries && a.verb != FINISH)
            return "a failure was counted that was none";
    }
    return NULL;
}

void model_actions(void (*each)(void *arg, struct action a), void *arg)
{
    for (enum verb v = 0; v < VERBS; v++) {
        bool of_worker = v <= DIE, ends = v >= END_WELL && v <= END_STOPPED;
        bool answered = v == CLAIM_ONE || v == CLAIM_ALL || (v >= FINISH && v <= RELEASE_UNSURE);
        int who = of_worker ? WORKERS : v == EXPIRE ? LEASES : 1;
        for (int w = 0; w < who; w++)
            for (int u = 0; u < (ends ? UNITS : 1); u++)
                for (int lost = 0; lost <= answered; lost++)
                    each(arg, (struct action){.verb = v, .who = w, .unit = u, .lost = lost});
    }
}
