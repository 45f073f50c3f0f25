-- What changes tasks after their submission: finish, release, reap, cancel. Each is one statement for its caller.
--
-- The sessions that call these have hash and merge joins and sequential scans switched off (src/store/db.c): an array meets
-- a table by the table's index, whatever the planner thinks of the size of a table that was empty a minute ago.
--
-- Everybody locks in the same order: leases, then parents, then tasks, each by id. A task of one unit is not locked
-- before it is updated: only its lease and a cancel of it alone can meet there, and neither waits for anything behind it.

-- A claimed unit.
CREATE TYPE lathe_unit AS (lease uuid, task uuid, seq integer, attempt integer, tries integer, first integer, count integer);

-- What the end of some units of a task adds to it. code and detail say what failed.
CREATE TYPE lathe_tally AS (
    task uuid, units integer, failed integer, cancelled integer, items_done integer, items_failed integer,
    started timestamptz, ended timestamptz, wall bigint, cpu bigint, wait bigint, rss bigint, predicted bigint,
    shape integer[], code text, detail text
);

-- How a task ends whose units are all done. (Casts of constants: a cast of the whole would keep it from being inlined.)
CREATE FUNCTION lathe_outcome(cancelling boolean, fail_fast boolean, units_failed integer, units_cancelled integer,
                              items_total integer, items_failed integer)
RETURNS task_state LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$
SELECT CASE
    WHEN cancelling THEN 'cancelled'::task_state
    WHEN units_failed > 0 OR (fail_fast AND items_failed > 0) THEN 'failed'::task_state
    WHEN items_total > 0 AND items_failed >= items_total THEN 'failed'::task_state
    WHEN units_cancelled > 0 THEN 'cancelled'::task_state
    ELSE 'succeeded'::task_state
END
$$;

-- No unit of the task should begin any more.
CREATE FUNCTION lathe_stops(t tasks) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT t.cancelling OR (t.fail_fast AND (t.units_failed > 0 OR t.items_failed > 0)) $$;

-- The parents of some tasks, and of the tasks those with several units, and those in `also`. Whether any has a gate to leave.
CREATE FUNCTION lathe_lock(ids uuid[], also uuid[]) RETURNS boolean LANGUAGE plpgsql AS
$$
DECLARE
    children boolean;
    several  boolean;
    limited  boolean;
BEGIN
    SELECT bool_or(parent IS NOT NULL), bool_or(id = ANY (also) OR units_total > 1),
        bool_or(terms ? 'limit' OR queue = ANY (ARRAY(SELECT q.name FROM queues q WHERE q.limited)))
    INTO children, several, limited FROM tasks WHERE id = ANY (ids);
    IF children THEN
        PERFORM FROM tasks WHERE id IN (SELECT parent FROM tasks WHERE id = ANY (ids)) ORDER BY id FOR NO KEY UPDATE;
    END IF;
    IF several THEN
        PERFORM FROM tasks WHERE id = ANY (ids) AND (id = ANY (also) OR units_total > 1) ORDER BY id FOR NO KEY UPDATE;
    END IF;
    RETURN limited;
END
$$;

-- The units of queued tasks: to work, or to wait for their time, or for their gate (lathe_enter_limited).
CREATE FUNCTION lathe_enter(ids uuid[], gates text[] DEFAULT '{}') RETURNS void LANGUAGE plpgsql AS
$$
BEGIN
    ids := lathe_enter_limited(ids, gates);
    WITH units AS MATERIALIZED (
        SELECT t.id AS task, greatest(t.run_at, now()) AS run_at, lathe_rank(greatest(t.run_at, now()), t.priority) AS rank, s AS seq,
            s * t.unit_size AS first, least(t.unit_size, t.items_total - s * t.unit_size) AS count, t.unit_kib AS kib, t.queue
        FROM tasks t, generate_series(0, t.units_total - 1) s
        WHERE t.id = ANY (ids)
    ), waits AS (
        INSERT INTO waiting (task, run_at, rank, seq, first, count, kib, attempt, tries, queue)
        SELECT task, run_at, rank, seq, first, count, kib, 1, 0, queue FROM units WHERE run_at > now()
    )
    INSERT INTO work (task, rank, seq, first, count, kib, attempt, queue)
    SELECT task, rank, seq, first, count, kib, 1, queue FROM units WHERE run_at <= now();
END
$$;

-- Moves to work what is due, and looks at `checks`; at most `room` each. next: when somebody should look again,
-- in a day at most; NULL: nothing waits for a time.
CREATE FUNCTION lathe_wake(room bigint, OUT woken bigint, OUT next timestamptz) LANGUAGE plpgsql AS
$$
DECLARE
    more record;
BEGIN
    WITH due AS (
        DELETE FROM waiting WHERE ctid = ANY (ARRAY(
            SELECT w.ctid FROM waiting w JOIN tasks t ON t.id = w.task AND (t.terms ? 'limit') IS NOT TRUE
            WHERE w.gate IS NULL AND w.run_at <= now() ORDER BY w.run_at LIMIT room FOR UPDATE OF w SKIP LOCKED))
        RETURNING *
    )
    INSERT INTO work (task, rank, seq, first, count, kib, attempt, tries, queue)
    SELECT task, rank, seq, first, count, kib, attempt, tries, queue FROM due;
    GET DIAGNOSTICS woken = ROW_COUNT;
    woken := woken + lathe_recheck(room);
    SELECT * INTO more FROM lathe_wake_gates(room);
    woken := woken + more.woken;
    next := least(more.next, (SELECT min(w.run_at) FROM waiting w WHERE w.gate IS NULL));
    IF EXISTS (SELECT FROM checks) THEN
        next := least(next, now() + interval '20 milliseconds');
    END IF;
    -- What is due and did not move is locked by somebody, who may take his time; and a time may be for ever.
    IF next <= now() AND woken < room THEN
        next := now() + interval '20 milliseconds';
    ELSIF next > now() + interval '1 day' THEN
        next := now() + interval '1 day';
    END IF;
END
$$;

-- A child of p, which is locked, became final: releases the next or ends p. over: p became final; released: the next may run.
CREATE FUNCTION lathe_advance(p uuid, OUT over boolean, OUT released boolean) LANGUAGE plpgsql AS
$$
DECLARE
    turn uuid;
BEGIN
    released := false;
    IF NOT EXISTS (SELECT FROM tasks WHERE parent = p AND state IN ('queued', 'running')) THEN
        SELECT id INTO turn FROM tasks WHERE parent = p AND state = 'scheduled' ORDER BY ord, id LIMIT 1;
        IF FOUND THEN
            UPDATE tasks SET state = 'queued' WHERE id = turn;
            PERFORM lathe_enter(ARRAY [turn]);
            released := true;
        END IF;
    END IF;
    WITH c AS (
        SELECT bool_and(lathe_final(state)) AS all_over,
               count(*) FILTER (WHERE lathe_final(state)) AS done,
               count(*) FILTER (WHERE state = 'failed') AS failed,
               count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
               bool_or(state = 'succeeded') AS any_succeeded,
               sum(items_done) AS items_done, sum(items_failed) AS items_failed, min(started_at) AS started,
               max(last_end) AS ended, sum(cpu_us) AS cpu, sum(wait_us) AS wait, max(peak_rss_kib) AS rss
        FROM tasks WHERE parent = p
    )
    UPDATE tasks t SET
        units_done = c.done, units_failed = c.failed, units_cancelled = c.cancelled,
        items_done = c.items_done, items_failed = c.items_failed,
        started_at = c.started, last_end = c.ended, cpu_us = c.cpu, wait_us = c.wait, peak_rss_kib = c.rss,
        wall_us = coalesce(extract(epoch FROM c.ended - c.started) * 1000000, 0)::bigint,
        state = CASE WHEN NOT c.all_over THEN 'running' WHEN t.cancelling THEN 'cancelled' WHEN c.any_succeeded THEN 'succeeded'
                     WHEN c.failed > 0 THEN 'failed' ELSE 'cancelled' END::task_state,
        error_code = CASE WHEN c.failed > 0 AND NOT c.any_succeeded THEN 'items-failed' END,
        error_text = CASE WHEN c.failed > 0 AND NOT c.any_succeeded THEN 'no run of it succeeded; see its children' END,
        finished_at = CASE WHEN c.all_over THEN now() END
    FROM c WHERE t.id = p AND NOT lathe_final(t.state)
    RETURNING c.all_over INTO over;
    over := coalesce(over, false);
END
$$;

-- Takes all units of some tasks that nobody has; a row each. Waiting first: what moves to work meanwhile is found there.
CREATE FUNCTION lathe_take(ids uuid[]) RETURNS SETOF uuid LANGUAGE plpgsql AS
$$
BEGIN
    RETURN QUERY DELETE FROM waiting w WHERE w.task = ANY (ids) RETURNING w.task;
    RETURN QUERY WITH gone AS (
        DELETE FROM work w WHERE w.task = ANY (ids) RETURNING w.task, w.seq
    ), freed AS (
        DELETE FROM inside i USING gone g WHERE i.task = g.task AND i.seq = g.seq
    )
    SELECT g.task FROM gone g;
END
$$;

-- Adds the ends of units to their tasks, makes final what is over, and goes on with its parent. The tasks are locked as
-- far as lathe_lock does. ended: what became final; released: there is new work, of a sibling whose turn came.
CREATE FUNCTION lathe_settle(ends lathe_tally[], OUT ended uuid[], OUT released boolean) LANGUAGE plpgsql AS
$$
DECLARE
    doomed  uuid[];
    parents uuid[];
    watched uuid[];
    more    record;
    p       uuid;
    turn    record;
BEGIN
    released := false;
    -- Under fail_fast one failed item takes the units that nobody has begun.
    doomed := ARRAY(SELECT t.id FROM tasks t JOIN unnest(ends) e ON t.id = e.task
                    WHERE t.fail_fast AND t.units_total > 1 AND e.failed + e.items_failed > 0);
    IF doomed <> '{}' THEN
        SELECT ends || coalesce(array_agg(ROW (task, 1, 0, 1, 0, 0, NULL, NULL, 0, 0, 0, 0, 0, NULL, NULL, NULL)::lathe_tally), '{}')
        INTO ends FROM lathe_take(doomed) gone(task);
    END IF;

    WITH a AS (
        SELECT task, sum(units) AS units, sum(failed) AS failed, sum(cancelled) AS cancelled,
               sum(items_done) AS items_done, sum(items_failed) AS items_failed,
               min(started) AS started, max(e.ended) AS ended, sum(wall) AS wall, sum(cpu) AS cpu, sum(wait) AS wait,
               max(rss) AS rss, sum(predicted) AS predicted, max(shape) AS shape,
               (array_agg(code) FILTER (WHERE e.failed > 0))[1] AS hard_code,
               (array_agg(detail) FILTER (WHERE e.failed > 0))[1] AS hard_detail,
               (array_agg(code) FILTER (WHERE code IS NOT NULL))[1] AS code,
               (array_agg(detail) FILTER (WHERE code IS NOT NULL))[1] AS detail
        FROM unnest(ends) e GROUP BY task
    ), done AS (
        UPDATE tasks t SET
            units_done = t.units_done + a.units,
            units_failed = t.units_failed + a.failed,
            units_cancelled = t.units_cancelled + a.cancelled,
            items_done = t.items_done + a.items_done,
            items_failed = t.items_failed + a.items_failed,
            started_at = least(t.started_at, a.started),
            last_end = greatest(t.last_end, a.ended),
            cpu_us = t.cpu_us + a.cpu,
            wait_us = t.wait_us + a.wait,
            peak_rss_kib = greatest(t.peak_rss_kib, a.rss),
            wall_us = CASE WHEN t.units_total = 1 THEN a.wall
                ELSE coalesce(extract(epoch FROM greatest(t.last_end, a.ended) - least(t.started_at, a.started)) * 1000000, 0)::bigint END,
            predicted_us = CASE WHEN t.units_total = 1 THEN a.predicted ELSE 0 END,
            shape_used = greatest(t.shape_used, a.shape),
            -- The error of a unit that failed goes before that of an item in a unit that did not, the first before later
            -- ones, and that of a try after all others.
            error_code = CASE WHEN t.units_failed = 0 AND a.failed > 0 THEN a.hard_code
                WHEN t.units_failed = 0 AND t.tries > 0 THEN coalesce(a.code, t.error_code) ELSE coalesce(t.error_code, a.code) END,
            error_text = CASE WHEN t.units_failed = 0 AND a.failed > 0 THEN a.hard_detail
                WHEN t.units_failed = 0 AND t.tries > 0 THEN coalesce(a.detail, t.error_text) ELSE coalesce(t.error_text, a.detail) END,
            state = CASE WHEN t.units_done + a.units < t.units_total THEN 'running'
                ELSE lathe_outcome(t.cancelling, t.fail_fast, (t.units_failed + a.failed)::integer,
                                   (t.units_cancelled + a.cancelled)::integer, t.items_total,
                                   (t.items_failed + a.items_failed)::integer) END,
            finished_at = CASE WHEN t.units_done + a.units >= t.units_total THEN now() END
        FROM a WHERE t.id = a.task AND NOT lathe_final(t.state)
        RETURNING t.id, t.parent, t.state, t.followed OR t.terms IS NOT NULL AS watched
    )
    SELECT array_agg(id), array_agg(DISTINCT parent) FILTER (WHERE parent IS NOT NULL), array_agg(id) FILTER (WHERE d.watched)
    INTO ended, parents, watched FROM done d WHERE lathe_final(state);

    IF watched IS NOT NULL THEN
        SELECT * INTO more FROM lathe_follow(watched);
        ended := ended || more.ended;
        released := more.released;
    END IF;

    IF parents IS NOT NULL THEN
        FOREACH p IN ARRAY parents LOOP
            SELECT * INTO turn FROM lathe_advance(p);
            released := released OR turn.released;
            IF turn.over THEN
                ended := ended || p;
            END IF;
        END LOOP;
        watched := ARRAY(SELECT id FROM tasks WHERE id = ANY (parents) AND followed AND lathe_final(state));
        IF watched <> '{}' THEN
            SELECT * INTO more FROM lathe_follow(watched);
            ended := ended || more.ended;
            released := released OR more.released;
        END IF;
    END IF;
    ended := coalesce(ended, '{}');
END
$$;

-- After this a task's units are not begun any more; NULL: they always are.
CREATE FUNCTION lathe_expires(terms jsonb) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT 'epoch'::timestamptz + (terms ->> 'expires_us')::bigint * interval '1 microsecond' $$;

-- Sends round once more those units that are still under their leases and whose task goes on; their places. What it sends
-- is not in `results`, and so is not finished; it is taken from its lease by the caller.
-- What would come after its task's time, or is put off (bump 0) for ever, is not sent round.
CREATE FUNCTION lathe_again(u_lease uuid[], u_task uuid[], u_seq bigint[], u_again bigint[], u_bump bigint[], u_code text[],
                            u_detail text[]) RETURNS bigint[] LANGUAGE plpgsql AS
$$
DECLARE
    places bigint[];
BEGIN
    WITH units AS MATERIALIZED (
        SELECT u.n, h.*, u.bump, u.code, u.detail, now() + u.again * interval '1 millisecond' AS run_at, t.priority, t.unit_kib,
            t.queue
        FROM unnest(u_lease, u_task, u_seq, u_again, u_bump, u_code, u_detail) WITH ORDINALITY
            u(lease, task, seq, again, bump, code, detail, n)
        JOIN leases l ON l.id = u.lease
        JOIN LATERAL unnest(l.tasks, l.seqs, l.attempts, l.tries, l.firsts, l.counts) h(task, seq, attempt, tries, first, count)
            ON h.task = u.task AND h.seq = u.seq
        JOIN tasks t ON t.id = u.task AND NOT lathe_final(t.state) AND NOT lathe_stops(t)
        WHERE u.again IS NOT NULL
        AND now() + u.again * interval '1 millisecond' < coalesce(lathe_expires(t.terms), 'infinity')
        AND (u.bump > 0 OR now() < greatest(t.created_at, t.run_at) + interval '7 days')
    ), waits AS (
        INSERT INTO waiting (task, run_at, rank, seq, first, count, kib, attempt, tries, queue)
        SELECT task, run_at, lathe_rank(run_at, priority), seq, first, count, unit_kib, attempt, tries + bump, queue FROM units
        ON CONFLICT DO NOTHING
    ), told AS (
        UPDATE tasks t SET tries = greatest(t.tries, u.tries),
            error_code = CASE WHEN t.units_failed = 0 THEN u.code ELSE t.error_code END,
            error_text = CASE WHEN t.units_failed = 0 THEN u.detail ELSE t.error_text END
        FROM (SELECT task, max(tries + bump) AS tries, (array_agg(code ORDER BY n DESC))[1] AS code,
                  (array_agg(detail ORDER BY n DESC))[1] AS detail FROM units WHERE bump > 0 GROUP BY task) u
        WHERE t.id = u.task
    )
    SELECT array_agg(n) INTO places FROM units;
    -- A unit that is asked for again and again is still on its lease until it is shortened.
    UPDATE leases l SET (tasks, seqs, attempts, tries, firsts, counts) = (
        SELECT array_agg(h.task), array_agg(h.seq), array_agg(h.attempt), array_agg(h.tries), array_agg(h.first), array_agg(h.count)
        FROM unnest(l.tasks, l.seqs, l.attempts, l.tries, l.firsts, l.counts) h(task, seq, attempt, tries, first, count)
        WHERE (h.task, h.seq) NOT IN (SELECT u_task[n], u_seq[n] FROM unnest(places) n))
    WHERE l.id IN (SELECT u_lease[n] FROM unnest(places) n) AND l.remaining > (SELECT count(*) FROM unnest(places) n WHERE u_lease[n] = l.id);
    RETURN places;
END
$$;

-- Finishes units under their leases; the arrays run in step, u_* an entry a unit, p_* an entry a part of a result (p_unit:
-- the place of its unit, from 1). An answer a unit, in their order: applied (its lease held it, now or when the same was
-- called before), whether its task is final, the task's parent, whether that is final, whether others waited for one of
-- the two. sent_us is the worker's clock when
-- it called: its times are told relative to ours. u_again: ms after which the unit is to be run once more, NULL: never;
-- u_bump: whether that counts as a failure.
CREATE FUNCTION lathe_finish(
    sent_us bigint, u_lease uuid[], u_task uuid[], u_seq bigint[], u_state text[], u_done bigint[], u_failed bigint[],
    u_processes bigint[], u_threads bigint[], u_width bigint[], u_grain bigint[],
    u_wall bigint[], u_cpu bigint[], u_wait bigint[], u_rss bigint[], u_predicted bigint[], u_start bigint[], u_end bigint[],
    u_code text[], u_detail text[], u_again bigint[], u_bump bigint[], p_unit bigint[], p_part bigint[], p_first bigint[], p_bytes bytea[]
) RETURNS TABLE (applied boolean, final boolean, over_parent uuid, parent_final boolean, followed boolean) LANGUAGE plpgsql AS
$$
DECLARE
    fresh bigint[]; -- places of the units that this call finishes
    again bigint[]; -- and of those that it sends round once more
    limited boolean;
    tried uuid[] := ARRAY(SELECT a.task FROM unnest(u_task, u_again) a(task, again) WHERE a.again IS NOT NULL);
BEGIN
    PERFORM FROM leases l WHERE l.id = ANY (u_lease) ORDER BY l.id FOR UPDATE;
    limited := lathe_lock(u_task, tried);
    IF tried <> '{}' THEN
        again := lathe_again(u_lease, u_task, u_seq, u_again, u_bump, u_code, u_detail);
    END IF;

    -- IN (...) IS TRUE: looked up in a hash. As joins these would be nested loops over both sides, because nobody can tell
    -- the planner how long the arrays of a lease are.
    WITH mine AS MATERIALIZED (
        SELECT u.* FROM unnest(u_lease, u_task, u_seq::integer[]) WITH ORDINALITY u(lease, task, seq, n)
        WHERE ((u.lease, u.task, u.seq) IN (
            SELECT l.id, h.task, h.seq FROM leases l, unnest(l.tasks, l.seqs) h(task, seq) WHERE l.id = ANY (u_lease))) IS TRUE
        AND (again IS NULL OR u.n <> ALL (again))
    ), kept AS (
        INSERT INTO results AS r (task, lease, seq, part, first, bytes)
        SELECT u_task[p.unit], u_lease[p.unit], u_seq[p.unit], p.part, p.first, p.bytes
        FROM unnest(p_unit, p_part, p_first, p_bytes) p(unit, part, first, bytes) WHERE (p.unit IN (SELECT m.n FROM mine m)) IS TRUE
        ON CONFLICT DO NOTHING RETURNING r.task, r.seq, r.part
    )
    SELECT array_agg(m.n) INTO fresh FROM mine m
    WHERE ((m.task, m.seq) IN (SELECT k.task, k.seq FROM kept k WHERE k.part = 0)) IS TRUE;

    IF fresh IS NOT NULL THEN
        PERFORM lathe_settle(array_agg(ROW (
            u_task[n], 1, (u_state[n] = 'failed')::integer, (u_state[n] = 'cancelled')::integer, u_done[n], u_failed[n],
            now() + (u_start[n] - sent_us) * interval '1 microsecond', now() + (u_end[n] - sent_us) * interval '1 microsecond',
            u_wall[n], u_cpu[n], u_wait[n], u_rss[n], u_predicted[n],
            CASE WHEN u_threads[n] > 0 THEN ARRAY [u_processes[n], u_threads[n], u_width[n], u_grain[n]]::integer[] END,
            u_code[n], u_detail[n])::lathe_tally))
        FROM unnest(fresh) n;
    END IF;

    IF fresh IS NOT NULL OR again IS NOT NULL THEN
        -- Most leases end here: all their units at once.
        WITH f AS (
            SELECT u_lease[n] AS id, count(*) AS n FROM unnest(fresh || again) n GROUP BY 1
        ), gone AS (
            DELETE FROM leases l USING f WHERE l.id = f.id AND l.remaining = f.n
        )
        UPDATE leases l SET remaining = l.remaining - f.n FROM f WHERE l.id = f.id AND l.remaining > f.n;
        IF limited THEN
            PERFORM lathe_leave(array_agg(u_task[n]), array_agg(u_seq[n]::integer), false) FROM unnest(fresh || again) n;
        END IF;
    END IF;

    RETURN QUERY
    SELECT r.done IS NOT NULL OR coalesce(u.n = ANY (again), false), coalesce(lathe_final(t.state), false), t.parent, coalesce(lathe_final(p.state), false),
        coalesce(t.followed OR p.followed, false)
    FROM unnest(u_lease, u_task, u_seq::integer[]) WITH ORDINALITY u(lease, task, seq, n)
    LEFT JOIN LATERAL (SELECT true AS done FROM results r WHERE r.task = u.task AND r.seq = u.seq AND r.part = 0
                       AND r.lease = u.lease OFFSET 0) r ON true
    LEFT JOIN tasks t ON t.id = u.task
    LEFT JOIN tasks p ON p.id = t.parent
    ORDER BY u.n;
END
$$;

-- The same for most tasks there are: their only unit, without a parent and terms, with a result that fits into the task's
-- row (NULL never; bytes). One update for all. u_state: 0 succeeded, 1 failed, 2 cancelled; an array that would be all zeros or
-- NULLs may be empty. more_leases: of what this transaction finishes next, since leases are locked first. applied: places of
-- the units that count as in lathe_finish, NULL: all; their tasks are final. followed: others waited for one of them.
CREATE FUNCTION lathe_finish_alone(
    sent_us bigint, u_lease uuid[], u_task uuid[], u_bytes bytea[], u_state bigint[], u_done bigint[], u_failed bigint[],
    u_processes bigint[], u_threads bigint[], u_width bigint[], u_grain bigint[],
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
        UPDATE tasks t SET
            units_done = 1,
            units_failed = (coalesce(u.state, 0) = 1)::integer,
            units_cancelled = (coalesce(u.state, 0) = 2)::integer,
            items_done = u.done,
            items_failed = coalesce(u.failed, 0),
            started_at = to_timestamp(base + (u.begun - sent_us) / 1e6::double precision),
            last_end = to_timestamp(base + (u.over - sent_us) / 1e6::double precision),
            finished_at = now(),
            wall_us = coalesce(u.wall, 0), cpu_us = coalesce(u.cpu, 0), wait_us = coalesce(u.wait, 0),
            peak_rss_kib = coalesce(u.rss, 0), predicted_us = coalesce(u.predicted, 0),
            shape_used = CASE WHEN u.threads > 0
                THEN ARRAY [coalesce(u.processes, 0)::integer, u.threads::integer, u.width::integer, u.grain::integer] END,
            error_code = u.code, error_text = u.detail,
            state = lathe_outcome(t.cancelling, t.fail_fast, (coalesce(u.state, 0) = 1)::integer,
                                  (coalesce(u.state, 0) = 2)::integer, t.items_total, coalesce(u.failed, 0)::integer),
            lease = u.lease, result = u.bytes
        FROM unnest(u_lease, u_task, u_bytes, u_state, u_done, u_failed, u_processes, u_threads, u_width, u_grain, u_wall, u_cpu,
                    u_wait, u_rss, u_predicted, u_start, u_end, u_code, u_detail)
            u(lease, task, bytes, state, done, failed, processes, threads, width, grain, wall, cpu,
              wait, rss, predicted, begun, over, code, detail)
        WHERE t.id = u.task AND NOT lathe_final(t.state)
        AND ((u.lease, u.task) IN (SELECT l.id, unnest(l.tasks) FROM leases l WHERE l.id = ANY (u_lease))) IS TRUE
        RETURNING u.lease, t.id, t.followed
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
            SELECT u.n FROM unnest(u_lease, u_task) WITH ORDINALITY u(lease, task, n) JOIN tasks t ON t.id = u.task
            WHERE t.lease = u.lease
            OR EXISTS (SELECT FROM results r WHERE r.task = u.task AND r.seq = 0 AND r.part = 0 AND r.lease = u.lease));
        followed := true; -- whoever called before may not have heard of it
    END IF;
END
$$;

-- Units that their worker does not finish: back to work at the place that they had, each with `bump` added to its attempt;
-- failed when that is more than `most`; cancelled when their task stops anyway. Their lease is locked and gone by the end of the transaction.
CREATE FUNCTION lathe_return(units lathe_unit[], bump integer, most integer, OUT requeued bigint, OUT failed bigint,
                             OUT ended uuid[], OUT released boolean) LANGUAGE plpgsql AS
$$
DECLARE
    lost lathe_tally[];
    ids  constant uuid[] := ARRAY(SELECT DISTINCT u.task FROM unnest(units) u);
    why  constant text := format('every worker that ran it was lost (%s)', most);
    limited constant boolean := lathe_lock(ids, ids);
BEGIN
    -- What was finished is not returned.
    units := ARRAY(SELECT u FROM unnest(units) u JOIN tasks t ON t.id = u.task AND NOT lathe_final(t.state)
                   WHERE NOT EXISTS (SELECT FROM results r WHERE r.task = u.task AND r.seq = u.seq AND r.part = 0));

    INSERT INTO work (task, rank, seq, first, count, kib, attempt, tries, queue)
    SELECT u.task, lathe_rank(greatest(t.run_at, t.created_at), t.priority), u.seq, u.first, u.count, t.unit_kib, u.attempt + bump,
        u.tries, t.queue
    FROM unnest(units) u JOIN tasks t ON t.id = u.task
    WHERE u.attempt + bump <= most AND NOT lathe_stops(t);
    GET DIAGNOSTICS requeued = ROW_COUNT;

    IF bump > 0 THEN
        UPDATE tasks t SET attempt = greatest(t.attempt, least(u.attempt + bump, most))
        FROM (SELECT task, max(attempt) AS attempt FROM unnest(units) GROUP BY task) u WHERE t.id = u.task;
        INSERT INTO logs (task, at, seq, lease, bytes)
        SELECT u.task, now(), u.seq, u.lease, convert_to(format(E'{"at":"%s","unit":%s,"try":%s,"text":"attempt %s: its worker was lost, or may have been for it"}\n',
            to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), u.seq, u.tries + 1, u.attempt), 'UTF8')
        FROM unnest(units) u ON CONFLICT DO NOTHING;
    END IF;

    -- One line an item, as a worker would have written it.
    INSERT INTO results (task, lease, seq, part, first, bytes)
    SELECT u.task, u.lease, u.seq, i / 500, u.first + i / 500 * 500, convert_to(string_agg(
        '{"index":' || u.first + i || ',"state":"failed","error":{"type":"worker-lost","detail":"' || why || E'"}}\n', '' ORDER BY i), 'UTF8')
    FROM unnest(units) u JOIN tasks t ON t.id = u.task, generate_series(0, greatest(u.count - 1, 0)) i
    WHERE u.attempt + bump > most AND NOT lathe_stops(t)
    GROUP BY u.task, u.lease, u.seq, u.first, i / 500;

    SELECT count(*) FILTER (WHERE NOT stops),
        array_agg(ROW (task, 1, (NOT stops)::integer, stops::integer,
            CASE WHEN stops THEN 0 ELSE count END, CASE WHEN stops THEN 0 ELSE count END,
            NULL, NULL, 0, 0, 0, 0, 0, NULL, CASE WHEN stops THEN NULL ELSE 'worker-lost' END, why)::lathe_tally)
    INTO failed, lost
    FROM (SELECT u.task, u.count, lathe_stops(t) AS stops FROM unnest(units) u JOIN tasks t ON t.id = u.task
          WHERE u.attempt + bump > most OR lathe_stops(t)) x;
    SELECT s.ended, s.released INTO ended, released FROM lathe_settle(lost) s;
    IF limited THEN
        -- What is at work again is under no lease: in the gate of its key still, but not in that of its queue.
        PERFORM lathe_leave(array_agg(u.task), array_agg(u.seq), EXISTS (SELECT FROM work w WHERE w.task = u.task AND w.seq = u.seq))
        FROM unnest(units) u GROUP BY EXISTS (SELECT FROM work w WHERE w.task = u.task AND w.seq = u.seq);
    END IF;
END
$$;

-- Gives back units, each with `bump` added to its attempt, of `most`; the arrays run in step, an entry a unit, or a lease and NULL:
-- all of it.
CREATE FUNCTION lathe_release(u_lease uuid[], u_task uuid[], u_seq bigint[], bump integer, most integer, OUT ended uuid[],
                              OUT released boolean) LANGUAGE plpgsql AS
$$
DECLARE
    whole uuid[] := ARRAY(SELECT u.lease FROM unnest(u_lease, u_task, u_seq) u(lease, task, seq) WHERE u.task IS NULL);
    units lathe_unit[];
BEGIN
    PERFORM FROM leases l WHERE l.id = ANY (u_lease) ORDER BY l.id FOR UPDATE;
    units := ARRAY(SELECT ROW (l.id, h.*)::lathe_unit
                   FROM leases l,
                       unnest(l.tasks, l.seqs, l.attempts, l.tries, l.firsts, l.counts) h(task, seq, attempt, tries, first, count)
                   WHERE l.id = ANY (u_lease)
                   AND (l.id = ANY (whole) OR ((l.id, h.task, h.seq) IN (SELECT * FROM unnest(u_lease, u_task, u_seq))) IS TRUE)
                   AND NOT EXISTS (SELECT FROM results r WHERE r.task = h.task AND r.seq = h.seq AND r.part = 0)
                   AND NOT EXISTS (SELECT FROM tasks t WHERE t.id = h.task AND t.lease IS NOT NULL));
    -- What was given back is no longer under the fence.
    WITH given AS (
        SELECT l.id, l.id = ANY (whole) OR l.remaining <= count(g.task) AS gone, l.remaining - count(g.task) AS remaining
        FROM leases l LEFT JOIN unnest(units) g ON g.lease = l.id WHERE l.id = ANY (u_lease) GROUP BY l.id
    ), gone AS (
        DELETE FROM leases l USING given g WHERE l.id = g.id AND g.gone
    )
    UPDATE leases l SET (remaining, tasks, seqs, attempts, tries, firsts, counts) = (
        SELECT g.remaining, array_agg(h.task), array_agg(h.seq), array_agg(h.attempt), array_agg(h.tries), array_agg(h.first),
            array_agg(h.count)
        FROM unnest(l.tasks, l.seqs, l.attempts, l.tries, l.firsts, l.counts) h(task, seq, attempt, tries, first, count)
        WHERE (l.id, h.task, h.seq) NOT IN (SELECT u.lease, u.task, u.seq FROM unnest(units) u))
    FROM given g WHERE l.id = g.id AND NOT g.gone AND g.remaining < l.remaining;
    SELECT r.ended, r.released INTO ended, released FROM lathe_return(units, bump, CASE WHEN bump > 0 THEN most ELSE 32767 END) r;
END
$$;

-- Housekeeping by one at a time. Leases that nobody renewed are taken back; at most `room` in one go. dead: rows of work
-- that were claimed and are in the way until somebody vacuums.
CREATE FUNCTION lathe_reap(most integer, room integer, OUT leader boolean, OUT leases_n bigint, OUT requeued bigint,
                           OUT failed bigint, OUT ended uuid[], OUT released boolean, OUT dead bigint, OUT leaked bigint) LANGUAGE plpgsql AS
$$
DECLARE
    patience constant text := current_setting('lock_timeout');
    expired  uuid[];
    units    lathe_unit[];
BEGIN
    leases_n := 0; requeued := 0; failed := 0; ended := '{}'; released := false; dead := pg_stat_get_dead_tuples('work'::regclass);
    leaked := 0;
    leader := pg_try_advisory_xact_lock(7523458001);
    IF NOT leader THEN
        RETURN;
    END IF;
    DELETE FROM workers WHERE seen_at < now() - interval '10 minutes';
    PERFORM lathe_tidy_keys(10 * room);
    PERFORM lathe_tidy_dead(10 * room);
    -- What no run told of for three months; neither a row that is being learned from nor a locked table is waited for.
    BEGIN
        PERFORM set_config('lock_timeout', '50ms', true);
        DELETE FROM profiles WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM profiles WHERE seen_on < current_date - 90 LIMIT 10 * room FOR UPDATE SKIP LOCKED));
        DELETE FROM corrections WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM corrections WHERE seen_on < current_date - 90 LIMIT 10 * room FOR UPDATE SKIP LOCKED));
        PERFORM set_config('lock_timeout', patience, true);
    EXCEPTION WHEN lock_not_available THEN
        NULL;
    END;
    expired := ARRAY(SELECT id FROM leases WHERE until < now() ORDER BY id LIMIT room FOR UPDATE SKIP LOCKED);
    IF expired = '{}' THEN
        leaked := lathe_tidy(room);
        RETURN;
    END IF;
    units := ARRAY(SELECT ROW (l.id, h.*)::lathe_unit
                   FROM leases l,
                       unnest(l.tasks, l.seqs, l.attempts, l.tries, l.firsts, l.counts) h(task, seq, attempt, tries, first, count)
                   WHERE l.id = ANY (expired));
    DELETE FROM leases WHERE id = ANY (expired);
    leases_n := cardinality(expired);
    SELECT r.requeued, r.failed, r.ended, r.released INTO requeued, failed, ended, released FROM lathe_return(units, 1, most) r;
    leaked := lathe_tidy(room);
END
$$;

-- Takes the units that nobody has and marks the rest; of a container, its children's. It is called from sessions that
-- have joins of every kind, hence the settings.
CREATE FUNCTION lathe_cancel(task uuid, OUT ended uuid[], OUT released boolean) LANGUAGE plpgsql
    SET enable_hashjoin = off SET enable_mergejoin = off AS
$$
DECLARE
    t       tasks;
    targets uuid[];
    lost    lathe_tally[];
BEGIN
    ended := '{}';
    released := false;
    SELECT * INTO t FROM tasks WHERE id = task;
    IF NOT FOUND OR lathe_final(t.state) THEN
        RETURN;
    END IF;
    IF t.container THEN
        PERFORM FROM tasks WHERE id = task FOR NO KEY UPDATE;
        targets := ARRAY(SELECT id FROM tasks WHERE parent = task AND NOT lathe_final(state) ORDER BY id FOR NO KEY UPDATE);
    ELSE
        PERFORM lathe_lock(ARRAY [task], ARRAY [task]);
        targets := ARRAY [task];
    END IF;

    UPDATE tasks SET cancelling = true
    WHERE (id = task OR id = ANY (targets)) AND NOT cancelling AND NOT lathe_final(state);

    -- A child that waits for its turn has no units at work: they go all at once.
    WITH n AS (
        SELECT gone.task, count(*) AS units FROM lathe_take(targets) gone(task) GROUP BY gone.task
        UNION ALL
        SELECT id, units_total FROM tasks WHERE id = ANY (targets) AND state = 'scheduled'
    )
    SELECT array_agg(ROW (n.task, units, 0, units, 0, 0, NULL, NULL, 0, 0, 0, 0, 0, NULL, NULL, NULL)::lathe_tally)
    INTO lost FROM n;
    SELECT s.ended, s.released INTO ended, released FROM lathe_settle(lost) s;
    released := lathe_admit(lathe_keys(targets)) > 0 OR released;
END
$$;
