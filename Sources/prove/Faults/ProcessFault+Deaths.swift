import Domain
import Foundation
import Glibc
import Primitives
import Proof
import Simulator

extension ProcessFault {
    /// Processes that end.
    static let deaths: [ProcessFault] = [
        ProcessFault(
            name: "F46", injected: "kill -9 of the process at each of \(Failpoint.allCases.count) failpoints, 3 nodes",
            expected: "another node finishes"
        ) {
            try await cells(Failpoint.allCases.map { Cell(point: $0, fault: .kill, nodes: 3) })
        },
        ProcessFault(
            name: "F47", injected: "kill -9 between pre-wire and first byte, 1 and 3 nodes", expected: "resent by the next owner, shown once"
        ) {
            try await cells([1, 1, 3, 3].map { Cell(point: .onWire, fault: .kill, nodes: $0) })
        },
        ProcessFault(
            name: "F48", injected: "kill -9 between byte and acknowledgement, 1 and 3 nodes", expected: "resent under the same id, shown once"
        ) {
            try await cells([1, 1, 3, 3].flatMap { nodes in [.written, .acknowledged].map { Cell(point: $0, fault: .kill, nodes: nodes) } })
        },
        ProcessFault(
            name: "F50", injected: "a second process with the data directory and settings of the first",
            expected: "another incarnation, no shared sender"
        ) {
            try await inWorld(nodes: 2, senders: 4) { world in
                let twin = GatewayProcess(
                    binary: World.binary, dataDirectory: world.nodes[0].dataDirectory, port: try LoopbackPort.free(),
                    simulator: world.simulator.webSocketURL, settings: try world.nodeSettings)
                try await twin.start()
                let seen: Seen
                do {
                    let before = try await world.leases()
                    try await world.traffic(40)
                    try await ContinuousClock().sleep(for: .seconds(4))
                    let after = try await world.leases()
                    await world.nodes[0].kill()
                    try await world.traffic(40)
                    try await ContinuousClock().sleep(for: .seconds(6))
                    let last = try await world.leases()
                    let isStable = before.allSatisfy { after[$0.key]?.epoch == $0.value.epoch }
                    seen = Seen(
                        isOK: isStable && last.count == before.count,
                        what:
                            "\(Set(after.values.map(\.holder)).count) holders for 3 processes, leases kept: \(isStable), after kill -9 of the first all "
                            + "\(last.count) senders are held")
                } catch {
                    await twin.kill()
                    throw error
                }
                await twin.stop()
                return seen
            }
        },
        ProcessFault(
            name: "F51", injected: "SIGTERM of 3 nodes in turn under 20 messages/s",
            expected: "each gone ≤ 30 s, hand-over ≤ 5 s, no 5xx behind a balancer"
        ) {
            try await inWorld(senders: 9) { world in
                let (handOvers, drains) = try await world.underLoad(perSecond: 20) {
                    var handOvers: [Duration] = []
                    var drains: [Duration] = []
                    for node in world.nodes {
                        let start = ContinuousClock.now
                        handOvers += try await world.comebacks(within: .seconds(40)) { node.signal(SIGTERM) }
                        guard try await node.waitForDeath(timeout: .seconds(40)) else { throw ProofFailure("a node did not end") }
                        drains.append(ContinuousClock.now - start)
                        try await node.start()
                        try await ContinuousClock().sleep(for: .seconds(1))
                    }
                    return (handOvers.sorted(), drains.sorted())
                }
                let isOK =
                    (handOvers.last ?? .zero) <= .seconds(5) && (drains.last ?? .zero) <= .seconds(30) && world.answers.serverErrors == 0
                return Seen(isOK: isOK, what: "hand-over \(percentiles(handOvers)); gone \(percentiles(drains)); \(world.answers.serverErrors) × 5xx")
            }
        },
        ProcessFault(
            name: "F52", injected: "SIGTERM, then SIGTERM and SIGINT while sends are under way", expected: "ends at once and hands its leases back"
        ) {
            try await inWorld(nodes: 2, senders: 4) { world in
                var slow = TrafficBehaviour()
                slow.ackDelay = .seconds(8)
                try world.simulator.setBehaviour(slow)
                try await world.traffic(24)
                try await ContinuousClock().sleep(for: .milliseconds(500))
                let start = ContinuousClock.now
                world.nodes[0].signal(SIGTERM)
                try await ContinuousClock().sleep(for: .milliseconds(300))
                world.nodes[0].signal(SIGTERM)
                world.nodes[0].signal(SIGINT)
                let isGone = try await world.nodes[0].waitForDeath(timeout: .seconds(15))
                let took = ContinuousClock.now - start
                try world.simulator.setBehaviour(TrafficBehaviour())
                try await ContinuousClock().sleep(for: .milliseconds(1_500))
                let holders = Set(try await world.leases().values.map(\.holder))
                return Seen(
                    isOK: isGone && holders.count <= 1, what: "gone after \(tenths(took / .seconds(1))) s, \(holders.count) holder of all leases left"
                )
            }
        },
        ProcessFault(
            name: "F52b", injected: "a gateway with its own PostgreSQL killed and ended politely in turns, 30 times",
            expected: "no server outlives a polite end"
        ) {
            try await EmbeddedRestarts.run(cycles: 30, seed: 1)
        },
        ProcessFault(
            name: "F53", injected: "memory cgroup: 256 KiB more than the process has; large requests until it is killed", expected: "as after kill -9"
        ) {
            try await inWorld { world in
                let node = world.nodes[0]
                guard let process = node.processID else { throw ProofFailure("no process") }
                try await world.traffic(16)
                // What it has already is charged to where it was.
                let group = ControlGroup("memory", process: process, limits: [("memory.limit_in_bytes", 256 << 10)])
                defer { group?.end() }
                var how = "killed by the kernel (cgroup)"
                if group == nil {
                    how = "no address space any more (prlimit)"
                    try await limit("as", of: process, to: "1")
                }
                async let neighbours: Void = world.traffic(64)
                let end = ContinuousClock.now + .seconds(20)
                while node.processID != nil, ContinuousClock.now < end { await world.largeRequests(100, to: node) }
                let isGone = try await node.waitForDeath(timeout: .seconds(5))
                if !isGone { await node.kill() }
                try await neighbours
                try await node.start()
                try await world.traffic(16)
                return Seen(isOK: isGone, what: isGone ? how : "it lived on")
            }
        },
        ProcessFault(
            name: "F58", injected: "a message whose encryption kills the process each time",
            expected: "3 strikes, then failed(poison); neighbours delivered"
        ) {
            try await inWorld(nodes: 1, senders: 2) { world in
                let node = world.nodes[0]
                await node.kill()
                try await node.start(failpoint: "encrypted@poison")
                var deaths = 0
                let caller = Caller(world)
                let nonce = "poison-\(world.next())"
                async let posted = caller.post(world.anyRecipient(), end: .notShown(["failed"]), nonce: nonce)
                async let neighbours: Void = world.traffic(16)
                let end = ContinuousClock.now + .seconds(150)
                while ContinuousClock.now < end, deaths < 30 {
                    if try await node.waitForDeath(timeout: .seconds(15)) {
                        deaths += 1
                        // It may die again before it says that it is ready.
                        do { try await node.start(failpoint: "encrypted@poison") } catch {}
                    } else {
                        break
                    }
                }
                await node.kill()
                try await node.start()
                _ = try await (posted, neighbours)
                return Seen(isOK: deaths == Outbox.claimLimit, what: "\(deaths) deaths")
            }
        },
    ]

    /// The process may not get more of something than so much: `nofile` or `as`, by prlimit(1). The hard limit stays.
    static func limit(_ resource: String, of process: Int32, to value: String) async throws {
        _ = try await ChildProcess.output(
            of: ChildProcess.find("prlimit"), ["--pid", "\(process)", "--\(resource)=\(value):"], errors: "/dev/null", limit: .seconds(5))
    }
}

extension World {
    /// So many requests at the same time that are as large as one may be, and say nothing.
    func largeRequests(_ count: Int, to node: GatewayProcess) async {
        let json = "{\"to\":\"+628110000001\",\"type\":\"text\",\"text\":{\"body\":\"\(String(repeating: "x", count: 60_000))\"}}"
        await withTaskGroup(of: Void.self) { group in
            // A dying process answers none of them.
            for _ in 0..<count {
                group.addTask { _ = try? await HTTP.request("POST", node.baseURL + "/v1/messages", key: self.key, json: json, timeout: 3) }
            }
        }
    }
}
