-- A claim concerns the queue only: `prepared` stands in `outbox` and nowhere else, and `messages` goes from accepted to on_wire.
SET LOCAL ROLE gateway_schema;

UPDATE messages SET state = 'accepted' WHERE state = 'prepared';
ALTER TABLE messages DROP CONSTRAINT messages_state_check;
ALTER TABLE messages ADD CONSTRAINT messages_state_check CHECK (state IN ('scheduled', 'hold', 'accepted', 'on_wire', 'sent', 'delivered', 'read',
    'failed', 'expired', 'canceled', 'unconfirmed'));
DROP TRIGGER messages_transition ON messages;
CREATE TRIGGER messages_transition BEFORE UPDATE OF state ON messages FOR EACH ROW
    WHEN (NOT gateway_message_transition_allowed(OLD.state, NEW.state)
        OR OLD.state = 'on_wire' AND NEW.state = 'accepted' AND NEW.refusals <= OLD.refusals)
    EXECUTE FUNCTION gateway_refuse_transition();

-- How many findings in close succession still count: one is forgotten per quiet time since the last one's effect ended.
CREATE FUNCTION gateway_quiet_level(level smallint, ended timestamptz, quiet interval, moment timestamptz) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN level = 0 OR NOT isfinite(ended) THEN 0
    WHEN moment <= ended THEN level
    ELSE greatest(0, level - floor(extract(epoch FROM moment - ended) / extract(epoch FROM quiet))::integer)
END;
GRANT EXECUTE ON FUNCTION gateway_quiet_level(smallint, timestamptz, interval, timestamptz) TO gateway_engine;

-- A message's row changes four times in its first minutes. With room on its page no index is touched: none has a column that changes.
CREATE OR REPLACE FUNCTION gateway_make_partition(parent text, suffix text, low timestamptz, high timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    part text := parent || '_' || suffix;
    first_id uuid := gateway_uuid7_bound(low);
    end_id uuid := gateway_uuid7_bound(high);
BEGIN
    IF to_regclass('public.' || quote_ident(part)) IS NOT NULL THEN
        RETURN 0;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part, parent);
    IF parent = 'messages' THEN
        EXECUTE format('ALTER TABLE %I SET (fillfactor = 60)', part);
    END IF;
    CALL gateway_isolate(part::regclass);
    EXECUTE format('WITH moved AS (DELETE FROM %I WHERE message_id >= %L AND message_id < %L RETURNING *) INSERT INTO %I SELECT * FROM moved',
        parent || '_default', first_id, end_id, part);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, part, first_id, end_id);
    RETURN 1;
END
$$;
DO $$
DECLARE
    part text;
BEGIN
    FOR part IN SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'messages'::regclass LOOP
        EXECUTE format('ALTER TABLE %s SET (fillfactor = 60)', part);
    END LOOP;
END
$$;

-- Plans of prepared statements are kept, and often made while the tables are still empty: then every index looks as good as the key, and the plan later
-- walks all rows of an account. So the test of the accounts offers itself to no index, and no other whole index begins with the account: what is
-- left is the key that the statement names. The recipient's index is a keyed hash, different for each account.
CREATE OR REPLACE PROCEDURE gateway_isolate(target regclass)
LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
    EXECUTE format('CREATE POLICY tenant ON %s USING ((account_id = ANY ((SELECT gateway_accounts())::uuid[])) IS TRUE)
        WITH CHECK ((account_id = ANY ((SELECT gateway_accounts())::uuid[])) IS TRUE)', target);
    EXECUTE format('CREATE POLICY owner ON %s TO gateway_schema USING (true) WITH CHECK (true)', target);
END
$$;
DO $$
DECLARE
    target text;
BEGIN
    FOR target IN SELECT format('%I.%I', schemaname, tablename) FROM pg_policies WHERE schemaname = 'public' AND policyname = 'tenant' LOOP
        EXECUTE format('ALTER POLICY tenant ON %s USING ((account_id = ANY ((SELECT gateway_accounts())::uuid[])) IS TRUE)
            WITH CHECK ((account_id = ANY ((SELECT gateway_accounts())::uuid[])) IS TRUE)', target);
    END LOOP;
END
$$;
DROP INDEX messages_recipient;
CREATE INDEX messages_recipient ON messages (recipient_index, account_id, message_id);

RESET ROLE;

-- Every statement of these logins takes few rows of large tables by key, and its plan must not be the one that is best while the tables are empty.
DO $$
DECLARE
    login text;
    setting text;
BEGIN
    FOREACH login IN ARRAY ARRAY['gateway_api', 'gateway_engine'] LOOP
        FOREACH setting IN ARRAY ARRAY['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin'] LOOP
            EXECUTE format('ALTER ROLE %I IN DATABASE %I SET %s = off', login, current_database(), setting);
        END LOOP;
    END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
    NULL;  -- as fast once the tables are analysed
END
$$;
