/*
 * work.h: what the reactors of one run share: the items, the cursor they are taken from, the limits, and where what
 * became of an item goes. In a child of the zygote most of it points into memory shared with the worker. Inside exec/ only.
 */
#ifndef LATHE_EXEC_WORK_H
#define LATHE_EXEC_WORK_H

#include <stdatomic.h>

#include "exec/exec.h"
#include "exec/memo.h"

/* The next place in the list of work that nobody has taken. Alone on its cache line: every thread writes it. */
struct cursor {
    _Alignas(64) _Atomic int64_t next;
};

/*
 * What a thread is about, for eyes in another process: which item is inside step() or drop() just now, and when it has
 * to be out. `until` is written before `item`, so that a reader who finds the same item before and after has its time.
 */
struct lane {
    _Alignas(64) _Atomic int64_t item; /* position + 1; 0: none */
    _Atomic int64_t until;             /* clock_now() scale, CLOCK_NEVER: no limit */
    _Atomic int64_t partial_milli;     /* progress of the items in flight here */
    _Atomic int64_t tries;             /* of the item: failures before this try */
};

struct work {
    struct uuid task;
    const struct handler *handler;
    const void *args;
    int64_t first;             /* index of position 0 */
    const struct span *inputs; /* by position, or */
    const uint64_t
        *offsets; /* position p is bytes[offsets[p]] up to bytes[offsets[p + 1]], or neither: no inputs */
    const char *bytes;
    const uint32_t *list; /* positions to run; NULL: 0 … count - 1 */
    int64_t count;        /* places in the list */
    struct cursor *cursor;
    int64_t width, grain; /* at least 1 */
    int64_t item_timeout; /* ns, CLOCK_NEVER: none */
    int64_t deadline;     /* of everything, CLOCK_NEVER: none */
    int64_t item_retries;
    struct backoff backoff;
    int64_t tries_before;        /* of the unit */
    const uint8_t *tries_so_far; /* by position: failures that another process saw; NULL: none */
    struct memo_rules memo;
    const struct cancel *cancel;
    _Atomic int64_t *partial; /* where partial progress is added up; NULL: in the lane */
    int bell;                 /* readable: stop; -1: there is none, the flag is looked at every `patience` */
    int64_t patience;         /* ns that a reactor sleeps at most without a look at `cancel` */
};

/* Takes up to `grain` places: [*ret_from, *ret_to). False when there is no work left. Any thread, any process. */
static inline bool work_take(const struct work *w, int64_t *ret_from, int64_t *ret_to)
{
    /* looked at first, so that idle takers cannot carry the counter away to an overflow */
    if (atomic_load_explicit(&w->cursor->next, memory_order_relaxed) >= w->count)
        return false;
    int64_t from = atomic_fetch_add_explicit(&w->cursor->next, w->grain, memory_order_relaxed);
    if (from < 0 || from >= w->count)
        return false;
    *ret_from = from;
    *ret_to = w->grain < w->count - from ? from + w->grain : w->count;
    return true;
}

static inline int64_t work_position(const struct work *w, int64_t place)
{
    return w->list ? (int64_t)w->list[place] : place;
}

static inline struct span work_input(const struct work *w, int64_t position)
{
    if (w->inputs)
        return w->inputs[position];
    if (w->offsets)
        return (struct span){w->bytes + w->offsets[position],
                             w->offsets[position + 1] - w->offsets[position]};
    return (struct span){NULL, 0};
}

/* Where a reactor sends what became of an item; called from the reactor's thread. */
struct sink {
    void (*finished)(void *arg, int64_t position, const struct outcome *o);
    void (*pause)(
        void *arg); /* nothing to run for the moment: send what was gathered; NULL: nothing is gathered */
    void (*log)(void *arg, int64_t position, struct span text); /* NULL: not wanted */
    bool all; /* after a stop the items that nobody has begun are reported here too */
    void *arg;
};

/* What a reactor, a crew or a child has done; times in ns. */
struct tally {
    int64_t ok, failed, cancelled;
    int64_t item_cpu, wait; /* inside steps; between them, as asked for */
    int64_t cpu;            /* of the threads, steps and engine */
    int64_t first_step;     /* clock_now() scale, CLOCK_NEVER: there was none */
};

#define TALLY_INIT                \
    {                             \
        .first_step = CLOCK_NEVER \
    }

static inline void tally_add(struct tally *t, const struct tally *more)
{
    t->ok += more->ok;
    t->failed += more->failed;
    t->cancelled += more->cancelled;
    t->item_cpu += more->item_cpu;
    t->wait += more->wait;
    t->cpu += more->cpu;
    if (more->first_step < t->first_step)
        t->first_step = more->first_step;
}

#endif
