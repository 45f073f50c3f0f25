/* What is on board. A run is freed when the slots do not have it any more and its unit is not ours any more, in either
 * order; its batch when the last run is. */
#include <assert.h>

#include "core/log.h"
#include "core/mem.h"
#include "worker/loop.h"

static void close_run(struct worker *w, struct run *r)
{
    struct batch *b = r->batch;
    *r->at = r->next;
    if (r->next != NULL)
        r->next->at = r->at;
    run_free(r);
    if (--b->open > 0)
        return;
    struct batch **old = &w->batches;
    while (*old != b)
        old = &(*old)->next;
    *old = b->next;
    arena_release(&b->claim.arena);
    mem_free(b);
}

static void add(struct worker *w, struct run *r)
{
    r->next = w->runs;
    r->at = &w->runs;
    if (w->runs != NULL)
        w->runs->at = &r->next;
    w->runs = r;
}

void board_claimed(struct worker *w, struct claim *c)
{
    struct batch *b = mem_alloc(sizeof *b);
    b->claim = *c;
    b->open = b->held = c->count;
    b->next = w->batches;
    w->batches = b;
    int64_t now = clock_now();
    struct run *first = NULL, *last = NULL;
    for (size_t i = 0; i < c->count; i++) {
        struct run *r = run_new(&b->claim.units[i], b);
        r->claimed = now;
        r->aboard = true;
        add(w, r);
        *(last != NULL ? &last->queued : &first) = r;
        last = r;
    }
    w->running += c->count;
    slots_push(w->slots, first, last);
}

void board_landed(struct worker *w, struct run *r)
{
    r->aboard = false;
    w->running--;
    if (r->hold == HOLD_GONE)
        close_run(w, r);
}

void board_let_go(struct worker *w, struct run *r)
{
    struct batch *b = r->batch;
    w->back -= r->hold == HOLD_BACK;
    b->held--;
    r->hold = HOLD_GONE;
    if (!r->aboard)
        close_run(w, r);
}

void board_forget(struct worker *w)
{
    assert(w->running == 0);
    while (w->runs != NULL)
        close_run(w, w->runs);
}

size_t board_lose(struct worker *w, struct batch *b)
{
    size_t n = 0;
    for (struct run *r = w->runs, *next; r != NULL; r = next) {
        next = r->next;
        if (r->batch != b || (r->hold != HOLD_OURS && r->hold != HOLD_BACK))
            continue;
        n += r->hold == HOLD_OURS;
        cancel_raise(&r->cancel);
        r->cancelled_at = clock_now();
        board_let_go(w, r);
    }
    return n;
}

static void give_back(struct worker *w, struct run *r, bool count)
{
    r->hold = HOLD_BACK;
    r->count = count;
    w->back++;
}

void board_return_queued(struct worker *w, int64_t until)
{
    struct run *r;
    while ((r = slots_take_back(w->slots, until)) != NULL) {
        if (r->hold == HOLD_OURS)
            give_back(w, r, false);
        board_landed(w, r);
    }
}

void board_return_running(struct worker *w)
{
    for (struct run *r = w->runs; r != NULL; r = r->next) {
        if (r->hold != HOLD_OURS || atomic_load(&r->state) == RUN_DONE)
            continue;
        atomic_store(&r->wanted, false);
        cancel_raise(&r->cancel);
        give_back(w, r, w->too_large);
    }
}

void board_return_unhelped(struct worker *w, struct run *r)
{
    give_back(w, r, true);
}
