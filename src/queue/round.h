/*
 * round.h: what gathers to be told to other processes, and the messages that it becomes. Bounded: what does not fit is told as
 * "look at everything", or not at all. The lists grow up to their bounds and stay as large as they were once needed: most
 * processes never need much. The caller brings the lock.
 */
#ifndef LATHE_QUEUE_ROUND_H
#define LATHE_QUEUE_ROUND_H

#include "cache/cache.h"
#include "core/limits.h"

#define ROUND_QUEUES 32u /* names; more is told as "any" */
#define ROUND_IDS 4096u  /* likewise */
#define ROUND_VIEWS 4096u
#define ROUND_DROPS 8192u
#define ROUND_IDS_A_MESSAGE 256u
#define ROUND_LATER "@" /* before a time; not the beginning of a queue's name */

struct ids {
    struct uuid *list; /* ROUND_IDS at most */
    size_t count, room;
    bool all;
};

struct views {
    struct cache_view *list;
    size_t count, room;
};

struct round {
    char queues[ROUND_QUEUES][LIMIT_NAME + 1];
    size_t queues_count;
    bool any_queue;
    int64_t later_us; /* the earliest; 0: none */
    struct ids done, cancel;
    struct views views, drops; /* ROUND_VIEWS and ROUND_DROPS at most */
    bool empty;
};

void round_init(struct round *r);
void round_clear(struct round *r);
void round_release(struct round *r);

void round_add_queue(struct round *r, struct span queue); /* "*": any */
void round_add_later(struct round *r, int64_t wall_us);   /* only the earliest is told */
void round_add_ids(struct ids *ids, const struct uuid *list, size_t count);
void round_set_views(struct round *r, const struct cache_view *views, size_t count);
void round_add_drop(struct round *r, struct uuid task, int64_t seq);

/* The messages of a round; they point into it and into the letter. */
#define LETTER_MOST (ROUND_QUEUES + 2 + 2 * (ROUND_IDS / ROUND_IDS_A_MESSAGE + 1))

struct letter {
    struct cache_message list[LETTER_MOST];
    size_t n;
    char later[32];
    char *done, *cancel;
};

void letter_write(struct letter *l, const struct round *r);
void letter_release(struct letter *l);

#endif
