package import Foundation
import Postgres
import Secrets

extension Webhooks {
    /// The longest that a secret signs beside its successor, in seconds.
    package static let longestOverlap: TimeInterval = 86_400
    /// Time between two tests of an endpoint, in seconds.
    package static let testInterval: TimeInterval = 10

    /// Gives an endpoint a new secret. The old one signs too for `overlap` seconds (clamped to a day), so that receivers can change over; one that was
    /// still signing from an earlier rotation does so no longer. Under a known idempotency key nothing changes and no secret is shown.
    /// - Returns: nil: there is none of that id.
    package func rotate(
        _ id: WebhookEndpoint.ID, account: Account.ID, overlap: TimeInterval = longestOverlap, idempotencyKey: IdempotencyKey? = nil, now: Date
    ) async throws -> Made? {
        let overlap = min(max(overlap, 0), Self.longestOverlap)
        let sealer = try await keys.sealer(for: account)
        let claim = idempotencyKey.map {
            IdempotencyClaim(
                $0, request: ["POST /v1/webhook-endpoints/rotate-secret", "\(id)", "\(overlap)"], account: account, sealer: sealer)
        }
        enum Outcome { case none, replayed, rotated(String) }
        let outcome = try await databases.api.transaction(Databases.accounts([account]) + [IdempotencyClaim.patience]) { transaction -> Outcome in
            let found = try await transaction.queryOne(
                "webhooks.lockSecret",
                """
                SELECT signing, secret_sealed FROM webhook_endpoints
                WHERE account_id = \(account) AND endpoint_id = \(id) AND state <> 'deleted' FOR NO KEY UPDATE
                """
            ) { (signing: try $0.state("signing") as WebhookSecret.Signing, sealed: try $0.column("secret_sealed", as: [UInt8].self)) }
            guard let found else { return .none }
            if try await claim?.take(for: id.uuid, in: transaction, now: now) != nil { return .replayed }
            let secret = WebhookSecret(found.signing, random: random)
            let old = overlap > 0 ? try sealer.seal(sealer.open(found.sealed, .webhookSecret(id)), .webhookPrevious(id)) : nil
            let until = overlap > 0 ? now.addingTimeInterval(overlap) : nil
            try await transaction.lastStatement(
                "webhooks.rotate",
                """
                UPDATE webhook_endpoints
                SET secret_sealed = \(sealer.seal(secret.copyBytes(), .webhookSecret(id))), previous_sealed = \(old as [UInt8]?),
                    previous_until = \(until as Date?)
                WHERE account_id = \(account) AND endpoint_id = \(id)
                """)
            return .rotated(secret.reveal())
        }
        guard let endpoint = try await get(id, account: account) else { return nil }
        switch outcome {
        case .none: return nil
        case .replayed: return Made(endpoint: endpoint, secret: nil, replayed: true)
        case .rotated(let secret): return Made(endpoint: endpoint, secret: endpoint.signing == .symmetric ? secret : nil, replayed: false)
        }
    }

    /// What came of a wish to test.
    package enum Test: Sendable {
        /// This event is on its way: a test, or for an endpoint that has not proved itself, the challenge once more.
        case queued(Event.ID, replayed: Bool)
        /// The last one was too short ago; in so many seconds.
        case tooSoon(TimeInterval)
        case disabled
    }

    /// Sends the endpoint something harmless, before everything else, even if it is being left alone after failures. Once in ten seconds, so that nobody makes a weapon of it.
    /// - Returns: nil: there is none of that id.
    package func test(_ id: WebhookEndpoint.ID, account: Account.ID, idempotencyKey: IdempotencyKey? = nil, now: Date) async throws -> Test? {
        let sealer = try await keys.sealer(for: account)
        let claim = idempotencyKey.map {
            IdempotencyClaim($0, request: ["POST /v1/webhook-endpoints/test", "\(id)"], account: account, sealer: sealer)
        }
        let event = Event.ID.make(at: now, random: random)
        struct Refused: Error { let test: Test? }
        do {
            return try await databases.api.transaction(Databases.accounts([account]) + [IdempotencyClaim.patience]) { transaction in
                let found = try await transaction.queryOne(
                    "webhooks.lockTest",
                    """
                    SELECT state, tested_at FROM webhook_endpoints
                    WHERE account_id = \(account) AND endpoint_id = \(id) AND state <> 'deleted' FOR NO KEY UPDATE
                    """
                ) { (state: try $0.state("state") as WebhookEndpoint.State, testedAt: try $0.column("tested_at", as: Date.self)) }
                guard let found else { throw Refused(test: nil) }
                if let earlier = try await claim?.take(for: event.uuid, in: transaction, now: now) {
                    return .queued(Event.ID(earlier), replayed: true)
                }
                // With a rollback the idempotency key is free again.
                guard found.state != .disabled else { throw Refused(test: .disabled) }
                let wait = found.testedAt.addingTimeInterval(Self.testInterval).timeIntervalSince(now)
                guard wait <= 0 else { throw Refused(test: .tooSoon(wait)) }
                var statements = [
                    Statement(
                        "webhooks.tested",
                        "UPDATE webhook_endpoints SET tested_at = \(now), paused_until = '-infinity' WHERE account_id = \(account) AND endpoint_id = \(id)"
                    )
                ]
                if found.state == .verifying {
                    statements += verification(of: id, account, event: event, now: now)
                } else {
                    statements.append(
                        Statement(
                            "webhooks.test",
                            """
                            INSERT INTO event_queue (account_id, endpoint_id, event_id, type, due_at, created_at)
                            VALUES (\(account), \(id), \(event), \(EventType.endpointTest.rawValue), '-infinity', \(now))
                            """))
                }
                _ = try await transaction.commit(with: statements)
                return .queued(event, replayed: false)
            }
        } catch let refusal as Refused { return refusal.test }
    }
}
