package import Foundation
package import Postgres
import Primitives
import Secrets

/// Endpoints of an account, and what becomes of the events that are pushed to them.
///
/// For people: create → (verified by the engine) → list, get, update, rotate, test, deliveries → delete. For the engine: due → claim → record.
package struct Webhooks: Sendable {
    /// Endpoints of one account.
    package static let limit = 50

    let databases: Databases
    let keys: AccountKeys
    let random: any RandomSource
    let urls: WebhookURLRule
    let reports: GroupCommit<DeliveryReport, Void>

    init(databases: Databases, keys: AccountKeys, random: any RandomSource, urls: WebhookURLRule) {
        self.databases = databases
        self.keys = keys
        self.random = random
        self.urls = urls
        let engine = databases.engine
        reports = GroupCommit(maximum: 200, lanes: 2, crowd: 64) { try await DeliveryReports(database: engine, random: random).commit($0) }
    }

    /// An endpoint, and what its receiver verifies with if this is the moment to show it.
    package struct Made: Sendable {
        package let endpoint: WebhookEndpoint
        /// `whsec_…`; nil for Ed25519, whose public half is always shown, and when it was shown before.
        package let secret: String?
        package let replayed: Bool
    }

    /// Makes an endpoint and asks it whether it wants this; from now on the account's events are kept for 30 days. Under a known idempotency key the
    /// endpoint is given as it is, without its secret, and none is made.
    /// - Returns: nil: the endpoint that this idempotency key made is deleted.
    /// - Throws: `InvalidEndpoint`; `AcceptFailure` for the idempotency key.
    package func create(
        account: Account.ID, _ fields: EndpointFields, signing: WebhookSecret.Signing = .symmetric, test: Bool, idempotencyKey: IdempotencyKey? = nil,
        now: Date
    ) async throws -> Made? {
        try fields.check(urls, isNew: true)
        let url = fields.url ?? ""
        let sealer = try await keys.sealer(for: account)
        let id = WebhookEndpoint.ID.make(at: now, random: random)
        let secret = WebhookSecret(signing, random: random)
        let types = fields.chosenTypes ?? nil
        let claim = idempotencyKey.map {
            IdempotencyClaim(
                $0,
                request: [
                    "POST /v1/webhook-endpoints", url, fields.description ?? "", "\(fields.includesRecipient ?? false)", signing.rawValue, "\(test)",
                ]
                    + (types?.map(\.rawValue) ?? ["*"]), account: account, sealer: sealer)
        }
        let first = try await databases.api.transaction(Databases.accounts([account]) + [IdempotencyClaim.patience]) {
            transaction -> WebhookEndpoint.ID in
            if let earlier = try await claim?.take(for: id.uuid, in: transaction, now: now) { return WebhookEndpoint.ID(earlier) }
            let count = try await transaction.queryOne(
                "webhooks.count", "SELECT count(*) AS endpoints FROM webhook_endpoints WHERE account_id = \(account) AND state <> 'deleted'",
                as: { try $0.column("endpoints", as: Int.self) })
            guard (count ?? 0) < Self.limit else {
                throw InvalidEndpoint(problems: [SettingsProblem("", .tooMany, "an account has at most 50 webhook endpoints")])
            }
            let insert = Statement(
                "webhooks.create",
                """
                INSERT INTO webhook_endpoints (account_id, endpoint_id, test, state, url_sealed, description_sealed, types, include_recipient, signing,
                    secret_sealed, created_at)
                VALUES (\(account), \(id), \(test), 'verifying', \(sealer.seal(url, .webhookURL(id))),
                    \(sealer.seal(fields.description ?? "", .webhookDescription(id))), \(types?.map(\.rawValue) as [String]?),
                    \(fields.includesRecipient ?? false), \(signing.rawValue), \(sealer.seal(secret.copyBytes(), .webhookSecret(id))), \(now))
                """)
            let statements = [EventLog.subscription(account, now: now), insert] + verification(of: id, account, now: now)
            _ = try await transaction.commit(with: statements)
            return id
        }
        guard let endpoint = try await get(first, account: account) else { return nil }
        return Made(endpoint: endpoint, secret: first == id && signing == .symmetric ? secret.reveal() : nil, replayed: first != id)
    }

    /// Newest first.
    package func list(_ account: Account.ID) async throws -> [WebhookEndpoint] { try await read(account, "true") }

    /// nil: there is none of that id in this account.
    package func get(_ id: WebhookEndpoint.ID, account: Account.ID) async throws -> WebhookEndpoint? {
        try await read(account, "e.endpoint_id = \(id)").first
    }

    /// Changes an endpoint. A new URL is asked whether it wants this, and so is one that is to be enabled again; until it says so, nothing else goes there.
    /// - Parameter isEnabled: false disables it: what waits for it is dead, and can be replayed later. nil: as it is.
    /// - Returns: nil: there is none of that id.
    /// - Throws: `InvalidEndpoint`.
    package func update(
        _ id: WebhookEndpoint.ID, account: Account.ID, _ fields: EndpointFields, isEnabled: Bool? = nil, now: Date
    ) async throws -> WebhookEndpoint? {
        try fields.check(urls, isNew: false)
        let sealer = try await keys.sealer(for: account)
        let isThere = try await databases.api.transaction(Databases.accounts([account])) { transaction in
            let found = try await transaction.queryOne(
                "webhooks.lock",
                """
                SELECT state, url_sealed FROM webhook_endpoints WHERE account_id = \(account) AND endpoint_id = \(id) AND state <> 'deleted' FOR NO KEY UPDATE
                """
            ) { (state: try $0.column("state", as: String.self), url: try $0.column("url_sealed", as: [UInt8].self)) }
            guard let found else { return false }
            let isMoved = try fields.url.map { try $0 != sealer.openText(found.url, .webhookURL(id)) } ?? false
            var statements: [Statement] = []
            if isMoved, let url = fields.url {
                statements.append(
                    Statement(
                        "webhooks.move",
                        "UPDATE webhook_endpoints SET url_sealed = \(sealer.seal(url, .webhookURL(id))) WHERE account_id = \(account) AND endpoint_id = \(id)"
                    ))
            }
            if let description = fields.description {
                statements.append(
                    Statement(
                        "webhooks.describe",
                        """
                        UPDATE webhook_endpoints SET description_sealed = \(sealer.seal(description, .webhookDescription(id)))
                        WHERE account_id = \(account) AND endpoint_id = \(id)
                        """))
            }
            if let types = fields.chosenTypes {
                statements.append(
                    Statement(
                        "webhooks.choose",
                        """
                        UPDATE webhook_endpoints SET types = \(types?.map(\.rawValue) as [String]?) WHERE account_id = \(account) AND endpoint_id = \(id)
                        """))
            }
            if let includesRecipient = fields.includesRecipient {
                statements.append(
                    Statement(
                        "webhooks.include",
                        "UPDATE webhook_endpoints SET include_recipient = \(includesRecipient) WHERE account_id = \(account) AND endpoint_id = \(id)")
                )
            }
            let isDisabled = found.state == WebhookEndpoint.State.disabled.rawValue
            if isEnabled == false {
                if !isDisabled { statements.append(Self.disabling(id, account)) }
            } else if isMoved && !isDisabled || isEnabled == true && isDisabled {
                statements += verification(of: id, account, now: now)
            }
            if !statements.isEmpty { _ = try await transaction.commit(with: statements) }
            return true
        }
        return isThere ? try await get(id, account: account) : nil
    }

    /// Removes an endpoint with its secrets at once; its delivery log goes soon after. False: there is none of that id.
    package func delete(_ id: WebhookEndpoint.ID, account: Account.ID) async throws -> Bool {
        try await databases.api.execute(
            "webhooks.delete",
            """
            UPDATE webhook_endpoints
            SET state = 'deleted', disabled_reason = NULL, url_sealed = NULL, description_sealed = NULL, secret_sealed = NULL, previous_sealed = NULL,
                previous_until = NULL
            WHERE account_id = \(account) AND endpoint_id = \(id) AND state <> 'deleted'
            """, settings: Databases.accounts([account])) == 1
    }

    // MARK: Parts

    /// Makes the endpoint one that has to answer a challenge, and queues that before everything else.
    func verification(of id: WebhookEndpoint.ID, _ account: Account.ID, event: Event.ID? = nil, now: Date) -> [Statement] {
        let event = event ?? Event.ID.make(at: now, random: random)
        let type = EventType.endpointVerification.rawValue
        return [
            Statement(
                "webhooks.verify",
                """
                UPDATE webhook_endpoints
                SET state = 'verifying', disabled_reason = NULL, verification_id = \(event), failures = 0, failing_since = NULL, notices = 0,
                    paused_until = '-infinity'
                WHERE account_id = \(account) AND endpoint_id = \(id)
                """),
            Statement(
                "webhooks.supersede",
                """
                UPDATE event_queue SET state = 'dead', finished_at = \(now), claimed = false, code = 'superseded'
                WHERE account_id = \(account) AND endpoint_id = \(id) AND state = 'pending' AND type = \(type)
                """),
            Statement(
                "webhooks.challenge",
                """
                INSERT INTO event_queue (account_id, endpoint_id, event_id, type, due_at, created_at)
                VALUES (\(account), \(id), \(event), \(type), '-infinity', \(now))
                """),
        ]
    }

    private static func disabling(_ id: WebhookEndpoint.ID, _ account: Account.ID) -> Statement {
        Statement(
            "webhooks.disable",
            """
            UPDATE webhook_endpoints
            SET state = 'disabled', disabled_reason = \(WebhookEndpoint.DisabledReason.requested.rawValue), failures = 0, failing_since = NULL
            WHERE account_id = \(account) AND endpoint_id = \(id)
            """)
    }

    private func read(_ account: Account.ID, _ condition: SQL) async throws -> [WebhookEndpoint] {
        let sealer = try await keys.sealer(for: account)
        return try await databases.api.query(
            "webhooks.read",
            """
            SELECT e.endpoint_id, e.test, e.state, e.disabled_reason, e.url_sealed, e.description_sealed, e.types, e.include_recipient, e.signing,
                e.secret_sealed, e.previous_until, e.failing_since, e.created_at
            FROM webhook_endpoints e
            WHERE e.account_id = \(account) AND e.state <> 'deleted' AND \(condition)
            ORDER BY e.endpoint_id DESC
            """, settings: Databases.accounts([account]), access: .readOnly
        ) { try WebhookEndpoint($0, account: account, sealer: sealer) }
    }
}

extension WebhookEndpoint {
    fileprivate init(_ row: RowReader, account: Account.ID, sealer: Sealer) throws {
        let id = try row.column("endpoint_id", as: WebhookEndpoint.ID.self)
        let signing: WebhookSecret.Signing = try row.state("signing")
        let secret = try WebhookSecret(signing, copying: sealer.open(row.column("secret_sealed"), .webhookSecret(id)))
        let isDisabled = try row.column("disabled_reason", as: String?.self) != nil
        self.init(
            id: id, account: account, isTest: try row["test"], state: try row.state("state"),
            disabledReason: isDisabled ? try row.state("disabled_reason") : nil, url: try sealer.openText(row.column("url_sealed"), .webhookURL(id)),
            description: try sealer.openText(row.column("description_sealed"), .webhookDescription(id)),
            types: try row.column("types", as: [String]?.self).map { $0.compactMap(EventType.init) }, includesRecipient: try row["include_recipient"],
            signing: signing, publicKey: signing == .ed25519 ? secret?.reveal() : nil, previousUntil: try row["previous_until"],
            failingSince: try row["failing_since"], createdAt: try row["created_at"])
    }
}
