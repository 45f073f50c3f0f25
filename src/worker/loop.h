/*
 * loop.h: the state of the claim loop, shared by the files of this folder only. One thread touches it: the loop's own.
 *
 *   worker.c   the life: start, wait, drain, end
 *   turn.c     finish, give back and claim
 *   board.c    what is on board: batches, and the way of a run from its claim to its end
 *   care.c     while units run: leases, cancels, progress, time limits, housekeeping
 *
 * A pass of the loop makes one call to the store at most, so that a signal is seen soon.
 */
#ifndef LATHE_WORKER_LOOP_H
#define LATHE_WORKER_LOOP_H

#include "worker/slots.h"
#include "worker/worker.h"

/* What was claimed ahead and nobody has begun by then is given back: somebody else may be idle. */
#define WAIT_MOST_NS (50 * NS_PER_MS)

/* Units that were claimed together: one lease, one arena. */
struct batch {
    struct claim claim;
    size_t open; /* runs that still use its arena */
    size_t held; /* runs that are not HOLD_GONE: while there are any the lease is renewed */
    struct batch *next;
};

/* What care() sees to, each at its own time; what stands first goes first. */
enum care_kind {
    CARE_BEAT,               /* leases are renewed */
    CARE_RUNS,               /* of what runs: progress, time limits; and how large this process is */
    CARE_OTHERS,             /* from here on: for all workers; one that drains leaves it to the others */
    CARE_WAKE = CARE_OTHERS, /* units that wait for their time */
    CARE_FIRE,               /* schedules */
    CARE_MEASURE,            /* tables that PostgreSQL knows too little of */
    CARE_HORIZON,            /* who holds the vacuum back */
    CARE_FORGET,             /* retention */
    CARE_REAP,               /* leases that others lost */
    CARE_IDLE, /* of this process again: what it keeps and nobody uses; the last, for it may be due often */
    CARE_KINDS
};

enum ending { ENDING_NOT, ENDING_RECYCLE, ENDING_STOP }; /* the later goes before the earlier */

struct worker {
    struct conf *conf;
    bool has_beaten; /* told the store of itself, or tried */
    bool cared;      /* the latest pass did something that was due, and no turn */
    struct queue *queue;
    struct queue_worker *queue_worker;
    struct evidence *evidence;
    struct slots *slots;
    struct run_env env;
    struct worker_info info;
    struct arena arena; /* of info's texts */
    int signals, queue_bell, slot_bell;

    struct batch *batches;
    struct run *runs;        /* every one that was not freed yet */
    struct run *landing;     /* done ones that no turn had room for yet; a chain by `queued` */
    size_t running, back;    /* runs that are aboard; runs to be given back */
    struct finish *finishes; /* room for LIMIT_CLAIM: what the next turn stores */
    struct run **finished;   /* the runs of finishes[] */
    size_t finishes_n, finishes_bytes;

    bool look;                                     /* there may be work: claim at the next turn */
    int wanted;                                    /* units that this turn claims at most */
    bool first_claim, warm;                        /* warm: the store knows what is coming */
    double mean_unit_ns;                           /* moving average of a unit's time, for the prefetch */
    int64_t last_end;                              /* of a unit */
    int store_failures;                            /* in a row */
    int64_t next_turn, next_poll, due[CARE_KINDS]; /* clock_now() deadlines */

    int64_t measured;  /* when tables were last measured */
    bool unmeasured;   /* the last look at them failed, and the log says so */
    int64_t forgotten; /* tasks that this pass has deleted */

    enum ending ending;
    bool leaving;   /* nobody waits for what still runs */
    bool too_large; /* what runs may be the reason */
    int64_t drain_until;
};

/* board.c */
void board_claimed(struct worker *w, struct claim *c); /* takes the claim's arena */
void board_landed(struct worker *w, struct run *r);    /* the slots have it no more; may free it */
void board_let_go(struct worker *w, struct run *r);    /* HOLD_GONE; may free it */
void board_forget(
    struct worker *w); /* what could be neither stored nor given back: its lease ends by itself */
size_t board_lose(struct worker *w,
                  struct batch *b); /* the lease is gone; returns the units that this costs */
void board_return_queued(struct worker *w,
                         int64_t until);     /* HOLD_BACK: what was claimed until then and nobody has begun */
void board_return_running(struct worker *w); /* HOLD_BACK, and told to stop: all that runs */
void board_return_unhelped(struct worker *w, struct run *r); /* HOLD_BACK, and counted */

/* turn.c */
void turn_gather(struct worker *w);        /* takes done runs from the slots */
int64_t turn_next(const struct worker *w); /* when turn() should be called */
void turn(struct worker *w);
void turn_claimed(void *worker, struct claim *c); /* for queue_hand */
/* Goes on without a run that does not come back, and ends its unit if it is ours. False: later, there is no room. */
bool turn_abandon(struct worker *w, struct run *r, enum task_state state, const struct err *e);

/* care.c */
void care_begin(struct worker *w);               /* at a start: what is due then, and what can wait */
bool care(struct worker *w);                     /* one thing that is due; false: nothing is */
int64_t care_next(const struct worker *w);       /* when care() should be called next */
void care_look_for_messages(struct worker *w);   /* cancels, and times that units wait for */
void care_wake_by(struct worker *w, int64_t ms); /* something waits for its time: look then at the latest */
void care_measure_soon(struct worker *w); /* the store was slow: its plans may be those of smaller tables */

/* worker.c */
void worker_recycle(struct worker *w, const char *why);

#endif
