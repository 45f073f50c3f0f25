#include "queue/heap.h"

static void set(struct heap *h, size_t place, struct queue_wait *x)
{
    h->list[place] = x;
    x->place = place;
}

static bool up(struct heap *h, struct queue_wait *x)
{
    size_t k = x->place;
    for (; k > 0 && h->list[(k - 1) / 2]->at > x->at; k = (k - 1) / 2)
        set(h, k, h->list[(k - 1) / 2]);
    bool moved = k != x->place;
    set(h, k, x);
    return moved;
}

static void down(struct heap *h, struct queue_wait *x)
{
    size_t k = x->place;
    for (size_t child; (child = 2 * k + 1) < h->count; k = child) {
        if (child + 1 < h->count && h->list[child + 1]->at < h->list[child]->at)
            child++;
        if (h->list[child]->at >= x->at)
            break;
        set(h, k, h->list[child]);
    }
    set(h, k, x);
}

void heap_moved(struct heap *h, struct queue_wait *x)
{
    if (!up(h, x))
        down(h, x);
}

void heap_put(struct heap *h, struct queue_wait *x)
{
    set(h, h->count++, x);
    up(h, x);
}

void heap_take(struct heap *h, struct queue_wait *x)
{
    struct queue_wait *last = h->list[--h->count];
    if (last == x)
        return;
    set(h, x->place, last);
    heap_moved(h, last);
}
