/* registry.c: the handlers, made from handlers.def. */
#include "handlers/registry.h"

#include <stdatomic.h>

#include "handlers/webhook.h"

#define HANDLER(symbol) &handler_##symbol,
const struct handler *const handlers[] = {
#include "handlers/handlers.def"
    NULL,
};
#undef HANDLER

bool handlers_open(const struct conf *c, struct err *e)
{
    return webhook_open(c->webhook_secret, c->webhook_timeout, e);
}

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
