-- Messages of one sender share commits, and may become durable in another order than that in which their ratchets advanced.

SET LOCAL ROLE gateway_schema;

-- Counts a sender's writes of Signal records in the order of the ratchet. A row never goes back: a write that arrives late, even one whose
-- outcome its node never learned, leaves what is newer alone.
ALTER TABLE signal_sessions ADD COLUMN revision bigint NOT NULL DEFAULT 0;
ALTER TABLE signal_identities ADD COLUMN revision bigint NOT NULL DEFAULT 0;

RESET ROLE;
