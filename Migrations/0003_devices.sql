-- What a linked device must remember. Everything is sealed; addresses stand as blind indexes. Written by the owner of the sender's lease only,
-- each statement fenced by the lease's epoch.
SET LOCAL ROLE gateway_schema;

CREATE TABLE sender_devices (
    account_id uuid NOT NULL,
    sender_id uuid NOT NULL,
    sealed bytea NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, sender_id),
    FOREIGN KEY (account_id, sender_id) REFERENCES senders
);

CREATE TABLE signal_sessions (
    account_id uuid NOT NULL,
    sender_id uuid NOT NULL,
    address_index bytea NOT NULL CHECK (length(address_index) = 16),
    user_index bytea NOT NULL CHECK (length(user_index) = 16),
    sealed bytea NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, sender_id, address_index)
) WITH (fillfactor = 70);
CREATE INDEX signal_sessions_user ON signal_sessions (account_id, sender_id, user_index);

CREATE TABLE signal_identities (
    account_id uuid NOT NULL,
    sender_id uuid NOT NULL,
    address_index bytea NOT NULL CHECK (length(address_index) = 16),
    user_index bytea NOT NULL CHECK (length(user_index) = 16),
    sealed bytea NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, sender_id, address_index)
);
CREATE INDEX signal_identities_user ON signal_identities (account_id, sender_id, user_index);

-- The device's own one-time prekeys. Ids count up and are never given twice.
CREATE TABLE prekeys (
    account_id uuid NOT NULL,
    sender_id uuid NOT NULL,
    key_id integer NOT NULL CHECK (key_id BETWEEN 1 AND 16777215),
    uploaded boolean NOT NULL DEFAULT false,
    sealed bytea NOT NULL,
    PRIMARY KEY (account_id, sender_id, key_id)
);
CREATE INDEX prekeys_unuploaded ON prekeys (account_id, sender_id, key_id) WHERE NOT uploaded;

-- What WhatsApp says about a counterparty: the only such place. Truncated every hour, ignored when older; never a name.
CREATE UNLOGGED TABLE contact_cache (
    account_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('contact', 'devices')),
    contact_index bytea NOT NULL CHECK (length(contact_index) = 16),
    sealed bytea NOT NULL,
    fetched_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, kind, contact_index)
);

CALL gateway_isolate('sender_devices');
CALL gateway_isolate('signal_sessions');
CALL gateway_isolate('signal_identities');
CALL gateway_isolate('prekeys');
CALL gateway_isolate('contact_cache');

GRANT SELECT, INSERT, UPDATE, DELETE ON sender_devices, signal_sessions, signal_identities, prekeys, contact_cache TO gateway_engine;
-- A sender that nobody owns is purged by whoever removes it.
GRANT SELECT (account_id, sender_id), DELETE ON sender_devices, signal_sessions, signal_identities, prekeys TO gateway_api;

RESET ROLE;
