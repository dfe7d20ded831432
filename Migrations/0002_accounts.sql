SET LOCAL ROLE gateway_schema;

CREATE TABLE accounts (
    account_id uuid PRIMARY KEY,
    name_sealed bytea NOT NULL,
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'closing')),
    default_calling_code text CHECK (default_calling_code ~ '^[1-9][0-9]{0,2}$'),
    created_at timestamptz NOT NULL,
    closing_at timestamptz,
    CHECK ((state = 'closing') = (closing_at IS NOT NULL))
);

-- The account's data key, wrapped by a key-encryption key. Without this row nothing sealed can be read.
CREATE TABLE account_data_keys (
    account_id uuid PRIMARY KEY REFERENCES accounts,
    wrapped bytea NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE senders (
    account_id uuid NOT NULL REFERENCES accounts,
    sender_id uuid NOT NULL,
    label_sealed bytea NOT NULL,
    test boolean NOT NULL,
    state text NOT NULL DEFAULT 'unpaired' CHECK (state IN ('unpaired', 'pairing', 'connecting', 'ready', 'disconnected', 'replaced',
        'logged_out', 'temporarily_banned', 'client_outdated', 'parked', 'removing', 'removed')),
    state_code text CHECK (state_code ~ '^[a-z0-9_.:-]{1,64}$'),
    state_since timestamptz NOT NULL,
    number_sealed bytea,
    created_at timestamptz NOT NULL,
    paired_at timestamptz,
    removed_at timestamptz,
    PRIMARY KEY (account_id, sender_id),
    CHECK ((state = 'removed') = (removed_at IS NOT NULL))
);

-- One row per sender from its first moment on; the epoch counts up at each take-over and never goes back.
CREATE TABLE sender_leases (
    account_id uuid NOT NULL,
    sender_id uuid NOT NULL,
    holder text,
    epoch bigint NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL DEFAULT '-infinity',
    acquired_at timestamptz,
    PRIMARY KEY (account_id, sender_id),
    FOREIGN KEY (account_id, sender_id) REFERENCES senders
) WITH (fillfactor = 50);

CREATE TABLE pools (
    account_id uuid NOT NULL REFERENCES accounts,
    pool_id uuid NOT NULL,
    name_sealed bytea NOT NULL,
    policy text NOT NULL CHECK (policy ~ '^[a-z_]{1,32}$'),
    is_default boolean NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, pool_id)
);
CREATE UNIQUE INDEX pools_default ON pools (account_id) WHERE is_default;

CREATE TABLE pool_members (
    account_id uuid NOT NULL,
    pool_id uuid NOT NULL,
    sender_id uuid NOT NULL,
    place integer NOT NULL,
    PRIMARY KEY (account_id, pool_id, sender_id),
    FOREIGN KEY (account_id, pool_id) REFERENCES pools,
    FOREIGN KEY (account_id, sender_id) REFERENCES senders
);

CREATE TABLE api_keys (
    account_id uuid NOT NULL REFERENCES accounts,
    key_id uuid NOT NULL,
    lookup text NOT NULL CHECK (lookup ~ '^[0-9A-Za-z]{12}$'),
    -- An Argon2id PHC string; gone at revocation.
    verifier text CHECK (verifier LIKE '$argon2id$%'),
    label_sealed bytea,
    test boolean NOT NULL,
    scopes text[] NOT NULL,
    allowed_senders uuid[],
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (account_id, key_id),
    UNIQUE (account_id, lookup),
    CHECK ((verifier IS NULL) = (revoked_at IS NOT NULL))
);
CREATE INDEX api_keys_lookup ON api_keys (lookup);

-- A pairing under way. Published codes are sealed and short-lived.
CREATE TABLE pairings (
    account_id uuid NOT NULL,
    sender_id uuid NOT NULL,
    method text NOT NULL CHECK (method IN ('qr', 'code')),
    number_sealed bytea,
    requested_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    code_sealed bytea,
    code_until timestamptz,
    PRIMARY KEY (account_id, sender_id),
    FOREIGN KEY (account_id, sender_id) REFERENCES senders,
    CHECK ((code_sealed IS NULL) = (code_until IS NULL))
);

-- An account's closing while it is under way: what was done so far, so that any node can go on.
CREATE TABLE closings (
    account_id uuid PRIMARY KEY REFERENCES accounts,
    step text NOT NULL CHECK (step IN ('unlinking', 'erasing')),
    requested_at timestamptz NOT NULL,
    unlink_until timestamptz NOT NULL,
    counts jsonb NOT NULL DEFAULT '{}'
);

-- Proof of deletion: a random id and counts, nothing that leads back to the account.
CREATE TABLE deletion_receipts (
    receipt_id uuid PRIMARY KEY,
    requested_at timestamptz NOT NULL,
    completed_at timestamptz NOT NULL,
    backups_unreadable_at timestamptz NOT NULL,
    counts jsonb NOT NULL
);

CREATE TABLE cron_runs (
    run_id uuid PRIMARY KEY,
    job text NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    succeeded boolean NOT NULL,
    affected bigint NOT NULL,
    error_code text
);
CREATE INDEX cron_runs_started ON cron_runs (started_at);

CALL gateway_isolate('accounts');
CALL gateway_isolate('account_data_keys');
CALL gateway_isolate('senders');
CALL gateway_isolate('sender_leases');
CALL gateway_isolate('pools');
CALL gateway_isolate('pool_members');
CALL gateway_isolate('api_keys');
CALL gateway_isolate('pairings');
CALL gateway_isolate('closings');

GRANT SELECT, INSERT ON accounts, account_data_keys, senders, sender_leases, pools, pool_members, api_keys, pairings, closings TO gateway_api;
GRANT UPDATE (state, closing_at, default_calling_code, name_sealed) ON accounts TO gateway_api;
GRANT UPDATE ON senders, pools, pool_members, api_keys, pairings, closings TO gateway_api;
GRANT UPDATE (epoch) ON sender_leases TO gateway_api;
GRANT DELETE ON pool_members, pairings, account_data_keys TO gateway_api;
GRANT SELECT ON accounts, account_data_keys, senders, pools, pool_members, sender_leases, pairings, closings TO gateway_engine;
GRANT UPDATE ON senders, sender_leases, pairings TO gateway_engine;
GRANT DELETE ON pairings TO gateway_engine;
GRANT SELECT, DELETE ON pool_members TO gateway_engine;
GRANT SELECT ON deletion_receipts, cron_runs TO gateway_api, gateway_engine;
GRANT SELECT, INSERT ON cron_runs TO gateway_cron;

RESET ROLE;
