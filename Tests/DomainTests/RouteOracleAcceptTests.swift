@testable import Domain
import Foundation
import Postgres
import TestSupport
import Testing

/// The oracle against what really happens: the stored route and `explain`, over rows that the test wrote itself.
@Suite struct RouteOracleAcceptTests {
    @Test func `three hundred accepted messages have the route of the oracle, and explain says the same before`() async throws {
        try await withTestGateway { test in
            var rig = try await Rig.make(test)
            var stored = 0
            for number in 1...300 {
                test.clock.advance(by: 61)
                if try await rig.run(number) { stored += 1 }
            }
            #expect(stored > 120)
        }
    }

    private struct Rig {
        let test: TestGateway
        let account: Account.ID
        let pool: Pool.ID
        let senders: [Sender.ID]
        let number = "6281234567890"
        let recipientIndex: [UInt8]
        var random = CaseRandom(state: 41)

        static func make(_ test: TestGateway) async throws -> Rig {
            var account: Account.ID?
            var senders: [Sender.ID] = []
            for label in 1...5 {
                let made = try await test.makeReadySender(account: account, label: "CS \(label)")
                account = made.account
                senders.append(made.sender)
            }
            guard let account else { throw TestFailure("no account") }
            let pool = try await test.owner.queryOne(
                "test.pool", "SELECT pool_id FROM pools WHERE account_id = \(account) AND is_default",
                as: { try $0.column("pool_id", as: Pool.ID.self) })
            let sealer = try await test.gateway.accounts.sealer(for: account)
            return Rig(
                test: test, account: account, pool: try #require(pool), senders: senders,
                recipientIndex: sealer.index(of: try E164(digits: "6281234567890")))
        }

        /// One case: random rows, a random question. True: the message was accepted.
        mutating func run(_ number: Int) async throws -> Bool {
            let now = test.now
            let minute = Date(timeIntervalSince1970: (now.timeIntervalSince1970 / 60).rounded(.down) * 60)
            let policy = random.pick(RoutingPolicy.ofPools)
            var statements = ["outbox", "sender_usage", "sender_health", "sender_recipients", "pool_members"].map { [account] in
                Statement("test.forget", "DELETE FROM \(unescaped: $0) WHERE account_id = \(account)")
            }
            statements.append(
                Statement("test.policy", "UPDATE pools SET policy = \(policy.rawValue) WHERE account_id = \(account) AND pool_id = \(pool)"))
            var candidates: [RoutingSnapshot.Candidate] = []
            var members: [RoutingSnapshot.Member] = []
            var warm: Set<Sender.ID> = []
            var refused: Set<Sender.ID> = []
            for (place, sender) in senders.enumerated() {
                let state = random.chance(65) ? SenderState.ready : random.pick(SenderState.allCases.filter { $0 != .removed })
                let isOwned = random.chance(90)
                let cap = random.chance(40) ? random.below(4) + 1 : nil
                let used = random.below(4)
                func end() -> Date { random.chance(75) ? .distantPast : now.addingTimeInterval(Double(random.below(4_000) + 1)) }
                let health = SenderHealth(pausedUntil: end(), newChatsUntil: end(), demotedUntil: end())
                let settings = cap.map { "{\"per_minute\": \($0)}" } ?? "{}"
                statements += [
                    Statement(
                        "test.sender",
                        """
                        UPDATE senders SET state = \(state.rawValue), state_since = \(now), limits = \(settings)::jsonb
                        WHERE account_id = \(account) AND sender_id = \(sender)
                        """),
                    Statement(
                        "test.lease",
                        """
                        UPDATE sender_leases SET holder = 'node-1', expires_at = clock_timestamp() + make_interval(secs => \(isOwned ? 3_600.0 : -60.0))
                        WHERE account_id = \(account) AND sender_id = \(sender)
                        """),
                    Statement(
                        "test.usage",
                        """
                        INSERT INTO sender_usage (account_id, sender_id, minute_start, minute_used) VALUES (\(account), \(sender), \(minute), \(used))
                        """),
                    Statement(
                        "test.health",
                        """
                        INSERT INTO sender_health (account_id, sender_id, paused_until, new_chats_until, demoted_until, changed_at)
                        VALUES (\(account), \(sender), \(health.pausedUntil), \(health.newChatsUntil), \(health.demotedUntil), \(now))
                        """),
                ]
                let isRefused = random.chance(8)
                if isRefused || random.chance(25) {
                    if isRefused { refused.insert(sender) } else { warm.insert(sender) }
                    statements.append(
                        Statement(
                            "test.known",
                            """
                            INSERT INTO sender_recipients (account_id, recipient_index, sender_id, first_at, last_at, refused_at)
                            VALUES (\(account), \(recipientIndex), \(sender), \(now), \(now), \(isRefused ? now : nil as Date?))
                            """))
                }
                if random.chance(80) {
                    let member = RoutingSnapshot.Member(
                        sender, weight: random.pick([0, 1, 5]), prefixes: random.pick([[], [], ["62"], ["628", "1"], ["49"]]))
                    members.append(member)
                    statements.append(
                        Statement(
                            "test.member",
                            """
                            INSERT INTO pool_members (account_id, pool_id, sender_id, place, weight, prefixes)
                            VALUES (\(account), \(pool), \(sender), \(place), \(member.weight), \(member.prefixes))
                            """))
                }
                candidates.append(
                    RoutingSnapshot.Candidate(
                        sender: sender, isTest: true, state: state, stateSince: now, isOwned: isOwned, limits: EffectiveLimits(perMinute: cap),
                        usage: SendingUsage(minute: .init(start: minute, used: used)), health: health))
            }
            try await test.owner.transaction([]) { [statements] in _ = try await $0.commit(with: statements) }
            test.gateway.routing.forget(account)

            let named = random.chance(25) ? random.pick(senders) : nil
            let override = named == nil && random.chance(40) ? random.pick(RoutingPolicy.ofPools) : nil
            let request: RouteRequest = named.map { .sender($0) } ?? .defaultPool(policy: override)
            let allowed = random.chance(80) ? nil : Set(senders.filter { _ in random.chance(60) })
            let isFailFast = random.chance(25)
            let expiresAt = now.addingTimeInterval(Double(random.pick([40, 600, 80_000])))
            let caller = Caller(account: account, isTest: true, allowedSenders: allowed)
            let snapshot = RoutingSnapshot(
                candidates: candidates,
                pools: [RoutingSnapshot.PoolMembers(id: pool, policy: policy, members: members, isDefault: true)], takenAt: now)
            func answer(turn: UInt64) -> RouteOracle.Answer {
                RouteOracle(
                    snapshot: snapshot,
                    question: RouteQuestion(
                        request: request, isTest: true, allowedSenders: allowed, recipientIndex: recipientIndex, digits: self.number,
                        failFast: isFailFast, warm: warm, refused: refused, at: now, expiresAt: expiresAt, turn: turn)
                ).answer()
            }
            // Whose turn it is only the node knows; over all turns everybody's comes.
            let among = Set((0..<60).flatMap { answer(turn: $0).among })
            let oracle = answer(turn: 0)

            let routed = RoutedMessage(
                recipientIndex: recipientIndex, digits: self.number, failFast: isFailFast, expiresAt: expiresAt)
            let explained = try await test.gateway.routing.explain(request, for: routed, caller: caller, now: now)
            let message = try SendMessage(
                to: "+" + self.number, body: "x", sender: named.map { "\($0)" }, policy: override?.rawValue, expiresAt: expiresAt,
                failFast: isFailFast, now: now)
            do {
                let accepted = try await test.gateway.messages.accept(message, caller: caller, idempotencyKey: nil, now: now)
                let view = try #require(try await test.gateway.messages.find(accepted.message.id, account: account))
                let sender = try #require(view.sender?.id)
                #expect(among.contains(sender), "case \(number): \(sender) of \(among) by \(String(describing: oracle.policy))")
                #expect(explained.sender == sender && view.route.reason == explained.reason, "case \(number): explained \(explained.reason)")
                #expect(view.route.policy == oracle.policy)
                if !oracle.isTooLate { #expect(explained.availableAt == oracle.availableAt, "case \(number)") }
                return true
            } catch let failure as AcceptFailure {
                #expect(among.isEmpty && explained.sender == nil, "case \(number): refused with \(failure.code), the oracle has \(among.count)")
                #expect((failure.code == .noSenderAvailable) == oracle.isNobodyNow, "case \(number): \(failure.code)")
                return false
            }
        }
    }
}
