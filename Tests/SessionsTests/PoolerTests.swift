import Domain
import Simulator
import TestSupport
import Testing

/// The whole path behind a transaction pooler: nothing may rest on the session of a connection (design.md §13.15).
@Suite(.serialized, .enabled(if: TestPooler.isInstalled), .timeLimit(.minutes(10))) struct PoolerTests {
    @Test func `a sender pairs, sends, and moves to another node through a transaction pooler`() async throws {
        try await GatewayRig.run(pooled: true) { rig in
            await rig.startNode()
            let sender = try await rig.pairedSender("15550100101")
            let messages = try await rig.sendMany(40)
            for message in messages { try await rig.reach(.delivered, message) }

            try await rig.nodes.stop("node-1")
            let waiting = try await rig.gateway.senders.get(sender, account: rig.account)
            await rig.startNode("node-2")
            let last = try await rig.send("by the next node", to: "15550120701")
            try await rig.reach(.delivered, last)

            #expect(waiting?.state == .connecting && waiting?.stateCode == "handed_over")
            for message in messages { #expect(rig.copies(message).allSatisfy { $0.shown == 1 && $0.duplicates == 0 }) }
            let runs = try await rig.gateway.retention.runHourly(now: rig.test.now)
            #expect(runs.allSatisfy { $0.succeeded })
            #expect(try await rig.gateway.closing.close(rig.account, patience: 0, now: { rig.test.now }) != nil)
        }
    }
}

extension GatewayRig {
    /// Texts to several recipients, accepted side by side.
    func sendMany(_ count: Int) async throws -> [MessageView] {
        try await withThrowingTaskGroup(of: MessageView.self) { group in
            for number in 0..<count { group.addTask { try await send("number \(number)", to: "1555012\(7_000 + number % 7)") } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
    }
}
