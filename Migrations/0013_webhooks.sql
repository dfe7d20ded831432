-- Events for programs: a log per account that asked for one, the endpoints that it is pushed to, and what became of each delivery.
--
-- message_events stays the story of a message. A row of it becomes an event here in the same transaction, by a trigger on the statement, so that no
-- writer of messages knows about webhooks. Accounts without a row in event_subscribers pay one look into that small table per statement.
SET LOCAL ROLE gateway_schema;

-- Who has an event log: everybody with a webhook endpoint in any state, and everybody who has asked for events in the last 30 days.
CREATE TABLE event_subscribers (
    account_id uuid PRIMARY KEY,
    -- When the account last asked GET /v1/events, to the hour.
    asked_at timestamptz NOT NULL,
    -- The highest place that was given out. Begins at the microsecond of its making, so that it never begins below where an earlier row has ended.
    last_place bigint NOT NULL
);

-- The log: ids, states, codes and times, nothing sealed and nothing about people. A running number is taken when a row is written and seen when
-- its transaction commits, so readers that went by it would miss what commits late. Therefore rows get their place when they are first read, by one
-- reader of the account at a time: places grow in the order in which rows became visible, and nothing ever appears below one that was given out.
CREATE TABLE events (
    account_id uuid NOT NULL,
    event_id uuid NOT NULL,
    type text NOT NULL CHECK (type ~ '^[a-z_]{1,32}\.[a-z_]{1,32}$'),
    test boolean NOT NULL,
    message_id uuid,
    number smallint,
    sender_id uuid,
    endpoint_id uuid,
    -- A message's failure, a sender's state code, an endpoint's reason. Checked where they come from: nothing here may stop a message.
    code text,
    at timestamptz NOT NULL,
    written bigint GENERATED ALWAYS AS IDENTITY,
    place bigint,
    PRIMARY KEY (account_id, event_id)
);
CREATE INDEX events_unplaced ON events (account_id, written) WHERE place IS NULL;
CREATE INDEX events_place ON events (account_id, place) WHERE place IS NOT NULL;
CREATE INDEX events_at ON events (at);

CREATE TABLE webhook_endpoints (
    account_id uuid NOT NULL REFERENCES accounts,
    endpoint_id uuid NOT NULL,
    -- Test endpoints get events of test things, the others get the rest.
    test boolean NOT NULL,
    -- verifying: the URL has not proved yet that it wants this. deleted: the row goes when its deliveries are gone.
    state text NOT NULL CHECK (state IN ('verifying', 'enabled', 'disabled', 'deleted')),
    disabled_reason text CHECK (disabled_reason ~ '^[a-z_]{1,32}$'),
    url_sealed bytea,
    description_sealed bytea,
    -- NULL: all, those of later versions too.
    types text[],
    include_recipient boolean NOT NULL,
    signing text NOT NULL CHECK (signing IN ('symmetric', 'ed25519')),
    secret_sealed bytea,
    -- Signs too, until then.
    previous_sealed bytea,
    previous_until timestamptz,
    -- The event whose answer makes a verifying endpoint an enabled one.
    verification_id uuid,
    created_at timestamptz NOT NULL,
    -- Failed attempts since the last success, and since when.
    failures integer NOT NULL DEFAULT 0,
    failing_since timestamptz,
    -- How many times the account has been told of it.
    notices smallint NOT NULL DEFAULT 0,
    -- Nothing is sent before.
    paused_until timestamptz NOT NULL DEFAULT '-infinity',
    tested_at timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (account_id, endpoint_id),
    CHECK ((state = 'disabled') = (disabled_reason IS NOT NULL)),
    CHECK ((state = 'deleted') = (url_sealed IS NULL)),
    CHECK ((state = 'deleted') = (secret_sealed IS NULL)),
    CHECK ((previous_sealed IS NULL) = (previous_until IS NULL)),
    CHECK ((failures = 0) = (failing_since IS NULL))
) WITH (fillfactor = 60);
CREATE INDEX webhook_endpoints_ended ON webhook_endpoints (account_id, endpoint_id) WHERE state IN ('disabled', 'deleted');
CREATE INDEX webhook_endpoints_rotated ON webhook_endpoints (previous_until) WHERE previous_until IS NOT NULL;

-- One row per event and endpoint: due to be sent, or what became of it. A claim is a due time in the future with `claimed`: when it passes without an
-- outcome the row is due again, by itself.
CREATE TABLE event_queue (
    account_id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    event_id uuid NOT NULL,
    type text NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead')),
    due_at timestamptz NOT NULL,
    claimed boolean NOT NULL DEFAULT false,
    -- All of them; and those since it was queued or replayed, for the schedule.
    attempts integer NOT NULL DEFAULT 0,
    tries integer NOT NULL DEFAULT 0,
    -- The last attempt's: HTTP status, or why there was none.
    status smallint,
    code text CHECK (code ~ '^[a-z_]{1,32}$'),
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    PRIMARY KEY (account_id, endpoint_id, event_id),
    CHECK ((state = 'pending') = (finished_at IS NULL)),
    CHECK (state = 'pending' OR NOT claimed)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX event_queue_due ON event_queue (account_id, endpoint_id, due_at) WHERE state = 'pending';
CREATE INDEX event_queue_claimed ON event_queue (account_id, endpoint_id) WHERE claimed;
CREATE INDEX event_queue_delivered ON event_queue (finished_at) WHERE state = 'delivered';
CREATE INDEX event_queue_dead ON event_queue (finished_at) WHERE state = 'dead';
CREATE INDEX event_queue_created ON event_queue (created_at) WHERE state = 'pending';

-- Each time that a delivery was tried. Status, code and duration; nothing of what was sent or answered.
CREATE TABLE webhook_attempts (
    account_id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    event_id uuid NOT NULL,
    attempt integer NOT NULL,
    at timestamptz NOT NULL,
    duration_ms integer NOT NULL,
    status smallint,
    code text CHECK (code ~ '^[a-z_]{1,32}$'),
    PRIMARY KEY (account_id, endpoint_id, event_id, attempt)
);

-- What a replay was answered, for those who ask again under the same idempotency key.
CREATE TABLE event_replays (
    account_id uuid NOT NULL,
    replay_id uuid NOT NULL,
    queued integer NOT NULL,
    -- Where the next one goes on; NULL: it was all.
    next_event uuid,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, replay_id)
);
CREATE INDEX event_replays_created ON event_replays (created_at);

CALL gateway_isolate('event_subscribers');
CALL gateway_isolate('events');
CALL gateway_isolate('webhook_endpoints');
CALL gateway_isolate('event_queue');
CALL gateway_isolate('webhook_attempts');
CALL gateway_isolate('event_replays');

GRANT SELECT, INSERT, UPDATE ON event_subscribers, webhook_endpoints, event_queue TO gateway_api;
GRANT SELECT ON events, webhook_attempts TO gateway_api;
GRANT UPDATE (place) ON events TO gateway_api;
GRANT SELECT, INSERT ON event_replays TO gateway_api;
GRANT SELECT, UPDATE ON webhook_endpoints, event_queue TO gateway_engine;
GRANT SELECT ON events TO gateway_engine;
GRANT SELECT, INSERT ON webhook_attempts TO gateway_engine;

-- Rows of message_events become events, and deliveries for every enabled endpoint that wants them. Nothing for an account that is closing.
CREATE FUNCTION gateway_publish_message_events() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM added n JOIN event_subscribers s ON s.account_id = n.account_id) THEN
        RETURN NULL;
    END IF;
    WITH logged AS (
        INSERT INTO events (account_id, event_id, type, test, message_id, number, sender_id, code, at)
        SELECT n.account_id, n.event_id, 'message.' || n.kind, m.test, n.message_id, n.number, m.sender_id, n.failure_code, n.at
        FROM added n
        JOIN event_subscribers s ON s.account_id = n.account_id
        JOIN accounts a ON a.account_id = n.account_id AND a.state = 'active'
        JOIN messages m ON m.account_id = n.account_id AND m.message_id = n.message_id
        ORDER BY n.account_id, n.message_id, n.number
        ON CONFLICT DO NOTHING
        RETURNING account_id, event_id, type, test, at
    )
    INSERT INTO event_queue (account_id, endpoint_id, event_id, type, due_at, created_at)
    SELECT l.account_id, e.endpoint_id, l.event_id, l.type, l.at, l.at
    FROM logged l
    JOIN webhook_endpoints e ON e.account_id = l.account_id
    WHERE e.state = 'enabled' AND e.test = l.test AND (e.types IS NULL OR l.type = ANY (e.types));
    RETURN NULL;
END
$$;
-- On the parent, so not when a partition's rows are moved.
CREATE TRIGGER message_events_published AFTER INSERT ON message_events REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION gateway_publish_message_events();

-- Publishes an event that is no message's. Nothing for an account without a log, or one that is closing.
CREATE FUNCTION gateway_publish(target uuid, event uuid, kind text, is_test boolean, sender uuid, endpoint uuid, why text, moment timestamptz)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    WITH logged AS (
        INSERT INTO events (account_id, event_id, type, test, sender_id, endpoint_id, code, at)
        SELECT s.account_id, event, kind, is_test, sender, endpoint, why, moment
        FROM event_subscribers s
        JOIN accounts a ON a.account_id = s.account_id AND a.state = 'active'
        WHERE s.account_id = target
        ON CONFLICT DO NOTHING
        RETURNING account_id, event_id, type, test, at
    )
    INSERT INTO event_queue (account_id, endpoint_id, event_id, type, due_at, created_at)
    SELECT l.account_id, e.endpoint_id, l.event_id, l.type, l.at, l.at
    FROM logged l
    JOIN webhook_endpoints e ON e.account_id = l.account_id
    WHERE e.state = 'enabled' AND e.test = l.test AND (e.types IS NULL OR l.type = ANY (e.types))
      -- Nobody is told of himself.
      AND e.endpoint_id IS DISTINCT FROM endpoint;
END
$$;
GRANT EXECUTE ON FUNCTION gateway_publish(uuid, uuid, text, boolean, uuid, uuid, text, timestamptz) TO gateway_engine;

CREATE FUNCTION gateway_publish_sender_state() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    moment timestamptz := CASE WHEN isfinite(NEW.state_since) THEN NEW.state_since ELSE clock_timestamp() END;
BEGIN
    PERFORM gateway_publish(NEW.account_id, gateway_uuid7(moment), 'sender.' || NEW.state, NEW.test, NEW.sender_id, NULL, NEW.state_code, moment);
    RETURN NULL;
END
$$;
CREATE TRIGGER senders_published AFTER UPDATE OF state ON senders FOR EACH ROW
    WHEN (OLD.state IS DISTINCT FROM NEW.state AND isfinite(NEW.state_since))
    EXECUTE FUNCTION gateway_publish_sender_state();

-- Looks at up to `most` endpoints with pending deliveries, in order after (`after_account`, `after_endpoint`), at one delivery of each; a backlog
-- costs nothing. `ready`: something of it may be sent now.
CREATE FUNCTION gateway_due_endpoints(after_account uuid, after_endpoint uuid, moment timestamptz, most integer)
RETURNS TABLE (account_id uuid, endpoint_id uuid, ready boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    WITH RECURSIVE waiting AS (
        SELECT first.account_id, first.endpoint_id, first.due_at, 1 AS place
        FROM (SELECT q.account_id, q.endpoint_id, q.due_at FROM event_queue q
            WHERE q.state = 'pending' AND (q.account_id, q.endpoint_id) > (after_account, after_endpoint)
            ORDER BY q.account_id, q.endpoint_id, q.due_at LIMIT 1) AS first
        UNION ALL
        SELECT next.account_id, next.endpoint_id, next.due_at, waiting.place + 1
        FROM waiting
        CROSS JOIN LATERAL (SELECT q.account_id, q.endpoint_id, q.due_at FROM event_queue q
            WHERE q.state = 'pending' AND (q.account_id, q.endpoint_id) > (waiting.account_id, waiting.endpoint_id)
            ORDER BY q.account_id, q.endpoint_id, q.due_at LIMIT 1) AS next
        WHERE waiting.place < most
    )
    SELECT w.account_id, w.endpoint_id,
        coalesce(w.due_at <= moment AND e.paused_until <= moment AND e.state IN ('verifying', 'enabled') AND a.state = 'active', false)
    FROM waiting w
    LEFT JOIN webhook_endpoints e ON e.account_id = w.account_id AND e.endpoint_id = w.endpoint_id
    LEFT JOIN accounts a ON a.account_id = w.account_id
    ORDER BY w.account_id, w.endpoint_id
$$;
GRANT EXECUTE ON FUNCTION gateway_due_endpoints(uuid, uuid, timestamptz, integer) TO gateway_engine;

-- What endpoints leave behind: pending deliveries of a disabled one are dead, a deleted one's rows go, and it with the last of them. At most
-- `most` rows of each kind per call; returns how many changed.
CREATE FUNCTION gateway_settle_webhooks(moment timestamptz, most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    ended record;
    part bigint;
    rest bigint;
    changed bigint := 0;
BEGIN
    FOR ended IN
        SELECT e.account_id, e.endpoint_id, e.state
        FROM webhook_endpoints e
        WHERE e.state = 'deleted' OR e.state = 'disabled' AND EXISTS (
            SELECT FROM event_queue q WHERE q.account_id = e.account_id AND q.endpoint_id = e.endpoint_id AND q.state = 'pending')
        ORDER BY e.account_id, e.endpoint_id
        LIMIT 100
        FOR NO KEY UPDATE OF e SKIP LOCKED
    LOOP
        IF ended.state = 'disabled' THEN
            UPDATE event_queue q SET state = 'dead', finished_at = moment, claimed = false, code = coalesce(q.code, 'endpoint_disabled')
            WHERE q.account_id = ended.account_id AND q.endpoint_id = ended.endpoint_id AND q.event_id IN
                (SELECT p.event_id FROM event_queue p
                 WHERE p.account_id = ended.account_id AND p.endpoint_id = ended.endpoint_id AND p.state = 'pending' LIMIT most);
            GET DIAGNOSTICS part = ROW_COUNT;
        ELSE
            DELETE FROM webhook_attempts t WHERE t.account_id = ended.account_id AND t.endpoint_id = ended.endpoint_id AND (t.event_id, t.attempt) IN
                (SELECT p.event_id, p.attempt FROM webhook_attempts p
                 WHERE p.account_id = ended.account_id AND p.endpoint_id = ended.endpoint_id LIMIT most);
            GET DIAGNOSTICS part = ROW_COUNT;
            DELETE FROM event_queue q WHERE q.account_id = ended.account_id AND q.endpoint_id = ended.endpoint_id AND q.event_id IN
                (SELECT p.event_id FROM event_queue p WHERE p.account_id = ended.account_id AND p.endpoint_id = ended.endpoint_id LIMIT most);
            GET DIAGNOSTICS rest = ROW_COUNT;
            part := part + rest;
            IF part = 0 THEN
                DELETE FROM webhook_endpoints e WHERE e.account_id = ended.account_id AND e.endpoint_id = ended.endpoint_id;
                part := 1;
            END IF;
        END IF;
        changed := changed + part;
        EXIT WHEN changed >= most;
    END LOOP;
    RETURN changed;
END
$$;
GRANT EXECUTE ON FUNCTION gateway_settle_webhooks(timestamptz, integer) TO gateway_engine;

-- Deletes what is past its time in the tables of events and webhooks, at most `most` rows of each kind per call.
CREATE FUNCTION gateway_sweep_webhooks(kind text, moment timestamptz, most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    gone bigint;
BEGIN
    CASE kind
        WHEN 'webhook_deliveries_done', 'webhook_deliveries_dead' THEN
            WITH old AS MATERIALIZED (
                SELECT q.account_id, q.endpoint_id, q.event_id FROM event_queue q
                WHERE q.finished_at <= moment
                  AND CASE kind WHEN 'webhook_deliveries_done' THEN q.state = 'delivered' ELSE q.state = 'dead' END
                ORDER BY q.finished_at
                LIMIT most
            ),
            tries AS (
                DELETE FROM webhook_attempts t USING old
                WHERE t.account_id = old.account_id AND t.endpoint_id = old.endpoint_id AND t.event_id = old.event_id
            )
            DELETE FROM event_queue q USING old
            WHERE q.account_id = old.account_id AND q.endpoint_id = old.endpoint_id AND q.event_id = old.event_id AND q.state <> 'pending';
        WHEN 'webhook_deliveries_stuck' THEN
            UPDATE event_queue q SET state = 'dead', finished_at = q.created_at + interval '7 days', claimed = false, code = coalesce(q.code, 'too_old')
            WHERE (q.account_id, q.endpoint_id, q.event_id) IN
                (SELECT p.account_id, p.endpoint_id, p.event_id FROM event_queue p
                 WHERE p.state = 'pending' AND NOT p.claimed AND p.created_at <= moment ORDER BY p.created_at LIMIT most);
        WHEN 'webhook_secrets' THEN
            UPDATE webhook_endpoints e SET previous_sealed = NULL, previous_until = NULL WHERE e.previous_until <= moment;
        WHEN 'events' THEN
            DELETE FROM events e WHERE (e.account_id, e.event_id) IN
                (SELECT p.account_id, p.event_id FROM events p WHERE p.at <= moment ORDER BY p.at LIMIT most);
        WHEN 'event_replays' THEN
            DELETE FROM event_replays r WHERE r.created_at <= moment;
        WHEN 'event_subscribers' THEN
            DELETE FROM event_subscribers s
            WHERE s.asked_at <= moment AND NOT EXISTS (SELECT FROM webhook_endpoints e WHERE e.account_id = s.account_id);
    END CASE;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$$;
GRANT EXECUTE ON FUNCTION gateway_sweep_webhooks(text, timestamptz, integer) TO gateway_cron;

-- As before, but what is kept goes into the default partition by name: inserted through the parent, old events would be published again.
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
                parent || '_default', part.name);
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

RESET ROLE;
