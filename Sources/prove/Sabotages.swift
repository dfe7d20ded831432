import ArgumentParser
import Foundation
import Glibc
import Primitives
import Proof
import Simulator

/// Gateways with deliberate mistakes: the same checks must notice each of them.
enum Sabotages {
    /// So many at the same time.
    private static let lanes = 3

    /// False: one was not noticed. The control is the same trial of a gateway without a mistake, of which nobody may complain.
    static func run(only: String?, isControl: Bool = false) async throws -> Bool {
        let names = only.map { Set($0.split(separator: ",").map(String.init)) }
        let cases = SabotageCase.all.filter { names?.contains($0.name) ?? true }.map { isControl ? $0.withoutMistake : $0 }
        guard !cases.isEmpty else { throw ValidationError("no such sabotage") }
        var found: [String: String] = [:]
        await withTaskGroup(of: (name: String, complaint: String?).self) { group in
            var rest = cases[...]
            for _ in 0..<lanes {
                if let next = rest.popFirst() { group.addTask { (next.name, await next.complaint()) } }
            }
            for await (name, complaint) in group {
                found[name] = complaint
                if let next = rest.popFirst() { group.addTask { (next.name, await next.complaint()) } }
            }
        }
        say("sabotage                    what is wrong                                                  noticed by")
        for one in cases {
            let what = isControl ? "nothing" : one.what
            say("\(padded(one.name, 27)) \(padded(what, 62)) \(found[one.name] ?? (isControl ? "nobody" : "NOT NOTICED"))")
        }
        if isControl {
            say("sabotage, control: \(found.count) of \(cases.count) complained about")
            return found.isEmpty
        }
        say("sabotage: \(found.count) of \(cases.count) noticed")
        return found.count == cases.count
    }
}

extension SabotageCase {
    var withoutMistake: SabotageCase {
        var control = self
        (control.code, control.edits, control.database) = (nil, [], [:])
        return control
    }

    /// What the checks say about a gateway with this mistake; nil: they see nothing.
    func complaint() async -> String? {
        var plan = World.Plan()
        plan.nodes = nodes
        plan.sabotage = self
        plan.databaseSettings = database
        do {
            return try await World.with(plan) { world in
                let reckoning = try await attempt(in: world)
                return (reckoning.complaint, true)
            }
        } catch {
            // A gateway that cannot even be brought into a working state was noticed, too.
            return "stuck: \(error)"
        }
    }

    private func attempt(in world: World) async throws -> Reckoning {
        var sum = Reckoning()
        switch trial {
        case .cells(let cells):
            for cell in cells {
                let result = await world.run(cell)
                sum.add(result.reckoning)
                if let problem = result.problem { sum.stuck.append(problem) }
                if !sum.isClean { return sum }
            }
        case .traffic: try await world.traffic(100)
        case .lossyTraffic: try await world.lossyTraffic(100)
        case .drive(let drive): try await DriveRun(drive, in: world).go()
        case .cancelAt(let point): try await world.cancel(at: point)
        case .deathBeforeAnswer: try await world.dieBeforeTheAnswer()
        case .trafficAfterDeath:
            try await world.traffic(100)
            await world.nodes[0].kill()
            try await world.startAll()
            try await world.traffic(100)
        case .lateWire: try await world.expireBeforeTheWire()
        case .senderGone: try await world.loseSenderAfterTheWire()
        }
        sum.add(try await world.reckonAtTheEnd(within: .seconds(25)))
        return sum
    }
}

/// The trials that are no cells.
extension World {
    /// Many messages at once, among them repeated requests.
    /// - Parameter patience: how long one try may take, in seconds.
    func traffic(_ count: Int, patience: Double = 2) async throws {
        var patient = Caller(self)
        patient.patience = patience
        let caller = patient
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    for number in 0..<(count / 8) {
                        let recipient = self.anyRecipient()
                        let nonce = try await caller.post(recipient)
                        if number % 4 == 0 { try await caller.post(recipient, nonce: nonce) }
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    /// Some stanzas vanish before the server has seen them; then every line breaks, so that they are missed at once.
    func lossyTraffic(_ count: Int) async throws {
        var behaviour = TrafficBehaviour()
        behaviour.lostMessages = 5
        for phone in simulator.phones { try simulator.setBehaviour(behaviour, sender: phone.number) }
        try await traffic(count)
        try await ContinuousClock().sleep(for: .seconds(2))
        for phone in simulator.phones { try? simulator.disconnect(sender: phone.number) }
    }

    /// The sender's process stands at a place behind the wire's gate while the client cancels.
    func cancel(at point: Primitives.Failpoint) async throws {
        var caller = Caller(self)
        caller.limit = .seconds(20)
        let nonce = try await caller.post(
            anyRecipient(),
            more: #","send_at":"\#(Date(timeIntervalSinceNow: 1.5).formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true)))""#)
        try arm("\(point.rawValue):hold")
        guard try await waitForHit(within: .seconds(15)) != nil else { throw ProofFailure("the place was never reached") }
        try await caller.cancel(nonce)
    }

    /// The recipient's devices show a message and tell nobody, and the process dies before the server's answer: only a resend can settle it.
    func dieBeforeTheAnswer() async throws {
        for _ in 0..<4 {
            let number = recipient(endingIn: "1234")
            var silent = RecipientBehaviour()
            silent.receipts = .none
            try simulator.addRecipient(number, behaviour: silent)
            try arm("written:kill")
            async let posted = Caller(self).post(number, end: .unclear)
            guard try await waitForHit(within: .seconds(40)) != nil else { throw ProofFailure("the place was never reached") }
            _ = try await nodes[0].waitForDeath(timeout: .seconds(10))
            disarm()
            try await startAll()
            _ = try await posted
        }
    }

    /// The owner of every sender stands still before a claim until the others have taken over, and goes on while messages wait.
    func outliveTheLease() async throws {
        let caller = Caller(self)
        for _ in 0..<4 {
            try arm("claim_begin:stop")
            try await caller.post(anyRecipient())
            guard let process = try await waitForHit(within: .seconds(15)) else { throw ProofFailure("the place was never reached") }
            try await ContinuousClock().sleep(for: Fault.standstill)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for lane in 0..<8 {
                    group.addTask {
                        var mine = caller
                        mine.patience = 1
                        for _ in 0..<10 { try await mine.post(self.anyRecipient()) }
                        if lane == 0 { kill(process, SIGCONT) }
                    }
                }
                try await group.waitForAll()
            }
            kill(process, SIGCONT)
        }
    }

    /// The process stands between claim and wire while the message's life ends, for less time than its leases last.
    func expireBeforeTheWire() async throws {
        for _ in 0..<3 {
            try arm("encrypted:stop")
            let nonce = try await Caller(self).post(anyRecipient(), end: .notShown(["expired"]))
            guard let process = try await waitForHit(within: .seconds(15)), let id = ledger.entry(nonce)?.id else {
                throw ProofFailure("the place was never reached")
            }
            try await expire(id)
            kill(process, SIGCONT)
            try await ContinuousClock().sleep(for: .seconds(1))
        }
    }

    /// Messages of one sender stay on the wire without an answer, others wait behind them; then its phone unlinks the device, and another
    /// sender is ready.
    func loseSenderAfterTheWire() async throws {
        var behaviour = TrafficBehaviour()
        behaviour.lostAcks = 160
        guard let sender = simulator.phones.first?.number else { throw ProofFailure("no sender") }
        try simulator.setBehaviour(behaviour, sender: sender)
        let caller = Caller(self)
        // Half of them are its: more than it may have on the way at once.
        for _ in 0..<240 {
            let number = recipient(endingIn: "1234")
            var silent = RecipientBehaviour()
            silent.receipts = .none
            try simulator.addRecipient(number, behaviour: silent)
            try await caller.post(number, end: .unclear)
        }
        try await ContinuousClock().sleep(for: .seconds(2))
        try simulator.unlink(sender: sender)
        try await ContinuousClock().sleep(for: .seconds(8))
        // A receipt may still come for an hour, or until their life is over.
        try await expireWhatIsOnTheWire()
    }
}
