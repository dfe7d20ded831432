package import Foundation
import Postgres

/// What holds a sender back at one moment: its limits with what it has used of them, and its health.
package struct SenderStanding: Sendable {
    package let sender: DueSender
    package let limits: EffectiveLimits
    package var usage: SendingUsage
    package let pairedAt: Date?
    package let health: SenderHealth

    package init(sender: DueSender, limits: EffectiveLimits, usage: SendingUsage = .none, pairedAt: Date? = nil, health: SenderHealth = .well) {
        self.sender = sender
        self.limits = limits
        self.usage = usage
        self.pairedAt = pairedAt
        self.health = health
    }
}

extension SenderStanding {
    /// - Parameters:
    ///   - isPaced: live senders have their defaults; else they have as few as test senders.
    ///   - locked: the rows of `sender_usage` exist, and are locked in one order; all senders are answered. Without it only those are
    ///   that limits or health may hold back.
    static func query(_ senders: [DueSender], isPaced: Bool, locked: Bool = false) -> SQL {
        """
        SELECT s.account_id, s.sender_id, (s.test OR NOT \(isPaced)) AS test, s.limits::text AS limits, s.paired_at, \(SendingUsage.columns("u")), \(SenderHealth.columns)
        FROM unnest(\(senders.map(\.account)), \(senders.map(\.sender))) AS i (account_id, sender_id)
        JOIN senders s ON s.account_id = i.account_id AND s.sender_id = i.sender_id
        LEFT JOIN sender_health h ON h.account_id = s.account_id AND h.sender_id = s.sender_id
        \(locked ? Self.locking : Self.looking)
        """
    }

    private static let locking: SQL = """
        JOIN sender_usage u ON u.account_id = s.account_id AND u.sender_id = s.sender_id
        ORDER BY u.account_id, u.sender_id
        FOR UPDATE OF u
        """
    private static let looking: SQL = """
        LEFT JOIN sender_usage u ON u.account_id = s.account_id AND u.sender_id = s.sender_id
        WHERE NOT s.test OR s.limits <> '{}' OR h.sender_id IS NOT NULL
        ORDER BY s.account_id, s.sender_id
        """

    init(_ row: RowReader) throws {
        let subject: SendingLimits.Subject = try row.column("test", as: Bool.self) ? .testSender : .liveSender
        self.init(
            sender: DueSender(account: try row["account_id"], sender: try row["sender_id"]),
            limits: try SendingLimits(stored: row["limits"], for: subject).effective(for: subject), usage: try SendingUsage(row),
            pairedAt: try row["paired_at"], health: try SenderHealth(row))
    }
}
