package import Foundation
import Postgres
import Secrets

/// What people may change of a sender.
extension Senders {
    /// Changes the label, the limits, or both; nil stays as it is. Limits are replaced as a whole, and the next decision goes by them.
    /// - Returns: the sender as it is now; nil: there is none of that id in this account.
    /// - Throws: `InvalidLimits`.
    package func update(
        _ id: Sender.ID, account: Account.ID, label: String? = nil, limits: SendingLimits.Shape? = nil, now: Date
    ) async throws -> Sender? {
        guard let sender = try await get(id, account: account) else { return nil }
        let sealer = try await keys.sealer(for: account)
        let stored = try limits.map { try SendingLimits($0, for: sender.isTest ? .testSender : .liveSender).stored() }
        try await databases.api.execute(
            "senders.update",
            """
            UPDATE senders
            SET label_sealed = coalesce(\(label.map { sealer.seal($0, .senderLabel(id)) } as [UInt8]?), label_sealed),
                limits = coalesce((\(stored as String?))::jsonb, limits)
            WHERE account_id = \(account) AND sender_id = \(id) AND state <> 'removed'
            """, settings: Databases.accounts([account]))
        routing?.forget(account)
        return try await get(id, account: account)
    }

    /// Lets a sender that was parked, or replaced by another program, connect again: its node tries at once. Any other state stays as it is.
    /// - Returns: the state it is in now, `connecting` if it was resumed; nil: there is none of that id in this account.
    package func resume(_ id: Sender.ID, account: Account.ID, now: Date) async throws -> SenderState? {
        let state = try await databases.api.transaction(Databases.accounts([account])) { transaction -> SenderState? in
            let before: SenderState? = try await transaction.queryOne(
                "senders.lockForResume",
                "SELECT state FROM senders WHERE account_id = \(account) AND sender_id = \(id) AND state <> 'removed' FOR UPDATE",
                as: { try $0.state("state") })
            guard before == .parked || before == .replaced else { return before }
            _ = try await transaction.execute(
                "senders.resume",
                """
                UPDATE senders SET state = 'connecting', state_code = NULL, state_since = \(now)
                WHERE account_id = \(account) AND sender_id = \(id)
                """)
            _ = try await transaction.lastQuery(
                "senders.hint", "SELECT pg_notify(\(Hint.senders), \(id.uuid.uuidString))::text AS hint", as: { _ in })
            return .connecting
        }
        routing?.forget(account)
        return state
    }
}
