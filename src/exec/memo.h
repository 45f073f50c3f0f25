/*
 * memo.h: items whose results are remembered in Redis, for every handler alike. Before an item's first step its result is looked
 * for by a digest of handler, params and input; where there is none yet, one of all that look computes it and the others wait for
 * it. Redis that is away, or slow, is as if there were none. One thread; the rules are plain bytes and go to children.
 */
#ifndef LATHE_EXEC_MEMO_H
#define LATHE_EXEC_MEMO_H

#include "core/uuid.h"
#include "model/handler.h"

/* Of one run. */
struct memo_rules {
    int64_t ttl_ms;  /* 0: nothing is remembered */
    int64_t hold_ms; /* how long one of them may take before others begin too */
    bool indexed;    /* the result depends on the index, and not on the input alone */
    struct uuid run; /* its locks are known by it */
    unsigned char base[32];
};

/* Of one item, from memo_step to memo_end. */
struct memo;

enum memo_said {
    MEMO_WAIT,    /* it->wait says for what; then again */
    MEMO_HIT,     /* it->out is the result, the handler is not wanted */
    MEMO_COMPUTE, /* the handler's turn */
};

void memo_rules(struct memo_rules *m, const struct handler *h, const void *args, int64_t ttl_ms,
                int64_t item_timeout_ms);

/* Until it has said HIT or COMPUTE. *m is NULL at first. */
enum memo_said memo_step(const struct memo_rules *rules, struct memo **m, struct item *it);

/* How the item ended that was not a hit: `ok` keeps what is in it->out, else somebody else may try. Does nothing for NULL. */
void memo_end(const struct memo_rules *rules, struct memo **m, struct item *it, bool ok);

#endif
