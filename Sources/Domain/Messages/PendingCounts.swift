import Foundation
import Postgres
import Synchronization

/// How many messages of each account wait to be sent, about: counted by the database now and then, and by this process in between. The nearer
/// to the limit, the more often it is counted, so that an account far from it costs nothing and one at it is held within a few per cent.
final class PendingCounts: Sendable {
    private struct Entry {
        var counted: Int
        /// Accepted here since.
        var added = 0
        var at: Date
        /// Somebody counts anew.
        var isCounting = false
    }

    /// Seconds after which a count is taken anew: others accept, too, and messages leave.
    private static let lifetime: TimeInterval = 30
    /// The shortest time between two counts, once the limit is reached.
    private static let pause: TimeInterval = 1
    private static let capacity = 10_000

    private let database: Database
    private let limit: Int
    private let entries = Mutex<[Account.ID: Entry]>([:])

    init(database: Database, limit: Int) {
        self.database = database
        self.limit = limit
    }

    /// Whether `more` messages may be accepted. While one caller counts anew, the others go by the count before.
    func hasRoom(for more: Int, account: Account.ID, now: Date) async throws -> Bool {
        let known = entries.withLock { entries -> Entry? in
            guard let known = entries[account] else { return nil }
            if known.isCounting || !isDue(known, more, now) { return known }
            entries[account]?.isCounting = true
            return nil
        }
        if let known { return known.counted + known.added + more <= limit }
        do {
            let counted = try await count(account)
            entries.withLock { entries in
                if entries.count >= Self.capacity { entries.removeAll() }
                entries[account] = Entry(counted: counted, at: now)
            }
            return counted + more <= limit
        } catch {
            entries.withLock { $0[account]?.isCounting = false }
            throw error
        }
    }

    /// These were accepted.
    func add(_ more: Int, account: Account.ID) { entries.withLock { $0[account]?.added += more } }

    private func isDue(_ known: Entry, _ more: Int, _ now: Date) -> Bool {
        let age = now.timeIntervalSince(known.at)
        if age < 0 || age >= Self.lifetime { return true }
        let room = limit - known.counted
        return (known.added + more) * 4 > room && age >= Self.pause
    }

    /// At most one more than the limit.
    private func count(_ account: Account.ID) async throws -> Int {
        try await database.queryOne(
            "messages.pending",
            """
            SELECT count(*) AS pending
            FROM (SELECT FROM outbox WHERE account_id = \(account) AND state <> 'on_wire' LIMIT \(limit + 1)) AS counted
            """, settings: Databases.accounts([account]), access: .readOnly, as: { try $0.column("pending", as: Int.self) }) ?? 0
    }
}
