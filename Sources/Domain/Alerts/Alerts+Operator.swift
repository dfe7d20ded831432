package import Foundation
import Postgres
import Primitives
import Secrets

/// An e-mail address that a deletion receipt goes to; its account is gone.
package struct ClaimedReceipt: Sendable {
    package let id: UUID
    package let address: EmailAddress
    package let language: AlertChannel.Language
    package let receipt: DeletionReceipt
    /// This try included.
    package let tries: Int
}

/// What concerns the whole gateway, and what outlives an account for a day.
extension Alerts {
    /// How long an address waits for its receipt to be sent, in seconds.
    static let receiptLifetime: TimeInterval = 86_400
    static let receiptRetry: TimeInterval = 300

    /// Whom gateway-wide alerts are told: the account that the operator has named, or the only one there is. nil: nobody.
    package func operatorAccount(_ setting: Account.ID?) async throws -> Account.ID? {
        let ids = try await databases.engine.query("alerts.accountIDs", "SELECT account_id FROM gateway_account_ids()", access: .readOnly) {
            try $0.column("account_id", as: Account.ID.self)
        }
        guard !ids.isEmpty else { return nil }
        let active = try await databases.engine.query(
            "alerts.activeAccounts", "SELECT account_id FROM accounts WHERE state = 'active' ORDER BY account_id LIMIT 2",
            settings: Databases.accounts(setting.map { [$0] } ?? ids), access: .readOnly, as: { try $0.column("account_id", as: Account.ID.self) })
        return active.count == 1 ? active.first : nil
    }

    /// Writes down that the database could not be used, after it can be again; or that it still cannot, as far as one knows. `told` were told of it
    /// while it lasted, and are told of its end in the ordinary way. The same beginning twice is one alert.
    /// - Parameter end: nil: it goes on.
    /// - Returns: nil: the account is not there, or wants none of this kind.
    package func recordDatabaseTrouble(
        account: Account.ID, from: Date, to end: Date?, code: String? = nil, told: [AlertChannel.ID] = [], now: Date
    ) async throws -> Alert.ID? {
        let rule = try await rules(account).first { $0.kind == .databaseTrouble } ?? AlertRule(.databaseTrouble)
        guard rule.isEnabled else { return nil }
        let figures = AlertFigures(age: end.map { Int($0.timeIntervalSince(from)) }, code: code.map(Self.safe))
        let text = try AlertCoding.encode(figures)
        let fresh = Alert.ID.make(at: from, random: random)
        return try await databases.engine.transaction(Databases.accounts([account])) { transaction in
            // One at a time, and not beside the watcher.
            _ = try await transaction.query(
                "alerts.lockTrouble", "SELECT pg_advisory_xact_lock(hashtext('gateway.alerts'))::text AS locked", as: { _ in })
            let isThere = try await transaction.query(
                "alerts.troubledAccount", "SELECT account_id FROM accounts WHERE account_id = \(account) AND state = 'active'", as: { _ in true })
            guard !isThere.isEmpty else { return nil }
            let kind = AlertKind.databaseTrouble.rawValue
            let known = try await transaction.queryOne(
                "alerts.knownTrouble",
                "SELECT alert_id FROM alerts WHERE account_id = \(account) AND kind = \(kind) AND opened_at = \(from) ORDER BY alert_id LIMIT 1",
                as: { try $0.column("alert_id", as: Alert.ID.self) })
            let id = known ?? fresh
            if known == nil {
                _ = try await transaction.execute(
                    "alerts.trouble",
                    """
                    INSERT INTO alerts (account_id, alert_id, kind, severity, subject_ids, subject_count, open_count, figures, opened_at, escalate_after)
                    VALUES (\(account), \(id), \(kind), \(rule.severity.rawValue), ARRAY[\(account)], 1, 1, (\(text))::jsonb, \(from),
                        \(rule.escalateAfter.map { Int32($0) } as Int32?))
                    """)
            }
            _ = try await transaction.execute(
                "alerts.toldOfTrouble",
                """
                INSERT INTO alert_tellings (account_id, alert_id, channel_id, subjects)
                SELECT c.account_id, \(id), c.channel_id, 1 FROM alert_channels c WHERE c.account_id = \(account) AND c.channel_id = ANY (\(told))
                ON CONFLICT DO NOTHING
                """)
            if let end {
                _ = try await transaction.execute(
                    "alerts.troubleOver",
                    """
                    UPDATE alerts SET cleared_at = \(end), ending = 'recovered', open_count = 0, figures = (\(text))::jsonb
                    WHERE account_id = \(account) AND alert_id = \(id) AND cleared_at IS NULL
                    """)
            }
            return id
        }
    }

    // MARK: Deletion receipts

    /// For the transaction that destroys an account's key: its verified e-mail addresses, sealed under a key of the gateway, wait for the receipt.
    /// - Parameter sealer: nil: nothing of the account can be read, so nobody is told.
    static func receiptMails(
        _ account: Account.ID, sealer: Sealer?, gatewayKeys: GatewayKeys, random: any RandomSource, in transaction: Transaction, now: Date
    ) async throws -> [Statement] {
        // One node at a time, and once.
        let step = try await transaction.queryOne(
            "closing.lockStep", "SELECT step FROM closings WHERE account_id = \(account) FOR UPDATE", as: { try $0.column("step", as: String.self) })
        guard step == "unlinking", let sealer else { return [] }
        let rows = try await transaction.query(
            "closing.channels",
            """
            SELECT \(AlertChannel.columns) FROM alert_channels c
            WHERE c.account_id = \(account) AND c.kind = 'email' AND c.activated_at IS NOT NULL
            ORDER BY c.channel_id
            """, as: ChannelRow.init(row:))
        return rows.compactMap { row in
            // One that cannot be opened keeps no account from being closed.
            guard case .email(let address)? = try? row.channel(sealer).address else { return nil }
            let id = UUID(bytes: random.bytes(16))
            let sealed = gatewayKeys.sealMail(Array(address.text.utf8), mail: id.bytes, random: random)
            return Statement(
                "closing.receiptMail",
                """
                INSERT INTO receipt_mails (mail_id, receipt_id, address_sealed, language, due_at, expires_at)
                SELECT \(id), s.receipt_id, \(sealed), \(row.settings.language.rawValue), \(now), \(now.addingTimeInterval(receiptLifetime))
                FROM closings s
                WHERE s.account_id = \(account)
                """)
        }
    }

    /// Takes receipts that are to be sent; until `deadline` they are this node's.
    package func claimReceipts(limit: Int = 50, now: Date, deadline: Date) async throws -> [ClaimedReceipt] {
        let rows = try await databases.engine.query(
            "receipts.claim",
            """
            WITH due AS (
                SELECT m.mail_id
                FROM receipt_mails m
                JOIN deletion_receipts r ON r.receipt_id = m.receipt_id
                WHERE m.due_at <= \(now) AND m.expires_at > \(now)
                ORDER BY m.due_at
                LIMIT \(limit)
                FOR UPDATE OF m SKIP LOCKED
            )
            UPDATE receipt_mails m SET due_at = \(deadline), tries = m.tries + 1
            FROM due, deletion_receipts r
            WHERE m.mail_id = due.mail_id AND r.receipt_id = m.receipt_id
            RETURNING m.mail_id, m.address_sealed, m.language, m.tries, r.receipt_id, r.requested_at, r.completed_at, r.backups_unreadable_at,
                r.counts::text AS counts
            """
        ) { row in
            (
                id: try row.column("mail_id", as: UUID.self), sealed: try row.column("address_sealed", as: [UInt8].self),
                language: try row.state("language") as AlertChannel.Language, tries: try row.column("tries", as: Int.self),
                receipt: DeletionReceipt(
                    id: try row["receipt_id"], requestedAt: try row["requested_at"], completedAt: try row["completed_at"],
                    backupsUnreadableAt: try row["backups_unreadable_at"],
                    counts: try JSONDecoder().decode([String: Int].self, from: Data(try row.column("counts", as: String.self).utf8)))
            )
        }
        return try rows.compactMap { row in
            let text = String(decoding: try keys.ring.gateway.openMail(row.sealed, mail: row.id.bytes), as: UTF8.self)
            return EmailAddress(text).map {
                ClaimedReceipt(id: row.id, address: $0, language: row.language, receipt: row.receipt, tries: row.tries)
            }
        }
    }

    /// - Parameter sent: true: the address goes at once; false: once more in five minutes, for a day.
    package func record(_ receipt: ClaimedReceipt, sent: Bool, now: Date) async throws {
        if sent {
            try await databases.engine.execute("receipts.sent", "DELETE FROM receipt_mails WHERE mail_id = \(receipt.id)")
        } else {
            try await databases.engine.execute(
                "receipts.again", "UPDATE receipt_mails SET due_at = \(now.addingTimeInterval(Self.receiptRetry)) WHERE mail_id = \(receipt.id)")
        }
    }
}
