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
    struct store_writer *bulk;   /* QUEUE_API: of long lists, so that no single task waits behind one */
    struct waits *waits;         /* QUEUE_API */
};

/* put.c: the rows of one task that somebody else than the writer inserts, under an id that is given. In the arena. *ret_label: of
 * M_submitted. */
bool put_rows(struct arena *a, const struct submission *s, struct uuid id, struct new_tasks **ret,
              const char **ret_label, struct err *e) LATHE_CHECK;

/* put.c: the rows of a submission whose inputs are uploaded, committed; and then who waits for them is told. In two steps, so
 * that the upload can be closed in between: the arena may go in `done`. */
struct put;
bool put_upload(struct queue *q, struct arena *a, const struct submission *s, struct store_upload *u,
                struct put **ret, struct err *e) LATHE_CHECK;
void put_uploaded(struct put *p, void (*done)(void *arg, struct uuid id, bool existing, const struct err *e),
                  void *arg);

/* worker.c */
struct store_worker *worker_store(struct queue_worker *w);
void worker_tell_work(struct queue_worker *w,
                      struct span queue); /* other workers, and this one by its bell; "*": of any queue */

/* A copy whose texts are in `a`. */
struct task *task_copy(struct arena *a, const struct task *t);

#endif
