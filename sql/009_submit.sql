-- Submitting from SQL, inside the caller's own transaction: the task is there if that commits, and never was if it does not.
-- docs/sql.md is the manual. Everything else of the tables may change; the functions of the schema lathe are kept.
CREATE SCHEMA lathe;

-- RFC 9562, version 7: milliseconds, then 12 bits by which ids of one statement keep their order.
CREATE FUNCTION lathe_uuid(ms bigint, n bigint) RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS
$$
SELECT encode(overlay(uuid_send(gen_random_uuid()) PLACING int8send((ms + n / 4096) << 16 | 28672 | n % 4096) FROM 1 FOR 8), 'hex')::uuid
$$;

-- Those of src/model/strategies.def. tests/integration/test_store_sql.c compares.
CREATE FUNCTION lathe_strategies() RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$
SELECT '{sequential,threading,multiprocessing,async-batch,concurrent-futures,hybrid,background,auto}'::text[]
$$;

-- What every submission has, checked; the rest is the worker's to refuse.
CREATE FUNCTION lathe_check(handler text, strategy text, queue text, priority integer, items integer, batch_size integer)
RETURNS void LANGUAGE plpgsql IMMUTABLE AS
$$
DECLARE
    fault constant text := CASE
        WHEN handler IS NULL OR handler !~ '^[A-Za-z0-9._-]{1,64}$' THEN format('there can be no handler "%s"', handler)
        WHEN strategy IS NULL OR strategy <> ALL (lathe_strategies()) THEN
            format('there is no strategy "%s"; there are %s', strategy, array_to_string(lathe_strategies(), ', '))
        WHEN queue IS NULL OR queue !~ '^[A-Za-z0-9._-]{1,64}$' THEN
            format('queue: a name of 1 to 64 letters, digits, ".", "_" and "-", not "%s"', queue)
        WHEN priority IS NULL OR priority NOT BETWEEN 0 AND 9 THEN format('priority: 0 to 9, not %s', priority)
        WHEN items IS NULL OR items NOT BETWEEN 1 AND 1000000 THEN format('items_count, or how many items there are: 1 to 1000000, not %s', items)
        WHEN batch_size IS NULL OR batch_size NOT BETWEEN 1 AND 1000000 THEN format('batch_size: 1 to 1000000, not %s', batch_size)
    END;
BEGIN
    IF fault IS NOT NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = 'lathe.submit: ' || fault;
    END IF;
END
$$;

CREATE FUNCTION lathe_params(params jsonb) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
$$
BEGIN
    IF jsonb_typeof(params) IS DISTINCT FROM 'object' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'lathe.submit: params must be an object';
    END IF;
    IF octet_length(params::text) > 65536 THEN
        RAISE invalid_parameter_value USING MESSAGE = 'lathe.submit: params have more than 65536 bytes';
    END IF;
    RETURN params::text;
END
$$;

-- Items of a unit, as src/queue/put.c cuts them.
CREATE FUNCTION lathe_unit_size(strategy text, items integer, batch_size integer) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$
SELECT CASE WHEN strategy = 'background' THEN least(greatest(batch_size, (items + 9999) / 10000), items) ELSE items END
$$;

-- What is asked for beyond running once and soon: the keys of src/model/terms.h. NULL: nothing.
CREATE FUNCTION lathe_terms(unique_key text, unique_for interval, unique_while text, depends_on uuid[], depends_if text)
RETURNS jsonb LANGUAGE plpgsql STABLE AS
$$
DECLARE
    terms jsonb := '{}';
BEGIN
    IF unique_key IS NOT NULL THEN
        IF octet_length(unique_key) NOT BETWEEN 1 AND 255 THEN
            RAISE invalid_parameter_value USING MESSAGE = 'lathe.submit: unique_key: 1 to 255 bytes';
        END IF;
        IF unique_while IS NULL OR unique_while NOT IN ('unfinished', 'queued') THEN
            RAISE invalid_parameter_value USING MESSAGE = format('lathe.submit: unique_while: unfinished, not "%s"', unique_while);
        END IF;
        IF unique_while = 'queued' THEN -- what is found would have to be held back until the caller's transaction ends
            RAISE invalid_parameter_value
                USING MESSAGE = 'lathe.submit: unique_while: "queued" only by HTTP; in a transaction of yours only "unfinished"';
        END IF;
        terms := jsonb_build_object('unique', jsonb_build_object('key', unique_key, 'while', unique_while,
            'for_s', greatest(coalesce(extract(epoch FROM unique_for), 0), 0)));
    END IF;
    IF cardinality(depends_on) > 0 THEN
        IF cardinality(depends_on) > 1000 THEN
            RAISE invalid_parameter_value USING MESSAGE = 'lathe.submit: depends_on: 1000 tasks at most';
        END IF;
        IF depends_if IS NULL OR depends_if NOT IN ('success', 'end') THEN
            RAISE invalid_parameter_value USING MESSAGE = format('lathe.submit: depends_if: success or end, not "%s"', depends_if);
        END IF;
        terms := terms || jsonb_build_object('depends_on', to_jsonb(depends_on), 'depends_if', depends_if);
    END IF;
    RETURN nullif(terms, '{}');
END
$$;

-- One task. Its id; where unique work is there already: of that.
CREATE FUNCTION lathe.submit(
    handler text, params jsonb DEFAULT '{}', items jsonb DEFAULT NULL, items_count integer DEFAULT 1, strategy text DEFAULT 'background',
    queue text DEFAULT 'default', priority integer DEFAULT 5, batch_size integer DEFAULT 100, run_at timestamptz DEFAULT NULL,
    unique_key text DEFAULT NULL, unique_for interval DEFAULT NULL, unique_while text DEFAULT 'unfinished',
    depends_on uuid[] DEFAULT NULL, depends_if text DEFAULT 'success', item_timeout_ms bigint DEFAULT 0, timeout_ms bigint DEFAULT 0,
    on_item_error text DEFAULT 'continue', tags text[] DEFAULT NULL, meta jsonb DEFAULT NULL
) RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER AS
$$
DECLARE
    clock       constant timestamptz := clock_timestamp();
    us          constant bigint := (extract(epoch FROM clock) * 1000000)::bigint;
    submit_task constant uuid := lathe_uuid(us / 1000, us % 1000 * 4096 / 1000);
    total       constant integer := CASE WHEN items IS NULL THEN items_count
                                         WHEN jsonb_typeof(items) = 'array' THEN jsonb_array_length(items) END;
    terms       constant jsonb := lathe_terms(unique_key, unique_for, unique_while, depends_on, depends_if);
    unit  integer;
    r     record;
BEGIN
    IF items IS NOT NULL AND total IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = 'lathe.submit: items must be an array';
    END IF;
    PERFORM lathe_check(handler, strategy, queue, priority, total, batch_size);
    IF on_item_error IS NULL OR on_item_error NOT IN ('continue', 'fail') THEN
        RAISE invalid_parameter_value USING MESSAGE = format('lathe.submit: on_item_error: continue or fail, not "%s"', on_item_error);
    END IF;
    IF (item_timeout_ms BETWEEN 0 AND 604800000 AND timeout_ms BETWEEN 0 AND 604800000) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING MESSAGE = 'lathe.submit: item_timeout_ms and timeout_ms: 0 to 604800000';
    END IF;
    IF run_at IS NOT NULL AND (NOT isfinite(run_at) OR run_at > clock + interval '8784 hours') THEN
        RAISE invalid_parameter_value USING MESSAGE = format('lathe.submit: run_at: 366 days from now at most, not %s', run_at);
    END IF;
    unit := lathe_unit_size(strategy, total, batch_size);
    INSERT INTO tasks (id, inputs_of, digest, item_timeout_ms, timeout_ms, state, ord, items_total, units_total, unit_size, batch_size,
        workers, priority, container, fail_fast, handler, strategy, inner_strategy, queue, params, tags, meta, unit_kib, run_at, terms)
    VALUES (submit_task, CASE WHEN items IS NOT NULL THEN submit_task END, 0, submit.item_timeout_ms, submit.timeout_ms,
        CASE WHEN terms -> 'depends_on' IS NULL THEN 'queued' ELSE 'scheduled' END::task_state, 0, total, (total + unit - 1) / unit,
        unit, greatest(submit.batch_size, unit), 4, submit.priority, false, submit.on_item_error = 'fail', submit.handler, submit.strategy,
        CASE WHEN submit.strategy = 'background' THEN 'auto' ELSE '' END, submit.queue, lathe_params(submit.params),
        coalesce(to_jsonb(submit.tags)::text, ''), coalesce(submit.meta::text, ''),
        coalesce(octet_length(items::text), 0) / 1024 / ((total + unit - 1) / unit) + octet_length(submit.params::text) / 1024,
        CASE WHEN submit.run_at > clock THEN submit.run_at END, terms);
    IF items IS NOT NULL THEN
        INSERT INTO inputs (task, seq, first, count, bytes)
        SELECT submit_task, (i.n - 1) / unit, min(i.n) - 1, count(*), convert_to(string_agg(i.item::text, E'\n' ORDER BY i.n) || E'\n', 'UTF8')
        FROM jsonb_array_elements(items) WITH ORDINALITY i(item, n) GROUP BY 1, 2;
    END IF;
    IF terms IS NULL AND (submit.run_at > clock) IS NOT TRUE THEN
        INSERT INTO work (task, rank, seq, first, count, kib, attempt, queue)
        SELECT t.id, lathe_rank(now(), t.priority), s, s * unit, least(unit, total - s * unit), t.unit_kib, 1, t.queue
        FROM tasks t, generate_series(0, t.units_total - 1) s WHERE t.id = submit_task;
        RETURN submit_task;
    END IF;
    SELECT s.existing, s.bad INTO r FROM lathe_settle_in(ARRAY [submit_task], true) s;
    IF r.bad > 0 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('lathe.submit: depends_on: there is no task %s', depends_on[r.bad]);
    END IF;
    RETURN coalesce(r.existing, submit_task);
END
$$;

-- A task for each of `params`, alike but for these, in one statement. Their ids, in this order.
CREATE FUNCTION lathe.submit_many(
    handler text, params jsonb[], items_count integer DEFAULT 1, strategy text DEFAULT 'background', queue text DEFAULT 'default',
    priority integer DEFAULT 5, batch_size integer DEFAULT 100
) RETURNS SETOF uuid LANGUAGE plpgsql SECURITY DEFINER AS
$$
DECLARE
    ms    constant bigint := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
    unit  constant integer := lathe_unit_size(strategy, items_count, batch_size);
    texts constant text[] := ARRAY(SELECT p::text FROM unnest(params) p);
    wrong bigint;
BEGIN
    PERFORM lathe_check(handler, strategy, queue, priority, items_count, batch_size);
    wrong := (SELECT min(p.n) FROM unnest(params, texts) WITH ORDINALITY p(value, text, n)
              WHERE jsonb_typeof(p.value) IS DISTINCT FROM 'object' OR octet_length(p.text) > 65536);
    IF wrong IS NOT NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = format('lathe.submit_many: params[%s] must be an object of 65536 bytes at most', wrong);
    END IF;
    RETURN QUERY
    WITH new AS MATERIALIZED (
        INSERT INTO tasks (id, digest, item_timeout_ms, timeout_ms, state, ord, items_total, units_total, unit_size, batch_size, workers,
            priority, container, fail_fast, handler, strategy, inner_strategy, queue, params, tags, meta, unit_kib)
        SELECT lathe_uuid(ms, p.n - 1), 0, 0, 0, 'queued', 0, submit_many.items_count, (submit_many.items_count + unit - 1) / unit, unit,
            greatest(submit_many.batch_size, unit), 4, submit_many.priority, false, false, submit_many.handler, submit_many.strategy,
            CASE WHEN submit_many.strategy = 'background' THEN 'auto' ELSE '' END, submit_many.queue, p.text, '', '',
            octet_length(p.text) / 1024
        FROM unnest(texts) WITH ORDINALITY p(text, n)
        RETURNING id, unit_kib
    ), units AS (
        INSERT INTO work (task, rank, seq, first, count, kib, attempt, queue)
        SELECT n.id, lathe_rank(now(), submit_many.priority::smallint), s, s * unit, least(unit, submit_many.items_count - s * unit),
            n.unit_kib, 1, submit_many.queue
        FROM new n, generate_series(0, (submit_many.items_count + unit - 1) / unit - 1) s
    )
    SELECT id FROM new;
END
$$;

-- Tasks of every kind: an array of objects with the parameters of lathe.submit as members. Their ids, in this order.
CREATE FUNCTION lathe.submit_many(tasks jsonb) RETURNS SETOF uuid LANGUAGE plpgsql SECURITY DEFINER AS
$$
DECLARE
    known constant text[] := '{handler,params,items,items_count,strategy,queue,priority,batch_size,run_at,unique_key,unique_for,unique_while,'
        'depends_on,depends_if,item_timeout_ms,timeout_ms,on_item_error,tags,meta}';
    t     record;
    other text;
BEGIN
    IF jsonb_typeof(tasks) IS DISTINCT FROM 'array' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'lathe.submit_many: tasks must be an array of objects';
    END IF;
    FOR t IN SELECT e.value AS v, e.n - 1 AS n FROM jsonb_array_elements(tasks) WITH ORDINALITY e(value, n) LOOP
        IF jsonb_typeof(t.v) <> 'object' THEN
            RAISE invalid_parameter_value USING MESSAGE = format('lathe.submit_many: tasks[%s] must be an object', t.n);
        END IF;
        SELECT k INTO other FROM jsonb_object_keys(t.v) k WHERE k <> ALL (known) LIMIT 1;
        IF FOUND THEN
            RAISE invalid_parameter_value USING MESSAGE = format('lathe.submit_many: tasks[%s] has a member "%s", and there is none such; there are %s',
                t.n, other, array_to_string(known, ', '));
        END IF;
        RETURN NEXT lathe.submit(
            t.v ->> 'handler', coalesce(t.v -> 'params', '{}'), nullif(t.v -> 'items', 'null'), coalesce((t.v ->> 'items_count')::integer, 1),
            coalesce(t.v ->> 'strategy', 'background'), coalesce(t.v ->> 'queue', 'default'), coalesce((t.v ->> 'priority')::integer, 5),
            coalesce((t.v ->> 'batch_size')::integer, 100), (t.v ->> 'run_at')::timestamptz,
            t.v ->> 'unique_key', (t.v ->> 'unique_for')::interval, coalesce(t.v ->> 'unique_while', 'unfinished'),
            CASE WHEN jsonb_typeof(t.v -> 'depends_on') = 'array' THEN ARRAY(SELECT d::uuid FROM jsonb_array_elements_text(t.v -> 'depends_on') d) END,
            coalesce(t.v ->> 'depends_if', 'success'), coalesce((t.v ->> 'item_timeout_ms')::bigint, 0),
            coalesce((t.v ->> 'timeout_ms')::bigint, 0), coalesce(t.v ->> 'on_item_error', 'continue'),
            CASE WHEN jsonb_typeof(t.v -> 'tags') = 'array' THEN ARRAY(SELECT jsonb_array_elements_text(t.v -> 'tags')) END,
            nullif(t.v -> 'meta', 'null'));
    END LOOP;
END
$$;

-- They act with the rights of their owner, on the tables beside them, whatever the caller's search_path says; and they are
-- for those to whom they are granted.
DO $$
DECLARE
    f record;
BEGIN
    FOR f IN SELECT oid::regprocedure AS name FROM pg_proc WHERE pronamespace = 'lathe'::regnamespace LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', f.name, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f.name);
    END LOOP;
END
$$;
