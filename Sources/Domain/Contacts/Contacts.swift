package import Foundation
import Postgres
import Secrets

/// The contact cache: the only place that holds what WhatsApp tells about a counterparty. Never a name. It may be empty at any time;
/// what is older than an hour is not returned even if the cron is dead.
///
/// What is asked or stored in the same moment, by whichever senders, shares one statement.
package struct Contacts: Sendable {
    package enum Kind: String, Sendable, CaseIterable {
        /// By number: registered or not, and the LID.
        case contact
        /// By user: the devices.
        case devices
    }

    /// What was stored for a number or user, as the caller serialised it.
    package struct Entry: Sendable {
        package let payload: [UInt8]
        package let fetchedAt: Date
    }

    package static let lifetime: TimeInterval = 3600

    private struct Place: Hashable, Sendable {
        let account: Account.ID
        let kind: Kind
        let index: [UInt8]
    }

    private struct Row: Sendable {
        let place: Place
        let sealed: [UInt8]
        let fetchedAt: Date
    }

    private let database: Database
    private let keys: AccountKeys
    private let reads: GroupCommit<Place, Row?>
    private let writes: GroupCommit<Row, Void>

    init(database: Database, keys: AccountKeys) {
        self.database = database
        self.keys = keys
        reads = GroupCommit(maximum: 128, lanes: 2) { try await Self.read($0, in: database) }
        writes = GroupCommit(maximum: 128, lanes: 1) { try await Self.write($0, in: database) }
    }

    package func find(_ kind: Kind, key: String, account: Account.ID, now: Date) async throws -> Entry? {
        let sealer = try await keys.sealer(for: account)
        let index = sealer.blindIndex(Array(key.utf8), purpose: .contacts)
        guard let row = try await reads.submit(Place(account: account, kind: kind, index: index)), row.fetchedAt <= now,
            row.fetchedAt > now.addingTimeInterval(-Self.lifetime)
        else { return nil }
        return Entry(payload: try sealer.open(row.sealed, .contact(kind.rawValue, index)), fetchedAt: row.fetchedAt)
    }

    package func store(_ kind: Kind, key: String, payload: [UInt8], account: Account.ID, now: Date) async throws {
        let sealer = try await keys.sealer(for: account)
        let index = sealer.blindIndex(Array(key.utf8), purpose: .contacts)
        let place = Place(account: account, kind: kind, index: index)
        try await writes.submit(Row(place: place, sealed: sealer.seal(payload, .contact(kind.rawValue, index)), fetchedAt: now))
    }

    package func forget(_ kind: Kind, key: String, account: Account.ID) async throws {
        let sealer = try await keys.sealer(for: account)
        let index = sealer.blindIndex(Array(key.utf8), purpose: .contacts)
        try await database.execute(
            "contacts.forget",
            "DELETE FROM contact_cache WHERE account_id = \(account) AND kind = \(kind.rawValue) AND contact_index = \(index)",
            settings: Databases.accounts([account]))
    }

    // MARK: Everybody's of one moment

    private static func read(_ places: [Place], in database: Database) async throws -> [Result<Row?, any Error>] {
        let rows = try await database.query(
            "contacts.find",
            """
            SELECT c.account_id, c.kind, c.contact_index, c.sealed, c.fetched_at
            FROM unnest(\(places.map(\.account)), \(places.map(\.kind.rawValue)), \(places.map(\.index))) AS w (account_id, kind, contact_index)
            JOIN contact_cache c ON c.account_id = w.account_id AND c.kind = w.kind AND c.contact_index = w.contact_index
            """, settings: Databases.accounts(places.map(\.account)), access: .readOnly
        ) { row in
            Row(
                place: Place(account: try row["account_id"], kind: try row.state("kind"), index: try row["contact_index"]),
                sealed: try row["sealed"], fetchedAt: try row["fetched_at"])
        }
        let found = Dictionary(rows.map { ($0.place, $0) }) { first, _ in first }
        return places.map { .success(found[$0]) }
    }

    private static func write(_ rows: [Row], in database: Database) async throws -> [Result<Void, any Error>] {
        // Of several words on one place the last one stands; in an order that is the same for every writer.
        let last = Dictionary(rows.map { ($0.place, $0) }) { $1 }.values
        _ = try await database.execute(
            "contacts.store",
            """
            INSERT INTO contact_cache (account_id, kind, contact_index, sealed, fetched_at)
            SELECT account_id, kind, contact_index, sealed, fetched_at
            FROM unnest(\(last.map(\.place.account)), \(last.map(\.place.kind.rawValue)), \(last.map(\.place.index)), \(last.map(\.sealed)),
                \(last.map(\.fetchedAt))) AS told (account_id, kind, contact_index, sealed, fetched_at)
            ORDER BY account_id, kind, contact_index
            ON CONFLICT (account_id, kind, contact_index) DO UPDATE SET sealed = excluded.sealed, fetched_at = excluded.fetched_at
            """, settings: Databases.accounts(last.map(\.place.account)))
        return rows.map { _ in .success(()) }
    }
}
