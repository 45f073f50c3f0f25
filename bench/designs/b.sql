-- (b) A small result of a single unit in the task's own row, in the one update.
CREATE PROCEDURE turns(batch integer) LANGUAGE plpgsql AS
$$
DECLARE
    under uuid;
    ids   uuid[];
    line  bytea[] := array_fill('{"index":0,"state":"succeeded","result":0}'::bytea, ARRAY [batch]);
BEGIN
    LOOP
        under := gen_random_uuid();
        SET LOCAL synchronous_commit = off;
        SELECT c.ids INTO ids FROM design_claim(batch, under) c;
        COMMIT;
        EXIT WHEN ids IS NULL;
        PERFORM FROM leases l WHERE l.id = under FOR UPDATE;
        UPDATE tasks t SET state = 'succeeded', finished_at = now(), started_at = now(), last_end = now(), units_done = 1,
            items_done = 1, cpu_us = 3, wall_us = 5, shape_used = '{0,1,1,1}', lease = under, result = u.bytes
        FROM unnest(ids, line) u(task, bytes) WHERE t.id = u.task AND NOT lathe_final(t.state);
        DELETE FROM leases l WHERE l.id = under;
        COMMIT;
    END LOOP;
END
$$;
