/*
 * reload.h: what a service does at SIGHUP: reads its settings again, and logs by them from then on. One thread at a time.
 */
#ifndef LATHE_CORE_RELOAD_H
#define LATHE_CORE_RELOAD_H

#include "core/conf.h"

/* Tells by a log line which changes need a restart, or why everything stays as it was. */
void reload(struct conf *c);

#endif
