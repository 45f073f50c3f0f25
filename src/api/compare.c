/* POST /api/v1/tasks/compare, GET and POST /compare: a parent task with a child a strategy. */
#include "api/inside.h"

void compare_run(struct api *a, struct call *c, struct span parameter)
{
    (void)parameter;
    struct submission *s = arena_alloc(&c->arena, sizeof *s);
    struct query q;
    struct err e = ERR_INIT;
    if (!query_read(c, &q, &e) || !submission_of(a, c, NULL, &q, s, &e)) {
        answer_problem(c, &e);
        return;
    }
    put_and_wait(a, c, s, conf_now(&a->conf->api_wait), document_asks, answer_put, NULL);
}
