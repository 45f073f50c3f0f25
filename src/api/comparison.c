/* What running one workload under several strategies has shown. */
#include "api/comparison.h"

static struct comparison_row row_of(const struct task *t)
{
    struct comparison_row r = {.task = t};
    int64_t wall = t->measured.wall_us;
    if (t->state != TASK_succeeded || wall <= 0)
        return r;
    r.ended = true;
    r.duration_ms = (double)wall / 1e3;
    r.items_per_s = (double)t->items_done * 1e6 / (double)wall;
    if (t->measured.predicted_us > 0)
        r.predicted_error = (double)(wall - t->measured.predicted_us) / (double)wall;
    return r;
}

static bool better(const struct comparison_row *r, const struct comparison_row *than)
{
    return r->ended && r->task->items_failed == 0 && (!than || r->duration_ms < than->duration_ms);
}

struct comparison comparison_of(struct arena *a, const struct task *children, size_t n)
{
    struct comparison t = {.rows = arena_array(a, n, sizeof *t.rows), .count = n};
    double baseline = 0;
    for (size_t i = 0; i < n; i++) {
        t.rows[i] = row_of(&children[i]);
        t.done += state_final(children[i].state);
        if (better(&t.rows[i], t.winner))
            t.winner = &t.rows[i];
        if (t.rows[i].ended && span_is(children[i].strategy, "sequential"))
            baseline = t.rows[i].duration_ms;
    }
    for (size_t i = 0; i < n && baseline > 0; i++)
        if (t.rows[i].ended)
            t.rows[i].speedup = baseline / t.rows[i].duration_ms;
    return t;
}

static void put_number(struct json_out *o, const char *key, bool known, double value)
{
    json_key(o, key);
    if (known)
        json_put_num(o, value);
    else
        json_put_null(o);
}

static double rounded(double v, double steps)
{
    return (double)(int64_t)(v * steps + (v < 0 ? -0.5 : 0.5)) / steps;
}

static void row_write(const struct comparison_row *r, struct json_out *o)
{
    const struct task *t = r->task;
    const struct measured *m = &t->measured;
    char id[UUID_TEXT];
    uuid_format(t->id, id);
    json_open(o, '{');
    json_key(o, "strategy");
    json_put_text(o, t->strategy);
    json_key(o, "state");
    json_put_str(o, state_name(t->state));
    put_number(o, "duration_ms", r->ended, rounded(r->duration_ms, 1e3));
    put_number(o, "items_per_s", r->ended, rounded(r->items_per_s, 1e3));
    put_number(o, "speedup", r->speedup > 0, rounded(r->speedup, 1e3));
    put_number(o, "cpu_s", r->ended, (double)m->cpu_us / 1e6);
    put_number(o, "wait_s", r->ended, (double)m->wait_us / 1e6);
    put_number(o, "peak_rss_kib", r->ended, (double)m->peak_rss_kib);
    json_key(o, "items");
    json_put_int(o, t->items_done);
    json_key(o, "failures");
    json_put_int(o, t->items_failed);
    put_number(o, "predicted_ms", m->predicted_us > 0, (double)m->predicted_us / 1e3);
    put_number(o, "prediction_error_pct", r->ended && m->predicted_us > 0,
               rounded(100 * r->predicted_error, 10));
    json_key(o, "shape");
    shape_write(&t->shape, o);
    json_key(o, "task");
    json_put_str(o, id);
    json_close(o, '}');
}

void comparison_write(const struct comparison *t, struct json_out *o)
{
    json_open(o, '{');
    json_key(o, "winner");
    if (t->winner)
        json_put_text(o, t->winner->task->strategy);
    else
        json_put_null(o);
    json_key(o, "done");
    json_put_int(o, (int64_t)t->done);
    json_key(o, "strategies");
    json_open(o, '[');
    for (size_t i = 0; i < t->count; i++)
        row_write(&t->rows[i], o);
    json_close(o, ']');
    json_close(o, '}');
}
