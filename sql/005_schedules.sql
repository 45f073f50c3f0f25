-- Tasks that come by the clock. A row is read and moved on by one worker at a time (lathe_due), in the transaction that
-- inserts what it fires.
CREATE TABLE schedules (
    name       text PRIMARY KEY,
    next_at    timestamptz,                         -- NULL: never again
    last_at    timestamptz,                         -- the time for which it fired last
    last_task  uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    run_at     timestamptz,                         -- one of these three says when
    every_s    bigint,
    fired      bigint NOT NULL DEFAULT 0,
    paused     boolean NOT NULL,
    cron       text,
    timezone   text NOT NULL,
    missed     text NOT NULL,
    strategy   text NOT NULL,
    body       text NOT NULL,                       -- the submission, JSON
    error      text,                                -- why the last time made no task; NULL: it did
    CONSTRAINT one_clock CHECK (num_nonnulls(run_at, every_s, cron) = 1)
) WITH (fillfactor = 50);

CREATE INDEX schedules_due ON schedules (next_at) WHERE NOT paused;

-- The schedule that is due longest, locked until the end of the transaction; none while somebody else fires. Such a
-- transaction is open for a moment: who hangs in it is thrown out.
CREATE FUNCTION lathe_due() RETURNS SETOF schedules LANGUAGE plpgsql AS
$$
BEGIN
    PERFORM set_config('idle_in_transaction_session_timeout', '5s', true);
    IF pg_try_advisory_xact_lock(7523458002) THEN
        RETURN QUERY SELECT * FROM schedules WHERE NOT paused AND next_at <= clock_timestamp() ORDER BY next_at LIMIT 1
                     FOR UPDATE SKIP LOCKED;
    END IF;
END
$$;

-- ---- what failed, and running it again

-- The failed tasks: a row from the failure until somebody runs it again, so that they are found without an index over the
-- state of all tasks, which every end would have to write to.
CREATE TABLE dead (
    task    uuid PRIMARY KEY,
    code    text NOT NULL,      -- as TASK_COLUMNS shows it
    handler text NOT NULL,
    strategy text NOT NULL,
    queue   text NOT NULL
);

CREATE FUNCTION lathe_bury() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    INSERT INTO dead (task, code, handler, strategy, queue)
    VALUES (NEW.id, CASE WHEN NEW.units_failed = 0 THEN 'items-failed' ELSE coalesce(NEW.error_code, 'internal') END, NEW.handler, NEW.strategy,
        NEW.queue)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

CREATE TRIGGER tasks_fail AFTER UPDATE OF state ON tasks FOR EACH ROW
    WHEN (NEW.state = 'failed' AND OLD.state <> 'failed') EXECUTE FUNCTION lathe_bury();

-- Of a part of a unit's results: its lines, and how many of them are no success. Only what contains the words of such a
-- line anywhere is looked at line by line.
CREATE FUNCTION lathe_lines(bytes bytea, OUT total bigint, OUT bad bigint) LANGUAGE plpgsql IMMUTABLE AS
$$
DECLARE
    lines constant text := convert_from(bytes, 'UTF8');
BEGIN
    total := length(lines) - length(replace(lines, E'\n', ''));
    bad := 0;
    IF position('"state":"failed"' IN lines) > 0 OR position('"state":"cancelled"' IN lines) > 0 THEN
        bad := total - (SELECT count(*) FROM regexp_matches(lines, '^\{"index":[0-9]+,"state":"succeeded"', 'gn'));
    END IF;
END
$$;

-- The units of these tasks of which every item succeeded; of a task that has no other, none: something else ended it.
CREATE FUNCTION lathe_whole_units(ids uuid[]) RETURNS TABLE (task uuid, seq integer) LANGUAGE sql STABLE AS
$$
SELECT w.id, w.seq FROM (
    SELECT t.id, t.units_total, r.seq, count(*) OVER (PARTITION BY t.id) AS units
    FROM tasks t JOIN results r ON r.task = t.id, lathe_lines(r.bytes) l
    WHERE t.id = ANY (ids)
    GROUP BY t.id, r.seq
    HAVING sum(l.bad) = 0 AND sum(l.total) = least(t.unit_size, t.items_total - r.seq * t.unit_size)) w
WHERE w.units < w.units_total
$$;

-- Why a task that is over cannot be run again; NULL: it can.
CREATE FUNCTION lathe_retry_refusal(t tasks, failed_only boolean) RETURNS text LANGUAGE sql STABLE AS
$$
SELECT CASE
    WHEN NOT lathe_final(t.state) THEN 'state'
    WHEN t.container OR t.parent IS NOT NULL THEN 'comparison'
    WHEN t.state = 'succeeded' AND NOT (failed_only AND t.items_failed > 0) THEN 'succeeded'
    WHEN t.terms -> 'depends_on' IS NOT NULL AND t.terms ->> 'depends_if' IS DISTINCT FROM 'end' AND EXISTS (
        SELECT FROM jsonb_array_elements_text(t.terms -> 'depends_on') d(id) JOIN tasks n ON n.id = d.id::uuid
        WHERE n.state IN ('failed', 'cancelled')) THEN 'needs'
END
$$;

-- Runs tasks again that are over, under their ids: with failed_only the units in which an item did not succeed, else all of them. Their results
-- are deleted, and what they added to the counters is taken back. A row for each of `ids`; refusal: why not ('none': there is no
-- such task; 'taken': its unique key is another's), NULL: it runs again, or does as soon as what it needs has ended.
-- A lease may list units that are finished: they are struck out, because what said that they are is deleted.
CREATE FUNCTION lathe_retry(ids uuid[], failed_only boolean) RETURNS TABLE (task uuid, refusal text)
LANGUAGE plpgsql SET enable_hashjoin = off SET enable_mergejoin = off AS
$$
#variable_conflict use_column
DECLARE
    over   constant timestamptz[] := ARRAY(SELECT t.finished_at FROM unnest(ids) WITH ORDINALITY i(id, n)
                                           LEFT JOIN tasks t ON t.id = i.id ORDER BY i.n);
    chosen uuid[];
    kept   uuid[];
    seqs   integer[];
    waits  uuid[];
    more   record;
BEGIN
    PERFORM FROM leases l WHERE l.tasks && ids ORDER BY l.id FOR UPDATE;
    PERFORM FROM tasks t WHERE t.id = ANY (ids) ORDER BY t.id FOR NO KEY UPDATE;
    -- Over all the time since the leases were locked: no other lease can list its units.
    chosen := ARRAY(SELECT t.id FROM unnest(ids, over) i(id, finished_at) JOIN tasks t ON t.id = i.id AND t.finished_at = i.finished_at
                    WHERE lathe_retry_refusal(t, failed_only) IS NULL);
    WITH taken AS MATERIALIZED (
        SELECT k.task FROM lathe_take_keys(chosen, '500ms') k WHERE k.existing IS DISTINCT FROM k.task
    )
    SELECT array_agg(c) FILTER (WHERE (c IN (SELECT taken.task FROM taken)) IS NOT TRUE) INTO chosen FROM unnest(chosen) c;
    chosen := coalesce(chosen, '{}');

    waits := ARRAY(SELECT t.id FROM tasks t WHERE t.id = ANY (chosen) AND t.terms -> 'depends_on' IS NOT NULL AND EXISTS (
        SELECT FROM jsonb_array_elements_text(t.terms -> 'depends_on') d(id) JOIN tasks n ON n.id = d.id::uuid
        WHERE NOT lathe_final(n.state)));
    IF failed_only THEN -- what waits for others is put to work as a whole
        SELECT array_agg(w.task), array_agg(w.seq) INTO kept, seqs
        FROM lathe_whole_units(ARRAY(SELECT c FROM unnest(chosen) c WHERE c <> ALL (waits))) w;
    END IF;
    UPDATE leases l SET (tasks, seqs, attempts, tries, firsts, counts) = (
        SELECT coalesce(array_agg(h.task), '{}'), coalesce(array_agg(h.seq), '{}'), coalesce(array_agg(h.attempt), '{}'),
            coalesce(array_agg(h.tries), '{}'), coalesce(array_agg(h.first), '{}'), coalesce(array_agg(h.count), '{}')
        FROM unnest(l.tasks, l.seqs, l.attempts, l.tries, l.firsts, l.counts) h(task, seq, attempt, tries, first, count)
        WHERE h.task <> ALL (chosen))
    WHERE l.tasks && chosen;
    DELETE FROM results r WHERE r.task = ANY (chosen) AND ((r.task, r.seq) IN (SELECT * FROM unnest(kept, seqs))) IS NOT TRUE;
    DELETE FROM dead d WHERE d.task = ANY (chosen);
    DELETE FROM expiring x USING tasks t WHERE t.id = ANY (chosen) AND x.task = t.id AND x.at = lathe_expires(t.terms);

    WITH whole AS MATERIALIZED (
        SELECT k.task, count(*) AS units, sum(least(t.unit_size, t.items_total - k.seq * t.unit_size)) AS items
        FROM unnest(kept, seqs) k(task, seq) JOIN tasks t ON t.id = k.task GROUP BY k.task
    )
    UPDATE tasks t SET
        state = CASE WHEN t.id = ANY (waits) THEN 'scheduled' ELSE 'queued' END::task_state,
        finished_at = NULL, cancelling = false, error_code = NULL, error_text = NULL, attempt = 1, tries = 0, lease = NULL, result = NULL,
        units_done = coalesce(w.units, 0), units_failed = 0, units_cancelled = 0,
        items_done = coalesce(w.items, 0), items_failed = 0,
        started_at = CASE WHEN w.units > 0 THEN t.started_at END,
        last_end = CASE WHEN w.units > 0 THEN t.last_end END,
        cpu_us = CASE WHEN w.units > 0 THEN t.cpu_us ELSE 0 END,
        wait_us = CASE WHEN w.units > 0 THEN t.wait_us ELSE 0 END,
        peak_rss_kib = CASE WHEN w.units > 0 THEN t.peak_rss_kib ELSE 0 END,
        wall_us = 0, predicted_us = 0,
        shape_used = CASE WHEN w.units > 0 THEN t.shape_used END,
        terms = jsonb_set(coalesce(t.terms, '{}') - 'expires_us', '{redriven}', to_jsonb(coalesce((t.terms ->> 'redriven')::integer, 0) + 1))
    FROM unnest(chosen) c(id) LEFT JOIN whole w ON w.task = c.id WHERE t.id = c.id;

    PERFORM lathe_enter(ARRAY(SELECT c FROM unnest(chosen) c WHERE c <> ALL (waits)));
    IF waits <> '{}' THEN
        INSERT INTO deps (needs, task, anyhow)
        SELECT DISTINCT n.id::uuid, t.id, coalesce(t.terms ->> 'depends_if' = 'end', false)
        FROM tasks t, jsonb_array_elements_text(t.terms -> 'depends_on') n(id)
        WHERE t.id = ANY (waits) AND EXISTS (SELECT FROM tasks x WHERE x.id = n.id::uuid FOR KEY SHARE) ON CONFLICT DO NOTHING;
        SELECT * INTO more FROM lathe_resolve(waits, NULL);
    END IF;
    DELETE FROM waiting x WHERE ((x.task, x.seq) IN (SELECT * FROM unnest(kept, seqs))) IS TRUE;
    DELETE FROM work x WHERE ((x.task, x.seq) IN (SELECT * FROM unnest(kept, seqs))) IS TRUE;

    RETURN QUERY SELECT i.id, CASE
        WHEN i.id = ANY (chosen) THEN NULL
        WHEN t.id IS NULL THEN 'none'
        ELSE coalesce(lathe_retry_refusal(t, failed_only), CASE WHEN t.finished_at = i.finished_at THEN 'taken' ELSE 'state' END)
    END FROM unnest(ids, over) i(id, finished_at) LEFT JOIN tasks t ON t.id = i.id;
END
$$;

-- Housekeeping: of tasks that are gone.
CREATE FUNCTION lathe_tidy_dead(room integer) RETURNS void LANGUAGE sql AS
$$
DELETE FROM dead WHERE task = ANY (ARRAY(
    SELECT d.task FROM (SELECT task FROM dead ORDER BY task LIMIT room) d WHERE NOT EXISTS (SELECT FROM tasks t WHERE t.id = d.task)))
$$;

-- ---- looking after it

-- When a claim of the worker was last answered; NULL: never.
ALTER TABLE workers ADD COLUMN claimed_at timestamptz;

-- What has kept the vacuum from removing dead rows for longer than `patience`, the oldest first: open transactions, those
-- prepared and forgotten, replication slots that nobody reads (these have no age in time: counted in transactions). Of
-- the sessions of others only a member of pg_monitor sees when they began.
CREATE FUNCTION lathe_horizon(patience interval) RETURNS TABLE (age_s double precision, what text) LANGUAGE sql STABLE AS
$$
SELECT * FROM (
    SELECT extract(epoch FROM now() - a.xact_start)::double precision AS age_s,
        format('a transaction of %s, process %s (%s, %s)', coalesce(nullif(a.application_name, ''), 'a client without a name'), a.pid,
               coalesce(a.usename::text, a.backend_type), coalesce(a.state, 'running')) AS what
    FROM pg_stat_activity a
    WHERE (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL) AND a.xact_start < clock_timestamp() - patience
    AND a.pid <> pg_backend_pid() AND a.backend_type <> 'autovacuum worker'
    AND a.pid NOT IN (SELECT v.pid FROM pg_stat_progress_vacuum v)
    UNION ALL
    SELECT extract(epoch FROM now() - p.prepared), format('the prepared transaction %s of %s', p.gid, p.owner)
    FROM pg_prepared_xacts p WHERE p.prepared < clock_timestamp() - patience
    UNION ALL
    SELECT 0, format('the replication slot %s, %s transactions behind', s.slot_name, greatest(age(s.xmin), age(s.catalog_xmin)))
    FROM pg_replication_slots s WHERE greatest(age(s.xmin), age(s.catalog_xmin)) > 1000000
) x ORDER BY age_s DESC
$$;
