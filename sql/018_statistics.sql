-- Statistics that plans can rest on, without waiting for autovacuum's next minute.

-- A worker's plans are made once and kept. Where arrays meet a table they are right only if the planner knows that the table is
-- large: of one with a handful of rows it rather reads the whole index once than looks each element up, and does so still when a
-- million rows have come. ANALYZE makes every session plan anew. It is due for a table that has doubled since the last; and, because rows of a
-- transaction that is not over do not count, where far more was changed than it has counted, or more rows are there.
-- Returns the tables that were measured. Who is not their owner cannot.
CREATE FUNCTION lathe_measure() RETURNS text[] LANGUAGE plpgsql AS
$$
DECLARE
    page constant integer := current_setting('block_size');
    due  text;
    done text[] := '{}';
BEGIN
    IF NOT pg_try_advisory_xact_lock(7523458003) THEN
        RETURN done; -- another worker does it just now
    END IF;
    PERFORM set_config('lock_timeout', '100', true);
    FOR due IN
        SELECT c.relname FROM pg_class c
        WHERE c.oid = ANY ('{tasks,results,inputs,work,waiting,leases,deps,uniques,logs,expiring,inside,dead}'::regclass[])
        AND pg_has_role(c.relowner, 'USAGE')
        AND (pg_relation_size(c.oid) / page > 2 * greatest(c.relpages, 8)
            OR c.relname IN ('tasks', 'results', 'inputs')
                AND pg_stat_get_mod_since_analyze(c.oid) > 10000 + 2 * greatest(c.reltuples, 0)
            OR c.relname = 'tasks' AND c.relpages > 64 AND c.reltuples < c.relpages
                AND (SELECT count(*) FROM (SELECT FROM tasks LIMIT 1000 + 2 * c.reltuples::bigint) x) >= 1000 + 2 * c.reltuples)
    LOOP
        BEGIN
            EXECUTE format('ANALYZE %I', due);
            done := done || due;
        EXCEPTION WHEN lock_not_available THEN
            NULL; -- somebody measures or cleans it now
        END;
    END LOOP;
    RETURN done;
END
$$;
