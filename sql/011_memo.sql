-- Items whose result was remembered (cache_ttl_s): how many, of each task. In a statement of its own, because most tasks ask for
-- nothing of the kind and should not pay for it.
ALTER TABLE tasks ADD COLUMN cached bigint NOT NULL DEFAULT 0;

-- Adds those of units that are still under their leases. To be called right before these are finished, in the same transaction and
-- with all that this finishes, since leases and tasks are locked in one order. A task that begins anew counts anew.
CREATE FUNCTION lathe_cached(u_lease uuid[], u_task uuid[], u_seq bigint[], u_cached bigint[], tried uuid[]) RETURNS void
LANGUAGE plpgsql AS
$$
BEGIN
    PERFORM FROM leases l WHERE l.id = ANY (u_lease) ORDER BY l.id FOR UPDATE;
    PERFORM lathe_lock(u_task, tried);
    UPDATE tasks t SET cached = CASE WHEN t.units_done > 0 THEN t.cached ELSE 0 END + a.cached
    FROM (
        SELECT u.task, sum(u.cached) AS cached FROM unnest(u_lease, u_task, u_seq::integer[], u_cached) u(lease, task, seq, cached)
        WHERE u.cached IS NOT NULL AND ((u.lease, u.task, u.seq) IN (
            SELECT l.id, h.task, h.seq FROM leases l, unnest(l.tasks, l.seqs) h(task, seq) WHERE l.id = ANY (u_lease))) IS TRUE
        GROUP BY u.task
    ) a
    WHERE t.id = a.task AND NOT lathe_final(t.state);
END
$$;
