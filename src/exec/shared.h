/*
 * shared.h: the memory that a run of processes works on, in two memfds. `data` is written by the worker alone (children
 * cannot even map it for writing): the cancel flag, the args, the inputs, the list of work. `board` is written by all:
 * the cursor, and for each thread a lane that says what it is about. Sizes are sealed: nobody can cut the ground from
 * under another.
 */
#ifndef LATHE_EXEC_SHARED_H
#define LATHE_EXEC_SHARED_H

#include "exec/work.h"

struct shared_data {
    struct cancel cancel;          /* without a parent: it is another process's memory */
    _Atomic int64_t stopped_at;    /* since when it is raised; 0: it is not */
    uint64_t args_at;              /* from the beginning of the data */
    uint64_t offsets_at, bytes_at; /* 0: items are only counted */
    uint64_t list_at;
    uint64_t tries_at; /* 0: items are not tried again */
};

struct shared_board {
    struct cursor cursor;
    struct lane lanes[];
};

struct shared {
    int data_fd, board_fd;
    size_t data_size, board_size;
    struct shared_data *data;
    struct shared_board *board;
};

#define SHARED_INIT                   \
    {                                 \
        .data_fd = -1, .board_fd = -1 \
    }

/* In the worker: with args and inputs of the plan, room for a list of all its items, and `lanes` lanes. */
bool shared_make(struct shared *s, const struct plan *p, int64_t lanes, struct err *e) LATHE_CHECK;

/* In a child: maps what came with an order; data is read-only there. The descriptors stay the caller's. */
bool shared_map(struct shared *s, int data_fd, size_t data_size, int board_fd, size_t board_size) LATHE_CHECK;

/* Unmaps and, where they are set, closes. */
void shared_release(struct shared *s);

uint32_t *shared_list(const struct shared *s); /* for the worker to fill in */

/* By position: failures of an item that its child did not live to count. NULL: items are not tried again. For the worker to
 * fill in. */
uint8_t *shared_tries(const struct shared *s);

/* Points the work at what is shared; list says whether positions come from it. */
void shared_work(const struct shared *s, bool list, struct work *w);

#endif
