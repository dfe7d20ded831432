package import Foundation
import Postgres
import Primitives
import Secrets

/// Messages: accepted here, sent through `Outbox`, read here.
package struct Messages: Sendable {
    /// Rows in one commit, and commits at the same time; measured in swift-notes.md §5.
    private static let batch = 500
    private static let lanes = 2
    /// Requests that must wait for the second of them.
    private static let crowd = 48
    /// Messages of one request of many that are written in one piece, and pieces in one commit.
    static let pieceSize = 250
    private static let pieces = 4
    /// Most messages of one account that wait to be sent; one more is refused.
    package static let defaultPendingLimit = 250_000

    let databases: Databases
    let keys: AccountKeys
    let routing: Routing
    let random: any RandomSource
    /// Only for what is too old to be shown.
    let now: @Sendable () -> Date
    let pending: PendingCounts
    private let commits: GroupCommit<AcceptRow, AcceptOutcome>
    let bulkCommits: GroupCommit<[AcceptRow], [Result<AcceptOutcome, any Error>]>

    init(
        databases: Databases, keys: AccountKeys, routing: Routing, hints: OutboxHints, random: any RandomSource,
        pendingLimit: Int = Self.defaultPendingLimit, now: @escaping @Sendable () -> Date
    ) {
        self.databases = databases
        self.keys = keys
        self.routing = routing
        self.random = random
        self.now = now
        pending = PendingCounts(database: databases.api, limit: pendingLimit)
        let batch = AcceptBatch(database: databases.api, hints: hints)
        commits = GroupCommit(maximum: Self.batch, lanes: Self.lanes, crowd: Self.crowd) { try await batch.write($0) }
        bulkCommits = GroupCommit(maximum: Self.pieces, lanes: Self.lanes) { pieces in
            // Alone: a message that spoils its piece fails alone too.
            if pieces.count == 1 { return [.success(await GroupCommit.settle(pieces[0][...]) { try await batch.write($0) })] }
            var results = try await batch.write(pieces.flatMap(\.self))[...]
            return pieces.map { piece in
                defer { results = results.dropFirst(piece.count) }
                return .success(Array(results.prefix(piece.count)))
            }
        }
    }

    /// Accepts a message: route, seal, and one durable commit shared with whoever else is waiting. Returns only when it will be sent or settled
    /// whatever dies. Under a known idempotency key the first message is returned as it was first answered and nothing is written.
    /// - Throws: `AcceptFailure`; `InvalidMessage` when its times do not fit.
    package func accept(_ message: SendMessage, caller: Caller, idempotencyKey: IdempotencyKey?, now: Date) async throws -> Accepted {
        do {
            return try await acceptOnce(message, caller, idempotencyKey, now)
        } catch let error as DatabaseError {
            throw AcceptFailure(error)
        } catch is AccountGone {
            throw AcceptFailure(.accountClosed, "the account is closed")
        }
    }

    private func acceptOnce(_ message: SendMessage, _ caller: Caller, _ idempotencyKey: IdempotencyKey?, _ now: Date) async throws -> Accepted {
        let draft = MessageDraft(message, caller, idempotencyKey, try await keys.sealer(for: caller.account))
        if let lateness = message.lateness { return try await repeated(draft, or: lateness, now: now) }
        guard try await pending.hasRoom(for: 1, account: caller.account, now: now) else {
            return try await repeated(draft, or: AcceptFailure.tooManyPending, now: now)
        }
        let decision = try await routing.decide(message.route, for: draft.routed, caller: caller, now: now)
        guard let sender = decision.sender else { return try await repeated(draft, or: AcceptFailure(decision), now: now) }
        let row = try AcceptRow(draft, sender: sender, decision: decision, random: RandomBlock(AcceptRow.randomBytes, from: random), now: now)
        Failpoint.hit(.acceptBegin)
        switch try await commits.submit(row) {
        case .stored:
            Failpoint.hit(.accepted)
            pending.add(1, account: caller.account)
            return Accepted(message: MessageView(row, message, decision), replayed: false)
        case .repeated(let first, let print):
            return try await replay(first, print == draft.fingerprint, caller.account)
        }
    }

    /// A repeated request gets its first answer even if it could not be accepted any more; any other one is refused.
    private func repeated(_ draft: MessageDraft, or refusal: any Error, now: Date) async throws -> Accepted {
        let account = draft.caller.account
        guard let earlier = try await earlier([draft], account: account, now: now).first?.value else { throw refusal }
        return try await replay(earlier.message, earlier.fingerprint == draft.fingerprint, account)
    }

    private func replay(_ id: Message.ID, _ isSame: Bool, _ account: Account.ID) async throws -> Accepted {
        guard isSame else { throw AcceptFailure.keyReused }
        guard let view = try await find(id, account: account) else { throw AcceptFailure.unfinished }
        Failpoint.hit(.replayed)
        return Accepted(message: view.asFirstAnswered, replayed: true)
    }

    /// What earlier requests made under the drafts' keys, by key.
    func earlier(
        _ drafts: [MessageDraft], account: Account.ID, now: Date
    ) async throws -> [[UInt8]: (message: Message.ID, fingerprint: [UInt8])] {
        let keyIndexes = drafts.compactMap(\.keyIndex)
        guard !keyIndexes.isEmpty else { return [:] }
        let found = try await databases.api.query(
            "messages.earlier",
            """
            SELECT key_index, resource_id, fingerprint FROM idempotency
            WHERE account_id = \(account) AND key_index = ANY (\(keyIndexes)) AND expires_at > \(now)
            """, settings: Databases.accounts([account]), access: .readOnly
        ) { row in
            (
                try row.column("key_index", as: [UInt8].self),
                (message: try row.column("resource_id", as: Message.ID.self), fingerprint: try row.column("fingerprint", as: [UInt8].self))
            )
        }
        return Dictionary(found, uniquingKeysWith: { first, _ in first })
    }
}

extension AcceptFailure {
    static let keyReused = AcceptFailure(.idempotencyKeyReused, "this idempotency key was used for another request")
    static let unfinished = AcceptFailure(.idempotencyInProgress, "the first request with this key is not finished")
    static let tooManyPending = AcceptFailure(.tooManyPending, "too many messages of this account wait to be sent")

    /// What a database error means for the client: never more than that it may try again, or that it is ours.
    init(_ error: DatabaseError) {
        switch error.code {
        case .commitUnknown: self.init(.outcomeUnknown, "the connection was lost while committing; safe to retry with the same key")
        case _ where error.sqlState == "55P03": self = .unfinished
        default: self.init(.unavailable, "database: \(error.code.label)")
        }
    }

    init(_ decision: RouteDecision) {
        switch decision.failure {
        case .senderNotFound: self.init(.senderNotFound, decision.reason)
        case .senderNotAllowed: self.init(.senderNotAllowed, decision.reason)
        case .poolNotFound: self.init(.poolNotFound, decision.reason)
        case .nobodyNow: self.init(.noSenderAvailable, decision.reason)
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
