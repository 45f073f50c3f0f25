/*
 * redis_get.h: which keys redis.get may read.
 */
#ifndef LATHE_HANDLERS_REDIS_GET_H
#define LATHE_HANDLERS_REDIS_GET_H

#include "core/conf.h"
#include "core/span.h"

/* Reads redis.allow; once at start, before there are threads and children. The settings are borrowed. */
void redis_get_open(const struct conf *c);

/* ERR_FORBIDDEN_KEY says what to do. Any thread. */
bool redis_get_may(struct span key, struct err *e) LATHE_CHECK;

#endif
