#include "model/schedule.h"

#include "core/clock.h"

#define US INT64_C(1000000)
#define LATE_US (60 * US)        /* what is later was missed */
#define BACK_US (24 * 3600 * US) /* how far back missed times are made good one by one */

const char *const missed_names[] = {"skip", "once", "all", NULL};

bool schedule_clock(struct arena *a, const struct schedule *s, struct schedule_clock *ret, struct err *e)
{
    struct err why = ERR_INIT;
    struct schedule_clock k = {.every_s = s->every_s, .run_at_us = s->run_at_us};
    if ((s->cron.len > 0) + (s->every_s > 0) + (s->run_at_us > 0) != 1)
        return err_at(e, ERR_BAD_FIELD, "/cron", "give one of cron, every_s and run_at");
    if (!zone_load(a, s->timezone, &k.zone, &why))
        return err_at(e, ERR_BAD_FIELD, "/timezone", "%s", why.text);
    if (s->cron.len > 0 && !cron_read(s->cron, &k.cron, &why))
        return err_at(e, ERR_BAD_FIELD, "/cron", "%s", why.text);
    *ret = k;
    return true;
}

int64_t schedule_next(const struct schedule_clock *k, int64_t after_us)
{
    int64_t next_s, after_s = after_us / US;
    if (k->run_at_us > 0)
        return k->run_at_us > after_us ? k->run_at_us : 0;
    if (k->every_s > 0)
        return (after_s / k->every_s + 1) * k->every_s * US;
    return cron_next(&k->cron, k->zone, after_s, &next_s) ? next_s * US : 0;
}

/* The latest time that is not after now; there is one, the schedule is due. */
static int64_t latest(const struct schedule *s, const struct schedule_clock *k, int64_t now_us)
{
    int64_t last_s;
    if (k->run_at_us > 0)
        return s->next_us;
    if (k->every_s > 0)
        return now_us / US / k->every_s * k->every_s * US;
    return cron_last(&k->cron, k->zone, s->next_us / US, now_us / US, &last_s) ? last_s * US : s->next_us;
}

/* Each one, as far as there is room; what is left is due at once. */
static void fire_all(const struct schedule *s, const struct schedule_clock *k, int64_t now_us,
                     struct schedule_fires *f)
{
    int64_t at = s->next_us;
    if (at < now_us - BACK_US && k->run_at_us == 0)
        at = schedule_next(k, now_us - BACK_US);
    for (; at > 0 && at <= now_us && f->count < SCHEDULE_FIRES; at = schedule_next(k, at))
        f->at_us[f->count++] = at;
    f->next_us = at;
}

void schedule_fires(const struct schedule *s, const struct schedule_clock *k, int64_t now_us,
                    struct schedule_fires *ret)
{
    ret->count = 0;
    if (s->missed == MISSED_ALL) {
        fire_all(s, k, now_us, ret);
        return;
    }
    int64_t at = latest(s, k, now_us);
    if (s->missed == MISSED_ONCE || now_us - at <= LATE_US)
        ret->at_us[ret->count++] = at;
    ret->next_us = schedule_next(k, at);
}

/* FNV-1a, and a stir so that neighbours differ in every bit. */
static uint64_t hash(uint64_t h, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdu;
    h ^= h >> 33;
    h *= 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 33;
}

struct uuid schedule_task(struct span name, int64_t at_us)
{
    struct uuid id = uuid_floor(at_us);
    uint64_t h[2];
    h[0] = hash(hash(0xcbf29ce484222325u, name.ptr, name.len), &at_us, sizeof at_us);
    h[1] = hash(h[0], name.ptr, name.len);
    for (size_t i = 6; i < sizeof id.b; i++) {
        uint8_t keep = i == 6 ? 0xf0 : i == 8 ? 0xc0 : 0; /* version and variant */
        id.b[i] = (uint8_t)((id.b[i] & keep) | ((uint8_t)(h[i / 8] >> (i % 8 * 8)) & ~keep));
    }
    return id;
}

/* ---- the document ---- */

static void put_time(struct json_out *o, const char *key, int64_t us)
{
    char text[CLOCK_TEXT];
    json_key(o, key);
    if (us > 0)
        clock_format(us, text);
    json_put_str(o, us > 0 ? text : NULL);
}

static void put_text(struct json_out *o, const char *key, struct span text)
{
    json_key(o, key);
    if (text.len > 0)
        json_put_text(o, text);
    else
        json_put_null(o);
}

/* The members of the stored submission behind its strategy: it is an object, written by us. */
static void put_task(struct json_out *o, const struct schedule *s)
{
    json_key(o, "task");
    json_open(o, '{');
    json_key(o, "strategy");
    json_put_text(o, s->strategy);
    struct span inner = {s->body.ptr + 1, s->body.len > 2 ? s->body.len - 2 : 0};
    if (inner.len > 0) {
        buf_char(o->buf, ',');
        buf_span(o->buf, inner);
    }
    json_close(o, '}');
}

void schedule_write(const struct schedule *s, struct json_out *o)
{
    char id[UUID_TEXT];
    json_open(o, '{');
    put_text(o, "name", s->name);
    put_text(o, "cron", s->cron);
    json_key(o, "every_s");
    if (s->every_s > 0)
        json_put_int(o, s->every_s);
    else
        json_put_null(o);
    put_time(o, "run_at", s->run_at_us);
    put_text(o, "timezone", s->timezone);
    json_key(o, "missed");
    json_put_str(o, missed_names[s->missed]);
    json_key(o, "paused");
    json_put_bool(o, s->paused);
    put_time(o, "next_at", s->paused ? 0 : s->next_us);
    put_time(o, "last_at", s->last_us);
    uuid_format(s->last_task, id);
    json_key(o, "last_task");
    json_put_str(o, uuid_is_nil(s->last_task) ? NULL : id);
    json_key(o, "fired");
    json_put_int(o, s->fired);
    put_text(o, "error", s->error);
    put_time(o, "created_at", s->created_us);
    put_time(o, "updated_at", s->updated_us);
    put_task(o, s);
    json_close(o, '}');
}
