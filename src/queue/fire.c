/* fire.c: from a schedule that is due to its tasks. */
#include "core/log.h"
#include "core/metrics.h"
#include "handlers/registry.h"
#include "model/schedule.h"
#include "queue/inside.h"

#define AGAIN_US INT64_C(60000000)

/* One schedule, from the moment at which it is locked to the moment at which it is moved on. */
struct firing {
    struct arena arena;
    struct schedule schedule;
    struct schedule_fires times;
    struct new_tasks *lists[SCHEDULE_FIRES];
    struct span queue;
    const char *label; /* of the metric */
    int64_t now_us;
    struct fired end;
};

static void release(struct firing *f)
{
    arena_release(&f->arena);
}

/* Anew for each time: a delay counts from now. */
static bool make_task(struct firing *f, size_t i, struct err *e)
{
    const struct schedule *s = &f->schedule;
    const struct strategy *strategy = strategy_find(s->strategy);
    struct submission *submission = arena_alloc(&f->arena, sizeof *submission);
    const struct json *body;
    if (strategy == NULL)
        return err_set(e, ERR_NO_STRATEGY, "there is no strategy \"" SPAN_FMT "\" any more",
                       SPAN_ARG(s->strategy));
    if (!json_read(&f->arena, s->body, &body, e) ||
        !submission_read(&f->arena, strategy, body, SPAN(""), handler_find, submission, e) ||
        !put_rows(&f->arena, submission, schedule_task(s->name, f->times.at_us[i]), &f->lists[i], &f->label,
                  e))
        return false;
    f->queue = span_of(submission->queue);
    return true;
}

/* What the schedule fires; when that cannot be made it goes on without, and its row says why. */
static void plan(struct firing *f)
{
    struct schedule_clock clock;
    struct err e = ERR_INIT;
    size_t made = 0;
    f->times = (struct schedule_fires){.next_us = 0};
    if (schedule_clock(&f->arena, &f->schedule, &clock, &e)) {
        schedule_fires(&f->schedule, &clock, f->now_us, &f->times);
        while (made < f->times.count && make_task(f, made, &e))
            made++;
    } else {
        f->times.next_us = f->now_us + AGAIN_US; /* another host may have the file of its zone */
    }
    f->end = (struct fired){.next_us = f->times.next_us};
    if (e.code != ERR_NONE) {
        f->end.error = span_of(arena_printf(&f->arena, "%s", e.text));
    } else if (made > 0) {
        f->end.at_us = f->times.at_us[made - 1];
        f->end.task = f->lists[made - 1]->list[0].id;
        f->end.count = (int64_t)made;
    }
}

static bool refuse(struct queue_worker *w, struct firing *f, const struct err *why, struct err *e)
{
    f->end = (struct fired){.next_us = f->times.next_us,
                            .error = span_of(arena_printf(&f->arena, "%s", why->text))};
    return store_fire_refuse(worker_store(w), &f->schedule, &f->end, e);
}

static void tell(struct queue_worker *w, const struct firing *f)
{
    const struct schedule *s = &f->schedule;
    char id[UUID_TEXT];
    if (f->end.error.len > 0) {
        metric_add(M_schedules_fired, "failed", 1);
        log_warn("schedule.failed", "name=" SPAN_FMT " error=" SPAN_FMT, SPAN_ARG(s->name),
                 SPAN_ARG(f->end.error));
        return;
    }
    if (f->end.count == 0 && !uuid_is_nil(f->end.task)) {
        uuid_format(f->end.task, id);
        log_info("schedule.existing", "name=" SPAN_FMT " task=%s meaning=its unique work is there already",
                 SPAN_ARG(s->name), id);
        return;
    }
    if (f->end.count == 0) {
        log_info("schedule.missed",
                 "name=" SPAN_FMT " meaning=nobody was there in time, and it skips what it missed",
                 SPAN_ARG(s->name));
        return;
    }
    double late_s = (double)(f->now_us - f->end.at_us) / 1e6;
    uuid_format(f->end.task, id);
    metric_add(M_schedules_fired, "ok", (double)f->end.count);
    metric_add(M_submitted, f->label, (double)f->end.count);
    metric_observe(M_schedule_late_seconds, NULL, late_s);
    log_info("schedule.fired", "name=" SPAN_FMT " task=%s tasks=%d late_ms=%d", SPAN_ARG(s->name), id,
             (int)f->end.count, (int)(late_s * 1000));
    worker_tell_work(w, f->queue);
}

bool queue_fire(struct queue_worker *w, bool *ret_fired, struct err *e)
{
    struct firing f CLEANUP(release) = {.arena = ARENA_INIT};
    struct err why = ERR_INIT;
    bool due;
    if (!store_fire_begin(worker_store(w), &f.arena, &f.schedule, &due, &f.now_us, e))
        return false;
    *ret_fired = due;
    if (!due)
        return true;
    plan(&f);
    bool failed = f.end.error.len > 0;
    if (!store_fire_end(worker_store(w), &f.arena, &f.schedule, &f.end, f.lists, failed ? 0 : f.times.count,
                        &why) &&
        ((why.code != ERR_DATA && why.code != ERR_BUSY) || !refuse(w, &f, &why, &why))) {
        *ret_fired = false;
        if (e != NULL)
            *e = why;
        return false;
    }
    tell(w, &f);
    return true;
}
