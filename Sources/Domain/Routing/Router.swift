package import Foundation

/// Chooses the sender. A pure function of a snapshot and a question: no clock, no database, no randomness. The order is always the same:
/// who can never send this message → who may send it now → those without a demotion, if there are any → those that have written to the
/// recipient before, if there are any → the policy. If nobody may now, those that may first (`RouteStanding`) take their place.
package enum Router {
    /// - Parameter explaining: also say what was thought of every sender of the account.
    package static func decide(_ question: RouteQuestion, in snapshot: RoutingSnapshot, explaining: Bool = false) -> RouteDecision {
        switch question.request {
        case .sender(let id): explicit(id, question, snapshot, explaining)
        case .pool(let id, let policy): pooled(snapshot.place(of: id), policy, question, snapshot, explaining)
        case .defaultPool(let policy): pooled(snapshot.place(of: nil as Pool.ID?), policy, question, snapshot, explaining)
        }
    }

    private static func explicit(
        _ id: Sender.ID, _ question: RouteQuestion, _ snapshot: RoutingSnapshot, _ explaining: Bool
    ) -> RouteDecision {
        guard let place = snapshot.place(of: id) else { return .refusal(.senderNotFound, .explicit) }
        let scale = RouteScale(question, snapshot, needsZone: snapshot.candidates[place].limits.quietHours != nil)
        let weighed = scale.weigh(place)
        var considered: [RouteDecision.Considered] = []
        if explaining { considered = [weighed.considered(in: snapshot, isChosen: weighed.mayBeChosen(failFast: question.failFast))] }
        if weighed.verdict == .notAllowed { return .refusal(.senderNotAllowed, .explicit, considered: considered) }
        if weighed.standing == .never { return .refusal(.noSender, .explicit, considered: considered) }
        return answer(weighed, .explicit, pool: nil, (1, 1), question, snapshot, considered)
    }

    private static func pooled(
        _ poolPlace: Int?, _ override: RoutingPolicy?, _ question: RouteQuestion, _ snapshot: RoutingSnapshot, _ explaining: Bool
    ) -> RouteDecision {
        guard let poolPlace else { return .refusal(.poolNotFound, override ?? .roundRobin) }
        let policy = override ?? snapshot.pools[poolPlace].policy
        let pool = snapshot.pools[poolPlace].id
        let roster = snapshot.rosters[poolPlace]
        let scale = RouteScale(question, snapshot, pool: poolPlace, needsZone: roster.needsZone)
        return withUnsafeTemporaryAllocation(of: RouteWeight.self, capacity: roster.places.count) { buffer in
            var field = RouteField(weights: buffer, roster: roster)
            field.weigh(scale, policy, digits: question.digits)
            guard field.standing != .never else {
                let onlyForbidden = !buffer.isEmpty && buffer.allSatisfy { $0.verdict == .notAllowed }
                return .refusal(
                    onlyForbidden ? .senderNotAllowed : .noSender, policy, pool: pool,
                    considered: explaining ? considered(buffer, chosen: nil, snapshot) : [])
            }
            field.narrow()
            let chosen = field.choose(policy, question, snapshot)
            let isChosen = buffer[chosen].mayBeChosen(failFast: question.failFast)
            let list = explaining ? considered(buffer, chosen: isChosen ? chosen : nil, snapshot) : []
            return answer(buffer[chosen], policy, pool: poolPlace, (field.left, buffer.count), question, snapshot, list)
        }
    }

    private static func answer(
        _ weighed: RouteWeight, _ policy: RoutingPolicy, pool poolPlace: Int?, _ choices: (Int, Int), _ question: RouteQuestion,
        _ snapshot: RoutingSnapshot, _ considered: [RouteDecision.Considered]
    ) -> RouteDecision {
        let pool = poolPlace.map { snapshot.pools[$0].id }
        let availableAt = weighed.isKnown ? weighed.availableAt : nil
        guard weighed.mayBeChosen(failFast: question.failFast) else {
            return .refusal(.nobodyNow, policy, pool: pool, availableAt: availableAt, limitedBy: weighed.limitedBy, considered: considered)
        }
        let estimate = SendEstimate(weighed, pool: poolPlace, question, snapshot)
        return RouteDecision(
            sender: snapshot.candidates[weighed.place].sender, label: snapshot.labels[weighed.place], policy: policy, pool: pool, failure: nil,
            availableAt: availableAt, estimatedSendAt: estimate.sendAt, limitedBy: estimate.limitedBy, isWarm: weighed.isWarm, choices: choices,
            considered: considered, isWaiting: weighed.standing != .now)
    }

    /// The members in the order of the pool, then every other sender of the account.
    private static func considered(
        _ weights: UnsafeMutableBufferPointer<RouteWeight>, chosen: Int?, _ snapshot: RoutingSnapshot
    ) -> [RouteDecision.Considered] {
        let members = Set(weights.map(\.place))
        let others = snapshot.candidates.indices.filter { !members.contains($0) }
        return weights.indices.map { weights[$0].considered(in: snapshot, isChosen: $0 == chosen) }
            + others.map { RouteWeight(place: $0, verdict: .notInPool).considered(in: snapshot, isChosen: false) }
    }
}

extension RouteDecision {
    static func refusal(
        _ failure: Failure, _ policy: RoutingPolicy, pool: Pool.ID? = nil, availableAt: Date? = nil, limitedBy: LimitCode? = nil,
        considered: [Considered] = []
    ) -> RouteDecision {
        RouteDecision(
            sender: nil, label: "", policy: policy, pool: pool, failure: failure, availableAt: availableAt, estimatedSendAt: nil,
            limitedBy: limitedBy, isWarm: false, choices: (0, considered.count), considered: considered, isWaiting: false)
    }
}
