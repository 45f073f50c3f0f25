-- Statistics that plans can rest on, without waiting for autovacuum's next minute.

-- A worker's plans are made once and kept. Where arrays meet a table they are right only if the planner knows that the table is
-- large: of one with a handful of rows it rather reads the whole index once than looks each element up, and does so still when a
-- million rows have come. ANALYZE makes every session plan anew. It is due for a table that has doubled since the last; and, because
-- rows of a transaction that is not over do not count, where far more was changed than it has counted, or far more rows are there (which
-- is looked at only where it counted few: no more than 20,000 are read). Of the tables that the caller may analyze: their names.
CREATE FUNCTION lathe_miscounted() RETURNS SETOF text LANGUAGE sql STABLE AS
$$
    SELECT c.relname FROM pg_class c
    WHERE c.oid = ANY ('{tasks,results,inputs,work,waiting,leases,deps,uniques,logs,expiring,inside,dead}'::regclass[])
    AND pg_has_role(c.relowner, 'USAGE')
    AND (pg_relation_size(c.oid) / current_setting('block_size')::integer > 2 * greatest(c.relpages, 8)
        OR c.relname IN ('tasks', 'results', 'inputs')
            AND pg_stat_get_mod_since_analyze(c.oid) > 10000 + 2 * greatest(c.reltuples, 0)
        OR c.relname = 'tasks' AND c.relpages > 64 AND c.reltuples < least(c.relpages, 9000)
            AND (SELECT count(*) FROM (SELECT FROM tasks LIMIT 20000) x) > 1000 + 2 * c.reltuples)
$$;
