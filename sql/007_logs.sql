-- What runs of units had to say, a row a run; stored in the transaction of the run's end.
CREATE TABLE logs (
    task  uuid NOT NULL,
    at    timestamptz NOT NULL,     -- the end of the run, by the worker's clock: only the order comes from it
    seq   integer NOT NULL,
    lease uuid NOT NULL,
    bytes bytea NOT NULL,           -- NDJSON, as src/worker/diary.h writes it
    PRIMARY KEY (task, at, seq, lease)
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
        ALTER TABLE logs ALTER bytes SET COMPRESSION lz4;
    END IF;
END
$$;
