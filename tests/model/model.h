/*
 * model.h: what may happen to a task of two units, as one pure function. Two workers, a reaper, a canceller and somebody who
 * runs it again act in any order; answers get lost, workers die, and messages of the dead still arrive. explore.c walks through everything that can come
 * of it, replay.py compares what a real PostgreSQL did.
 *
 * Each action is one transaction of sql/002_functions.sql or one step of a worker between two of them. What is left out, because the
 * transactions hide it: how two of them overlap. tests/integration/test_store_orders.c plays that on the real functions.
 */
#ifndef LATHE_TESTS_MODEL_H
#define LATHE_TESTS_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define UNITS 2
#define WORKERS 2
#define LEASES 4   /* two that exist, two more that workers only remember */
#define ATTEMPTS 2 /* workers that a unit may lose, + 1 */
#define TRIES 1    /* failures after which it is tried again */

enum place { PLACE_NONE, PLACE_WORK, PLACE_WAITING, PLACE_LEASED, PLACE_DONE, PLACES };
enum result { RESULT_NONE, RESULT_SUCCEEDED, RESULT_FAILED, RESULT_CANCELLED };

struct unit_state {
    uint8_t place, result, results; /* results: how often one was stored */
    uint8_t attempt, tries;
};

struct lease_state {
    uint8_t exists, expired, units; /* units: a bit each */
};

/* What a worker knows, which may be wrong. */
struct worker_state {
    uint8_t lease;  /* + 1; 0: it has none */
    uint8_t unsure; /* + 1: one whose claim was not answered */
    uint8_t units;  /* that it holds, as far as it knows */
    uint8_t ended;  /* those of them that it has run */
    uint8_t result[UNITS];
    uint8_t told; /* that it should stop */
};

struct state {
    struct unit_state unit[UNITS];
    struct lease_state lease[LEASES];
    struct worker_state worker[WORKERS];
    uint8_t cancelling, over, again; /* over: enum result of the task; again: it was run again */
};

enum verb {
    CLAIM_ONE,
    CLAIM_ALL,
    END_WELL,
    END_BADLY,
    END_STOPPED,
    FINISH,
    BEAT,
    RELEASE,
    RELEASE_UNSURE,
    DIE, /* of a worker */
    EXPIRE,
    REAP,
    WAKE,
    CANCEL,
    RETRY,
    VERBS
};

struct action {
    enum verb verb;
    int who;   /* worker, lease or unit */
    int unit;  /* of END_* */
    bool lost; /* the answer does not arrive */
};

extern const char *const verb_names[VERBS];
extern const char *const place_names[PLACES];

struct state model_begin(void);
/* False: it cannot happen in this state. */
bool model_act(const struct state *s, struct action a, struct state *ret);
/* What is wrong with a state, or with a step between two; NULL: nothing. */
const char *model_wrong(const struct state *s);
const char *model_wrong_step(const struct state *was, struct action a, const struct state *is);

/* The same state with the workers and the leases named in one order: which is called what does not matter. */
struct state model_named(const struct state *s);

/* Known mistakes, so that a test can see that they are found. */
enum mistake {
    MISTAKE_NONE,
    NO_FENCE,           /* a finish is taken from whoever sends it */
    RETURN_FORGETS,     /* units of a lost worker are not put back */
    AGAIN_AFTER_CANCEL, /* a failed unit goes round though its task was cancelled */
    CANCEL_LEAVES_WAITING,
    RETURN_IGNORES_CANCEL,
    REAP_KEEPS_LEASE,
    NO_POISON_LIMIT,
    MISTAKES
};
extern enum mistake model_mistake;

/* Calls each(action) for every action that there is. */
void model_actions(void (*each)(void *arg, struct action a), void *arg);

#endif
