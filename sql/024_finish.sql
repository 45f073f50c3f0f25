-- The ends of units that lathe_finish_many does not do, again, without a join between what a turn has and a table: a plan that was
-- made when a table was empty, or was believed to be, may begin such a join at the table, and then five ends beside 5,000 tasks read
-- twenty-five million entries of an index. A row of tasks, leases, results or inside is found by its key here, and what belongs to it by
-- a binary search or in a hash: whatever is believed of the table, no more of it is read. What is replaced stood in 002 and 004.

-- The parents of some tasks, and of the tasks those with several units, and those in `also`. Whether any has a gate to leave.
CREATE OR REPLACE FUNCTION lathe_lock(ids uuid[], also uuid[]) RETURNS boolean LANGUAGE plpgsql AS
$$
DECLARE
    parents  uuid[];
    several  boolean;
    limited  boolean;
BEGIN
    SELECT array_agg(DISTINCT parent) FILTER (WHERE parent IS NOT NULL), bool_or(id = ANY (also) OR units_total > 1),
        bool_or(terms ? 'limit' OR queue = ANY (ARRAY(SELECT q.name FROM queues q WHERE q.limited)))
    INTO parents, several, limited FROM tasks WHERE id = ANY (ids);
    IF parents IS NOT NULL THEN
        PERFORM FROM tasks WHERE id = ANY (parents) ORDER BY id FOR NO KEY UPDATE;
    END IF;
    IF several THEN
        PERFORM FROM tasks WHERE id = ANY (ids) AND (id = ANY (also) OR units_total > 1) ORDER BY id FOR NO KEY UPDATE;
    END IF;
    RETURN limited;
END
$$;

-- Adds the ends of units to their tasks, makes final what is over, and goes on with its parent. The tasks are locked as
-- far as lathe_lock does. ended: what became final; released: there is new work, of a sibling whose turn came.
CREATE OR REPLACE FUNCTION lathe_settle(ends lathe_tally[], OUT ended uuid[], OUT released boolean) LANGUAGE plpgsql AS
$$
DECLARE
    doomed   uuid[];
    parents  uuid[];
    watched  uuid[];
    more     record;
    p        uuid;
    turn     record;
    -- The sums of each task, in the order of their ids.
    s_task   uuid[];
    s_units  bigint[];
    s_failed bigint[];
    s_cancelled bigint[];
    s_items_done bigint[];
    s_items_failed bigint[];
    s_started timestamptz[];
    s_ended  timestamptz[];
    s_wall   bigint[];
    s_cpu    bigint[];
    s_wait   bigint[];
    s_rss    bigint[];
    s_predicted bigint[];
    s_processes integer[];
    s_threads integer[];
    s_width  integer[];
    s_grain  integer[];
    s_code   text[]; -- of a unit that failed, before that of an item in one that did not
    s_detail text[];
BEGIN
    released := false;
    -- Under fail_fast one failed item takes the units that nobody has begun.
    doomed := ARRAY(SELECT e.task FROM unnest(ends) e, LATERAL (
                        SELECT FROM tasks t WHERE t.id = e.task AND t.fail_fast AND t.units_total > 1 OFFSET 0) t
                    WHERE e.failed + e.items_failed > 0);
    IF doomed <> '{}' THEN
        SELECT ends || coalesce(array_agg(ROW (task, 1, 0, 1, 0, 0, NULL, NULL, 0, 0, 0, 0, 0, NULL, NULL, NULL)::lathe_tally), '{}')
        INTO ends FROM lathe_take(doomed) gone(task);
    END IF;

    SELECT array_agg(task), array_agg(units), array_agg(failed), array_agg(cancelled), array_agg(items_done), array_agg(items_failed),
        array_agg(s.started), array_agg(s.ended), array_agg(wall), array_agg(cpu), array_agg(wait), array_agg(rss), array_agg(predicted),
        array_agg(shape[1]), array_agg(shape[2]), array_agg(shape[3]), array_agg(shape[4]), array_agg(code), array_agg(detail)
    INTO s_task, s_units, s_failed, s_cancelled, s_items_done, s_items_failed, s_started, s_ended, s_wall, s_cpu, s_wait, s_rss,
        s_predicted, s_processes, s_threads, s_width, s_grain, s_code, s_detail
    FROM (
        SELECT task, sum(units) AS units, sum(e.failed) AS failed, sum(cancelled) AS cancelled,
            sum(items_done) AS items_done, sum(items_failed) AS items_failed, min(started) AS started, max(e.ended) AS ended,
            sum(wall)::bigint AS wall, sum(cpu)::bigint AS cpu, sum(wait)::bigint AS wait, max(rss) AS rss,
            sum(predicted)::bigint AS predicted, max(shape) AS shape,
            (array_agg(code ORDER BY e.failed DESC, e.ordinality) FILTER (WHERE code IS NOT NULL))[1] AS code,
            (array_agg(detail ORDER BY e.failed DESC, e.ordinality) FILTER (WHERE code IS NOT NULL))[1] AS detail
        FROM unnest(ends) WITH ORDINALITY e GROUP BY task ORDER BY task
    ) s;

    WITH done AS (
        UPDATE tasks t SET (units_done, units_failed, units_cancelled, items_done, items_failed, started_at, last_end, cpu_us, wait_us,
            peak_rss_kib, wall_us, predicted_us, shape_used, error_code, error_text, state, finished_at) = (
            SELECT u.done, u.failed, u.cancelled, t.items_done + s_items_done[n], u.items_failed, u.started, u.ended,
                t.cpu_us + s_cpu[n], t.wait_us + s_wait[n], greatest(t.peak_rss_kib, s_rss[n]),
                CASE WHEN t.units_total = 1 THEN s_wall[n]
                    ELSE coalesce(extract(epoch FROM u.ended - u.started) * 1000000, 0)::bigint END,
                CASE WHEN t.units_total = 1 THEN s_predicted[n] ELSE 0 END,
                greatest(t.shape_used, CASE WHEN s_threads[n] IS NOT NULL
                    THEN ARRAY [s_processes[n], s_threads[n], s_width[n], s_grain[n]] END),
                -- Of what failed the first goes before later ones, and what is of a try after all others.
                CASE WHEN u.newer THEN s_code[n] ELSE coalesce(t.error_code, s_code[n]) END,
                CASE WHEN u.newer THEN s_detail[n] ELSE coalesce(t.error_text, s_detail[n]) END,
                CASE WHEN u.done < t.units_total THEN 'running'
                    ELSE lathe_outcome(t.cancelling, t.fail_fast, u.failed, u.cancelled, t.items_total, u.items_failed) END,
                CASE WHEN u.done >= t.units_total THEN now() END
            FROM (SELECT n, (t.units_done + s_units[n])::integer AS done, (t.units_failed + s_failed[n])::integer AS failed,
                    (t.units_cancelled + s_cancelled[n])::integer AS cancelled,
                    (t.items_failed + s_items_failed[n])::integer AS items_failed,
                    least(t.started_at, s_started[n]) AS started, greatest(t.last_end, s_ended[n]) AS ended,
                    t.units_failed = 0 AND (s_failed[n] > 0 OR t.tries > 0 AND s_code[n] IS NOT NULL) AS newer
                  FROM (SELECT width_bucket(t.id, s_task) AS n OFFSET 0) at OFFSET 0) u)
        WHERE t.id = ANY (s_task) AND NOT lathe_final(t.state)
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

-- Sends round once more those units that are still under their leases and whose task goes on; their places. What it sends
-- is not in `results`, and so is not finished; it is taken from its lease by the caller.
-- What would come after its task's time, or is put off (bump 0) for ever, is not sent round.
CREATE OR REPLACE FUNCTION lathe_again(u_lease uuid[], u_task uuid[], u_seq bigint[], u_again bigint[], u_bump bigint[],
                                       u_code text[], u_detail text[]) RETURNS bigint[] LANGUAGE plpgsql AS
$$
DECLARE
    places bigint[];
    r      record;
BEGIN
    FOR r IN
        WITH units AS MATERIALIZED (
            SELECT u.n, h.*, u.bump, u.code, u.detail, now() + u.again * interval '1 millisecond' AS run_at, t.priority, t.unit_kib,
                t.queue
            FROM unnest(u_lease, u_task, u_seq, u_again, u_bump, u_code, u_detail) WITH ORDINALITY
                u(lease, task, seq, again, bump, code, detail, n),
            LATERAL (SELECT s.* FROM tasks s WHERE s.id = u.task AND NOT lathe_final(s.state) AND NOT lathe_stops(s) OFFSET 0) t,
            LATERAL (SELECT h.* FROM leases l, unnest(l.tasks, l.seqs, l.attempts, l.tries, l.firsts, l.counts)
                         h(task, seq, attempt, tries, first, count)
                     WHERE l.id = u.lease AND h.task = u.task AND h.seq = u.seq OFFSET 0) h
            WHERE u.again IS NOT NULL
            AND now() + u.again * interval '1 millisecond' < coalesce(lathe_expires(t.terms), 'infinity')
            AND (u.bump > 0 OR now() < greatest(t.created_at, t.run_at) + interval '7 days')
        ), waits AS (
            INSERT INTO waiting (task, run_at, rank, seq, first, count, kib, attempt, tries, queue)
            SELECT task, run_at, lathe_rank(run_at, priority), seq, first, count, unit_kib, attempt, tries + bump, queue FROM units
            ON CONFLICT DO NOTHING
        )
        SELECT task, array_agg(n) AS places, max(tries + bump) FILTER (WHERE bump > 0) AS tries,
            (array_agg(code ORDER BY n DESC) FILTER (WHERE bump > 0))[1] AS code,
            (array_agg(detail ORDER BY n DESC) FILTER (WHERE bump > 0))[1] AS detail
        FROM units GROUP BY task ORDER BY task
    LOOP
        places := places || r.places;
        IF r.tries IS NOT NULL THEN
            UPDATE tasks t SET tries = greatest(t.tries, r.tries),
                error_code = CASE WHEN t.units_failed = 0 THEN r.code ELSE t.error_code END,
                error_text = CASE WHEN t.units_failed = 0 THEN r.detail ELSE t.error_text END
            WHERE t.id = r.task;
        END IF;
    END LOOP;
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
-- the two. sent_us is the worker's clock when it called: its times are told relative to ours. u_again: ms after which the
-- unit is to be run once more, NULL: never; u_bump: whether that counts as a failure.
CREATE OR REPLACE FUNCTION lathe_finish(
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
            DELETE FROM leases l WHERE l.id = ANY (u_lease) AND l.remaining = (SELECT f.n FROM f WHERE f.id = l.id)
        )
        UPDATE leases l SET remaining = l.remaining - (SELECT f.n FROM f WHERE f.id = l.id)
        WHERE l.id = ANY (u_lease) AND l.remaining > (SELECT f.n FROM f WHERE f.id = l.id);
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
    LEFT JOIN LATERAL (SELECT s.state, s.parent, s.followed FROM tasks s WHERE s.id = u.task OFFSET 0) t ON true
    LEFT JOIN LATERAL (SELECT s.state, s.followed FROM tasks s WHERE s.id = t.parent OFFSET 0) p ON true
    ORDER BY u.n;
END
$$;

-- Units that are at work no more (queues_only: that are, but under no lease) leave their gates, and others enter.
CREATE OR REPLACE FUNCTION lathe_leave(u_task uuid[], u_seq integer[], queues_only boolean) RETURNS bigint LANGUAGE plpgsql AS
$$
DECLARE
    names text[];
BEGIN
    WITH gone AS (
        DELETE FROM inside i WHERE i.task = ANY (u_task) AND ((i.task, i.seq) IN (SELECT * FROM unnest(u_task, u_seq))) IS TRUE
        AND (NOT queues_only OR starts_with(i.gate, 'queue/'))
        RETURNING i.gate
    )
    SELECT array_agg(DISTINCT gate) FILTER (WHERE starts_with(gate, 'key/')) INTO names FROM gone;
    RETURN lathe_admit(names);
END
$$;
