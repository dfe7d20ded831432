-- What the routing snapshot asks every second: what is in flight per sender, and whether anybody was ever refused.
SET LOCAL ROLE gateway_schema;

DROP INDEX outbox_on_wire;
CREATE INDEX outbox_in_flight ON outbox (account_id, sender_id, deadline) WHERE state IN ('prepared', 'on_wire');
CREATE INDEX sender_recipients_refused ON sender_recipients (account_id) WHERE refused_at IS NOT NULL;

RESET ROLE;
