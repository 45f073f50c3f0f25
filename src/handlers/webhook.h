/*
 * webhook.h: the signature of deliveries, as https://www.standardwebhooks.com has it, and its secrets.
 */
#ifndef LATHE_HANDLERS_WEBHOOK_H
#define LATHE_HANDLERS_WEBHOOK_H

#include "core/buf.h"
#include "core/err.h"

/* The setting webhook.secret: up to two, with a blank between them; whsec_BASE64, or any other text as it is. Once at
 * start, before there are threads and children. ERR_CONFIG does not hold them. */
bool webhook_open(const char *secrets, int64_t timeout_ms, struct err *e) LATHE_CHECK;

/* "v1,BASE64", one for each secret, with a blank between them; nothing when there is no secret. */
void webhook_sign(struct buf *out, struct span id, int64_t timestamp, struct span body);

#endif
