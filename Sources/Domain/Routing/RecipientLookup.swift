import Foundation
import Postgres

/// Which senders of an account a recipient knows.
struct KnownSenders: Sendable {
    /// They have written to the recipient.
    var warm: Set<Sender.ID> = []
    /// They may never write to the recipient.
    var refused: Set<Sender.ID> = []
}

/// Looks recipients up, many in one query: who comes while a query runs goes into the next one.
struct RecipientLookup: Sendable {
    private struct Wanted: Sendable {
        let account: Account.ID
        let recipient: [UInt8]
    }

    private let lookups: GroupCommit<Wanted, KnownSenders>

    init(database: Database) {
        lookups = GroupCommit(maximum: 500, lanes: 2) { try await Self.find($0, in: database).map { .success($0) } }
    }

    func find(_ recipient: [UInt8], account: Account.ID) async throws -> KnownSenders {
        try await lookups.submit(Wanted(account: account, recipient: recipient))
    }

    private static func find(_ wanted: [Wanted], in database: Database) async throws -> [KnownSenders] {
        let rows = try await database.query(
            "routing.recipients",
            """
            SELECT w.place, r.sender_id, r.refused_at IS NOT NULL AS refused
            FROM unnest(\(wanted.map(\.account)), \(wanted.map(\.recipient))) WITH ORDINALITY AS w (account_id, recipient_index, place)
            JOIN sender_recipients r ON r.account_id = w.account_id AND r.recipient_index = w.recipient_index
            """, settings: Databases.accounts(wanted.map(\.account)), access: .readOnly
        ) {
            (
                place: try $0.column("place", as: Int.self), sender: try $0.column("sender_id", as: Sender.ID.self),
                refused: try $0.column("refused", as: Bool.self)
            )
        }
        var found = [KnownSenders](repeating: KnownSenders(), count: wanted.count)
        for row in rows where found.indices.contains(row.place - 1) {
            if row.refused { found[row.place - 1].refused.insert(row.sender) } else { found[row.place - 1].warm.insert(row.sender) }
        }
        return found
    }
}
