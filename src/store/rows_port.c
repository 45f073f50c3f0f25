/* rows_port.c: the side of the threads that run items. Nothing here waits. */
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/limits.h"
#include "core/mem.h"
#include "core/net.h"
#include "model/port.h"
#include "store/rows_hub.h"

void rows_list_init(struct rows_list *l)
{
    *l = (struct rows_list){.end = &l->first};
}

void rows_list_add(struct rows_list *l, struct row_put *r)
{
    r->next = NULL;
    *l->end = r;
    l->end = &r->next;
    l->count++;
    l->bytes += r->bytes;
}

struct row_put *row_new(const struct rows_table *t, const struct row_value *values)
{
    size_t bytes = 0;
    for (int i = 0; i < t->count; i++)
        bytes += values[i].text.len;
    struct row_put *r = mem_alloc(sizeof *r + bytes);
    char *at = (char *)(r + 1);
    r->table = t;
    r->bytes = sizeof *r + bytes;
    for (int i = 0; i < t->count; i++) {
        r->values[i] = values[i];
        if (values[i].text.ptr)
            r->values[i].text.ptr = at;
        if (values[i].text.len)
            memcpy(at, values[i].text.ptr, values[i].text.len);
        at += values[i].text.len;
    }
    return r;
}

/* ---- calls */

static struct row_call *put(struct item *it, const struct rows_table *t, const struct row_value *values)
{
    struct rows_client *c;
    if (uuid_is_nil(it->task)) {
        err_set(&it->err, ERR_INTERNAL, "an item that belongs to no task puts no rows");
        return NULL;
    }
    if (!(c = item_client(it, &rows_port)))
        return NULL;
    struct row_put *r = row_new(t, values);
    r->client = c;
    r->item = it;
    r->task = it->task;
    r->index = it->index;
    r->deadline = rows_deadline();
    rows_list_add(&c->gathered, r);
    if (c->gathered.count >= LIMIT_ROWS_BATCH || c->gathered.bytes >= LIMIT_ROWS_BYTES)
        rows_send(&c->gathered);
    return &r->shown;
}

struct row_call *rows_put_user(struct item *it, const struct user_row *u)
{
    return put(
        it, &rows_users,
        (struct row_value[]){{.text = u->email}, {.text = u->name}, {.number = u->age}, {.text = u->meta}});
}

struct row_call *rows_put_record(struct item *it, const struct record_row *r)
{
    return put(it, &rows_records,
               (struct row_value[]){{.text = r->url},
                                    {.number = r->status},
                                    {.text = r->type},
                                    {.text = r->digest},
                                    {.text = r->body.ptr ? r->body : SPAN("")}});
}

void rows_drop(struct row_call *c)
{
    if (!c)
        return;
    struct row_put *r = (struct row_put *)c;
    if (c->done)
        mem_free(r);
    else
        rows_orphan(r);
}

/* ---- the kind */

static bool open_client(void **ret, struct err *e)
{
    if (!rows_start(e))
        return false;
    struct rows_client *c = mem_alloc(sizeof *c);
    rows_list_init(&c->gathered);
    rows_list_init(&c->over);
    c->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (c->event < 0) {
        mem_free(c);
        return err_errno(e, "no descriptor to wait for rows");
    }
    *ret = c;
    return true;
}

static void free_all(struct rows_list *l)
{
    for (struct row_put *r = l->first, *next; r; r = next) {
        next = r->next;
        mem_free(r);
    }
}

/* Its calls were dropped: what it has is orphans, and the hub does not look for it on behalf of others. */
static void close_client(void *client)
{
    struct rows_client *c = client;
    struct rows_list over;
    rows_take_over(c, &over);
    free_all(&over);
    free_all(&c->gathered);
    net_close(c->event);
    mem_free(c);
}

static int descriptor(const void *client)
{
    return ((const struct rows_client *)client)->event;
}

static void drive(void *client)
{
    struct rows_client *c = client;
    struct rows_list over;
    uint64_t ticks;
    if (read(c->event, &ticks, sizeof ticks) < 0)
        return;
    rows_take_over(c, &over);
    for (struct row_put *r = over.first, *next; r; r = next) {
        next = r->next;
        if (r->orphan) {
            mem_free(r);
            continue;
        }
        r->shown.done = true;
        item_call_over(r->item);
    }
}

static void flush(void *client)
{
    struct rows_client *c = client;
    if (c->gathered.count > 0)
        rows_send(&c->gathered);
}

const struct port_kind rows_port = {
    .name = "rows",
    .open = open_client,
    .close = close_client,
    .descriptor = descriptor,
    .drive = drive,
    .flush = flush,
    .settle = rows_settle,
    .release = rows_stop,
};
