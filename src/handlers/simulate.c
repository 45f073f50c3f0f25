/*
 * simulate.c: an item of a typical web service: ask a database, look into a cache, then compute. The waits are real waits
 * on the reactor, the loops real work on real numbers; every figure of the result follows from the index and the params,
 * so that tests and callers can compute it again:
 *
 *   redis_ms  redis_min_ms + (index * 2654435761 mod 2^32) mod (redis_max_ms - redis_min_ms + 1); 0 if switched off
 *   loop      x = index mod 2^31; loop_iterations times: x = (1103515245 x + 12345) mod 2^31
 *   nested    the sum over i < nested_outer, j < nested_inner of (i*j + index mod 2^31) mod 97
 */
#include "core/json.h"
#include "handlers/registry.h"

#define MOST_MS 3600000
#define MOST_LOOP INT64_C(1000000000000)
#define MOST_NESTED 1000000
#define STRETCH INT64_C(65536) /* turns of a loop between two looks at item_stopping(): 0.1 to 0.3 ms */
#define M31 UINT64_C(0x7fffffff)

struct args {
    bool db_delay, redis_delay;
    int64_t db_delay_ms, redis_min_ms, redis_max_ms;
    int64_t loop_iterations, nested_outer, nested_inner;
};

enum phase { PHASE_NEW, PHASE_DB, PHASE_REDIS, PHASE_WORK };

struct state {
    enum phase phase;
    int64_t until;
};

static int64_t redis_ms(const struct args *a, int64_t index)
{
    uint64_t span = (uint64_t)(a->redis_max_ms - a->redis_min_ms) + 1;

    return a->redis_delay ? a->redis_min_ms + (int64_t)(((uint64_t)index * 2654435761u & 0xffffffffu) % span)
                          : 0;
}

/* False when it was told to stop. */
static bool run_loop(struct item *it, int64_t iterations, uint64_t *ret)
{
    uint64_t x = (uint64_t)it->index & M31;

    for (int64_t done = 0; done < iterations;) {
        int64_t stop = iterations - done > STRETCH ? done + STRETCH : iterations;

        if (item_stopping(it))
            return false;
        for (; done < stop; done++)
            x = (1103515245u * x + 12345u) & M31;
    }
    *ret = x;
    return true;
}

static uint64_t sum_row(uint64_t i, uint64_t from, uint64_t to, uint64_t index)
{
    uint64_t sum = 0;

    for (uint64_t j = from; j < to; j++)
        sum += (i * j + index) % 97;
    return sum;
}

static bool run_nested(struct item *it, int64_t outer, int64_t inner, uint64_t *ret)
{
    uint64_t sum = 0, index = (uint64_t)it->index & M31;
    int64_t since_look = 0;

    for (int64_t i = 0; i < outer; i++)
        for (int64_t j = 0; j < inner; j += STRETCH) {
            int64_t stop = inner - j > STRETCH ? j + STRETCH : inner;

            sum += sum_row((uint64_t)i, (uint64_t)j, (uint64_t)stop, index);
            since_look += stop - j;
            if (since_look >= STRETCH) {
                since_look = 0;
                if (item_stopping(it))
                    return false;
            }
        }
    *ret = sum;
    return true;
}

static void put(struct json_out *o, const char *key, int64_t v)
{
    json_key(o, key);
    json_put_int(o, v);
}

static enum step work(struct item *it, const struct args *a)
{
    uint64_t loop, nested;

    if (!run_loop(it, a->loop_iterations, &loop) ||
        !run_nested(it, a->nested_outer, a->nested_inner, &nested))
        return item_fail(it, "stopped");

    struct json_out o = json_out(&it->out);

    json_open(&o, '{');
    put(&o, "index", it->index);
    put(&o, "db_ms", a->db_delay ? a->db_delay_ms : 0);
    put(&o, "redis_ms", redis_ms(a, it->index));
    put(&o, "loop", (int64_t)loop);
    put(&o, "nested", (int64_t)nested);
    json_close(&o, '}');
    return STEP_DONE;
}

/* Each wait begins when the one before is over; a wait of nothing is passed over. */
static enum step step(struct item *it)
{
    const struct args *a = it->args;
    struct state *s = it->state;

    while (s->phase != PHASE_WORK) {
        if (s->until > clock_now())
            return item_wait_until(it, s->until);
        s->phase++;
        if (s->phase == PHASE_DB)
            s->until = a->db_delay ? clock_after_ms(a->db_delay_ms) : 0;
        if (s->phase == PHASE_REDIS)
            s->until = a->redis_delay ? clock_after_ms(redis_ms(a, it->index)) : 0;
    }
    return work(it, a);
}

static bool check(const void *args, struct err *e)
{
    const struct args *a = args;

    if (a->redis_min_ms > a->redis_max_ms)
        return err_at(e, ERR_BAD_FIELD, "/params/redis_min_ms",
                      "redis_min_ms must not be larger than redis_max_ms");
    return true;
}

static const struct field fields[] = {
    {.name = "simulate_db_delay",
     .type = FIELD_BOOL,
     .offset = offsetof(struct args, db_delay),
     .def = 0,
     .summary = "wait db_delay_ms, as for the answer of a database"},
    {.name = "simulate_redis_delay",
     .type = FIELD_BOOL,
     .offset = offsetof(struct args, redis_delay),
     .def = 1,
     .summary = "wait redis_min_ms to redis_max_ms, as for the answer of a cache"},
    {.name = "db_delay_ms",
     .type = FIELD_INT,
     .offset = offsetof(struct args, db_delay_ms),
     .min = 0,
     .max = MOST_MS,
     .def = 1000,
     .summary = "the database's wait, milliseconds"},
    {.name = "redis_min_ms",
     .type = FIELD_INT,
     .offset = offsetof(struct args, redis_min_ms),
     .min = 0,
     .max = MOST_MS,
     .def = 1,
     .summary = "the cache's shortest wait, milliseconds"},
    {.name = "redis_max_ms",
     .type = FIELD_INT,
     .offset = offsetof(struct args, redis_max_ms),
     .min = 0,
     .max = MOST_MS,
     .def = 10,
     .summary = "the cache's longest wait, milliseconds; which one an item gets follows from its index"},
    {.name = "loop_iterations",
     .type = FIELD_INT,
     .offset = offsetof(struct args, loop_iterations),
     .min = 0,
     .max = MOST_LOOP,
     .def = 20000,
     .summary = "turns of the plain loop"},
    {.name = "nested_outer",
     .type = FIELD_INT,
     .offset = offsetof(struct args, nested_outer),
     .min = 0,
     .max = MOST_NESTED,
     .def = 100,
     .summary = "turns of the outer loop of the nested pair"},
    {.name = "nested_inner",
     .type = FIELD_INT,
     .offset = offsetof(struct args, nested_inner),
     .min = 0,
     .max = MOST_NESTED,
     .def = 100,
     .summary = "turns of the inner loop of the nested pair"},
};

const struct handler handler_simulate = {
    .name = "simulate",
    .summary =
        "a database query, a cache look-up and some computing; each wait can be switched and each length set",
    .params = FIELDS(fields, struct args),
    .check = check,
    .state_size = sizeof(struct state),
    .step = step,
};
