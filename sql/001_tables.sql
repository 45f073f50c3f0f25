-- The tables of Lathe. docs/store.md draws the life of a row; every change of `state` is made by 002_functions.sql or by
-- a statement of src/store/, and checked here.

-- src/model/state.def, in its order.
CREATE TYPE task_state AS ENUM ('scheduled', 'queued', 'running', 'succeeded', 'failed', 'cancelled');

CREATE FUNCTION lathe_final(s task_state) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT s IN ('succeeded', 'failed', 'cancelled') $$;

-- The allowed moves: the MOVE lines of src/model/state.def. tests/contract compares the two.
CREATE FUNCTION lathe_may(was task_state, becomes task_state) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$
SELECT CASE was
    WHEN 'scheduled' THEN becomes IN ('queued', 'running', 'failed', 'cancelled')
    WHEN 'queued' THEN becomes IN ('running', 'succeeded', 'failed', 'cancelled')
    WHEN 'running' THEN becomes IN ('succeeded', 'failed', 'cancelled')
    -- somebody asked for it to be run again
    ELSE becomes IN ('scheduled', 'queued')
END
$$;

-- Checks and conditions of triggers are planned anew for each statement, so they call no function: the states from
-- 'succeeded' on are the final ones.

-- One row a task: written at submission and at its end; the end fits beside the beginning on its page (fillfactor), with
-- the result if that is small, and no column that changes is in an index, so that the end touches no index.
CREATE TABLE tasks (
    id              uuid PRIMARY KEY,
    parent          uuid,
    inputs_of       uuid,                           -- whose inputs it reads; NULL: its items are only counted
    created_at      timestamptz NOT NULL DEFAULT now(),
    started_at      timestamptz,                    -- the first start of a unit
    last_end        timestamptz,                    -- the latest end of a unit
    finished_at     timestamptz,                    -- when it became final
    run_at          timestamptz,                    -- not before; NULL: at once
    digest          bigint NOT NULL,                -- of handler and params: the key of its profile
    item_timeout_ms bigint NOT NULL,
    timeout_ms      bigint NOT NULL,
    wall_us         bigint NOT NULL DEFAULT 0,
    cpu_us          bigint NOT NULL DEFAULT 0,
    wait_us         bigint NOT NULL DEFAULT 0,
    peak_rss_kib    bigint NOT NULL DEFAULT 0,
    predicted_us    bigint NOT NULL DEFAULT 0,
    state           task_state NOT NULL,
    ord             integer NOT NULL,               -- among its siblings
    items_total     integer NOT NULL,
    items_done      integer NOT NULL DEFAULT 0,     -- failed ones too
    items_failed    integer NOT NULL DEFAULT 0,
    units_total     integer NOT NULL,               -- of a container: its children
    units_done      integer NOT NULL DEFAULT 0,     -- failed and cancelled ones too
    units_failed    integer NOT NULL DEFAULT 0,
    units_cancelled integer NOT NULL DEFAULT 0,
    unit_size       integer NOT NULL,               -- unit k is items [k * unit_size, ...)
    unit_kib        integer NOT NULL DEFAULT 0,     -- what a claim of one unit brings along, about
    batch_size      integer NOT NULL,
    workers         integer NOT NULL,
    priority        smallint NOT NULL,
    attempt         smallint NOT NULL DEFAULT 1,    -- the most workers that one of its units lost, + 1
    tries           smallint NOT NULL DEFAULT 0,    -- the most failures of one of its units after which it was tried again
    container       boolean NOT NULL,               -- a parent: has children and no units of its own
    cancelling      boolean NOT NULL DEFAULT false, -- somebody asked for its end
    followed        boolean NOT NULL DEFAULT false, -- others wait for its end: lathe_follow
    fail_fast       boolean NOT NULL,
    handler         text NOT NULL,
    strategy        text NOT NULL,
    inner_strategy  text NOT NULL,
    queue           text NOT NULL,
    shape_asked     integer[],                      -- processes, threads, width, grain
    shape_used      integer[],
    params          text NOT NULL,                  -- JSON, kept as it was written
    tags            text NOT NULL,
    meta            text NOT NULL,
    terms         jsonb,                          -- src/model/terms.h; NULL: none, and nothing looks for any
    lease           uuid,                           -- under which the result beside it came
    result          bytea,                          -- of the only unit, if it is small: there is no row in results then
    error_code      text,                           -- a slug of src/core/err.def; shown when the state is failed
    error_text      text,
    CONSTRAINT finished_is_final CHECK ((state >= 'succeeded') = (finished_at IS NOT NULL)),
    CONSTRAINT counts CHECK (units_done <= units_total AND items_failed <= items_done)
) WITH (fillfactor = 45);

CREATE INDEX tasks_parent ON tasks (parent, ord, id) WHERE parent IS NOT NULL;

CREATE FUNCTION lathe_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'LT001', MESSAGE = format('task %s: %s',
        NEW.id, CASE TG_OP WHEN 'INSERT' THEN 'begins as ' || NEW.state ELSE OLD.state || ' may not become ' || NEW.state END);
END
$$;

-- AFTER, because a BEFORE trigger locks the row first even when WHEN says no.
CREATE TRIGGER tasks_move AFTER UPDATE OF state ON tasks FOR EACH ROW
    WHEN (OLD.state <> NEW.state AND NOT lathe_may(OLD.state, NEW.state)) EXECUTE FUNCTION lathe_refuse();
CREATE TRIGGER tasks_begin AFTER INSERT ON tasks FOR EACH ROW
    WHEN (NEW.state >= 'succeeded') EXECUTE FUNCTION lathe_refuse();

-- The claimable units. Hot and narrow: a row is inserted once and deleted once, never updated, so a ctid is a row.
-- rank: the lowest is claimed first (lathe_rank).
CREATE TABLE work (
    task     uuid NOT NULL,
    rank     timestamptz NOT NULL,
    seq      integer NOT NULL,
    first    integer NOT NULL,
    count    integer NOT NULL,
    kib      integer NOT NULL,
    attempt  smallint NOT NULL,
    tries    smallint NOT NULL DEFAULT 0,
    queue    text NOT NULL,
    PRIMARY KEY (task, seq)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
        vacuum_truncate = off);

CREATE INDEX work_claim ON work (queue, rank, task, seq);

-- The place of a unit in its queue: by age, where each step of priority counts for a minute of it. So a higher priority
-- goes first, and nothing waits for ever behind a stream of it.
CREATE FUNCTION lathe_rank(since timestamptz, priority smallint) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT since - priority * interval '1 minute' $$;

-- Units that may not be claimed yet, out of the way of those that may: until their time (retries, run_at), or, where
-- gate is set, until the gate has room. lathe_wake moves them to work.
CREATE TABLE waiting (
    task     uuid NOT NULL,
    run_at   timestamptz NOT NULL,
    rank     timestamptz NOT NULL,  -- that it will have at work
    seq      integer NOT NULL,
    first    integer NOT NULL,
    count    integer NOT NULL,
    kib      integer NOT NULL,
    attempt  smallint NOT NULL,
    tries    smallint NOT NULL,
    queue    text NOT NULL,
    gate     text,
    PRIMARY KEY (task, seq)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX waiting_due ON waiting (run_at) WHERE gate IS NULL;
CREATE INDEX waiting_gate ON waiting (gate, rank, task, seq) WHERE gate IS NOT NULL;

-- One row a claimed batch. It is the fence: whoever finishes, releases or reaps a unit locks the row first.
CREATE TABLE leases (
    id        uuid PRIMARY KEY,     -- made by the worker
    worker    uuid NOT NULL,
    since     timestamptz NOT NULL,
    until     timestamptz NOT NULL,
    remaining integer NOT NULL,     -- units that are not finished
    tasks     uuid[] NOT NULL,
    seqs      integer[] NOT NULL,
    attempts  integer[] NOT NULL,
    tries     integer[] NOT NULL,
    firsts    integer[] NOT NULL,
    counts    integer[] NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);

-- NDJSON, every line ended; items [first, first + count).
CREATE TABLE inputs (
    task  uuid NOT NULL,
    seq   integer NOT NULL,
    first integer NOT NULL,
    count integer NOT NULL,
    bytes bytea NOT NULL,
    PRIMARY KEY (task, seq)
);

-- Part 0 is the proof that the unit is done; the other parts carry what is too long for one. The small result of a task's
-- only unit stands in its task's row instead.
CREATE TABLE results (
    task  uuid NOT NULL,
    lease uuid NOT NULL,            -- under which it was finished
    seq   integer NOT NULL,
    part  integer NOT NULL,
    first integer NOT NULL,         -- the item of the first line
    bytes bytea NOT NULL,           -- NDJSON, whole lines, each {"index":ITEM,...
    PRIMARY KEY (task, seq, part)
);

CREATE TABLE workers (
    id            uuid PRIMARY KEY,
    started_at    timestamptz NOT NULL,
    seen_at       timestamptz NOT NULL,
    pid           bigint NOT NULL,
    slots         bigint NOT NULL,
    busy          bigint NOT NULL,
    cores         bigint NOT NULL,
    thread_start  double precision NOT NULL,    -- ns, as are the next four: struct host of src/model/profile.h
    process_start double precision NOT NULL,
    item_cost     double precision NOT NULL,
    process_item  double precision NOT NULL,
    timer_slack   double precision NOT NULL,
    name          text NOT NULL,
    host          text NOT NULL,
    queues        text NOT NULL
) WITH (fillfactor = 50);

-- Decayed means per item: each run makes what came before weigh 9/10.
CREATE TABLE profiles (
    handler      text NOT NULL,
    digest       bigint NOT NULL,
    runs         bigint NOT NULL,
    items        bigint NOT NULL,
    weight       double precision NOT NULL,     -- of the means, in items
    cpu          double precision NOT NULL,     -- ns
    wait         double precision NOT NULL,     -- ns
    result_bytes double precision NOT NULL,
    failure_rate double precision NOT NULL,
    seen_on      date NOT NULL DEFAULT current_date, -- a day: an index column that most updates leave as it is
    PRIMARY KEY (handler, digest)
) WITH (fillfactor = 50);

CREATE INDEX profiles_seen ON profiles (seen_on);

-- Measured duration by the bare prediction, a decayed mean.
CREATE TABLE corrections (
    handler  text NOT NULL,
    digest   bigint NOT NULL,
    strategy text NOT NULL,
    runs     bigint NOT NULL,
    factor   double precision NOT NULL,
    seen_on  date NOT NULL DEFAULT current_date,
    PRIMARY KEY (handler, digest, strategy)
) WITH (fillfactor = 50);

CREATE INDEX corrections_seen ON corrections (seen_on);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
        ALTER TABLE tasks ALTER params SET COMPRESSION lz4, ALTER meta SET COMPRESSION lz4;
        ALTER TABLE inputs ALTER bytes SET COMPRESSION lz4;
        ALTER TABLE results ALTER bytes SET COMPRESSION lz4;
        ALTER TABLE leases ALTER tasks SET COMPRESSION lz4;
    END IF;
END
$$;
