-- lathe.submit_many of 023_submit_many.sql: two thirds of its time. A random number for each id was a fifth of it, and rows that went from
-- one INSERT to the other through a WITH another fifth: here both read the same arrays. Lists of SELECT unnest() are read as they are;
-- FROM unnest() would copy them first.

-- Of one statement's many ids: in their order, and different by `n`; those of two statements of one millisecond by their `seed`. Who has
-- some of them must not find the others: a hash alone could be turned round, so that what it says is hidden behind `pad`, another random number.
CREATE FUNCTION lathe_uuid(ms bigint, n bigint, seed bigint, pad bigint) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$
SELECT encode(int8send((ms + n / 4096) << 16 | 28672 | n % 4096)
    || int8send(1::bigint << 63 | ((hashint8extended(n, seed) # pad) & 4611686018427387903)), 'hex')::uuid
$$;

-- A task for each of `params`, alike but for these, in one statement. Their ids, in this order.
CREATE OR REPLACE FUNCTION lathe.submit_many(
    handler text, params jsonb[], items_count integer DEFAULT 1, strategy text DEFAULT 'background', queue text DEFAULT 'default',
    priority integer DEFAULT 5, batch_size integer DEFAULT 100, options jsonb DEFAULT NULL
) RETURNS SETOF uuid LANGUAGE plpgsql SECURITY DEFINER AS
$$
DECLARE
    clock   constant timestamptz := clock_timestamp();
    ms      constant bigint := (extract(epoch FROM clock) * 1000)::bigint;
    seed    constant bigint := hashtextextended(gen_random_uuid()::text, 0);
    pad     constant bigint := hashtextextended(gen_random_uuid()::text, 0);
    unit    integer;
    asked   lathe_asked;
    plain   boolean;
    ids     uuid[];
    bad     integer;
    held    uuid[];
    as_     uuid[];
    texts   constant text[] := ARRAY(SELECT p::text FROM unnest(params) p);
    wrong   bigint;
    -- what all of them have
    total   integer;
    rank_   timestamptz;
    item_ms bigint;
    task_ms bigint;
    state_  task_state;
    batch   integer;
    threads integer;
    fails   boolean;
    inner_  text;
    tags_   text;
    meta_   text;
    terms_  jsonb;
    shape_  integer[];
    later   timestamptz;
BEGIN
    IF options IS NOT NULL THEN
        asked := lathe_ask(options, clock);
        IF asked.callbacks IS NOT NULL THEN
            PERFORM lathe_refuse_option('callback.tasks', 'left out: what is to follow each of many is put by lathe.submit', asked.callbacks);
        END IF;
        IF asked.inner_strategy IS NOT NULL AND strategy IS DISTINCT FROM 'background' THEN
            PERFORM lathe_refuse_option('inner', 'left out: only background has units that run under another strategy', options -> 'inner');
        END IF;
        queue := coalesce(asked.queue, queue);
        priority := coalesce(asked.priority, priority);
        batch_size := coalesce(asked.batch_size, batch_size);
        IF asked.run_at > clock + interval '8784 hours' THEN
            PERFORM lathe_refuse_option('run_at', '366 days from now at most', options -> 'run_at');
        END IF;
    END IF;
    unit := lathe_unit_size(strategy, items_count, batch_size);
    plain := asked.terms IS NULL AND (asked.run_at > clock) IS NOT TRUE;
    PERFORM lathe_check(handler, strategy, queue, priority, items_count, batch_size);
    wrong := (SELECT min(p.n) FROM unnest(params, texts) WITH ORDINALITY p(value, text, n)
              WHERE jsonb_typeof(p.value) IS DISTINCT FROM 'object' OR octet_length(p.text) > 65536);
    IF wrong IS NOT NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = format('lathe.submit_many: params[%s] must be an object of 65536 bytes at most', wrong);
    END IF;
    total := (items_count + unit - 1) / unit;
    rank_ := lathe_rank(now(), priority::smallint);
    item_ms := coalesce(asked.item_timeout_ms, 0);
    task_ms := coalesce(asked.timeout_ms, 0);
    state_ := CASE WHEN asked.terms -> 'depends_on' IS NULL THEN 'queued' ELSE 'scheduled' END;
    batch := greatest(batch_size, unit);
    threads := coalesce(asked.workers, 4);
    fails := coalesce(asked.on_item_error = 'fail', false);
    inner_ := CASE WHEN strategy = 'background' THEN coalesce(asked.inner_strategy, 'auto') ELSE '' END;
    tags_ := coalesce(asked.tags, '');
    meta_ := coalesce(asked.meta, '');
    terms_ := asked.terms;
    shape_ := asked.shape;
    later := CASE WHEN asked.run_at > clock THEN asked.run_at END;
    ids := ARRAY(SELECT lathe_uuid(ms, n, seed, pad) FROM generate_series(0, cardinality(texts) - 1) n);
    INSERT INTO tasks (id, digest, item_timeout_ms, timeout_ms, state, ord, items_total, units_total, unit_size, batch_size, workers,
        priority, container, fail_fast, handler, strategy, inner_strategy, queue, params, tags, meta, unit_kib, run_at, terms, shape_asked)
    SELECT p.id, 0, item_ms, task_ms, state_, 0, submit_many.items_count, total, unit, batch, threads,
        submit_many.priority, false, fails, submit_many.handler, submit_many.strategy, inner_, submit_many.queue, p.text, tags_, meta_,
        octet_length(p.text) / 1024, later, terms_, shape_
    FROM (SELECT unnest(ids) AS id, unnest(texts) AS text) p;
    IF plain AND total = 1 THEN
        INSERT INTO work (task, rank, seq, first, count, kib, attempt, queue)
        SELECT p.id, rank_, 0, 0, submit_many.items_count, octet_length(p.text) / 1024, 1, submit_many.queue
        FROM (SELECT unnest(ids) AS id, unnest(texts) AS text) p;
    ELSIF plain THEN
        INSERT INTO work (task, rank, seq, first, count, kib, attempt, queue)
        SELECT p.id, rank_, s, s * unit, least(unit, submit_many.items_count - s * unit), octet_length(p.text) / 1024, 1, submit_many.queue
        FROM (SELECT unnest(ids) AS id, unnest(texts) AS text) p, generate_series(0, total - 1) s;
    END IF;
    IF NOT plain THEN
        SELECT max(s.bad), array_agg(s.task) FILTER (WHERE s.existing IS NOT NULL), array_agg(s.existing) FILTER (WHERE s.existing IS NOT NULL)
        INTO bad, held, as_ FROM lathe_settle_in(ids, true) s;
        IF bad > 0 THEN
            RAISE invalid_parameter_value USING MESSAGE = format('lathe.submit: depends_on: there is no task %s',
                asked.terms -> 'depends_on' ->> bad - 1);
        END IF;
    END IF;
    IF held IS NULL THEN
        RETURN QUERY SELECT unnest(ids);
    ELSE
        RETURN QUERY SELECT coalesce(h.holder, i.id)
            FROM unnest(ids) WITH ORDINALITY i(id, n) LEFT JOIN unnest(held, as_) h(task, holder) ON h.task = i.id ORDER BY i.n;
    END IF;
END
$$;

-- What replaces a function has none of its settings.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION lathe.submit_many(text, jsonb[], integer, text, text, integer, integer, jsonb) SET search_path = %I, pg_temp',
                   current_schema());
END
$$;
