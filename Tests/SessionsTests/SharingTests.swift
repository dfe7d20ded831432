import Domain
import Simulator
import TestSupport
import Testing

/// How nodes share senders: none takes all while others are alive, and a stop hands everything over quickly.
@Suite(.serialized, .timeLimit(.minutes(10))) struct SharingTests {
    @Test func `a node that joins gets its share, and messages go on`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode()
            for number in 0..<4 { _ = try await rig.pairedSender("1555010020\(number)") }

            await rig.startNode("node-2")

            _ = try await rig.expect("both nodes to hold two senders") {
                try await rig.holders() == ["node-1": 2, "node-2": 2] ? true : nil
            }
            for message in try await rig.sendMany(12) { try await rig.reach(.delivered, message) }
            #expect(try await rig.holders() == ["node-1": 2, "node-2": 2])
        }
    }

    @Test func `a stop hands many senders over within five seconds, and nothing is left that looks ready`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode(ttl: .seconds(30))
            let senders = try await withThrowingTaskGroup(of: Sender.ID.self) { group in
                for number in 0..<20 { group.addTask { try await rig.pairedSender("15550103\(100 + number)") } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            let messages = try await rig.sendMany(60)
            let start = ContinuousClock.now

            try await rig.nodes.stop("node-1")

            #expect(ContinuousClock.now - start < .seconds(25))
            #expect(try await rig.holders().isEmpty)
            #expect(try await rig.gateway.senders.list(rig.account).allSatisfy { $0.state == .connecting && $0.stateCode == "handed_over" })
            await rig.startNode("node-2", ttl: .seconds(30))
            for message in messages {
                try await rig.reach(.delivered, message)
                #expect(rig.copies(message).allSatisfy { $0.shown == 1 })
            }
            #expect(try await rig.holders() == ["node-2": senders.count])
        }
    }
}

extension GatewayRig {
    /// How many senders each node holds.
    func holders() async throws -> [String: Int] {
        let rows = try await test.owner.query(
            "test.holders",
            """
            SELECT holder, count(*) AS held
            FROM sender_leases
            WHERE holder IS NOT NULL AND expires_at > clock_timestamp()
            GROUP BY holder
            ORDER BY holder
            """
        ) { row in (try row.column("holder", as: String.self), Int(try row.column("held", as: Int64.self))) }
        return Dictionary(uniqueKeysWithValues: rows)
    }
}
