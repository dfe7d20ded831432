import Domain
import Foundation
import Postgres
import Proof

/// What the proof looks up, or moves in time, behind the gateways' backs.
extension World {
    /// The end of a waiting message's life is now.
    func expire(_ id: String) async throws {
        let message = try Message.ID(text: id).uuid
        for table in ["messages", "outbox"] {
            try await database.tell(
                "proof.expire", "UPDATE \(unescaped: table) SET expires_at = clock_timestamp() WHERE message_id = \(message)")
        }
    }

    /// The life of whatever waits for an acknowledgement is over now.
    func expireWhatIsOnTheWire() async throws {
        for table in ["messages", "outbox"] {
            try await database.tell(
                "proof.expireOnWire", "UPDATE \(unescaped: table) SET expires_at = clock_timestamp() WHERE state = 'on_wire'")
        }
    }

    /// Rows that a removed sender's device has left.
    func leftovers(ofSender id: String) async throws -> Int {
        let sender = try Sender.ID(text: id).uuid
        return try await database.ask(
            "proof.senderRows",
            """
            SELECT (SELECT count(*) FROM senders WHERE sender_id = \(sender) AND state <> 'removed')
                + (SELECT count(*) FROM sender_devices WHERE sender_id = \(sender)) + (SELECT count(*) FROM prekeys WHERE sender_id = \(sender))
                + (SELECT count(*) FROM signal_sessions WHERE sender_id = \(sender)) AS rows
            """
        ) { try $0.column("rows", as: Int.self) }.first ?? 0
    }

    /// Rows that a closed account has left, in every table that has such rows.
    func leftovers(ofAccount id: String) async throws -> Int {
        let account = try Account.ID(text: id).uuid
        let tables = try await database.ask(
            "proof.tables",
            """
            SELECT c.relname::text AS name
            FROM pg_class c
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'account_id' AND NOT a.attisdropped
            WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
            """
        ) { try $0.column("name", as: String.self) }
        var sum = 0
        for table in tables {
            sum +=
                try await database.ask(
                    "proof.accountRows", "SELECT count(*) AS rows FROM \(unescaped: table) WHERE account_id = \(account)"
                ) { try $0.column("rows", as: Int.self) }.first ?? 0
        }
        return sum
    }

    /// Who holds which sender: sender → holder and epoch, for those whose lease has not ended.
    func leases() async throws -> [UUID: (holder: String, epoch: Int64)] {
        let rows = try await database.ask(
            "proof.leases", "SELECT sender_id, holder, epoch FROM sender_leases WHERE holder IS NOT NULL AND expires_at > clock_timestamp()"
        ) {
            (
                try $0.column("sender_id", as: UUID.self),
                (holder: try $0.column("holder", as: String.self), epoch: try $0.column("epoch", as: Int64.self))
            )
        }
        return Dictionary(rows) { first, _ in first }
    }
}

extension Caller {
    private struct Found: Decodable {
        struct Message: Decodable { var id: String }
        var data: [Message]
    }

    /// The id of the message that has this reference; asks until some node answers.
    func firstMessage(reference: String) async throws -> String? {
        let end = ContinuousClock.now + .seconds(30)
        while ContinuousClock.now < end {
            for node in world.nodes where node.processID != nil {
                let answer = try? await HTTPConnection.with(port: node.port, key: key) { connection in
                    try await connection.send(.GET, "/v1/messages?reference=\(reference)").decoded(as: Found.self)
                }
                if let id = answer?.data.first?.id { return id }
            }
            try await ContinuousClock().sleep(for: .milliseconds(200))
        }
        return nil
    }

    /// Makes a sender and links it with a simulated phone, beginning anew as often as it takes; returns its id when it is ready.
    func pairSender() async throws -> String {
        let made = try await call("POST", "/v1/senders", json: #"{"label":"Sender \#(world.next())"}"#, idempotencyKey: "sender-\(world.next())")
        guard made.status == 201, let id = made.fields["id"] else { throw ProofFailure("a sender was answered with \(made.status)") }
        let clock = ContinuousClock()
        let end = clock.now.advanced(by: .seconds(90))
        var scanned = ""
        var asked: ContinuousClock.Instant?
        while clock.now < end {
            switch try await senderState(id) {
            case "ready": return id
            case "unpaired", "logged_out":
                if asked.map({ clock.now - $0 > .seconds(3) }) ?? true {
                    _ = try await call("POST", "/v1/senders/\(id)/pairing", json: "{}")
                    asked = clock.now
                }
            default:
                // A code that was shown before a crash is answered by nobody; the next one is another text.
                if let code = try await call("GET", "/v1/senders/\(id)/pairing").fields["qr"], code != scanned {
                    scanned = code
                    _ = try? world.simulator.scan(qr: code)
                }
            }
            try await clock.sleep(for: .milliseconds(50))
        }
        throw ProofFailure("a sender did not become ready within 90 seconds")
    }

    private func senderState(_ id: String) async throws -> String {
        let sender = try Sender.ID(text: id).uuid
        return try await world.database.ask(
            "proof.senderState", "SELECT state FROM senders WHERE sender_id = \(sender)"
        ) { try $0.column("state", as: String.self) }.first ?? ""
    }
}
