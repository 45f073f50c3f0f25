#include "queue/inside.h"

struct task *task_copy(struct arena *a, const struct task *t)
{
    struct task *copy = arena_alloc(a, sizeof *copy);
    *copy = *t;
    struct span *const texts[] = {&copy->handler, &copy->strategy, &copy->inner, &copy->queue,
                                  &copy->params,  &copy->tags,     &copy->meta,  &copy->results};
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        *texts[i] = arena_copy(a, *texts[i]);
    return copy;
}
