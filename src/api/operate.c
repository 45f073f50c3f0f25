/* Looking after it: handlers, strategies, workers, health, metrics. */
#include "api/inside.h"
#include "core/clock.h"
#include "core/metrics.h"
#include "handlers/registry.h"

/* False: the query had something in it, and that was answered. */
static bool plain(struct call *c)
{
    struct err e = ERR_INIT;
    if (query_none(c, &e))
        return true;
    answer_problem(c, &e);
    return false;
}

static void text(struct json_out *o, const char *key, const char *value)
{
    json_key(o, key);
    json_put_str(o, value);
}

static void number(struct json_out *o, const char *key, int64_t value)
{
    json_key(o, key);
    json_put_int(o, value);
}

static void put_handler(const struct handler *h, struct json_out *o)
{
    json_open(o, '{');
    text(o, "name", h->name);
    text(o, "summary", h->summary);
    text(o, "item", h->item);
    json_key(o, "process_only"); /* run in child processes under every strategy */
    json_put_bool(o, h->process_only);
    json_key(o, "params");
    fields_schema(&h->params, o);
    json_close(o, '}');
}

void handlers_get(struct api *a, struct call *c, struct span parameter)
{
    (void)a, (void)parameter;
    if (!plain(c))
        return;
    struct json_out o = json_out(&c->res.body);
    json_open(&o, '{');
    json_key(&o, "handlers");
    json_open(&o, '[');
    const struct handler *h;
    for (size_t i = 0; (h = handler_at(i)); i++)
        if (!h->hidden && !h->internal)
            put_handler(h, &o);
    json_close(&o, ']');
    json_close(&o, '}');
    answer_tagged(c);
}

static void put_strategy(const struct strategy *s, struct json_out *o)
{
    struct span aliases = span_of(s->aliases);
    json_open(o, '{');
    text(o, "name", s->name);
    json_key(o, "aliases");
    json_open(o, '[');
    while (aliases.len)
        json_put_text(o, span_cut(&aliases, ' '));
    json_close(o, ']');
    text(o, "summary", s->summary);
    text(o, "fits", s->fits);
    json_key(o, "waits"); /* whether the caller is kept until the task has ended */
    json_put_bool(o, s->kind != STRATEGY_QUEUED);
    json_close(o, '}');
}

void strategies_get(struct api *a, struct call *c, struct span parameter)
{
    (void)a, (void)parameter;
    if (!plain(c))
        return;
    struct json_out o = json_out(&c->res.body);
    json_open(&o, '{');
    json_key(&o, "strategies");
    json_open(&o, '[');
    for (int i = 0; strategies[i]; i++)
        put_strategy(strategies[i], &o);
    json_close(&o, ']');
    json_close(&o, '}');
    answer_tagged(c);
}

static void put_time(struct json_out *o, const char *key, int64_t wall_us)
{
    char when[CLOCK_TEXT];
    clock_format(wall_us, when);
    text(o, key, when);
}

static void put_worker(const struct worker_info *w, struct json_out *o)
{
    char id[UUID_TEXT];
    uuid_format(w->id, id);
    json_open(o, '{');
    text(o, "id", id);
    json_key(o, "name");
    json_put_text(o, w->name);
    json_key(o, "host");
    json_put_text(o, w->host);
    number(o, "pid", w->pid);
    json_key(o, "queues");
    json_put_text(o, w->queues);
    number(o, "slots", w->slots);
    number(o, "busy", w->busy);
    number(o, "cores", w->cores);
    put_time(o, "started_at", w->started_us);
    put_time(o, "seen_at", w->seen_us);
    if (w->claimed_us > 0) {
        put_time(o, "claimed_at", w->claimed_us);
    } else {
        json_key(o, "claimed_at");
        json_put_null(o);
    }
    json_close(o, '}');
}

void workers_get(struct api *a, struct call *c, struct span parameter)
{
    (void)parameter;
    struct err e = ERR_INIT;
    struct worker_info *list;
    size_t n;
    if (!plain(c))
        return;
    if (!store_workers(a->store, &c->arena, &list, &n, &e)) {
        answer_problem(c, &e);
        return;
    }
    struct json_out o = json_out(&c->res.body);
    json_open(&o, '{');
    json_key(&o, "workers");
    json_open(&o, '[');
    for (size_t i = 0; i < n; i++)
        put_worker(&list[i], &o);
    json_close(&o, ']');
    json_close(&o, '}');
    c->res.status = 200;
    call_send(c);
}

static void answer_fresh(struct call *c)
{
    call_header(c, "Cache-Control", "no-store");
    c->res.status = 200;
    call_send(c);
}

void health_get(struct api *a, struct call *c, struct span parameter)
{
    (void)a, (void)parameter;
    if (!plain(c))
        return;
    buf_puts(&c->res.body, "{\"status\":\"ok\"}");
    answer_fresh(c);
}

static bool draining(struct api *a)
{
    pthread_mutex_lock(&a->lock);
    bool yes = a->draining;
    pthread_mutex_unlock(&a->lock);
    return yes;
}

static bool ready(struct api *a, struct err *e)
{
    if (draining(a))
        return err_set(e, ERR_STOPPING, "this process is stopping");
    return store_ready(a->store, e);
}

/* What does not keep it from taking work, but should be seen to. */
static void put_warnings(struct api *a, struct json_out *o)
{
    struct store_stats s;
    if (!store_stats(a->store, &s, NULL))
        return;
    number(o, "workers", s.workers);
    number(o, "stalled_workers", s.stalled); /* alive, with room, and their claims are not answered */
    json_key(o, "vacuum_held_by");
    json_put_str(o, s.horizon[0] ? s.horizon : NULL);
}

void ready_get(struct api *a, struct call *c, struct span parameter)
{
    (void)parameter;
    struct err e = ERR_INIT, cache = ERR_INIT;
    if (!plain(c))
        return;
    if (!ready(a, &e)) {
        answer_problem(c, &e);
        return;
    }
    struct cache *redis = queue_cache(a->queue);
    struct json_out o = json_out(&c->res.body);
    json_open(&o, '{');
    text(&o, "status", "ready");
    text(&o, "postgresql", "ok");
    text(&o, "redis", !redis ? "not used" : cache_ready(redis, &cache) ? "ok" : "unreachable");
    if (cache.code != ERR_NONE)
        text(&o, "redis_error", cache.text);
    put_warnings(a, &o);
    json_close(&o, '}');
    answer_fresh(c);
}

static void gauge(struct buf *b, const char *name, const char *help, double value)
{
    buf_printf(b, "# HELP lathe_%s %s\n# TYPE lathe_%s gauge\nlathe_%s %.9g\n", name, help, name, name,
               value);
}

void metrics_get(struct api *a, struct call *c, struct span parameter)
{
    (void)parameter;
    struct err e = ERR_INIT;
    struct store_stats s;
    if (!plain(c))
        return;
    struct buf *b = &c->res.body;
    metrics_write(b);
    bool up = store_stats(a->store, &s, &e);
    gauge(b, "store_up", "1 when PostgreSQL answered", up);
    if (up) {
        gauge(b, "store_queued", "Units that wait for a worker, in PostgreSQL", (double)s.queued);
        gauge(b, "store_running", "Units that workers have", (double)s.running);
        gauge(b, "store_leases", "Leases that workers hold", (double)s.leases);
        gauge(b, "store_workers", "Workers that are alive", (double)s.workers);
        gauge(b, "store_stalled_workers",
              "Workers that are alive and have room, and whose claims are not answered", (double)s.stalled);
        gauge(b, "store_claim_age_seconds",
              "Longest time since a claim was answered, of the workers with room", s.claim_age_s);
        gauge(b, "store_horizon_seconds",
              "Age of the oldest transaction that keeps dead rows; 0: none of store.horizon_warn",
              s.horizon_s);
        gauge(b, "store_oldest_queued_seconds", "Age of the oldest unit that waits", s.oldest_queued_s);
    }
    c->res.content_type = "text/plain; version=0.0.4; charset=utf-8";
    answer_fresh(c);
}
