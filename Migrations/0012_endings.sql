-- How things end: closings that any node may finish, and what a sender leaves on the wire when WhatsApp unlinks it.

SET LOCAL ROLE gateway_schema;

-- Chosen when the closing begins, so that whoever asked can show the receipt, whichever node takes the last step.
ALTER TABLE closings ADD COLUMN receipt_id uuid NOT NULL DEFAULT gen_random_uuid();

-- Supersedes the form with a receipt of the caller's; that one stays for nodes of the version before. No row: somebody else was first.
CREATE FUNCTION gateway_finish_closing(target uuid, moment timestamptz, unreadable timestamptz) RETURNS TABLE (receipt uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    closed closings;
BEGIN
    -- In the order in which a closing begins.
    PERFORM FROM accounts a WHERE a.account_id = target FOR UPDATE;
    SELECT * INTO closed FROM closings c WHERE c.account_id = target FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF gateway_account_rows(target) > 0 THEN
        RAISE EXCEPTION 'rows are left' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    DELETE FROM closings c WHERE c.account_id = target;
    DELETE FROM accounts a WHERE a.account_id = target AND a.state = 'closing';
    INSERT INTO deletion_receipts (receipt_id, requested_at, completed_at, backups_unreadable_at, counts)
    VALUES (closed.receipt_id, closed.requested_at, moment, unreadable, closed.counts || '{"accounts": 1}');
    receipt := closed.receipt_id;
    RETURN NEXT;
END
$$;
GRANT EXECUTE ON FUNCTION gateway_finish_closing(uuid, timestamptz, timestamptz) TO gateway_api, gateway_engine;

-- Senders that send nothing any more, and what still waits for them; without these two every sweep would read the whole outbox.
CREATE INDEX senders_ended ON senders (account_id, sender_id) WHERE state IN ('logged_out', 'removed');
CREATE INDEX outbox_waiting ON outbox (account_id, sender_id) WHERE state IN ('scheduled', 'hold');

-- Accounts with something for the sweep: an overdue claim, an overdue acknowledgement, a message past its time, anything of a sender that is
-- removed, or something on the wire of one that has been logged out since before `logged_out_before`: nobody can write it again.
CREATE FUNCTION gateway_due_accounts(moment timestamptz, logged_out_before timestamptz, most integer) RETURNS TABLE (account_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT DISTINCT due.account_id
    FROM (
        (SELECT o.account_id FROM outbox o
         WHERE o.state IN ('prepared', 'on_wire') AND o.deadline <= moment
           AND (o.state = 'prepared' OR o.attempts >= 3 OR o.at_most_once OR o.expires_at <= moment)
         ORDER BY o.deadline LIMIT most)
        UNION ALL
        (SELECT o.account_id FROM outbox o
         WHERE o.state IN ('scheduled', 'hold', 'accepted') AND o.expires_at <= moment ORDER BY o.expires_at LIMIT most)
        UNION ALL
        (SELECT s.account_id FROM senders s
         WHERE s.state IN ('logged_out', 'removed')
           AND (s.state = 'removed' OR s.state_since <= logged_out_before)
           AND (EXISTS (SELECT 1 FROM outbox o
                        WHERE o.account_id = s.account_id AND o.sender_id = s.sender_id AND o.state IN ('prepared', 'on_wire')
                          AND (s.state = 'removed' OR o.state = 'on_wire'))
             OR s.state = 'removed' AND EXISTS (SELECT 1 FROM outbox o
                        WHERE o.account_id = s.account_id AND o.sender_id = s.sender_id AND o.state = 'accepted')
             OR s.state = 'removed' AND EXISTS (SELECT 1 FROM outbox o
                        WHERE o.account_id = s.account_id AND o.sender_id = s.sender_id AND o.state IN ('scheduled', 'hold')))
         LIMIT most)
    ) AS due
$$;
GRANT EXECUTE ON FUNCTION gateway_due_accounts(timestamptz, timestamptz, integer) TO gateway_engine;

RESET ROLE;
