-- What lathe_finish_alone of 002_functions.sql does, for many tasks at a third less, and planned so that no belief about the size of
-- `tasks` can make it read all of it: there is no join. A row is found by its id, its place in the arrays by a binary search, and
-- what it becomes by that place; unnest() put each element of twenty arrays into a row before they were joined to one.
--
-- u_task rises, and no task is in it twice. u_bytes: all results, one behind the other; that of a task begins at u_from (the first byte is 1)
-- and has u_size bytes. An array that is mostly zeros may be empty.
CREATE FUNCTION lathe_finish_many(
    sent_us bigint, u_lease uuid[], u_task uuid[], u_bytes bytea, u_from bigint[], u_size bigint[], u_state bigint[],
    u_done bigint[], u_failed bigint[], u_processes bigint[], u_threads bigint[], u_width bigint[], u_grain bigint[],
    u_wall bigint[], u_cpu bigint[], u_wait bigint[], u_rss bigint[], u_predicted bigint[], u_start bigint[], u_end bigint[],
    u_code text[], u_detail text[], more_leases uuid[], OUT applied bigint[], OUT followed boolean
) LANGUAGE plpgsql AS
$$
DECLARE
    base    constant double precision := extract(epoch FROM now());
    fresh   bigint;
    watched uuid[];
BEGIN
    PERFORM FROM leases l WHERE l.id = ANY (u_lease || more_leases) ORDER BY l.id FOR UPDATE;

    -- IN (...) IS TRUE: looked up in a hash. A unit that was finished before is still listed, but its task is final.
    WITH done AS (
        UPDATE tasks t SET (units_done, units_failed, units_cancelled, items_done, items_failed, started_at, last_end, finished_at,
            wall_us, cpu_us, wait_us, peak_rss_kib, predicted_us, shape_used, error_code, error_text, state, lease, result) = (
            SELECT 1, (u.state = 1)::integer, (u.state = 2)::integer, u_done[n], u.failed,
                to_timestamp(base + (u_start[n] - sent_us) / 1e6::double precision),
                to_timestamp(base + (u_end[n] - sent_us) / 1e6::double precision), now(),
                coalesce(u_wall[n], 0), coalesce(u_cpu[n], 0), coalesce(u_wait[n], 0), coalesce(u_rss[n], 0),
                coalesce(u_predicted[n], 0),
                CASE WHEN u_threads[n] > 0 THEN ARRAY [coalesce(u_processes[n], 0)::integer, u_threads[n]::integer,
                    u_width[n]::integer, u_grain[n]::integer] END,
                u_code[n], u_detail[n],
                lathe_outcome(t.cancelling, t.fail_fast, (u.state = 1)::integer, (u.state = 2)::integer, t.items_total, u.failed),
                u_lease[n], substring(u_bytes FROM u_from[n]::integer FOR u_size[n]::integer)
            FROM (SELECT n, coalesce(u_state[n], 0) AS state, coalesce(u_failed[n], 0)::integer AS failed
                  FROM (SELECT width_bucket(t.id, u_task) AS n OFFSET 0) at OFFSET 0) u)
        WHERE t.id = ANY (u_task) AND NOT lathe_final(t.state)
        AND u_task[width_bucket(t.id, u_task)] = t.id -- or they do not rise, and it would be another's end
        AND ((u_lease[width_bucket(t.id, u_task)], t.id)
             IN (SELECT l.id, unnest(l.tasks) FROM leases l WHERE l.id = ANY (u_lease))) IS TRUE
        RETURNING t.lease, t.id, t.followed
    ), f AS MATERIALIZED (
        SELECT d.lease AS id, count(*) AS n, array_agg(d.id) FILTER (WHERE d.followed) AS watched FROM done d GROUP BY d.lease
    ), gone AS (
        DELETE FROM leases l USING f WHERE l.id = f.id AND l.remaining = f.n
    ), less AS (
        UPDATE leases l SET remaining = l.remaining - f.n FROM f WHERE l.id = f.id AND l.remaining > f.n
    )
    SELECT (SELECT sum(f.n) FROM f), (SELECT array_agg(w) FROM f, unnest(f.watched) w) INTO fresh, watched;

    followed := watched IS NOT NULL;
    IF followed THEN
        PERFORM lathe_follow(watched);
    END IF;
    IF fresh IS DISTINCT FROM cardinality(u_task) THEN
        -- Some were applied before, or never.
        applied := ARRAY(
            SELECT u.n FROM unnest(u_lease, u_task) WITH ORDINALITY u(lease, task, n), LATERAL (
                SELECT t.lease FROM tasks t WHERE t.id = u.task OFFSET 0) t
            WHERE t.lease = u.lease
            OR EXISTS (SELECT FROM results r WHERE r.task = u.task AND r.seq = 0 AND r.part = 0 AND r.lease = u.lease));
        followed := true; -- whoever called before may not have heard of it
    END IF;
END
$$;

-- lathe_finish_one of 020_finish_one.sql: what it cannot do itself goes here, and no longer to the one with the join.
CREATE OR REPLACE FUNCTION lathe_finish_one(
    sent_us bigint, u_lease uuid, u_task uuid, u_bytes bytea, u_state bigint, u_done bigint, u_failed bigint,
    u_processes bigint, u_threads bigint, u_width bigint, u_grain bigint,
    u_wall bigint, u_cpu bigint, u_wait bigint, u_rss bigint, u_predicted bigint, u_start bigint, u_end bigint,
    u_code text, u_detail text, OUT applied bigint[], OUT followed boolean
) LANGUAGE plpgsql AS
$$
DECLARE
    base constant double precision := extract(epoch FROM now());
BEGIN
    -- The lease is locked first here too: a row of tasks is touched when the lease's has been deleted.
    WITH gone AS (
        DELETE FROM leases l WHERE l.id = u_lease AND l.remaining = 1 AND l.tasks = ARRAY [u_task] RETURNING true
    )
    UPDATE tasks t SET
        units_done = 1,
        units_failed = (u_state = 1)::integer,
        units_cancelled = (u_state = 2)::integer,
        items_done = u_done,
        items_failed = u_failed,
        started_at = to_timestamp(base + (u_start - sent_us) / 1e6::double precision),
        last_end = to_timestamp(base + (u_end - sent_us) / 1e6::double precision),
        finished_at = now(),
        wall_us = u_wall, cpu_us = u_cpu, wait_us = u_wait, peak_rss_kib = u_rss, predicted_us = u_predicted,
        shape_used = CASE WHEN u_threads > 0
            THEN ARRAY [u_processes::integer, u_threads::integer, u_width::integer, u_grain::integer] END,
        error_code = u_code, error_text = u_detail,
        state = lathe_outcome(t.cancelling, t.fail_fast, (u_state = 1)::integer, (u_state = 2)::integer, t.items_total,
                              u_failed::integer),
        lease = u_lease, result = u_bytes
    FROM gone WHERE t.id = u_task AND NOT lathe_final(t.state)
    RETURNING t.followed INTO followed;
    IF NOT FOUND THEN
        SELECT a.applied, a.followed INTO applied, followed FROM lathe_finish_many(
            sent_us, ARRAY [u_lease], ARRAY [u_task], u_bytes, ARRAY [1::bigint], ARRAY [length(u_bytes)::bigint], ARRAY [u_state],
            ARRAY [u_done], ARRAY [u_failed], ARRAY [u_processes], ARRAY [u_threads], ARRAY [u_width], ARRAY [u_grain], ARRAY [u_wall],
            ARRAY [u_cpu], ARRAY [u_wait], ARRAY [u_rss], ARRAY [u_predicted], ARRAY [u_start], ARRAY [u_end], ARRAY [u_code],
            ARRAY [u_detail], '{}') a;
    ELSIF followed THEN
        PERFORM lathe_follow(ARRAY [u_task]);
    END IF;
END
$$;

-- As claim.c says of the other claim: a bitmap has no order.
ALTER FUNCTION lathe_claim_one SET enable_bitmapscan = off;
