import Foundation
import Glibc
import Proof
import Simulator

extension ProcessFault {
    /// Processes that stand still, altogether or in one thread.
    static let standstills: [ProcessFault] = [
        ProcessFault(
            name: "F49", injected: "the owner of all senders stopped for 5 s and for 12 s (leases of 3 s), then continued, under load",
            expected: "nothing written under an epoch that is over"
        ) {
            try await inWorld(nodes: 2, senders: 4) { world in
                try await world.outliveTheLease()
                let node = world.nodes[0]
                node.signal(SIGSTOP)
                do { try await world.traffic(40) } catch {
                    node.signal(SIGCONT)
                    throw error
                }
                try await ContinuousClock().sleep(for: .seconds(12))
                node.signal(SIGCONT)
                try await world.traffic(40)
                try await ContinuousClock().sleep(for: .seconds(2))
                let refused = world.logLines(holding: "lease lost")
                let stale = try await Audit.violations(in: world.database.admin, isFinal: false).filter { $0.contains("epoch") }.count
                return Seen(isOK: stale == 0 && refused > 0, what: "leases noticed as lost \(refused), stale writes accepted \(stale)")
            }
        },
        ProcessFault(
            name: "F60", injected: "a thread of the API blocked for 5 s right after a commit (leases of 3 s)",
            expected: "no lease is lost, others answer"
        ) {
            try await inWorld(nodes: 1, senders: 3) { world in
                let before = try await world.leases()
                try world.arm("accepted:hold")
                async let posted: Void = world.traffic(8)
                guard try await world.waitForHit(within: .seconds(15)) != nil else { throw ProofFailure("the place was never reached") }
                let start = ContinuousClock.now
                let answer = try? await HTTP.request("GET", world.nodes[0].baseURL + "/healthz", timeout: 4)
                let took = ContinuousClock.now - start
                try await ContinuousClock().sleep(for: .seconds(6))
                try await posted
                let after = try await world.leases()
                let isKept = before.allSatisfy { after[$0.key]?.epoch == $0.value.epoch } && !before.isEmpty
                return Seen(
                    isOK: isKept && answer?.status == 200,
                    what: "leases kept: \(isKept), another request answered in \(Int(took / .milliseconds(1))) ms")
            }
        },
    ]
}

extension World {
    /// What every gateway here is told besides its own directory and port.
    var nodeSettings: [String: String] {
        get throws { try Self.settings(plan, directory, front) }
    }

    /// How many lines of the nodes' logs hold a text.
    func logLines(holding text: String) -> Int {
        nodes.reduce(0) { sum, node in
            let log = (try? String(contentsOfFile: node.logFile, encoding: .utf8)) ?? ""
            return sum + log.split(separator: "\n").count { $0.contains(text) }
        }
    }
}
