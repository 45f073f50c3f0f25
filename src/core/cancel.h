/*
 * cancel.h: "stop what you do": a flag that one side raises and another looks at often. Lives anywhere, also in memory
 * shared between processes; no lock, no life cycle.
 */
#ifndef LATHE_CORE_CANCEL_H
#define LATHE_CORE_CANCEL_H

#include <stdatomic.h>
#include <stdbool.h>

struct cancel {
    _Atomic int raised;
};

static inline void cancel_raise(struct cancel *c)
{
    atomic_store_explicit(&c->raised, 1, memory_order_release);
}

static inline bool cancel_raised(const struct cancel *c)
{
    return atomic_load_explicit(&c->raised, memory_order_acquire) != 0;
}

#endif
