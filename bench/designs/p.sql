-- (p) (b) with tasks in eight range partitions by id. (Their leaves: the ids of common.sql go up to :n.)
DROP TABLE IF EXISTS parted;
CREATE TABLE parted (LIKE tasks INCLUDING DEFAULTS INCLUDING CONSTRAINTS, PRIMARY KEY (id)) PARTITION BY RANGE (id);
SELECT format('CREATE TABLE parted_%s PARTITION OF parted FOR VALUES FROM (%L) TO (%L) WITH (fillfactor = 45)', k,
    (lpad(to_hex(k * :n / 8), 12, '0') || repeat('0', 20))::uuid,
    (lpad(to_hex((k + 1) * :n / 8 + (k / 7)), 12, '0') || repeat('0', 20))::uuid) FROM generate_series(0, 7) k
\gexec
INSERT INTO parted SELECT * FROM tasks;
VACUUM ANALYZE parted;
CREATE PROCEDURE turns(batch integer) LANGUAGE plpgsql AS
$$
DECLARE
    under uuid;
    ids   uuid[];
    size  bigint;
    line  bytea[] := array_fill('{"index":0,"state":"succeeded","result":0}'::bytea, ARRAY [batch]);
BEGIN
    LOOP
        under := gen_random_uuid();
        SET LOCAL synchronous_commit = off;
        WITH taken AS (
            DELETE FROM work WHERE ctid = ANY (ARRAY(
                SELECT w.ctid FROM work w WHERE w.queue = 'default' ORDER BY w.rank, w.task, w.seq LIMIT batch FOR UPDATE SKIP LOCKED))
            RETURNING task, seq, first, count, attempt, tries
        ), l AS (
            INSERT INTO leases (id, worker, since, until, remaining, tasks, seqs, attempts, tries, firsts, counts)
            SELECT under, under, now(), now() + interval '15 s', count(*), array_agg(task), array_agg(seq),
                array_agg(attempt::integer), array_agg(tries::integer), array_agg(first), array_agg(count)
            FROM taken HAVING count(*) > 0
        )
        SELECT array_agg(w.task), sum(length(t.handler) + length(t.params) + t.timeout_ms) INTO ids, size
        FROM taken w JOIN parted t ON t.id = w.task;
        COMMIT;
        EXIT WHEN ids IS NULL;
        PERFORM FROM leases l WHERE l.id = under FOR UPDATE;
        UPDATE parted t SET state = 'succeeded', finished_at = now(), started_at = now(), last_end = now(), units_done = 1,
            items_done = 1, cpu_us = 3, wall_us = 5, shape_used = '{0,1,1,1}', lease = under, result = u.bytes
        FROM unnest(ids, line) u(task, bytes) WHERE t.id = u.task AND NOT lathe_final(t.state);
        DELETE FROM leases l WHERE l.id = under;
        COMMIT;
    END LOOP;
END
$$;
