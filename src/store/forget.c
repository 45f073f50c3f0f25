/* forget.c: deletes tasks that have been over for as long as store.retention, a round at a time. */
#include "core/metrics.h"
#include "store/inside.h"
#include "store/rows.h"

/* What a round looks at is bounded too: tasks that stay may stand in front of those that go. */
#define FORGET_LOOK 10000

static const struct stmt forget_stmt = {
    "forget",
    "SELECT f.deleted, f.upto FROM lathe_forget(coalesce($2::uuid, '00000000-0000-0000-0000-000000000000'), "
    "$3::bigint, $4::bigint, $5::bigint) f "
    "WHERE $1::uuid = (SELECT id FROM workers WHERE seen_at > now() - interval '1 minute' ORDER BY id LIMIT 1)"};

bool store_forget(struct store_worker *w, int room, int64_t *ret_deleted, bool *ret_more, struct err *e)
{
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    struct step steps[] = {{.stmt = &lazy_stmt}, {.stmt = &forget_stmt, .params = &p, .sync = true}};
    int64_t age_ms = conf_now(&w->store->conf->store_retention);
    *ret_deleted = 0;
    *ret_more = false;
    if (age_ms == 0)
        return true;
    params_uuid(&p, w->id);
    params_uuid(&p, w->forgot);
    params_int(&p, age_ms);
    params_int(&p, room);
    params_int(&p, FORGET_LOOK);
    bool sent = db_run(&w->db, steps, COUNT_OF(steps), store_worker_deadline(w), e);
    bool ok = sent && steps[1].err.code == ERR_NONE;
    if (sent && !ok && e)
        *e = steps[1].err;
    if (!ok)
        metric_add(M_store_errors, NULL, 1);
    w->forgot = (struct uuid){{0}};
    if (ok && PQntuples(steps[1].result) > 0) {
        struct row row = row_at(steps[1].result, 0);
        *ret_deleted = row_int(&row);
        w->forgot = row_uuid(&row);
        *ret_more = !uuid_is_nil(w->forgot);
    }
    db_steps_clear(steps, COUNT_OF(steps));
    return ok;
}
