-- Messages and what belongs to them, partitioned by time through the UUIDv7 of the message, so that retention drops a partition.
-- No foreign keys between partitioned tables (they would make dropping one scan the others) nor from hot rows to accounts
-- or senders (each insert would lock that row); closing walks the catalogue instead.
SET LOCAL ROLE gateway_schema;

-- The machine of reliability.md section 2.4: every pair not listed is refused, whoever writes.
CREATE FUNCTION gateway_transition_allowed(old_state text, new_state text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE old_state
    WHEN 'scheduled' THEN new_state IN ('accepted', 'canceled', 'expired', 'failed')
    WHEN 'hold' THEN new_state IN ('accepted', 'canceled', 'expired')
    WHEN 'accepted' THEN new_state IN ('prepared', 'canceled', 'expired', 'failed')
    WHEN 'prepared' THEN new_state IN ('accepted', 'on_wire', 'canceled', 'expired', 'failed')
    WHEN 'on_wire' THEN new_state IN ('on_wire', 'accepted', 'sent', 'delivered', 'read', 'failed', 'unconfirmed')
    WHEN 'sent' THEN new_state IN ('delivered', 'read')
    WHEN 'delivered' THEN new_state = 'read'
    WHEN 'unconfirmed' THEN new_state IN ('delivered', 'read')
    ELSE false
END;
GRANT EXECUTE ON FUNCTION gateway_transition_allowed(text, text) TO gateway_api, gateway_engine, gateway_cron;

CREATE FUNCTION gateway_refuse_transition() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION 'message state transition refused' USING ERRCODE = 'check_violation', CONSTRAINT = 'message_transition';
END
$$;

CREATE TABLE messages (
    account_id uuid NOT NULL,
    message_id uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('scheduled', 'hold', 'accepted', 'prepared', 'on_wire', 'sent', 'delivered', 'read', 'failed',
        'expired', 'canceled', 'unconfirmed')),
    test boolean NOT NULL,
    sender_id uuid NOT NULL,
    pool_id uuid,
    policy text NOT NULL,
    route_reason text NOT NULL,
    key_id uuid,
    priority smallint NOT NULL,
    recipient_sealed bytea NOT NULL,
    recipient_index bytea NOT NULL CHECK (length(recipient_index) = 16),
    reference_sealed bytea,
    reference_index bytea CHECK (length(reference_index) = 16),
    metadata_sealed bytea,
    send_nonce bytea NOT NULL CHECK (length(send_nonce) = 16),
    wire_id text NOT NULL,
    attempts smallint NOT NULL DEFAULT 0,
    refusals smallint NOT NULL DEFAULT 0,
    events smallint NOT NULL DEFAULT 1,
    failure_code text,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    wire_at timestamptz,
    sent_at timestamptz,
    delivered_at timestamptz,
    read_at timestamptz,
    settled_at timestamptz,
    PRIMARY KEY (account_id, message_id),
    CHECK (events > 0)
) PARTITION BY RANGE (message_id);
CREATE INDEX messages_recipient ON messages (account_id, recipient_index, message_id);
CREATE INDEX messages_reference ON messages (account_id, reference_index, message_id) WHERE reference_index IS NOT NULL;

CREATE TABLE message_bodies (
    account_id uuid NOT NULL,
    message_id uuid NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (account_id, message_id)
) PARTITION BY RANGE (message_id);

-- The serialised message as it was encrypted, for retry receipts; as long as the body.
CREATE TABLE sent_messages (
    account_id uuid NOT NULL,
    message_id uuid NOT NULL,
    sender_id uuid NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (account_id, message_id, sender_id)
) PARTITION BY RANGE (message_id);

CREATE TABLE message_events (
    account_id uuid NOT NULL,
    message_id uuid NOT NULL,
    number smallint NOT NULL,
    event_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('scheduled', 'queued', 'sending', 'retrying', 'sent', 'delivered', 'read', 'failed', 'expired',
        'canceled', 'unconfirmed')),
    failure_code text,
    at timestamptz NOT NULL,
    PRIMARY KEY (account_id, message_id, number)
) PARTITION BY RANGE (message_id);

CREATE TABLE message_attempts (
    account_id uuid NOT NULL,
    message_id uuid NOT NULL,
    attempt smallint NOT NULL,
    sender_id uuid NOT NULL,
    epoch bigint NOT NULL,
    wire_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('acknowledged', 'refused', 'unknown', 'received')),
    server_code integer,
    PRIMARY KEY (account_id, message_id, attempt)
) PARTITION BY RANGE (message_id);

-- Messages that are due to be sent, and those whose outcome is open. A settled message has no row here.
CREATE TABLE outbox (
    account_id uuid NOT NULL,
    message_id uuid NOT NULL,
    sender_id uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('scheduled', 'hold', 'accepted', 'prepared', 'on_wire')),
    priority smallint NOT NULL,
    due_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    at_most_once boolean NOT NULL,
    preview_url boolean NOT NULL,
    wire_id text NOT NULL,
    epoch bigint NOT NULL DEFAULT 0,
    -- prepared: until when the claim holds. on_wire: when the acknowledgement is overdue.
    deadline timestamptz,
    claims smallint NOT NULL DEFAULT 0,
    attempts smallint NOT NULL DEFAULT 0,
    refusals smallint NOT NULL DEFAULT 0,
    wire_at timestamptz,
    PRIMARY KEY (account_id, message_id),
    CHECK ((state IN ('prepared', 'on_wire')) = (deadline IS NOT NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
-- Claiming walks only what can be claimed.
CREATE INDEX outbox_claimable ON outbox (account_id, sender_id, priority, due_at, message_id) WHERE state = 'accepted';
CREATE INDEX outbox_on_wire ON outbox (account_id, sender_id, deadline) WHERE state = 'on_wire';
-- Sweeping walks only what is overdue.
CREATE INDEX outbox_deadlines ON outbox (deadline) WHERE state IN ('prepared', 'on_wire');
CREATE INDEX outbox_expiries ON outbox (expires_at) WHERE state IN ('scheduled', 'hold', 'accepted');

-- Unique across partitions: a sender never uses an id twice.
CREATE TABLE wire_ids (
    account_id uuid NOT NULL,
    sender_id uuid NOT NULL,
    wire_id text NOT NULL,
    message_id uuid NOT NULL,
    PRIMARY KEY (account_id, sender_id, wire_id)
);
CREATE INDEX wire_ids_message ON wire_ids (message_id);

-- Keyed hashes of the client's key and of the request; neither can be read back. The resource is what the first request made.
CREATE TABLE idempotency (
    account_id uuid NOT NULL,
    key_index bytea NOT NULL CHECK (length(key_index) = 16),
    fingerprint bytea NOT NULL CHECK (length(fingerprint) = 16),
    resource_id uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, key_index)
);
CREATE INDEX idempotency_expires ON idempotency (expires_at);

CREATE TRIGGER messages_transition BEFORE UPDATE OF state ON messages FOR EACH ROW
    WHEN (NOT gateway_transition_allowed(OLD.state, NEW.state)
        OR OLD.state = 'on_wire' AND NEW.state = 'accepted' AND NEW.refusals <= OLD.refusals)
    EXECUTE FUNCTION gateway_refuse_transition();
CREATE TRIGGER messages_start BEFORE INSERT ON messages FOR EACH ROW
    WHEN (NEW.state NOT IN ('scheduled', 'accepted'))
    EXECUTE FUNCTION gateway_refuse_transition();
CREATE TRIGGER outbox_transition BEFORE UPDATE OF state ON outbox FOR EACH ROW
    WHEN (NOT gateway_transition_allowed(OLD.state, NEW.state)
        OR OLD.state = 'on_wire' AND NEW.state = 'accepted' AND NEW.refusals <= OLD.refusals)
    EXECUTE FUNCTION gateway_refuse_transition();
CREATE TRIGGER outbox_start BEFORE INSERT ON outbox FOR EACH ROW
    WHEN (NEW.state NOT IN ('scheduled', 'accepted'))
    EXECUTE FUNCTION gateway_refuse_transition();

CALL gateway_isolate('messages');
CALL gateway_isolate('message_bodies');
CALL gateway_isolate('sent_messages');
CALL gateway_isolate('message_events');
CALL gateway_isolate('message_attempts');
CALL gateway_isolate('outbox');
CALL gateway_isolate('wire_ids');
CALL gateway_isolate('idempotency');

GRANT SELECT, INSERT ON messages, message_bodies, message_events, outbox, wire_ids, idempotency TO gateway_api;
GRANT SELECT ON message_attempts TO gateway_api;
GRANT UPDATE ON messages, idempotency TO gateway_api;
GRANT DELETE ON outbox TO gateway_api;
GRANT UPDATE (state) ON outbox TO gateway_api;
GRANT SELECT ON messages, message_bodies, sent_messages, message_events, message_attempts, outbox, wire_ids TO gateway_engine;
GRANT INSERT ON message_events, message_attempts, sent_messages TO gateway_engine;
GRANT UPDATE ON messages, outbox, sent_messages, message_attempts TO gateway_engine;
GRANT DELETE ON outbox, sent_messages TO gateway_engine;

RESET ROLE;
