/* task.c: the task document. */
#include "model/task.h"

#include <stdio.h>

#include "core/clock.h"

static void put_count(struct json_out *o, const char *key, int64_t v)
{
    json_key(o, key);
    json_put_int(o, v);
}

/* Milliseconds with the microseconds behind the point. */
static void put_ms(struct json_out *o, const char *key, int64_t us)
{
    json_key(o, key);
    json_put_num(o, (double)us / 1000.0);
}

static void put_time(struct json_out *o, const char *key, int64_t wall_us)
{
    char text[CLOCK_TEXT];

    json_key(o, key);
    if (wall_us == 0) {
        json_put_null(o);
        return;
    }
    clock_format(wall_us, text);
    json_put_str(o, text);
}

static void put_name(struct json_out *o, const char *key, struct span name)
{
    json_key(o, key);
    if (name.len == 0)
        json_put_null(o);
    else
        json_put_text(o, name);
}

static void put_id(struct json_out *o, const char *key, struct uuid id)
{
    char text[UUID_TEXT];

    json_key(o, key);
    if (uuid_is_nil(id)) {
        json_put_null(o);
        return;
    }
    uuid_format(id, text);
    json_put_str(o, text);
}

static void put_shape(struct json_out *o, const struct shape *s)
{
    json_key(o, "shape");
    if (s->threads == 0)
        json_put_null(o);
    else
        shape_write(s, o);
}

static void put_counters(struct json_out *o, const struct task *t)
{
    json_key(o, "items");
    json_open(o, '{');
    put_count(o, "total", t->items_total);
    put_count(o, "done", t->items_done);
    put_count(o, "failed", t->items_failed);
    json_close(o, '}');

    json_key(o, "units");
    json_open(o, '{');
    put_count(o, "total", t->units_total);
    put_count(o, "done", t->units_done);
    json_close(o, '}');

    json_key(o, "progress");
    json_put_num(o, t->progress);
}

/* Nothing was measured before something ran. */
static void put_measured(struct json_out *o, const struct task *t)
{
    const struct measured *m = &t->measured;

    json_key(o, "measured");
    if (m->wall_us == 0) {
        json_put_null(o);
        return;
    }
    json_open(o, '{');
    put_ms(o, "wall_ms", m->wall_us);
    put_ms(o, "cpu_ms", m->cpu_us);
    put_ms(o, "wait_ms", m->wait_us);
    json_key(o, "items_per_s");
    json_put_num(o, (double)t->items_done * 1e6 / (double)m->wall_us);
    put_count(o, "peak_rss_kib", m->peak_rss_kib);
    put_count(o, "cached", m->cached);
    if (m->predicted_us > 0) {
        put_ms(o, "predicted_ms", m->predicted_us);
    } else {
        json_key(o, "predicted_ms");
        json_put_null(o);
    }
    json_close(o, '}');
}

static void put_results(struct json_out *o, struct span lines)
{
    json_key(o, "results");
    json_open(o, '[');
    while (lines.len > 0) {
        struct span line = span_cut(&lines, '\n');

        if (line.len > 0)
            json_put_raw(o, line);
    }
    json_close(o, ']');
}

static void put_error(struct json_out *o, const struct err *e)
{
    char type[64];

    json_key(o, "error");
    if (e->code == ERR_NONE) {
        json_put_null(o);
        return;
    }
    snprintf(type, sizeof type, "/problems/%s", err_slug(e->code));
    json_open(o, '{');
    json_key(o, "type");
    json_put_str(o, type);
    json_key(o, "title");
    json_put_str(o, err_title(e->code));
    json_key(o, "detail");
    json_put_str(o, e->text);
    json_key(o, "retryable");
    json_put_bool(o, err_retryable(e->code));
    json_close(o, '}');
}

/* `events` is null until there is an event stream to point at. */
static void put_links(struct json_out *o, struct uuid id)
{
    char self[] = "/api/v1/tasks/00000000-0000-0000-0000-000000000000",
         results[] = "/api/v1/tasks/00000000-0000-0000-0000-000000000000/results",
         log[] = "/api/v1/tasks/00000000-0000-0000-0000-000000000000/log";

    uuid_format(id, self + sizeof "/api/v1/tasks/" - 1);
    memcpy(results, self, sizeof self - 1);
    memcpy(log, self, sizeof self - 1);
    json_key(o, "links");
    json_open(o, '{');
    json_key(o, "self");
    json_put_str(o, self);
    json_key(o, "results");
    json_put_str(o, results);
    json_key(o, "log");
    json_put_str(o, log);
    json_key(o, "events");
    json_put_null(o);
    json_key(o, "cancel");
    json_put_str(o, self);
    json_close(o, '}');
}

static void put_limits(struct json_out *o, const struct task *t)
{
    put_count(o, "batch_size", t->batch_size);
    put_count(o, "workers", t->workers);
    put_count(o, "item_timeout_ms", t->item_timeout_ms);
    put_count(o, "timeout_ms", t->timeout_ms);
    json_key(o, "on_item_error");
    json_put_str(o, t->fail_fast ? "fail" : "continue");
}

static void put_labels(struct json_out *o, const struct task *t)
{
    if (t->tags.len > 0) {
        json_key(o, "tags");
        json_put_raw(o, t->tags);
    }
    if (t->meta.len > 0) {
        json_key(o, "meta");
        json_put_raw(o, t->meta);
    }
}

void task_members(const struct task *t, struct json_out *o)
{
    put_id(o, "id", t->id);
    put_id(o, "parent", t->parent);
    json_key(o, "state");
    json_put_str(o, state_name(t->state));
    json_key(o, "cancelling");
    json_put_bool(o, t->cancelling);
    put_name(o, "handler", t->handler);
    put_name(o, "strategy", t->strategy);
    if (t->inner.len > 0)
        put_name(o, "inner", t->inner);
    put_shape(o, &t->shape);
    put_name(o, "queue", t->queue);
    put_count(o, "priority", t->priority);
    put_count(o, "attempt", t->attempt);
    put_count(o, "tries", t->tries);
    json_key(o, "params");
    json_put_raw(o, t->params);
    put_limits(o, t);
    put_counters(o, t);
    if (t->terms.len > 0) {
        json_key(o, "terms");
        json_put_raw(o, t->terms);
    }
    put_time(o, "created_at", t->created_us);
    put_time(o, "run_at", t->run_at_us);
    put_time(o, "started_at", t->started_us);
    put_time(o, "finished_at", t->finished_us);
    put_measured(o, t);
    put_results(o, t->results);
    put_error(o, &t->err);
    put_labels(o, t);
    put_links(o, t->id);
}

void task_write(const struct task *t, struct json_out *o)
{
    json_open(o, '{');
    task_members(t, o);
    json_close(o, '}');
}
