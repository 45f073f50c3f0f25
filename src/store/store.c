#include "store/inside.h"

#include <stdio.h>

#include "core/limits.h"
#include "core/mem.h"
#include "core/metrics.h"

void params_release_at(struct params *p)
{
    params_release(p);
}

/* ---- the process's store ---- */

void store_db_init(struct store *s, struct db *db, bool arrays)
{
    *db = (struct db){.conf = s->conf, .gate = &s->gate, .role = s->role, .arrays = arrays, .hurry = -1};
}

int64_t store_deadline(struct store *s)
{
    return clock_after_ms(conf_now(&s->conf->store_timeout));
}

bool store_open(const struct conf *c, const char *role, struct store **ret, struct err *e)
{
    char *wrong = NULL;
    PQconninfoOption *options = PQconninfoParse(c->store_url, &wrong);
    if (!options && (strchr(c->store_url, '=') || strstr(c->store_url, "://"))) {
        PQfreemem(wrong); /* it quotes the string, and a password may be in it */
        return err_at(e, ERR_CONFIG, "store.url", "store.url is not a libpq connection string or URI");
    }
    PQfreemem(wrong);
    PQconninfoFree(options);

    struct store *s = mem_alloc(sizeof *s);
    s->conf = c;
    snprintf(s->role, sizeof s->role, "%s", role);
    db_gate_init(&s->gate);
    pthread_mutex_init(&s->mutex, NULL);
    cond_init(&s->freed);
    s->pool_n = (size_t)c->store_pool < POOL_MOST ? (size_t)c->store_pool : POOL_MOST;
    for (size_t i = 0; i < s->pool_n; i++) {
        store_db_init(s, &s->pool[i], false);
        s->idle[s->idle_n++] = &s->pool[i];
    }
    store_db_init(s, &s->begun, true);
    *ret = s;
    return true;
}

void store_begin(struct store *s)
{
    db_begin(&s->begun);
}

void store_close(struct store *s)
{
    if (!s)
        return;
    assert(s->idle_n == s->pool_n);
    for (size_t i = 0; i < s->pool_n; i++)
        db_close(&s->pool[i]);
    db_close(&s->begun);
    pthread_cond_destroy(&s->freed);
    pthread_mutex_destroy(&s->mutex);
    db_gate_release(&s->gate);
    mem_free(s);
}

/* ---- the pool ---- */

/* The one that was used last: the others may rest. */
static struct db *borrow(struct store *s, int64_t deadline)
{
    struct db *db = NULL;
    pthread_mutex_lock(&s->mutex);
    while (s->idle_n == 0 && cond_wait(&s->freed, &s->mutex, deadline))
        ;
    if (s->idle_n > 0)
        db = s->idle[--s->idle_n];
    pthread_mutex_unlock(&s->mutex);
    return db;
}

static void give_back(struct store *s, struct db *db)
{
    pthread_mutex_lock(&s->mutex);
    s->idle[s->idle_n++] = db;
    pthread_cond_signal(&s->freed);
    pthread_mutex_unlock(&s->mutex);
}

bool store_run_until(struct store *s, struct step *steps, size_t n, int64_t deadline, struct err *e)
{
    struct err why = ERR_INIT;
    struct db *db = borrow(s, deadline);
    if (!db) {
        metric_add(M_store_errors, NULL, 1);
        return err_set(e, ERR_STORE, "every connection to PostgreSQL is busy");
    }
    bool used = db->conn != NULL;
    bool ok = db_run(db, steps, n, deadline, &why);
    if (!ok && used && !db->conn && clock_now() < deadline) {
        db_steps_clear(steps, n);
        ok = db_run(db, steps, n, deadline, &why);
    }
    give_back(s, db);
    for (size_t i = 0; ok && i < n; i++) {
        if (steps[i].err.code != ERR_NONE) {
            why = steps[i].err;
            ok = false;
        }
    }
    if (ok)
        return true;
    metric_add(M_store_errors, NULL, 1);
    db_steps_clear(steps, n);
    if (e)
        *e = why;
    return false;
}

bool store_run(struct store *s, struct step *steps, size_t n, struct err *e)
{
    return store_run_until(s, steps, n, store_deadline(s), e);
}

bool store_read(struct store *s, const struct stmt *stmt, const struct params *p, PGresult **ret,
                struct err *e)
{
    struct step step = {.stmt = stmt, .params = p, .sync = true};
    if (!store_run(s, &step, 1, e))
        return false;
    *ret = step.result;
    return true;
}
