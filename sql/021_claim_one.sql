-- The one unit that waits, for a worker that has just been told of it. The statement which claims from any number of queues, with gates
-- and limits, is large, and to begin it takes three times as long as all of this. What is not plain is left to it: u_task is NULL
-- and more is true. Returns what that returns of a unit (claim.c); more: there are other units, or perhaps.

CREATE FUNCTION lathe_claim_one(
    lease uuid, owner uuid, ms bigint, names text[], every boolean, want bigint,
    OUT u_task uuid, OUT u_seq bigint, OUT u_first bigint, OUT u_count bigint, OUT u_attempt bigint, OUT u_tries bigint,
    OUT u_handler text, OUT u_strategy text, OUT u_inner text, OUT u_queue text, OUT u_params text, OUT u_terms text, OUT u_digest bigint,
    OUT u_processes bigint, OUT u_threads bigint, OUT u_width bigint, OUT u_grain bigint, OUT u_batch_size bigint, OUT u_workers bigint,
    OUT u_item_timeout bigint, OUT u_timeout bigint, OUT u_fail_fast boolean, OUT u_single boolean, OUT u_alone boolean,
    OUT u_inputs_first bigint, OUT u_inputs bytea, OUT u_rank timestamptz, OUT more boolean
) LANGUAGE plpgsql AS
$$
DECLARE
    w record;
    unit record;
    found_n integer := 0;
    owner_of_inputs uuid;
    was_uploaded boolean;
    size bigint;
    lazy text;
BEGIN
    more := true;
    IF cardinality(names) + every::integer <> 1 THEN
        RETURN;
    END IF;
    -- A claim may be lost in a crash of the server: then the unit is there again.
    lazy := set_config('synchronous_commit', 'off', true);
    IF every THEN
        FOR w IN SELECT x.ctid AS place, x.* FROM work x ORDER BY x.queue, x.rank, x.task, x.seq LIMIT least(want, 2)
            FOR UPDATE SKIP LOCKED LOOP
            found_n := found_n + 1;
            unit := w;
        END LOOP;
    ELSE
        FOR w IN SELECT x.ctid AS place, x.* FROM work x WHERE x.queue = names[1] ORDER BY x.rank, x.task, x.seq LIMIT least(want, 2)
            FOR UPDATE SKIP LOCKED LOOP
            found_n := found_n + 1;
            unit := w;
        END LOOP;
    END IF;
    IF found_n <> 1 THEN
        more := found_n > 1;
        RETURN;
    END IF;
    -- Looked at after the unit: it is not of a queue that was paused before it was put. And what is large is not copied once more.
    IF EXISTS (SELECT FROM queues) OR unit.kib > 1024 THEN
        RETURN;
    END IF;

    DELETE FROM work x WHERE x.ctid = unit.place;
    INSERT INTO leases (id, worker, since, until, remaining, tasks, seqs, attempts, tries, firsts, counts) VALUES (
        lease, owner, now(), now() + ms * interval '1 millisecond', 1, ARRAY [unit.task], ARRAY [unit.seq],
        ARRAY [unit.attempt::integer], ARRAY [unit.tries::integer], ARRAY [unit.first], ARRAY [unit.count]);
    SELECT t.handler, t.strategy, t.inner_strategy, t.queue, t.params, t.terms::text, t.digest, t.shape_asked[1], t.shape_asked[2],
        t.shape_asked[3], t.shape_asked[4], t.batch_size, t.workers, t.item_timeout_ms, t.timeout_ms, t.fail_fast, t.units_total = 1,
        t.parent IS NULL, t.inputs_of, t.uploaded, t.unit_size
    INTO u_handler, u_strategy, u_inner, u_queue, u_params, u_terms, u_digest, u_processes, u_threads,
        u_width, u_grain, u_batch_size, u_workers, u_item_timeout, u_timeout, u_fail_fast, u_single,
        u_alone, owner_of_inputs, was_uploaded, size
    FROM tasks t WHERE t.id = unit.task;
    u_task := unit.task;
    u_seq := unit.seq;
    u_first := unit.first;
    u_count := unit.count;
    u_attempt := unit.attempt;
    u_tries := unit.tries;
    u_rank := unit.rank;
    more := false;

    -- Chunk k of inputs is the items [k * size, …) of whose they are; of uploaded ones it begins with item k.
    IF was_uploaded THEN
        SELECT max(c.seq) INTO u_inputs_first FROM inputs c WHERE c.task = owner_of_inputs AND c.seq <= u_first;
        SELECT string_agg(c.bytes, ''::bytea ORDER BY c.seq) INTO u_inputs FROM inputs c
        WHERE c.task = owner_of_inputs AND c.seq >= u_inputs_first AND c.seq < u_first + u_count;
    ELSIF owner_of_inputs IS NOT NULL THEN
        IF owner_of_inputs <> u_task THEN
            SELECT o.unit_size INTO size FROM tasks o WHERE o.id = owner_of_inputs;
        END IF;
        size := greatest(size, 1);
        u_inputs_first := u_first / size * size;
        SELECT string_agg(c.bytes, ''::bytea ORDER BY c.seq) INTO u_inputs FROM inputs c
        WHERE c.task = owner_of_inputs AND c.seq BETWEEN u_first / size AND (u_first + u_count - 1) / size;
    ELSE
        u_inputs_first := u_first;
    END IF;
END
$$;
