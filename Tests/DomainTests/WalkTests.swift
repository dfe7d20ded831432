@testable import Domain
import Foundation
import Postgres
import TestSupport
import Testing

/// Plans that were made while the outbox was empty. They are kept: once it is full, the wrong one reads all of it, once per sender.
@Suite struct WalkTests {
    @Test(arguments: [(Outbox.Lot.unsuspected, "outbox_claimable"), (.suspect, "outbox_suspects")])
    func `a claim walks its own sender's queue`(lot: Outbox.Lot, index: String) async throws {
        try await withTestGateway { test in
            let (_, _, owner) = try await test.makeReadySender()
            try await test.fill(for: owner)
            try await test.empty()

            let plan = try await test.plan(of: test.claim(lot, by: owner), by: owner)

            #expect(plan.indexes == [index, "outbox_pkey"], "\(plan.text)")
        }
    }

    @Test func `a claim of what is due again walks its own sender's messages on the wire`() async throws {
        try await withTestGateway { test in
            let (_, _, owner) = try await test.makeReadySender()
            try await test.fill(for: owner)
            try await test.empty()

            let plan = try await test.plan(
                of: Outbox.claimAgainStatement(64, 8, [owner], test.now, test.now.addingTimeInterval(20)), by: owner)

            #expect(plan.indexes == ["outbox_on_wire", "outbox_pkey"] || plan.indexes == ["outbox_in_flight", "outbox_pkey"], "\(plan.text)")
        }
    }

    @Test func `a table that has outgrown what PostgreSQL knows is looked at anew, once`() async throws {
        try await withTestGateway { test in
            let (_, _, owner) = try await test.makeReadySender()
            try await test.fill(for: owner)
            try await test.empty()
            let known = try await test.plan(of: test.claim(.unsuspected, by: owner), by: owner)
            try await test.fill(for: owner)

            let learned = (try await test.gateway.outbox.learnSizes(), try await test.gateway.outbox.learnSizes())

            let plan = try await test.plan(of: test.claim(.unsuspected, by: owner), by: owner)
            #expect(learned == (1, 0))
            #expect(!known.findsByKey && plan.findsByKey, "\(known.text)\n\(plan.text)")
        }
    }
}

private struct Plan {
    let text: String

    /// The outbox's indexes in it.
    var indexes: Set<String> { Set(text.matches(of: /(?:using|on) (outbox_[a-z_]+)/).map { String($0.1) }) }

    /// Whether each message's row is looked up by its key.
    var findsByKey: Bool { text.contains("(message_id = due.message_id)") && !text.contains("Join Filter: ((b_2.account_id = due.account_id)") }
}

extension TestGateway {
    /// PostgreSQL counts rows with a delay otherwise.
    private static let flush: SQL = "SELECT pg_stat_force_next_flush()::text AS done"

    fileprivate func claim(_ lot: Outbox.Lot, by sender: OwnedSender) -> SQL {
        Outbox.claimStatement(lot, [ClaimDemand(owner: sender, places: 8)], 64, now, now.addingTimeInterval(20))
    }

    /// 20,000 messages that are due.
    fileprivate func fill(for sender: OwnedSender) async throws {
        try await owner.transaction([TransactionSetting("session_replication_role", "replica")], deadline: .seconds(60)) { transaction in
            try await transaction.execute(
                "test.fill",
                """
                INSERT INTO outbox (account_id, message_id, sender_id, state, priority, due_at, expires_at, at_most_once, preview_url, wire_id)
                SELECT \(sender.account), gen_random_uuid(), \(sender.sender), 'accepted', 1, \(now), \(now.addingTimeInterval(600)), false, false, n::text
                FROM generate_series(1, 20000) AS n
                """)
            _ = try await transaction.query("test.flush", Self.flush, as: { _ in })
        }
    }

    fileprivate func empty() async throws {
        try await owner.transaction(deadline: .seconds(60)) { transaction in
            try await transaction.execute("test.empty", "DELETE FROM outbox")
            _ = try await transaction.query("test.flush", Self.flush, as: { _ in })
        }
        try await owner.executeOutsideTransaction("test.vacuum", "VACUUM (ANALYZE, INDEX_CLEANUP ON) outbox")
    }

    fileprivate func plan(of statement: SQL, by sender: OwnedSender) async throws -> Plan {
        let lines = try await gateway.databases.engine.query(
            "test.plan", "EXPLAIN (FORMAT TEXT) \(statement)", settings: Databases.walks([sender.account]),
            as: { try $0.column("QUERY PLAN", as: String.self) })
        return Plan(text: lines.joined(separator: "\n"))
    }
}
