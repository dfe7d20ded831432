/// Chooses the sender. A pure function of a snapshot and a question: no clock, no database, no randomness.
package enum Router {
    package static func decide(_ question: RouteQuestion, in snapshot: RoutingSnapshot) -> RouteDecision {
        switch question.request {
        case .sender(let id): explicit(id, question, snapshot)
        case .pool(let id): pooled(snapshot.pools.first { $0.id == id }, question, snapshot)
        case .defaultPool: pooled(snapshot.pools.first { $0.isDefault }, question, snapshot)
        }
    }

    private static func explicit(_ id: Sender.ID, _ question: RouteQuestion, _ snapshot: RoutingSnapshot) -> RouteDecision {
        func refusal(_ failure: RouteDecision.Failure, _ reason: String, _ considered: [RouteDecision.Considered] = []) -> RouteDecision {
            RouteDecision(sender: nil, policy: .explicit, pool: nil, reason: reason, considered: considered, failure: failure)
        }
        guard let candidate = snapshot.candidates[id] else { return refusal(.senderNotFound, "There is no such sender.") }
        let verdict = verdict(on: candidate, question)
        let considered = [RouteDecision.Considered(sender: id, label: candidate.label, verdict: verdict)]
        if verdict == .notAllowed { return refusal(.senderNotAllowed, verdict.sentence, considered) }
        guard verdict.rank != nil else { return refusal(.noSender, verdict.sentence, considered) }
        let wait = verdict == .eligible ? "" : " " + verdict.sentence
        return RouteDecision(
            sender: id, policy: .explicit, pool: nil, reason: "The request named this sender." + wait, considered: considered, failure: nil)
    }

    private static func pooled(_ pool: RoutingSnapshot.PoolMembers?, _ question: RouteQuestion, _ snapshot: RoutingSnapshot) -> RouteDecision {
        guard let pool else {
            return RouteDecision(
                sender: nil, policy: .roundRobin, pool: nil, reason: "There is no such pool.", considered: [], failure: .poolNotFound)
        }
        let considered = pool.members.compactMap { id -> RouteDecision.Considered? in
            guard let candidate = snapshot.candidates[id] else { return nil }
            return RouteDecision.Considered(sender: id, label: candidate.label, verdict: verdict(on: candidate, question))
        }
        guard let best = considered.compactMap(\.verdict.rank).min() else {
            let onlyForbidden = !considered.isEmpty && considered.allSatisfy { $0.verdict == .notAllowed }
            return RouteDecision(
                sender: nil, policy: pool.policy, pool: pool.id, reason: "No sender of the pool may send this message.", considered: considered,
                failure: onlyForbidden ? .senderNotAllowed : .noSender)
        }
        let eligible = considered.filter { $0.verdict.rank == best }
        let chosen = choose(pool.policy, among: eligible, question)
        var reason = "Chosen in turn among \(eligible.count) of \(considered.count) senders."
        if best > 0 { reason += " None can send now; the message waits for this one." }
        return RouteDecision(sender: chosen, policy: pool.policy, pool: pool.id, reason: reason, considered: considered, failure: nil)
    }

    /// `eligible` is never empty.
    private static func choose(_ policy: RoutingPolicy, among eligible: [RouteDecision.Considered], _ question: RouteQuestion) -> Sender.ID {
        switch policy {
        case .roundRobin: eligible[Int(question.turn % UInt64(eligible.count))].sender
        case .explicit: eligible[0].sender
        }
    }

    private static func verdict(on candidate: RoutingSnapshot.Candidate, _ question: RouteQuestion) -> RouteVerdict {
        if candidate.isTest != question.isTest { return .wrongMode }
        if let allowed = question.allowedSenders, !allowed.contains(candidate.sender) { return .notAllowed }
        return switch candidate.state {
        case .ready: .eligible
        case .connecting, .disconnected: .waiting
        case .unpaired, .pairing, .replaced, .loggedOut, .temporarilyBanned, .clientOutdated, .parked: .needsAttention
        case .removing, .removed: .removing
        }
    }
}
