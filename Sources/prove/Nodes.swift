import ArgumentParser
import Foundation
import Glibc
import Proof
import Simulator

/// `prove nodes`: three gateways on one database and one simulator under load; one is killed, one ends politely.
struct Nodes: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "nodes", abstract: "Take-over after kill -9 and hand-over at SIGTERM, of three gateways under load.")

    @Option(help: "Paired senders.")
    var senders = 30
    @Option(help: "Messages per second.")
    var rate = 100
    @Option(help: "Kills, and polite ends, in each world.")
    var rounds = 2
    @Option(help: "Another build of the gateway.")
    var gateway: String?

    func run() async throws {
        let short = try await measure(hasShortLeases: true)
        let standard = try await measure(hasShortLeases: false)
        guard short, standard else { throw ExitCode.failure }
    }

    private func measure(hasShortLeases: Bool) async throws -> Bool {
        var plan = World.Plan()
        plan.nodes = 3
        plan.senders = senders
        plan.hasShortLeases = hasShortLeases
        plan.binary = gateway
        return try await World.with(plan) { world in
            let clock = ContinuousClock()
            let start = clock.now
            let times = try await world.underLoad(perSecond: rate) {
                try await clock.sleep(for: .seconds(3))
                var kills: [Duration] = []
                var ends: [Duration] = []
                for round in 0..<rounds {
                    let victim = world.nodes[round % 3]
                    kills += try await world.comebacks(within: .seconds(60)) { await victim.kill() }
                    try await victim.start()
                    let leaver = world.nodes[(round + 1) % 3]
                    ends += try await world.comebacks(within: .seconds(60)) { leaver.signal(SIGTERM) }
                    _ = try await leaver.waitForDeath(timeout: .seconds(30))
                    try await leaver.start()
                    try await clock.sleep(for: .seconds(2))
                }
                return (kills: kills.sorted(), ends: ends.sorted())
            }
            let took = clock.now - start
            let result = try await world.reckonAtTheEnd(within: .seconds(120))
            let posted = world.ledger.count
            say(
                """
                three nodes, \(senders) senders, leases of \(hasShortLeases ? 3 : 30) s
                  messages            \(posted), \(Int(Double(posted) / (took / .seconds(1)))) per second
                  take-over, kill -9  \(times.kills.count) senders: \(percentiles(times.kills))
                  hand-over, SIGTERM  \(times.ends.count) senders: \(percentiles(times.ends))
                  ok, recovered       \(result.ok), \(result.recovered)
                  lost                \(result.lost.count) \(result.lost.first ?? "")
                  shown twice         \(result.shownTwice.count) \(result.shownTwice.first ?? "")
                  unexpected          \(result.unexpected.count) \(result.unexpected.first ?? "")
                  stuck               \(result.stuck.count) \(result.stuck.first ?? "")
                  violations          \(result.violations.count) \(result.violations.first ?? "")
                  API                 \(world.answers.description)
                """)
            let isClean =
                result.isClean && !times.kills.isEmpty && !times.ends.isEmpty && times.kills.last.map { $0 <= .seconds(45) } == true
                && times.ends.last.map { $0 <= .seconds(5) } == true && world.answers.serverErrors == 0
            return (isClean, isClean)
        }
    }
}
