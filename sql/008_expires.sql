-- Tasks that are not begun after a time. A worker that claims such a unit too late ends it itself; here are those that
-- nobody comes to.

-- A row from the submission until its time is over, whatever became of the task meanwhile.
CREATE TABLE expiring (
    at   timestamptz NOT NULL,
    task uuid NOT NULL,
    PRIMARY KEY (at, task)
);

-- Fails the units that nobody has of tasks whose time is over; at most `room` tasks.
CREATE FUNCTION lathe_expire(room bigint, OUT expired bigint, OUT ended uuid[], OUT released boolean) LANGUAGE plpgsql AS
$$
DECLARE
    ids  uuid[];
    lost lathe_tally[];
BEGIN
    expired := 0; ended := '{}'; released := false;
    WITH due AS (
        DELETE FROM expiring WHERE ctid = ANY (ARRAY(
            SELECT e.ctid FROM expiring e WHERE e.at < now() ORDER BY e.at LIMIT room FOR UPDATE SKIP LOCKED))
        RETURNING task
    )
    SELECT array_agg(DISTINCT d.task) INTO ids FROM due d;
    IF ids IS NULL THEN
        RETURN;
    END IF;
    PERFORM lathe_lock(ids, ids);
    -- What was run again since has no such time any more.
    ids := ARRAY(SELECT t.id FROM tasks t WHERE t.id = ANY (ids) AND lathe_expires(t.terms) < now());
    -- What waits for something else than a worker has no units yet: they go all at once.
    WITH n AS (
        SELECT gone.task, count(*) AS units FROM lathe_take(ids) gone(task) GROUP BY gone.task
        UNION ALL
        SELECT id, units_total FROM tasks WHERE id = ANY (ids) AND state = 'scheduled'
    )
    SELECT count(*), array_agg(ROW (t.id, n.units, n.units, 0, 0, 0, NULL, NULL, 0, 0, 0, 0, 0, NULL, 'expired',
        'it was not to be begun after ' || to_char(lathe_expires(t.terms) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        || ', and no worker had come to it before')::lathe_tally)
    INTO expired, lost FROM n JOIN tasks t ON t.id = n.task;
    SELECT s.ended, s.released INTO ended, released FROM lathe_settle(lost) s;
    -- Units that a worker has may come back.
    INSERT INTO expiring SELECT now() + interval '1 minute', id FROM tasks WHERE id = ANY (ids) AND NOT lathe_final(state);
    released := lathe_admit(lathe_keys(ids)) > 0 OR released;
END
$$;
