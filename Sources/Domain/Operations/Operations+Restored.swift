package import Foundation
import Postgres

extension Operations {
    /// What was forgotten after a restore.
    package struct Forgotten: Sendable, Equatable {
        package var accounts = 0
        /// Signal sessions: each is begun anew with the next message to that device.
        package var signalSessions = 0
        /// Messages that were ended instead of sent.
        package var messages = 0
    }

    /// Makes a database that was restored from a backup safe to serve from: it must not send with ratchets that have moved on since. Every Signal
    /// session goes; the identities of the recipients' devices stay. Nothing may serve meanwhile. Twice does no harm.
    /// - Parameter endsWaiting: messages that wait are ended, as expired or, if their bytes had left, as unconfirmed. Without it they are sent
    ///   again by the senders and under the ids they have, which recipients' devices show once; only what was scheduled for a time that has come
    ///   since is ended, because nobody knows any more by whom it was sent.
    /// - Throws: `DatabaseError`; what was done until then stays done.
    package func forgetRatchets(endsWaiting: Bool, now: Date) async throws -> Forgotten {
        let accounts = try await database.query(
            "operations.accounts", "SELECT account_id FROM gateway_account_ids() AS ids (account_id)", access: .readOnly
        ) { try $0.column("account_id", as: Account.ID.self) }
        var forgotten = Forgotten(accounts: accounts.count)
        for account in accounts {
            let settings = Databases.accounts([account])
            forgotten.signalSessions += try await database.execute(
                "operations.forgetSessions", "DELETE FROM signal_sessions WHERE account_id = \(account)", settings: settings, deadline: .seconds(60))
            guard endsWaiting else {
                forgotten.messages += try await database.transaction(settings, deadline: .seconds(60)) { transaction in
                    try await transaction.commit(with: [
                        Statement(
                            "operations.endDue",
                            "UPDATE outbox SET expires_at = least(expires_at, \(now)) WHERE account_id = \(account) AND state = 'scheduled' AND due_at <= \(now)"
                        ),
                        Statement(
                            "operations.pin",
                            "UPDATE outbox SET movable = false WHERE account_id = \(account) AND state IN ('accepted', 'prepared', 'on_wire')"),
                    ])[0].affected
                }
                continue
            }
            forgotten.messages += try await database.execute(
                "operations.endWaiting",
                """
                UPDATE outbox SET expires_at = least(expires_at, \(now)), deadline = CASE WHEN deadline IS NOT NULL THEN least(deadline, \(now)) END
                WHERE account_id = \(account)
                """, settings: settings, deadline: .seconds(60))
        }
        return forgotten
    }
}
