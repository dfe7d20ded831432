-- Many nodes and many messages: who is alive, and plans that stay right while tables grow.

-- These logins look single rows up and never need a whole table. Their statements are planned once and kept; one planned while the outbox was
-- small would read all of it, once per sender, as soon as it is large. Whoever made the roles may also have kept the right to change them.
DO $$
DECLARE
    login text;
BEGIN
    FOREACH login IN ARRAY ARRAY['gateway_api', 'gateway_engine'] LOOP
        BEGIN
            EXECUTE format('ALTER ROLE %I SET enable_seqscan = off', login);
        EXCEPTION WHEN insufficient_privilege OR internal_error THEN
            RAISE WARNING 'run as administrator: ALTER ROLE % SET enable_seqscan = off', login;
        END;
    END LOOP;
END
$$;

SET LOCAL ROLE gateway_schema;

-- Which engine nodes are alive, so that they share the senders fairly; one small row a node. It decides nothing about ownership: leases do.

CREATE TABLE engine_nodes (
    -- One start of one process.
    node text PRIMARY KEY CHECK (length(node) BETWEEN 1 AND 128),
    -- Most senders it connects.
    capacity integer NOT NULL CHECK (capacity >= 0),
    seen_at timestamptz NOT NULL
) WITH (fillfactor = 50);

GRANT SELECT, INSERT, UPDATE, DELETE ON engine_nodes TO gateway_engine;

-- What can be connected, paired or unlinked; without it every look for free senders would read the whole of `senders`.
CREATE INDEX senders_connectable ON senders (account_id, sender_id) WHERE state NOT IN ('unpaired', 'logged_out', 'removed');

-- Notes that `me` is alive, and returns the nodes seen within `patience` with what each holds, and how many senders are wanted in all.
CREATE FUNCTION gateway_engine_board(me text, my_capacity integer, patience interval)
RETURNS TABLE (node text, capacity integer, held bigint, wanted bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = on
AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO engine_nodes (node, capacity, seen_at) VALUES (me, my_capacity, clock_timestamp())
    ON CONFLICT (node) DO UPDATE SET capacity = excluded.capacity, seen_at = excluded.seen_at;
    DELETE FROM engine_nodes WHERE seen_at < clock_timestamp() - interval '1 hour';
    RETURN QUERY
    WITH holding AS (
        SELECT l.holder, count(*) AS held
        FROM sender_leases l
        WHERE l.holder IS NOT NULL AND l.expires_at >= clock_timestamp()
        GROUP BY l.holder
    )
    SELECT n.node, n.capacity, coalesce(h.held, 0),
        (SELECT count(*) FROM senders s WHERE s.state NOT IN ('unpaired', 'logged_out', 'removed'))
    FROM engine_nodes n
    LEFT JOIN holding h ON h.holder = n.node
    WHERE n.seen_at >= clock_timestamp() - patience
    ORDER BY n.node;
END
$$;
-- As before; both tables are read whole, which is what this one is for.
ALTER FUNCTION gateway_free_senders(integer) SET enable_seqscan = on;
GRANT EXECUTE ON FUNCTION gateway_engine_board(text, integer, interval) TO gateway_engine;

RESET ROLE;
