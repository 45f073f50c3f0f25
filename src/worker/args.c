#include "worker/args.h"

#include "core/limits.h"
#include "model/submission.h"

#define MOST_KEPT \
    4096 /* bytes of params, which take some ten times as much once they are read; and of the handler's struct */

static bool read_into(struct args *a, const struct handler *h, struct span params, struct err *e)
{
    const struct json *object = NULL;
    a->list = arena_alloc(&a->arena, h->params.size > 0 ? h->params.size : 1);
    if (params.len > 0 && !json_read(&a->arena, params, &object, e))
        return false;
    return fields_read(&h->params, object, "/params", a->list, e);
}

const void *args_read(struct args *a, const struct handler *h, struct span params, struct err *e)
{
    if (a->handler == h && span_eq(a->params, params))
        return a->list;
    args_release(a);
    if (!read_into(a, h, params, e)) {
        args_release(a);
        return NULL;
    }
    a->params = arena_copy(&a->arena, params);
    a->handler = h;
    return a->list;
}

uint64_t args_digest(struct args *a)
{
    struct buf text CLEANUP(buf_release) = BUF_INIT(LIMIT_PARAMS);
    struct json_out out = json_out(&text);
    if (a->digest == 0) {
        fields_write(&a->handler->params, a->list, &out);
        a->digest = submission_digest(a->handler->name, buf_view(&text));
    }
    return a->digest;
}

void args_rest(struct args *a)
{
    if (a->handler && (a->params.len > MOST_KEPT || a->handler->params.size > MOST_KEPT))
        args_release(a);
}

void args_release(struct args *a)
{
    arena_release(&a->arena);
    a->handler = NULL;
    a->params = (struct span){NULL, 0};
    a->list = NULL;
    a->digest = 0;
}
