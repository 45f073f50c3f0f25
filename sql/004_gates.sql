-- Limits: of a key, of a queue; queues that are paused; tenants who share a queue. docs/queue.md explains.
--
-- A gate lets a number of units be inside at once, or so many a time, or both. The gate of a key ("key/…") is passed on the
-- way to `work`: units that may not pass yet stand in `waiting`, and lathe_admit lets them in. The gate of a queue
-- ("queue/…") is passed by the claim, so that a limit that is set holds for what is at work already, and a paused queue is
-- one without room.
--
-- Who wants the row of a gate has the locks of leases, tasks and tenants before, and takes no lock but those of further gates, in the
-- order of their names, afterwards: rows of `waiting` are then only taken where nobody else has them.

-- Queues that are paused or limited; all others have no row, and cost nothing.
CREATE TABLE queues (
    name    text PRIMARY KEY,
    paused  boolean NOT NULL DEFAULT false,
    limited boolean NOT NULL DEFAULT false, -- has a gate
    reason  text NOT NULL DEFAULT '',       -- why it is paused
    since   timestamptz                     -- when it was paused
);

-- A bucket of tokens: it holds `rate` of them, fills up in per_s seconds, and a unit that passes takes one.
CREATE TABLE gates (
    name        text PRIMARY KEY,
    concurrency integer,            -- units inside at once; NULL: any number
    rate        integer,            -- NULL: as fast as they come
    per_s       double precision NOT NULL DEFAULT 1,
    tokens      double precision NOT NULL DEFAULT 0, -- at refilled_at
    refilled_at timestamptz NOT NULL DEFAULT now(),
    next_at     timestamptz         -- somebody waits for a token: there is one by then
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);

CREATE INDEX gates_next ON gates (next_at) WHERE next_at IS NOT NULL;

-- The units that are inside: of a key's gate those at work or under a lease, of a queue's gate those under a lease. A row
-- comes and goes in the transaction that moves its unit; lathe_tidy removes what is left over all the same. They are counted
-- without bitmaps: such a scan marks what it finds dead in the index, and the next one does not look at it again.
CREATE TABLE inside (
    gate text NOT NULL,
    task uuid NOT NULL,
    seq  integer NOT NULL,
    PRIMARY KEY (task, seq, gate)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX inside_gate ON inside (gate, task, seq);

-- Whose units stand where: the next unit of a tenant comes not before `clock`.
CREATE TABLE tenants (
    queue text NOT NULL,
    name  text NOT NULL,
    clock timestamptz NOT NULL,
    units integer NOT NULL,         -- of his latest submission
    alone boolean NOT NULL,         -- nothing was at work before it
    PRIMARY KEY (queue, name)
) WITH (fillfactor = 50);

-- The gate of a task with the term `limit`; NULL: it has none.
CREATE FUNCTION lathe_key(terms jsonb) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT 'key/' || (terms->'limit'->>'key') $$;

-- Those of some tasks.
CREATE FUNCTION lathe_keys(ids uuid[]) RETURNS text[] LANGUAGE sql STABLE AS
$$ SELECT array_agg(DISTINCT lathe_key(t.terms)) FROM tasks t WHERE t.id = ANY (ids) AND t.terms ? 'limit' $$;

-- The tokens that there are now. A transaction that began before the last refill adds nothing.
CREATE FUNCTION lathe_filled(g gates) RETURNS double precision LANGUAGE sql STABLE AS
$$ SELECT least(g.rate, g.tokens + greatest(extract(epoch FROM now() - g.refilled_at), 0) * g.rate / g.per_s) $$;

-- How many more may pass, at most `most`, where `held` are inside.
CREATE FUNCTION lathe_room(g gates, held bigint, most bigint) RETURNS bigint LANGUAGE sql STABLE AS
$$ SELECT greatest(0, least(most, g.concurrency - held, floor(lathe_filled(g) + 1e-9)::bigint)) $$;

-- When there is a token again, of those that are left: not sooner than in 10 ms, so that a fast rate comes in batches.
CREATE FUNCTION lathe_refill(g gates, tokens double precision) RETURNS timestamptz LANGUAGE sql STABLE AS
$$ SELECT now() + greatest(0.01, (1 - tokens) * g.per_s / g.rate) * interval '1 second' $$;

-- Lets into these gates as many of those who wait as there is room for, by rank. How many there were.
CREATE FUNCTION lathe_admit(names text[]) RETURNS bigint LANGUAGE plpgsql SET enable_bitmapscan = off AS
$$
DECLARE
    n bigint;
BEGIN
    IF names IS NULL OR names = '{}' THEN
        RETURN 0;
    END IF;
    PERFORM FROM gates WHERE name = ANY (names) ORDER BY name FOR UPDATE;
    -- A statement of its own: it sees what those did who had the gate before.
    WITH g AS MATERIALIZED (
        SELECT g AS gate, g.name, lathe_filled(g) AS tokens,
            lathe_room(g, (SELECT count(*) FROM inside i WHERE i.gate = g.name), 10000) AS room
        FROM gates g WHERE g.name = ANY (names)
    ), picked AS MATERIALIZED (
        SELECT g.*, p.at, coalesce(cardinality(p.at), 0) AS n
        FROM g, LATERAL (SELECT ARRAY(SELECT w.ctid FROM waiting w WHERE w.gate = g.name ORDER BY w.rank, w.task, w.seq
                                      LIMIT g.room FOR UPDATE SKIP LOCKED) AS at OFFSET 0) p
    ), gone AS (
        DELETE FROM waiting WHERE ctid = ANY (ARRAY(SELECT unnest(p.at) FROM picked p))
        RETURNING gate, task, rank, seq, first, count, kib, attempt, tries, queue
    ), held AS (
        INSERT INTO inside (gate, task, seq) SELECT gate, task, seq FROM gone ON CONFLICT DO NOTHING
    ), moved AS (
        INSERT INTO work (task, rank, seq, first, count, kib, attempt, tries, queue)
        SELECT task, rank, seq, first, count, kib, attempt, tries, queue FROM gone
    ), told AS (
        -- Where all the room was taken there may be more who wait.
        UPDATE gates g SET tokens = p.tokens - p.n, refilled_at = greatest(g.refilled_at, now()),
            next_at = CASE WHEN p.n = p.room AND p.tokens - p.n < 1 THEN lathe_refill(p.gate, p.tokens - p.n) END
        FROM picked p WHERE g.name = p.name AND g.rate IS NOT NULL
    )
    SELECT count(*) INTO n FROM gone;
    RETURN n;
END
$$;

-- The gates of tasks, as the latest of them wants them; they are locked then. Too many gates: LT003.
CREATE FUNCTION lathe_define(ids uuid[]) RETURNS text[] LANGUAGE plpgsql AS
$$
DECLARE
    most  constant integer := 100000; -- LIMIT_GATES
    fresh boolean;
BEGIN
    WITH asked AS (
        SELECT DISTINCT ON (1) lathe_key(t.terms) AS name, (t.terms->'limit'->>'concurrency')::integer AS concurrency,
            (t.terms->'limit'->>'rate')::integer AS rate, coalesce((t.terms->'limit'->>'per_s')::double precision, 1) AS per_s
        FROM tasks t WHERE t.id = ANY (ids) AND t.terms ? 'limit' ORDER BY 1, t.id DESC
    ), known AS (
        INSERT INTO gates AS g (name, concurrency, rate, per_s, tokens)
        SELECT a.name, a.concurrency, a.rate, a.per_s, coalesce(a.rate, 0) FROM asked a ORDER BY a.name
        ON CONFLICT (name) DO UPDATE SET concurrency = excluded.concurrency, rate = excluded.rate, per_s = excluded.per_s,
            tokens = coalesce(least(lathe_filled(g), excluded.rate), excluded.rate, 0), refilled_at = greatest(g.refilled_at, now())
        WHERE (g.concurrency, g.rate, g.per_s) IS DISTINCT FROM (excluded.concurrency, excluded.rate, excluded.per_s)
        RETURNING g.xmax = 0 AS fresh
    )
    SELECT bool_or(k.fresh) INTO fresh FROM known k;
    IF fresh AND (SELECT count(*) FROM (SELECT FROM gates LIMIT most + 1) g) > most THEN
        RAISE EXCEPTION USING ERRCODE = 'LT003', MESSAGE = format('there are %s limits in use', most);
    END IF;
    RETURN lathe_keys(ids);
END
$$;

-- Where in their queues the units of tasks with a tenant stand: the first of a task not before `since`, each a
-- millisecond behind the other. A tenant's clock runs on with his units, and begins at the unit that is first in the queue:
-- so all who have work there have their next unit at about the same time, whoever came first and however many he has.
CREATE FUNCTION lathe_share(ids uuid[]) RETURNS TABLE (task uuid, since timestamptz) LANGUAGE plpgsql AS
$$
BEGIN
    RETURN QUERY
    WITH mine AS MATERIALIZED (
        SELECT t.id, t.queue, t.terms->>'tenant' AS tenant, t.units_total AS units, lathe_key(t.terms) AS gate
        FROM tasks t WHERE t.id = ANY (ids) AND t.terms ? 'tenant'
    ), heads AS MATERIALIZED (
        SELECT m.queue, m.gate, least(
            (SELECT w.rank + t.priority * interval '1 minute' FROM work w JOIN tasks t ON t.id = w.task
             WHERE w.queue = m.queue ORDER BY w.rank, w.task, w.seq LIMIT 1),
            (SELECT w.rank + t.priority * interval '1 minute' FROM waiting w JOIN tasks t ON t.id = w.task
             WHERE w.gate = m.gate ORDER BY w.rank, w.task, w.seq LIMIT 1)) AS head
        FROM (SELECT DISTINCT x.queue, x.gate FROM mine x) m
    ), moved AS (
        INSERT INTO tenants AS c (queue, name, clock, units, alone)
        SELECT m.queue, m.tenant, coalesce(min(h.head), now()) + sum(m.units) * interval '1 millisecond', sum(m.units), min(h.head) IS NULL
        FROM mine m JOIN heads h ON h.queue = m.queue AND h.gate IS NOT DISTINCT FROM m.gate
        GROUP BY m.queue, m.tenant ORDER BY m.queue, m.tenant
        ON CONFLICT (queue, name) DO UPDATE SET units = excluded.units, alone = excluded.alone,
            clock = CASE WHEN excluded.alone THEN excluded.clock
                ELSE greatest(c.clock + excluded.units * interval '1 millisecond', excluded.clock) END
        RETURNING c.queue, c.name, c.clock - c.units * interval '1 millisecond' AS start
    )
    SELECT m.id, v.start + (sum(m.units) OVER (PARTITION BY m.queue, m.tenant ORDER BY m.id) - m.units) * interval '1 millisecond'
    FROM mine m JOIN moved v ON v.queue = m.queue AND v.name = m.tenant;
END
$$;

-- Puts where they belong the units of those of the tasks that have a limit or a tenant, and returns the others. Units wait
-- for their gate where it is in `gates`, which the caller makes (lathe_define) and admits to next; else for lathe_wake.
CREATE FUNCTION lathe_enter_limited(ids uuid[], gates text[]) RETURNS uuid[] LANGUAGE plpgsql AS
$$
DECLARE
    mine uuid[] := ARRAY(SELECT t.id FROM tasks t WHERE t.id = ANY (ids) AND t.terms ?| '{limit,tenant}');
BEGIN
    IF mine = '{}' THEN
        RETURN ids;
    END IF;
    WITH shared AS MATERIALIZED (
        SELECT s.task, s.since FROM lathe_share(mine) s
    ), places AS MATERIALIZED (
        SELECT t.id, t.queue, t.priority, t.unit_size, t.units_total, t.items_total, t.unit_kib, lathe_key(t.terms) AS gate,
            coalesce(t.run_at > now(), false) AS late, greatest(t.run_at, now()) AS run_at,
            CASE WHEN t.run_at > now() THEN NULL ELSE (SELECT s.since FROM shared s WHERE s.task = t.id) END AS since
        FROM tasks t WHERE t.id = ANY (mine)
    ), units AS MATERIALIZED (
        SELECT p.id AS task, p.run_at, lathe_rank(coalesce(p.since + s * interval '1 millisecond', p.run_at), p.priority) AS rank, s AS seq,
            s * p.unit_size AS first, least(p.unit_size, p.items_total - s * p.unit_size) AS count, p.unit_kib AS kib, p.queue,
            p.late, p.gate
        FROM places p, generate_series(0, p.units_total - 1) s
    ), waits AS (
        INSERT INTO waiting (task, run_at, rank, seq, first, count, kib, attempt, tries, queue, gate)
        SELECT task, run_at, rank, seq, first, count, kib, 1, 0, queue, CASE WHEN NOT late AND gate = ANY (gates) THEN gate END
        FROM units WHERE late OR gate IS NOT NULL
    )
    INSERT INTO work (task, rank, seq, first, count, kib, attempt, queue)
    SELECT task, rank, seq, first, count, kib, 1, queue FROM units WHERE NOT late AND gate IS NULL;
    RETURN ARRAY(SELECT i FROM unnest(ids) i WHERE i <> ALL (mine));
END
$$;

-- Units that are at work no more (queues_only: that are, but under no lease) leave their gates, and others enter.
CREATE FUNCTION lathe_leave(u_task uuid[], u_seq integer[], queues_only boolean) RETURNS bigint LANGUAGE plpgsql AS
$$
DECLARE
    names text[];
BEGIN
    WITH gone AS (
        DELETE FROM inside i USING unnest(u_task, u_seq) u(task, seq)
        WHERE i.task = u.task AND i.seq = u.seq AND (NOT queues_only OR starts_with(i.gate, 'queue/'))
        RETURNING i.gate
    )
    SELECT array_agg(DISTINCT gate) FILTER (WHERE starts_with(gate, 'key/')) INTO names FROM gone;
    RETURN lathe_admit(names);
END
$$;

-- The part of lathe_wake that is about gates: units whose time has come go to their gates, and gates with new tokens let in
-- who waits. It waits for nobody: what is in other hands is left for the next time. woken: what came to work, and the
-- queues that may be claimed from again; next: as for lathe_wake.
CREATE FUNCTION lathe_wake_gates(room bigint, OUT woken bigint, OUT next timestamptz) LANGUAGE plpgsql AS
$$
DECLARE
    due   tid[];
    tasks_due uuid[];
    names text[];
BEGIN
    SELECT array_agg(d.at), array_agg(DISTINCT d.task) INTO due, tasks_due FROM (
        SELECT w.ctid AS at, w.task FROM waiting w JOIN tasks t ON t.id = w.task
        WHERE w.gate IS NULL AND w.run_at <= now() AND t.terms ? 'limit' ORDER BY w.run_at LIMIT room FOR UPDATE OF w SKIP LOCKED) d;
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
        UPDATE waiting w SET gate = lathe_key(t.terms) FROM tasks t
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

-- ---- queues: called by the claim, for those in `queues` only

-- How many units of the queue may be claimed now, at most `most`.
CREATE FUNCTION lathe_queue_room(which text, most bigint) RETURNS bigint LANGUAGE plpgsql SET enable_bitmapscan = off AS
$$
DECLARE
    g gates;
BEGIN
    IF (SELECT q.paused FROM queues q WHERE q.name = which) THEN
        RETURN 0;
    END IF;
    SELECT * INTO g FROM gates WHERE name = 'queue/' || which FOR UPDATE;
    IF NOT FOUND THEN
        RETURN most;
    END IF;
    IF lathe_filled(g) < 1 AND coalesce(g.next_at < now(), true) THEN
        UPDATE gates SET next_at = lathe_refill(g, lathe_filled(g)) WHERE name = g.name;
    END IF;
    RETURN lathe_room(g, (SELECT count(*) FROM inside i WHERE i.gate = g.name), most);
END
$$;

-- These units are under a lease now: they are inside the gates of their queues. True.
CREATE FUNCTION lathe_claimed(u_task uuid[], u_seq integer[]) RETURNS boolean LANGUAGE plpgsql AS
$$
BEGIN
    WITH held AS MATERIALIZED (
        SELECT 'queue/' || t.queue AS gate, u.task, u.seq
        FROM unnest(u_task, u_seq) u(task, seq) JOIN tasks t ON t.id = u.task JOIN queues q ON q.name = t.queue AND q.limited
    ), entered AS (
        INSERT INTO inside (gate, task, seq) SELECT gate, task, seq FROM held ON CONFLICT DO NOTHING
    )
    UPDATE gates g SET tokens = lathe_filled(g) - h.n, refilled_at = greatest(g.refilled_at, now())
    FROM (SELECT gate, count(*) AS n FROM held GROUP BY gate) h WHERE g.name = h.gate AND g.rate IS NOT NULL;
    RETURN true;
END
$$;

-- Sets the limits of a queue; all NULL: it has none.
CREATE FUNCTION lathe_limit_queue(which text, most integer, often integer, seconds double precision) RETURNS void
LANGUAGE plpgsql AS
$$
BEGIN
    IF most IS NULL AND often IS NULL THEN
        UPDATE queues SET limited = false WHERE name = which;
        DELETE FROM queues WHERE name = which AND NOT paused;
        DELETE FROM gates WHERE name = 'queue/' || which;
        DELETE FROM inside WHERE gate = 'queue/' || which;
        RETURN;
    END IF;
    INSERT INTO gates AS g (name, concurrency, rate, per_s, tokens) VALUES ('queue/' || which, most, often, seconds, coalesce(often, 0))
    ON CONFLICT (name) DO UPDATE SET concurrency = excluded.concurrency, rate = excluded.rate, per_s = excluded.per_s,
        tokens = coalesce(least(lathe_filled(g), excluded.rate), excluded.rate, 0), refilled_at = greatest(g.refilled_at, now()), next_at = NULL;
    INSERT INTO queues (name, limited) VALUES (which, true) ON CONFLICT (name) DO UPDATE SET limited = true;
    -- What runs already counts.
    INSERT INTO inside (gate, task, seq)
    SELECT 'queue/' || which, h.task, h.seq FROM leases l, unnest(l.tasks, l.seqs) h(task, seq) JOIN tasks t ON t.id = h.task
    WHERE t.queue = which AND NOT lathe_final(t.state)
    AND NOT EXISTS (SELECT FROM results r WHERE r.task = h.task AND r.seq = h.seq AND r.part = 0)
    ON CONFLICT DO NOTHING;
END
$$;

CREATE FUNCTION lathe_pause_queue(which text, pause boolean, why text) RETURNS void LANGUAGE plpgsql AS
$$
BEGIN
    IF pause THEN
        INSERT INTO queues AS q (name, paused, reason, since) VALUES (which, true, why, now())
        ON CONFLICT (name) DO UPDATE SET paused = true, reason = excluded.reason, since = coalesce(q.since, excluded.since);
    ELSE
        UPDATE queues SET paused = false, reason = '', since = NULL WHERE name = which AND limited;
        DELETE FROM queues WHERE name = which AND NOT limited;
    END IF;
END
$$;

-- ---- housekeeping

-- Forgets what nobody uses and puts right what should not be. It takes gates that are free only. The number of slots
-- that were held by nobody.
CREATE FUNCTION lathe_tidy(room integer) RETURNS bigint LANGUAGE plpgsql AS
$$
DECLARE
    names  text[];
    leaked bigint := 0;
BEGIN
    IF EXISTS (SELECT FROM inside) THEN
        DELETE FROM inside WHERE ctid = ANY (ARRAY(
            SELECT i.ctid FROM inside i
            WHERE ((i.task, i.seq) IN (SELECT h.task, h.seq FROM leases l, unnest(l.tasks, l.seqs) h(task, seq))) IS NOT TRUE
            AND (starts_with(i.gate, 'queue/') OR NOT EXISTS (SELECT FROM work w WHERE w.task = i.task AND w.seq = i.seq))
            LIMIT 100 * room FOR UPDATE SKIP LOCKED));
        GET DIAGNOSTICS leaked = ROW_COUNT;
    END IF;
    -- Who waits for a gate that does not exist goes by lathe_wake, which makes it.
    IF EXISTS (SELECT FROM waiting WHERE gate IS NOT NULL) THEN
        WITH RECURSIVE hop AS (
            (SELECT min(w.gate) AS name FROM waiting w WHERE w.gate IS NOT NULL)
            UNION ALL
            SELECT (SELECT min(w.gate) FROM waiting w WHERE w.gate > hop.name) FROM hop WHERE hop.name IS NOT NULL
        )
        SELECT array_agg(h.name) INTO names FROM hop h
        WHERE h.name IS NOT NULL AND NOT EXISTS (SELECT FROM gates g WHERE g.name = h.name);
        UPDATE waiting SET gate = NULL WHERE ctid = ANY (ARRAY(
            SELECT w.ctid FROM waiting w WHERE w.gate = ANY (names) LIMIT 100 * room FOR UPDATE SKIP LOCKED));
    END IF;
    IF NOT EXISTS (SELECT FROM gates) THEN
        RETURN leaked;
    END IF;
    -- Whoever was passed over because another transaction had his row, which then came to nothing.
    names := ARRAY(
        SELECT g.name FROM gates g
        WHERE starts_with(g.name, 'key/') AND EXISTS (SELECT FROM waiting w WHERE w.gate = g.name)
        ORDER BY g.name LIMIT 100 * room FOR UPDATE SKIP LOCKED);
    PERFORM lathe_admit(names);
    names := ARRAY(
        SELECT g.name FROM gates g
        WHERE starts_with(g.name, 'key/') AND g.refilled_at < now() - interval '10 seconds'
        AND coalesce(lathe_filled(g) >= g.rate, true)
        AND NOT EXISTS (SELECT FROM inside i WHERE i.gate = g.name) AND NOT EXISTS (SELECT FROM waiting w WHERE w.gate = g.name)
        LIMIT 100 * room FOR UPDATE SKIP LOCKED);
    -- A statement of its own: it sees who came to a gate between the look at him and the lock.
    DELETE FROM gates g WHERE g.name = ANY (names)
    AND NOT EXISTS (SELECT FROM inside i WHERE i.gate = g.name) AND NOT EXISTS (SELECT FROM waiting w WHERE w.gate = g.name);
    DELETE FROM tenants WHERE ctid = ANY (ARRAY(
        SELECT c.ctid FROM tenants c WHERE c.clock < now() - interval '1 hour' LIMIT 100 * room FOR UPDATE SKIP LOCKED));
    RETURN leaked;
END
$$;
