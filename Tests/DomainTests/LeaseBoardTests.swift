import Domain
import TestSupport
import Testing

@Suite struct LeaseBoardTests {
    private func board(_ wanted: Int, _ nodes: [(Int, held: Int)]) -> LeaseBoard {
        LeaseBoard(wanted: wanted, nodes: nodes.enumerated().map { .init(name: "n\($0)", capacity: $1.0, held: $1.held) })
    }

    @Test(arguments: [
        (30, [100], [30]), (30, [100, 100, 100], [10, 10, 10]), (31, [100, 100, 100], [11, 11, 11]), (30, [4, 100, 100], [4, 13, 13]),
        (500, [100, 200], [100, 200]), (0, [100], [0]), (5, [0, 10], [0, 5]), (7, [2, 3, 100], [2, 3, 3]),
    ])
    func `every node gets the same share within its capacity, and together they cover everything`(wanted: Int, capacities: [Int], shares: [Int]) {
        let board = board(wanted, capacities.map { ($0, held: 0) })
        #expect(board.nodes.map { board.share(of: $0.name) } == shares)
        #expect(shares.reduce(0, +) >= min(wanted, capacities.reduce(0, +)))
    }

    @Test func `a node takes up to its share and hands over beyond it, a tenth at a time`() {
        let board = board(30, [(100, held: 30), (100, held: 0), (100, held: 0)])
        #expect(board.room(of: "n0") == 0 && board.room(of: "n1") == 10)
        #expect(board.surplus(of: "n0") == 3 && board.surplus(of: "n1") == 0)
    }

    @Test func `nothing is handed over that nobody has room for, and a stranger gets nothing`() {
        #expect(board(30, [(100, held: 20), (10, held: 10)]).surplus(of: "n0") == 0)
        #expect(board(31, [(100, held: 11), (100, held: 10), (100, held: 10)]).surplus(of: "n0") == 0)
        #expect(board(30, [(100, held: 10)]).room(of: "nobody") == 0)
    }

    @Test func `handing over always comes to rest`() {
        for wanted in [1, 7, 30, 101, 997] {
            var held = [wanted, 0, 0, 0]
            for _ in 0..<200 {
                let now = board(wanted, held.map { (10_000, held: $0) })
                for (index, node) in now.nodes.enumerated() { held[index] -= now.surplus(of: node.name) }
                var free = wanted - held.reduce(0, +)
                for (index, node) in now.nodes.enumerated() {
                    let taken = min(free, board(wanted, held.map { (10_000, held: $0) }).room(of: node.name))
                    held[index] += taken
                    free -= taken
                }
            }
            let rested = board(wanted, held.map { (10_000, held: $0) })
            #expect(held.reduce(0, +) == wanted)
            #expect(rested.nodes.allSatisfy { rested.surplus(of: $0.name) == 0 })
            #expect((held.max() ?? 0) - (held.min() ?? 0) <= (wanted + 3) / 4)
        }
    }

    @Test func `nodes see each other, and one that left is gone at once`() async throws {
        try await withTestGateway { test in
            let leases = test.gateway.leases
            let (account, _, owner) = try await test.makeReadySender()
            _ = try await leases.board(node: "node-2", capacity: 5)
            let seen = try await leases.board(node: "node-1", capacity: 100)
            #expect(
                seen == LeaseBoard(wanted: 1, nodes: [.init(name: "node-1", capacity: 100, held: 1), .init(name: "node-2", capacity: 5, held: 0)]))

            try await leases.release(node: "node-1", owned: [owner], handedOverAt: test.now)
            try await leases.leave(node: "node-1")
            let later = try await leases.board(node: "node-2", capacity: 5)

            #expect(later == LeaseBoard(wanted: 1, nodes: [.init(name: "node-2", capacity: 5, held: 0)]))
            let sender = try await test.gateway.senders.get(owner.sender, account: account)
            #expect(sender?.state == .connecting && sender?.stateCode == "handed_over")
        }
    }

    @Test func `a release without a hand-over says nothing about the connection`() async throws {
        try await withTestGateway { test in
            let (account, sender, owner) = try await test.makeReadySender()
            try await test.gateway.leases.release(node: "node-1", owned: [owner])
            #expect(try await test.gateway.senders.get(sender, account: account)?.state == .ready)
        }
    }
}
