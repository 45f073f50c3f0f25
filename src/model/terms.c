#include "model/terms.h"

#include "core/limits.h"
#include "core/when.h"

/* ---- what a caller asks for ---- */

static bool check_run_at(struct terms *t, int64_t now_us, struct err *e)
{
    if (t->run_at[0] != '\0' && t->delay > 0)
        return err_at(e, ERR_BAD_FIELD, "/delay", "give run_at or delay, not both");
    if (t->run_at[0] != '\0' && !when_read(span_of(t->run_at), &t->run_at_us))
        return err_at(e, ERR_BAD_FIELD, "/run_at",
                      "\"/run_at\" must be a time as in 2026-11-21T03:14:05Z, not \"%s\"", t->run_at);
    if (t->delay > 0)
        t->run_at_us = now_us + (int64_t)(t->delay * 1e6);
    if (t->run_at_us <= now_us)
        t->run_at_us = 0;
    return true;
}

bool terms_check(struct terms *t, int64_t now_us, struct err *e)
{
    return check_run_at(t, now_us, e);
}

/* ---- as it is kept ---- */

struct span terms_write(struct arena *a, const struct terms *t)
{
    struct buf b CLEANUP(buf_release) = BUF_INIT(LIMIT_PARAMS);
    struct json_out o = json_out(&b);
    json_open(&o, '{');
    (void)t; /* each term that is asked for writes its key here */
    json_close(&o, '}');
    return b.len > 2 ? arena_copy(a, buf_view(&b)) : SPAN("");
}
