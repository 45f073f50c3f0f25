/* outgoing.c: lines of the log of outgoing calls, on their way to the threads that write rows. */
#include "model/outgoing.h"

#include "core/clock.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "store/rows_hub.h"

static struct span without_query(struct span url)
{
    size_t n = 0;
    while (n < url.len && url.ptr[n] != '?' && url.ptr[n] != '#')
        n++;
    return (struct span){url.ptr, n};
}

void outgoing_note(const struct outgoing *o)
{
    struct err e = ERR_INIT;
    if (uuid_is_nil(o->task) || !rows_start(&e))
        return;
    struct row_put *r = row_new(
        &rows_calls, (struct row_value[]){{.number = clock_shared_us() - o->us},
                                          {.text = o->method},
                                          {.text = without_query(o->url)},
                                          {.number = o->status > 0 ? o->status : -1},
                                          {.text = o->error == ERR_NONE ? (struct span){NULL, 0}
                                                                        : span_of(err_slug(o->error))},
                                          {.number = o->us}});
    r->task = o->task;
    r->index = o->item;
    r->since = clock_now();
    r->deadline = rows_deadline();
    if (rows_send_lazy(r))
        return;
    mem_free(r);
    metric_add(M_outgoing_dropped, NULL, 1);
}
