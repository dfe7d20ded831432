-- The few things that must look across accounts, each as small as it can be: SECURITY DEFINER with a pinned search_path, for named logins only.
SET LOCAL ROLE gateway_schema;

-- Who owns this key id? Everything that is needed to check the secret, in one row; `now` is not compared here.
CREATE FUNCTION gateway_find_api_key(wanted text)
RETURNS TABLE (account_id uuid, key_id uuid, verifier text, test boolean, scopes text[], allowed_senders uuid[], expires_at timestamptz,
    revoked_at timestamptz, account_state text, calling_code text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT k.account_id, k.key_id, k.verifier, k.test, k.scopes, k.allowed_senders, k.expires_at, k.revoked_at, a.state, a.default_calling_code
    FROM api_keys k
    JOIN accounts a ON a.account_id = k.account_id
    WHERE k.lookup = wanted
    ORDER BY k.key_id
    LIMIT 1
$$;
GRANT EXECUTE ON FUNCTION gateway_find_api_key(text) TO gateway_api;

-- The ids of all accounts, oldest first.
CREATE FUNCTION gateway_account_ids() RETURNS TABLE (account_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT a.account_id FROM accounts a ORDER BY a.account_id
$$;
GRANT EXECUTE ON FUNCTION gateway_account_ids() TO gateway_api, gateway_engine, gateway_cron;

-- Senders whose lease can be taken now: something is to be connected, paired or unlinked, and nobody holds them.
CREATE FUNCTION gateway_free_senders(most integer) RETURNS TABLE (account_id uuid, sender_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT s.account_id, s.sender_id
    FROM senders s
    JOIN sender_leases l ON l.account_id = s.account_id AND l.sender_id = s.sender_id
    WHERE s.state NOT IN ('unpaired', 'logged_out', 'removed')
      AND (l.holder IS NULL OR l.expires_at < clock_timestamp())
    ORDER BY l.expires_at, s.account_id, s.sender_id
    LIMIT most
$$;
GRANT EXECUTE ON FUNCTION gateway_free_senders(integer) TO gateway_engine;

-- Accounts with something for the sweep: an overdue claim, an overdue acknowledgement, or a message past its time.
CREATE FUNCTION gateway_due_accounts(moment timestamptz, most integer) RETURNS TABLE (account_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT DISTINCT due.account_id
    FROM (
        (SELECT o.account_id FROM outbox o
         WHERE o.state IN ('prepared', 'on_wire') AND o.deadline <= moment
           AND (o.state = 'prepared' OR o.attempts >= 3 OR o.at_most_once OR o.expires_at <= moment)
         ORDER BY o.deadline LIMIT most)
        UNION ALL
        (SELECT o.account_id FROM outbox o
         WHERE o.state IN ('scheduled', 'hold', 'accepted') AND o.expires_at <= moment ORDER BY o.expires_at LIMIT most)
        UNION ALL
        (SELECT o.account_id FROM outbox o
         JOIN senders s ON s.account_id = o.account_id AND s.sender_id = o.sender_id
         WHERE s.state = 'removed' LIMIT most)
    ) AS due
$$;
GRANT EXECUTE ON FUNCTION gateway_due_accounts(timestamptz, integer) TO gateway_engine;

-- Makes one partition [low, high) if it is not there. Rows of that time that had gone to the default partition move in.
CREATE FUNCTION gateway_make_partition(parent text, suffix text, low timestamptz, high timestamptz) RETURNS integer
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
    CALL gateway_isolate(part::regclass);
    EXECUTE format('WITH moved AS (DELETE FROM %I WHERE message_id >= %L AND message_id < %L RETURNING *) INSERT INTO %I SELECT * FROM moved',
        parent || '_default', first_id, end_id, part);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, part, first_id, end_id);
    RETURN 1;
END
$$;

-- Makes every partition from yesterday's to `days` and `months` ahead. Idempotent; one caller at a time.
CREATE FUNCTION gateway_make_partitions(moment timestamptz, days integer, months integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    parent text;
    low timestamptz;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('gateway.partitions'));
    FOREACH parent IN ARRAY ARRAY['message_bodies', 'sent_messages'] LOOP
        FOR low IN SELECT generate_series(date_trunc('day', moment) - interval '1 day', date_trunc('day', moment) + make_interval(days => days),
            interval '1 day')
        LOOP
            made := made + gateway_make_partition(parent, to_char(low, '"d"YYYYMMDD'), low, low + interval '1 day');
        END LOOP;
    END LOOP;
    FOREACH parent IN ARRAY ARRAY['messages', 'message_events', 'message_attempts'] LOOP
        FOR low IN SELECT generate_series(date_trunc('month', moment - interval '1 day'), date_trunc('month', moment) + make_interval(months => months),
            interval '1 month')
        LOOP
            made := made + gateway_make_partition(parent, to_char(low, '"m"YYYYMM'), low, low + interval '1 month');
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;
GRANT EXECUTE ON FUNCTION gateway_make_partitions(timestamptz, integer, integer) TO gateway_cron;

-- Drops the partitions of `parent` that end at or before `moment`, and deletes older rows of its default partition. Returns how many objects went.
CREATE FUNCTION gateway_drop_partitions(parent text, moment timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    part record;
    ends timestamptz;
    gone bigint := 0;
    leftover bigint;
BEGIN
    IF parent NOT IN ('messages', 'message_bodies', 'sent_messages', 'message_events', 'message_attempts') THEN
        RAISE EXCEPTION 'not a partitioned table of messages' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('gateway.partitions'));
    FOR part IN
        SELECT c.relname AS name, substring(c.relname FROM length(parent) + 2) AS suffix
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = ('public.' || quote_ident(parent))::regclass
        ORDER BY c.relname
    LOOP
        ends := CASE
            WHEN part.suffix ~ '^d[0-9]{8}$' THEN to_date(substring(part.suffix FROM 2), 'YYYYMMDD')::timestamptz + interval '1 day'
            WHEN part.suffix ~ '^m[0-9]{6}$' THEN to_date(substring(part.suffix FROM 2), 'YYYYMM')::timestamptz + interval '1 month'
        END;
        IF ends <= moment THEN
            EXECUTE format('DROP TABLE %I', part.name);
            gone := gone + 1;
        END IF;
    END LOOP;
    EXECUTE format('DELETE FROM %I WHERE message_id < %L', parent || '_default', gateway_uuid7_bound(moment));
    GET DIAGNOSTICS leftover = ROW_COUNT;
    RETURN gone + leftover;
END
$$;
GRANT EXECUTE ON FUNCTION gateway_drop_partitions(text, timestamptz) TO gateway_cron;

-- Empties the contact cache and returns how many rows it held.
CREATE FUNCTION gateway_truncate_contact_cache() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    held bigint;
BEGIN
    LOCK TABLE contact_cache IN ACCESS EXCLUSIVE MODE;
    SELECT count(*) INTO held FROM contact_cache;
    TRUNCATE contact_cache;
    RETURN held;
END
$$;
GRANT EXECUTE ON FUNCTION gateway_truncate_contact_cache() TO gateway_cron;

-- Deletes what is past its time in the unpartitioned tables, at most `most` rows of each kind per call.
CREATE FUNCTION gateway_sweep(kind text, moment timestamptz, most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    gone bigint;
BEGIN
    CASE kind
        WHEN 'idempotency' THEN
            DELETE FROM idempotency WHERE (account_id, key_index) IN
                (SELECT account_id, key_index FROM idempotency WHERE expires_at <= moment ORDER BY expires_at LIMIT most);
        WHEN 'pairings' THEN
            WITH ended AS (
                DELETE FROM pairings WHERE (account_id, sender_id) IN
                    (SELECT account_id, sender_id FROM pairings WHERE expires_at <= moment LIMIT most)
                RETURNING account_id, sender_id
            )
            UPDATE senders SET state = 'unpaired', state_code = 'pairing_expired', state_since = moment
            FROM ended
            WHERE senders.account_id = ended.account_id AND senders.sender_id = ended.sender_id AND senders.state = 'pairing';
        WHEN 'wire_ids' THEN
            DELETE FROM wire_ids WHERE message_id IN
                (SELECT message_id FROM wire_ids WHERE message_id < gateway_uuid7_bound(moment) ORDER BY message_id LIMIT most);
        WHEN 'signal_sessions' THEN
            DELETE FROM signal_sessions WHERE (account_id, sender_id, address_index) IN
                (SELECT account_id, sender_id, address_index FROM signal_sessions WHERE updated_at <= moment LIMIT most);
        WHEN 'signal_identities' THEN
            DELETE FROM signal_identities i WHERE (account_id, sender_id, address_index) IN
                (SELECT account_id, sender_id, address_index FROM signal_identities WHERE updated_at <= moment LIMIT most)
                AND NOT EXISTS (SELECT FROM signal_sessions s
                    WHERE s.account_id = i.account_id AND s.sender_id = i.sender_id AND s.address_index = i.address_index);
        WHEN 'revoked_keys' THEN
            DELETE FROM api_keys WHERE revoked_at <= moment;
        WHEN 'revoked_key_labels' THEN
            UPDATE api_keys SET label_sealed = NULL WHERE revoked_at <= moment AND label_sealed IS NOT NULL;
        WHEN 'receipts' THEN
            DELETE FROM deletion_receipts WHERE completed_at <= moment;
        WHEN 'cron_runs' THEN
            DELETE FROM cron_runs WHERE started_at <= moment;
    END CASE;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$$;
GRANT EXECUTE ON FUNCTION gateway_sweep(text, timestamptz, integer) TO gateway_cron;

-- Destroys everything a linked device knows, for senders that are removed or logged out for longer than their grace: the catcher of stragglers.
CREATE FUNCTION gateway_purge_stragglers(moment timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    gone bigint := 0;
    part bigint;
    target text;
BEGIN
    FOREACH target IN ARRAY ARRAY['sender_devices', 'signal_sessions', 'signal_identities', 'prekeys'] LOOP
        EXECUTE format('DELETE FROM %I t USING senders s WHERE s.account_id = t.account_id AND s.sender_id = t.sender_id
            AND (s.state = ''removed'' OR s.state = ''logged_out'' AND s.state_since <= $1)', target) USING moment;
        GET DIAGNOSTICS part = ROW_COUNT;
        gone := gone + part;
    END LOOP;
    RETURN gone;
END
$$;
GRANT EXECUTE ON FUNCTION gateway_purge_stragglers(timestamptz) TO gateway_cron;

-- Every table with an account_id, from the catalogue, so that a table added later cannot be forgotten.
CREATE FUNCTION gateway_tenant_tables() RETURNS TABLE (table_name text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT c.relname::text
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'account_id' AND NOT a.attisdropped
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    ORDER BY c.relname
$$;
GRANT EXECUTE ON FUNCTION gateway_tenant_tables() TO gateway_api, gateway_engine;

-- One step of erasing a closing account: up to `most` rows of each table, except for the account's own row and its closing.
-- Returns what went; nothing returned means that nothing is left. Tables that others still point to wait for the next call.
CREATE FUNCTION gateway_erase_account(target uuid, most integer) RETURNS TABLE (table_name text, erased bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM accounts a WHERE a.account_id = target AND a.state = 'closing') THEN
        RAISE EXCEPTION 'the account is not closing' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    FOR table_name IN SELECT t.table_name FROM gateway_tenant_tables() t WHERE t.table_name NOT IN ('accounts', 'closings') LOOP
        BEGIN
            EXECUTE format('DELETE FROM %I WHERE (tableoid, ctid) IN (SELECT tableoid, ctid FROM %I WHERE account_id = $1 LIMIT $2)
                AND account_id = $1', table_name, table_name) USING target, most;
            GET DIAGNOSTICS erased = ROW_COUNT;
        EXCEPTION WHEN foreign_key_violation THEN
            erased := 0;
        END;
        IF erased > 0 THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;
GRANT EXECUTE ON FUNCTION gateway_erase_account(uuid, integer) TO gateway_api, gateway_engine;

-- How many rows an account still has, over all tenant tables but the two that go last.
CREATE FUNCTION gateway_account_rows(target uuid) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    name text;
    part bigint;
    total bigint := 0;
BEGIN
    FOR name IN SELECT t.table_name FROM gateway_tenant_tables() t WHERE t.table_name NOT IN ('accounts', 'closings') LOOP
        EXECUTE format('SELECT count(*) FROM %I WHERE account_id = $1', name) INTO part USING target;
        total := total + part;
    END LOOP;
    RETURN total;
END
$$;
GRANT EXECUTE ON FUNCTION gateway_account_rows(uuid) TO gateway_api, gateway_engine;

-- The last step: the account's own row goes and the receipt comes, in one transaction. Refused while anything is left.
CREATE FUNCTION gateway_finish_closing(target uuid, receipt uuid, moment timestamptz, unreadable timestamptz) RETURNS TABLE (requested timestamptz, counted jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    IF gateway_account_rows(target) > 0 THEN
        RAISE EXCEPTION 'rows are left' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    DELETE FROM closings c WHERE c.account_id = target RETURNING c.requested_at, c.counts INTO STRICT requested, counted;
    DELETE FROM accounts a WHERE a.account_id = target AND a.state = 'closing';
    counted := counted || jsonb_build_object('accounts', 1);
    INSERT INTO deletion_receipts (receipt_id, requested_at, completed_at, backups_unreadable_at, counts)
    VALUES (receipt, requested, moment, unreadable, counted);
    RETURN NEXT;
END
$$;
GRANT EXECUTE ON FUNCTION gateway_finish_closing(uuid, uuid, timestamptz, timestamptz) TO gateway_api, gateway_engine;

-- Closings under way, oldest first.
CREATE FUNCTION gateway_open_closings() RETURNS TABLE (account_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT c.account_id FROM closings c ORDER BY c.requested_at, c.account_id
$$;
GRANT EXECUTE ON FUNCTION gateway_open_closings() TO gateway_api, gateway_engine;

-- Rows that no partition claims go here, so that a late partition loses nothing.
DO $$
DECLARE
    parent text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['messages', 'message_bodies', 'sent_messages', 'message_events', 'message_attempts'] LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF %I DEFAULT', parent || '_default', parent);
        CALL gateway_isolate((parent || '_default')::regclass);
    END LOOP;
END
$$;
SELECT gateway_make_partitions(now(), 7, 2);

RESET ROLE;
