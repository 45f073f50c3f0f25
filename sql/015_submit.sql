-- Submitting from SQL with every term that a submission by HTTP may have: an argument `options` of lathe.submit and lathe.submit_many,
-- an object with the same names. What makes no sense inside a transaction of the caller's is refused by name.

-- Who was granted the functions that are made anew here: they are granted them again at the end.
CREATE TABLE lathe_grants AS
SELECT p.proname AS name, a.grantee, a.is_grantable FROM pg_proc p, aclexplode(p.proacl) a
WHERE p.pronamespace = 'lathe'::regnamespace AND a.grantee <> p.proowner;

CREATE FUNCTION lathe_refuse_option(path text, must text, given jsonb) RETURNS void LANGUAGE plpgsql IMMUTABLE AS
$$
BEGIN
    RAISE invalid_parameter_value USING MESSAGE = format('lathe.submit: %s must be %s, not %s',
        concat_ws('.', 'options', nullif(path, '')), must, coalesce(left(given::text, 60), 'nothing'));
END
$$;

-- Members of the options, by their path ("limit.rate"); NULL: not given.
CREATE FUNCTION lathe_number(o jsonb, path text, low numeric, high numeric, whole boolean DEFAULT true) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE AS
$$
DECLARE
    v constant jsonb := o #> string_to_array(path, '.');
    n constant numeric := CASE WHEN jsonb_typeof(v) = 'number' THEN v::numeric END;
BEGIN
    IF v IS NOT NULL AND (n BETWEEN low AND high AND NOT (whole AND n <> trunc(n))) IS NOT TRUE THEN
        PERFORM lathe_refuse_option(path, format('%s from %s to %s', CASE WHEN whole THEN 'an integer' ELSE 'a number' END, low, high), v);
    END IF;
    RETURN n;
END
$$;

CREATE FUNCTION lathe_text(o jsonb, path text, low integer, high integer, pattern text DEFAULT '^[^[:cntrl:]]*$') RETURNS text
LANGUAGE plpgsql IMMUTABLE AS
$$
DECLARE
    v constant jsonb := o #> string_to_array(path, '.');
    t constant text := CASE WHEN jsonb_typeof(v) = 'string' THEN v #>> '{}' END;
BEGIN
    IF v IS NOT NULL AND (octet_length(t) BETWEEN low AND high AND t ~ pattern) IS NOT TRUE THEN
        PERFORM lathe_refuse_option(path, format('a string of %s to %s bytes%s', low, high,
            CASE WHEN pattern LIKE '^[^[:cntrl:]]%' THEN ' without control characters' ELSE ' that fits ' || pattern END), v);
    END IF;
    RETURN t;
END
$$;

CREATE FUNCTION lathe_word(o jsonb, path text, words text[]) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
$$
DECLARE
    v constant jsonb := o #> string_to_array(path, '.');
BEGIN
    IF v IS NOT NULL AND (v #>> '{}' = ANY (words)) IS NOT TRUE THEN
        PERFORM lathe_refuse_option(path, 'one of ' || array_to_string(words, ', '), v);
    END IF;
    RETURN v #>> '{}';
END
$$;

-- An object of which all members are known; NULL: there is none.
CREATE FUNCTION lathe_object(o jsonb, path text, known text[]) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS
$$
DECLARE
    v constant jsonb := nullif(o #> string_to_array(path, '.'), 'null');
    other text;
BEGIN
    IF v IS NULL THEN
        RETURN NULL;
    END IF;
    IF jsonb_typeof(v) <> 'object' THEN
        PERFORM lathe_refuse_option(path, 'an object', v);
    END IF;
    other := (SELECT min(k) FROM jsonb_object_keys(v) k WHERE k <> ALL (known));
    IF other IS NOT NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = format('lathe.submit: there is no options.%s; there are %s',
            array_to_string(string_to_array(path, '.') || other, '.'), array_to_string(known, ', '));
    END IF;
    RETURN v;
END
$$;

CREATE FUNCTION lathe_list(o jsonb, path text, high integer, what text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS
$$
DECLARE
    v constant jsonb := nullif(o #> string_to_array(path, '.'), 'null');
BEGIN
    IF v IS NOT NULL AND (CASE WHEN jsonb_typeof(v) = 'array' THEN jsonb_array_length(v) END <= high) IS NOT TRUE THEN
        PERFORM lathe_refuse_option(path, format('a list of at most %s %s', high, what), v);
    END IF;
    RETURN v;
END
$$;

-- A time as by HTTP (RFC 3339).
CREATE FUNCTION lathe_time(o jsonb, path text) RETURNS timestamptz LANGUAGE plpgsql STABLE AS
$$
DECLARE
    v constant jsonb := o #> string_to_array(path, '.');
BEGIN
    IF v IS NULL THEN
        RETURN NULL;
    END IF;
    IF v #>> '{}' ~ '^[0-9]{4}-[0-9][0-9]-[0-9][0-9][Tt ][0-9][0-9]:[0-9][0-9]:[0-9][0-9]([.][0-9]+)?([Zz]|[+-][0-9][0-9]:[0-9][0-9])$' THEN
        BEGIN
            RETURN (v #>> '{}')::timestamptz;
        EXCEPTION WHEN data_exception THEN
            NULL; -- there is no such day or hour
        END;
    END IF;
    PERFORM lathe_refuse_option(path, 'a time as in 2026-11-21T03:14:05Z', v);
END
$$;

-- The waits between tries, every number with the value in force: src/model/retry.c.
CREATE FUNCTION lathe_backoff(o jsonb, path text, otherwise jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS
$$
BEGIN
    IF lathe_object(o, path, '{base_ms,factor,max_ms,jitter}') IS NULL THEN
        RETURN otherwise;
    END IF;
    RETURN jsonb_build_object('base_ms', coalesce(lathe_number(o, path || '.base_ms', 0, 604800000), 1000),
        'factor', coalesce(lathe_number(o, path || '.factor', 1, 100, false), 2),
        'max_ms', coalesce(lathe_number(o, path || '.max_ms', 0, 604800000), 3600000),
        'jitter', coalesce(lathe_number(o, path || '.jitter', 0, 1, false), 0.5));
END
$$;

-- ---- the terms, as src/model/terms.c writes them

CREATE FUNCTION lathe_option_limit(o jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS
$$
DECLARE
    key   constant text := lathe_text(o, 'limit.key', 1, 255);
    most  constant numeric := nullif(lathe_number(o, 'limit.concurrency', 0, 100000), 0);
    often constant numeric := nullif(lathe_number(o, 'limit.rate', 0, 1000000), 0);
    per_s constant numeric := coalesce(lathe_number(o, 'limit.per_s', 0.001, 31622400, false), 1);
BEGIN
    IF lathe_object(o, 'limit', '{key,concurrency,rate,per_s}') IS NULL THEN
        RETURN '{}';
    END IF;
    IF key IS NULL OR coalesce(most, often) IS NULL THEN
        PERFORM lathe_refuse_option('limit', 'an object with a key, and a concurrency or a rate of 1 or more', o -> 'limit');
    END IF;
    RETURN jsonb_build_object('limit', jsonb_strip_nulls(jsonb_build_object('key', key, 'concurrency', most, 'rate', often,
        'per_s', CASE WHEN often IS NOT NULL THEN per_s END)));
END
$$;

CREATE FUNCTION lathe_option_unique(o jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS
$$
BEGIN
    IF lathe_object(o, 'unique', '{key,for_s,while}') IS NULL THEN
        RETURN '{}';
    END IF;
    IF o #> '{unique,key}' IS NULL THEN
        PERFORM lathe_refuse_option('unique', 'an object with a key', o -> 'unique');
    END IF;
    IF o #>> '{unique,while}' = 'queued' THEN
        PERFORM lathe_refuse_option('unique.while', '"unfinished" in a transaction of yours ("queued" is only for HTTP)', o #> '{unique,while}');
    END IF;
    RETURN lathe_terms(lathe_text(o, 'unique.key', 1, 255),
        lathe_number(o, 'unique.for_s', 0, 31622400, false)::double precision * interval '1 second',
        coalesce(lathe_word(o, 'unique.while', '{unfinished}'), 'unfinished'), NULL, NULL);
END
$$;

CREATE FUNCTION lathe_option_needs(o jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS
$$
DECLARE
    needs constant jsonb := lathe_list(o, 'depends_on', 1000, 'ids of tasks');
    iff   constant text := coalesce(lathe_word(o, 'depends_if', '{success,end}'), 'success');
    bad   jsonb;
BEGIN
    IF needs IS NULL OR needs = '[]' THEN
        RETURN '{}';
    END IF;
    bad := (SELECT n FROM jsonb_array_elements(needs) n
            WHERE n #>> '{}' !~ '^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$' LIMIT 1);
    IF bad IS NOT NULL THEN
        PERFORM lathe_refuse_option('depends_on', 'a list of ids of tasks', bad);
    END IF;
    RETURN lathe_terms(NULL, NULL, NULL, ARRAY(SELECT n::uuid FROM jsonb_array_elements_text(needs) n), iff);
END
$$;

-- The delivery; tasks that follow are put by lathe.submit.
CREATE FUNCTION lathe_option_callback(o jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS
$$
DECLARE
    tasks constant jsonb := lathe_list(o, 'callback.tasks', 100, 'tasks');
BEGIN
    IF lathe_object(o, 'callback', '{url,queue,retries,backoff,tasks}') IS NULL THEN
        RETURN '{}';
    END IF;
    IF o #> '{callback,url}' IS NULL AND tasks IS NOT NULL AND tasks <> '[]' THEN
        RETURN '{}';
    END IF;
    -- The worker looks at the address again before it goes there.
    IF coalesce(lathe_text(o, 'callback.url', 1, 2048, '^[!-~]*$') ~* '^https?://[^/?#@]+([/?#][!-~]*)?$', false) = false THEN
        PERFORM lathe_refuse_option('callback.url', 'an http or https URL without a user or a password', o #> '{callback,url}');
    END IF;
    RETURN jsonb_build_object('callback', jsonb_strip_nulls(jsonb_build_object('url', o #> '{callback,url}',
        'queue', lathe_text(o, 'callback.queue', 1, 64, '^[A-Za-z0-9._-]*$'),
        'retries', coalesce(lathe_number(o, 'callback.retries', 0, 1000), 12),
        'backoff', lathe_backoff(o, 'callback.backoff', '{"base_ms": 5000, "factor": 2.5, "max_ms": 14400000, "jitter": 0.5}'))));
END
$$;

CREATE FUNCTION lathe_option_expires(o jsonb, clock timestamptz, after timestamptz) RETURNS jsonb LANGUAGE plpgsql STABLE AS
$$
DECLARE
    at constant timestamptz := CASE WHEN jsonb_typeof(o -> 'expires') = 'number'
        THEN clock + lathe_number(o, 'expires', 0, 31622400, false)::double precision * interval '1 second'
        WHEN o -> 'expires' <> 'null' THEN lathe_time(o, 'expires') END;
BEGIN
    IF at <= greatest(clock, after) THEN
        PERFORM lathe_refuse_option('expires', 'a time, or seconds, after now and after run_at', o -> 'expires');
    END IF;
    RETURN jsonb_strip_nulls(jsonb_build_object('expires_us', (extract(epoch FROM at) * 1000000)::bigint));
END
$$;

-- ---- all of them

CREATE TYPE lathe_asked AS (
    queue text, priority integer, batch_size integer, workers integer, inner_strategy text, shape integer[], run_at timestamptz,
    item_timeout_ms bigint, timeout_ms bigint, on_item_error text, tags text, meta text, terms jsonb, callbacks jsonb
);

CREATE FUNCTION lathe_option_names() RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$
SELECT '{batch_size,workers,shape,queue,priority,inner,item_timeout_ms,timeout_ms,on_item_error,run_at,delay,expires,retries,item_retries,cache_ttl_s,'
    'backoff,unique,depends_on,depends_if,callback,limit,tenant,tags,meta}'::text[]
$$;

CREATE FUNCTION lathe_ask(options jsonb, clock timestamptz) RETURNS lathe_asked LANGUAGE plpgsql STABLE AS
$$
DECLARE
    o     constant jsonb := lathe_object(options, '', lathe_option_names());
    a     lathe_asked;
    again numeric;
    items numeric;
    bad   jsonb;
BEGIN
    a.queue := lathe_text(o, 'queue', 1, 64, '^[A-Za-z0-9._-]+$');
    a.priority := lathe_number(o, 'priority', 0, 9);
    a.batch_size := lathe_number(o, 'batch_size', 1, 1000000);
    a.workers := lathe_number(o, 'workers', 1, 256);
    a.inner_strategy := lathe_word(o, 'inner', array_remove(lathe_strategies(), 'background'));
    IF lathe_object(o, 'shape', '{processes,threads,width,grain}') IS NOT NULL THEN
        a.shape := ARRAY [coalesce(lathe_number(o, 'shape.processes', 0, 256), 0), coalesce(lathe_number(o, 'shape.threads', 1, 256), 1),
            coalesce(lathe_number(o, 'shape.width', 1, 100000), 1), coalesce(lathe_number(o, 'shape.grain', 1, 1000000), 1)]::integer[];
    END IF;
    a.item_timeout_ms := lathe_number(o, 'item_timeout_ms', 0, 604800000);
    a.timeout_ms := lathe_number(o, 'timeout_ms', 0, 604800000);
    a.on_item_error := lathe_word(o, 'on_item_error', '{continue,fail}');
    IF o ? 'run_at' AND o ? 'delay' THEN
        PERFORM lathe_refuse_option('delay', 'left out where run_at is given', o -> 'delay');
    END IF;
    a.run_at := coalesce(lathe_time(o, 'run_at'),
        clock + lathe_number(o, 'delay', 0, 31622400, false)::double precision * interval '1 second');
    bad := (SELECT t FROM jsonb_array_elements(lathe_list(o, 'tags', 16, 'strings')) t
            WHERE (jsonb_typeof(t) = 'string' AND octet_length(t #>> '{}') BETWEEN 1 AND 64) IS NOT TRUE LIMIT 1);
    IF bad IS NOT NULL THEN
        PERFORM lathe_refuse_option('tags', 'a list of strings of 1 to 64 bytes', bad);
    END IF;
    a.tags := nullif(o -> 'tags', 'null')::text;
    a.meta := nullif(o -> 'meta', 'null')::text;
    IF a.meta IS NOT NULL AND (jsonb_typeof(o -> 'meta') <> 'object' OR octet_length(a.meta) > 65536) THEN
        PERFORM lathe_refuse_option('meta', 'an object of at most 65536 bytes', o -> 'meta');
    END IF;

    again := nullif(lathe_number(o, 'retries', 0, 1000), 0);
    items := nullif(lathe_number(o, 'item_retries', 0, 100), 0);
    a.terms := jsonb_strip_nulls(jsonb_build_object('retries', again, 'item_retries', items, 'backoff', lathe_backoff(o, 'backoff', CASE
        WHEN coalesce(again, items) IS NOT NULL THEN jsonb '{"base_ms": 1000, "factor": 2, "max_ms": 3600000, "jitter": 0.5}' END),
        'cache_ttl_s', nullif(lathe_number(o, 'cache_ttl_s', 0, 31622400), 0), 'tenant', nullif(lathe_text(o, 'tenant', 0, 64), '')));
    IF coalesce(again, items) IS NULL THEN
        a.terms := a.terms - 'backoff';
    END IF;
    a.terms := nullif(a.terms || lathe_option_expires(o, clock, a.run_at) || lathe_option_limit(o) || lathe_option_unique(o)
        || lathe_option_needs(o) || lathe_option_callback(o), '{}');
    a.callbacks := nullif(o #> '{callback,tasks}', 'null');
    RETURN a;
END
$$;

-- Options together with parameters that say the same.
CREATE FUNCTION lathe_once(options jsonb, name text, given boolean) RETURNS void LANGUAGE plpgsql IMMUTABLE AS
$$
BEGIN
    IF given AND options ? name THEN
        PERFORM lathe_refuse_option(name, 'left out where the parameter that says the same is given', options -> name);
    END IF;
END
$$;

DROP FUNCTION lathe.submit(text, jsonb, jsonb, integer, text, text, integer, integer, timestamptz, text, interval, text, uuid[], text, bigint, bigint, text, text[], jsonb);

-- One task. Its id; where unique work is there already: of that.
CREATE FUNCTION lathe.submit(
    handler text, params jsonb DEFAULT '{}', items jsonb DEFAULT NULL, items_count integer DEFAULT 1, strategy text DEFAULT 'background',
    queue text DEFAULT 'default', priority integer DEFAULT 5, batch_size integer DEFAULT 100, run_at timestamptz DEFAULT NULL,
    unique_key text DEFAULT NULL, unique_for interval DEFAULT NULL, unique_while text DEFAULT 'unfinished',
    depends_on uuid[] DEFAULT NULL, depends_if text DEFAULT 'success', item_timeout_ms bigint DEFAULT 0, timeout_ms bigint DEFAULT 0,
    on_item_error text DEFAULT 'continue', tags text[] DEFAULT NULL, meta jsonb DEFAULT NULL, options jsonb DEFAULT NULL
) RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER AS
$$
DECLARE
    clock       constant timestamptz := clock_timestamp();
    us          constant bigint := (extract(epoch FROM clock) * 1000000)::bigint;
    submit_task constant uuid := lathe_uuid(us / 1000, us % 1000 * 4096 / 1000);
    total       constant integer := CASE WHEN items IS NULL THEN items_count
                                         WHEN jsonb_typeof(items) = 'array' THEN jsonb_array_length(items) END;
    terms jsonb := lathe_terms(unique_key, unique_for, unique_while, depends_on, depends_if);
    asked lathe_asked;
    unit  integer;
    r     record;
BEGIN
    IF options IS NOT NULL THEN
        asked := lathe_ask(options, clock);
        PERFORM lathe_once(options, 'unique', unique_key IS NOT NULL), lathe_once(options, 'depends_on', depends_on IS NOT NULL),
            lathe_once(options, 'depends_if', depends_on IS NOT NULL),
            lathe_once(options, 'run_at', run_at IS NOT NULL), lathe_once(options, 'delay', run_at IS NOT NULL),
            lathe_once(options, 'tags', tags IS NOT NULL), lathe_once(options, 'meta', meta IS NOT NULL);
        terms := CASE WHEN asked.terms IS NULL THEN terms ELSE coalesce(terms, '{}') || asked.terms END;
        IF asked.inner_strategy IS NOT NULL AND strategy IS DISTINCT FROM 'background' THEN
            PERFORM lathe_refuse_option('inner', 'left out: only background has units that run under another strategy', options -> 'inner');
        END IF;
        queue := coalesce(asked.queue, queue);
        priority := coalesce(asked.priority, priority);
        batch_size := coalesce(asked.batch_size, batch_size);
        run_at := coalesce(asked.run_at, run_at);
        item_timeout_ms := coalesce(asked.item_timeout_ms, item_timeout_ms);
        timeout_ms := coalesce(asked.timeout_ms, timeout_ms);
        on_item_error := coalesce(asked.on_item_error, on_item_error);
    END IF;
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
        workers, priority, container, fail_fast, handler, strategy, inner_strategy, queue, params, tags, meta, unit_kib, run_at, terms, shape_asked)
    VALUES (submit_task, CASE WHEN items IS NOT NULL THEN submit_task END, 0, submit.item_timeout_ms, submit.timeout_ms,
        CASE WHEN terms -> 'depends_on' IS NULL THEN 'queued' ELSE 'scheduled' END::task_state, 0, total, (total + unit - 1) / unit,
        unit, greatest(submit.batch_size, unit), coalesce(asked.workers, 4), submit.priority, false, submit.on_item_error = 'fail', submit.handler, submit.strategy,
        CASE WHEN submit.strategy = 'background' THEN coalesce(asked.inner_strategy, 'auto') ELSE '' END, submit.queue, lathe_params(submit.params),
        coalesce(asked.tags, to_jsonb(submit.tags)::text, ''), coalesce(asked.meta, submit.meta::text, ''),
        coalesce(octet_length(items::text), 0) / 1024 / ((total + unit - 1) / unit) + octet_length(submit.params::text) / 1024,
        CASE WHEN submit.run_at > clock THEN submit.run_at END, terms, asked.shape);
    IF items IS NOT NULL THEN
        INSERT INTO inputs (task, seq, first, count, bytes)
        SELECT submit_task, (i.n - 1) / unit, min(i.n) - 1, count(*), convert_to(string_agg(i.item::text, E'\n' ORDER BY i.n) || E'\n', 'UTF8')
        FROM jsonb_array_elements(items) WITH ORDINALITY i(item, n) GROUP BY 1, 2;
    END IF;
    IF terms IS NULL AND (submit.run_at > clock) IS NOT TRUE AND asked.callbacks IS NULL THEN
        INSERT INTO work (task, rank, seq, first, count, kib, attempt, queue)
        SELECT t.id, lathe_rank(now(), t.priority), s, s * unit, least(unit, total - s * unit), t.unit_kib, 1, t.queue
        FROM tasks t, generate_series(0, t.units_total - 1) s WHERE t.id = submit_task;
        RETURN submit_task;
    END IF;
    SELECT s.existing, s.bad INTO r FROM lathe_settle_in(ARRAY [submit_task], true) s;
    IF r.bad > 0 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('lathe.submit: depends_on: there is no task %s', terms -> 'depends_on' ->> r.bad - 1);
    END IF;
    -- What follows unique work that is there already is there already.
    IF asked.callbacks IS NOT NULL AND r.existing IS NULL THEN
        PERFORM lathe_submit_row(c.v, format('callback.tasks[%s]', c.n - 1), submit_task)
        FROM jsonb_array_elements(asked.callbacks) WITH ORDINALITY c(v, n);
    END IF;
    RETURN coalesce(r.existing, submit_task);
END
$$;

-- A task of an object with parameters of lathe.submit, and options beside them. follows: whose callback it is.
CREATE FUNCTION lathe_submit_row(v jsonb, at text, follows uuid) RETURNS uuid LANGUAGE plpgsql AS
$$
DECLARE
    own   constant text[] := '{handler,params,items,items_count,strategy,queue,priority,batch_size,run_at,unique_key,unique_for,unique_while,'
        'depends_on,depends_if,item_timeout_ms,timeout_ms,on_item_error,tags,meta}';
    other text;
BEGIN
    IF jsonb_typeof(v) <> 'object' THEN
        RAISE invalid_parameter_value USING MESSAGE = format('lathe.submit: %s must be an object', at);
    END IF;
    other := (SELECT min(k) FROM jsonb_object_keys(v) k WHERE k <> ALL (own || lathe_option_names()));
    IF other IS NOT NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = format('lathe.submit: %s has a member "%s", and there is none such; there are %s',
            at, other, array_to_string(own || array(SELECT n FROM unnest(lathe_option_names()) n WHERE n <> ALL (own)), ', '));
    END IF;
    FOREACH other IN ARRAY '{depends_on,tags}'::text[] LOOP
        IF jsonb_typeof(v -> other) NOT IN ('array', 'null') THEN
            RAISE invalid_parameter_value USING MESSAGE = format('lathe.submit: %s: %s must be an array, not %s', at, other, left((v -> other)::text, 60));
        END IF;
    END LOOP;
    IF follows IS NOT NULL AND v ?| '{depends_on,depends_if}' THEN
        RAISE invalid_parameter_value USING MESSAGE = format('lathe.submit: %s depends on the task that it follows, and on nothing else', at);
    END IF;
    RETURN lathe.submit(
        v ->> 'handler', coalesce(v -> 'params', '{}'), nullif(v -> 'items', 'null'), coalesce((v ->> 'items_count')::integer, 1),
        coalesce(v ->> 'strategy', 'background'), coalesce(v ->> 'queue', 'default'), coalesce((v ->> 'priority')::integer, 5),
        coalesce((v ->> 'batch_size')::integer, 100), (v ->> 'run_at')::timestamptz,
        v ->> 'unique_key', (v ->> 'unique_for')::interval, coalesce(v ->> 'unique_while', 'unfinished'),
        CASE WHEN follows IS NOT NULL THEN ARRAY [follows]
             WHEN jsonb_typeof(v -> 'depends_on') = 'array' THEN ARRAY(SELECT d::uuid FROM jsonb_array_elements_text(v -> 'depends_on') d) END,
        coalesce(v ->> 'depends_if', 'success'), coalesce((v ->> 'item_timeout_ms')::bigint, 0),
        coalesce((v ->> 'timeout_ms')::bigint, 0), coalesce(v ->> 'on_item_error', 'continue'),
        CASE WHEN jsonb_typeof(v -> 'tags') = 'array' THEN ARRAY(SELECT jsonb_array_elements_text(v -> 'tags')) END,
        nullif(v -> 'meta', 'null'), nullif(v - own, '{}'));
END
$$;

DROP FUNCTION lathe.submit_many(text, jsonb[], integer, text, text, integer, integer);

-- A task for each of `params`, alike but for these, in one statement. Their ids, in this order.
CREATE FUNCTION lathe.submit_many(
    handler text, params jsonb[], items_count integer DEFAULT 1, strategy text DEFAULT 'background', queue text DEFAULT 'default',
    priority integer DEFAULT 5, batch_size integer DEFAULT 100, options jsonb DEFAULT NULL
) RETURNS SETOF uuid LANGUAGE plpgsql SECURITY DEFINER AS
$$
DECLARE
    clock constant timestamptz := clock_timestamp();
    ms    constant bigint := (extract(epoch FROM clock) * 1000)::bigint;
    unit  integer;
    asked lathe_asked;
    plain boolean;
    ids   uuid[];
    bad   integer;
    held  uuid[];
    as_   uuid[];
    texts constant text[] := ARRAY(SELECT p::text FROM unnest(params) p);
    wrong bigint;
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
    WITH new AS MATERIALIZED (
        INSERT INTO tasks (id, digest, item_timeout_ms, timeout_ms, state, ord, items_total, units_total, unit_size, batch_size, workers,
            priority, container, fail_fast, handler, strategy, inner_strategy, queue, params, tags, meta, unit_kib, run_at, terms, shape_asked)
        SELECT lathe_uuid(ms, p.n - 1), 0, coalesce(asked.item_timeout_ms, 0), coalesce(asked.timeout_ms, 0),
            CASE WHEN asked.terms -> 'depends_on' IS NULL THEN 'queued' ELSE 'scheduled' END::task_state, 0,
            submit_many.items_count, (submit_many.items_count + unit - 1) / unit, unit,
            greatest(submit_many.batch_size, unit), coalesce(asked.workers, 4), submit_many.priority, false,
            coalesce(asked.on_item_error = 'fail', false), submit_many.handler, submit_many.strategy,
            CASE WHEN submit_many.strategy = 'background' THEN coalesce(asked.inner_strategy, 'auto') ELSE '' END, submit_many.queue, p.text,
            coalesce(asked.tags, ''), coalesce(asked.meta, ''), octet_length(p.text) / 1024,
            CASE WHEN asked.run_at > clock THEN asked.run_at END, asked.terms, asked.shape
        FROM unnest(texts) WITH ORDINALITY p(text, n)
        RETURNING id, unit_kib
    ), units AS (
        INSERT INTO work (task, rank, seq, first, count, kib, attempt, queue)
        SELECT n.id, lathe_rank(now(), submit_many.priority::smallint), s, s * unit, least(unit, submit_many.items_count - s * unit),
            n.unit_kib, 1, submit_many.queue
        FROM new n, generate_series(0, (submit_many.items_count + unit - 1) / unit - 1) s WHERE plain
    )
    SELECT array_agg(n.id) INTO ids FROM new n;
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

-- Tasks of every kind: an array of objects with the parameters of lathe.submit and the options as members. Their ids, in this order.
CREATE OR REPLACE FUNCTION lathe.submit_many(tasks jsonb) RETURNS SETOF uuid LANGUAGE plpgsql SECURITY DEFINER AS
$$
BEGIN
    IF jsonb_typeof(tasks) IS DISTINCT FROM 'array' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'lathe.submit_many: tasks must be an array of objects';
    END IF;
    RETURN QUERY SELECT lathe_submit_row(e.v, format('tasks[%s]', e.n - 1), NULL)
                 FROM jsonb_array_elements(tasks) WITH ORDINALITY e(v, n);
END
$$;

-- As in 009, and granted to whom they were.
DO $$
DECLARE
    f record;
BEGIN
    FOR f IN SELECT oid::regprocedure AS name FROM pg_proc WHERE pronamespace = 'lathe'::regnamespace LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', f.name, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f.name);
    END LOOP;
    FOR f IN SELECT p.oid::regprocedure AS name, g.is_grantable,
                 CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS whom
             FROM pg_proc p JOIN lathe_grants g ON g.name = p.proname WHERE p.pronamespace = 'lathe'::regnamespace LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s %s', f.name, f.whom, CASE WHEN f.is_grantable THEN 'WITH GRANT OPTION' ELSE '' END);
    END LOOP;
END
$$;

DROP TABLE lathe_grants;
