-- Tasks that come by the clock. A row is read and moved on by one worker at a time (lathe_due), in the transaction that
-- inserts what it fires.
CREATE TABLE schedules (
    name       text PRIMARY KEY,
    next_at    timestamptz,                         -- NULL: never again
    last_at    timestamptz,                         -- the time for which it fired last
    last_task  uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    run_at     timestamptz,                         -- one of these three says when
    every_s    bigint,
    fired      bigint NOT NULL DEFAULT 0,
    paused     boolean NOT NULL,
    cron       text,
    timezone   text NOT NULL,
    missed     text NOT NULL,
    strategy   text NOT NULL,
    body       text NOT NULL,                       -- the submission, JSON
    error      text,                                -- why the last time made no task; NULL: it did
    CONSTRAINT one_clock CHECK (num_nonnulls(run_at, every_s, cron) = 1)
) WITH (fillfactor = 50);

CREATE INDEX schedules_due ON schedules (next_at) WHERE NOT paused;

-- The schedule that is due longest, locked until the end of the transaction; none while somebody else fires. Such a
-- transaction is open for a moment: who hangs in it is thrown out.
CREATE FUNCTION lathe_due() RETURNS SETOF schedules LANGUAGE plpgsql AS
$$
BEGIN
    PERFORM set_config('idle_in_transaction_session_timeout', '5s', true);
    IF pg_try_advisory_xact_lock(7523458002) THEN
        RETURN QUERY SELECT * FROM schedules WHERE NOT paused AND next_at <= clock_timestamp() ORDER BY next_at LIMIT 1
                     FOR UPDATE SKIP LOCKED;
    END IF;
END
$$;
