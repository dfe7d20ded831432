-- A message that was in a process's hands when it died may have killed it: a strike. It is claimed alone from then on, and the third strike ends it.
-- A claim that only took too long is no strike: its owner has renewed the lease since.

SET LOCAL ROLE gateway_schema;

-- How often the sender's lease was renewed, and how often it had been when the message was claimed.
ALTER TABLE sender_leases ADD COLUMN beats bigint NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN beat bigint NOT NULL DEFAULT 0;

CREATE INDEX outbox_suspects ON outbox (account_id, sender_id, priority, due_at, message_id) WHERE state = 'accepted' AND claims > 0;

RESET ROLE;
