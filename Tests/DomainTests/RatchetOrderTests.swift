import Domain
import Postgres
import TestSupport
import Testing

/// Messages of one sender write the same Signal records, in commits that they share or that pass each other.
@Suite struct RatchetOrderTests {
    private static let address = [UInt8](repeating: 1, count: 16)

    private static func writes(_ sealed: UInt8, revision: Int64) -> DeviceWrites {
        let row = DeviceWrites.Row(address: address, user: address, sealed: [sealed], revision: revision)
        return DeviceWrites(sessions: [row], identities: [row], sentMessage: nil)
    }

    private static func stored(_ test: TestGateway, _ table: String) async throws -> [UInt8] {
        try await test.owner.query("test.sealed", "SELECT sealed FROM \(unescaped: table)") { try $0.column("sealed", as: [UInt8].self) }.flatMap {
            $0
        }
    }

    @Test func `of several in one commit the latest that leaves stands`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            for _ in 0..<4 { _ = try await test.accept(account) }
            let claimed = try await test.claim(owner)
            try #require(claimed.count == 4)
            _ = try await test.gateway.messages.cancel(claimed[3].id, account: account, now: test.now)

            // The first has the lane to itself; the others share the next commit.
            let tickets = try claimed.enumerated().map { index, message in
                try test.gateway.outbox.queuePreWire(
                    message, owner: owner, now: test.now, device: Self.writes(UInt8(index), revision: Int64(index + 1)))
            }
            for ticket in tickets.dropLast() { try await ticket.value() }
            await #expect(throws: PreWireRefusal.canceled) { try await tickets[3].value() }

            #expect(try await Self.stored(test, "signal_sessions") == [2])
            #expect(try await Self.stored(test, "signal_identities") == [2])
        }
    }

    @Test func `a commit that comes late leaves what is newer alone`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            for _ in 0..<2 { _ = try await test.accept(account) }
            let claimed = try await test.claim(owner)
            try #require(claimed.count == 2)

            try await test.gateway.outbox.preWire(claimed[1], owner: owner, now: test.now, device: Self.writes(9, revision: 9))
            try await test.gateway.outbox.preWire(claimed[0], owner: owner, now: test.now, device: Self.writes(8, revision: 8))

            #expect(try await Self.stored(test, "signal_sessions") == [9])
            #expect(try await Self.stored(test, "signal_identities") == [9])
            #expect(try await test.gateway.messages.find(claimed[0].id, account: account)?.status == .sending)
        }
    }
}
