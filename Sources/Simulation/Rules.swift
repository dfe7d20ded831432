import Domain
import Foundation
import Sessions
import WhatsApp

/// Where the simulation asks the gateway's own pure code: the router, the limits, the meaning of a failed send. Numbers of the model become the
/// real types here and nowhere else.
struct Rules {
    enum Failure: Equatable {
        case notReady, disconnected, ackTimeout, preWireFailed, storeFailed
        case resolveFailed(Int), refused(Int)
    }

    enum Outcome {
        case refused(failure: String, serverCode: Int?, course: ModelRefusal.Course, finding: ModelRefusal.Finding?)
        case unknown(retryAt: Int)
        case leaveToSweep
    }

    private let plan: Plan
    let limits: EffectiveLimits
    private let senders: [Sender.ID]
    private let pool: RoutingSnapshot.PoolMembers
    private let digits: [String]
    private var turn: UInt64 = 0
    private var seed: UInt64

    init(plan: Plan, seed: UInt64) {
        self.plan = plan
        self.seed = seed
        let senders = (0..<plan.senders).map { Sender.ID(UUID(bytes: [UInt8](repeating: 0, count: 15) + [UInt8($0 + 1)])) }
        self.senders = senders
        limits = EffectiveLimits(perMinute: plan.perMinute, newRecipientsPerDay: plan.newRecipients, gap: plan.gap, coldGap: plan.gap)
        pool = RoutingSnapshot.PoolMembers(
            id: Pool.ID(UUID(bytes: [UInt8](repeating: 9, count: 16))),
            policy: RoutingPolicy.ofPools[Int(seed % UInt64(RoutingPolicy.ofPools.count))],
            members: senders.enumerated().map { RoutingSnapshot.Member($1, weight: $0 + 1, prefixes: $0 == 0 ? [] : ["628\($0)"]) }, isDefault: true)
        digits = (0..<plan.recipients).map { "628\($0)1234567" }
    }

    // MARK: Routes

    /// The sender of a request's message; nil: there is none, and the client is told so.
    mutating func route(_ database: ModelDatabase, _ request: Int, excluded: [Int], now: Int) -> Int? {
        let wanted = plan.requests[request]
        turn &+= 1
        let policies = RoutingPolicy.ofPools
        let question = RouteQuestion(
            request: wanted.sender.map { .sender(senders[$0]) }
                ?? .defaultPool(policy: wanted.policy < policies.count ? policies[wanted.policy] : nil),
            recipientIndex: [UInt8](repeating: UInt8(wanted.recipient), count: 16), digits: digits[wanted.recipient],
            priority: Priority.allCases[wanted.priority], failFast: wanted.failFast, excluded: Set(excluded.map { senders[$0] }),
            warm: known(database, wanted.recipient) { !$0.isRefused },
            refused: known(database, wanted.recipient, where: \.isRefused), at: ModelTime.date(now),
            expiresAt: ModelTime.date(wanted.expiresAt), turn: turn, seed: seed &+ turn)
        let decision = Router.decide(question, in: snapshot(database, now: now))
        return decision.sender.flatMap { senders.firstIndex(of: $0) }
    }

    private func known(_ database: ModelDatabase, _ recipient: Int, where isMeant: (ModelDatabase.Greeting) -> Bool) -> Set<Sender.ID> {
        var known: Set<Sender.ID> = []
        for sender in senders.indices {
            if let greeting = database.known[ModelDatabase.Pair(sender: sender, recipient: recipient)], isMeant(greeting) {
                known.insert(senders[sender])
            }
        }
        return known
    }

    private func snapshot(_ database: ModelDatabase, now: Int) -> RoutingSnapshot {
        let candidates = senders.indices.map { index in
            let sender = database.senders[index]
            return RoutingSnapshot.Candidate(
                sender: senders[index], isTest: false, state: SenderState(rawValue: sender.state) ?? .connecting,
                stateSince: ModelTime.date(sender.stateSince),
                isOwned: database.leases[index].holder != nil && database.leases[index].expiresAt > now, limits: limits, usage: database.usage[index],
                health: SenderHealth(pausedUntil: ModelTime.date(sender.pausedUntil), newChatsUntil: ModelTime.date(sender.newChatsUntil)),
                queued: database.outbox.count { $0?.sender == index })
        }
        return RoutingSnapshot(candidates: candidates, pools: [pool], takenAt: ModelTime.date(now))
    }

    func maySend(_ database: ModelDatabase, _ sender: Int) -> Bool { database.senders[sender].state == "ready" }

    /// Whether what waits for this sender should look for another one.
    func hasStopped(_ database: ModelDatabase, _ row: ModelDatabase.OutboxRow, now: Int) -> Bool {
        let sender = database.senders[row.sender]
        if row.excluded.contains(row.sender) || sender.state == "removed" || sender.state == "removing" || sender.state == "logged_out" {
            return true
        }
        return sender.state == "ready" ? sender.pausedUntil > now + 5_000 : now - sender.stateSince > 10_000
    }

    // MARK: Outcomes

    func outcome(_ failure: Failure, onWire: Bool, isResend: Bool, refusals: Int, now: Int) -> Outcome {
        let code: SendFailure.Code =
            switch failure {
            case .notReady: .notReady
            case .disconnected: .disconnected
            case .ackTimeout: .ackTimeout
            case .preWireFailed: .preWireFailed
            case .storeFailed: .storeFailed
            case .resolveFailed(let code): .resolveFailed(code: code)
            case .refused(let code): .refused(code: code)
            }
        func later(_ delay: Duration) -> Int { now + Int(delay.components.seconds) * 1_000 }
        // As in `SendOutcome.refusal`.
        switch SendOutcome(SendFailure(code, onWire: onWire), isResend: isResend, refusals: refusals) {
        case .refused(let failure, let code, let delay):
            return .refused(failure: failure.rawValue, serverCode: code, course: delay.map { .retry(at: later($0)) } ?? .end, finding: nil)
        case .notAllowed(let code, let delay):
            return .refused(failure: MessageFailure.Code.notAllowed.rawValue, serverCode: code, course: .once(at: later(delay)), finding: nil)
        case .newChatRefused(let code):
            return .refused(failure: MessageFailure.Code.newChatLimit.rawValue, serverCode: code, course: .elsewhere, finding: .newChatRefused)
        case .tooFast(let code):
            return .refused(failure: MessageFailure.Code.rateLimited.rawValue, serverCode: code, course: .retry(at: now), finding: .rateLimited)
        case .unknown(let delay): return .unknown(retryAt: later(delay))
        case .leaveToSweep: return .leaveToSweep
        }
    }
}
