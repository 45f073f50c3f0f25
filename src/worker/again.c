#include "worker/again.h"

bool again_failed(const struct finish *f)
{
    bool all = f->unit->count > 0 && f->items_failed >= f->unit->count;
    return f->state == TASK_failed || (f->state == TASK_succeeded && all);
}

void again_decide(struct finish *f, const struct terms *t, bool mendable, int64_t snooze_ms, int64_t now_us,
                  double chance)
{
    bool counts = snooze_ms == 0;
    if (!again_failed(f) || (counts && (!mendable || f->unit->tries >= t->retries)))
        return;
    int64_t ms = counts ? backoff_ms(&t->backoff, f->unit->tries + 1, chance) : snooze_ms;
    if (t->expires_us != 0 && now_us + ms * 1000 >= t->expires_us)
        return;
    f->again = true;
    f->counts = counts;
    f->again_ms = ms;
}
