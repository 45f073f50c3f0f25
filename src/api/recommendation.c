/* Evidence, candidates, and the words for both. */
#include <inttypes.h>
#include <stdio.h>

#include "api/recommendation.h"
#include "core/cores.h"

enum { PROBE_ITEMS = 32 };

struct submission probe_of(const struct submission *asked)
{
    struct submission probe = *asked;
    probe.strategy = &strategy_sequential;
    probe.inner = NULL;
    probe.has_shape = false;
    probe.items = probe.items_count = asked->items < PROBE_ITEMS ? asked->items : PROBE_ITEMS;
    return probe;
}

/* Costs as they were measured on small machines: only used while no worker has told of its own. */
static struct host this_host(void)
{
    return (struct host){.cores = cores_usable(),
                         .thread_start = 5e4,
                         .process_start = 1e6,
                         .item_cost = 2e3,
                         .process_item = 1e4,
                         .timer_slack = 1e5};
}

const char *candidate_name(const struct candidate *c)
{
    return c->strategy ? c->strategy->name : "shape";
}

static const char *evidence_of(struct arena *a, const struct recommendation *r)
{
    const struct profile *p = &r->profile;
    if (p->runs == 0 && r->probe)
        return arena_printf(a, "no measurement yet: the probe ended as %s%s%s", state_name(r->probe->state),
                            r->probe->err.text[0] ? ": " : "", r->probe->err.text);
    if (p->runs == 0)
        return "no measurement yet of this handler with these params: the order is a rule of thumb, for work that "
               "mostly waits; ask with probe=true to measure a few items first";
    if (r->probe && p->runs == 1)
        return arena_printf(a, "probe of %" PRId64 " items", p->items);
    return arena_printf(a, "%" PRId64 " run%s, %" PRId64 " items", p->runs, p->runs == 1 ? "" : "s",
                        p->items);
}

static const char *reason_of(struct arena *a, const struct recommendation *r)
{
    const struct candidate *best = &r->list[0];
    if (r->profile.runs == 0)
        return "a rule of thumb, not a measurement: it suits work that mostly waits and also computes a little";
    double ms = best->prediction.wall / 1e6;
    const char *first =
        arena_printf(a, "%.1f ms predicted, limited by %s, from %.3f ms CPU and %.3f ms waiting an item", ms,
                     best->prediction.bound, r->profile.cpu / 1e6, r->profile.wait / 1e6);
    if (r->count < 2)
        return first;
    const struct candidate *second = &r->list[1];
    return arena_printf(a, "%s; the next, %s, would take %.1f ms", first, candidate_name(second),
                        second->prediction.wall / 1e6);
}

void recommendation_from(struct arena *a, struct recommendation *r, const struct correction *corrections)
{
    const struct submission *s = r->asked;
    r->host_known = r->host.cores > 0;
    if (!r->host_known)
        r->host = this_host();
    struct ask ask = {.items = s->items,
                      .batch_size = s->batch_size,
                      .workers = s->workers,
                      .cores = r->host.cores,
                      .process_only = s->handler->process_only};
    r->count = recommend(&r->profile, &r->host, &ask, corrections, r->list, RECOMMENDATION_MOST);
    r->evidence = evidence_of(a, r);
    r->reason = reason_of(a, r);
}

bool recommendation_make(struct arena *a, struct store *store, const struct submission *asked,
                         const struct task *probe, struct recommendation *ret, struct err *e)
{
    struct recommendation r = {.asked = asked, .probe = probe};
    struct correction corrections[32] = {{0}};
    if (!store_profile(store, span_of(asked->handler->name), asked->digest, CLOCK_NEVER, &r.profile,
                       corrections, COUNT_OF(corrections), e) ||
        !store_host(store, &r.host, e))
        return false;
    recommendation_from(a, &r, corrections);
    *ret = r;
    return true;
}

static double rounded(double v)
{
    return (double)(int64_t)(v * 1e3 + 0.5) / 1e3;
}

static void num(struct json_out *o, const char *key, double value)
{
    json_key(o, key);
    json_put_num(o, rounded(value));
}

static void number(struct json_out *o, const char *key, int64_t value)
{
    json_key(o, key);
    json_put_int(o, value);
}

static void text(struct json_out *o, const char *key, const char *value)
{
    json_key(o, key);
    json_put_str(o, value);
}

static void write_shape(const struct candidate *c, struct json_out *o)
{
    json_key(o, "shape");
    shape_write(&c->shape, o);
}

/* The request that runs it, ready to be sent. */
static void write_request(const struct recommendation *r, const struct candidate *c, struct json_out *o)
{
    const struct submission *s = r->asked;
    char path[96];
    snprintf(path, sizeof path, "/api/v1/tasks/%s", c->strategy ? c->strategy->name : strategy_auto.name);
    json_key(o, "request");
    json_open(o, '{');
    text(o, "method", "POST");
    text(o, "path", path);
    json_key(o, "body");
    json_open(o, '{');
    text(o, "handler", s->handler->name);
    json_key(o, "params");
    json_put_raw(o, s->params);
    number(o, "items_count", s->items);
    number(o, "batch_size", s->batch_size);
    number(o, "workers", s->workers);
    if (!c->strategy)
        write_shape(c, o);
    json_close(o, '}');
    json_close(o, '}');
}

static void write_prediction(const struct recommendation *r, const struct candidate *c, struct json_out *o)
{
    const struct prediction *p = &c->prediction;
    json_key(o, "predicted");
    if (r->profile.runs == 0) {
        json_put_null(o);
        return;
    }
    json_open(o, '{');
    num(o, "duration_ms", p->wall / 1e6);
    num(o, "items_per_s", p->items_per_s);
    num(o, "cpu_ms", p->cpu / 1e6);
    num(o, "memory_kib", p->memory_kib);
    text(o, "bound", p->bound);
    json_close(o, '}');
    number(o, "runs_of_this_strategy", c->correction.runs);
}

static void write_candidate(const struct recommendation *r, int i, struct json_out *o)
{
    const struct candidate *c = &r->list[i];
    json_open(o, '{');
    number(o, "rank", i + 1);
    text(o, "strategy", candidate_name(c));
    write_shape(c, o);
    write_prediction(r, c, o);
    text(o, "evidence", r->evidence);
    text(o, "fits", c->strategy ? c->strategy->fits : "a shape given with the request, for this workload");
    json_close(o, '}');
}

static void write_profile(const struct recommendation *r, struct json_out *o)
{
    const struct profile *p = &r->profile;
    json_key(o, "measured");
    if (p->runs == 0) {
        json_put_null(o);
        return;
    }
    json_open(o, '{');
    number(o, "runs", p->runs);
    number(o, "items", p->items);
    num(o, "cpu_ms_per_item", p->cpu / 1e6);
    num(o, "wait_ms_per_item", p->wait / 1e6);
    num(o, "failure_rate", p->failure_rate);
    json_close(o, '}');
}

static void write_recommended(const struct recommendation *r, struct json_out *o)
{
    const struct candidate *best = &r->list[0];
    json_key(o, "recommended");
    json_open(o, '{');
    text(o, "strategy", candidate_name(best));
    write_shape(best, o);
    text(o, "reason", r->reason);
    write_request(r, best, o);
    json_close(o, '}');
}

void recommendation_write(const struct recommendation *r, struct json_out *o)
{
    const struct submission *s = r->asked;
    json_open(o, '{');
    text(o, "handler", s->handler->name);
    json_key(o, "params");
    json_put_raw(o, s->params);
    number(o, "items", s->items);
    number(o, "batch_size", s->batch_size);
    number(o, "workers", s->workers);
    number(o, "cores", r->host.cores);
    text(o, "cores_of", r->host_known ? "the latest live worker" : "this host: no worker is alive");
    text(o, "evidence", r->evidence);
    write_profile(r, o);
    write_recommended(r, o);
    json_key(o, "candidates");
    json_open(o, '[');
    for (int i = 0; i < r->count; i++)
        write_candidate(r, i, o);
    json_close(o, ']');
    json_close(o, '}');
}
