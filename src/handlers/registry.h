/*
 * registry.h: the handlers that are built in; handlers.def is the list.
 */
#ifndef LATHE_HANDLERS_REGISTRY_H
#define LATHE_HANDLERS_REGISTRY_H

#include "core/conf.h"
#include "model/handler.h"

#define HANDLER(symbol) extern const struct handler handler_##symbol;
#include "handlers/handlers.def"
#undef HANDLER

extern const struct handler *const handlers[]; /* in the order of the registry, NULL at the end */

/* NULL: there is none of this name, or it is a hidden one (for tests) and those were not allowed. */
const struct handler *handler_find(struct span name);

/* What handlers take from the settings; once at start, before there are threads and children. */
bool handlers_open(const struct conf *c, struct err *e) LATHE_CHECK;

void handlers_allow_hidden(bool allow); /* once at start: the environment has LATHE_TEST_HANDLERS=1 */

#endif
