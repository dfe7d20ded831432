import Foundation
import Postgres

/// The end of messages for which nothing more will be sent: outbox row gone, state and event written, in one statement.
enum Settlement {
    /// `victims` selects and locks `account_id, message_id, new_state, failure_code` from `outbox`. Gives one row per settled message,
    /// with its state.
    static func statement(victims: SQL, now: Date) -> SQL {
        """
        WITH victims AS MATERIALIZED (\(victims)),
        gone AS (
            DELETE FROM outbox b USING victims v
            WHERE b.account_id = v.account_id AND b.message_id = v.message_id
        ),
        moved AS (
            UPDATE messages m SET state = v.new_state, failure_code = v.failure_code, settled_at = \(now), events = m.events + 1
            FROM victims v
            WHERE m.account_id = v.account_id AND m.message_id = v.message_id
            RETURNING m.account_id, m.message_id, m.events, m.state, m.failure_code
        ),
        told AS (
            INSERT INTO message_events (account_id, message_id, number, event_id, kind, failure_code, at)
            SELECT account_id, message_id, events, gateway_uuid7(\(now)), state, failure_code, \(now) FROM moved
        )
        SELECT message_id, state FROM moved ORDER BY message_id
        """
    }
}
