-- (a) A row of results a unit, and the task's row updated in place (HOT).
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
        INSERT INTO results (task, lease, seq, part, first, bytes) SELECT u.task, lease, 0, 0, 0, u.bytes FROM unnest(ids, line) u(task, bytes)
        WHERE u.task IS NOT NULL ON CONFLICT DO NOTHING;
        UPDATE tasks t SET state = 'succeeded', finished_at = now(), started_at = now(), last_end = now(), units_done = 1,
            items_done = 1, cpu_us = 3, wall_us = 5, shape_used = '{0,1,1,1}'
        FROM unnest(ids) u(task) WHERE t.id = u.task AND NOT lathe_final(t.state);
        DELETE FROM leases l WHERE l.id = lease;
        COMMIT;
    END LOOP;
END
$$;
