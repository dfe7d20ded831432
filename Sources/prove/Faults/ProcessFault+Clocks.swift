import Foundation
import Proof

extension ProcessFault {
    /// Clocks that jump.
    static let clocks: [ProcessFault] = [
        ProcessFault(
            name: "F56", injected: "wall clock of one of 3 nodes +1 h, then −1 h, by a shim (a time namespace cannot move it)",
            expected: "no lease changes hands, nothing expires"
        ) {
            try await inWorld(senders: 6) { world in
                let shift = try await ClockShift(directory: world.directory)
                try await world.restart(world.nodes[0], with: shift)
                let before = try await world.settledLeases()
                try shift.set(wall: 3_600, boot: 0)
                try await world.underLoad(perSecond: 10) { try await ContinuousClock().sleep(for: .seconds(6)) }
                try shift.set(wall: -3_600, boot: 0)
                try await world.underLoad(perSecond: 10) { try await ContinuousClock().sleep(for: .seconds(6)) }
                let after = try await world.leases()
                try shift.set(wall: 0, boot: 0)
                let moved = before.count { after[$0.key]?.epoch != $0.value.epoch }
                return Seen(isOK: moved == 0 && !before.isEmpty, what: "\(moved) of \(before.count) leases changed hands")
            }
        },
        ProcessFault(
            name: "F57", injected: "the clock that counts suspension +60 s in one of 3 nodes, by the shim",
            expected: "trust lapses: connections closed before anything is sent"
        ) {
            try await inWorld(senders: 6) { world in
                let shift = try await ClockShift(directory: world.directory)
                try await world.restart(world.nodes[0], with: shift)
                _ = try await world.settledLeases()
                try await world.underLoad(perSecond: 10) {
                    try await ContinuousClock().sleep(for: .seconds(2))
                    try shift.set(wall: 0, boot: 60)
                    try await ContinuousClock().sleep(for: .seconds(8))
                }
                let stale = try await Audit.violations(in: world.database.admin, isFinal: false).filter { $0.contains("epoch") }.count
                let answer = try? await HTTP.request("GET", world.nodes[0].baseURL + "/readyz", timeout: 5)
                let lapses = world.logLines(holding: "trust in the lease lapsed")
                return Seen(
                    isOK: stale == 0 && answer?.status == 200,
                    what: "connections closed because a write came meanwhile \(lapses), stale writes \(stale), /readyz \(answer?.status ?? 0)")
            }
        },
    ]
}

extension World {
    fileprivate func restart(_ node: GatewayProcess, with shift: ClockShift) async throws {
        await node.stop()
        try await node.start(environment: shift.environment)
    }

    /// The leases when every sender has been held for a while.
    fileprivate func settledLeases() async throws -> [UUID: (holder: String, epoch: Int64)] {
        try await simulator.waitForActiveSenders(plan.senders)
        try await ContinuousClock().sleep(for: .seconds(1))
        return try await leases()
    }
}
