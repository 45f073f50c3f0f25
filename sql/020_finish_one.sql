-- One unit that is all of its task and all of its lease, as a worker has that waits for work: lathe_finish_alone for it takes six times
-- as long as this, because a statement costs by its size before it does anything. Whatever else it is goes there.

CREATE FUNCTION lathe_finish_one(
    sent_us bigint, u_lease uuid, u_task uuid, u_bytes bytea, u_state bigint, u_done bigint, u_failed bigint,
    u_processes bigint, u_threads bigint, u_width bigint, u_grain bigint,
    u_wall bigint, u_cpu bigint, u_wait bigint, u_rss bigint, u_predicted bigint, u_start bigint, u_end bigint,
    u_code text, u_detail text, OUT applied bigint[], OUT followed boolean
) LANGUAGE plpgsql AS
$$
DECLARE
    base constant double precision := extract(epoch FROM now());
BEGIN
    -- The lease is locked first here too: a row of tasks is touched when the lease's has been deleted.
    WITH gone AS (
        DELETE FROM leases l WHERE l.id = u_lease AND l.remaining = 1 AND l.tasks = ARRAY [u_task] RETURNING true
    )
    UPDATE tasks t SET
        units_done = 1,
        units_failed = (u_state = 1)::integer,
        units_cancelled = (u_state = 2)::integer,
        items_done = u_done,
        items_failed = u_failed,
        started_at = to_timestamp(base + (u_start - sent_us) / 1e6::double precision),
        last_end = to_timestamp(base + (u_end - sent_us) / 1e6::double precision),
        finished_at = now(),
        wall_us = u_wall, cpu_us = u_cpu, wait_us = u_wait, peak_rss_kib = u_rss, predicted_us = u_predicted,
        shape_used = CASE WHEN u_threads > 0
            THEN ARRAY [u_processes::integer, u_threads::integer, u_width::integer, u_grain::integer] END,
        error_code = u_code, error_text = u_detail,
        state = lathe_outcome(t.cancelling, t.fail_fast, (u_state = 1)::integer, (u_state = 2)::integer, t.items_total,
                              u_failed::integer),
        lease = u_lease, result = u_bytes
    FROM gone WHERE t.id = u_task AND NOT lathe_final(t.state)
    RETURNING t.followed INTO followed;
    IF NOT FOUND THEN
        SELECT a.applied, a.followed INTO applied, followed FROM lathe_finish_alone(
            sent_us, ARRAY [u_lease], ARRAY [u_task], ARRAY [u_bytes], ARRAY [u_state], ARRAY [u_done], ARRAY [u_failed],
            ARRAY [u_processes], ARRAY [u_threads], ARRAY [u_width], ARRAY [u_grain], ARRAY [u_wall], ARRAY [u_cpu], ARRAY [u_wait],
            ARRAY [u_rss], ARRAY [u_predicted], ARRAY [u_start], ARRAY [u_end], ARRAY [u_code], ARRAY [u_detail], '{}') a;
    ELSIF followed THEN
        PERFORM lathe_follow(ARRAY [u_task]);
    END IF;
END
$$;
