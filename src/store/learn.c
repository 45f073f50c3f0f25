/* learn.c: what finished units teach: profiles (what an item costs) and corrections (how a strategy's runs stood to the
 * bare prediction). It is evidence and not truth: a transaction of its own that may be lost, so that workers do not wait
 * for each other's disk over the row of a handler that all of them run. What is familiar gathers for a while: a statement costs
 * as much as a dozen ends, and one run more changes little. */
#include "core/mem.h"
#include "store/inside.h"

/* k: what came before, decayed by 0.9 for each of these runs. */
static const struct stmt profiles_stmt = {
    "profiles_learn",
    "INSERT INTO profiles AS p (handler, digest, runs, items, weight, cpu, wait, result_bytes, failure_rate) "
    "SELECT handler, digest, sum(runs), sum(items), sum(items), sum(cpu) / sum(items), sum(wait) / sum(items), "
    "sum(bytes) / sum(items), sum(failed) / sum(items) "
    "FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[]) "
    "u(handler, digest, runs, items, failed, cpu, wait, bytes) GROUP BY handler, digest ORDER BY handler, digest "
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
    "SELECT handler, digest, strategy, runs, factor "
    "FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::float8[]) u(handler, digest, strategy, runs, factor) "
    "ORDER BY handler, digest, strategy "
    "ON CONFLICT (handler, digest, strategy) DO UPDATE SET seen_on = current_date, runs = c.runs + excluded.runs, "
    "factor = c.factor + (excluded.factor - c.factor) * least(1, excluded.runs / least(c.runs + excluded.runs, 8)::double precision)"};

#define GATHER_MOST 64u /* lessons that wait */
#define GATHER_NS (250 * NS_PER_MS)
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

/* ---- gathering ---- */

static struct lesson *lesson_of(struct lessons *l, const struct finish *f, struct span strategy)
{
    const struct unit *u = f->unit;
    for (size_t i = l->count; i-- > 0;)
        if (l->list[i].digest == u->digest && span_eq(l->list[i].strategy, strategy) &&
            span_eq(l->list[i].handler, u->handler))
            return &l->list[i];
    l->list = mem_room(l->list, &l->room, l->count + 1, sizeof *l->list);
    struct lesson *new = &l->list[l->count++];
    *new = (struct lesson){.digest = u->digest,
                           .handler = arena_copy(&l->arena, u->handler),
                           .strategy = arena_copy(&l->arena, strategy)};
    return new;
}

static void add(struct lessons *l, const struct finish *f)
{
    bool pace = tells_pace(f);
    struct lesson *x = lesson_of(l, f, pace ? f->used : SPAN(""));
    int64_t items = f->items_done - f->measured.cached;
    x->runs++;
    x->items += items;
    x->failed += f->items_failed;
    x->cpu += f->item_cpu_ns;
    x->wait += f->item_wait_ns;
    x->bytes += (int64_t)f->results.len / f->items_done * items;
    x->factors += pace ? factor_of(f) : 0;
    l->urgent = l->urgent || !f->familiar;
}

void lessons_add(struct lessons *l, struct finish *const *list, size_t n)
{
    if (l->count == 0)
        l->since = clock_now();
    for (size_t i = 0; i < n; i++) {
        if (!list[i]->taught && tells_cost(list[i]))
            add(l, list[i]);
        list[i]->taught = true;
    }
}

bool lessons_due(const struct lessons *l)
{
    return l->count > 0 && (l->urgent || l->count >= GATHER_MOST || clock_now() >= l->since + GATHER_NS);
}

/* ---- telling ---- */

#define EACH(type, element)                       \
    do {                                          \
        params_array(p, type);                    \
        for (size_t i = 0; i < l->count; i++) {   \
            const struct lesson *x = &l->list[i]; \
            element;                              \
        }                                         \
        params_end(p);                            \
    } while (0)

#define EACH_PACE(type, element) EACH(type, if (x->strategy.len > 0) element)

static void fill_profiles(struct params *p, const struct lessons *l)
{
    params_clear(p);
    EACH(PG_TEXT, element_span(p, x->handler));
    EACH(PG_INT, element_int(p, (int64_t)x->digest));
    EACH(PG_INT, element_int(p, x->runs));
    EACH(PG_INT, element_int(p, x->items));
    EACH(PG_INT, element_int(p, x->failed));
    EACH(PG_INT, element_int(p, x->cpu));
    EACH(PG_INT, element_int(p, x->wait));
    EACH(PG_INT, element_int(p, x->bytes));
}

static void fill_corrections(struct params *p, const struct lessons *l)
{
    params_clear(p);
    EACH_PACE(PG_TEXT, element_span(p, x->handler));
    EACH_PACE(PG_INT, element_int(p, (int64_t)x->digest));
    EACH_PACE(PG_TEXT, element_span(p, x->strategy));
    EACH_PACE(PG_INT, element_int(p, x->runs));
    EACH_PACE(PG_NUM, element_num(p, x->factors / (double)x->runs));
}

size_t lessons_steps(struct lessons *l, struct step *steps)
{
    size_t k = 0, paces = 0;
    for (size_t i = 0; i < l->count; i++)
        paces += l->list[i].strategy.len > 0;
    if (l->count == 0)
        return 0;
    fill_profiles(&l->profiles, l);
    steps[k++] = (struct step){.stmt = &lazy_stmt};
    steps[k++] = (struct step){.stmt = &profiles_stmt, .params = &l->profiles};
    if (paces > 0) {
        fill_corrections(&l->corrections, l);
        steps[k++] = (struct step){.stmt = &corrections_stmt, .params = &l->corrections};
    }
    steps[k - 1].sync = true;
    return k;
}

void lessons_clear(struct lessons *l)
{
    arena_clear(&l->arena);
    l->count = 0;
    l->urgent = false;
}

void lessons_release(struct lessons *l)
{
    arena_release(&l->arena);
    mem_free(l->list);
    params_release(&l->profiles);
    params_release(&l->corrections);
}
