/*
 * slots.h: the items in flight of one reactor. A slot is an item with its scratch state and its waits; slots are made a
 * block at a time when they are first needed and used again last in, first out, so that a reactor that keeps few items
 * in flight stays small and warm whatever its width. One thread.
 */
#ifndef LATHE_EXEC_SLOTS_H
#define LATHE_EXEC_SLOTS_H

#include <ev.h>

#include "exec/timers.h"
#include "exec/memo.h"
#include "model/handler.h"

struct reactor;
struct waiting;

struct slot {
    struct item item;
    struct timer timer;
    ev_io io;
    struct slot *next; /* in the list of free or of ready ones */
    struct reactor *reactor;
    struct waiting *waiting; /* where its descriptor is watched */
    int64_t position;
    int64_t cpu, wait; /* ns so far */
    int64_t asked;     /* since when it waits */
    int64_t partial;   /* what it has added to the lane's partial_milli */
    int64_t tries;     /* failures in this run */
    struct memo *memo; /* what it asked the memory for; NULL: nothing */
    bool used, stepped;
    bool cached;  /* its result was remembered */
    bool calling; /* it waits for the end of a call through a port */
    bool again;   /* waits for its next try */
};

struct slots {
    struct slot **blocks;
    size_t count, room; /* blocks */
    struct slot *free;
    size_t state_size, per_block;
};

void slots_init(struct slots *s, size_t state_size, int64_t most); /* in flight at a time, >= 1 */
void slots_release(struct slots *s);

/* A slot with an empty item and zeroed state. */
struct slot *slots_get(struct slots *s);
void slots_put(struct slots *s, struct slot *slot);

/* As if it had never been stepped. */
void slots_clear(struct slots *s, struct slot *slot);

/* Calls f with every slot in use; f may put it back. */
void slots_each(struct slots *s, void (*f)(struct slot *slot));

#endif
