/* learn.c: what finished units teach: profiles (what an item costs) and corrections (how a strategy's runs stood to the
 * bare prediction). It is evidence and not truth: a transaction of its own that may be lost, so that workers do not wait
 * for each other's disk over the row of a handler that all of them run. */
#include "store/inside.h"

/* k: what came before, decayed by 0.9 for each of these runs. */
static const struct stmt profiles_stmt = {
    "profiles_learn",
    "INSERT INTO profiles AS p (handler, digest, runs, items, weight, cpu, wait, result_bytes, failure_rate) "
    "SELECT handler, digest, count(*), sum(items), sum(items), sum(cpu) / sum(items), sum(wait) / sum(items), "
    "sum(bytes) / sum(items), sum(failed) / sum(items) "
    "FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[]) "
    "u(handler, digest, items, failed, cpu, wait, bytes) GROUP BY handler, digest ORDER BY handler, digest "
    "ON CONFLICT (handler, digest) DO UPDATE SET seen_on = current_date, (runs, items, weight, cpu, wait, result_bytes, failure_rate) = ("
    "SELECT p.runs + excluded.runs, p.items + excluded.items, k + excluded.weight, "
    "(p.cpu * k + excluded.cpu * excluded.weight) / (k + excluded.weight), "
    "(p.wait * k + excluded.wait * excluded.weight) / (k + excluded.weight), "
    "(p.result_bytes * k + excluded.result_bytes * excluded.weight) / (k + excluded.weight), "
    "(p.failure_rate * k + excluded.failure_rate * excluded.weight) / (k + excluded.weight) "
    "FROM (SELECT p.weight * 0.9 ^ least(excluded.runs, 300)::double precision AS k) x)"};

/* A plain mean of the first runs, then one in which the latest counts an eighth. */
static const struct stmt corrections_stmt = {
    "corrections_learn",
    "INSERT INTO corrections AS c (handler, digest, strategy, runs, factor) "
    "SELECT handler, digest, strategy, count(*), avg(factor) "
    "FROM unnest($1::text[], $2::bigint[], $3::text[], $4::float8[]) u(handler, digest, strategy, factor) "
    "GROUP BY handler, digest, strategy ORDER BY handler, digest, strategy "
    "ON CONFLICT (handler, digest, strategy) DO UPDATE SET seen_on = current_date, runs = c.runs + excluded.runs, "
    "factor = c.factor + (excluded.factor - c.factor) * least(1, excluded.runs / least(c.runs + excluded.runs, 8)::double precision)"};

#define FACTOR_LEAST 0.02
#define FACTOR_MOST 50.0

/* Of a unit that never came back nothing was measured, and what was remembered cost nothing. */
static bool tells_cost(const struct finish *f)
{
    return f->items_done > f->measured.cached && f->measured.wall_us > 0 &&
           f->item_cpu_ns + f->item_wait_ns > 0;
}

/* Only a whole run says how long it takes. */
static bool tells_pace(const struct finish *f)
{
    return tells_cost(f) && f->measured.cached == 0 && f->state == TASK_succeeded &&
           f->items_done == f->unit->count && f->items_failed == 0 && f->bare_us > 0 && f->used.len > 0;
}

static double factor_of(const struct finish *f)
{
    double factor = (double)f->measured.wall_us / (double)f->bare_us;
    return factor < FACTOR_LEAST ? FACTOR_LEAST : factor > FACTOR_MOST ? FACTOR_MOST : factor;
}

#define EACH(type, element)                   \
    do {                                      \
        params_array(p, type);                \
        for (size_t i = 0; i < n; i++) {      \
            const struct finish *f = list[i]; \
            if (wanted(f))                    \
                element;                      \
        }                                     \
        params_end(p);                        \
    } while (0)

static void fill_profiles(struct params *p, struct finish *const *list, size_t n)
{
    bool (*wanted)(const struct finish *) = tells_cost;
    EACH(PG_TEXT, element_span(p, f->unit->handler));
    EACH(PG_INT, element_int(p, (int64_t)f->unit->digest));
    EACH(PG_INT, element_int(p, f->items_done - f->measured.cached));
    EACH(PG_INT, element_int(p, f->items_failed));
    EACH(PG_INT, element_int(p, f->item_cpu_ns));
    EACH(PG_INT, element_int(p, f->item_wait_ns));
    EACH(PG_INT,
         element_int(p, (int64_t)f->results.len / f->items_done * (f->items_done - f->measured.cached)));
}

static void fill_corrections(struct params *p, struct finish *const *list, size_t n)
{
    bool (*wanted)(const struct finish *) = tells_pace;
    EACH(PG_TEXT, element_span(p, f->unit->handler));
    EACH(PG_INT, element_int(p, (int64_t)f->unit->digest));
    EACH(PG_TEXT, element_span(p, f->used));
    EACH(PG_NUM, element_num(p, factor_of(f)));
}

static size_t count(struct finish *const *list, size_t n, bool (*wanted)(const struct finish *))
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        k += wanted(list[i]);
    return k;
}

size_t learn_steps(struct learning *l, struct finish *const *list, size_t n, struct step *steps)
{
    *l = (struct learning){PARAMS_INIT, PARAMS_INIT};
    size_t k = 0;
    if (count(list, n, tells_cost) == 0)
        return 0;
    fill_profiles(&l->profiles, list, n);
    steps[k++] = (struct step){.stmt = &lazy_stmt};
    steps[k++] = (struct step){.stmt = &profiles_stmt, .params = &l->profiles};
    if (count(list, n, tells_pace) > 0) {
        fill_corrections(&l->corrections, list, n);
        steps[k++] = (struct step){.stmt = &corrections_stmt, .params = &l->corrections};
    }
    steps[k - 1].sync = true;
    return k;
}

void learning_release(struct learning *l)
{
    params_release(&l->profiles);
    params_release(&l->corrections);
}
