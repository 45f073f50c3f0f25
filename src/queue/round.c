#include "queue/round.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "core/mem.h"
#include "queue/inside.h"

void round_init(struct round *r)
{
    *r = (struct round){.empty = true};
}

void round_clear(struct round *r)
{
    r->queues_count = r->views.count = r->drops.count = r->done.count = r->cancel.count = 0;
    r->any_queue = r->done.all = r->cancel.all = false;
    r->later_us = 0;
    r->empty = true;
}

void round_release(struct round *r)
{
    mem_free(r->done.list);
    mem_free(r->cancel.list);
    mem_free(r->views.list);
    mem_free(r->drops.list);
}

static void make_room(struct views *v, size_t count)
{
    v->list = mem_room(v->list, &v->room, count, sizeof *v->list);
}

void round_add_queue(struct round *r, struct span queue)
{
    for (size_t i = 0; i < r->queues_count; i++)
        if (span_is(queue, r->queues[i]))
            return;
    if (r->queues_count == ROUND_QUEUES || queue.len > LIMIT_NAME || span_is(queue, "*")) {
        r->any_queue = true;
        return;
    }
    char *name = r->queues[r->queues_count++];
    memcpy(name, queue.ptr, queue.len);
    name[queue.len] = '\0';
}

void round_add_later(struct round *r, int64_t wall_us)
{
    if (r->later_us == 0 || wall_us < r->later_us)
        r->later_us = wall_us;
}

void round_add_ids(struct ids *ids, const struct uuid *list, size_t count)
{
    if (count > ROUND_IDS - ids->count) {
        ids->all = true;
        return;
    }
    ids->list = mem_room(ids->list, &ids->room, ids->count + count, sizeof *ids->list);
    memcpy(ids->list + ids->count, list, count * sizeof *list);
    ids->count += count;
}

void round_set_views(struct round *r, const struct cache_view *views, size_t count)
{
    struct views *v = &r->views;
    v->count = count < ROUND_VIEWS ? count : ROUND_VIEWS;
    make_room(v, v->count);
    memcpy(v->list, views, v->count * sizeof *views);
}

void round_add_drop(struct round *r, struct uuid task, int64_t seq)
{
    struct views *d = &r->drops;
    if (d->count == ROUND_DROPS)
        return;
    make_room(d, d->count + 1);
    d->list[d->count++] = (struct cache_view){.task = task, .seq = seq};
}

/* ---- messages ---- */

static void add(struct letter *l, const char *channel, struct span text)
{
    assert(l->n < LETTER_MOST);
    l->list[l->n++] = (struct cache_message){channel, text};
}

/* Ids separated by blanks, ROUND_IDS_A_MESSAGE at most in each message. Returns the text. */
static char *add_ids(struct letter *l, const char *channel, const struct ids *ids)
{
    char *text = ids->count > 0 ? mem_array(ids->count, UUID_TEXT) : NULL;
    for (size_t i = 0; i < ids->count; i++) {
        uuid_format(ids->list[i], text + i * UUID_TEXT);
        text[(i + 1) * UUID_TEXT - 1] = ' ';
    }
    for (size_t i = 0; i < ids->count; i += ROUND_IDS_A_MESSAGE) {
        size_t some = ids->count - i < ROUND_IDS_A_MESSAGE ? ids->count - i : ROUND_IDS_A_MESSAGE;
        add(l, channel, (struct span){text + i * UUID_TEXT, some * UUID_TEXT - 1});
    }
    if (ids->all)
        add(l, channel, SPAN("*"));
    return text;
}

void letter_write(struct letter *l, const struct round *r)
{
    l->n = 0;
    for (size_t i = 0; i < r->queues_count; i++)
        add(l, CHANNEL_WORK, span_of(r->queues[i]));
    if (r->any_queue)
        add(l, CHANNEL_WORK, SPAN("*"));
    if (r->later_us > 0) {
        snprintf(l->later, sizeof l->later, ROUND_LATER "%" PRId64, r->later_us);
        add(l, CHANNEL_WORK, span_of(l->later));
    }
    l->done = add_ids(l, CHANNEL_DONE, &r->done);
    l->cancel = add_ids(l, CHANNEL_CANCEL, &r->cancel);
}

void letter_release(struct letter *l)
{
    mem_free(l->done);
    mem_free(l->cancel);
}
