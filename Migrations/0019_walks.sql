-- The outbox grows from empty to millions of rows and back. While it is empty every index costs the same, and a plan made then is kept: a claim that
-- walks the expiries of all senders and sorts would be as good as one that walks its own sender's queue. Which index serves must therefore follow
-- from the statement alone: by its predicate here, by its order where a statement walks with a limit (such transactions do without sorts).

SET LOCAL ROLE gateway_schema;

-- `deadline` is there exactly while a message is prepared or on the wire. What names a state cannot use these.
DROP INDEX outbox_deadlines;
CREATE INDEX outbox_deadlines ON outbox (deadline) WHERE deadline IS NOT NULL;
DROP INDEX outbox_expiries;
CREATE INDEX outbox_expiries ON outbox (expires_at) WHERE deadline IS NULL;

DROP INDEX outbox_suspects;
CREATE INDEX outbox_suspects ON outbox (account_id, sender_id, priority, due_at, message_id) WHERE deadline IS NULL AND claims > 0;

CREATE OR REPLACE FUNCTION gateway_due_accounts(moment timestamptz, logged_out_before timestamptz, most integer) RETURNS TABLE (account_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET enable_sort = off
AS $$
    SELECT DISTINCT due.account_id
    FROM (
        (SELECT o.account_id FROM outbox o
         WHERE o.state IN ('prepared', 'on_wire') AND o.deadline <= moment
           AND (o.state = 'prepared' OR o.attempts >= 3 OR o.at_most_once OR o.expires_at <= moment)
         ORDER BY o.deadline LIMIT most)
        UNION ALL
        (SELECT o.account_id FROM outbox o WHERE o.deadline IS NULL AND o.expires_at <= moment ORDER BY o.expires_at LIMIT most)
        UNION ALL
        (SELECT s.account_id FROM senders s
         WHERE s.state IN ('logged_out', 'removed')
           AND (s.state = 'removed' OR s.state_since <= logged_out_before)
           AND (EXISTS (SELECT 1 FROM outbox o
                        WHERE o.account_id = s.account_id AND o.sender_id = s.sender_id AND o.state IN ('prepared', 'on_wire')
                          AND (s.state = 'removed' OR o.state = 'on_wire'))
             OR s.state = 'removed' AND EXISTS (SELECT 1 FROM outbox o
                        WHERE o.account_id = s.account_id AND o.sender_id = s.sender_id AND o.state = 'accepted')
             OR s.state = 'removed' AND EXISTS (SELECT 1 FROM outbox o
                        WHERE o.account_id = s.account_id AND o.sender_id = s.sender_id AND o.state IN ('scheduled', 'hold')))
         LIMIT most)
    ) AS due
$$;

-- Joins by key have two orders, and while a table is empty the wrong one, which reads all of it, costs as little. Tables that have outgrown what
-- PostgreSQL knows of them are analysed at once, which ends such plans; autovacuum comes once a minute. How many were.
CREATE FUNCTION gateway_learn_sizes() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = on SET lock_timeout = '100ms'
AS $$
DECLARE
    grown record;
    learned integer := 0;
BEGIN
    FOR grown IN
        SELECT c.oid::regclass AS name
        FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND pg_stat_get_live_tuples(c.oid) > greatest(1000, 8 * c.reltuples)
    LOOP
        BEGIN
            EXECUTE format('ANALYZE %s', grown.name);
            learned := learned + 1;
        EXCEPTION WHEN lock_not_available OR insufficient_privilege THEN
            NULL;  -- somebody is at it, or may not
        END;
    END LOOP;
    RETURN learned;
END
$$;
GRANT EXECUTE ON FUNCTION gateway_learn_sizes() TO gateway_engine;

ALTER FUNCTION gateway_scheduled_accounts(timestamptz, integer) SET enable_sort = off;
ALTER FUNCTION gateway_queued_senders(uuid, uuid, timestamptz, interval, integer) SET enable_sort = off;
ALTER FUNCTION gateway_alert_slow_facts(timestamptz, boolean) SET enable_sort = off;

RESET ROLE;
