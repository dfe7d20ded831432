-- Many senders: what may be sent from where and how fast, how each sender fares, and who was written to from where.
SET LOCAL ROLE gateway_schema;

-- Limits as the account set them; what is absent has its default (SendingLimits in Domain reads and checks them).
ALTER TABLE senders ADD COLUMN limits jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(limits) = 'object');
ALTER TABLE pools ADD COLUMN limits jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(limits) = 'object');
ALTER TABLE pools DROP CONSTRAINT pools_policy_check;
ALTER TABLE pools ADD CONSTRAINT pools_policy_check
    CHECK (policy IN ('sticky', 'round_robin', 'weighted', 'least_busy', 'priority', 'random', 'prefix'));
ALTER TABLE pool_members ADD COLUMN weight integer NOT NULL DEFAULT 1 CHECK (weight BETWEEN 0 AND 1000);
ALTER TABLE pool_members ADD COLUMN prefixes text[] NOT NULL DEFAULT '{}';

-- What a sender has sent in its running windows (UTC second, minute, hour, day). One row, debited in the transaction that puts a message on
-- the wire; a window that is over counts as empty.
CREATE TABLE sender_usage (
    account_id uuid NOT NULL,
    sender_id uuid NOT NULL,
    second_start timestamptz NOT NULL DEFAULT '-infinity',
    second_used integer NOT NULL DEFAULT 0,
    minute_start timestamptz NOT NULL DEFAULT '-infinity',
    minute_used integer NOT NULL DEFAULT 0,
    hour_start timestamptz NOT NULL DEFAULT '-infinity',
    hour_used integer NOT NULL DEFAULT 0,
    day_start timestamptz NOT NULL DEFAULT '-infinity',
    day_used integer NOT NULL DEFAULT 0,
    new_recipients_used integer NOT NULL DEFAULT 0,
    -- The gap after the last message ends then.
    next_at timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (account_id, sender_id),
    FOREIGN KEY (account_id, sender_id) REFERENCES senders
) WITH (fillfactor = 50);

-- The same for a pool as a whole; only pools with limits have a row.
CREATE TABLE pool_usage (
    account_id uuid NOT NULL,
    pool_id uuid NOT NULL,
    second_start timestamptz NOT NULL DEFAULT '-infinity',
    second_used integer NOT NULL DEFAULT 0,
    minute_start timestamptz NOT NULL DEFAULT '-infinity',
    minute_used integer NOT NULL DEFAULT 0,
    hour_start timestamptz NOT NULL DEFAULT '-infinity',
    hour_used integer NOT NULL DEFAULT 0,
    day_start timestamptz NOT NULL DEFAULT '-infinity',
    day_used integer NOT NULL DEFAULT 0,
    new_recipients_used integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (account_id, pool_id),
    FOREIGN KEY (account_id, pool_id) REFERENCES pools ON DELETE CASCADE
) WITH (fillfactor = 50);

-- What holds a connected sender back: a pause of everything, a pause of new chats only, a demotion. Each ends by itself.
CREATE TABLE sender_health (
    account_id uuid NOT NULL,
    sender_id uuid NOT NULL,
    paused_until timestamptz NOT NULL DEFAULT '-infinity',
    pause_code text CHECK (pause_code ~ '^[a-z0-9_]{1,64}$'),
    pause_level smallint NOT NULL DEFAULT 0,
    new_chats_until timestamptz NOT NULL DEFAULT '-infinity',
    new_chats_code text CHECK (new_chats_code ~ '^[a-z0-9_]{1,64}$'),
    new_chats_level smallint NOT NULL DEFAULT 0,
    demoted_until timestamptz NOT NULL DEFAULT '-infinity',
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, sender_id),
    FOREIGN KEY (account_id, sender_id) REFERENCES senders
);

-- Whom a sender has written to: a recipient with a row is warm for it, one without is cold. A refusal as a new chat (463) is for ever.
CREATE TABLE sender_recipients (
    account_id uuid NOT NULL,
    recipient_index bytea NOT NULL CHECK (length(recipient_index) = 16),
    sender_id uuid NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    refused_at timestamptz,
    PRIMARY KEY (account_id, recipient_index, sender_id)
);
CREATE INDEX sender_recipients_last ON sender_recipients (last_at);

-- The message's own wishes.
ALTER TABLE messages ADD COLUMN send_at timestamptz;
ALTER TABLE messages ADD COLUMN fail_fast boolean NOT NULL DEFAULT false;
ALTER TABLE messages ADD COLUMN store text NOT NULL DEFAULT 'default' CHECK (store IN ('default', 'none'));
ALTER TABLE messages ADD COLUMN moves smallint NOT NULL DEFAULT 0;
-- false: the caller named the sender. The others may be moved while nothing has left.
ALTER TABLE outbox ADD COLUMN movable boolean NOT NULL DEFAULT false;
ALTER TABLE outbox ADD COLUMN fail_fast boolean NOT NULL DEFAULT false;
-- Senders that refused it, or that it was moved away from for good.
ALTER TABLE outbox ADD COLUMN excluded uuid[] NOT NULL DEFAULT '{}';
-- When somebody last looked for a better sender.
ALTER TABLE outbox ADD COLUMN route_checked_at timestamptz NOT NULL DEFAULT '-infinity';
CREATE INDEX outbox_scheduled ON outbox (due_at) WHERE state = 'scheduled';

ALTER TABLE message_events DROP CONSTRAINT message_events_kind_check;
ALTER TABLE message_events ADD CONSTRAINT message_events_kind_check CHECK (kind IN ('scheduled', 'queued', 'rerouted', 'sending', 'retrying',
    'sent', 'delivered', 'read', 'failed', 'expired', 'canceled', 'unconfirmed'));

-- Where the time of an attempt went; the wait in the queue is from due to claimed, the acknowledgement's from wire_at to ended_at.
ALTER TABLE message_attempts ADD COLUMN due_at timestamptz;
ALTER TABLE message_attempts ADD COLUMN claimed_at timestamptz;
ALTER TABLE message_attempts ADD COLUMN resolve_ms integer;
ALTER TABLE message_attempts ADD COLUMN encrypt_ms integer;
ALTER TABLE message_attempts ADD COLUMN commit_ms integer;
ALTER TABLE message_attempts ADD COLUMN receipt_at timestamptz;
-- When the present claim was made.
ALTER TABLE outbox ADD COLUMN claimed_at timestamptz;

-- A claim concerns the queue only: `prepared` stands in `outbox` and nowhere else, so a message goes from accepted to on_wire.
CREATE FUNCTION gateway_message_transition_allowed(old_state text, new_state text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE old_state
    WHEN 'scheduled' THEN new_state IN ('accepted', 'canceled', 'expired', 'failed')
    WHEN 'hold' THEN new_state IN ('accepted', 'canceled', 'expired')
    WHEN 'accepted' THEN new_state IN ('on_wire', 'canceled', 'expired', 'failed')
    WHEN 'on_wire' THEN new_state IN ('on_wire', 'accepted', 'sent', 'delivered', 'read', 'failed', 'unconfirmed')
    WHEN 'sent' THEN new_state IN ('delivered', 'read')
    WHEN 'delivered' THEN new_state = 'read'
    WHEN 'unconfirmed' THEN new_state IN ('delivered', 'read')
    ELSE false
END;
GRANT EXECUTE ON FUNCTION gateway_message_transition_allowed(text, text) TO gateway_api, gateway_engine, gateway_cron;

CALL gateway_isolate('sender_usage');
CALL gateway_isolate('pool_usage');
CALL gateway_isolate('sender_health');
CALL gateway_isolate('sender_recipients');

GRANT SELECT ON sender_usage, pool_usage, sender_health, sender_recipients TO gateway_api;
GRANT SELECT, INSERT, UPDATE ON sender_usage, pool_usage, sender_health, sender_recipients TO gateway_engine;
GRANT DELETE ON pools, pool_usage TO gateway_api;
GRANT SELECT ON api_keys TO gateway_engine;

RESET ROLE;
