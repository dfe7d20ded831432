-- Alerts: what is wrong or has happened, whom it is told, and what became of that. Status, codes, counts and ids; never a body, never a recipient.
--
-- One watcher at a time, on whichever node takes the lock, steps every few seconds: facts → conditions → alerts → notices, in one transaction. All
-- that it remembers stands in rows, so a restart neither repeats nor forgets.
SET LOCAL ROLE gateway_schema;

-- Only what people have set; the defaults stand in Domain.
CREATE TABLE alert_rules (
    account_id uuid NOT NULL REFERENCES accounts,
    kind text NOT NULL CHECK (kind ~ '^[a-z_]{1,32}$'),
    enabled boolean NOT NULL,
    severity text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    -- Seconds.
    open_after integer NOT NULL CHECK (open_after BETWEEN 0 AND 86400),
    clear_after integer NOT NULL CHECK (clear_after BETWEEN 0 AND 86400),
    share double precision CHECK (share BETWEEN 0.01 AND 1),
    minimum integer CHECK (minimum BETWEEN 1 AND 100000),
    age integer CHECK (age BETWEEN 60 AND 604800),
    -- NULL: never.
    escalate_after integer CHECK (escalate_after BETWEEN 60 AND 86400),
    PRIMARY KEY (account_id, kind)
);

-- Telegram chats and e-mail addresses. An unlinked one has no row.
CREATE TABLE alert_channels (
    account_id uuid NOT NULL REFERENCES accounts,
    channel_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('telegram', 'email')),
    state text NOT NULL CHECK (state IN ('unverified', 'active', 'blocked')),
    state_code text CHECK (state_code ~ '^[a-z0-9_]{1,64}$'),
    address_sealed bytea NOT NULL,
    -- Under a subkey of the whole gateway: who writes from a chat says nothing about an account.
    address_index bytea NOT NULL CHECK (length(address_index) = 16),
    language text NOT NULL CHECK (language IN ('en', 'id')),
    minimum_severity text NOT NULL CHECK (minimum_severity IN ('info', 'warning', 'critical')),
    -- NULL: all, those of later versions too.
    kinds text[],
    -- Minutes after midnight in `zone`.
    quiet_from smallint CHECK (quiet_from BETWEEN 0 AND 1439),
    quiet_to smallint CHECK (quiet_to BETWEEN 0 AND 1439),
    zone text NOT NULL CHECK (zone ~ '^[A-Za-z0-9_+/-]{1,64}$'),
    digest_hour smallint CHECK (digest_hour BETWEEN 0 AND 23),
    self_test boolean NOT NULL,
    escalation_only boolean NOT NULL,
    muted_until timestamptz,
    created_at timestamptz NOT NULL,
    activated_at timestamptz,
    last_success_at timestamptz,
    -- The Telegram link that the chat has used, and until when that waits for its confirmation.
    link_id uuid,
    confirm_until timestamptz,
    -- The token of the last verification that was sent to an e-mail address.
    token_index bytea CHECK (length(token_index) = 16),
    token_until timestamptz,
    -- When somebody last asked for a verification or a test.
    asked_at timestamptz NOT NULL DEFAULT '-infinity',
    -- When the next ones are due.
    digest_at timestamptz,
    self_test_at timestamptz,
    -- What was told last, so that the next time comes no sooner than it should: of the account, and of the gateway.
    fired_at timestamptz NOT NULL DEFAULT '-infinity',
    fired_kinds text[] NOT NULL DEFAULT '{}',
    cleared_at timestamptz NOT NULL DEFAULT '-infinity',
    gateway_fired_at timestamptz NOT NULL DEFAULT '-infinity',
    gateway_fired_kinds text[] NOT NULL DEFAULT '{}',
    gateway_cleared_at timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (account_id, channel_id),
    UNIQUE (account_id, address_index),
    CHECK ((quiet_from IS NULL) = (quiet_to IS NULL)),
    CHECK ((token_index IS NULL) = (token_until IS NULL)),
    CHECK (state <> 'active' OR activated_at IS NOT NULL)
) WITH (fillfactor = 70);
CREATE INDEX alert_channels_address ON alert_channels (address_index);
CREATE INDEX alert_channels_token ON alert_channels (token_index) WHERE token_index IS NOT NULL;
CREATE INDEX alert_channels_digest ON alert_channels (digest_at) WHERE state = 'active' AND digest_at IS NOT NULL;
CREATE INDEX alert_channels_self_test ON alert_channels (self_test_at) WHERE state = 'active' AND self_test_at IS NOT NULL;

-- Tokens that no chat has used yet, as keyed hashes.
CREATE TABLE telegram_links (
    account_id uuid NOT NULL REFERENCES accounts,
    link_id uuid NOT NULL,
    token_index bytea NOT NULL CHECK (length(token_index) = 16),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, link_id)
);
CREATE INDEX telegram_links_token ON telegram_links (token_index);
CREATE INDEX telegram_links_expires ON telegram_links (expires_at);

-- What people read. Open until it holds for none of its subjects.
CREATE TABLE alerts (
    account_id uuid NOT NULL REFERENCES accounts,
    alert_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind ~ '^[a-z_]{1,32}$'),
    severity text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    -- The first twenty; senders, endpoints, keys, channels, as the kind says.
    subject_ids uuid[] NOT NULL CHECK (cardinality(subject_ids) <= 20),
    subject_count integer NOT NULL CHECK (subject_count > 0),
    open_count integer NOT NULL CHECK (open_count BETWEEN 0 AND subject_count),
    figures jsonb NOT NULL CHECK (jsonb_typeof(figures) = 'object'),
    opened_at timestamptz NOT NULL,
    cleared_at timestamptz,
    ending text CHECK (ending IN ('recovered', 'gone', 'acknowledged', 'expired', 'disabled')),
    acknowledged_at timestamptz,
    -- An API key, or the channel in whose chat it was done.
    acknowledged_key uuid,
    acknowledged_channel uuid,
    silenced_until timestamptz,
    -- Seconds after opened_at; NULL: never.
    escalate_after integer,
    escalated_at timestamptz,
    -- Nothing more is to be told of it.
    done boolean NOT NULL DEFAULT false,
    PRIMARY KEY (account_id, alert_id),
    CHECK ((cleared_at IS NULL) = (ending IS NULL)),
    CHECK ((cleared_at IS NULL) = (open_count > 0)),
    CHECK (NOT done OR cleared_at IS NOT NULL)
) WITH (fillfactor = 80);
CREATE INDEX alerts_undone ON alerts (account_id, alert_id) WHERE NOT done;
CREATE INDEX alerts_opened ON alerts (account_id, opened_at);
CREATE INDEX alerts_cleared ON alerts (cleared_at) WHERE cleared_at IS NOT NULL;

-- What the watcher remembers of one thing that may be, or is, wrong. Without an alert: seen, and not yet for long enough.
CREATE TABLE alert_conditions (
    account_id uuid NOT NULL REFERENCES accounts,
    kind text NOT NULL CHECK (kind ~ '^[a-z_]{1,32}$'),
    subject_id uuid NOT NULL,
    pending_since timestamptz NOT NULL,
    alert_id uuid,
    open_since timestamptz,
    clear_since timestamptz,
    -- Of something that has happened: when, so that it is told once; and when that was over.
    occurred_at timestamptz,
    ended_at timestamptz,
    PRIMARY KEY (account_id, kind, subject_id),
    CHECK ((alert_id IS NULL) = (open_since IS NULL) OR ended_at IS NOT NULL)
) WITH (fillfactor = 80);

-- What each channel has been told of an alert; gone when the alert is done.
CREATE TABLE alert_tellings (
    account_id uuid NOT NULL,
    alert_id uuid NOT NULL,
    channel_id uuid NOT NULL,
    -- How many subjects it had then.
    subjects integer NOT NULL,
    -- That it is over, too.
    cleared boolean NOT NULL DEFAULT false,
    PRIMARY KEY (account_id, alert_id, channel_id),
    FOREIGN KEY (account_id, alert_id) REFERENCES alerts ON DELETE CASCADE
);

-- One message to one channel: due to be sent, or what became of it. A claim is a due time in the future with `claimed`: when it passes without an
-- outcome the row is due again, by itself.
CREATE TABLE alert_notices (
    account_id uuid NOT NULL REFERENCES accounts,
    notice_id uuid NOT NULL,
    channel_id uuid NOT NULL,
    occasion text NOT NULL CHECK (occasion IN ('fired', 'more', 'cleared', 'escalated', 'digest', 'self_test', 'linked', 'verification')),
    alert_ids uuid[] NOT NULL,
    -- Kinds, ids, codes, counts and times, as they were when it was made: every try says the same.
    content jsonb NOT NULL CHECK (jsonb_typeof(content) = 'object'),
    -- The token of a verification, until it is sent.
    secret_sealed bytea,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sent', 'dead')),
    due_at timestamptz NOT NULL,
    claimed boolean NOT NULL DEFAULT false,
    -- Counts the claims; and the tries, which what is given back costs none of.
    claims integer NOT NULL DEFAULT 0,
    tries integer NOT NULL DEFAULT 0,
    first_tried_at timestamptz,
    -- Sent together with others, under one name.
    batch_id uuid,
    -- The message's number in its chat; the mail's id at the one who sends it.
    telegram_message bigint,
    provider_id text CHECK (length(provider_id) BETWEEN 1 AND 128),
    code text CHECK (code ~ '^[a-z0-9_]{1,64}$'),
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    PRIMARY KEY (account_id, notice_id),
    CHECK ((state = 'pending') = (finished_at IS NULL)),
    CHECK (state = 'pending' OR NOT claimed AND secret_sealed IS NULL)
) WITH (fillfactor = 70);
CREATE INDEX alert_notices_due ON alert_notices (due_at) WHERE state = 'pending';
CREATE INDEX alert_notices_channel ON alert_notices (account_id, channel_id, notice_id);
CREATE INDEX alert_notices_sent ON alert_notices (finished_at) WHERE state = 'sent';
CREATE INDEX alert_notices_dead ON alert_notices (finished_at) WHERE state = 'dead';
CREATE INDEX alert_notices_batch ON alert_notices (batch_id) WHERE state = 'pending' AND batch_id IS NOT NULL;
CREATE INDEX alert_notices_provider ON alert_notices (provider_id) WHERE provider_id IS NOT NULL;

-- What became of messages, one row per statement that told of some, for accounts that have a channel: written beside the messages and never waited
-- for. The watcher adds them up. A crash of the database may empty it, which costs an hour's share.
CREATE UNLOGGED TABLE message_tallies (
    account_id uuid NOT NULL,
    test boolean NOT NULL,
    -- Five minutes: of the event for settled and failed, of the sending for sent and delivered.
    slot timestamptz NOT NULL,
    settled integer NOT NULL,
    failed integer NOT NULL,
    sent integer NOT NULL,
    delivered integer NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

CREATE TABLE message_shares (
    account_id uuid NOT NULL,
    slot timestamptz NOT NULL,
    test boolean NOT NULL,
    settled bigint NOT NULL,
    failed bigint NOT NULL,
    sent bigint NOT NULL,
    delivered bigint NOT NULL,
    PRIMARY KEY (account_id, slot, test)
) WITH (fillfactor = 50);
CREATE INDEX message_shares_slot ON message_shares (slot);

-- One row: when the watcher first stepped, and when it last looked at what changes slowly.
CREATE TABLE alert_watch (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    started_at timestamptz NOT NULL,
    looked_at timestamptz NOT NULL
);

-- Which node asks Telegram for updates, and which it has seen.
CREATE TABLE telegram_pollers (
    bot_id bigint PRIMARY KEY,
    holder text CHECK (length(holder) BETWEEN 1 AND 128),
    expires_at timestamptz NOT NULL,
    next_update bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE TABLE telegram_updates (
    bot_id bigint NOT NULL,
    update_id bigint NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (bot_id, update_id)
);
CREATE INDEX telegram_updates_seen ON telegram_updates (seen_at);

-- The addresses that a deletion receipt is sent to, for a day at most, sealed under a key of the gateway: the account and its key are gone by then.
CREATE TABLE receipt_mails (
    mail_id uuid PRIMARY KEY,
    receipt_id uuid NOT NULL,
    address_sealed bytea NOT NULL,
    language text NOT NULL CHECK (language IN ('en', 'id')),
    due_at timestamptz NOT NULL,
    tries integer NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL
);
CREATE INDEX receipt_mails_due ON receipt_mails (due_at);

CALL gateway_isolate('alert_rules');
CALL gateway_isolate('alert_channels');
CALL gateway_isolate('telegram_links');
CALL gateway_isolate('alerts');
CALL gateway_isolate('alert_conditions');
CALL gateway_isolate('alert_tellings');
CALL gateway_isolate('alert_notices');
CALL gateway_isolate('message_tallies');
CALL gateway_isolate('message_shares');

GRANT SELECT, INSERT, UPDATE, DELETE ON alert_rules, alert_channels, telegram_links TO gateway_api;
GRANT SELECT ON alerts, alert_conditions, message_shares TO gateway_api;
GRANT UPDATE (acknowledged_at, acknowledged_key, acknowledged_channel, silenced_until) ON alerts TO gateway_api;
GRANT SELECT, INSERT, DELETE ON alert_notices TO gateway_api;
GRANT UPDATE (state, finished_at, claimed, code, secret_sealed) ON alert_notices TO gateway_api;
GRANT INSERT ON receipt_mails TO gateway_api;
GRANT SELECT ON alert_rules, message_shares, webhook_endpoints, api_keys TO gateway_engine;
GRANT SELECT, UPDATE, DELETE ON alert_channels TO gateway_engine;
GRANT SELECT, INSERT, UPDATE, DELETE ON alerts, alert_conditions, alert_tellings, alert_notices TO gateway_engine;
GRANT SELECT, INSERT, UPDATE ON alert_watch, telegram_pollers TO gateway_engine;
GRANT SELECT, INSERT ON telegram_updates TO gateway_engine;
GRANT SELECT, UPDATE, DELETE ON receipt_mails TO gateway_engine;

-- Counts what has become of messages of accounts that have a channel; the others pay one look into that small table.
CREATE FUNCTION gateway_tally_messages() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM added n JOIN alert_channels c ON c.account_id = n.account_id
        WHERE n.kind IN ('sent', 'delivered', 'failed', 'expired', 'unconfirmed')) THEN
        RETURN NULL;
    END IF;
    INSERT INTO message_tallies (account_id, test, slot, settled, failed, sent, delivered)
    SELECT n.account_id, m.test, date_bin('5 minutes', CASE n.kind WHEN 'delivered' THEN coalesce(m.sent_at, n.at) ELSE n.at END, 'epoch'),
        count(*) FILTER (WHERE n.kind <> 'delivered'), count(*) FILTER (WHERE n.kind IN ('failed', 'expired', 'unconfirmed')),
        count(*) FILTER (WHERE n.kind = 'sent'), count(*) FILTER (WHERE n.kind = 'delivered')
    FROM added n
    JOIN messages m ON m.account_id = n.account_id AND m.message_id = n.message_id
    WHERE n.kind IN ('sent', 'delivered', 'failed', 'expired', 'unconfirmed')
      AND EXISTS (SELECT FROM alert_channels c WHERE c.account_id = n.account_id)
    GROUP BY 1, 2, 3;
    RETURN NULL;
END
$$;
-- On the parent, so not when a partition's rows are moved.
CREATE TRIGGER message_events_tallied AFTER INSERT ON message_events REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION gateway_tally_messages();

-- Adds the tallies up; one caller at a time, the watcher.
CREATE FUNCTION gateway_fold_tallies() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = on
AS $$
DECLARE
    folded bigint;
BEGIN
    WITH taken AS (
        DELETE FROM message_tallies RETURNING account_id, slot, test, settled, failed, sent, delivered
    )
    INSERT INTO message_shares AS known (account_id, slot, test, settled, failed, sent, delivered)
    SELECT t.account_id, t.slot, t.test, sum(t.settled), sum(t.failed), sum(t.sent), sum(t.delivered)
    FROM taken t
    JOIN accounts a ON a.account_id = t.account_id AND a.state = 'active'
    GROUP BY t.account_id, t.slot, t.test
    ON CONFLICT (account_id, slot, test) DO UPDATE
    SET settled = known.settled + excluded.settled, failed = known.failed + excluded.failed, sent = known.sent + excluded.sent,
        delivered = known.delivered + excluded.delivered;
    GET DIAGNOSTICS folded = ROW_COUNT;
    RETURN folded;
END
$$;
GRANT EXECUTE ON FUNCTION gateway_fold_tallies() TO gateway_engine;

-- What the watcher looks at each time, over all accounts: senders that are not well, endpoints, channels and keys; and whatever has a condition.
-- Reads senders, leases, endpoints, channels and keys once.
CREATE FUNCTION gateway_alert_facts(moment timestamptz, keys_since timestamptz, with_test boolean)
RETURNS TABLE (account_id uuid, source text, subject_id uuid, state text, code text, since timestamptz, until timestamptz, held boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = on
AS $$
    WITH known AS MATERIALIZED (
        SELECT DISTINCT c.account_id, c.subject_id FROM alert_conditions c
    )
    SELECT s.account_id, 'sender', s.sender_id, s.state, s.state_code, s.state_since, h.paused_until,
        l.holder IS NOT NULL AND l.expires_at > clock_timestamp()
    FROM senders s
    JOIN accounts a ON a.account_id = s.account_id AND a.state = 'active'
    JOIN sender_leases l ON l.account_id = s.account_id AND l.sender_id = s.sender_id
    LEFT JOIN sender_health h ON h.account_id = s.account_id AND h.sender_id = s.sender_id
    LEFT JOIN known k ON k.account_id = s.account_id AND k.subject_id = s.sender_id
    WHERE (with_test OR NOT s.test)
      AND (s.state NOT IN ('ready', 'unpaired', 'pairing', 'removing', 'removed')
        OR s.state = 'ready' AND NOT (l.holder IS NOT NULL AND l.expires_at > clock_timestamp())
        OR k.subject_id IS NOT NULL)
    UNION ALL
    SELECT s.account_id, 'new_chats', s.sender_id, s.state, h.new_chats_code, NULL, h.new_chats_until, NULL
    FROM sender_health h
    JOIN senders s ON s.account_id = h.account_id AND s.sender_id = h.sender_id AND s.state <> 'removed'
    JOIN accounts a ON a.account_id = s.account_id AND a.state = 'active'
    WHERE (with_test OR NOT s.test) AND h.new_chats_until > moment
    UNION ALL
    SELECT e.account_id, 'endpoint', e.endpoint_id, e.state, e.disabled_reason, e.failing_since, NULL, NULL
    FROM webhook_endpoints e
    JOIN accounts a ON a.account_id = e.account_id AND a.state = 'active'
    LEFT JOIN known k ON k.account_id = e.account_id AND k.subject_id = e.endpoint_id
    WHERE (with_test OR NOT e.test) AND e.state <> 'deleted'
      AND (e.failing_since IS NOT NULL OR e.disabled_reason <> 'requested' OR k.subject_id IS NOT NULL)
    UNION ALL
    SELECT c.account_id, 'channel', c.channel_id, c.state, c.state_code, NULL, NULL, NULL
    FROM alert_channels c
    JOIN accounts a ON a.account_id = c.account_id AND a.state = 'active'
    LEFT JOIN known k ON k.account_id = c.account_id AND k.subject_id = c.channel_id
    WHERE c.state = 'blocked' OR k.subject_id IS NOT NULL
    UNION ALL
    SELECT y.account_id, 'key', y.key_id, CASE WHEN y.revoked_at IS NULL THEN 'live' ELSE 'revoked' END, NULL, y.created_at, NULL, NULL
    FROM api_keys y
    JOIN accounts a ON a.account_id = y.account_id AND a.state = 'active'
    WHERE y.created_at > keys_since AND (y.revoked_at IS NULL OR (y.account_id, y.key_id) IN (SELECT k.account_id, k.subject_id FROM known k))
$$;
GRANT EXECUTE ON FUNCTION gateway_alert_facts(timestamptz, timestamptz, boolean) TO gateway_engine;

-- The accounts that the watcher has to do with besides those that facts speak of: something is remembered, open, or due there.
CREATE FUNCTION gateway_alert_accounts(moment timestamptz, most integer) RETURNS TABLE (account_id uuid, daily boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = on
AS $$
    SELECT w.account_id, bool_or(w.daily)
    FROM (
        SELECT DISTINCT c.account_id, false AS daily FROM alert_conditions c
        UNION ALL
        SELECT DISTINCT l.account_id, false FROM alerts l WHERE NOT l.done
        UNION ALL
        (SELECT d.account_id, true FROM alert_channels d WHERE d.state = 'active' AND d.digest_at <= moment ORDER BY d.digest_at LIMIT most)
        UNION ALL
        (SELECT t.account_id, true FROM alert_channels t WHERE t.state = 'active' AND t.self_test_at <= moment ORDER BY t.self_test_at LIMIT most)
    ) AS w
    JOIN accounts a ON a.account_id = w.account_id AND a.state = 'active'
    GROUP BY w.account_id
$$;
GRANT EXECUTE ON FUNCTION gateway_alert_accounts(timestamptz, integer) TO gateway_engine;

-- What changes slowly, once a minute. queue: when the longest waiting message of the account came due, one look per sender and priority however
-- much waits. shares: what became of messages, of the last half hour, and of those sent between 15 and 75 minutes ago.
CREATE FUNCTION gateway_alert_slow_facts(moment timestamptz, with_test boolean)
RETURNS TABLE (account_id uuid, source text, since timestamptz, part bigint, total bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = on
AS $$
    (WITH RECURSIVE lanes AS (
        SELECT first.account_id, first.sender_id, first.priority, first.due_at
        FROM (SELECT o.account_id, o.sender_id, o.priority, o.due_at FROM outbox o
            WHERE o.state = 'accepted'
            ORDER BY o.account_id, o.sender_id, o.priority, o.due_at, o.message_id LIMIT 1) AS first
        UNION ALL
        SELECT next.account_id, next.sender_id, next.priority, next.due_at
        FROM lanes
        CROSS JOIN LATERAL (SELECT o.account_id, o.sender_id, o.priority, o.due_at FROM outbox o
            WHERE o.state = 'accepted' AND (o.account_id, o.sender_id, o.priority) > (lanes.account_id, lanes.sender_id, lanes.priority)
            ORDER BY o.account_id, o.sender_id, o.priority, o.due_at, o.message_id LIMIT 1) AS next
    )
    SELECT q.account_id, 'queue', min(q.due_at), NULL::bigint, NULL::bigint
    FROM lanes q
    JOIN senders s ON s.account_id = q.account_id AND s.sender_id = q.sender_id
    JOIN accounts a ON a.account_id = q.account_id AND a.state = 'active'
    WHERE (with_test OR NOT s.test) AND q.due_at <= moment
    GROUP BY q.account_id)
    UNION ALL
    SELECT r.account_id, 'failed', NULL, sum(r.failed)::bigint, sum(r.settled)::bigint
    FROM message_shares r
    JOIN accounts a ON a.account_id = r.account_id AND a.state = 'active'
    WHERE r.slot > moment - interval '30 minutes' AND (with_test OR NOT r.test)
    GROUP BY r.account_id
    UNION ALL
    SELECT r.account_id, 'undelivered', NULL, sum(greatest(r.sent - r.delivered, 0))::bigint, sum(r.sent)::bigint
    FROM message_shares r
    JOIN accounts a ON a.account_id = r.account_id AND a.state = 'active'
    WHERE r.slot > moment - interval '75 minutes' AND r.slot <= moment - interval '15 minutes' AND (with_test OR NOT r.test)
    GROUP BY r.account_id
$$;
GRANT EXECUTE ON FUNCTION gateway_alert_slow_facts(timestamptz, boolean) TO gateway_engine;

-- Senders that have used something of their day, with what their limits are made of.
CREATE FUNCTION gateway_alert_quotas(moment timestamptz, with_test boolean)
RETURNS TABLE (account_id uuid, sender_id uuid, test boolean, limits text, paired_at timestamptz, day_used integer, new_recipients_used integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = on SET timezone = 'UTC'
AS $$
    SELECT s.account_id, s.sender_id, s.test, s.limits::text, s.paired_at, u.day_used, u.new_recipients_used
    FROM sender_usage u
    JOIN senders s ON s.account_id = u.account_id AND s.sender_id = u.sender_id
    JOIN accounts a ON a.account_id = s.account_id AND a.state = 'active'
    WHERE u.day_start >= date_trunc('day', moment) AND u.day_used > 0 AND (with_test OR NOT s.test) AND s.state NOT IN ('removing', 'removed')
      AND (u.new_recipients_used > 0 OR s.limits <> '{}')
$$;
GRANT EXECUTE ON FUNCTION gateway_alert_quotas(timestamptz, boolean) TO gateway_engine;

-- The hourly jobs of the last three days.
CREATE FUNCTION gateway_alert_cron(moment timestamptz) RETURNS TABLE (job text, succeeded_at timestamptz, tried_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT r.job, max(r.finished_at) FILTER (WHERE r.succeeded), max(r.finished_at)
    FROM cron_runs r
    WHERE r.started_at > moment - interval '3 days'
    GROUP BY r.job
    ORDER BY r.job
$$;
GRANT EXECUTE ON FUNCTION gateway_alert_cron(timestamptz) TO gateway_engine;

-- Notices that are due, the longest waiting first; with one of a batch come the others of it.
CREATE FUNCTION gateway_due_notices(moment timestamptz, most integer) RETURNS TABLE (account_id uuid, notice_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    WITH due AS MATERIALIZED (
        SELECT n.account_id, n.notice_id, n.batch_id FROM alert_notices n WHERE n.state = 'pending' AND n.due_at <= moment ORDER BY n.due_at LIMIT most
    )
    SELECT d.account_id, d.notice_id FROM due d
    UNION
    SELECT n.account_id, n.notice_id
    FROM alert_notices n
    WHERE n.state = 'pending' AND n.due_at <= moment AND n.batch_id IN (SELECT d.batch_id FROM due d WHERE d.batch_id IS NOT NULL)
$$;
GRANT EXECUTE ON FUNCTION gateway_due_notices(timestamptz, integer) TO gateway_engine;

-- Whose link a token is. It stays until it is used in the account's own transaction. No row: unknown, used, or too old.
CREATE FUNCTION gateway_find_telegram_link(token bytea, moment timestamptz) RETURNS TABLE (account_id uuid, link_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT t.account_id, t.link_id
    FROM telegram_links t
    JOIN accounts a ON a.account_id = t.account_id AND a.state = 'active'
    WHERE t.token_index = token AND t.expires_at > moment
$$;
GRANT EXECUTE ON FUNCTION gateway_find_telegram_link(bytea, timestamptz) TO gateway_api;

-- The channels of an address, over all accounts.
CREATE FUNCTION gateway_find_channels(address bytea) RETURNS TABLE (account_id uuid, channel_id uuid, state text, language text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT c.account_id, c.channel_id, c.state, c.language
    FROM alert_channels c
    JOIN accounts a ON a.account_id = c.account_id AND a.state = 'active'
    WHERE c.address_index = address
    ORDER BY c.account_id, c.channel_id
$$;
GRANT EXECUTE ON FUNCTION gateway_find_channels(bytea) TO gateway_api, gateway_engine;

-- Whose e-mail address a verification's token proves. It stays until it is used in the account's own transaction.
CREATE FUNCTION gateway_find_verification(token bytea, moment timestamptz) RETURNS TABLE (account_id uuid, channel_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT c.account_id, c.channel_id
    FROM alert_channels c
    JOIN accounts a ON a.account_id = c.account_id AND a.state = 'active'
    WHERE c.token_index = token AND c.token_until > moment
$$;
GRANT EXECUTE ON FUNCTION gateway_find_verification(bytea, timestamptz) TO gateway_api;

-- Where a mail went, by the id that its sender gave it.
CREATE FUNCTION gateway_find_mail(provider text) RETURNS TABLE (account_id uuid, channel_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT n.account_id, n.channel_id FROM alert_notices n WHERE n.provider_id = provider ORDER BY n.notice_id LIMIT 1
$$;
GRANT EXECUTE ON FUNCTION gateway_find_mail(text) TO gateway_engine;

-- Deletes what is past its time in the tables of alerts, at most `most` rows of each kind per call.
CREATE FUNCTION gateway_sweep_alerts(kind text, moment timestamptz, most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    gone bigint;
BEGIN
    CASE kind
        WHEN 'telegram_links' THEN
            WITH unconfirmed AS (
                DELETE FROM alert_channels c WHERE c.state = 'unverified' AND c.confirm_until <= moment
            )
            DELETE FROM telegram_links t WHERE t.expires_at <= moment;
        WHEN 'email_verifications' THEN
            -- An address that was never proved goes with its token.
            WITH unproved AS (
                DELETE FROM alert_channels c WHERE c.state = 'unverified' AND c.token_until <= moment AND c.activated_at IS NULL
            )
            UPDATE alert_channels c SET token_index = NULL, token_until = NULL
            WHERE c.token_until <= moment AND (c.state <> 'unverified' OR c.activated_at IS NOT NULL);
        WHEN 'alert_notices_sent', 'alert_notices_dead' THEN
            DELETE FROM alert_notices n WHERE (n.account_id, n.notice_id) IN
                (SELECT p.account_id, p.notice_id FROM alert_notices p
                 WHERE p.finished_at <= moment AND CASE kind WHEN 'alert_notices_sent' THEN p.state = 'sent' ELSE p.state = 'dead' END
                 ORDER BY p.finished_at LIMIT most);
        WHEN 'alerts' THEN
            DELETE FROM alerts l WHERE (l.account_id, l.alert_id) IN
                (SELECT p.account_id, p.alert_id FROM alerts p WHERE p.cleared_at <= moment ORDER BY p.cleared_at LIMIT most);
        WHEN 'message_shares' THEN
            DELETE FROM message_shares r WHERE (r.account_id, r.slot, r.test) IN
                (SELECT p.account_id, p.slot, p.test FROM message_shares p WHERE p.slot <= moment ORDER BY p.slot LIMIT most);
        WHEN 'telegram_updates' THEN
            DELETE FROM telegram_updates u WHERE (u.bot_id, u.update_id) IN
                (SELECT p.bot_id, p.update_id FROM telegram_updates p WHERE p.seen_at <= moment ORDER BY p.seen_at LIMIT most);
        WHEN 'receipt_mails' THEN
            DELETE FROM receipt_mails m WHERE m.expires_at <= moment;
    END CASE;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$$;
GRANT EXECUTE ON FUNCTION gateway_sweep_alerts(text, timestamptz, integer) TO gateway_cron;

RESET ROLE;
