/* registry.c: the handlers, made from handlers.def. */
#include "handlers/registry.h"

#include <stdatomic.h>

#define HANDLER(symbol) &handler_##symbol,
const struct handler *const handlers[] = {
#include "handlers/handlers.def"
    NULL,
};
#undef HANDLER

static atomic_bool hidden_allowed;

void handlers_allow_hidden(bool allow)
{
    atomic_store(&hidden_allowed, allow);
}

const struct handler *handler_find(struct span name)
{
    for (const struct handler *const *h = handlers; *h; h++)
        if (span_is(name, (*h)->name))
            return (*h)->hidden && !atomic_load(&hidden_allowed) ? NULL : *h;
    return NULL;
}
