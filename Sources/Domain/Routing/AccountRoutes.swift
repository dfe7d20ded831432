import Foundation
import Postgres
import Synchronization

/// One account's snapshot with what has been decided from it, and the turns of its pools.
final class AccountRoutes: Sendable {
    typealias Read = @Sendable (RoutingSnapshot.Remembered) async throws -> (RoutingSnapshot, RoutingSnapshot.Remembered)

    private struct State {
        var snapshot: RoutingSnapshot?
        var remembered = RoutingSnapshot.Remembered()
        /// Shared by all who need a fresh snapshot at the moment.
        var reading: Task<Void, any Error>?
        /// Counts up with each `forget`: a read that began before it is not kept.
        var generation = 0
        var turns: [Pool.ID: UInt64] = [:]
        /// What was routed while a snapshot is being read, and may not be in it.
        var sinceRead: [Routed] = []
        var firstContacts: [Sender.ID: FirstContacts] = [:]
    }

    private struct Routed {
        let sender: Sender.ID
        let pool: Pool.ID?
        let isCold: Bool
        let at: Date
    }

    /// First contacts that were routed to a sender and have not left: rows do not tell them from other messages that wait.
    private struct FirstContacts {
        let day: Date
        /// What the sender's row said when `promised` was right.
        var used: Int
        var promised: Int
    }

    /// Seconds; the bound of design.md §13.2.
    private static let lifetime: TimeInterval = 1
    /// From this age on one caller reads the next snapshot while the others go on with this one.
    private static let renewal: TimeInterval = 0.7

    private let seed: UInt64
    private let state = Mutex(State())

    init(seed: UInt64) { self.seed = seed }

    /// Sees to it that there is a snapshot that is at most a second old. However many ask, one reads.
    func refresh(at moment: Date, _ read: @escaping Read) async throws {
        let reading = state.withLock { state -> Task<Void, any Error>? in
            if let known = state.snapshot {
                let age = moment.timeIntervalSince(known.takenAt)
                if (0..<Self.renewal).contains(age) || ((0..<Self.lifetime).contains(age) && state.reading != nil) { return nil }
            }
            if let reading = state.reading { return reading }
            let (generation, remembered) = (state.generation, state.remembered)
            let reading = Task { try await self.renew(generation, remembered, read) }
            state.reading = reading
            return reading
        }
        try await reading?.value
    }

    /// nil: it was forgotten meanwhile.
    func look<Answer: Sendable>(_ answer: (RoutingSnapshot) -> Answer) -> Answer? { state.withLock { $0.snapshot.map(answer) } }

    func forget() {
        state.withLock { state in
            state.snapshot = nil
            state.reading = nil
            state.sinceRead = []
            state.generation += 1
        }
    }

    /// Decides, takes the turn and counts the message, all at once: two decisions never see the same state.
    /// - Parameter isDue: it will leave as soon as it may; a message for later counts when it comes due.
    /// - Returns: nil: the snapshot was forgotten meanwhile.
    func decide(
        _ request: RouteRequest, taking: Bool, isDue: Bool, _ question: (_ turn: UInt64, _ seed: UInt64) -> RouteQuestion
    ) -> RouteDecision? {
        state.withLock { state in
            // In a function of its own, so that the snapshot is held once when it is changed below, and not copied.
            guard let (decision, at) = choose(state, request, taking, question) else { return nil }
            guard taking else { return decision }
            if let pool = decision.pool { state.turns[pool, default: 0] &+= 1 }
            if let sender = decision.sender, isDue {
                Self.count(Routed(sender: sender, pool: decision.pool, isCold: !decision.isWarm, at: at), &state)
            }
            return decision
        }
    }

    private func choose(
        _ state: borrowing State, _ request: RouteRequest, _ taking: Bool, _ question: (UInt64, UInt64) -> RouteQuestion
    ) -> (RouteDecision, at: Date)? {
        guard let snapshot = state.snapshot else { return nil }
        let turn = snapshot.pool(of: request).flatMap { state.turns[$0] } ?? 0
        let asked = question(turn, Chance.mix(seed &+ turn))
        return (Router.decide(asked, in: snapshot, explaining: !taking), asked.at)
    }

    private static func count(_ routed: Routed, _ state: inout State) {
        if state.reading != nil { state.sinceRead.append(routed) }
        if routed.isCold {
            let day = LimitWindow.day.start(at: routed.at)
            if state.firstContacts[routed.sender]?.day != day {
                let used = state.snapshot?.candidate(routed.sender)?.usage.newRecipients(at: routed.at) ?? 0
                state.firstContacts[routed.sender] = FirstContacts(day: day, used: used, promised: 0)
            }
            state.firstContacts[routed.sender]?.promised += 1
        }
        state.snapshot?.reserve(routed.sender, pool: routed.pool, isCold: routed.isCold, at: routed.at)
    }

    private func renew(_ generation: Int, _ remembered: RoutingSnapshot.Remembered, _ read: Read) async throws {
        do {
            let (fresh, learned) = try await read(remembered)
            state.withLock { state in
                guard state.generation == generation else { return }
                let missing = state.sinceRead
                state.firstContacts = Self.waiting(state.firstContacts, without: missing, in: fresh)
                state.snapshot = fresh
                state.remembered = learned
                state.reading = nil
                state.sinceRead = []
                for (sender, contacts) in state.firstContacts { state.snapshot?.promise(sender, cold: contacts.promised, at: fresh.takenAt) }
                for routed in missing { Self.count(routed, &state) }
            }
        } catch {
            state.withLock { state in
                guard state.generation == generation else { return }
                state.reading = nil
                state.sinceRead = []
            }
            throw error
        }
    }

    /// The first contacts that still wait: as many as were promised less those that the rows have counted since, and never more than all
    /// that waits, so that what was canceled is forgotten.
    private static func waiting(
        _ known: [Sender.ID: FirstContacts], without missing: [Routed], in fresh: RoutingSnapshot
    ) -> [Sender.ID: FirstContacts] {
        let day = LimitWindow.day.start(at: fresh.takenAt)
        var waiting: [Sender.ID: FirstContacts] = [:]
        for (sender, contacts) in known where contacts.day == day {
            guard let candidate = fresh.candidate(sender) else { continue }
            let used = candidate.usage.newRecipients(at: fresh.takenAt)
            let late = missing.count { $0.sender == sender && $0.isCold }
            let promised = min(contacts.promised - late - (used - contacts.used), candidate.queued)
            if promised > 0 { waiting[sender] = FirstContacts(day: day, used: used, promised: promised) }
        }
        return waiting
    }
}

extension RoutingSnapshot {
    func pool(of request: RouteRequest) -> Pool.ID? {
        switch request {
        case .sender: nil
        case .pool(let id, _): id
        case .defaultPool: place(of: nil as Pool.ID?).map { pools[$0].id }
        }
    }
}
