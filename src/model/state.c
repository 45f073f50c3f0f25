/* state.c: the states of a task and the moves between them, made from state.def. */
#include "model/task.h"

#include <assert.h>

static const struct {
    const char *name;
    bool final;
} states[] = {
#define STATE(name, final, text) [TASK_##name] = {#name, final},
#include "model/state.def"
};

static const struct {
    enum task_state from, to;
} moves[] = {
#define MOVE(from, to, why) {TASK_##from, TASK_##to},
#include "model/state.def"
};

const char *state_name(enum task_state s)
{
    assert(s < TASK_STATES);
    return states[s].name;
}

bool state_final(enum task_state s)
{
    assert(s < TASK_STATES);
    return states[s].final;
}

bool state_may(enum task_state from, enum task_state to)
{
    for (size_t i = 0; i < COUNT_OF(moves); i++)
        if (moves[i].from == from && moves[i].to == to)
            return true;
    return false;
}

bool state_by_name(struct span name, enum task_state *ret)
{
    for (size_t i = 0; i < COUNT_OF(states); i++)
        if (span_is(name, states[i].name)) {
            *ret = (enum task_state)i;
            return true;
        }
    return false;
}
