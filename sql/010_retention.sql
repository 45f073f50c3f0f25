-- Retention: tasks that have been over for long enough go, with all that belongs to them. Nothing here waits: what somebody
-- has locked is left for the next time, and only rows of tasks are locked that are over.
--
-- Who comes to need a task (lathe_put_deps, lathe_retry) locks its row; so it is either seen here or finds the task gone.

-- The lowest id of that time: src/core/uuid.c.
CREATE FUNCTION lathe_floor(t timestamptz) RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT (lpad(to_hex(floor(extract(epoch FROM t) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid $$;

-- Those of some tasks, which are over, that must stay, or whose family must: `kept` is whose. Somebody else has it, a lease
-- lists it, it or another waits for the end of something (a row of deps), or its unique key still refers to it.
CREATE FUNCTION lathe_needed(ids uuid[], mine uuid[]) RETURNS TABLE (kept uuid) LANGUAGE sql AS
$$
SELECT coalesce(t.parent, t.id) FROM tasks t
WHERE t.id = ANY (ids) AND (
    (t.id IN (SELECT unnest(mine))) IS NOT TRUE
    OR (t.id IN (SELECT h.task FROM leases l, unnest(l.tasks) h(task))) IS TRUE
    OR EXISTS (SELECT FROM deps d WHERE d.needs = t.id)
    OR EXISTS (SELECT FROM deps d WHERE d.task = t.id)
    OR (t.terms ? 'unique' AND EXISTS (
        SELECT FROM uniques u
        WHERE u.key = lathe_unique_key(t.handler, t.terms #>> '{unique,key}') AND u.task = t.id AND u.until > now())))
$$;

-- Deletes tasks of which nothing is needed, and all that belongs to them. What `checks` and `inside` may still say of them is
-- worked off by those who read these tables.
CREATE FUNCTION lathe_delete(ids uuid[]) RETURNS void LANGUAGE plpgsql AS
$$
BEGIN
    PERFORM lathe_free_keys(ids);
    DELETE FROM expiring WHERE ctid = ANY (ARRAY(
        SELECT e.ctid FROM tasks t JOIN expiring e ON e.at = lathe_expires(t.terms) AND e.task = t.id
        WHERE t.id = ANY (ids) AND t.terms -> 'expires_us' IS NOT NULL FOR UPDATE OF e SKIP LOCKED));
    DELETE FROM dead WHERE task = ANY (ids);
    DELETE FROM logs WHERE task = ANY (ids);
    DELETE FROM results WHERE task = ANY (ids);
    DELETE FROM inputs WHERE task = ANY (ids);
    DELETE FROM tasks WHERE id = ANY (ids);
END
$$;

-- One round: of the tasks behind `since` in the order of their ids it looks at `look` at most, and deletes `room` at most that
-- have been over for `age_ms`; children come on top, because a family goes as a whole. upto: where the next round goes on;
-- NULL: there is nothing old enough behind it.
CREATE FUNCTION lathe_forget(since uuid, age_ms bigint, room bigint, look bigint, OUT deleted bigint, OUT upto uuid)
LANGUAGE plpgsql SET enable_bitmapscan = off AS
$$
DECLARE
    before constant timestamptz := now() - age_ms * interval '1 millisecond';
    ids    uuid[];
    mine   uuid[];
    going  uuid[];
BEGIN
    deleted := 0;
    WITH seen AS MATERIALIZED (
        SELECT t.id, t.parent, t.finished_at FROM tasks t WHERE t.id > since AND t.id < lathe_floor(before) ORDER BY t.id LIMIT look
    ), picked AS MATERIALIZED (
        SELECT s.id FROM seen s WHERE s.parent IS NULL AND s.finished_at < before ORDER BY s.id LIMIT room
    )
    SELECT ARRAY(SELECT p.id FROM picked p),
        CASE WHEN (SELECT count(*) FROM picked) = room THEN (SELECT p.id FROM picked p ORDER BY p.id DESC LIMIT 1)
             WHEN (SELECT count(*) FROM seen) = look THEN (SELECT s.id FROM seen s ORDER BY s.id DESC LIMIT 1) END
    INTO ids, upto;
    IF ids = '{}' THEN
        RETURN;
    END IF;
    ids := ids || ARRAY(SELECT c.id FROM tasks c WHERE c.parent = ANY (
        ARRAY(SELECT t.id FROM tasks t WHERE t.id = ANY (ids) AND t.container)));
    mine := ARRAY(SELECT t.id FROM tasks t WHERE t.id = ANY (ids) AND t.finished_at < before FOR UPDATE SKIP LOCKED);
    -- What is left of a dependency when both are over.
    DELETE FROM deps WHERE ctid = ANY (ARRAY(
        SELECT d.ctid FROM deps d JOIN tasks n ON n.id = d.needs JOIN tasks t ON t.id = d.task
        WHERE d.needs = ANY (mine) AND lathe_final(n.state) AND lathe_final(t.state) FOR UPDATE OF d SKIP LOCKED));
    DELETE FROM deps WHERE ctid = ANY (ARRAY(
        SELECT d.ctid FROM deps d JOIN tasks n ON n.id = d.needs JOIN tasks t ON t.id = d.task
        WHERE d.task = ANY (mine) AND lathe_final(n.state) AND lathe_final(t.state) FOR UPDATE OF d SKIP LOCKED));
    going := ARRAY(SELECT t.id FROM tasks t WHERE t.id = ANY (ids)
                   AND (coalesce(t.parent, t.id) IN (SELECT n.kept FROM lathe_needed(ids, mine) n)) IS NOT TRUE);
    PERFORM lathe_delete(going);
    deleted := cardinality(going);
END
$$;
