/*
 * outgoing.h: the log of outgoing calls of tasks, where the setting http.log is on. A line is noted by whoever made the call and
 * written in batches by a thread of the store, some tenths of a second later; nobody waits for it, and a crash may lose the
 * last ones. More than PostgreSQL takes is dropped and counted (outgoing_dropped).
 */
#ifndef LATHE_MODEL_OUTGOING_H
#define LATHE_MODEL_OUTGOING_H

#include "core/err.h"
#include "core/uuid.h"

struct outgoing {
    struct uuid task;
    int64_t item;
    struct span method, url; /* without what the URL has behind `?` or `#`: secrets stand there */
    int64_t status;          /* 0: there was no answer */
    enum err_code error;     /* ERR_NONE: there was one */
    int64_t us;              /* how long it took, up to now */
};

/* Is it on? Any thread; costs a load. */
bool outgoing_wanted(void);

/* Any thread; never waits. Everything is copied. */
void outgoing_note(const struct outgoing *o);

#endif
