/* Who has which of a database's connections. */
#include "store/sql_inside.h"

#include "core/log.h"
#include "core/mem.h"
#include "store/lookup.h"

#define FIRST_MS 50 /* until a server that was not reached is tried again; doubled each time */
#define LAST_MS 2000

static struct {
    pthread_mutex_t lock;
    struct sql_pool *first;
} pools = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct sql_pool *sql_pool_of(const struct sql_database *d)
{
    pthread_mutex_lock(&pools.lock);
    struct sql_pool *p = pools.first;
    while (p && p->database != d)
        p = p->next;
    if (!p) {
        p = mem_alloc(sizeof *p); /* for the process's life: there are as many as the configuration names */
        p->database = d;
        pthread_mutex_init(&p->lock, NULL);
        p->next = pools.first;
        pools.first = p;
    }
    pthread_mutex_unlock(&pools.lock);
    return p;
}

/* ---- lanes that wait */

static void line_up(struct sql_pool *p, struct sql_lane *l)
{
    l->waits = true;
    l->prev_waiting = p->waiting_end;
    l->next_waiting = NULL;
    *(p->waiting_end ? &p->waiting_end->next_waiting : &p->waiting) = l;
    p->waiting_end = l;
    atomic_fetch_add(&p->wanted, 1);
}

static void step_out(struct sql_pool *p, struct sql_lane *l)
{
    l->waits = false;
    *(l->prev_waiting ? &l->prev_waiting->next_waiting : &p->waiting) = l->next_waiting;
    *(l->next_waiting ? &l->next_waiting->prev_waiting : &p->waiting_end) = l->prev_waiting;
    atomic_fetch_sub(&p->wanted, 1);
}

/* ---- lending */

static enum sql_loan borrow(struct sql_pool *p, struct sql_lane *l, struct sql_conn **ret)
{
    int64_t now = clock_now();
    if (p->idle) {
        *ret = p->idle;
        p->idle = (*ret)->next;
        return LOAN_CONN;
    }
    if (p->open >= p->database->connections) {
        if (l->conns_n == 0 && !l->waits)
            line_up(p, l);
        return LOAN_NONE;
    }
    if (p->down_since && now < p->next_try)
        return LOAN_DOWN;
    if (p->down_since)
        p->next_try =
            now + p->database->timeout_ms * NS_PER_MS; /* one looks, the others wait for what it finds */
    p->open++;
    return LOAN_PERMIT;
}

enum sql_loan sql_pool_borrow(struct sql_pool *p, struct sql_lane *l, struct sql_conn **ret)
{
    enum sql_loan loan;
    for (;;) {
        pthread_mutex_lock(&p->lock);
        loan = borrow(p, l, ret);
        pthread_mutex_unlock(&p->lock);
        if (loan != LOAN_CONN || sql_conn_alive(*ret))
            return loan;
        sql_conn_free(*ret);
        sql_pool_gone(p);
    }
}

struct sql_conn *sql_pool_given(struct sql_pool *p, struct sql_lane *l, int *ret_permits)
{
    pthread_mutex_lock(&p->lock);
    struct sql_conn *c = l->given;
    *ret_permits = l->permits;
    l->given = NULL;
    l->permits = 0;
    pthread_mutex_unlock(&p->lock);
    return c;
}

/* Rung for under the lock: a lane that is about to close has to wait for it first. */
void sql_pool_return(struct sql_pool *p, struct sql_conn *c)
{
    c->lane = NULL;
    c->began = clock_now();
    pthread_mutex_lock(&p->lock);
    struct sql_lane *l = p->waiting;
    if (l) {
        step_out(p, l);
        c->next = l->given;
        l->given = c;
        sql_client_ring(l->client);
    } else {
        c->next = p->idle;
        p->idle = c;
    }
    pthread_mutex_unlock(&p->lock);
}

void sql_pool_gone(struct sql_pool *p)
{
    pthread_mutex_lock(&p->lock);
    struct sql_lane *l = p->waiting;
    if (l) {
        step_out(p, l);
        l->permits++;
        sql_client_ring(l->client);
    } else {
        p->open--;
    }
    pthread_mutex_unlock(&p->lock);
}

void sql_pool_leave(struct sql_pool *p, struct sql_lane *l)
{
    int permits;
    pthread_mutex_lock(&p->lock);
    if (l->waits)
        step_out(p, l);
    pthread_mutex_unlock(&p->lock);
    struct sql_conn *c = sql_pool_given(p, l, &permits), *next;
    for (; c; c = next) {
        next = c->next;
        sql_pool_return(p, c);
    }
    while (permits-- > 0)
        sql_pool_gone(p);
}

/* ---- is the server there? */

/* Half of the wait is chance, so that many processes do not come back in step. */
void sql_pool_failed(struct sql_pool *p, const struct err *why, const char *detail)
{
    pthread_mutex_lock(&p->lock);
    int64_t ms = (int64_t)FIRST_MS << (p->failures < 6 ? p->failures : 6), now = clock_now();
    ms = ms < LAST_MS ? ms : LAST_MS;
    p->next_try = now + (int64_t)((double)ms * (1 - clock_chance() / 2)) * NS_PER_MS;
    if (!p->down_since)
        p->down_since = now;
    p->why = *why;
    int failures = p->failures++;
    pthread_mutex_unlock(&p->lock);
    if (failures == 0)
        log_warn("sql.unreachable", "database=%s detail=%s", p->database->name,
                 detail[0] ? detail : why->text);
}

void sql_pool_reached(struct sql_pool *p)
{
    pthread_mutex_lock(&p->lock);
    int failures = p->failures;
    p->failures = 0;
    p->down_since = p->next_try = 0;
    pthread_mutex_unlock(&p->lock);
    if (failures > 0)
        log_info("sql.reached", "database=%s failures=%d", p->database->name, failures);
}

int64_t sql_pool_down(struct sql_pool *p, int64_t *ret_next_try, struct err *ret_why)
{
    pthread_mutex_lock(&p->lock);
    int64_t since = p->down_since;
    *ret_next_try = p->next_try;
    *ret_why = p->why;
    pthread_mutex_unlock(&p->lock);
    return since;
}

/* ---- what nobody uses */

static struct sql_conn *take_old(struct sql_pool *p, int64_t before)
{
    struct sql_conn **at = &p->idle, *old = NULL;
    pthread_mutex_lock(&p->lock);
    while (*at) {
        struct sql_conn *c = *at;
        if (c->began < before) {
            *at = c->next;
            c->next = old;
            old = c;
        } else {
            at = &c->next;
        }
    }
    pthread_mutex_unlock(&p->lock);
    return old;
}

void sql_pool_keep_lookup(struct sql_pool *p, struct lookup *l)
{
    pthread_mutex_lock(&p->lock);
    if (p->lookups_n < LIMIT_SQL_CONNECTIONS) {
        p->lookups[p->lookups_n++] = l;
        l = NULL;
    }
    pthread_mutex_unlock(&p->lock);
    lookup_leave(&l);
}

struct lookup *sql_pool_take_lookup(struct sql_pool *p, const char *name)
{
    struct lookup *found = NULL;
    pthread_mutex_lock(&p->lock);
    for (int i = p->lookups_n - 1; i >= 0 && !found; i--) {
        bool over = lookup_over(p->lookups[i]);
        if (!over && !lookup_is_for(p->lookups[i], name))
            continue;
        found = p->lookups[i];
        p->lookups[i] = p->lookups[--p->lookups_n];
        if (over) /* long ago, perhaps */
            lookup_leave(&found);
    }
    pthread_mutex_unlock(&p->lock);
    return found;
}

void sql_pools_idle(int64_t before)
{
    pthread_mutex_lock(&pools.lock);
    struct sql_pool *p = pools.first; /* the list only grows, at its front */
    pthread_mutex_unlock(&pools.lock);
    for (; p; p = p->next)
        for (struct sql_conn *c = take_old(p, before), *next; c; c = next) {
            next = c->next;
            sql_conn_free(c);
            sql_pool_gone(p);
        }
}
