/*
 * registry.h: the handlers: those that are built in (handlers.def is the list), and those that were added at the start.
 *
 *     for (size_t i = 0; handler_at(i); i++)
 *         puts(handler_at(i)->name);
 */
#ifndef LATHE_HANDLERS_REGISTRY_H
#define LATHE_HANDLERS_REGISTRY_H

#include "core/conf.h"
#include "model/handler.h"

#define HANDLER(symbol) extern const struct handler handler_##symbol;
#include "handlers/handlers.def"
#undef HANDLER

const struct handler *handler_at(
    size_t i); /* in the order of the registry, then as they were added; NULL at the end */

/* NULL: there is none of this name, or it is a hidden one (for tests) and those were not allowed. */
const struct handler *handler_find(struct span name);

/*
 * One more, for the life of the process: *h and all that it points to stay where they are. Only before there are threads, and
 * before exec_start(), so that children know it by the same address. ERR_CONFIG: its name is none (span_is_name) or is taken,
 * a hidden handler's too, or there are LIMIT_HANDLERS already.
 */
bool handlers_add(const struct handler *h, struct err *e) LATHE_CHECK;

/* What handlers take from the settings; once at start, before there are threads and children. */
bool handlers_open(const struct conf *c, struct err *e) LATHE_CHECK;

void handlers_allow_hidden(bool allow); /* once at start: the environment has LATHE_TEST_HANDLERS=1 */

#endif
