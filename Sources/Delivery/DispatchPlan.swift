import Domain
import Foundation

/// What to claim next, for whom and how much: all that the dispatcher decides, without a clock, a database or a task.
///
/// Three bounds hold at any time. A sender has at most `window` messages in flight, the last `reserve` places for the highest priority only; one
/// that pauses between messages has one. An account has at most a fair share of the node's places, one share being kept free for whoever comes
/// next, so that its queue delays nobody else's. And a claim takes at most `perClaim`, in turn over the accounts and their senders.
struct DispatchPlan: Sendable {
    /// Messages of one sender between claim and outcome.
    static let window = 64
    /// Of these, for the highest priority only.
    static let reserve = 8
    /// Messages one claim takes, of one sender and of all.
    static let perSender = 32
    static let perClaim = 64

    /// Between two claims for an account that has so many messages on their way: each claim costs a commit, however little it takes, and the more
    /// the more senders it asks.
    static let busy = 8
    static func rest(senders: Int) -> Duration { .milliseconds(20 + min(20, senders)) }
    /// Places of a busy account while one that sends little has something, and for how long after that. What is on its way delays whoever comes next.
    static let yielding = 4
    static let courtesy: Duration = .milliseconds(100)

    /// One claimed message on its way.
    struct Flight: Sendable {
        let ticket: UInt64
        let message: ClaimedMessage
    }

    /// How long a plan is cautious at most: the first messages may wait for a server that does not answer.
    static let caution: Duration = .seconds(3)

    /// Messages of this node between claim and wire; what waits for an acknowledgement takes no place.
    let capacity: Int
    /// Of these, the places that may be taken by now. A process that has just begun may follow one that died of a message, which then waits to be
    /// claimed again: so the first message is claimed alone, and each that leaves lets one more in (reliability.md §2.7).
    private var opened: Int
    private var firstClaim: ContinuousClock.Instant?

    private var places: [OwnedSender: SenderPlace] = [:]
    private var owners: [DueSender: OwnedSender] = [:]
    private var tenants: [Account.ID: Tenant] = [:]
    /// Accounts with senders in their queue, the next one first.
    private var turns: [Account.ID] = []
    /// Senders whose limits open at a time, the next one first.
    private var sleepers: [(until: Date, owner: OwnedSender)] = []
    private var flights: [UInt64: Departure] = [:]
    private var lastTicket: UInt64 = 0
    private var working = 0
    private var again: Set<OwnedSender> = []
    /// Senders that may have suspects (`Outbox.Lot`), and the one suspect that has not left yet.
    private var suspected: Set<OwnedSender> = []
    private var suspect: UInt64?
    /// When the first account has rested that has something to claim.
    private(set) var restEnd: ContinuousClock.Instant?
    /// Until then accounts busier than this yield.
    private var yieldUntil: ContinuousClock.Instant?
    private var yieldAbove = 0.0
    /// Of the last claim. What concerns this process only goes by its own clock.
    private var moment: ContinuousClock.Instant = .now

    /// - Parameter opened: places that may be taken at the beginning.
    init(capacity: Int = 128, opened: Int = 1) {
        self.capacity = capacity
        self.opened = opened
    }

    // MARK: What is known

    var ready: Set<DueSender> { Set(owners.keys) }

    /// The senders that can send now. A new one may have anything: due messages, and those an earlier owner left on the wire.
    mutating func setReady(_ senders: [OwnedSender]) {
        let now = Set(senders)
        for owner in places.keys where !now.contains(owner) {
            places[owner] = nil
            if owners[owner.place] == owner { owners[owner.place] = nil }
        }
        again.formIntersection(now)
        suspected.formIntersection(now)
        for owner in senders where places[owner] == nil {
            places[owner] = SenderPlace()
            owners[owner.place] = owner
            again.insert(owner)
            suspected.insert(owner)
            enqueue(owner)
        }
    }

    /// Something was accepted for these; nil: anywhere.
    mutating func hint(_ senders: Set<DueSender>?) {
        let hinted = senders.map { $0.compactMap { owners[$0] } } ?? Array(places.keys)
        for owner in hinted {
            places[owner]?.isDue = true
            places[owner]?.isNews = true
            enqueue(owner)
        }
    }

    /// The senders that are worth a look.
    var all: [OwnedSender] { Array(places.keys) }

    mutating func found(_ probed: [Probed]) {
        for probe in probed where places[probe.owner] != nil {
            if probe.isDueAgain { again.insert(probe.owner) }
            if probe.isSuspect { suspected.insert(probe.owner) }
            guard probe.isDue else { continue }
            places[probe.owner]?.isDue = true
            places[probe.owner]?.isNews = true
            enqueue(probe.owner)
        }
    }

    /// When the next sender's limits open that has something due.
    var nextOpening: Date? { sleepers.first?.until }

    // MARK: Claiming

    /// Whose messages on the wire must be looked at, until the next finding.
    mutating func takeAgain() -> [OwnedSender] {
        defer { again = [] }
        return Array(again)
    }

    /// Of whom to claim one suspect; empty: there is none, or the last one has not left yet.
    mutating func nextSuspect(at now: Date) -> [ClaimDemand] {
        guard suspect == nil else { return [] }
        let demands = suspected.compactMap { owner -> ClaimDemand? in
            guard let place = places[owner], place.opening(at: now) == nil, place.highRoom(at: now) > 0 else { return nil }
            return ClaimDemand(owner: owner, places: 1, isLimited: place.asksStanding)
        }
        // Who has no room now is found by a later probe.
        suspected = []
        for demand in demands { hold(demand) }
        return demands
    }

    /// What to claim now; empty: nothing can be done at this moment.
    mutating func nextClaim(at now: Date, moment: ContinuousClock.Instant = .now) -> [ClaimDemand] {
        self.moment = moment
        wakeSleepers(at: now)
        restEnd = nil
        lookForLight()
        if let firstClaim, firstClaim.duration(to: moment) >= Self.caution { opened = capacity }
        var demands: [ClaimDemand] = []
        var left = Self.perClaim
        var idle = 0
        while left > 0, idle < turns.count {
            let account = turns.removeFirst()
            tenants[account]?.isListed = false
            defer { list(account) }
            if rests(account) {
                idle += 1
                continue
            }
            guard let owner = tenants[account]?.next() else { continue }
            places[owner]?.isQueued = false
            let room = hasRoom(account) ? min(left, opened - working, share(of: account) - (tenants[account]?.working ?? 0)) : 0
            guard let demand = demand(owner, room: room, at: now) else {
                // Back to its queue when only the account's or the node's places are taken.
                if room <= 0, places[owner]?.isDue == true, places[owner]?.opening(at: now) == nil {
                    enqueue(owner)
                    idle += 1
                }
                continue
            }
            idle = 0
            left -= demand.places
            places[owner]?.isNews = false
            hold(demand)
            demands.append(demand)
        }
        if firstClaim == nil, !demands.isEmpty { firstClaim = moment }
        return demands
    }

    /// An account's part of the node's places; one part is kept free.
    private func share(of account: Account.ID) -> Int {
        let fair = max(1, opened / (tenants.count + 1))
        guard let yieldUntil, moment < yieldUntil, let tenant = tenants[account], tenant.recent(at: moment) > yieldAbove else { return fair }
        return min(fair, Self.yielding)
    }

    /// Not for every single place: a quarter of its share at least.
    private func hasRoom(_ account: Account.ID) -> Bool {
        (tenants[account]?.working ?? 0) <= share(of: account) * 3 / 4 && working < opened
    }

    private mutating func rests(_ account: Account.ID) -> Bool {
        guard let end = tenants[account]?.restsUntil, end > moment else { return false }
        restEnd = min(restEnd ?? end, end)
        return true
    }

    /// Whether an account that sends little has something to send: a quarter of what the busiest does, at most.
    private mutating func lookForLight() {
        guard tenants.count > 1 else { return }
        let usages = tenants.values.map { $0.recent(at: moment) }
        guard let least = usages.min(), let most = usages.max(), most >= Double(Self.perClaim), least * 4 <= most else { return }
        yieldUntil = moment.advanced(by: Self.courtesy)
        yieldAbove = max(least * 4, Double(Self.perClaim) / 4)
    }

    private mutating func demand(_ owner: OwnedSender, room: Int, at now: Date) -> ClaimDemand? {
        guard let place = places[owner], place.isDue else { return nil }
        if let opening = place.opening(at: now) {
            sleep(owner, until: opening)
            return nil
        }
        // Many senders at once share a claim evenly: each sends one after the other, and all of them together fill a commit.
        let others = tenants[owner.account]?.waiting ?? 0
        let fair = min(Self.perSender, max(1, Self.perClaim / (turns.count + 1) / (others + 1)))
        let regular = min(fair, place.regularRoom(at: now), room)
        if regular > 0 { return ClaimDemand(owner: owner, places: regular, isLimited: place.asksStanding) }
        // News may be of the highest priority, which has places of its own: with the sender, and on the node.
        let high = min(Self.reserve, place.highRoom(at: now), opened + opened / 8 - working)
        guard place.isNews, high > 0 else { return nil }
        return ClaimDemand(owner: owner, places: high, highOnly: true, isLimited: place.asksStanding)
    }

    /// Places are taken from the moment they are asked for.
    private mutating func hold(_ demand: ClaimDemand) {
        places[demand.owner]?.held += demand.places
        tenants[demand.owner.account, default: Tenant()].working += demand.places
        working += demand.places
    }

    /// What became of `demands`. Returns the messages that leave now, and those that the senders' limits hold back.
    mutating func claimed(_ demands: [ClaimDemand], _ claim: Claim, at now: Date) -> (flights: [Flight], postponed: [Postponed]) {
        let standings = standings(in: claim)
        let messages = Dictionary(grouping: claim.messages, by: \.owner)
        let asked = Dictionary(demands.map { ($0.owner.account, 1) }, uniquingKeysWith: +)
        var departing: [Flight] = []
        var postponed: [Postponed] = []
        for demand in demands {
            learn(standings, from: demand)
            let taken = messages[demand.owner] ?? []
            let (leaving, held) = places[demand.owner]?.admitted(taken, at: now) ?? (leaving: taken, waiting: [])
            departing += leaving.map { begin($0) }
            tenants[demand.owner.account]?.use(leaving.count, at: moment)
            if tenants[demand.owner.account]?.working ?? 0 >= Self.busy {
                tenants[demand.owner.account]?.restsUntil = moment.advanced(by: Self.rest(senders: asked[demand.owner.account] ?? 1))
            }
            postponed += held.map { Postponed(message: $0.message.id, owner: demand.owner, until: $0.until) }
            settle(demand, count: taken.count, at: now)
        }
        return (departing, postponed)
    }

    /// What became of a claim for a suspect.
    mutating func claimedSuspect(_ demands: [ClaimDemand], _ claim: Claim, at now: Date) -> (flights: [Flight], postponed: [Postponed]) {
        let standings = standings(in: claim)
        for demand in demands { learn(standings, from: demand) }
        guard let message = claim.messages.first else { return ([], []) }
        // There may be more of them.
        suspected.formUnion(demands.map(\.owner))
        if let held = places[message.owner]?.admitted([message], at: now).waiting.first {
            suspected.remove(message.owner)
            return ([], [Postponed(message: message.id, owner: message.owner, until: held.until)])
        }
        let flight = begin(message)
        suspect = flight.ticket
        return ([flight], [])
    }

    /// The claim failed; it is tried again at the next occasion.
    mutating func failedSuspect(_ demands: [ClaimDemand]) {
        failed(demands)
        suspected.formUnion(demands.map(\.owner))
    }

    /// Resends are not held up: their bytes may have left already.
    mutating func claimedAgain(_ messages: [ClaimedMessage], of owned: [OwnedSender], isMore: Bool) -> [Flight] {
        if isMore { again.formUnion(owned) }
        return messages.map { begin($0) }
    }

    private func standings(in claim: Claim) -> [DueSender: SenderStanding] { Dictionary(claim.standings.map { ($0.sender, $0) }) { $1 } }

    /// The answer is there: its places are free again, and how its sender stands is known.
    private mutating func learn(_ standings: [DueSender: SenderStanding], from demand: ClaimDemand) {
        release(demand)
        if demand.isLimited { places[demand.owner]?.stands(standings[demand.owner.place]) }
    }

    /// The claim failed; it is tried again at the next occasion.
    mutating func failed(_ demands: [ClaimDemand]) {
        for demand in demands { release(demand) }
    }

    private mutating func release(_ demand: ClaimDemand) {
        places[demand.owner]?.held -= demand.places
        free(demand.owner.account, demand.places)
    }

    private mutating func settle(_ demand: ClaimDemand, count: Int, at now: Date) {
        let owner = demand.owner
        guard let place = places[owner] else { return }
        let isMore = count >= demand.places
        if let opening = place.opening(at: now) { return sleep(owner, until: opening) }
        if demand.highOnly {
            if isMore { places[owner]?.isNews = true }
        } else if !isMore, !place.isNews {
            places[owner]?.isDue = false
            return
        }
        if places[owner]?.isNews == true || place.regularRoom(at: now) > 0 { enqueue(owner) }
    }

    // MARK: On the way

    private mutating func begin(_ message: ClaimedMessage) -> Flight {
        lastTicket += 1
        flights[lastTicket] = Departure(message)
        places[message.owner]?.add(Departure(message))
        tenants[message.owner.account, default: Tenant()].working += 1
        working += 1
        return Flight(ticket: lastTicket, message: message)
    }

    /// Its bytes are about to leave: others may take its place on the node. True: something may be claimed now that could not before.
    mutating func left(_ ticket: UInt64, at now: Date) -> Bool {
        guard let departure = flights[ticket], !departure.hasLeft else { return false }
        flights[ticket]?.hasLeft = true
        places[departure.owner]?.left(departure, at: now)
        free(departure.owner.account, 1)
        let wasCautious = opened < capacity
        if wasCautious { opened += 1 }
        let isNextSuspect = freeSuspect(ticket)
        // Whoever it was, another account may have waited for a place.
        return ask(departure.owner, at: now) || isNextSuspect || wasCautious && !turns.isEmpty
    }

    /// True: there is something to claim for it, or for others of its account.
    private mutating func ask(_ owner: OwnedSender, at now: Date) -> Bool {
        guard let place = places[owner], place.isDue, place.isWorthAsking(at: now) else { return isWaiting(owner.account) }
        enqueue(owner)
        return true
    }

    private func isWaiting(_ account: Account.ID) -> Bool { tenants[account]?.hasQueue == true && hasRoom(account) }

    /// Its outcome is recorded. True: something may be claimed now that could not before.
    mutating func finished(_ ticket: UInt64, at now: Date) -> Bool {
        guard let departure = flights.removeValue(forKey: ticket) else { return false }
        if !departure.hasLeft { free(departure.owner.account, 1) }
        places[departure.owner]?.remove(departure)
        let isNextSuspect = freeSuspect(ticket)
        return ask(departure.owner, at: now) || isNextSuspect || opened < capacity && !turns.isEmpty
    }

    /// True: it was the suspect, and there may be another.
    private mutating func freeSuspect(_ ticket: UInt64) -> Bool {
        guard suspect == ticket else { return false }
        suspect = nil
        return !suspected.isEmpty
    }

    private mutating func free(_ account: Account.ID, _ count: Int) {
        working -= count
        tenants[account]?.working -= count
        endTurn(account)
    }

    // MARK: Queues

    private mutating func enqueue(_ owner: OwnedSender) {
        guard let place = places[owner], !place.isQueued else { return }
        places[owner]?.isQueued = true
        tenants[owner.account, default: Tenant()].queue.append(owner)
        list(owner.account)
    }

    private mutating func list(_ account: Account.ID) {
        guard let tenant = tenants[account], !tenant.isListed else { return }
        guard tenant.hasQueue else { return endTurn(account) }
        tenants[account]?.isListed = true
        turns.append(account)
    }

    private mutating func endTurn(_ account: Account.ID) {
        if let tenant = tenants[account], tenant.working <= 0, !tenant.hasQueue { tenants[account] = nil }
    }

    private mutating func sleep(_ owner: OwnedSender, until: Date) {
        if sleepers.contains(where: { $0.owner == owner && $0.until <= until }) { return }
        let index = sleepers.firstIndex { $0.until > until } ?? sleepers.endIndex
        sleepers.insert((until, owner), at: index)
    }

    private mutating func wakeSleepers(at now: Date) {
        let count = sleepers.prefix { $0.until <= now }.count
        let woken = sleepers.prefix(count).map(\.owner)
        sleepers.removeFirst(count)
        for owner in woken { enqueue(owner) }
    }
}
