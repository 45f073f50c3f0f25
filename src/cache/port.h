/*
 * port.h: which Redis the ports of model/redis.h lead to.
 */
#ifndef LATHE_CACHE_PORT_H
#define LATHE_CACHE_PORT_H

#include "core/conf.h"

/* Once at start, before there are threads and children. The settings are borrowed. */
void redis_ports_open(const struct conf *c);

#endif
