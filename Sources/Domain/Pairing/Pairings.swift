package import Foundation
import Postgres
import Primitives
import Secrets

/// A pairing that some node should serve: it holds the sender's lease and publishes codes.
package struct PendingPairing: Sendable {
    package let owner: OwnedSender
    package let method: Pairing.Method
    package let number: E164?
    package let requestedAt: Date
    package let expiresAt: Date
}

/// Pairings under way. Whoever asks writes a row; the node that holds the lease serves it; the code travels sealed.
package struct Pairings: Sendable {
    /// How long a pairing may take in all.
    package static let lifetime: TimeInterval = 300

    let databases: Databases
    let keys: AccountKeys

    /// Asks for a pairing, or renews one under way. nil: no such sender, or it is linked and in use, or it is being removed.
    package func request(
        sender: Sender.ID, account: Account.ID, method: Pairing.Method = .qr, number: E164? = nil, now: Date
    ) async throws -> Pairing? {
        let sealer = try await keys.sealer(for: account)
        let expiresAt = now.addingTimeInterval(Self.lifetime)
        let touched = try await databases.api.transaction(Databases.accounts([account])) { transaction in
            let touched = try await transaction.execute(
                "pairing.request",
                """
                WITH wanted AS (
                    UPDATE senders SET state = 'pairing', state_code = NULL, state_since = \(now)
                    WHERE account_id = \(account) AND sender_id = \(sender)
                      AND state IN ('unpaired', 'pairing', 'logged_out', 'replaced', 'parked')
                    RETURNING account_id, sender_id
                )
                INSERT INTO pairings (account_id, sender_id, method, number_sealed, requested_at, expires_at)
                SELECT account_id, sender_id, \(method.rawValue), \(number.map { sealer.seal($0.digits, .pairingNumber(sender)) } as [UInt8]?), \(now), \(expiresAt)
                FROM wanted
                ON CONFLICT (account_id, sender_id) DO UPDATE
                SET method = excluded.method, number_sealed = excluded.number_sealed, requested_at = excluded.requested_at,
                    expires_at = excluded.expires_at, code_sealed = NULL, code_until = NULL
                """)
            _ = try await transaction.lastQuery(
                "pairing.hint", "SELECT pg_notify(\(Hint.senders), \(sender.uuid.uuidString))::text AS hint", as: { _ in })
            return touched
        }
        guard touched > 0 else { return nil }
        return Pairing(
            sender: sender, method: method, number: number, requestedAt: now, expiresAt: expiresAt, code: nil, senderState: .pairing)
    }

    /// Puts out a code to show. False: the epoch is over, or nobody wants a pairing any more.
    package func publish(_ owner: OwnedSender, code: Pairing.Code, now: Date) async throws -> Bool {
        let sealer = try await keys.sealer(for: owner.account)
        let touched = try await databases.engine.execute(
            "pairing.publish",
            """
            UPDATE pairings p SET code_sealed = \(sealer.seal(code.text, .pairingCode(owner.sender))), code_until = \(code.validUntil)
            FROM sender_leases l
            WHERE l.account_id = p.account_id AND l.sender_id = p.sender_id AND l.epoch = \(owner.epoch)
              AND p.account_id = \(owner.account) AND p.sender_id = \(owner.sender) AND p.expires_at > \(now)
            """, settings: Databases.accounts([owner.account]))
        Failpoint.hit(.codePublished)
        return touched == 1
    }

    /// The pairing as it stands, with its code while that is valid. nil: none is under way; the sender's state tells how the last one ended.
    package func current(sender: Sender.ID, account: Account.ID, now: Date) async throws -> Pairing? {
        let sealer = try await keys.sealer(for: account)
        return try await databases.api.queryOne(
            "pairing.current",
            """
            SELECT p.method, p.number_sealed, p.requested_at, p.expires_at, p.code_sealed, p.code_until, s.state
            FROM pairings p
            JOIN senders s ON s.account_id = p.account_id AND s.sender_id = p.sender_id
            WHERE p.account_id = \(account) AND p.sender_id = \(sender) AND p.expires_at > \(now)
            """, settings: Databases.accounts([account]), access: .readOnly
        ) { row in
            var code: Pairing.Code?
            if let sealed = try row.column("code_sealed", as: [UInt8]?.self), let until = try row.column("code_until", as: Date?.self), until > now {
                code = Pairing.Code(text: try sealer.openText(sealed, .pairingCode(sender)), validUntil: until)
            }
            let number = try row.column("number_sealed", as: [UInt8]?.self).map { try E164(digits: sealer.openText($0, .pairingNumber(sender))) }
            return Pairing(
                sender: sender, method: try row.state("method"), number: number, requestedAt: try row["requested_at"],
                expiresAt: try row["expires_at"], code: code, senderState: try row.state("state"))
        }
    }

    /// What is asked for among senders that this node holds.
    package func pending(_ owners: [OwnedSender], now: Date) async throws -> [PendingPairing] {
        guard !owners.isEmpty else { return [] }
        let rows = try await databases.engine.query(
            "pairing.pending",
            """
            SELECT p.account_id, p.sender_id, o.epoch, p.method, p.number_sealed, p.requested_at, p.expires_at
            FROM pairings p
            JOIN \(owners.rows) ON o.account_id = p.account_id AND o.sender_id = p.sender_id
            WHERE p.expires_at > \(now)
            ORDER BY p.requested_at, p.sender_id
            """, settings: Databases.accounts(owners.map(\.account)), access: .readOnly
        ) { row in
            (
                owner: OwnedSender(account: try row["account_id"], sender: try row["sender_id"], epoch: try row["epoch"]),
                method: try row.state("method") as Pairing.Method, number: try row.column("number_sealed", as: [UInt8]?.self),
                requestedAt: try row.column("requested_at", as: Date.self), expiresAt: try row.column("expires_at", as: Date.self)
            )
        }
        var pending: [PendingPairing] = []
        for row in rows {
            var number: E164?
            if let sealed = row.number {
                number = try E164(digits: try await keys.sealer(for: row.owner.account).openText(sealed, .pairingNumber(row.owner.sender)))
            }
            pending.append(
                PendingPairing(owner: row.owner, method: row.method, number: number, requestedAt: row.requestedAt, expiresAt: row.expiresAt))
        }
        return pending
    }

    /// Ends a pairing without success, for example because all its codes ran out: the sender is `unpaired` again, with that code. Nothing
    /// happens when the epoch is over.
    package func finish(_ owner: OwnedSender, code: String, now: Date) async throws {
        try await databases.engine.execute(
            "pairing.finish",
            """
            WITH held AS MATERIALIZED (
                SELECT account_id, sender_id FROM sender_leases
                WHERE account_id = \(owner.account) AND sender_id = \(owner.sender) AND epoch = \(owner.epoch)
                FOR SHARE
            ),
            ended AS (
                DELETE FROM pairings p USING held
                WHERE p.account_id = held.account_id AND p.sender_id = held.sender_id
            )
            UPDATE senders s SET state = 'unpaired', state_code = \(code), state_since = \(now)
            FROM held
            WHERE s.account_id = held.account_id AND s.sender_id = held.sender_id AND s.state = 'pairing'
            """, settings: Databases.accounts([owner.account]))
    }
}
