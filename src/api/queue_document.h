/* queue_document.h: a queue as the HTTP API and the command line show it. */
#ifndef LATHE_API_QUEUE_DOCUMENT_H
#define LATHE_API_QUEUE_DOCUMENT_H

#include "core/json.h"
#include "store/store.h"

/* ERR_NO_ROUTE: no queue can have this name. */
bool queue_named(struct span name, struct err *e) LATHE_CHECK;

void queue_write(const struct queue_info *q, bool with_gates, struct json_out *o);

#endif
