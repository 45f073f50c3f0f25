/* strategies.c: the registry of strategies, made from strategies.def. */
#include "model/strategy.h"

#define STRATEGY(symbol) &strategy_##symbol,
const struct strategy *const strategies[] = {
#include "model/strategies.def"
    NULL,
};
#undef STRATEGY

static bool has_alias(const struct strategy *s, struct span name)
{
    struct span rest = span_of(s->aliases);

    while (rest.len > 0)
        if (span_eq(span_cut(&rest, ' '), name))
            return true;
    return false;
}

struct shape strategy_shape(const struct strategy *s, const struct ask *a)
{
    struct shape r = s->shape(a);
    return a->process_only ? shape_in_child(r) : r;
}

const struct strategy *strategy_find(struct span name)
{
    if (name.len == 0)
        return NULL;
    for (const struct strategy *const *s = strategies; *s; s++)
        if (span_is(name, (*s)->name) || has_alias(*s, name))
            return *s;
    return NULL;
}
