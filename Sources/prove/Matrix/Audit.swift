import Foundation
import Postgres

/// What the database itself tells after a run, seen with the superuser's eyes: the invariants of reliability.md §2.9 that leave traces in rows.
enum Audit {
    /// Watches the outbox for what no gateway may ever do. Rows of `proof_audit` are violations.
    static func install(in database: Database) async throws {
        for statement in [table, function, trigger] {
            _ = try await database.transaction { try await $0.execute("audit.install", SQL(unescaped: statement)) }
        }
    }

    private static let table = "CREATE TABLE IF NOT EXISTS proof_audit (what text NOT NULL, message_id uuid NOT NULL)"

    private static let function = """
        CREATE OR REPLACE FUNCTION proof_watch_outbox() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            IF NEW.state IN ('prepared', 'on_wire')
                AND (NEW.state, NEW.epoch, NEW.attempts, NEW.claims) IS DISTINCT FROM (OLD.state, OLD.epoch, OLD.attempts, OLD.claims)
                AND NEW.epoch < (SELECT l.epoch FROM sender_leases l WHERE l.account_id = NEW.account_id AND l.sender_id = NEW.sender_id)
            THEN
                INSERT INTO proof_audit VALUES ('written under an epoch that was over', NEW.message_id);
            END IF;
            IF OLD.state = 'prepared' AND NEW.state = 'prepared' AND NEW.claims > OLD.claims THEN
                INSERT INTO proof_audit VALUES ('claimed twice', NEW.message_id);
            END IF;
            IF OLD.state = 'on_wire' AND NEW.sender_id <> OLD.sender_id THEN
                INSERT INTO proof_audit VALUES ('moved after the wire', NEW.message_id);
            END IF;
            IF NEW.state = 'on_wire' AND NEW.attempts > OLD.attempts AND NEW.wire_at >= NEW.expires_at THEN
                INSERT INTO proof_audit VALUES ('on the wire after its expiry', NEW.message_id);
            END IF;
            RETURN NULL;
        END $$
        """

    private static let trigger = """
        CREATE OR REPLACE TRIGGER proof_watch_outbox AFTER UPDATE ON outbox FOR EACH ROW EXECUTE FUNCTION proof_watch_outbox()
        """

    /// The SQLSTATE with which the database refuses a state transition, as it stands in the log.
    static let refusedTransition = "sqlState: 23514"

    /// Everything that is wrong now, one line each; `isFinal` when nothing is under way any more.
    static func violations(in database: Database, isFinal: Bool) async throws -> [String] {
        let watched = try await database.query("audit.watched", "SELECT DISTINCT what, message_id::text AS id FROM proof_audit") {
            "\(try $0.column("what", as: String.self)): \(try $0.column("id", as: String.self))"
        }
        let gaps = try await database.query(
            "audit.events",
            """
            SELECT m.message_id::text AS id, m.state
            FROM messages m
            LEFT JOIN LATERAL (
                SELECT count(*) AS told, coalesce(min(e.number), m.events + 1) AS first, coalesce(max(e.number), m.events) AS last
                FROM message_events e
                WHERE e.account_id = m.account_id AND e.message_id = m.message_id
            ) e ON true
            -- The first event is the message itself and need not have a row.
            WHERE e.last <> m.events OR e.first NOT IN (1, 2) OR e.told <> m.events - e.first + 1
            """
        ) { "events of \(try $0.column("id", as: String.self)) (\(try $0.column("state", as: String.self))) are not numbered 1…n" }
        let orphans = try await database.query(
            "audit.outbox",
            """
            SELECT m.message_id::text AS id, m.state, b.state AS queued
            FROM messages m
            FULL JOIN outbox b ON b.account_id = m.account_id AND b.message_id = m.message_id
            WHERE (m.state IN ('scheduled', 'hold', 'accepted', 'on_wire')) IS DISTINCT FROM (b.state IS NOT NULL)
            """
        ) { "state and outbox of \(try $0.column("id", as: String?.self) ?? "?") disagree (\(try $0.column("state", as: String?.self) ?? "none"))" }
        let reused = try await database.query(
            "audit.wireIDs", "SELECT wire_id FROM wire_ids GROUP BY account_id, sender_id, wire_id HAVING count(*) > 1"
        ) { "wire id \(try $0.column("wire_id", as: String.self)) used twice" }
        return watched + gaps + reused + (isFinal ? orphans : [])
    }
}
