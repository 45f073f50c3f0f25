/*
 * fetch_store.c: an item is a request; what was answered is kept in data_records, and the result says where. Rows of all items
 * in flight go in one statement; run again, an item replaces its own row.
 */
#include <inttypes.h>

#include "handlers/fetch.h"
#include "handlers/registry.h"
#include "model/rows.h"

struct args {
    struct fetch_args fetch;
};

struct keeping {
    struct fetch fetch;
    struct row_call *call;
};

static bool keep(struct item *it, struct keeping *k)
{
    const struct http_call *c = k->fetch.call;
    struct span type = {NULL, 0};
    http_find(c->head, "content-type", &type);
    k->call = rows_put_record(it, &(struct record_row){
                                      .url = span_of(c->url),
                                      .status = c->status,
                                      .type = type,
                                      .digest = span_of(k->fetch.digest),
                                      .body = c->body,
                                  });
    return k->call != NULL;
}

static enum step end(struct item *it, const struct keeping *k)
{
    if (k->call->err.code != ERR_NONE) {
        it->err = k->call->err;
        return STEP_FAIL;
    }
    struct json_out o = json_out(&it->out);
    json_open(&o, '{');
    json_key(&o, "record");
    json_put_int(&o, k->call->id);
    fetch_write(&o, &k->fetch);
    json_close(&o, '}');
    return STEP_DONE;
}

static enum step step(struct item *it)
{
    const struct args *args = it->args;
    struct keeping *k = it->state;
    if (!k->call) {
        enum step got = fetch_step(it, &args->fetch, &k->fetch);
        if (got != STEP_DONE)
            return got;
        if (!keep(it, k))
            return STEP_FAIL;
    }
    return k->call->done ? end(it, k) : item_wait_call(it);
}

static void drop(struct item *it)
{
    struct keeping *k = it->state;
    rows_drop(k->call);
    fetch_drop(&k->fetch);
}

static const struct field fields[] = {
    FETCH_FIELDS(struct args, fetch),
};

const struct handler handler_fetch_store = {
    .name = "fetch.store",
    .summary =
        "makes an HTTP request and keeps what was answered in data_records; returns the record's number",
    .item = FETCH_ITEM,
    .params = FIELDS(fields, struct args),
    .state_size = sizeof(struct keeping),
    .step = step,
    .drop = drop,
    .unremembered = true,
};
