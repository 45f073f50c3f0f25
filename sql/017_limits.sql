-- The bound on limits that are in use (LIMIT_GATES) also where they come from SQL, or from tasks that were put long before their time.

CREATE FUNCTION lathe_gates_left() RETURNS integer LANGUAGE sql STABLE AS
$$ SELECT 100000 - count(*)::integer FROM (SELECT FROM gates LIMIT 100000) g $$; -- LIMIT_GATES

-- As in 015. The gate itself is made when lathe_wake comes to it, so what a transaction brings beyond the last place waits there.
CREATE OR REPLACE FUNCTION lathe_option_limit(o jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS
$$
DECLARE
    name  constant text := lathe_text(o, 'limit.key', 1, 255);
    most  constant numeric := nullif(lathe_number(o, 'limit.concurrency', 0, 100000), 0);
    often constant numeric := nullif(lathe_number(o, 'limit.rate', 0, 1000000), 0);
    per_s constant numeric := coalesce(lathe_number(o, 'limit.per_s', 0.001, 31622400, false), 1);
BEGIN
    IF lathe_object(o, 'limit', '{key,concurrency,rate,per_s}') IS NULL THEN
        RETURN '{}';
    END IF;
    IF name IS NULL OR coalesce(most, often) IS NULL THEN
        PERFORM lathe_refuse_option('limit', 'an object with a key, and a concurrency or a rate of 1 or more', o -> 'limit');
    END IF;
    IF NOT EXISTS (SELECT FROM gates g WHERE g.name = lathe_key(o)) AND lathe_gates_left() <= 0 THEN
        RAISE configuration_limit_exceeded USING MESSAGE = format(
            'lathe.submit: options.limit.key: there are 100000 keys in use, and "%s" is another one; send it again when fewer are', name);
    END IF;
    RETURN jsonb_build_object('limit', jsonb_strip_nulls(jsonb_build_object('key', name, 'concurrency', most, 'rate', often,
        'per_s', CASE WHEN often IS NOT NULL THEN per_s END)));
END
$$;

-- As in 013, but that no more gates are made than there may be. Units whose gate is one too many are looked at again in a second,
-- when others may have gone: else they would be in the way of all that are due after them.
CREATE OR REPLACE FUNCTION lathe_wake_gates(room bigint, OUT woken bigint, OUT next timestamptz) LANGUAGE plpgsql AS
$$
DECLARE
    due   tid[];
    tasks_due uuid[];
    fresh text[];
    names text[];
BEGIN
    SELECT array_agg(d.at), array_agg(DISTINCT d.task) INTO due, tasks_due FROM (
        SELECT w.ctid AS at, w.task FROM waiting w JOIN tasks t ON t.id = w.task
        WHERE w.gate IS NULL AND w.run_at <= now() AND w.rank < 'infinity' AND t.terms ? 'limit' ORDER BY w.run_at LIMIT room FOR UPDATE OF w SKIP LOCKED) d;
    fresh := ARRAY(SELECT DISTINCT lathe_key(t.terms) FROM tasks t
                   WHERE t.id = ANY (tasks_due) AND NOT EXISTS (SELECT FROM gates g WHERE g.name = lathe_key(t.terms)));
    IF fresh <> '{}' THEN
        INSERT INTO gates (name, concurrency, rate, per_s, tokens)
        SELECT DISTINCT ON (1) lathe_key(t.terms), (t.terms->'limit'->>'concurrency')::integer, (t.terms->'limit'->>'rate')::integer,
            coalesce((t.terms->'limit'->>'per_s')::double precision, 1), coalesce((t.terms->'limit'->>'rate')::integer, 0)
        FROM tasks t WHERE t.id = ANY (tasks_due) AND (lathe_key(t.terms) IN (SELECT unnest(fresh[:lathe_gates_left()]))) IS TRUE
        ORDER BY 1, t.id DESC
        ON CONFLICT DO NOTHING;
        UPDATE waiting w SET run_at = now() + interval '1 second' FROM tasks t
        WHERE w.ctid = ANY (due) AND t.id = w.task AND NOT EXISTS (SELECT FROM gates g WHERE g.name = lathe_key(t.terms));
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
