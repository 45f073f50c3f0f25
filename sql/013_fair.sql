-- Tenants and new limits again, where the first way did not hold. What is replaced here stood in 002 to 004.
--
-- Clocks of tenants. Their rows are waited for by name, once in a transaction, before it has any: by submissions, tasks that are
-- run again, and lathe_wake. What is let go by the end of other work takes those clocks that are free at the moment; a task of
-- which the clock is not stands in `waiting` without a place (rank 'infinity') until the next lathe_wake. So it is with what is
-- put in somebody's own transaction (lathe.submit): no clock is held for as long as that lasts.
--
-- Nothing here compares a list with a list: each meets the tables by their indexes, or in a hash (IN … IS TRUE), since the sessions
-- have no other joins (002), and 10,000 tasks of 10,000 tenants may come in one commit.

-- Where the first unit stands that waits in the queue, or for the gate, as the time that its rank was made of; NULL: there is none.
CREATE FUNCTION lathe_head(which text, gate_name text) RETURNS timestamptz LANGUAGE sql STABLE AS
$$
SELECT least(
    (SELECT w.rank + t.priority * interval '1 minute' FROM work w JOIN tasks t ON t.id = w.task
     WHERE w.queue = which ORDER BY w.rank, w.task, w.seq LIMIT 1),
    (SELECT w.rank + t.priority * interval '1 minute' FROM waiting w JOIN tasks t ON t.id = w.task
     WHERE w.gate = gate_name ORDER BY w.rank, w.task, w.seq LIMIT 1))
$$;

DROP FUNCTION lathe_share(uuid[]);

-- Where in their queues the units of tasks with a tenant stand: the first of a task not before `since`, each a
-- millisecond behind the other. A tenant's clock runs on with his units, and begins at the unit that is first in the queue:
-- so all who have work there have their next unit at about the same time, whoever came first and however many he has.
-- patient: clocks are waited for; else those are left out that somebody has, or that there are none of yet.
CREATE FUNCTION lathe_share(ids uuid[], patient boolean) RETURNS TABLE (task uuid, since timestamptz) LANGUAGE plpgsql AS
$$
BEGIN
    IF NOT patient THEN
        ids := ARRAY(SELECT t.id FROM tasks t JOIN tenants c ON c.queue = t.queue AND c.name = t.terms->>'tenant'
                     WHERE t.id = ANY (ids) FOR UPDATE OF c SKIP LOCKED);
    END IF;
    INSERT INTO tenants AS c (queue, name, clock, units, alone)
    SELECT h.queue, u.tenant, coalesce(min(h.head), now()) + sum(u.units) * interval '1 millisecond', sum(u.units), min(h.head) IS NULL
    FROM (SELECT g.queue, g.tenants, g.units, lathe_head(g.queue, g.gate) AS head FROM (
              SELECT t.queue, lathe_key(t.terms) AS gate, array_agg(t.terms->>'tenant') AS tenants, array_agg(t.units_total) AS units
              FROM tasks t WHERE t.id = ANY (ids) AND t.terms ? 'tenant' GROUP BY 1, 2) g OFFSET 0) h,
        unnest(h.tenants, h.units) u(tenant, units)
    GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (queue, name) DO UPDATE SET units = excluded.units, alone = excluded.alone,
        clock = CASE WHEN excluded.alone THEN excluded.clock
            ELSE greatest(c.clock + excluded.units * interval '1 millisecond', excluded.clock) END;
    RETURN QUERY
    SELECT t.id, c.clock + (sum(t.units_total) OVER (PARTITION BY c.queue, c.name ORDER BY t.id) - t.units_total - c.units)
        * interval '1 millisecond'
    FROM tasks t JOIN tenants c ON c.queue = t.queue AND c.name = t.terms->>'tenant' WHERE t.id = ANY (ids);
END
$$;

DROP FUNCTION lathe_enter_limited(uuid[], text[]);

-- Puts where they belong the units of those of the tasks that have a limit or a tenant, and returns the others. Units wait
-- for their gate where it is in `gates`, which the caller makes (lathe_define) and admits to next; else for lathe_wake, as do
-- those that have no place yet. clocks: 'wait' for them, take those that are 'free', or 'none'.
CREATE FUNCTION lathe_enter_limited(ids uuid[], gates text[], clocks text) RETURNS uuid[] LANGUAGE plpgsql AS
$$
DECLARE
    mine   constant uuid[] := ARRAY(SELECT t.id FROM tasks t WHERE t.id = ANY (ids) AND t.terms ?| '{limit,tenant}');
    shared uuid[];
    since  timestamptz[];
BEGIN
    IF mine = '{}' THEN
        RETURN ids;
    END IF;
    IF clocks <> 'none' THEN
        SELECT array_agg(s.task), array_agg(s.since) INTO shared, since FROM lathe_share(
            ARRAY(SELECT t.id FROM tasks t WHERE t.id = ANY (mine) AND t.terms ? 'tenant' AND (t.run_at > now()) IS NOT TRUE),
            clocks = 'wait') s;
    END IF;
    WITH places AS MATERIALIZED (
        SELECT s.task, s.since, false AS lost FROM unnest(shared, since) s(task, since)
        UNION ALL
        SELECT t.id, NULL, t.terms ? 'tenant' AND (t.run_at > now()) IS NOT TRUE
        FROM tasks t WHERE t.id = ANY (mine) AND (t.id IN (SELECT unnest(shared))) IS NOT TRUE
    ), units AS MATERIALIZED (
        SELECT t.id AS task, greatest(t.run_at, now()) AS run_at, CASE WHEN p.lost THEN 'infinity' ELSE
                lathe_rank(coalesce(p.since + s * interval '1 millisecond', greatest(t.run_at, now())), t.priority) END AS rank,
            s AS seq, s * t.unit_size AS first, least(t.unit_size, t.items_total - s * t.unit_size) AS count, t.unit_kib AS kib, t.queue,
            p.lost OR coalesce(t.run_at > now(), false) AS later, lathe_key(t.terms) AS gate
        FROM places p JOIN tasks t ON t.id = p.task, generate_series(0, t.units_total - 1) s
    ), waits AS (
        INSERT INTO waiting (task, run_at, rank, seq, first, count, kib, attempt, tries, queue, gate)
        SELECT task, run_at, rank, seq, first, count, kib, 1, 0, queue, CASE WHEN NOT later AND (gate IN (SELECT unnest(gates))) IS TRUE THEN gate END
        FROM units WHERE later OR gate IS NOT NULL
    )
    INSERT INTO work (task, rank, seq, first, count, kib, attempt, queue)
    SELECT task, rank, seq, first, count, kib, 1, queue FROM units WHERE NOT later AND gate IS NULL;
    RETURN ARRAY(SELECT i FROM unnest(ids) i WHERE (i IN (SELECT unnest(mine))) IS NOT TRUE);
END
$$;

DROP FUNCTION lathe_enter(uuid[], text[]);

-- The units of queued tasks: to work, or to wait for their time, or for their gate (lathe_enter_limited).
CREATE FUNCTION lathe_enter(ids uuid[], gates text[] DEFAULT '{}', clocks text DEFAULT 'wait') RETURNS void LANGUAGE plpgsql AS
$$
BEGIN
    ids := lathe_enter_limited(ids, gates, clocks);
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

-- Looks whether scheduled tasks may go on or never will. past: what they need of which the end is the occasion; NULL: they
-- are looked at for its own sake, and everything that they need is asked to tell of its end: what is locked at this moment
-- may be about to end without having seen them, and so they are looked at again.
CREATE OR REPLACE FUNCTION lathe_resolve(ids uuid[], past uuid[], OUT ended uuid[], OUT released bigint) LANGUAGE plpgsql AS
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
        PERFORM lathe_enter(ARRAY(SELECT t.id FROM tasks t WHERE t.id = ANY (mine) AND t.state = 'queued'), '{}', 'free');
    END IF;
END
$$;

-- Gives a place to those who had to do without one when they came, all their clocks by name.
CREATE FUNCTION lathe_share_late(room bigint) RETURNS void LANGUAGE plpgsql AS
$$
DECLARE
    ids  uuid[];
    late tid[];
BEGIN
    ids := ARRAY(SELECT DISTINCT l.task FROM (SELECT w.task FROM waiting w WHERE w.gate IS NULL AND w.run_at <= now()
                                              AND w.rank = 'infinity' ORDER BY w.run_at LIMIT room) l);
    -- All units of a task, but only what is free: who cancels a task takes its units in an order of his own.
    SELECT array_agg(l.ctid), array_agg(DISTINCT l.task) INTO late, ids
    FROM (SELECT w.ctid, w.task FROM waiting w WHERE w.task = ANY (ids) AND w.rank = 'infinity' FOR UPDATE SKIP LOCKED) l;
    IF late IS NOT NULL THEN
        UPDATE waiting w SET rank = lathe_rank(s.since + w.seq * interval '1 millisecond', t.priority)
        FROM lathe_share(ids, true) s JOIN tasks t ON t.id = s.task
        WHERE w.task = s.task AND (w.ctid IN (SELECT unnest(late))) IS TRUE;
    END IF;
END
$$;

-- The rank of a unit that comes to those who wait in its queue from elsewhere than a submission: of a tenant, not before the first
-- of them. So the place at which newcomers begin (lathe_share) is not drawn back to times long past.
CREATE FUNCTION lathe_not_before(rank timestamptz, t tasks, head timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS
$$ SELECT CASE WHEN t.terms ? 'tenant' THEN greatest(rank, lathe_rank(head, t.priority)) ELSE rank END $$;

-- Moves to work what is due, and looks at `checks`; at most `room` each. next: when somebody should look again,
-- in a day at most; NULL: nothing waits for a time.
CREATE OR REPLACE FUNCTION lathe_wake(room bigint, OUT woken bigint, OUT next timestamptz) LANGUAGE plpgsql AS
$$
DECLARE
    more record;
BEGIN
    PERFORM lathe_share_late(room);
    WITH due AS MATERIALIZED (
        DELETE FROM waiting WHERE ctid = ANY (ARRAY(
            SELECT w.ctid FROM waiting w JOIN tasks t ON t.id = w.task AND (t.terms ? 'limit') IS NOT TRUE
            WHERE w.gate IS NULL AND w.run_at <= now() AND w.rank < 'infinity' ORDER BY w.run_at LIMIT room FOR UPDATE OF w SKIP LOCKED))
        RETURNING *
    ), heads AS MATERIALIZED (
        SELECT q.queue, lathe_head(q.queue, NULL) AS head FROM (
            SELECT DISTINCT d.queue FROM due d JOIN tasks t ON t.id = d.task WHERE t.terms ? 'tenant') q
    )
    INSERT INTO work (task, rank, seq, first, count, kib, attempt, tries, queue)
    SELECT d.task, lathe_not_before(d.rank, t, (SELECT h.head FROM heads h WHERE h.queue = d.queue)), d.seq, d.first, d.count, d.kib,
        d.attempt, d.tries, d.queue
    FROM due d JOIN tasks t ON t.id = d.task;
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

-- Units that their worker does not finish: back to work at the place that they had (of a tenant: as the first), each with `bump` added to its attempt;
-- failed when that is more than `most`; cancelled when their task stops anyway. Their lease is locked and gone by the end of the transaction.
CREATE OR REPLACE FUNCTION lathe_return(units lathe_unit[], bump integer, most integer, OUT requeued bigint, OUT failed bigint,
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

    WITH heads AS MATERIALIZED (
        SELECT q.queue, lathe_head(q.queue, NULL) AS head FROM (
            SELECT DISTINCT t.queue FROM tasks t WHERE t.id = ANY (ids) AND t.terms ? 'tenant') q
    )
    INSERT INTO work (task, rank, seq, first, count, kib, attempt, tries, queue)
    SELECT u.task, lathe_not_before(lathe_rank(greatest(t.run_at, t.created_at), t.priority), t,
                                    (SELECT h.head FROM heads h WHERE h.queue = t.queue)), u.seq, u.first, u.count, t.unit_kib, u.attempt + bump,
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

-- The part of lathe_wake that is about gates: units whose time has come go to their gates, and gates with new tokens let in
-- who waits. It waits for nobody: what is in other hands is left for the next time. woken: what came to work, and the
-- queues that may be claimed from again; next: as for lathe_wake.
CREATE OR REPLACE FUNCTION lathe_wake_gates(room bigint, OUT woken bigint, OUT next timestamptz) LANGUAGE plpgsql AS
$$
DECLARE
    due   tid[];
    tasks_due uuid[];
    names text[];
BEGIN
    SELECT array_agg(d.at), array_agg(DISTINCT d.task) INTO due, tasks_due FROM (
        SELECT w.ctid AS at, w.task FROM waiting w JOIN tasks t ON t.id = w.task
        WHERE w.gate IS NULL AND w.run_at <= now() AND w.rank < 'infinity' AND t.terms ? 'limit' ORDER BY w.run_at LIMIT room FOR UPDATE OF w SKIP LOCKED) d;
    IF due IS NOT NULL THEN
        INSERT INTO gates (name, concurrency, rate, per_s, tokens)
        SELECT DISTINCT ON (1) lathe_key(t.terms), (t.terms->'limit'->>'concurrency')::integer, (t.terms->'limit'->>'rate')::integer,
            coalesce((t.terms->'limit'->>'per_s')::double precision, 1), coalesce((t.terms->'limit'->>'rate')::integer, 0)
        FROM tasks t WHERE t.id = ANY (tasks_due) ORDER BY 1, t.id DESC
        ON CONFLICT DO NOTHING;
    END IF;
    names := ARRAY(
        SELECT g.name FROM gates g
        WHERE g.next_at <= now() OR g.name IN (SELECT lathe_key(t.terms) FROM tasks t WHERE t.id = ANY (tasks_due))
        ORDER BY g.next_at NULLS FIRST, g.name LIMIT 1000 FOR UPDATE SKIP LOCKED);
    IF due IS NOT NULL THEN
        UPDATE waiting w SET gate = lathe_key(t.terms), rank = lathe_not_before(w.rank, t, CASE WHEN t.terms ? 'tenant' THEN
            lathe_head(w.queue, lathe_key(t.terms)) END) FROM tasks t
        WHERE w.ctid = ANY (due) AND t.id = w.task AND lathe_key(t.terms) = ANY (names);
    END IF;
    woken := lathe_admit(ARRAY(SELECT n FROM unnest(names) n WHERE starts_with(n, 'key/')));
    -- Where more is at work than there are tokens somebody should look again when these are there, or the bucket runs over.
    UPDATE gates g SET next_at = CASE WHEN EXISTS (SELECT FROM work w WHERE w.queue = substr(g.name, 7))
        AND NOT EXISTS (SELECT FROM queues q WHERE q.name = substr(g.name, 7) AND q.paused)
        THEN greatest(lathe_refill(g, lathe_filled(g) - floor(lathe_filled(g))), now() + least(0.1, g.per_s / 2) * interval '1 second') END
    WHERE g.name = ANY (names) AND starts_with(g.name, 'queue/');
    woken := woken + (SELECT count(*) FROM unnest(names) n WHERE starts_with(n, 'queue/'));
    next := (SELECT min(g.next_at) FROM gates g WHERE g.next_at IS NOT NULL);
END
$$;

-- Refuses those of some new tasks whose limit would be one too many: in all, or of one request (`senders`, a number for each of `asked`;
-- NULL: all are one's). What room there is goes round by requests: so whoever brings many keys does not take the place of who
-- brings one. A row for each task that is taken back; `bad` as for lathe_settle_in.
CREATE FUNCTION lathe_crowded(ids uuid[], asked uuid[], senders bigint[]) RETURNS TABLE (task uuid, bad integer) LANGUAGE plpgsql AS
$$
DECLARE
    most   constant integer := 100000; -- LIMIT_GATES
    fresh  constant integer := 1000;   -- LIMIT_FRESH_GATES
    news   text[];
    whose  bigint[];
    room   bigint;
    over   text[];
    rest   text[];
    refused uuid[];
    why    integer[];
BEGIN
    SELECT array_agg(n.key), array_agg(n.sender) INTO news, whose FROM (
        SELECT lathe_key(t.terms) AS key, min(a.sender) AS sender FROM unnest(asked, senders) a(id, sender) JOIN tasks t ON t.id = a.id
        WHERE t.terms ? 'limit' AND (t.id IN (SELECT unnest(ids))) IS TRUE GROUP BY 1) n
    WHERE NOT EXISTS (SELECT FROM gates g WHERE g.name = n.key);
    IF news IS NULL THEN
        RETURN;
    END IF;
    room := most - (SELECT count(*) FROM (SELECT FROM gates LIMIT most) g);
    SELECT array_agg(p.key) FILTER (WHERE p.nth > fresh), array_agg(p.key) FILTER (WHERE p.nth <= fresh AND p.place > room) INTO over, rest
    FROM (SELECT n.key, n.nth, row_number() OVER (ORDER BY n.nth, n.sender) AS place FROM (
        SELECT x.key, x.sender, row_number() OVER (PARTITION BY x.sender ORDER BY x.key) AS nth
        FROM unnest(news, whose) x(key, sender)) n) p;
    SELECT array_agg(t.id), array_agg(CASE WHEN (lathe_key(t.terms) IN (SELECT unnest(over))) IS TRUE THEN -2 ELSE -3 END) INTO refused, why
    FROM tasks t WHERE t.id = ANY (ids) AND (lathe_key(t.terms) IN (SELECT unnest(over || rest))) IS TRUE;
    IF refused IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT * FROM unnest(refused, why);
    PERFORM lathe_unput(refused);
    RETURN QUERY SELECT r.task, r.bad FROM lathe_refuse(ids, '{}') r;
END
$$;

-- The gates of tasks, as the latest of them wants them; they are locked then.
CREATE OR REPLACE FUNCTION lathe_define(ids uuid[]) RETURNS text[] LANGUAGE plpgsql AS
$$
BEGIN
    WITH asked AS (
        SELECT DISTINCT ON (1) lathe_key(t.terms) AS name, (t.terms->'limit'->>'concurrency')::integer AS concurrency,
            (t.terms->'limit'->>'rate')::integer AS rate, coalesce((t.terms->'limit'->>'per_s')::double precision, 1) AS per_s
        FROM tasks t WHERE t.id = ANY (ids) AND t.terms ? 'limit' ORDER BY 1, t.id DESC
    )
    INSERT INTO gates AS g (name, concurrency, rate, per_s, tokens)
    SELECT a.name, a.concurrency, a.rate, a.per_s, coalesce(a.rate, 0) FROM asked a ORDER BY a.name
    ON CONFLICT (name) DO UPDATE SET concurrency = excluded.concurrency, rate = excluded.rate, per_s = excluded.per_s,
        tokens = coalesce(least(lathe_filled(g), excluded.rate), excluded.rate, 0), refilled_at = greatest(g.refilled_at, now())
    WHERE (g.concurrency, g.rate, g.per_s) IS DISTINCT FROM (excluded.concurrency, excluded.rate, excluded.per_s);
    RETURN lathe_keys(ids);
END
$$;

DROP FUNCTION lathe_place(uuid[]);
DROP FUNCTION lathe_settle_in(uuid[], boolean);

-- Puts new tasks with terms where they belong. A row for each that was not taken: `existing` does the same work; or `bad`
-- is the place in depends_on of what does not exist, or -1 where its unique key is in the hands of a transaction that
-- lasts, or of a task that was not taken: it may be sent again;
-- or -2 where its limit is one too many of its request, -3: of all. asked, senders: for lathe_crowded. lazy: this transaction is somebody else's and may last: nothing that others need is locked in it.
CREATE FUNCTION lathe_settle_in(ids uuid[], lazy boolean, asked uuid[] DEFAULT NULL, senders bigint[] DEFAULT NULL)
    RETURNS TABLE (task uuid, existing uuid, state text, bad integer) LANGUAGE plpgsql AS
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
    IF NOT lazy THEN
        RETURN QUERY SELECT c.task, NULL::uuid, NULL::text, c.bad FROM lathe_crowded(ids, asked, senders) c;
    END IF;
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
    PERFORM lathe_enter(ARRAY(SELECT t.id FROM tasks t WHERE t.id = ANY (ids) AND t.state = 'queued'), gates,
        CASE WHEN lazy THEN 'none' ELSE 'wait' END);
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
-- stays as it is, and was not refused. senders: a number for each, the same for those of one request; NULL: they are all.
CREATE FUNCTION lathe_place(ids uuid[], senders bigint[] DEFAULT NULL)
    RETURNS TABLE (task uuid, existing uuid, state text, bad integer) LANGUAGE sql AS
$$
SELECT * FROM lathe_settle_in(ARRAY(SELECT t.id FROM tasks t WHERE t.id = ANY (ids) AND t.xmin = pg_current_xact_id()::xid), false, ids, senders)
$$;
