#include "core/breaker.h"

#include "core/clock.h"

bool breaker_refuses(const struct breaker *b, int64_t now)
{
    return b->until != 0 && (b->probing || now < b->until);
}

bool breaker_enter(struct breaker *b, int64_t now, unsigned *ret_turn)
{
    if (breaker_refuses(b, now))
        return false;
    if (b->until != 0) {
        b->probing = true;
        b->turn++;
    }
    *ret_turn = b->turn;
    return true;
}

static void open_it(struct breaker *b, int64_t now)
{
    int64_t longest = b->longest_ns ? b->longest_ns : BREAKER_LONGEST_NS;
    b->wait = b->wait ? b->wait * 2 : b->first_ns ? b->first_ns : BREAKER_FIRST_NS;
    if (b->wait > longest)
        b->wait = longest;
    b->until = now + clock_jitter(b->wait);
    b->failures = 0;
    b->probing = false;
    b->turn++;
}

static void close_it(struct breaker *b)
{
    b->failures = 0;
    b->until = b->wait = 0;
    b->probing = false;
    b->turn++;
}

void breaker_forget(struct breaker *b, unsigned turn)
{
    if (turn == b->turn)
        b->probing = false;
}

enum breaker_move breaker_leave(struct breaker *b, unsigned turn, bool ok, int64_t now)
{
    if (turn != b->turn)
        return BREAKER_STAYED;
    if (b->until != 0) { /* this was the probe */
        if (ok)
            close_it(b);
        else
            open_it(b, now);
        return ok ? BREAKER_CLOSED : BREAKER_STAYED;
    }
    b->failures = ok ? 0 : b->failures + 1;
    if (b->failures < (b->allowed ? b->allowed : BREAKER_FAILURES))
        return BREAKER_STAYED;
    open_it(b, now);
    return BREAKER_OPENED;
}
