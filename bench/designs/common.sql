-- What every design has: Lathe's own tables as they are, filled with :n small tasks, and the settings of a worker's session.
-- Each design then says in turns(batch) how a batch is claimed (may be lost) and finished (durable).
SET client_min_messages = warning;
TRUNCATE tasks, work, leases, results;
CHECKPOINT;
INSERT INTO tasks (id, digest, item_timeout_ms, timeout_ms, state, ord, items_total, units_total, unit_size, batch_size,
    workers, priority, container, fail_fast, handler, strategy, inner_strategy, queue, params, tags, meta)
SELECT (lpad(to_hex(i), 12, '0') || '7' || substr(md5(i::text), 1, 19))::uuid, 7, 0, 0, 'queued', 0, 1, 1, 1, 1, 1, 5, false, false,
    'echo', 'background', 'auto', 'default', '{"text":"hello","repeat":3}', '', '' FROM generate_series(1, :n) i;
INSERT INTO work (task, rank, seq, first, count, kib, attempt, queue)
SELECT id, lathe_rank(now(), priority), 0, 0, 1, 0, 1, queue FROM tasks;
VACUUM ANALYZE tasks, work;
SET jit = off;
SET plan_cache_mode = force_generic_plan;
SET enable_seqscan = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
DROP PROCEDURE IF EXISTS turns(integer);

-- The claim of designs a, b and c: rows of work are deleted, one lease lists them. What a worker needs is read.
CREATE OR REPLACE FUNCTION design_claim(batch integer, lease uuid, OUT ids uuid[], OUT bytes bigint) LANGUAGE sql AS
$$
WITH taken AS (
    DELETE FROM work WHERE ctid = ANY (ARRAY(
        SELECT w.ctid FROM work w WHERE w.queue = 'default' ORDER BY w.rank, w.task, w.seq LIMIT batch FOR UPDATE SKIP LOCKED))
    RETURNING task, seq, first, count, attempt, tries
), l AS (
    INSERT INTO leases (id, worker, since, until, remaining, tasks, seqs, attempts, tries, firsts, counts)
    SELECT lease, lease, now(), now() + interval '15 s', count(*), array_agg(task), array_agg(seq), array_agg(attempt::integer),
        array_agg(tries::integer), array_agg(first), array_agg(count) FROM taken HAVING count(*) > 0
)
SELECT array_agg(w.task), sum(length(t.handler) + length(t.params) + t.timeout_ms) FROM taken w JOIN tasks t ON t.id = w.task
$$;
