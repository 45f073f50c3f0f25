/*
 * herd.h: the children of one run: gives them orders, takes in what they say, replaces those that die, kills those that
 * will not stop. One thread. procs.c decides what is run in which pass.
 */
#ifndef LATHE_EXEC_HERD_H
#define LATHE_EXEC_HERD_H

#include "exec/children.h"
#include "exec/frame.h"
#include "exec/report.h"

/* What is known of an item: bits. */
enum { ITEM_REPORTED = 1, ITEM_SUSPECT = 2 /* a process died while it was in its hands */ };

enum stop { STOP_NOT, STOP_CANCEL, STOP_DEADLINE };

struct kid {
    struct child *child; /* NULL: none just now */
    bool working;        /* has an order and has not said that it is done */
    bool killed;         /* by us: what it had in hands is not to blame */
    bool heard;          /* it has reported something since its order */
    int64_t snooze_ms;   /* that it spoke of last */
    int64_t expired;     /* position + 1 of the item that it was killed for; 0: none */
    int64_t peak_kib;    /* as told at the end of an order: one that dies before takes it along */
    struct buf in;       /* the beginning of a frame */
};

struct herd {
    const struct plan *plan;
    struct report report;
    unsigned char *items;
    int64_t left; /* not reported yet */
    struct shared shared;
    struct order order;     /* of the present pass */
    struct memo_rules memo; /* of all passes: who is run again knows his locks */
    struct kid *kids;       /* plan->shape.processes; kid k has the lanes from k * threads on */
    int64_t size, working;
    int epoll;
    char *scratch;
    int64_t ticked;
    enum stop stop;
    int64_t stop_at; /* when it was told */
    int64_t
        moved; /* items reported or suspected in this pass: without any, another pass would do no better */
    int64_t fruitless;      /* deaths of children in this pass that had not begun an item */
    struct err early_death; /* how the last of those ended */
    int64_t cpu, item_cpu, wait, first_step, lost;
};

bool herd_init(struct herd *h, const struct plan *p, struct err *e) LATHE_CHECK;
void herd_release(struct herd *h); /* children that are done are kept warm, others are killed */

/* Runs what h->order says (kind, handler, sizes and limits are filled in here) on up to `children` of them, until all are
 * done or dead. False: not one could be had. */
bool herd_pass(struct herd *h, int64_t children, struct err *e) LATHE_CHECK;

/* Looks at cancel flag and deadline. */
bool herd_must_stop(struct herd *h);

/* Reports an item that nobody has reported, as failed or cancelled. */
void herd_refuse(struct herd *h, int64_t position, enum outcome_kind kind, const struct err *e);

#endif
