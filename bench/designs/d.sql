-- (d) (c), and a claim that moves a cursor over an append-only list: nothing is deleted, ranges instead of lists in leases.
-- Only what it costs: rows that commit behind the cursor, priorities, cancelling and giving back are all unsolved here.
DROP TABLE IF EXISTS line, place, ends;
CREATE TABLE line (pos bigint PRIMARY KEY, task uuid NOT NULL, seq integer NOT NULL);
INSERT INTO line SELECT row_number() OVER (ORDER BY rank, task), task, seq FROM work;
CREATE TABLE place (queue text PRIMARY KEY, next bigint NOT NULL) WITH (fillfactor = 20);
INSERT INTO place VALUES ('default', 1);
CREATE TABLE ends (
    task uuid PRIMARY KEY, lease uuid NOT NULL, started_at timestamptz, last_end timestamptz, finished_at timestamptz NOT NULL,
    wall_us bigint NOT NULL, cpu_us bigint NOT NULL, wait_us bigint NOT NULL, peak_rss_kib bigint NOT NULL,
    predicted_us bigint NOT NULL, state task_state NOT NULL, items_done integer NOT NULL, items_failed integer NOT NULL,
    shape_used integer[], error_code text, error_text text, result bytea
);
VACUUM ANALYZE line;
CREATE PROCEDURE turns(batch integer) LANGUAGE plpgsql AS
$$
DECLARE
    under uuid;
    ids   uuid[];
    upto  bigint;
    line  bytea[] := array_fill('{"index":0,"state":"succeeded","result":0}'::bytea, ARRAY [batch]);
    size  bigint;
BEGIN
    LOOP
        under := gen_random_uuid();
        SET LOCAL synchronous_commit = off;
        UPDATE place SET next = next + batch WHERE queue = 'default' RETURNING next INTO upto;
        SELECT array_agg(w.task), sum(length(t.handler) + length(t.params) + t.timeout_ms) INTO ids, size
        FROM line w JOIN tasks t ON t.id = w.task WHERE w.pos >= upto - batch AND w.pos < upto;
        INSERT INTO leases (id, worker, since, until, remaining, tasks, seqs, attempts, tries, firsts, counts)
        SELECT under, under, now(), now() + interval '15 s', batch, '{}', '{}', '{}', '{}', '{}', '{}';
        COMMIT;
        EXIT WHEN ids IS NULL;
        PERFORM FROM leases l WHERE l.id = under FOR UPDATE;
        INSERT INTO ends SELECT u.task, under, now(), now(), now(), 5, 3, 0, 0, 0, 'succeeded', 1, 0, '{0,1,1,1}', NULL, NULL, u.bytes
        FROM unnest(ids, line) u(task, bytes) WHERE u.task IS NOT NULL ON CONFLICT DO NOTHING;
        DELETE FROM leases l WHERE l.id = under;
        COMMIT;
    END LOOP;
END
$$;
