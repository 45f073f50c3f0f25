-- Callbacks: who asked to be told of the end of a task is told by another task, whose one item is the delivery
-- (src/handlers/webhook.c). It is made in the transaction that ends the first: so each end is told once, by one delivery with
-- one id, however often the delivery itself has to be tried.

-- Version 7 of RFC 9562, as src/core/uuid.c makes them: ids sort by time.
CREATE FUNCTION lathe_uuid() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS
$$
SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
    52, 1), 53, 1), 'hex')::uuid
$$;

-- A time as the API writes it.
CREATE FUNCTION lathe_when(t timestamptz) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT to_char(t AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') $$;

-- What is told of the end of a task: parts of its document, by the same names. All of it is a GET of links.self away.
CREATE FUNCTION lathe_event(t tasks) RETURNS jsonb LANGUAGE sql STABLE PARALLEL SAFE AS
$$
SELECT jsonb_build_object(
    'type', 'task.' || t.state,
    'timestamp', lathe_when(t.finished_at),
    'data', jsonb_build_object(
        'id', t.id, 'parent', t.parent, 'state', t.state, 'handler', t.handler, 'strategy', t.strategy, 'queue', t.queue,
        'attempt', t.attempt, 'tries', t.tries,
        'items', jsonb_build_object('total', t.items_total, 'done', t.items_done, 'failed', t.items_failed),
        'created_at', lathe_when(t.created_at), 'started_at', lathe_when(t.started_at), 'finished_at', lathe_when(t.finished_at),
        'error', CASE WHEN t.state = 'failed'
            THEN jsonb_build_object('type', '/problems/' || coalesce(t.error_code, 'items-failed'), 'detail', t.error_text) END,
        'tags', nullif(t.tags, '')::jsonb, 'meta', nullif(t.meta, '')::jsonb,
        'links', jsonb_build_object('self', '/api/v1/tasks/' || t.id, 'results', '/api/v1/tasks/' || t.id || '/results')))
$$;

-- Makes the deliveries that tasks asked for which are final by now; whether there are any. A delivery goes where the task
-- was, or to the queue that it named, and before what came after the task: who waits for it has waited long enough.
CREATE FUNCTION lathe_call(ids uuid[]) RETURNS boolean LANGUAGE plpgsql AS
$$
BEGIN
    WITH calls AS MATERIALIZED (
        SELECT c.id, c.queue, c.rank, c.task, c.terms,
            convert_to(jsonb_build_object('id', c.id, 'url', c.url, 'event', c.event)::text || E'\n', 'UTF8') AS input
        FROM (SELECT lathe_uuid() AS id, t.id AS task, t.terms #>> '{callback,url}' AS url, lathe_event(t) AS event,
                  coalesce(t.terms #>> '{callback,queue}', t.queue) AS queue, lathe_rank(t.created_at, 9::smallint) AS rank,
                  jsonb_build_object('retries', t.terms #> '{callback,retries}', 'backoff', t.terms #> '{callback,backoff}') AS terms
              FROM tasks t WHERE t.id = ANY (ids) AND t.terms #>> '{callback,url}' IS NOT NULL AND lathe_final(t.state)) c
    ), made AS (
        INSERT INTO tasks (id, inputs_of, digest, item_timeout_ms, timeout_ms, state, ord, items_total, units_total, unit_size,
            unit_kib, batch_size, workers, priority, container, fail_fast, handler, strategy, inner_strategy, queue, params,
            tags, meta, terms)
        SELECT id, id, 0, 0, 0, 'queued', 0, 1, 1, 1, octet_length(input) / 1024 + 1, 1, 1, 9, false, false, 'webhook',
            'sequential', '', queue, '{}', '["webhook"]', jsonb_build_object('task', task)::text, jsonb_strip_nulls(terms)
        FROM calls
    ), fed AS (
        INSERT INTO inputs (task, seq, first, count, bytes) SELECT id, 0, 0, 1, input FROM calls
    )
    INSERT INTO work (task, rank, seq, first, count, kib, attempt, queue)
    SELECT id, rank, 0, 0, 1, octet_length(input) / 1024 + 1, 1, queue FROM calls;
    RETURN FOUND;
END
$$;
