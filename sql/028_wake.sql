-- Every worker looks twice a second for what waits for its time, and nearly always nothing does: seven times as much was done to find that
-- out as is done here, and a fresh session took 14 ms for the plans.

ALTER FUNCTION lathe_wake(bigint) RENAME TO lathe_wake_due;

-- Moves to work what is due, and looks at `checks`; at most `room` each. next: when somebody should look again,
-- in a day at most; NULL: nothing waits for a time.
CREATE FUNCTION lathe_wake(room bigint, OUT woken bigint, OUT next timestamptz) LANGUAGE plpgsql AS
$$
DECLARE
    first timestamptz;
    idle  boolean;
BEGIN
    SELECT x.first, NOT EXISTS (SELECT FROM checks) INTO first, idle
    FROM (SELECT least((SELECT min(w.run_at) FROM waiting w WHERE w.gate IS NULL),
                       (SELECT min(g.next_at) FROM gates g WHERE g.next_at IS NOT NULL)) AS first) x;
    IF idle AND first <= now() IS NOT TRUE THEN
        woken := 0;
        next := CASE WHEN first IS NOT NULL THEN least(first, now() + interval '1 day') END;
    ELSE
        SELECT d.woken, d.next INTO woken, next FROM lathe_wake_due(room) d;
    END IF;
END
$$;
