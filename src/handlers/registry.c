/* registry.c: the handlers, made from handlers.def, and what was added to them. */
#include "handlers/registry.h"

#include <stdatomic.h>

#include "core/limits.h"
#include "handlers/command.h"
#include "handlers/redis_get.h"
#include "handlers/sql_query.h"
#include "handlers/webhook.h"
#include "model/rows.h"

#define HANDLER(symbol) &handler_##symbol,
static const struct handler *const built_in[] = {
#include "handlers/handlers.def"
};
#undef HANDLER

static const struct handler *added[LIMIT_HANDLERS];
static size_t added_n;

const struct handler *handler_at(size_t i)
{
    if (i < COUNT_OF(built_in))
        return built_in[i];
    i -= COUNT_OF(built_in);
    return i < added_n ? added[i] : NULL;
}

static const struct handler *find(struct span name)
{
    const struct handler *h;
    for (size_t i = 0; (h = handler_at(i)); i++)
        if (span_is(name, h->name))
            return h;
    return NULL;
}

bool handlers_add(const struct handler *h, struct err *e)
{
    struct span name = span_of(h->name);
    if (!span_is_name(name))
        return err_set(e, ERR_CONFIG,
                       "\"" SPAN_FMT "\" is no name for a handler: 1 to %u letters, digits, '.', '_' and '-'",
                       SPAN_ARG(span_take(&(struct span){name.ptr, name.len}, LIMIT_NAME)), LIMIT_NAME);
    if (find(name))
        return err_set(e, ERR_CONFIG, "there is a handler \"%s\" already", h->name);
    if (added_n == LIMIT_HANDLERS)
        return err_set(e, ERR_CONFIG,
                       "there are %u more handlers than the built-in ones already; that is the limit",
                       LIMIT_HANDLERS);
    added[added_n++] = h;
    return true;
}

bool handlers_open(const struct conf *c, struct err *e)
{
    redis_get_open(c);
    rows_configure(c);
    return webhook_open(c->webhook_secret, c->webhook_timeout, e) && commands_open(c, e) &&
           sql_query_open(c, e);
}

static atomic_bool hidden_allowed;

void handlers_allow_hidden(bool allow)
{
    atomic_store(&hidden_allowed, allow);
}

const struct handler *handler_find(struct span name)
{
    const struct handler *h = find(name);
    return h && h->hidden && !atomic_load(&hidden_allowed) ? NULL : h;
}
