import Foundation
import Testing

@testable import Delivery
@testable import Domain

/// The dispatcher's decisions against a model of the outbox: no database, no tasks, and time is a number.
@Suite struct DispatchPlanTests {
    @Test func `a sender has at most its window in flight and is asked again as places become free`() {
        var bench = Bench()
        let owner = bench.addSender()
        bench.accept(100, of: owner)

        bench.claimAll()
        let full = bench.inFlight(owner)
        bench.leaveAll()
        bench.claimAll()
        let waiting = bench.inFlight(owner)
        var most = 0
        while bench.finishOldest() { most = max(most, bench.inFlight(owner)) }

        #expect(full == DispatchPlan.window - DispatchPlan.reserve && waiting == full && most <= full)
        #expect(bench.order.count == 100)
    }

    @Test func `a high message waits behind no other one of its sender`() {
        var bench = Bench()
        let owner = bench.addSender()
        bench.accept(100, of: owner)
        bench.claimAll()

        bench.accept(DispatchPlan.reserve, of: owner, priority: .high)
        bench.claimAll()
        let started = bench.order.suffix(DispatchPlan.reserve).map(\.dispatch.priority)
        bench.accept(1, of: owner, priority: .high)
        bench.claimAll()
        let overfull = bench.inFlight(owner)
        _ = bench.finishOldest()

        #expect(started == Array(repeating: .high, count: DispatchPlan.reserve))
        #expect(overfull == DispatchPlan.window)
        #expect(bench.order.last?.dispatch.priority == .high && bench.inFlight(owner) == DispatchPlan.window)
    }

    @Test func `another account's long queue takes no turn away from a short one`() throws {
        func lastStart(withCrowd: Bool) -> [Int] {
            var bench = Bench()
            let small = bench.addSender()
            if withCrowd {
                let account = Account.ID(UUID())
                for _ in 0..<50 { bench.accept(200, of: bench.addSender(account: account)) }
                bench.claimAll()
            }
            bench.accept(1_000, of: small)
            var waits: [Int] = []
            // In each step every message on its way makes one step: to the wire, then to its end.
            for step in 1...400 {
                let before = bench.order.count
                bench.claimAll()
                waits += bench.order[before...].filter { $0.owner == small }.map { _ in step }
                bench.step()
            }
            return waits
        }

        let alone = lastStart(withCrowd: false)
        let crowded = lastStart(withCrowd: true)

        try #require(alone.count == 1_000 && crowded.count == 1_000)
        #expect(Double(crowded[949]) <= Double(alone[949]) * 1.2)
    }

    @Test func `the node's places are never exceeded and shared evenly among accounts`() {
        var bench = Bench()
        let owners = (0..<3).flatMap { _ -> [OwnedSender] in
            let account = Account.ID(UUID())
            return (0..<20).map { _ in bench.addSender(account: account) }
        }
        for owner in owners { bench.accept(50, of: owner) }

        bench.claimAll()

        let perAccount = Dictionary(grouping: bench.order, by: \.account).mapValues(\.count)
        #expect(bench.order.count <= bench.plan.capacity)
        let share = bench.plan.capacity / 4
        #expect(perAccount.count == 3 && perAccount.values.allSatisfy { $0 > share * 3 / 4 && $0 <= share })
    }

    @Test func `a busy account yields to one that sends little, and has its places again when that is silent`() {
        var bench = Bench()
        let account = Account.ID(UUID())
        for _ in 0..<20 { bench.accept(200, of: bench.addSender(account: account)) }
        for _ in 0..<10 {
            bench.claimAll()
            bench.step()
        }
        func onTheWay() -> Int { bench.working(account) }
        bench.claimAll()
        let before = onTheWay()

        let light = bench.addSender()
        bench.accept(1, of: light)
        bench.claimAll()
        bench.leaveAll()
        bench.accept(1, of: light)
        bench.claimAll()
        let beside = onTheWay()
        bench.leaveAll()
        bench.advance(DispatchPlan.courtesy)
        bench.claimAll()

        #expect(before > DispatchPlan.perClaim / 2)
        #expect(beside > 0 && beside <= DispatchPlan.yielding)
        #expect(onTheWay() > DispatchPlan.perClaim / 2)
    }

    @Test func `no claim asks for more than it may take, and every message is started once`() {
        var bench = Bench()
        let owners = (0..<40).map { _ in bench.addSender() }
        for (index, owner) in owners.enumerated() { bench.accept(index, of: owner, priority: index % 3 == 0 ? .low : .normal) }

        repeat { bench.claimAll() } while bench.finishOldest()

        #expect(bench.largestClaim <= DispatchPlan.perClaim)
        #expect(bench.order.count == 780 && Set(bench.order.map(\.id)).count == 780)
    }

    @Test func `a sender with a gap sends one at a time and is asked again when the gap is over`() throws {
        var bench = Bench()
        let owner = bench.addSender(limits: EffectiveLimits(gap: 2_000))
        bench.accept(3, of: owner)

        var starts: [TimeInterval] = []
        for _ in 0..<80 {
            let before = bench.order.count
            bench.claimAll()
            starts += bench.order[before...].map { _ in bench.time.timeIntervalSince(Bench.start) }
            #expect(bench.inFlight(owner) <= 1)
            bench.step()
            bench.step()
            bench.advance(.seconds(0.1))
        }

        #expect(starts.count == 3)
        for (earlier, later) in zip(starts, starts.dropFirst()) { #expect(later - earlier >= 2 && later - earlier < 2.5) }
    }

    @Test func `what a limit holds back is given back with the time at which it may leave`() throws {
        var bench = Bench()
        let health = SenderHealth(newChatsUntil: Bench.start.addingTimeInterval(3_600))
        let owner = bench.addSender(limits: EffectiveLimits(perSecond: 5), health: health)
        bench.accept(2, of: owner, isCold: true)
        bench.accept(8, of: owner)

        bench.claimAll()

        #expect(bench.order.count == 5 && bench.order.allSatisfy { !$0.dispatch.isCold })
        #expect(bench.postponed.count { $0.until == Bench.start.addingTimeInterval(3_600) } == 2)
        bench.leaveAll()
        bench.advance(.seconds(1))
        bench.claimAll()
        #expect(bench.order.count == 8)
    }

    @Test func `what was in the hands of a process that died is claimed one at a time, beside the others`() {
        var bench = Bench()
        let owners = [bench.addSender(), bench.addSender()]
        for owner in owners {
            bench.accept(10, of: owner)
            bench.suspect(5, of: owner)
        }
        bench.claimAll()
        let before = bench.order.count
        bench.claimSuspect()
        bench.claimSuspect()
        #expect(bench.order.count == before + 1)

        var taken = 1
        while bench.order.count < 30 {
            bench.leaveAll()
            bench.claimSuspect()
            bench.claimSuspect()
            taken += 1
            #expect(bench.order.count == before + taken)
            guard bench.order.count == before + taken else { return }
        }
        #expect(taken == 10 && before == 20)
        bench.leaveAll()
        bench.claimSuspect()
        #expect(bench.plan.nextSuspect(at: bench.time).isEmpty)
    }

    @Test func `a suspect that its sender's limits hold back is given back, and looked for again when a probe finds it`() {
        var bench = Bench()
        let owner = bench.addSender(limits: EffectiveLimits(perSecond: 1), health: SenderHealth(newChatsUntil: Bench.start.addingTimeInterval(3_600)))
        bench.suspect(1, of: owner, isCold: true)
        bench.claimSuspect()

        #expect(bench.order.isEmpty && bench.postponed.map(\.until) == [Bench.start.addingTimeInterval(3_600)])
        #expect(bench.plan.nextSuspect(at: bench.time).isEmpty)
        bench.plan.found([Probed(owner: owner, isDue: false, isDueAgain: false, isSuspect: true)])
        #expect(bench.plan.nextSuspect(at: bench.time).map(\.owner) == [owner])
    }

    @Test func `at the beginning one message is claimed alone, and each that leaves lets one more in`() {
        var bench = Bench(plan: DispatchPlan())
        let account = Account.ID(UUID())
        let owners = [bench.addSender(account: account), bench.addSender(account: account), bench.addSender()]
        for owner in owners { bench.accept(20, of: owner) }
        var sizes: [Int] = []
        for _ in 0..<6 {
            let before = bench.order.count
            bench.claimAll()
            sizes.append(bench.order.count - before)
            bench.step()
        }
        #expect(sizes[0] == 1)
        // Never more beside each other than have left before, and one.
        #expect(zip(sizes, sizes.indices).allSatisfy { size, step in size <= 1 + sizes[..<step].reduce(0, +) })
        #expect(sizes.allSatisfy { $0 > 0 })
    }

    @Test func `a first message that does not get away holds the others up for a moment only`() {
        var bench = Bench(plan: DispatchPlan())
        bench.accept(20, of: bench.addSender())
        bench.accept(20, of: bench.addSender())
        bench.claimAll()
        let alone = bench.order.count
        bench.advance(DispatchPlan.caution)
        bench.claimAll()
        #expect(alone == 1 && bench.order.count > 10)
    }

    @Test func `a sender that is not ready any more is asked for nothing`() {
        var bench = Bench()
        let owner = bench.addSender()
        bench.accept(DispatchPlan.window * 2, of: owner)
        bench.claimAll()

        bench.plan.setReady([])
        bench.plan.hint([owner.place])
        while bench.finishOldest() {}

        #expect(bench.order.count == DispatchPlan.window - DispatchPlan.reserve)
    }
}

/// A plan, the outbox it claims from, and what is on its way.
private struct Bench {
    static let start = Date(timeIntervalSince1970: 1_780_000_000)

    var plan: DispatchPlan
    var time = Bench.start
    /// On the process's own clock.
    var moment = ContinuousClock.now
    /// In the order they were started.
    var order: [ClaimedMessage] = []
    var postponed: [Postponed] = []
    var largestClaim = 0
    private var queues: [OwnedSender: [ClaimedMessage]] = [:]
    private var suspects: [OwnedSender: [ClaimedMessage]] = [:]
    private var standings: [OwnedSender: SenderStanding] = [:]
    private var running: [(flight: DispatchPlan.Flight, hasLeft: Bool)] = []
    private var senders: [OwnedSender] = []

    /// - Parameter plan: nil: one that has been at work for a while.
    init(plan: DispatchPlan? = nil) { self.plan = plan ?? DispatchPlan(opened: 128) }

    mutating func addSender(account: Account.ID = Account.ID(UUID()), limits: EffectiveLimits = .none, health: SenderHealth = .well) -> OwnedSender {
        let owner = OwnedSender(account: account, sender: Sender.ID(UUID()), epoch: 1)
        senders.append(owner)
        if !limits.isUnlimited || health != .well { standings[owner] = SenderStanding(sender: owner.place, limits: limits, health: health) }
        plan.setReady(senders)
        return owner
    }

    mutating func accept(_ count: Int, of owner: OwnedSender, priority: Priority = .normal, isCold: Bool = false) {
        for _ in 0..<count { queues[owner, default: []].append(message(owner, priority, isCold)) }
        plan.hint([owner.place])
    }

    mutating func suspect(_ count: Int, of owner: OwnedSender, isCold: Bool = false) {
        for _ in 0..<count { suspects[owner, default: []].append(message(owner, .normal, isCold)) }
    }

    mutating func claimSuspect() {
        let demands = plan.nextSuspect(at: time)
        guard !demands.isEmpty else { return }
        var claim = Claim()
        for demand in demands where demand.isLimited {
            if let standing = standings[demand.owner] { claim.standings.append(standing) }
        }
        if let owner = demands.map(\.owner).first(where: { suspects[$0]?.isEmpty == false }), let message = suspects[owner]?.removeFirst() {
            claim.messages = [message]
        }
        let (flights, held) = plan.claimedSuspect(demands, claim, at: time)
        postponed += held
        order += flights.map(\.message)
        running += flights.map { ($0, false) }
    }

    func inFlight(_ owner: OwnedSender) -> Int { running.count { $0.flight.message.owner == owner } }

    /// Between claim and wire.
    func working(_ account: Account.ID) -> Int { running.count { $0.flight.message.account == account && !$0.hasLeft } }

    mutating func claimAll() {
        while true {
            let demands = plan.nextClaim(at: time, moment: moment)
            if demands.isEmpty, let restEnd = plan.restEnd {
                moment = restEnd
                continue
            }
            guard !demands.isEmpty else { return }
            largestClaim = max(largestClaim, demands.map(\.places).reduce(0, +))
            var claim = Claim()
            for demand in demands {
                if demand.isLimited, let standing = standings[demand.owner] { claim.standings.append(standing) }
                if let standing = standings[demand.owner], standing.usage.nextAt > time { continue }
                let lane = queues[demand.owner, default: []].filter { !demand.highOnly || $0.dispatch.priority == .high }
                let taken = lane.sorted { $0.dispatch.priority.rank < $1.dispatch.priority.rank }.prefix(demand.places)
                let ids = Set(taken.map(\.id))
                queues[demand.owner]?.removeAll { ids.contains($0.id) }
                claim.messages += taken
            }
            let (flights, held) = plan.claimed(demands, claim, at: time)
            postponed += held
            order += flights.map(\.message)
            running += flights.map { ($0, false) }
        }
    }

    mutating func leaveAll() {
        for index in running.indices where !running[index].hasLeft { leave(index) }
    }

    /// What has left ends, what has not leaves.
    mutating func step() {
        let ending = running.filter(\.hasLeft).map(\.flight)
        running.removeAll { $0.hasLeft }
        leaveAll()
        for flight in ending { _ = plan.finished(flight.ticket, at: time) }
    }

    mutating func finishOldest() -> Bool {
        guard !running.isEmpty else { return false }
        if !running[0].hasLeft { leave(0) }
        _ = plan.finished(running.removeFirst().flight.ticket, at: time)
        claimAll()
        return true
    }

    mutating func advance(_ duration: Duration) {
        time = time.addingTimeInterval(duration / .seconds(1))
        moment = moment.advanced(by: duration)
    }

    /// As pre-wire does it, without jitter.
    private mutating func leave(_ index: Int) {
        running[index].hasLeft = true
        let message = running[index].flight.message
        if let limits = standings[message.owner]?.limits {
            standings[message.owner]?.usage.add(cold: message.dispatch.isCold ? 1 : 0, at: time)
            let pause = limits.pause(isCold: message.dispatch.isCold, chance: 0)
            if pause > 0 { standings[message.owner]?.usage.nextAt = time.addingTimeInterval(Double(pause) / 1_000) }
        }
        _ = plan.left(running[index].flight.ticket, at: time)
    }

    private func message(_ owner: OwnedSender, _ priority: Priority, _ isCold: Bool) -> ClaimedMessage {
        ClaimedMessage(
            id: Message.ID(UUID()), owner: owner, wireID: "", messageSecret: [], recipient: Self.recipient, body: Self.body, previewURL: false,
            isTest: true, attempt: 0, createdAt: time, expiresAt: time.addingTimeInterval(86_400), deadline: time, onWireBefore: false,
            dispatch: ClaimedMessage.Dispatch(
                priority: priority, recipientIndex: [], isCold: isCold, isGreetingDue: isCold, isLimited: standings[owner] != nil,
                limitedPool: nil, isMovable: false, refusals: 0, dueAt: time, claimedAt: time))
    }

    private static let recipient = try! E164(digits: "628123456789")
    private static let body = try! MessageText("Halo")
}
