/* claim.c: taking units from `work` under a new lease, with all that running them needs. */
#include "store/inside.h"
#include "store/rows.h"

const struct stmt lazy_stmt = {"lazy", "SELECT set_config('synchronous_commit', 'off', true)"};

/* A plan is made once, perhaps when the queue is empty, and stays. A bitmap has no order: a claim planned by one sorts all that waits. */
const struct stmt claim_begin_stmt = {
    "claim_begin",
    "SELECT set_config('synchronous_commit', 'off', true), set_config('enable_bitmapscan', 'off', true)"};

/* names: the queues that are served; for "*" those that have work, found by hops through the index. Their gates are locked by name.
 *
 * taken: each queue gives its first units in the order of the index, as many as its gate has room for where it is in `queues`; of these the
 * best of all queues are taken, as many as $7 KiB hold. Those up to the place $8 to $10 are passed by (claim_from.h) where the queue has no
 * gate. What was locked too many is free again at the end of the transaction. Rows of work are never updated, so that a ctid stays what it was.
 *
 * lease: lists them in the order of the answer; a unit's place there is told with its end (sql/026_finish_many.sql).
 *
 * Inputs are found by where the owner's cuts are: chunk k is its items [k * unit_size, …), and of inputs that were uploaded chunk k begins with
 * item k; most tasks have none, and pay for no aggregate.
 *
 * OFFSET 0: a task is looked for by its id and a chunk by its number, however small the planner takes the table for. What was taken is put in
 * order before the rows of tasks are beside it, which are wide; looking for them one by one keeps the order. */
const struct stmt claim_stmt = {
    "claim",
    "WITH names AS MATERIALIZED ("
    "SELECT o.name, o.held, CASE WHEN o.held THEN lathe_queue_room(o.name, $6::bigint) ELSE $6::bigint END AS room FROM ("
    "SELECT n.name, h.name IS NOT NULL AS held FROM ("
    "SELECT unnest($4::text[]) AS name UNION ALL "
    "SELECT q.name FROM (WITH RECURSIVE hop AS ("
    "(SELECT min(queue) AS name FROM work) UNION ALL "
    "SELECT (SELECT min(w.queue) FROM work w WHERE w.queue > hop.name) FROM hop WHERE hop.name IS NOT NULL"
    ") SELECT name FROM hop) q WHERE $5::bool AND q.name IS NOT NULL"
    ") n LEFT JOIN queues h ON h.name = n.name ORDER BY n.name OFFSET 0) o"
    "), taken AS ("
    "DELETE FROM work WHERE ctid = ANY (ARRAY(SELECT x.ctid FROM ("
    "SELECT c.ctid, sum(c.kib) OVER (ORDER BY c.rank, c.task, c.seq ROWS UNBOUNDED PRECEDING) - c.kib "
    "AS before FROM names n, LATERAL ("
    "SELECT w.ctid, w.kib, w.rank, w.task, w.seq FROM work w "
    "WHERE w.queue = n.name AND (w.rank, w.task, w.seq) > (CASE WHEN n.held THEN '-infinity' ELSE coalesce($8::timestamptz, '-infinity') END, "
    "$9::uuid, $10::bigint::integer) ORDER BY w.rank, w.task, w.seq "
    "LIMIT n.room FOR UPDATE SKIP LOCKED) c "
    "ORDER BY c.rank, c.task, c.seq LIMIT $6) x WHERE x.before < $7::bigint)) "
    "RETURNING task, rank, seq, first, count, attempt, tries"
    "), lease AS ("
    "INSERT INTO leases (id, worker, since, until, remaining, tasks, seqs, attempts, tries, firsts, counts) "
    "SELECT $1::uuid, $2::uuid, now(), now() + $3::bigint * interval '1 millisecond', count(*), array_agg(task), "
    "array_agg(seq), array_agg(attempt::integer), array_agg(tries::integer), array_agg(first), array_agg(count) FROM (SELECT * FROM taken ORDER BY rank, task, seq OFFSET 0) taken HAVING count(*) > 0 "
    "AND CASE WHEN (SELECT bool_or(n.held) FROM names n) THEN lathe_claimed(array_agg(task), array_agg(seq)) ELSE true END"
    ") SELECT w.task, w.seq, w.first, w.count, w.attempt, w.tries, t.handler, t.strategy, t.inner_strategy, t.queue, t.params, "
    "t.terms::text, "
    "t.digest, t.shape_asked[1], t.shape_asked[2], t.shape_asked[3], t.shape_asked[4], t.batch_size, t.workers, "
    "t.item_timeout_ms, t.timeout_ms, t.fail_fast, t.units_total = 1, "
    "t.parent IS NULL AND t.queue <> ALL (ARRAY(SELECT q.name FROM queues q WHERE q.limited)), "
    "CASE WHEN t.uploaded THEN (SELECT max(c.seq) FROM inputs c WHERE c.task = t.inputs_of AND c.seq <= w.first) "
    "WHEN t.inputs_of IS NULL OR t.inputs_of = t.id THEN w.first / greatest(t.unit_size, 1) * greatest(t.unit_size, 1) "
    "ELSE (SELECT w.first / greatest(o.unit_size, 1) * greatest(o.unit_size, 1) FROM tasks o WHERE o.id = t.inputs_of) END, "
    "CASE WHEN t.uploaded THEN (SELECT string_agg(c.bytes, ''::bytea ORDER BY c.seq) FROM inputs c WHERE c.task = t.inputs_of "
    "AND c.seq >= (SELECT max(d.seq) FROM inputs d WHERE d.task = t.inputs_of AND d.seq <= w.first) AND c.seq < w.first + w.count) "
    "WHEN t.inputs_of IS NOT NULL THEN (SELECT string_agg(c.bytes, ''::bytea ORDER BY c.seq) FROM "
    "(SELECT greatest(CASE WHEN t.inputs_of = t.id THEN t.unit_size ELSE (SELECT o.unit_size FROM tasks o WHERE o.id = t.inputs_of) END, 1) "
    "AS size OFFSET 0) cut, LATERAL (SELECT i.seq, i.bytes FROM inputs i "
    "WHERE i.task = t.inputs_of AND i.seq BETWEEN w.first / cut.size AND (w.first + w.count - 1) / cut.size OFFSET 0) c) END, w.rank "
    "FROM (SELECT * FROM taken ORDER BY rank, task, seq OFFSET 0) w, LATERAL (SELECT * FROM tasks t WHERE t.id = w.task OFFSET 0) t "
    "ORDER BY w.rank, w.task, w.seq"};

const struct stmt claim_one_stmt = {
    "claim_one", "SELECT * FROM lathe_claim_one($1::uuid, $2::uuid, $3::bigint, $4::text[], "
                 "$5::bool, $6::bigint)"};

void claim_one_params(struct params *p, struct store_worker *w, struct uuid lease, int want)
{
    bool all = false;
    params_uuid(p, lease);
    params_uuid(p, w->id);
    params_int(p, conf_now(&w->store->conf->worker_lease));
    params_array(p, PG_TEXT);
    for (struct span rest = w->queues; rest.len > 0;) {
        struct span name = span_trim(span_cut(&rest, ','));
        all = all || span_is(name, "*");
        if (name.len > 0 && !span_is(name, "*"))
            element_span(p, name);
    }
    params_end(p);
    params_bool(p, all);
    params_int(p, want);
}

void claim_params(struct params *p, struct store_worker *w, struct uuid lease, int want,
                  const struct claim_place *from)
{
    claim_one_params(p, w, lease, want); /* the same, and more */
    params_int(p, LIMIT_CLAIM_BYTES / KIB);
    params_time(p, from->rank_us);
    params_uuid(p, from->task);
    params_int(p, from->seq);
}

static void read_unit(struct arena *a, struct row *r, struct unit *u)
{
    u->task = row_uuid(r);
    u->seq = row_int(r);
    u->first = row_int(r);
    u->count = row_int(r);
    u->attempt = (int)row_int(r);
    u->tries = (int)row_int(r);
    u->handler = arena_copy(a, row_span(r));
    u->strategy = arena_copy(a, row_span(r));
    u->inner = arena_copy(a, row_span(r));
    u->queue = arena_copy(a, row_span(r));
    u->params = arena_copy(a, row_span(r));
    u->terms = arena_copy(a, row_span(r));
    u->digest = (uint64_t)row_int(r);
    u->has_shape = !row_null(r);
    u->shape.processes = row_int(r);
    u->shape.threads = row_int(r);
    u->shape.width = row_int(r);
    u->shape.grain = row_int(r);
    u->batch_size = row_int(r);
    u->workers = row_int(r);
    u->item_timeout_ms = row_int(r);
    u->timeout_ms = row_int(r);
    u->fail_fast = row_bool(r);
    u->single = row_bool(r);
    u->alone = row_bool(r) && u->single && u->terms.len == 0;
    int64_t first = row_int(r);
    struct span lines = row_span(r);
    span_lines(&lines, u->first - first); /* the chunks may be cut otherwise than the units */
    if (lines.len > 0)
        u->inputs = arena_copy(a, span_lines(&lines, u->count));
}

static void read_units(const PGresult *r, struct uuid lease, struct claim *ret, struct claim_place *ret_last)
{
    ret->lease = lease;
    ret->units = arena_array(&ret->arena, ret->count, sizeof *ret->units);
    for (size_t i = 0; i < ret->count; i++) {
        struct row row = row_at(r, (int)i);
        ret->units[i].lease = lease;
        ret->units[i].place = (int64_t)i + 1;
        read_unit(&ret->arena, &row, &ret->units[i]);
        *ret_last = (struct claim_place){row_time(&row), ret->units[i].task, ret->units[i].seq};
    }
}

void claim_read(const PGresult *r, struct uuid lease, struct claim *ret, struct claim_place *ret_last)
{
    ret->count = (size_t)PQntuples(r);
    if (ret->count > 0) /* else an arena that nobody would release */
        read_units(r, lease, ret, ret_last);
}

bool claim_one_read(const PGresult *r, struct uuid lease, struct claim *ret, struct claim_place *ret_last)
{
    struct row more = {.result = r, .row = 0, .column = PQnfields(r) - 1};
    assert(PQntuples(r) == 1);
    ret->count = !PQgetisnull(r, 0, 0);
    if (ret->count > 0)
        read_units(r, lease, ret, ret_last);
    return row_bool(&more);
}
