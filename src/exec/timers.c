#include "exec/timers.h"

#include <assert.h>

#include "core/mem.h"

/* Four children a node: half the depth of a binary heap, and the four are neighbours in one cache line. */
#define FANOUT 4

static void put(struct timers *t, size_t place, struct timer_entry entry)
{
    t->heap[place] = entry;
    entry.timer->at = place + 1;
}

static void sift_up(struct timers *t, size_t place, struct timer_entry entry)
{
    while (place > 0) {
        size_t parent = (place - 1) / FANOUT;
        if (t->heap[parent].due <= entry.due)
            break;
        put(t, place, t->heap[parent]);
        place = parent;
    }
    put(t, place, entry);
}

static void sift_down(struct timers *t, size_t place, struct timer_entry entry)
{
    for (;;) {
        size_t first = place * FANOUT + 1, least = first;
        if (first >= t->count)
            break;
        for (size_t i = first + 1; i < first + FANOUT && i < t->count; i++)
            if (t->heap[i].due < t->heap[least].due)
                least = i;
        if (entry.due <= t->heap[least].due)
            break;
        put(t, place, t->heap[least]);
        place = least;
    }
    put(t, place, entry);
}

void timers_release(struct timers *t)
{
    mem_free(t->heap);
    *t = (struct timers)TIMERS_INIT;
}

void timers_add(struct timers *t, struct timer *timer, int64_t due)
{
    assert(timer->at == 0);
    t->heap = mem_room(t->heap, &t->room, t->count + 1, sizeof *t->heap);
    timer->due = due;
    sift_up(t, t->count++, (struct timer_entry){due, timer});
}

void timers_remove(struct timers *t, struct timer *timer)
{
    if (timer->at == 0)
        return;
    size_t place = timer->at - 1;
    assert(place < t->count && t->heap[place].timer == timer);
    timer->at = 0;
    struct timer_entry last = t->heap[--t->count];
    if (place == t->count)
        return;
    if (place > 0 && last.due < t->heap[(place - 1) / FANOUT].due)
        sift_up(t, place, last);
    else
        sift_down(t, place, last);
}

struct timer *timers_pop(struct timers *t, int64_t now)
{
    if (timers_next(t) > now || t->count == 0)
        return NULL;
    struct timer *timer = t->heap[0].timer;
    timers_remove(t, timer);
    return timer;
}
