/*
 * inside.h: struct queue itself, for the files of this folder.
 */
#ifndef LATHE_QUEUE_INSIDE_H
#define LATHE_QUEUE_INSIDE_H

#include "queue/notify.h"
#include "queue/queue.h"
#include "queue/waits.h"

/* What the messages' channels are called; docs/cache.md says what is in a message. */
#define CHANNEL_WORK "work"
#define CHANNEL_DONE "done"
#define CHANNEL_CANCEL "cancel"

struct queue {
    const struct conf *conf;
    struct store *store;
    struct cache *cache;         /* NULL: do without */
    struct notify *notify;       /* NULL: there is no cache */
    struct store_writer *writer; /* QUEUE_API */
    struct waits *waits;         /* QUEUE_API */
};

/* A copy whose texts are in `a`. */
struct task *task_copy(struct arena *a, const struct task *t);

#endif
