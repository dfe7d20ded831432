import Domain
import Foundation

/// One sender as the dispatcher sees it: what it may have due, what is on its way, and what its limits allow.
struct SenderPlace: Sendable {
    /// It may have something due.
    var isDue = true
    /// Something came since the last claim.
    var isNews = true
    /// It stands in its account's queue.
    var isQueued = false
    /// Places that a running claim has asked for.
    var held = 0
    private var regular = 0
    private var high = 0
    /// Of these, not on the wire yet.
    private var working = 0
    private var workingCold = 0
    /// The next claim asks how it stands.
    private(set) var asksStanding = true
    /// Before the first answer it may be one that sends one at a time.
    private var isKnown = false
    /// nil: neither limits nor health hold it back.
    private var standing: SenderStanding?

    mutating func stands(_ standing: SenderStanding?) {
        self.standing = standing
        asksStanding = standing != nil
        isKnown = true
    }

    // MARK: Room

    private func budget(at now: Date) -> LimitCheck.Budget? {
        standing.map { LimitCheck.budget($0.limits, $0.usage, pairedAt: $0.pairedAt, at: now) }
    }

    /// When it may send again; nil: now.
    func opening(at now: Date) -> Date? {
        guard let standing else { return nil }
        if standing.health.isPaused(at: now) { return standing.health.pausedUntil }
        guard let budget = budget(at: now), budget.messages == 0, budget.opensAt > now else { return nil }
        return budget.opensAt
    }

    /// For messages of any priority.
    func regularRoom(at now: Date) -> Int {
        let budget = budget(at: now)
        guard isKnown, budget?.isPaced != true else { return highRoom(at: now) }
        return min(DispatchPlan.window - DispatchPlan.reserve - regular - held, highRoom(at: now))
    }

    /// For messages of the highest priority.
    func highRoom(at now: Date) -> Int {
        let budget = budget(at: now)
        let window = !isKnown || budget?.isPaced == true ? 1 : DispatchPlan.window
        let room = window - regular - high - held
        guard let allowed = budget?.messages, allowed < .max else { return room }
        return min(room, allowed - working - held)
    }

    /// Not for every single place: half a claim, nothing left to wait for, or news that may be urgent.
    func isWorthAsking(at now: Date) -> Bool {
        if regular + high == 0 || opening(at: now) != nil || isNews && highRoom(at: now) > 0 { return true }
        return regularRoom(at: now) >= (standing?.limits.isUnlimited == false ? 1 : DispatchPlan.perSender / 2)
    }

    // MARK: On the way

    mutating func add(_ departure: Departure) {
        if departure.isHigh { high += 1 } else { regular += 1 }
        working += 1
        workingCold += departure.isCold ? 1 : 0
    }

    /// Pre-wire has debited it, and the gap after it has begun.
    mutating func left(_ departure: Departure, at now: Date) {
        working -= 1
        workingCold -= departure.isCold ? 1 : 0
        guard let limits = standing?.limits, !limits.isUnlimited else { return }
        standing?.usage.add(cold: departure.isCold ? 1 : 0, at: now)
        let pause = limits.pause(isCold: departure.isCold, chance: 0)
        if pause > 0 { standing?.usage.nextAt = now.addingTimeInterval(Double(pause) / 1_000) }
    }

    mutating func remove(_ departure: Departure) {
        if departure.isHigh { high -= 1 } else { regular -= 1 }
        guard !departure.hasLeft else { return }
        working -= 1
        workingCold -= departure.isCold ? 1 : 0
    }

    // MARK: Limits

    /// Which of the claimed messages may leave now, as far as this node knows; pre-wire decides under lock.
    mutating func admitted(_ messages: [ClaimedMessage], at now: Date) -> (
        leaving: [ClaimedMessage], waiting: [(message: ClaimedMessage, until: Date)]
    ) {
        // Limits were set meanwhile.
        if standing == nil, messages.contains(where: { $0.dispatch.isLimited && $0.dispatch.limitedPool == nil }) { asksStanding = true }
        guard let standing else { return (messages, []) }
        var usage = standing.usage
        if working > 0 { usage.add(working, cold: workingCold, at: now) }
        var leaving: [ClaimedMessage] = []
        var waiting: [(ClaimedMessage, Date)] = []
        for message in messages {
            let isCold = message.dispatch.isCold
            if isCold, standing.health.stopsNewChats(at: now) {
                waiting.append((message, standing.health.newChatsUntil))
                continue
            }
            let zone = standing.limits.quietHours == nil ? nil : RecipientZone(digits: message.recipient.digits)
            let verdict = LimitCheck.verdict(
                standing.limits, usage, pairedAt: standing.pairedAt, isCold: isCold, priority: message.dispatch.priority, zone: zone,
                pacing: false, at: now)
            if verdict.limitedBy == nil {
                usage.add(cold: isCold ? 1 : 0, at: now)
                leaving.append(message)
            } else {
                waiting.append((message, verdict.allowedAt))
            }
        }
        return (leaving, waiting)
    }
}

/// A message between claim and outcome.
struct Departure: Sendable {
    let owner: OwnedSender
    let isHigh: Bool
    let isCold: Bool
    var hasLeft = false

    init(_ message: ClaimedMessage) {
        owner = message.owner
        isHigh = message.dispatch.priority == .high
        isCold = message.dispatch.isCold
    }
}
