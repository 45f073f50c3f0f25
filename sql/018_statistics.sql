-- Statistics that plans can rest on, without waiting for autovacuum's next minute.

-- A worker's plans are made once and kept. Where arrays meet a table they are right only if the planner knows that the table is
-- large: of one with a handful of rows it rather reads the whole index once than looks each element up, and does so still when a
-- million rows have come. ANALYZE makes every session plan anew. It is due for a table that has doubled since the last; and, because
-- rows of a transaction that is not over do not count, where far more was changed than it has counted, or far more rows are there. This
-- last is asked of a table alone in which it counted few: of the catalogs only, or `closely`, by reading a thousand pages of it, spread
-- over all: no more, however many dead rows a long transaction keeps. Of the tables that the caller may analyze: their names.
CREATE FUNCTION lathe_miscounted(closely boolean) RETURNS SETOF text LANGUAGE sql STABLE AS
$$
    SELECT c.relname FROM pg_class c
    WHERE c.oid = ANY ('{tasks,results,inputs,work,waiting,leases,deps,uniques,logs,expiring,inside,dead}'::regclass[])
    AND pg_has_role(c.relowner, 'USAGE')
    AND (pg_relation_size(c.oid) / current_setting('block_size')::integer > 2 * greatest(c.relpages, 8)
        OR c.relname IN ('tasks', 'results', 'inputs')
            AND pg_stat_get_mod_since_analyze(c.oid) > 10000 + 2 * greatest(c.reltuples, 0)
        OR c.relname = 'tasks' AND c.relpages > 64 AND c.reltuples < least(c.relpages, 9000)
            AND (NOT closely
                OR (SELECT count(*) FROM tasks TABLESAMPLE SYSTEM (100 * least(1, 1000.0 / greatest(c.relpages, 1))))
                    > 1000 + 2 * c.reltuples * least(1, 1000.0 / c.relpages)))
$$;

-- Has them counted, by one session at a time, each in a transaction of its own, and says which it were. A table in whose way somebody
-- is (a vacuum, an index that is made) is passed by; one that fails keeps no other from its turn.
CREATE PROCEDURE lathe_count_anew(INOUT counted text) LANGUAGE plpgsql AS
$$
DECLARE
    due text[]; name text; failed text;
BEGIN
    IF NOT pg_try_advisory_lock(7523458003) THEN
        RETURN;
    END IF;
    due := ARRAY(SELECT lathe_miscounted(true));
    FOREACH name IN ARRAY due LOOP
        BEGIN
            EXECUTE format('LOCK TABLE %I IN SHARE UPDATE EXCLUSIVE MODE NOWAIT', name);
            EXECUTE format('ANALYZE %I', name);
            counted := concat_ws(', ', counted, name);
        EXCEPTION
            WHEN lock_not_available THEN NULL;
            WHEN others THEN failed := format('%s: %s', name, SQLERRM);
        END;
        COMMIT AND NO CHAIN;
    END LOOP;
    PERFORM pg_advisory_unlock(7523458003);
    IF failed IS NOT NULL THEN
        RAISE EXCEPTION '%', failed;
    END IF;
END
$$;
