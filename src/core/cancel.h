/*
 * cancel.h: "stop what you do": a flag that one side raises and another looks at often. Lives anywhere, also in memory
 * shared between processes; no lock, no life cycle. A flag may hang below another: it counts as raised when that one is,
 * so that a part can be stopped without stopping the whole.
 */
#ifndef LATHE_CORE_CANCEL_H
#define LATHE_CORE_CANCEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct cancel {
    _Atomic int raised;
    const struct cancel *parent; /* NULL: none; never across processes */
};

static inline void cancel_raise(struct cancel *c)
{
    atomic_store_explicit(&c->raised, 1, memory_order_release);
}

/* NULL is never raised. */
static inline bool cancel_raised(const struct cancel *c)
{
    for (; c; c = c->parent)
        if (atomic_load_explicit(&c->raised, memory_order_acquire) != 0)
            return true;
    return false;
}

#endif
