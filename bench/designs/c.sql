-- (c) Append-only: an end is a row of `ends`, a task that has one unit is never written again.
DROP TABLE IF EXISTS ends;
CREATE TABLE ends (
    task uuid PRIMARY KEY, lease uuid NOT NULL, started_at timestamptz, last_end timestamptz, finished_at timestamptz NOT NULL,
    wall_us bigint NOT NULL, cpu_us bigint NOT NULL, wait_us bigint NOT NULL, peak_rss_kib bigint NOT NULL,
    predicted_us bigint NOT NULL, state task_state NOT NULL, items_done integer NOT NULL, items_failed integer NOT NULL,
    shape_used integer[], error_code text, error_text text, result bytea
);
CREATE PROCEDURE turns(batch integer) LANGUAGE plpgsql AS
$$
DECLARE
    lease uuid;
    ids   uuid[];
    line  bytea[] := array_fill('{"index":0,"state":"succeeded","result":0}'::bytea, ARRAY [batch]);
BEGIN
    LOOP
        lease := gen_random_uuid();
        SET LOCAL synchronous_commit = off;
        SELECT c.ids INTO ids FROM design_claim(batch, lease) c;
        COMMIT;
        EXIT WHEN ids IS NULL;
        PERFORM FROM leases l WHERE l.id = lease FOR UPDATE;
        INSERT INTO ends SELECT u.task, lease, now(), now(), now(), 5, 3, 0, 0, 0, 'succeeded', 1, 0, '{0,1,1,1}', NULL, NULL, u.bytes
        FROM unnest(ids, line) u(task, bytes) WHERE u.task IS NOT NULL ON CONFLICT DO NOTHING;
        DELETE FROM leases l WHERE l.id = lease;
        COMMIT;
    END LOOP;
END
$$;
