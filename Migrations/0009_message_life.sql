-- The life of a message: scheduled, moved to another sender while nothing has left, and kept no longer than it was asked to be.
SET LOCAL ROLE gateway_schema;

-- When it can leave and what governs that, as decided with its route; NULL: at once, nothing.
ALTER TABLE messages ADD COLUMN estimated_at timestamptz;
ALTER TABLE messages ADD COLUMN limited_by text CHECK (limited_by ~ '^[a-z0-9_]{1,64}$');
-- The policy that the request asked for in place of the pool's own.
ALTER TABLE messages ADD COLUMN policy_override text CHECK (policy_override ~ '^[a-z0-9_]{1,64}$');

-- The first event of a message (scheduled or queued) says nothing that its row does not say, so it is no row of its own: it has the number 1,
-- the time `created_at`, and the message's uuid. Rows of message_events begin with number 2. A wire id is taken when it is first used, before the wire.
GRANT INSERT ON wire_ids TO gateway_engine;
GRANT DELETE ON message_bodies TO gateway_engine;

-- Devices of the recipient that a message of `store: none` was addressed to and that have not reported it yet. Device numbers are WhatsApp's
-- (0 is the phone) and say nothing about a person. When the last one is gone, so is the body.
CREATE TABLE awaited_devices (
    account_id uuid NOT NULL,
    message_id uuid NOT NULL,
    device integer NOT NULL,
    PRIMARY KEY (account_id, message_id, device)
);
CREATE INDEX awaited_devices_message ON awaited_devices (message_id);
CALL gateway_isolate('awaited_devices');
GRANT SELECT, INSERT, DELETE ON awaited_devices TO gateway_engine;
ALTER TABLE message_bodies ADD COLUMN unstored boolean NOT NULL DEFAULT false;
CREATE INDEX message_bodies_unstored ON message_bodies (message_id) WHERE unstored;

-- A sender that refused it shows at once; there are few of those.
CREATE INDEX outbox_refused_here ON outbox (account_id, message_id) WHERE state = 'accepted' AND movable AND sender_id = ANY (excluded);

-- Accounts with a scheduled message that is due, the longest waiting first.
CREATE FUNCTION gateway_scheduled_accounts(moment timestamptz, most integer) RETURNS TABLE (account_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT DISTINCT due.account_id
    FROM (SELECT o.account_id FROM outbox o WHERE o.state = 'scheduled' AND o.due_at <= moment ORDER BY o.due_at LIMIT most) AS due
$$;
GRANT EXECUTE ON FUNCTION gateway_scheduled_accounts(timestamptz, integer) TO gateway_engine;

-- Looks at up to `most` senders with queued messages, in order after (`after_account`, `after_sender`), at one row of each; what else is queued
-- costs nothing. `suspect`: the sender may be unable to send its first message in time. It is not ready, nobody holds its lease, it is paused, or
-- that message has been due for `patience`, or will not be due for so long.
CREATE FUNCTION gateway_queued_senders(after_account uuid, after_sender uuid, moment timestamptz, patience interval, most integer)
RETURNS TABLE (account_id uuid, sender_id uuid, suspect boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    WITH RECURSIVE queued AS (
        SELECT first.account_id, first.sender_id, first.due_at, 1 AS place
        FROM (SELECT o.account_id, o.sender_id, o.due_at FROM outbox o
            WHERE o.state = 'accepted' AND (o.account_id, o.sender_id) > (after_account, after_sender)
            ORDER BY o.account_id, o.sender_id, o.priority, o.due_at, o.message_id LIMIT 1) AS first
        UNION ALL
        SELECT next.account_id, next.sender_id, next.due_at, queued.place + 1
        FROM queued
        CROSS JOIN LATERAL (SELECT o.account_id, o.sender_id, o.due_at FROM outbox o
            WHERE o.state = 'accepted' AND (o.account_id, o.sender_id) > (queued.account_id, queued.sender_id)
            ORDER BY o.account_id, o.sender_id, o.priority, o.due_at, o.message_id LIMIT 1) AS next
        WHERE queued.place < most
    )
    SELECT q.account_id, q.sender_id,
        s.state <> 'ready' OR l.holder IS NULL OR l.expires_at < clock_timestamp()
            OR q.due_at < moment - patience OR q.due_at > moment + patience
            OR coalesce(h.paused_until > moment OR h.new_chats_until > moment, false)
    FROM queued q
    JOIN senders s ON s.account_id = q.account_id AND s.sender_id = q.sender_id
    JOIN sender_leases l ON l.account_id = q.account_id AND l.sender_id = q.sender_id
    LEFT JOIN sender_health h ON h.account_id = q.account_id AND h.sender_id = q.sender_id
    ORDER BY q.account_id, q.sender_id
$$;
GRANT EXECUTE ON FUNCTION gateway_queued_senders(uuid, uuid, timestamptz, interval, integer) TO gateway_engine;

-- Queued messages whose sender has refused them.
CREATE FUNCTION gateway_refused_accounts(most integer) RETURNS TABLE (account_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT DISTINCT due.account_id
    FROM (SELECT o.account_id FROM outbox o WHERE o.state = 'accepted' AND o.movable AND o.sender_id = ANY (o.excluded) LIMIT most) AS due
$$;
GRANT EXECUTE ON FUNCTION gateway_refused_accounts(integer) TO gateway_engine;

-- Drops the partitions of `parent` that end at or before `moment`, and deletes older rows of its default partition. What a message that is
-- still to be sent needs is kept in the default partition: one may be scheduled a month ahead. Returns how many objects went.
CREATE OR REPLACE FUNCTION gateway_drop_partitions(parent text, moment timestamptz) RETURNS bigint
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
            EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, part.name);
            EXECUTE format('INSERT INTO %I SELECT p.* FROM %I p JOIN outbox o ON o.account_id = p.account_id AND o.message_id = p.message_id',
                parent, part.name);
            EXECUTE format('DROP TABLE %I', part.name);
            gone := gone + 1;
        END IF;
    END LOOP;
    EXECUTE format('DELETE FROM %I p WHERE message_id < %L
        AND NOT EXISTS (SELECT FROM outbox o WHERE o.account_id = p.account_id AND o.message_id = p.message_id)',
        parent || '_default', gateway_uuid7_bound(moment));
    GET DIAGNOSTICS leftover = ROW_COUNT;
    RETURN gone + leftover;
END
$$;

-- Erases what `store: none` messages said: those that every device has reported, and all from before `moment`.
CREATE FUNCTION gateway_erase_unstored(moment timestamptz, most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    gone bigint;
BEGIN
    WITH done AS MATERIALIZED (
        SELECT b.account_id, b.message_id
        FROM message_bodies b
        JOIN messages m ON m.account_id = b.account_id AND m.message_id = b.message_id
        WHERE b.unstored
          AND (greatest(m.created_at, m.send_at) <= moment
               OR m.settled_at IS NOT NULL AND m.state IN ('failed', 'expired', 'canceled')
               OR m.state IN ('delivered', 'read')
                  AND NOT EXISTS (SELECT FROM awaited_devices w WHERE w.account_id = m.account_id AND w.message_id = m.message_id))
        ORDER BY b.message_id
        LIMIT most
    ),
    forgotten AS (
        DELETE FROM awaited_devices w USING done WHERE w.account_id = done.account_id AND w.message_id = done.message_id
    ),
    sent AS (
        DELETE FROM sent_messages s USING done WHERE s.account_id = done.account_id AND s.message_id = done.message_id
    )
    DELETE FROM message_bodies b USING done WHERE b.account_id = done.account_id AND b.message_id = done.message_id;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$$;
GRANT EXECUTE ON FUNCTION gateway_erase_unstored(timestamptz, integer) TO gateway_cron;

-- Deletes what is past its time in the tables of routing and limits, at most `most` rows of each kind per call.
CREATE FUNCTION gateway_sweep_routing(kind text, moment timestamptz, most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    gone bigint;
BEGIN
    CASE kind
        WHEN 'sender_recipients' THEN
            DELETE FROM sender_recipients WHERE (account_id, recipient_index, sender_id) IN
                (SELECT account_id, recipient_index, sender_id FROM sender_recipients WHERE last_at <= moment ORDER BY last_at LIMIT most);
        WHEN 'sender_usage' THEN
            DELETE FROM sender_usage WHERE (account_id, sender_id) IN
                (SELECT account_id, sender_id FROM sender_usage WHERE greatest(day_start, next_at) <= moment LIMIT most);
        WHEN 'pool_usage' THEN
            DELETE FROM pool_usage WHERE (account_id, pool_id) IN
                (SELECT account_id, pool_id FROM pool_usage WHERE greatest(day_start, next_at) <= moment LIMIT most);
        WHEN 'sender_health' THEN
            DELETE FROM sender_health WHERE (account_id, sender_id) IN
                (SELECT account_id, sender_id FROM sender_health
                 WHERE greatest(paused_until, new_chats_until, demoted_until, changed_at) <= moment LIMIT most);
        WHEN 'awaited_devices' THEN
            DELETE FROM awaited_devices WHERE (account_id, message_id, device) IN
                (SELECT account_id, message_id, device FROM awaited_devices WHERE message_id < gateway_uuid7_bound(moment) LIMIT most);
    END CASE;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$$;
GRANT EXECUTE ON FUNCTION gateway_sweep_routing(text, timestamptz, integer) TO gateway_cron;

RESET ROLE;
