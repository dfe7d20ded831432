import ArgumentParser
import Foundation
import Glibc
import Proof
import Simulator

/// `prove soak`: three gateways under load, a random fault a minute, the same checks at the end, and what the processes cost meanwhile.
struct Soak: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "soak", abstract: "Load and a random fault a minute, for as long as you like.")

    @Option(help: "How long.")
    var minutes = 10
    @Option(help: "Paired senders.")
    var senders = 30
    @Option(help: "Messages per second.")
    var rate = 20
    @Option(help: "Seed of the faults.")
    var seed: UInt64 = 1
    @Option(help: "Seconds between faults.")
    var pause = 60
    @Option(help: "Another build of the gateway.")
    var gateway: String?

    private enum Nemesis: String, CaseIterable { case kill, stop, terminate, postgres, disconnect, silence }

    func run() async throws {
        var plan = World.Plan()
        plan.nodes = 3
        plan.senders = senders
        plan.binary = gateway
        let isClean = try await World.with(plan) { world in
            let figures = try await world.underLoad(perSecond: rate) { try await torment(world) }
            let result = try await world.reckonAtTheEnd(within: .seconds(180))
            say(
                """
                soak of \(minutes) min: \(world.ledger.count) messages, ok \(result.ok), recovered \(result.recovered), lost \(result.lost.count), \
                shown twice \(result.shownTwice.count), unexpected \(result.unexpected.count), stuck \(result.stuck.count), \
                violations \(result.violations.count) \(result.complaint ?? "")
                API: \(world.answers.description)
                the node that is never restarted: \(ProcessFigures.trend(figures))
                """)
            return (result.isClean, result.isClean)
        }
        if !isClean { throw ExitCode.failure }
    }

    /// The third node stays, so that what it takes over time can be told.
    private func torment(_ world: World) async throws -> [ProcessFigures] {
        let clock = ContinuousClock()
        let end = clock.now.advanced(by: .seconds(minutes * 60))
        var generator = SplitMix(state: seed)
        var figures: [ProcessFigures] = []
        var minute = 0
        while clock.now < end {
            try await clock.sleep(for: .seconds(pause))
            minute += 1
            let nemesis = Nemesis.allCases[Int(generator.next() % UInt64(Nemesis.allCases.count))]
            let node = world.nodes[Int(generator.next() % 2)]
            try await happen(nemesis, to: node, in: world)
            if let process = world.nodes[2].processID, let now = ProcessFigures(of: process) {
                figures.append(now)
                say(
                    "  \(minute): \(padded(nemesis.rawValue, 10)) \(world.ledger.count) messages, memory \(now.residentKiB / 1024) MiB, "
                        + "open files \(now.files), \(world.answers.serverErrors) × 5xx")
            }
        }
        return figures
    }

    private func happen(_ nemesis: Nemesis, to node: GatewayProcess, in world: World) async throws {
        switch nemesis {
        case .kill:
            await node.kill()
            try await node.start()
        case .stop:
            node.signal(SIGSTOP)
            try await ContinuousClock().sleep(for: Fault.standstill)
            node.signal(SIGCONT)
        case .terminate:
            node.signal(SIGTERM)
            _ = try await node.waitForDeath(timeout: .seconds(60))
            try await node.start()
        case .postgres:
            try world.database.kill()
            try await world.database.restart()
        case .disconnect:
            for phone in world.simulator.phones { try? world.simulator.disconnect(sender: phone.number) }
        case .silence:
            var behaviour = TrafficBehaviour()
            behaviour.lostAcks = 3
            try world.simulator.setBehaviour(behaviour)
            try await ContinuousClock().sleep(for: .seconds(2))
            for phone in world.simulator.phones { try? world.simulator.disconnect(sender: phone.number) }
            try world.simulator.setBehaviour(TrafficBehaviour())
        }
    }
}
