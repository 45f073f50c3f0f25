/* redrive.c: running again what is over. */
#include "store/inside.h"

#include "core/limits.h"
#include "store/rows.h"

static const struct stmt retry_stmt = {"retry",
                                       "SELECT task, refusal FROM lathe_retry($1::uuid[], $2::bool)"};

static const struct {
    const char *word;
    enum err_code code;
    const char *text;
} refusals[] = {
    {"none", ERR_NO_TASK, "there is no such task"},
    {"state", ERR_CONFLICT, "the task is not over: it runs already, or will"},
    {"succeeded", ERR_CONFLICT,
     "the task succeeded; with failed_only its items that failed run again, if there are any"},
    {"comparison", ERR_CONFLICT, "a comparison is not run again, nor is a run of it: begin a new one"},
    {"needs", ERR_CONFLICT, "a task that it depends on has not succeeded: run that again first"},
    {"taken", ERR_CONFLICT, "another task has its unique key by now"},
};

static struct err refusal_of(struct span word)
{
    struct err e = ERR_INIT;
    for (size_t i = 0; word.len > 0 && i < COUNT_OF(refusals); i++)
        if (span_is(word, refusals[i].word))
            err_set(&e, refusals[i].code, "%s", refusals[i].text);
    return e;
}

bool store_retry(struct store *s, const struct uuid *ids, size_t n, bool failed_only, struct err *refusals_of,
                 struct err *e)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    assert(n <= LIMIT_RETRY);
    params_array(&p, PG_UUID);
    for (size_t i = 0; i < n; i++)
        element_uuid(&p, ids[i]);
    params_end(&p);
    params_bool(&p, failed_only);
    if (!store_read(s, &retry_stmt, &p, &r, e))
        return false;
    for (int k = 0; k < PQntuples(r); k++) {
        struct row row = row_at(r, k);
        struct uuid id = row_uuid(&row);
        struct err why = refusal_of(row_span(&row));
        for (size_t i = 0; i < n; i++)
            if (uuid_eq(ids[i], id))
                refusals_of[i] = why;
    }
    return true;
}
