/*
 * command.h: programs of one's own that work on items. A program is kept running and is handed one line of JSON for each item;
 * it answers each with a line, in any order (docs/commands.md). Each thread that runs items has a process of its own, and as
 * many items in it as are in flight there and the command's `width` allows.
 *
 *     if (!s->call && !(s->call = command_start(it, command, params)))
 *         return STEP_FAIL;                                  // it->err says why
 *     if (!s->call->done)
 *         return s->call->turn ? item_wait_call(it) : item_wait_turn(it);
 *     … s->call->err, s->call->result …
 *     static void drop(struct item *it) { command_drop(((struct state *)it->state)->call); }
 *
 * A process that dies, or does not keep to the protocol, takes nobody along: what it had in hand is run again, each item alone in a
 * process, and one that was there at two deaths, alone at the second, is failed. Time limits count from when everything that the
 * process was handed before is answered, so that the one that overruns is the one to blame.
 */
#ifndef LATHE_MODEL_COMMAND_H
#define LATHE_MODEL_COMMAND_H

#include "model/port.h"

/* Constant, and lives as long as the process. */
struct command {
    const char *name;
    char *const *words;   /* words[0] is the program's path; NULL at the end. No shell sees them */
    const char *user;     /* "": as this process */
    int64_t width;        /* items in hand of one process, at least 1 */
    int64_t memory;       /* bytes of address space, 0: no limit */
    int64_t cpu_s, files; /* likewise */
    int64_t idle_ms;      /* how long a process with nothing to do is kept */
    int64_t restart_ms; /* the first wait before one is started after one that answered nothing; it doubles */
    struct command_luck *luck; /* by the engine; made with command_luck_make */
};

struct command_luck *command_luck_make(void);

struct command_call {
    bool done;
    bool turn; /* everything that its process was handed before is answered */
    struct err
        err; /* it failed: ITEM_FAILED or REJECTED by the program's own word; ITEM_CRASHED, COMMAND, … */
    struct span result; /* else: JSON on one line; lives until command_drop */
    double progress;    /* 0..1, if the program tells */
};

/* NULL with it->err set when it cannot even begin. `params` is JSON text, or empty; it lives as long as the item. */
struct command_call *command_start(struct item *it, const struct command *c, struct span params);

/* Whoever is in the middle of it is ended: the whole group of processes, by SIGTERM and half a second later SIGKILL. NULL
 * is fine. */
void command_drop(struct command_call *call);

extern const struct port_kind command_port;

#endif
