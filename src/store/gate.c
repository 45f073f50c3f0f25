#include "store/gate.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/uuid.h"

#define GATE_FIRST_MS 50
#define GATE_LAST_MS 2000

void db_gate_init(struct db_gate *g)
{
    *g = (struct db_gate){.failures = 0};
    pthread_mutex_init(&g->mutex, NULL);
}

void db_gate_release(struct db_gate *g)
{
    pthread_mutex_destroy(&g->mutex);
}

int64_t db_gate_opens(struct db_gate *g)
{
    pthread_mutex_lock(&g->mutex);
    int64_t until = g->closed_until;
    pthread_mutex_unlock(&g->mutex);
    return until;
}

bool db_gate_pass(struct db_gate *g, struct err *e)
{
    pthread_mutex_lock(&g->mutex);
    bool open = clock_now() >= g->closed_until;
    if (!open && e)
        *e = g->last;
    pthread_mutex_unlock(&g->mutex);
    return open;
}

/* Half of the wait is chance, so that many processes do not come back in step. The one place of store/ that logs: the
 * callers' error text may reach strangers and is short, and there is one line for a series of failures. */
void db_gate_shut(struct db_gate *g, const struct err *why, const char *detail)
{
    pthread_mutex_lock(&g->mutex);
    int64_t ms = GATE_FIRST_MS << (g->failures < 6 ? g->failures : 6);
    ms = ms > GATE_LAST_MS ? GATE_LAST_MS : ms;
    ms = ms / 2 + (int64_t)(uuid_hash(uuid_v7()) % (uint64_t)(ms / 2 + 1));
    g->closed_until = clock_after_ms(ms);
    g->last = *why;
    int failures = g->failures++;
    pthread_mutex_unlock(&g->mutex);
    if (failures == 0)
        log_warn("store.unreachable", "detail=%s", detail);
}

void db_gate_opened(struct db_gate *g)
{
    pthread_mutex_lock(&g->mutex);
    int failures = g->failures;
    g->failures = 0;
    g->closed_until = 0;
    pthread_mutex_unlock(&g->mutex);
    if (failures > 0)
        log_info("store.reached", "failures=%d", failures);
}
