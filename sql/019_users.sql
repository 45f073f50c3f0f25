-- As in 014, but that rows which are all new are not looked up again: their ids come with the insert, in the order of the rows.

CREATE OR REPLACE FUNCTION lathe_put_users(tasks uuid[], items bigint[], emails text[], names text[], ages bigint[], metas text[])
RETURNS TABLE (id bigint, own boolean) LANGUAGE plpgsql AS
$$
DECLARE
    fresh bigint[];
BEGIN
    WITH put AS (
        INSERT INTO users AS u (task, item, email, name, age, meta)
        SELECT r.task, r.item, r.email, r.name, r.age, r.meta::jsonb
        FROM unnest(tasks, items, emails, names, ages, metas) AS r(task, item, email, name, age, meta)
        ON CONFLICT (email) DO NOTHING
        RETURNING u.id
    )
    SELECT array_agg(p.id ORDER BY p.id) INTO fresh FROM put p;
    IF cardinality(fresh) = cardinality(emails) THEN
        RETURN QUERY SELECT f, true FROM unnest(fresh) f;
        RETURN;
    END IF;
    RETURN QUERY SELECT u.id, (u.task = r.task AND u.item = r.item) IS TRUE
    FROM unnest(tasks, items, emails) WITH ORDINALITY AS r(task, item, email, ord) LEFT JOIN users u ON u.email = r.email
    ORDER BY r.ord;
END
$$;
