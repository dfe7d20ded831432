/// One simulated fleet: nodes, database, WhatsApp's server, recipients, clients and faults under one seeded scheduler, without threads and without a
/// real clock.
///
/// Every point where the engine awaits is two steps here, with a random time in between in which anybody else may act, and at which a node may
/// die or fall asleep. `run()` goes on until everything is settled, or to the first violation.
final class World {
    static let leaseTTL = 30_000
    static let trust = 25_000
    static let claimDeadline = 20_000

    let seed: UInt64
    let plan: Plan
    let sabotage: ModelSabotage?
    let isTracing: Bool
    var random: SplitMix64
    var now = 0
    var steps = 0
    var queue = EventQueue<Happening>()
    var database: ModelDatabase
    var nodes: [ModelNode]
    var server: ModelServer
    var calls: [Call] = []
    var flights: [Flight] = []
    var connections: [Connection] = []
    var clients: [Client]
    var checker: Checker
    var rules: Rules
    var isDatabaseDown = false
    var isCacheWarm: [Bool]
    var trace: [String] = []
    var violation: Violation? { checker.violation }

    /// What can happen. Numbers are indexes: node, incarnation, call, flight, connection, frame, receipt, client.
    enum Happening {
        case leaseTick(Int, Int), pollTick(Int, Int), sweepTick(Int, Int), moveTick(Int, Int)
        case execute(Int), answered(Int)
        case flight(Int, Flight.Step)
        case acknowledgementOverdue(Int, build: Int)
        case login(Int, Int, ModelOwner), serverLogin(Int), loggedIn(Int), closed(Int)
        case frame(Int), answerOfServer(frame: Int, code: Int), copy(Int)
        case receiptAtServer(Int), receiptAtNode(Int, connection: Int), receiptTaken(Int)
        case client(Int), cancel(Int)
        case fault(Int), restart(Int), wake(Int), databaseUp
        case deadline(Int)
    }

    init(seed: UInt64, sabotage: ModelSabotage?, isTracing: Bool) {
        self.seed = seed
        self.sabotage = sabotage
        self.isTracing = isTracing
        random = SplitMix64(seed: seed)
        let plan = Plan(random: &random)
        self.plan = plan
        rules = Rules(plan: plan, seed: seed)
        database = ModelDatabase(senders: (0..<plan.senders).map { _ in ModelSender(account: 0) }, limits: rules.limits, sabotage: sabotage)
        nodes = (0..<plan.nodes).map { _ in ModelNode(senders: plan.senders) }
        server = ModelServer(senders: plan.senders)
        clients = plan.requests.map { _ in Client() }
        isCacheWarm = [Bool](repeating: false, count: plan.recipients)
        checker = Checker(plan: plan)
    }

    func run() -> Outcome {
        for node in nodes.indices { start(node) }
        for index in plan.requests.indices { queue.add(.client(index), at: plan.requests[index].at) }
        for index in plan.faults.indices { queue.add(.fault(index), at: plan.faults[index].at) }
        while violation == nil, let (time, happening) = queue.next() {
            now = max(now, time)
            steps += 1
            if isTracing { trace.append("\(now) \(happening)") }
            handle(happening)
            if !database.touched.isEmpty { checkTouched() }
            if isDrained { break }
        }
        checkEnd()
        return Outcome(
            seed: seed, steps: steps, violation: violation, trace: Array(trace.suffix(40)), figures: checker.figures(database, clients))
    }

    /// Every client has its answer, nothing is open, and what the server took has reached its recipient.
    private var isDrained: Bool {
        checker.openDeadlines == 0 && server.copiesUnderWay == 0 && now > 90_000 && clients.allSatisfy(\.isOver)
    }

    // MARK: Who gets it

    private func handle(_ happening: Happening) {
        if let (node, incarnation) = recipient(of: happening) {
            guard nodes[node].isUp, nodes[node].incarnation == incarnation else { return }
            if nodes[node].isAsleep { return nodes[node].stash.append(happening) }
            if plan.stumbles > 0, isAwaitPoint(happening), random.chance(plan.stumbles), now < 150_000 {
                checker.slack += 20_000
                if random.chance(350) { return crash(node, for: random.between(200, 20_000)) }
                // Often so long that its leases are over when it goes on.
                sleep(node, for: random.chance(400) ? random.between(500, 20_000) : random.between(26_000, 60_000))
                return nodes[node].stash.append(happening)
            }
        }
        switch happening {
        case .leaseTick(let node, _): keepLeases(node)
        case .pollTick(let node, _): poll(node)
        case .sweepTick(let node, _): sweep(node)
        case .moveTick(let node, _): moveMessages(node)
        case .execute(let call): execute(call)
        case .answered(let call): answered(call)
        case .flight(let flight, let step): advance(flight, step)
        case .acknowledgementOverdue(let flight, let build): acknowledgementOverdue(flight, build)
        case .login(let node, _, let owner): logIn(node, owner)
        case .serverLogin(let connection): serverLogin(connection)
        case .loggedIn(let connection): loggedIn(connection)
        case .closed(let connection): closed(connection)
        case .frame(let frame): frameArrives(frame)
        case .answerOfServer(let frame, let code): serverAnswered(frame, code)
        case .copy(let frame): copyArrives(frame)
        case .receiptAtServer(let receipt): receiptAtServer(receipt)
        case .receiptAtNode(let receipt, let connection): receiptArrives(receipt, connection)
        case .receiptTaken(let receipt): server.receipts[receipt].isTaken = true
        case .client(let index): clientAsks(index)
        case .cancel(let index): clientCancels(index)
        case .fault(let index): strike(plan.faults[index].fault)
        case .restart(let node): start(node)
        case .wake(let node): wake(node)
        case .databaseUp: isDatabaseDown = false
        case .deadline(let message): checkDeadline(message)
        }
    }

    private func recipient(of happening: Happening) -> (Int, Int)? {
        switch happening {
        case .leaseTick(let node, let incarnation), .pollTick(let node, let incarnation), .sweepTick(let node, let incarnation),
            .moveTick(let node, let incarnation), .login(let node, let incarnation, _):
            (node, incarnation)
        case .answered(let call): (calls[call].node, calls[call].incarnation)
        case .flight(let flight, _), .acknowledgementOverdue(let flight, _): (flights[flight].node, flights[flight].incarnation)
        case .loggedIn(let connection), .closed(let connection), .receiptAtNode(_, let connection):
            (connections[connection].node, connections[connection].incarnation)
        case .answerOfServer(let frame, _):
            (connections[server.frames[frame].connection].node, connections[server.frames[frame].connection].incarnation)
        default: nil
        }
    }

    private func isAwaitPoint(_ happening: Happening) -> Bool {
        switch happening {
        case .answered, .flight, .answerOfServer, .receiptAtNode: true
        default: false
        }
    }

    // MARK: Time

    func after(_ delay: Int, _ happening: Happening) { queue.add(happening, at: now + delay) }

    /// How long an await takes: nearly always little.
    func pause() -> Int {
        let dice = random.below(checker.isCalm ? 90 : 100)
        if dice < 75 { return random.below(10) }
        if dice < 93 { return random.below(300) }
        if dice < 99 { return random.below(4_000) }
        return random.below(30_000)
    }

    func note(_ text: @autoclosure () -> String) {
        if isTracing { trace.append("    \(text())") }
    }
}

/// What a run gave.
package struct Outcome {
    package let seed: UInt64
    package let steps: Int
    package let violation: Violation?
    /// The last 40 steps, when tracing.
    package let trace: [String]
    package let figures: Figures
}
