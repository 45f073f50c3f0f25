-- Tasks that know each other: the same work is not queued twice (unique), and work waits for other work (depends_on). Also
-- lathe_place and lathe_follow, which are called with every task that has terms, at its beginning and at its end.
--
-- What is done here to the tasks of others never waits: a row that somebody has locked is left out, and who should be
-- looked at again stands in `checks`, which lathe_wake works off. So the end of a batch of tasks may touch any other
-- tasks, in whatever order, and there is nothing to deadlock with.

-- Whose the work with a key is: the one row, and so the one task.
CREATE TABLE uniques (
    key     uuid PRIMARY KEY,       -- lathe_unique_key
    task    uuid NOT NULL,          -- it holds the key until it is over
    until   timestamptz NOT NULL,   -- and after that until then
    look_at timestamptz NOT NULL    -- when housekeeping should look whether it still does
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX uniques_look ON uniques (look_at);

-- What a scheduled task still waits for. A row goes with the end of what is needed.
CREATE TABLE deps (
    needs  uuid NOT NULL,
    task   uuid NOT NULL,
    anyhow boolean NOT NULL,        -- it runs however that ends
    PRIMARY KEY (needs, task)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX deps_task ON deps (task);

-- Scheduled tasks of which nobody is sure that the ends of what they need will find them. No key: nobody waits for another
-- to put one there, and one that is there twice does no harm.
CREATE TABLE checks (
    task uuid NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

-- ---- the same work once

CREATE FUNCTION lathe_unique_key(handler text, key text) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT encode(substring(sha256(convert_to(handler || E'\n' || key, 'UTF8')) FROM 1 FOR 16), 'hex')::uuid $$;

-- Does the holder still have the key? `queued`: only while none of its units has begun. Units that are found waiting stay
-- so until the end of this transaction, because a claim passes over what is locked; those of a task of this very transaction
-- are nobody's yet, wherever they are.
CREATE FUNCTION lathe_holds(holder uuid, until timestamptz, queued boolean) RETURNS boolean LANGUAGE plpgsql AS
$$
DECLARE
    t       record;
    waiting bigint := 0;
BEGIN
    SELECT state, units_total, xmin = pg_current_xact_id()::xid AS ours INTO t FROM tasks WHERE id = holder;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF until > now() THEN
        RETURN true;
    END IF;
    IF lathe_final(t.state) THEN
        RETURN false;
    END IF;
    IF NOT queued OR t.ours OR t.state = 'scheduled' THEN
        RETURN true;
    END IF;
    IF t.state = 'queued' THEN
        waiting := (SELECT count(*) FROM (SELECT FROM work w WHERE w.task = holder FOR KEY SHARE SKIP LOCKED) x)
            + (SELECT count(*) FROM (SELECT FROM waiting w WHERE w.task = holder FOR KEY SHARE SKIP LOCKED) x);
    END IF;
    RETURN waiting = t.units_total;
END
$$;

-- Gives the key to the task, or tells whose it is. Waits for a transaction that has just taken it or is about to.
CREATE FUNCTION lathe_take_key(k uuid, taker uuid, for_until timestamptz, queued boolean) RETURNS uuid LANGUAGE plpgsql AS
$$
DECLARE
    u uniques;
BEGIN
    LOOP
        SELECT * INTO u FROM uniques WHERE key = k;
        IF FOUND AND lathe_holds(u.task, u.until, queued) THEN
            RETURN u.task;
        END IF;
        INSERT INTO uniques VALUES (k, taker, for_until, greatest(for_until, now()) + interval '1 hour') ON CONFLICT DO NOTHING;
        IF FOUND THEN
            RETURN NULL;
        END IF;
        -- Whose it is may have changed until we have the lock; a statement of its own sees how.
        SELECT * INTO u FROM uniques WHERE key = k FOR UPDATE;
        CONTINUE WHEN NOT FOUND;
        IF lathe_holds(u.task, u.until, queued) THEN
            RETURN u.task;
        END IF;
        UPDATE uniques SET task = taker, until = for_until, look_at = greatest(for_until, now()) + interval '1 hour' WHERE key = k;
        RETURN NULL;
    END LOOP;
END
$$;

-- Keys for those of some new tasks that ask for one, in the order of the keys, as everybody does; of several with the same
-- key the first has it. A row for each that does not get it: existing is who has it; NULL: somebody's transaction does,
-- and was not waited for longer than `patience` (NULL: as long as it takes).
CREATE FUNCTION lathe_take_keys(ids uuid[], patience text) RETURNS TABLE (task uuid, existing uuid) LANGUAGE plpgsql AS
$$
DECLARE
    before constant text := current_setting('lock_timeout');
    ask    record;
    last   uuid;
BEGIN
    IF patience IS NOT NULL THEN
        PERFORM set_config('lock_timeout', patience, true);
    END IF;
    FOR ask IN
        SELECT t.id, lathe_unique_key(t.handler, t.terms #>> '{unique,key}') AS key,
            now() + coalesce((t.terms #>> '{unique,for_s}')::double precision, 0) * interval '1 second' AS until,
            coalesce(t.terms #>> '{unique,while}' = 'queued', false) AS queued
        FROM tasks t WHERE t.id = ANY (ids) AND t.terms -> 'unique' IS NOT NULL ORDER BY 2, t.id
    LOOP
        task := ask.id;
        IF patience IS NULL THEN
            existing := lathe_take_key(ask.key, ask.id, ask.until, ask.queued);
            CONTINUE WHEN existing IS NULL;
        ELSE
            BEGIN
                existing := lathe_take_key(ask.key, ask.id, ask.until, ask.queued);
                CONTINUE WHEN existing IS NULL;
            EXCEPTION WHEN lock_not_available THEN
                existing := NULL;
                PERFORM set_config('lock_timeout', '1ms', true); -- others wait for this transaction: that was enough
            END;
        END IF;
        RETURN NEXT;
    END LOOP;
    PERFORM set_config('lock_timeout', before, true);
END
$$;

-- Tasks that are over give up their keys. Only tidiness: a key whose task is over is free.
CREATE FUNCTION lathe_free_keys(ids uuid[]) RETURNS void LANGUAGE plpgsql AS
$$
BEGIN
DELETE FROM uniques WHERE ctid = ANY (ARRAY(
    SELECT u.ctid FROM tasks t JOIN uniques u ON u.key = lathe_unique_key(t.handler, t.terms #>> '{unique,key}') AND u.task = t.id
    WHERE t.id = ANY (ids) AND t.terms -> 'unique' IS NOT NULL AND u.until <= now() FOR UPDATE OF u SKIP LOCKED));
END
$$;

-- Housekeeping: keys that nobody holds any more and nobody asked for again.
CREATE FUNCTION lathe_tidy_keys(room integer) RETURNS void LANGUAGE sql AS
$$
WITH due AS MATERIALIZED (
    SELECT u.key, t.id IS NOT NULL AND (u.until > now() OR NOT lathe_final(t.state)) AS holds
    FROM uniques u LEFT JOIN tasks t ON t.id = u.task
    WHERE u.look_at < now() ORDER BY u.look_at LIMIT room FOR UPDATE OF u SKIP LOCKED
), gone AS (
    DELETE FROM uniques WHERE key IN (SELECT key FROM due WHERE NOT holds)
)
UPDATE uniques SET look_at = greatest(until, now()) + interval '1 hour' WHERE key IN (SELECT key FROM due WHERE holds)
$$;

-- ---- work that waits for work

-- Ends scheduled tasks that never can run, and all that needs them in turn. via: what each depends on that did not
-- succeed; stopped: that was cancelled. All in one statement however deep, but no more than so many rows: `ended` are
-- those that it got, and who asks for what follows them finds the rest.
CREATE FUNCTION lathe_doom(ids uuid[], vias uuid[], stopped boolean[]) RETURNS uuid[] LANGUAGE plpgsql AS
$$
DECLARE
    ended uuid[];
BEGIN
    SELECT array_agg(x.task), array_agg(x.via), array_agg(x.stopped) INTO ids, vias, stopped FROM (
        WITH RECURSIVE down(task, via, stopped) AS (
            SELECT * FROM unnest(ids, vias, stopped)
            UNION
            SELECT d.task, d.needs, down.stopped FROM down JOIN deps d ON d.needs = down.task WHERE NOT d.anyhow
        )
        SELECT r.task, (array_agg(r.via ORDER BY r.stopped))[1] AS via, bool_and(r.stopped) AS stopped
        FROM (SELECT * FROM down LIMIT 20000) r GROUP BY r.task
    ) x;
    WITH mine AS MATERIALIZED (
        SELECT t.id FROM tasks t WHERE t.id = ANY (ids) AND t.state = 'scheduled' FOR NO KEY UPDATE SKIP LOCKED
    ), done AS (
        UPDATE tasks t SET
            state = CASE WHEN x.stopped THEN 'cancelled' ELSE 'failed' END::task_state, finished_at = now(),
            units_done = t.units_total,
            units_failed = CASE WHEN x.stopped THEN 0 ELSE t.units_total END,
            units_cancelled = CASE WHEN x.stopped THEN t.units_total ELSE 0 END,
            error_code = 'dependency-failed',
            error_text = format('the task %s, which it depends on, %s', x.via, CASE WHEN x.stopped THEN 'was cancelled' ELSE 'failed' END)
        FROM unnest(ids, vias, stopped) x(task, via, stopped)
        WHERE t.id = x.task AND (t.id IN (SELECT id FROM mine)) IS TRUE
        RETURNING t.id
    )
    SELECT array_agg(id) INTO ended FROM done;
    INSERT INTO checks
    SELECT t.id FROM tasks t WHERE t.id = ANY (ids) AND t.state = 'scheduled' AND (t.id IN (SELECT unnest(ended))) IS NOT TRUE;
    RETURN coalesce(ended, '{}');
END
$$;

-- Looks whether scheduled tasks may go on or never will. past: what they need of which the end is the occasion; NULL: they
-- are looked at for its own sake, and everything that they need is asked to tell of its end: what is locked at this moment
-- may be about to end without having seen them, and so they are looked at again.
CREATE FUNCTION lathe_resolve(ids uuid[], past uuid[], OUT ended uuid[], OUT released bigint) LANGUAGE plpgsql AS
$$
DECLARE
    mine   constant uuid[] := ARRAY(SELECT t.id FROM tasks t WHERE t.id = ANY (ids) AND t.state = 'scheduled'
                                    FOR NO KEY UPDATE SKIP LOCKED);
    busy   uuid[];
    told   uuid[];
    ready  uuid[];
    lost   uuid[];
    vias   uuid[];
    stops  boolean[];
BEGIN
    ended := '{}';
    released := 0;
    busy := ARRAY(SELECT t.id FROM tasks t WHERE t.id = ANY (ids) AND t.state = 'scheduled'
                  AND (t.id IN (SELECT unnest(mine))) IS NOT TRUE);
    INSERT INTO checks SELECT unnest(busy);

    IF past IS NULL THEN
        told := ARRAY(SELECT n.id FROM tasks n WHERE n.id = ANY (ARRAY(SELECT d.needs FROM deps d WHERE d.task = ANY (mine)))
                      AND NOT lathe_final(n.state) FOR NO KEY UPDATE SKIP LOCKED);
        UPDATE tasks SET followed = true WHERE id = ANY (told) AND NOT followed;
        INSERT INTO checks
        SELECT DISTINCT d.task FROM deps d JOIN tasks n ON n.id = d.needs
        WHERE d.task = ANY (mine) AND NOT lathe_final(n.state) AND (n.id IN (SELECT unnest(told))) IS NOT TRUE;
        WITH gone AS (
            DELETE FROM deps d USING tasks n WHERE d.task = ANY (mine) AND n.id = d.needs AND lathe_final(n.state)
            RETURNING d.task, d.needs, n.state, d.anyhow
        )
        SELECT array_agg(task), array_agg(needs), array_agg(state = 'cancelled') INTO lost, vias, stops
        FROM gone WHERE NOT anyhow AND state <> 'succeeded';
    ELSE
        WITH gone AS (
            DELETE FROM deps d WHERE d.needs = ANY (past) AND (d.task IN (SELECT unnest(busy))) IS NOT TRUE
            RETURNING d.task, d.needs, d.anyhow
        )
        SELECT array_agg(g.task), array_agg(g.needs), array_agg(n.state = 'cancelled') INTO lost, vias, stops
        FROM gone g JOIN tasks n ON n.id = g.needs
        WHERE NOT g.anyhow AND n.state <> 'succeeded' AND (g.task IN (SELECT unnest(mine))) IS TRUE;
    END IF;

    IF lost IS NOT NULL THEN
        ended := lathe_doom(lost, vias, stops);
    END IF;
    UPDATE tasks t SET state = 'queued'
    WHERE t.id = ANY (mine) AND t.state = 'scheduled' AND NOT EXISTS (SELECT FROM deps d WHERE d.task = t.id);
    GET DIAGNOSTICS released = ROW_COUNT;
    IF released > 0 THEN
        PERFORM lathe_enter(ARRAY(SELECT t.id FROM tasks t WHERE t.id = ANY (mine) AND t.state = 'queued'));
    END IF;
END
$$;

-- What follows the end of tasks that have terms or that others wait for: they are final by now. ended: what became final
-- by that; released: there is new work.
CREATE FUNCTION lathe_follow(ids uuid[], OUT ended uuid[], OUT released boolean) LANGUAGE plpgsql AS
$$
DECLARE
    past uuid[] := ids;
    next uuid[];
    r    record;
BEGIN
    ended := '{}';
    released := false;
    FOR round IN 1..8 LOOP
        next := ARRAY(SELECT DISTINCT d.task FROM deps d WHERE d.needs = ANY (past));
        EXIT WHEN next = '{}';
        SELECT * INTO r FROM lathe_resolve(next, past);
        released := released OR r.released > 0;
        ended := ended || r.ended;
        past := r.ended;
        EXIT WHEN past = '{}';
    END LOOP;
    INSERT INTO checks SELECT DISTINCT d.task FROM deps d JOIN tasks t ON t.id = d.task AND t.state = 'scheduled' WHERE d.needs = ANY (past);
    PERFORM lathe_free_keys(ids || ended);
    released := lathe_call(ids || ended) OR released;
END
$$;

-- Works off `checks`, at most `room`; the number of tasks that it puts to work.
CREATE FUNCTION lathe_recheck(room bigint) RETURNS bigint LANGUAGE plpgsql AS
$$
DECLARE
    ids  uuid[];
    r    record;
    more record;
BEGIN
    WITH taken AS (
        DELETE FROM checks WHERE ctid = ANY (ARRAY(SELECT c.ctid FROM checks c LIMIT room FOR UPDATE SKIP LOCKED)) RETURNING task
    )
    SELECT array_agg(DISTINCT task) INTO ids FROM taken;
    IF ids IS NULL THEN
        RETURN 0;
    END IF;
    SELECT * INTO r FROM lathe_resolve(ids, NULL);
    IF r.ended <> '{}' THEN
        SELECT * INTO more FROM lathe_follow(r.ended);
        r.released := r.released + more.released::integer;
    END IF;
    RETURN r.released;
END
$$;

-- ---- the beginning of a task with terms

-- Takes new tasks back, as if they had not been sent.
CREATE FUNCTION lathe_unput(ids uuid[]) RETURNS void LANGUAGE sql AS
$$
DELETE FROM uniques u USING tasks t
WHERE t.id = ANY (ids) AND t.terms -> 'unique' IS NOT NULL AND u.key = lathe_unique_key(t.handler, t.terms #>> '{unique,key}')
AND u.task = t.id;
DELETE FROM deps WHERE task = ANY (ids);
DELETE FROM inputs WHERE task = ANY (ids);
DELETE FROM tasks WHERE id = ANY (ids);
$$;

-- Takes back those new tasks that need what does not exist, or one of these, or what is taken back for that. A row for
-- each: `bad` is the place of it in the list, from 1.
CREATE FUNCTION lathe_refuse(ids uuid[], these uuid[]) RETURNS TABLE (task uuid, bad integer) LANGUAGE plpgsql AS
$$
DECLARE
    refused uuid[];
BEGIN
    -- From here on nobody deletes what is needed: who is about to is waited for.
    PERFORM FROM tasks n WHERE n.id = ANY (ARRAY(SELECT d.needs FROM deps d WHERE d.task = ANY (ids)))
        AND n.xmin <> pg_current_xact_id()::xid FOR KEY SHARE;
    WITH RECURSIVE worse(task) AS (
        SELECT d.task FROM deps d
        WHERE d.task = ANY (ids) AND (d.needs = ANY (these) OR NOT EXISTS (SELECT FROM tasks n WHERE n.id = d.needs))
        UNION
        SELECT d.task FROM worse w JOIN deps d ON d.needs = w.task
    )
    SELECT array_agg(w.task) INTO refused FROM worse w;
    IF refused IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT t.id, min(n.place)::integer
        FROM tasks t, jsonb_array_elements_text(t.terms -> 'depends_on') WITH ORDINALITY n(id, place)
        WHERE t.id = ANY (refused)
        AND (NOT EXISTS (SELECT FROM tasks x WHERE x.id = n.id::uuid) OR (n.id::uuid IN (SELECT unnest(refused))) IS TRUE)
        GROUP BY t.id;
    PERFORM lathe_unput(refused);
END
$$;

-- Writes down what new tasks need, and refuses those that cannot have it.
CREATE FUNCTION lathe_put_deps(ids uuid[]) RETURNS TABLE (task uuid, bad integer) LANGUAGE plpgsql AS
$$
BEGIN
    INSERT INTO deps (needs, task, anyhow)
    SELECT DISTINCT n.id::uuid, t.id, coalesce(t.terms ->> 'depends_if' = 'end', false)
    FROM tasks t, jsonb_array_elements_text(t.terms -> 'depends_on') n(id)
    WHERE t.id = ANY (ids) AND t.terms -> 'depends_on' IS NOT NULL;
    IF FOUND THEN
        RETURN QUERY SELECT r.task, r.bad FROM lathe_refuse(ids, '{}') r;
    END IF;
END
$$;

-- Puts new tasks with terms where they belong. A row for each that was not taken: `existing` does the same work; or `bad`
-- is the place in depends_on of what does not exist, or -1 where its unique key is in the hands of a transaction that
-- lasts, or of a task that was not taken: it may be sent again. lazy: this transaction is somebody else's and may last: nothing that others need is locked in it.
CREATE FUNCTION lathe_settle_in(ids uuid[], lazy boolean) RETURNS TABLE (task uuid, existing uuid, state text, bad integer) LANGUAGE plpgsql AS
$$
DECLARE
    gone    uuid[] := '{}';
    takers  uuid[];
    holders uuid[];
    rings   uuid[];
    waits   uuid[];
    gates   text[];
    more    record;
BEGIN
    -- First, so that no key is given to what is refused.
    RETURN QUERY SELECT d.task, NULL::uuid, NULL::text, d.bad FROM lathe_put_deps(ids) d;
    SELECT array_agg(k.task), array_agg(k.existing) INTO takers, holders
    FROM lathe_take_keys(ids, CASE WHEN NOT lazy THEN '500ms' END) k;
    IF takers IS NOT NULL THEN
        -- The callbacks of work that is there already are there already; who depends on it now depends on that.
        WITH RECURSIVE unwanted(task) AS (
            SELECT unnest(takers)
            UNION
            SELECT t.id FROM unwanted d JOIN tasks t ON t.id = ANY (ids) AND t.terms ->> 'callback_of' = d.task::text
        )
        SELECT array_agg(d.task) INTO gone FROM unwanted d;
        UPDATE tasks t SET terms = jsonb_set(t.terms, '{depends_on}', x.needs) FROM (
            SELECT d.id, jsonb_agg(coalesce(k.holder::text, n.id) ORDER BY n.place) AS needs
            FROM tasks d CROSS JOIN jsonb_array_elements_text(d.terms -> 'depends_on') WITH ORDINALITY n(id, place)
            LEFT JOIN unnest(takers, holders) k(taker, holder) ON k.taker = n.id::uuid
            WHERE d.id = ANY (ids) AND d.terms -> 'depends_on' IS NOT NULL
            GROUP BY d.id HAVING count(k.holder) > 0
        ) x WHERE t.id = x.id;
        PERFORM lathe_unput(gone);
        INSERT INTO deps
        SELECT k.holder, d.task, d.anyhow FROM unnest(takers, holders) k(taker, holder) JOIN deps d ON d.needs = k.taker
        WHERE k.holder IS NOT NULL ON CONFLICT DO NOTHING;
        DELETE FROM deps d USING unnest(takers, holders) k(taker, holder) WHERE d.needs = k.taker AND k.holder IS NOT NULL;
        -- By that a task may have come to need itself, and then one of the holders does.
        rings := ARRAY(
            WITH RECURSIVE reach(root, node) AS (
                SELECT d.task, d.needs FROM deps d WHERE d.task = ANY (holders) AND d.task = ANY (ids)
                UNION
                SELECT r.root, d.needs FROM reach r JOIN deps d ON d.task = r.node WHERE (r.node IN (SELECT unnest(ids))) IS TRUE
            )
            SELECT r.root FROM reach r WHERE r.root = r.node);
        RETURN QUERY SELECT r.task, NULL::uuid, NULL::text, r.bad FROM lathe_refuse(ids, rings) r;
        -- Who has the key may be among those.
        RETURN QUERY SELECT k.taker, h.id, h.state::text, CASE WHEN h.id IS NULL THEN -1 ELSE 0 END
            FROM unnest(takers, holders) k(taker, holder) LEFT JOIN tasks h ON h.id = k.holder;
    END IF;
    INSERT INTO expiring SELECT lathe_expires(t.terms), t.id FROM tasks t WHERE t.id = ANY (ids) AND t.terms -> 'expires_us' IS NOT NULL;
    -- First the rows of tenants (lathe_enter), then those of gates: as at the end of a unit.
    IF NOT lazy THEN
        gates := lathe_keys(ids);
    END IF;
    PERFORM lathe_enter(ARRAY(SELECT t.id FROM tasks t WHERE t.id = ANY (ids) AND t.state = 'queued'), gates);
    waits := ARRAY(SELECT t.id FROM tasks t WHERE t.id = ANY (ids) AND t.state = 'scheduled' AND t.terms -> 'depends_on' IS NOT NULL);
    IF lazy THEN
        INSERT INTO checks SELECT unnest(waits);
    ELSIF waits <> '{}' THEN
        SELECT * INTO more FROM lathe_resolve(waits, NULL);
        IF more.ended <> '{}' THEN
            PERFORM lathe_follow(more.ended);
        END IF;
    END IF;
    IF NOT lazy THEN
        PERFORM lathe_define(ids);
        PERFORM lathe_admit(gates);
    END IF;
END
$$;

-- Tasks with terms that this very transaction has inserted, and may have tried to insert before. What was there already
-- stays as it is, and was not refused.
CREATE FUNCTION lathe_place(ids uuid[]) RETURNS TABLE (task uuid, existing uuid, state text, bad integer) LANGUAGE sql AS
$$
SELECT * FROM lathe_settle_in(ARRAY(SELECT t.id FROM tasks t WHERE t.id = ANY (ids) AND t.xmin = pg_current_xact_id()::xid), false)
$$;
