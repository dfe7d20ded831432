import Domain
import Foundation

/// The routing decision once more, slow and plain, from the sentences of design.md §5 and nothing else: what the router says must be what this
/// says. It knows no hash and no random numbers; where a policy leaves a choice, it names those that the choice must be among.
struct RouteOracle {
    /// What the sentences say about one sender.
    enum Standing: Equatable {
        case now
        /// First at that time.
        case later(Date)
        /// It will be back by itself, nobody knows when.
        case unknown
        /// A person has to do something first.
        case needsPerson
        case never
    }

    struct Answer {
        /// The sender must be one of these; none: nobody can be chosen.
        var among: [Sender.ID] = []
        var isNobodyNow = false
        var isMissing = false
        /// Whoever may first may only when the message has expired.
        var isTooLate = false
        /// When it may be sent; nil: nobody knows.
        var availableAt: Date?
        /// All that were weighed for the pool or the name.
        var standings: [Sender.ID: Standing] = [:]
        /// The policy that had the last word.
        var policy: RoutingPolicy?
    }

    let snapshot: RoutingSnapshot
    let question: RouteQuestion

    func answer() -> Answer {
        var answer = Answer()
        var members: [RoutingSnapshot.Member]
        var pool: RoutingSnapshot.PoolMembers?
        var policy = RoutingPolicy.explicit
        switch question.request {
        case .sender(let id):
            members = [RoutingSnapshot.Member(id)]
            answer.isMissing = snapshot.candidate(id) == nil
        case .pool(let id, let wanted):
            pool = snapshot.pools.first { $0.id == id }
            answer.isMissing = pool == nil
            members = pool?.members ?? []
            policy = wanted ?? pool?.policy ?? .sticky
        case .defaultPool(let wanted):
            pool = snapshot.pools.first { $0.isDefault }
            answer.isMissing = pool == nil
            members = pool?.members ?? []
            policy = wanted ?? pool?.policy ?? .sticky
        }
        if answer.isMissing { return answer }
        answer.policy = policy

        // Members that are no longer there are as if they had never been.
        members = members.filter { snapshot.candidate($0.sender) != nil }
        for member in members {
            var standing = standing(of: member.sender, pool)
            if policy == .prefix, fit(member) == nil { standing = .never }
            answer.standings[member.sender] = standing
        }

        let open = members.filter { answer.standings[$0.sender] != .never }
        let now = open.filter { answer.standings[$0.sender] == .now }
        if !now.isEmpty {
            answer.availableAt = question.at
            answer.among = last(now, policy)
            return answer
        }
        if open.isEmpty { return answer }
        if question.failFast {
            answer.isNobodyNow = true
            return answer
        }

        // Nobody may send now: the one that may first, within the message's life.
        func moment(_ member: RoutingSnapshot.Member) -> Date? {
            if case .later(let date) = answer.standings[member.sender] { return date }
            return nil
        }
        func first(of group: [RoutingSnapshot.Member]) -> [RoutingSnapshot.Member] {
            let earliest = group.compactMap(moment).min()
            return group.filter { moment($0) == earliest }
        }
        let inTime = open.filter { member in moment(member).map { $0 < question.expiresAt } ?? false }
        let unknown = open.filter { answer.standings[$0.sender] == .unknown }
        let tooLate = open.filter { member in moment(member).map { $0 >= question.expiresAt } ?? false }
        let people = open.filter { answer.standings[$0.sender] == .needsPerson }
        if inTime.isEmpty, unknown.isEmpty, !tooLate.isEmpty {
            // None of them will send it: no sentence says which one it is, or how long after its end.
            answer.isTooLate = true
            answer.among = tooLate.map(\.sender)
            return answer
        }
        let group = !inTime.isEmpty ? first(of: inTime) : !unknown.isEmpty ? unknown : people
        answer.availableAt = group.first.flatMap(moment)
        answer.among = last(group, policy)
        return answer
    }

    // MARK: One sender

    func standing(of sender: Sender.ID, _ pool: RoutingSnapshot.PoolMembers?) -> Standing {
        guard let candidate = snapshot.candidate(sender) else { return .never }
        let isForbidden = question.allowedSenders.map { !$0.contains(sender) } ?? false
        if candidate.isTest != question.isTest || isForbidden || question.excluded.contains(sender) || question.refused.contains(sender) {
            return .never
        }
        switch candidate.state {
        case .removing, .removed: return .never
        case .unpaired, .pairing, .loggedOut, .replaced, .clientOutdated, .parked: return .needsPerson
        case .connecting, .disconnected: return .unknown
        case .temporarilyBanned: return candidate.pausedUntil > question.at ? .later(candidate.pausedUntil) : .unknown
        case .ready: if !candidate.isOwned { return .unknown }
        }
        guard let time = moments(candidate).first(where: { may(candidate, pool, at: $0) }) else { return .later(.distantFuture) }
        return time == question.at ? .now : .later(time)
    }

    /// Moments at which something may begin to be allowed, in order, the asked one first.
    private func moments(_ candidate: RoutingSnapshot.Candidate) -> some Sequence<Date> {
        let asked = question.at.timeIntervalSince1970
        var moments = [asked] + (1...3).map { asked.rounded(.down) + Double($0) }
        moments += [candidate.pausedUntil, candidate.newChatsUntil].map(\.timeIntervalSince1970).filter { $0 > asked }
        if let paired = candidate.pairedAt?.timeIntervalSince1970 {
            for day in 0..<60 where paired + Double(day) * 86_400 > asked { moments.append(paired + Double(day) * 86_400) }
        }
        moments.sort()
        // Everything else changes at full minutes.
        let minute = (asked / 60).rounded(.down) * 60 + 60
        var early = moments[...]
        var next = minute
        var rounds = 0
        return AnyIterator<Date> {
            if let first = early.first, first <= next {
                early.removeFirst()
                return Date(timeIntervalSince1970: first)
            }
            rounds += 1
            guard rounds < 60 * 24 * 45 else { return nil }
            defer { next += 60 }
            return Date(timeIntervalSince1970: next)
        }
    }

    private func may(_ candidate: RoutingSnapshot.Candidate, _ pool: RoutingSnapshot.PoolMembers?, at moment: Date) -> Bool {
        let isCold = !question.warm.contains(candidate.sender)
        if candidate.pausedUntil > moment { return false }
        if isCold, candidate.newChatsUntil > moment { return false }
        if !isInside(candidate.limits, candidate.usage, isCold: isCold, pairedAt: candidate.pairedAt, isPool: false, at: moment) { return false }
        guard let pool else { return true }
        return isInside(pool.limits, pool.usage, isCold: isCold, pairedAt: nil, isPool: true, at: moment)
    }

    private func isInside(_ limits: EffectiveLimits, _ usage: SendingUsage, isCold: Bool, pairedAt: Date?, isPool: Bool, at moment: Date) -> Bool {
        let windows: [(cap: Int?, window: SendingUsage.Window, length: Double)] = [
            (limits.perSecond, usage.second, 1), (limits.perMinute, usage.minute, 60), (limits.perHour, usage.hour, 3600),
            (limits.perDay, usage.day, 86_400),
        ]
        for (cap, window, length) in windows {
            guard let cap else { continue }
            if window.start.timeIntervalSince1970 >= Self.floor(moment, length), window.used >= cap { return false }
        }
        if isCold {
            let used = usage.day.start.timeIntervalSince1970 >= Self.floor(moment, 86_400) ? usage.newRecipients : 0
            if let cap = firstContacts(limits, pairedAt, at: moment), used >= cap { return false }
        }
        if let quiet = limits.quietHours, question.priority != .high, isQuiet(quiet, at: moment) { return false }
        return true
    }

    /// 20 on the first day of a fresh link, rising in equal steps to all of them over four weeks.
    private func firstContacts(_ limits: EffectiveLimits, _ pairedAt: Date?, at moment: Date) -> Int? {
        if limits.warmUp {
            let days = pairedAt.map { max(0, Int((moment.timeIntervalSince($0) / 86_400).rounded(.down))) } ?? 0
            let full = limits.newRecipientsPerDay ?? 1000
            if days < 28, full > 20 { return 20 + (full - 20) * days / 28 }
            if days < 28 { return full }
        }
        return limits.newRecipientsPerDay
    }

    private static let zones = [
        "62": ["Asia/Jakarta", "Asia/Makassar", "Asia/Jayapura"], "65": ["Asia/Singapore"], "49": ["Europe/Berlin"], "91": ["Asia/Kolkata"],
    ]

    /// By the recipient's clock; of several zones the strictest counts.
    private func isQuiet(_ quiet: QuietHours, at moment: Date) -> Bool {
        (Self.zones[String(question.digits.prefix(2))] ?? ["UTC"]).contains { name in
            var calendar = Calendar(identifier: .gregorian)
            calendar.timeZone = TimeZone(identifier: name)!
            let parts = calendar.dateComponents([.hour, .minute], from: moment)
            let minute = parts.hour! * 60 + parts.minute!
            return quiet.from < quiet.to ? minute >= quiet.from && minute < quiet.to : minute >= quiet.from || minute < quiet.to
        }
    }

    private static func floor(_ moment: Date, _ length: Double) -> Double { (moment.timeIntervalSince1970 / length).rounded(.down) * length }

    // MARK: Several senders

    /// The not demoted ones if there are any, the warm ones of them if there are any, then the policy.
    private func last(_ members: [RoutingSnapshot.Member], _ policy: RoutingPolicy) -> [Sender.ID] {
        var left = members
        let healthy = left.filter { snapshot.candidate($0.sender)!.demotedUntil <= question.at }
        if !healthy.isEmpty { left = healthy }
        let warm = left.filter { question.warm.contains($0.sender) }
        if !warm.isEmpty { left = warm }
        let turn = { (among: [RoutingSnapshot.Member]) in among[Int(question.turn % UInt64(among.count))] }
        switch policy {
        case .priority, .explicit: left = [left[0]]
        case .leastBusy:
            let least = left.map { snapshot.candidate($0.sender)!.queued }.min()!
            left = [left.first { snapshot.candidate($0.sender)!.queued == least }!]
        case .roundRobin: left = [turn(left)]
        case .prefix:
            let longest = left.map { fit($0) ?? 0 }.max()!
            left = [turn(left.filter { (fit($0) ?? 0) == longest })]
        case .weighted:
            let heavy = left.filter { $0.weight > 0 }
            if !heavy.isEmpty { left = heavy }
        case .sticky, .random: break
        }
        return left.map(\.sender)
    }

    /// How many digits of the number its longest fitting prefix has; none: it has prefixes, and none fits.
    private func fit(_ member: RoutingSnapshot.Member) -> Int? {
        member.prefixes.isEmpty ? 0 : member.prefixes.filter { question.digits.hasPrefix($0) }.map(\.count).max()
    }
}
