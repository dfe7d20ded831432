package import Foundation
import Postgres
import Primitives
import Secrets

/// Messages: accepted here, sent through `Outbox`, read here.
package struct Messages: Sendable {
    /// Rows in one commit, and commits at the same time; measured in swift-notes.md §5.
    private static let batch = 500
    private static let lanes = 2

    let databases: Databases
    let keys: AccountKeys
    let routing: Routing
    let random: any RandomSource
    private let commits: GroupCommit<AcceptRow, AcceptOutcome>

    init(databases: Databases, keys: AccountKeys, routing: Routing, random: any RandomSource) {
        self.databases = databases
        self.keys = keys
        self.routing = routing
        self.random = random
        let batch = AcceptBatch(database: databases.api)
        commits = GroupCommit(maximum: Self.batch, lanes: Self.lanes) { try await batch.write($0) }
    }

    /// Accepts a message: route, seal, and one durable commit shared with whoever else is waiting. Returns only when it will be sent or settled
    /// whatever dies. Under a known idempotency key the first message is returned as it was first answered and nothing is written.
    /// - Throws: `AcceptFailure`.
    package func accept(_ message: SendMessage, caller: Caller, idempotencyKey: IdempotencyKey?, now: Date) async throws -> Accepted {
        do {
            return try await acceptOnce(message, caller, idempotencyKey, now)
        } catch let error as DatabaseError {
            throw AcceptFailure(error)
        } catch is AccountGone {
            throw AcceptFailure(.accountClosed, "the account is closed")
        }
    }

    /// What `accept` would answer if the key is known already, and nil otherwise; writes nothing. For a request that was in time when it
    /// came first and is not any more.
    package func repeated(_ message: SendMessage, caller: Caller, idempotencyKey: IdempotencyKey, now: Date) async throws -> Accepted? {
        let sealer = try await keys.sealer(for: caller.account)
        let keyIndex = IdempotencyClaim.index(of: idempotencyKey, sealer)
        guard let earlier = try await earlier(keyIndex, account: caller.account, now: now) else { return nil }
        return try await replay(earlier.0, earlier.1 == Self.fingerprint(message, caller, sealer), caller.account)
    }

    private static func fingerprint(_ message: SendMessage, _ caller: Caller, _ sealer: Sealer) -> [UInt8] {
        sealer.blindIndex(message.canonical + [caller.isTest ? 1 : 0], purpose: .idempotency)
    }

    private func acceptOnce(_ message: SendMessage, _ caller: Caller, _ idempotencyKey: IdempotencyKey?, _ now: Date) async throws -> Accepted {
        let sealer = try await keys.sealer(for: caller.account)
        let fingerprint = Self.fingerprint(message, caller, sealer)
        let keyIndex = idempotencyKey.map { IdempotencyClaim.index(of: $0, sealer) }
        let (decision, _) = try await routing.decide(message.route, caller: caller)
        guard let sender = decision.sender else {
            // A repeated request gets its first answer even if its sender is gone meanwhile.
            if let keyIndex, let earlier = try await earlier(keyIndex, account: caller.account, now: now) {
                return try await replay(earlier.0, earlier.1 == fingerprint, caller.account)
            }
            throw AcceptFailure(decision)
        }
        let id = Message.ID.make(at: now, random: random)
        let nonce = random.bytes(16)
        let row = AcceptRow(
            account: caller.account, message: id, sender: sender, pool: decision.pool, policy: decision.policy.rawValue, reason: decision.reason,
            key: caller.key, isTest: caller.isTest, priority: message.priority.rank, recipient: sealer.seal(message.to.digits, .recipient(id)),
            recipientIndex: sealer.index(of: message.to), reference: message.reference.map { sealer.seal($0.value, .reference(id)) },
            referenceIndex: message.reference.map { sealer.index(of: $0) },
            metadata: try message.metadata.map { sealer.seal(try $0.encoded(), .metadata(id)) },
            body: sealer.seal(message.text.value, .body(id)), nonce: nonce, wireID: WireID.make(nonce: nonce, sender: sender), createdAt: now,
            expiresAt: message.expiresAt, atMostOnce: message.atMostOnce, previewURL: message.previewURL, keyIndex: keyIndex, fingerprint: fingerprint
        )
        switch try await commits.submit(row) {
        case .stored:
            Failpoint.hit(.accepted)
            let label = decision.considered.first { $0.sender == sender }?.label ?? ""
            return Accepted(message: MessageView(row, message, decision, label: label), replayed: false)
        case .repeated(let first, let print):
            return try await replay(first, print == fingerprint, caller.account)
        }
    }

    private func replay(_ id: Message.ID, _ isSame: Bool, _ account: Account.ID) async throws -> Accepted {
        guard isSame else { throw AcceptFailure(.idempotencyKeyReused, "this idempotency key was used for another request") }
        guard let view = try await find(id, account: account) else {
            throw AcceptFailure(.idempotencyInProgress, "the first request with this key is not finished")
        }
        return Accepted(message: view.asFirstAnswered, replayed: true)
    }

    private func earlier(_ keyIndex: [UInt8], account: Account.ID, now: Date) async throws -> (Message.ID, [UInt8])? {
        try await databases.api.queryOne(
            "messages.earlier",
            "SELECT resource_id, fingerprint FROM idempotency WHERE account_id = \(account) AND key_index = \(keyIndex) AND expires_at > \(now)",
            settings: Databases.accounts([account]), access: .readOnly, as: { (try $0["resource_id"], try $0["fingerprint"]) })
    }
}

extension AcceptFailure {
    /// What a database error means for the client: never more than that it may try again, or that it is ours.
    init(_ error: DatabaseError) {
        switch error.code {
        case .commitUnknown: self.init(.outcomeUnknown, "the connection was lost while committing; safe to retry with the same key")
        case _ where error.sqlState == "55P03": self.init(.idempotencyInProgress, "the first request with this key is not finished")
        default: self.init(.unavailable, "database: \(error.code.label)")
        }
    }

    init(_ decision: RouteDecision) {
        switch decision.failure {
        case .senderNotFound: self.init(.senderNotFound, decision.reason)
        case .senderNotAllowed: self.init(.senderNotAllowed, decision.reason)
        case .poolNotFound: self.init(.poolNotFound, decision.reason)
        case .noSender, nil: self.init(.noSender, decision.reason)
        }
    }
}

extension Sealer {
    func index(of number: E164) -> [UInt8] { blindIndex(Array(number.digits.utf8), purpose: .recipients) }
    func index(of reference: Reference) -> [UInt8] { blindIndex(Array(reference.value.utf8), purpose: .references) }
}

extension Metadata {
    func encoded() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        return Array(try encoder.encode(pairs))
    }

    static func decode(_ bytes: [UInt8]) throws -> [String: String] { try JSONDecoder().decode([String: String].self, from: Data(bytes)) }
}
