package import Foundation
package import Postgres
import Synchronization

/// Remembers which messages of `store: none` wait for receipts, so that the receipts of all others cost nothing. Per ownership of a sender: whoever
/// takes a sender over reads once what its earlier owner was waiting for.
final class UnstoredWatch: Sendable {
    private struct State {
        var owners: [OwnedSender: [String: Message.ID]] = [:]
        var order: [OwnedSender] = []
    }

    private static let capacity = 10_000
    private let state = Mutex(State())

    func isKnown(_ owner: OwnedSender) -> Bool { state.withLock { $0.owners[owner] != nil } }

    func begin(_ owner: OwnedSender, with waiting: [(wireID: String, message: Message.ID)]) {
        state.withLock { state in
            if state.owners[owner] == nil { state.order.append(owner) }
            state.owners[owner, default: [:]].merge(waiting.map { ($0.wireID, $0.message) }, uniquingKeysWith: { first, _ in first })
            if state.order.count > Self.capacity { state.owners[state.order.removeFirst()] = nil }
        }
    }

    /// Only counts for an owner whose messages are known; any other one reads them later.
    func add(_ message: Message.ID, wireID: String, owner: OwnedSender) { state.withLock { $0.owners[owner]?[wireID] = message } }

    func remove(_ wireIDs: [String], owner: OwnedSender) {
        state.withLock { state in
            for wireID in wireIDs { state.owners[owner]?[wireID] = nil }
        }
    }

    func message(_ wireID: String, owner: OwnedSender) -> Message.ID? { state.withLock { $0.owners[owner]?[wireID] } }
}

extension Outbox {
    /// What the transaction that puts a message of `store: none` on the wire must write, too: the devices of the recipient that it goes to, by
    /// WhatsApp's numbers. Its body goes when the last of them has reported it.
    package static func awaiting(_ devices: [Int], for message: ClaimedMessage) -> Statement {
        Statement(
            "outbox.awaiting",
            """
            INSERT INTO awaited_devices (account_id, message_id, device)
            SELECT \(message.account), \(message.id), i.device
            FROM unnest(\(devices.map { Int32(clamping: $0) })) AS i (device)
            ON CONFLICT (account_id, message_id, device) DO NOTHING
            """)
    }

    /// Takes the devices that reported off the lists, and erases what every device has. What is missed here, because a process died in between,
    /// the hourly job erases.
    func forgetReported(_ records: [ReceiptRecord]) async throws {
        for owner in Set(records.map(\.owner)) where !unstored.isKnown(owner) { unstored.begin(owner, with: try await awaited(owner)) }
        let reported = records.compactMap { record in
            record.device.flatMap { device in
                unstored.message(record.wireID, owner: record.owner).map { (record: record, message: $0, device: Int32(clamping: device)) }
            }
        }
        guard !reported.isEmpty else { return }
        let messages = Array(Set(reported.map(\.message)))
        let erased = try await databases.engine.transaction(Databases.accounts(reported.map(\.record.owner.account))) { transaction in
            let results = try await transaction.commit(with: [
                Statement(
                    "outbox.reported",
                    """
                    DELETE FROM awaited_devices a
                    USING unnest(\(reported.map(\.record.owner.account)), \(reported.map(\.message)), \(reported.map(\.device)))
                        AS i (account_id, message_id, device)
                    WHERE a.account_id = i.account_id AND a.message_id = i.message_id AND a.device = i.device
                    """),
                Statement(
                    "outbox.eraseReported",
                    """
                    WITH done AS (
                        DELETE FROM message_bodies b
                        WHERE b.message_id = ANY (\(messages)) AND b.unstored AND NOT EXISTS (
                            SELECT FROM awaited_devices a WHERE a.account_id = b.account_id AND a.message_id = b.message_id)
                        RETURNING b.account_id, b.message_id
                    ),
                    sent AS (
                        DELETE FROM sent_messages s USING done WHERE s.account_id = done.account_id AND s.message_id = done.message_id
                    )
                    SELECT message_id FROM done
                    """),
            ])
            return Set(try results[1].rows { try $0.column("message_id", as: Message.ID.self) })
        }
        for (owner, group) in Dictionary(grouping: reported.filter { erased.contains($0.message) }, by: \.record.owner) {
            unstored.remove(group.map(\.record.wireID), owner: owner)
        }
    }

    private func awaited(_ owner: OwnedSender) async throws -> [(wireID: String, message: Message.ID)] {
        try await databases.engine.query(
            "outbox.awaited",
            """
            SELECT DISTINCT w.wire_id, w.message_id
            FROM awaited_devices a
            JOIN messages m ON m.account_id = a.account_id AND m.message_id = a.message_id AND m.sender_id = \(owner.sender)
            JOIN wire_ids w ON w.account_id = m.account_id AND w.sender_id = m.sender_id AND w.wire_id = m.wire_id
            WHERE a.account_id = \(owner.account)
            """, settings: Databases.accounts([owner.account]), access: .readOnly, as: { (wireID: try $0["wire_id"], message: try $0["message_id"]) })
    }
}
