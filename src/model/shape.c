/* shape.c: the numbers of a shape: reading, fitting, writing. */
#include "model/shape.h"

#include "core/limits.h"

static const struct field fields[] = {
    {.name = "processes",
     .type = FIELD_INT,
     .offset = offsetof(struct shape, processes),
     .min = 0,
     .max = LIMIT_WORKERS,
     .def = 0,
     .summary = "child processes; 0 runs in the worker itself"},
    {.name = "threads",
     .type = FIELD_INT,
     .offset = offsetof(struct shape, threads),
     .min = 1,
     .max = LIMIT_WORKERS,
     .def = 1,
     .summary = "threads in each process"},
    {.name = "width",
     .type = FIELD_INT,
     .offset = offsetof(struct shape, width),
     .min = 1,
     .max = LIMIT_WIDTH,
     .def = 1,
     .summary = "items in flight on each thread"},
    {.name = "grain",
     .type = FIELD_INT,
     .offset = offsetof(struct shape, grain),
     .min = 1,
     .max = LIMIT_ITEMS,
     .def = 1,
     .summary = "items that a thread takes at a time"},
};

const struct fields shape_fields = FIELDS(fields, struct shape);

static int64_t within(int64_t v, int64_t low, int64_t high)
{
    if (v > high)
        v = high;
    return v < low ? low : v;
}

static int64_t share(int64_t n, int64_t among)
{
    return (n + among - 1) / among;
}

int64_t shape_threads(const struct shape *s)
{
    return (s->processes > 0 ? s->processes : 1) * s->threads;
}

int64_t shape_in_flight(const struct shape *s)
{
    return shape_threads(s) * s->width;
}

struct shape shape_in_child(struct shape s)
{
    s.processes = s.processes > 0 ? s.processes : 1;
    return s;
}

struct shape shape_fit(struct shape s, int64_t items, int64_t max_workers)
{
    int64_t n = items > 0 ? items : 1;
    int64_t most = within(max_workers, 1, LIMIT_WORKERS);

    s.processes = within(s.processes, 0, most < n ? most : n);

    int64_t crews = s.processes > 0 ? s.processes : 1;
    int64_t useful = share(n, crews);

    s.threads = within(s.threads, 1, most / crews < useful ? most / crews : useful);

    int64_t own = share(n, shape_threads(&s)); /* items of one thread */

    s.width = within(s.width, 1, own < LIMIT_WIDTH ? own : LIMIT_WIDTH);
    s.grain = within(s.grain, 1, own);
    return s;
}

void shape_write(const struct shape *s, struct json_out *o)
{
    fields_write(&shape_fields, s, o);
}
