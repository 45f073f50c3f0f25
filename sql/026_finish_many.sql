-- lathe_finish_many of 022_finish_many.sql, which looked up each end in a hash of all that its lease lists: two or three times as many
-- as there are ends, since a turn ends parts of several leases, and a sixth of its time. Whoever ends a unit knows where its lease lists it, so
-- that one look says whether it still does. Where a lease was shortened since, or nobody says where, it is the hash.

CREATE AGGREGATE lathe_concat(uuid[]) (SFUNC = array_cat, STYPE = uuid[]);

-- u_place: where each stands in its lease, from 1; '{}': nobody knows. u_task rises, and no task is in it twice. u_bytes: all results, one behind
-- the other; that of a task begins at u_from (the first byte is 1) and has u_size bytes. An array that is mostly zeros may be empty.
CREATE FUNCTION lathe_finish_many(
    sent_us bigint, u_lease uuid[], u_place bigint[], u_task uuid[], u_bytes bytea, u_from bigint[], u_size bigint[], u_state bigint[],
    u_done bigint[], u_failed bigint[], u_processes bigint[], u_threads bigint[], u_width bigint[], u_grain bigint[],
    u_wall bigint[], u_cpu bigint[], u_wait bigint[], u_rss bigint[], u_predicted bigint[], u_start bigint[], u_end bigint[],
    u_code text[], u_detail text[], more_leases uuid[], OUT applied bigint[], OUT followed boolean
) LANGUAGE plpgsql AS
$$
DECLARE
    base    constant double precision := extract(epoch FROM now());
    fresh   bigint;
    watched uuid[];
    ids     uuid[]; -- of the leases, which rise
    sizes   integer[];
    before  bigint[]; -- what those in front of each list
    listed  uuid[];
    held    boolean;
BEGIN
    SELECT array_agg(l.id), array_agg(l.size), array_agg(l.before), lathe_concat(l.tasks) INTO ids, sizes, before, listed FROM (
        SELECT x.id, x.tasks, x.size, sum(x.size) OVER (ORDER BY x.id ROWS UNBOUNDED PRECEDING) - x.size AS before FROM (
            SELECT l.id, l.tasks, cardinality(l.tasks) AS size FROM leases l WHERE l.id = ANY (u_lease || more_leases)
            ORDER BY l.id FOR UPDATE) x) l;

    -- All of them where they are said to be, and none twice.
    held := cardinality(u_place) = cardinality(u_task) AND coalesce((
        SELECT bool_and((ids[at] = u_lease[n] AND u_place[n] BETWEEN 1 AND sizes[at] AND listed[(before[at] + u_place[n])::integer] = u_task[n]
            AND (n = 1 OR u_task[n - 1] < u_task[n])) IS TRUE)
        FROM (SELECT n, width_bucket(u_lease[n], ids) AS at FROM generate_series(1, cardinality(u_task)) n OFFSET 0) u), false);

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
        AND (held
             OR u_task[width_bucket(t.id, u_task)] = t.id -- or they do not rise, and it would be another's end
             AND ((u_lease[width_bucket(t.id, u_task)], t.id)
                  IN (SELECT l.id, unnest(l.tasks) FROM leases l WHERE l.id = ANY (u_lease))) IS TRUE)
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

-- Of workers that do not say where, and of lathe_finish_one.
CREATE OR REPLACE FUNCTION lathe_finish_many(
    sent_us bigint, u_lease uuid[], u_task uuid[], u_bytes bytea, u_from bigint[], u_size bigint[], u_state bigint[],
    u_done bigint[], u_failed bigint[], u_processes bigint[], u_threads bigint[], u_width bigint[], u_grain bigint[],
    u_wall bigint[], u_cpu bigint[], u_wait bigint[], u_rss bigint[], u_predicted bigint[], u_start bigint[], u_end bigint[],
    u_code text[], u_detail text[], more_leases uuid[], OUT applied bigint[], OUT followed boolean
) LANGUAGE plpgsql AS
$$
BEGIN
    SELECT a.applied, a.followed INTO applied, followed FROM lathe_finish_many(
        sent_us, u_lease, '{}', u_task, u_bytes, u_from, u_size, u_state, u_done, u_failed, u_processes, u_threads, u_width, u_grain,
        u_wall, u_cpu, u_wait, u_rss, u_predicted, u_start, u_end, u_code, u_detail, more_leases) a;
END
$$;
