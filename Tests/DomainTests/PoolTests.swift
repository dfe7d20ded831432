@testable import Domain
import Foundation
import Postgres
import TestSupport
import Testing

/// Pools, senders' settings, and the reader of routing snapshots, on a real database.
@Suite struct PoolTests {
    private func draft(_ senders: [Sender.ID], _ policy: String = "sticky", limits: [String: SendingLimits.Shape.Field] = [:]) throws -> PoolDraft {
        try PoolDraft(
            name: "OTP", policy: policy, members: senders.map { PoolDraft.MemberInput(sender: "\($0)") }, limits: SendingLimits.Shape(limits))
    }

    private func routed(_ number: Int = 1, failFast: Bool = false) -> RoutedMessage {
        RoutedMessage(recipientIndex: RouterSamples.recipient(number), digits: "628123456789", failFast: failFast)
    }

    // MARK: Verbs

    @Test func `a pool keeps its members' order, weights, prefixes and limits, and is changed and deleted`() async throws {
        try await withTestGateway { test in
            let (account, one, _) = try await test.makeReadySender()
            let (_, two, _) = try await test.makeReadySender(account: account, label: "CS 2")
            let members = [
                PoolDraft.MemberInput(sender: "\(two)", weight: 3, prefixes: ["+62", "49"]), PoolDraft.MemberInput(sender: "\(one)", weight: 0),
            ]
            let limits = SendingLimits.Shape(["per_minute": .integer(10), "quiet_hours": .object(["from": .text("22:00"), "to": .text("06:00")])])
            let draft = try PoolDraft(name: "OTP", policy: "weighted", members: members, limits: limits)

            let made = try await test.gateway.pools.create(account: account, draft, now: test.now).pool
            let read = try #require(try await test.gateway.pools.get(made.id, account: account))
            #expect(read.members == [Pool.Member(two, weight: 3, prefixes: ["62", "49"]), Pool.Member(one, weight: 0)])
            #expect(read.policy == .weighted && read.name == "OTP" && !read.isDefault && read.limits.shape == limits && read.createdAt == test.now)
            #expect(try await test.gateway.pools.list(account).map(\.isDefault) == [true, false])

            let change = try PoolChange(name: "Codes", policy: "priority", members: [PoolDraft.MemberInput(sender: "\(one)")], limits: .init())
            let changed = try #require(try await test.gateway.pools.update(made.id, account: account, change, now: test.now))
            #expect(changed.name == "Codes" && changed.policy == .priority && changed.members == [Pool.Member(one)] && changed.limits == .standard)
            let renamed = try #require(try await test.gateway.pools.update(made.id, account: account, PoolChange(name: "X"), now: test.now))
            #expect(renamed.name == "X" && renamed.members == changed.members && renamed.policy == .priority)

            #expect(try await test.gateway.pools.delete(made.id, account: account) == .deleted)
            #expect(try await test.gateway.pools.delete(made.id, account: account) == nil)
            #expect(try await test.gateway.pools.get(made.id, account: account) == nil)
            let standard = try #require(try await test.gateway.pools.list(account).first)
            #expect(try await test.gateway.pools.delete(standard.id, account: account) == .isDefault)
        }
    }

    @Test func `a pool that cannot be meant is refused with every problem at its place`() {
        let id = "\(RouterSamples.sender(1))"
        func problems(
            name: String? = "x", policy: String? = nil, _ members: [PoolDraft.MemberInput]?, limits: SendingLimits.Shape? = nil
        ) -> [String] {
            let error = #expect(throws: InvalidPool.self) { try PoolDraft(name: name, policy: policy, members: members, limits: limits) }
            return error?.problems.map { "\($0.pointer) \($0.code.rawValue)" } ?? []
        }
        let fine = [PoolDraft.MemberInput(sender: id)]
        #expect(problems([]) == ["/members empty_pool"])
        #expect(problems(name: nil, nil) == ["/name required", "/members required"])
        #expect(problems(policy: "fastest", fine) == ["/policy unknown_policy"])
        #expect(problems(policy: "explicit", fine) == ["/policy unknown_policy"])
        #expect(problems(name: "", fine) == ["/name invalid_value"])
        #expect(problems(Array(repeating: fine[0], count: 1001)) == ["/members too_many"])
        #expect(problems(fine + fine) == ["/members/1/sender duplicate"])
        #expect(problems([.init(sender: "pool_x"), .init(sender: nil)]) == ["/members/0/sender invalid_id", "/members/1/sender required"])
        #expect(
            problems([.init(sender: id, weight: 1001, prefixes: ["62a", "0", ""])]) == [
                "/members/0/weight out_of_range", "/members/0/prefixes/0 invalid_value", "/members/0/prefixes/1 invalid_value",
                "/members/0/prefixes/2 invalid_value",
            ])
        #expect(problems(fine, limits: .init(["per_second": .integer(2), "per_minute": .integer(1)])) == ["/limits/per_second conflict"])
        #expect(throws: InvalidPool.self) { try PoolChange(members: []) }
    }

    @Test func `a sender of another account is no member, neither at creation nor later`() async throws {
        try await withTestGateway { test in
            let (account, own, _) = try await test.makeReadySender()
            let (_, foreign, _) = try await test.makeReadySender()
            let removed = try await test.gateway.senders.create(account: account, label: "old", test: true, now: test.now).id
            _ = try await test.gateway.senders.remove(removed, account: account, now: test.now)

            let refusal = await #expect(throws: InvalidPool.self) {
                _ = try await test.gateway.pools.create(account: account, draft([own, foreign, removed]), now: test.now)
            }
            #expect(
                refusal?.problems.map { "\($0.pointer) \($0.code.rawValue)" } == [
                    "/members/1/sender sender_not_found", "/members/2/sender sender_not_found",
                ])
            #expect(try await test.gateway.pools.list(account).count == 1)

            let pool = try await test.gateway.pools.create(account: account, draft([own]), now: test.now).pool
            let change = try PoolChange(members: [.init(sender: "\(foreign)")])
            await #expect(throws: InvalidPool.self) { _ = try await test.gateway.pools.update(pool.id, account: account, change, now: test.now) }
            #expect(try await test.gateway.pools.get(pool.id, account: account)?.members == [Pool.Member(own)])
            #expect(try await test.count("SELECT 1 FROM pool_members WHERE sender_id = \(foreign) AND pool_id = \(pool.id)") == 0)
        }
    }

    @Test func `the same idempotency key makes one pool, and another request under it is refused`() async throws {
        try await withTestGateway { test in
            let (account, sender, _) = try await test.makeReadySender()
            let key = try IdempotencyKey("pool-1")
            let answers = try await withThrowingTaskGroup(of: Pool.ID.self) { group in
                for _ in 0..<20 {
                    group.addTask {
                        try await test.gateway.pools.create(account: account, draft([sender]), idempotencyKey: key, now: test.now).pool.id
                    }
                }
                return try await group.reduce(into: Set<Pool.ID>()) { $0.insert($1) }
            }
            #expect(answers.count == 1)
            let refusal = await #expect(throws: AcceptFailure.self) {
                _ = try await test.gateway.pools.create(account: account, draft([sender], "random"), idempotencyKey: key, now: test.now)
            }
            #expect(refusal?.code == .idempotencyKeyReused)
            #expect(try await test.gateway.pools.list(account).count == 2)
        }
    }

    @Test func `a sender's label and limits are changed, and wrong limits change nothing`() async throws {
        try await withTestGateway { test in
            let (account, sender, _) = try await test.makeReadySender()
            let limits = SendingLimits.Shape(["per_day": .integer(5)])
            let changed = try await test.gateway.senders.update(sender, account: account, label: "New", limits: limits, now: test.now)
            #expect(changed?.label == "New" && changed?.limits.perDay == .value(5))
            await #expect(throws: InvalidLimits.self) {
                _ = try await test.gateway.senders.update(
                    sender, account: account, label: "Newer", limits: .init(["per_day": .integer(0)]), now: test.now)
            }
            let kept = try await test.gateway.senders.get(sender, account: account)
            #expect(kept?.label == "New" && kept?.limits.perDay == .value(5))
            let (other, _, _) = try await test.makeReadySender()
            #expect(try await test.gateway.senders.update(sender, account: other, label: "Mine", now: test.now) == nil)
            #expect(try await test.gateway.senders.resume(sender, account: other, now: test.now) == nil)
        }
    }

    @Test func `resume reconnects a parked or replaced sender and no other`() async throws {
        try await withTestGateway { test in
            let (account, sender, owner) = try await test.makeReadySender()
            for state in [SenderState.parked, .replaced] {
                _ = try await test.gateway.senders.recordState(owner, state, code: "x", now: test.now)
                #expect(try await test.gateway.senders.resume(sender, account: account, now: test.now) == .connecting)
                let now = try await test.gateway.senders.get(sender, account: account)
                #expect(now?.state == .connecting && now?.stateCode == nil)
            }
            for state in [SenderState.ready, .loggedOut, .disconnected, .temporarilyBanned] {
                _ = try await test.gateway.senders.recordState(owner, state, now: test.now)
                #expect(try await test.gateway.senders.resume(sender, account: account, now: test.now) == state)
            }
        }
    }

    // MARK: The reader

    @Test func `a snapshot is used for a second and read anew after that`() async throws {
        try await withTestGateway { test in
            let (account, sender, owner) = try await test.makeReadySender()
            let caller = Caller(account: account, isTest: true)
            let routing = test.gateway.routing
            let request = RouteRequest.defaultPool()
            #expect(try await routing.decide(request, for: routed(), caller: caller, now: test.now).isWaiting == false)
            _ = try await test.gateway.senders.recordState(owner, .disconnected, now: test.now)

            test.clock.advance(by: 0.69)
            #expect(try await routing.decide(request, for: routed(), caller: caller, now: test.now).isWaiting == false)
            test.clock.advance(by: 0.31)
            let later = try await routing.decide(request, for: routed(), caller: caller, now: test.now)
            #expect(later.isWaiting && later.sender == sender)
        }
    }

    @Test func `what this process changes is seen at once, what another one changes within a second`() async throws {
        try await withTestGateway { test in
            let (account, sender, _) = try await test.makeReadySender()
            let other = Gateway(databases: test.gateway.databases, keyRing: test.keyRing, logger: .silent, now: { test.clock.now })
            let caller = Caller(account: account, isTest: true)
            _ = try await other.routing.decide(.defaultPool(), for: routed(), caller: caller, now: test.now)
            _ = try await test.gateway.routing.decide(.defaultPool(), for: routed(), caller: caller, now: test.now)

            let pool = try await test.gateway.pools.create(account: account, draft([sender]), now: test.now).pool
            let request = RouteRequest.pool(pool.id)
            #expect(try await test.gateway.routing.decide(request, for: routed(), caller: caller, now: test.now).sender == sender)
            // The other node does not know the pool yet; it looks once more rather than refuse.
            #expect(try await other.routing.decide(request, for: routed(), caller: caller, now: test.now).failure == .poolNotFound)
            test.clock.advance(by: 0.06)
            #expect(try await other.routing.decide(request, for: routed(), caller: caller, now: test.now).sender == sender)
        }
    }

    @Test func `limits hold over a burst, over snapshots and over a restart`() async throws {
        try await withTestGateway { test in
            let (account, one, _) = try await test.makeReadySender()
            let (_, two, _) = try await test.makeReadySender(account: account, label: "CS 2")
            for sender in [one, two] {
                _ = try await test.gateway.senders.update(sender, account: account, limits: .init(["per_day": .integer(10)]), now: test.now)
            }
            let caller = Caller(account: account, isTest: true)
            let routing = test.gateway.routing
            let decisions = try await withThrowingTaskGroup(of: RouteDecision.self) { group in
                for number in 0..<20 {
                    group.addTask { try await routing.decide(.defaultPool(policy: .sticky), for: routed(number), caller: caller, now: test.now) }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(decisions.allSatisfy { !$0.isWaiting } && decisions.filter { $0.sender == one }.count == 10)
            let full = try await routing.decide(.defaultPool(), for: routed(21), caller: caller, now: test.now)
            #expect(full.isWaiting && full.limitedBy == .perDay && full.availableAt == LimitWindow.day.start(at: test.now).addingTimeInterval(86_400))
            let fast = try await routing.explain(.defaultPool(), for: routed(22, failFast: true), caller: caller, now: test.now)
            #expect(fast.failure == .nobodyNow && fast.considered.map(\.code) == ["per_day", "per_day"])

            // Nothing of it was stored: the next snapshot knows only what the rows say, and a new process knows the same.
            _ = try await test.owner.execute(
                "test.usage",
                "INSERT INTO sender_usage (account_id, sender_id, day_start, day_used) VALUES (\(account), \(one), \(LimitWindow.day.start(at: test.now)), 10)"
            )
            let restarted = Gateway(databases: test.gateway.databases, keyRing: test.keyRing, logger: .silent, now: { test.clock.now })
            for number in 0..<8 {
                let decision = try await restarted.routing.decide(.defaultPool(), for: routed(number), caller: caller, now: test.now)
                #expect(decision.sender == two && !decision.isWaiting)
            }
            let snapshot = try await restarted.routing.snapshot(of: account)
            #expect(snapshot.candidate(one)?.usage.used(in: .day, at: test.now) == 10)
            #expect(snapshot.candidate(two)?.usage.used(in: .day, at: test.now) == 8 && snapshot.candidate(two)?.queued == 8)
        }
    }

    @Test func `accepted messages count as promised before they are sent`() async throws {
        try await withTestGateway { test in
            let (account, one, _) = try await test.makeReadySender()
            let (_, two, _) = try await test.makeReadySender(account: account, label: "CS 2")
            _ = try await test.gateway.senders.update(one, account: account, limits: .init(["per_day": .integer(3)]), now: test.now)
            let pool = try await test.gateway.pools.create(account: account, draft([one, two], "priority"), now: test.now).pool
            let caller = Caller(account: account, isTest: true)
            var chosen: [Sender.ID?] = []
            for number in 0..<5 {
                test.clock.advance(by: 1)  // a fresh snapshot each time
                let message = try SendMessage(to: "+62812345678\(number)", body: "x", pool: "\(pool.id)", now: test.now)
                let answer = try await test.gateway.messages.accept(message, caller: caller, idempotencyKey: nil, now: test.now)
                chosen.append(answer.message.sender?.id)
            }
            #expect(chosen == [one, one, one, two, two])
            #expect(try await test.gateway.routing.snapshot(of: account).candidate(one)?.queued == 3)
        }
    }

    @Test func `first contacts that wait count against the day's allowance, until they leave or are canceled`() async throws {
        try await withTestGateway { test in
            let (account, one, _) = try await test.makeReadySender()
            let (_, two, _) = try await test.makeReadySender(account: account, label: "CS 2")
            _ = try await test.gateway.senders.update(one, account: account, limits: .init(["new_recipients_per_day": .integer(3)]), now: test.now)
            let pool = try await test.gateway.pools.create(account: account, draft([one, two], "priority"), now: test.now).pool
            let caller = Caller(account: account, isTest: true)
            var answers: [MessageView] = []
            func send(_ number: Int) async throws -> Sender.ID? {
                test.clock.advance(by: 1)  // a fresh snapshot each time
                let message = try SendMessage(to: "+62812345678\(number)", body: "x", pool: "\(pool.id)", now: test.now)
                answers.append(try await test.gateway.messages.accept(message, caller: caller, idempotencyKey: nil, now: test.now).message)
                return answers.last?.sender?.id
            }
            var chosen: [Sender.ID?] = []
            for number in 0..<5 { chosen.append(try await send(number)) }
            #expect(chosen == [one, one, one, two, two])

            // One leaves: its row counts it, and it is not promised any more. Another is canceled: there is room for one.
            _ = try await test.owner.execute(
                "test.sent",
                """
                INSERT INTO sender_usage (account_id, sender_id, day_start, day_used, new_recipients_used)
                VALUES (\(account), \(one), \(LimitWindow.day.start(at: test.now)), 1, 1)
                """)
            _ = try await test.owner.execute("test.left", "DELETE FROM outbox WHERE message_id = \(answers[0].id)")
            #expect(try await send(5) == two)
            _ = try await test.gateway.messages.cancel(answers[1].id, account: account, now: test.now)
            #expect(try await send(6) == one)
            #expect(try await send(7) == two)
        }
    }

    @Test func `who has written to the recipient before goes first, who was refused never again`() async throws {
        try await withTestGateway { test in
            let (account, one, _) = try await test.makeReadySender()
            let (_, two, _) = try await test.makeReadySender(account: account, label: "CS 2")
            let (other, _, _) = try await test.makeReadySender()
            let caller = Caller(account: account, isTest: true)
            func know(_ sender: Sender.ID, _ number: Int, refused: Bool = false, in account: Account.ID) async throws {
                _ = try await test.owner.execute(
                    "test.known",
                    """
                    INSERT INTO sender_recipients (account_id, recipient_index, sender_id, first_at, last_at, refused_at)
                    VALUES (\(account), \(RouterSamples.recipient(number)), \(sender), \(test.now), \(test.now), \(refused ? test.now : nil as Date?))
                    """)
            }
            for number in 0..<20 { try await know(number % 2 == 0 ? one : two, number, in: account) }
            try await know(one, 100, refused: true, in: account)
            try await know(one, 101, in: other)

            // Many at once share look-ups and get each its own answer.
            let answers = try await withThrowingTaskGroup(of: (Int, RouteDecision).self) { group in
                for number in 0..<20 {
                    group.addTask {
                        (number, try await test.gateway.routing.decide(.defaultPool(), for: routed(number), caller: caller, now: test.now))
                    }
                }
                return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
            }
            for number in 0..<20 { #expect(answers[number]?.sender == (number % 2 == 0 ? one : two) && answers[number]?.isWarm == true) }
            for _ in 0..<4 {
                #expect(try await test.gateway.routing.decide(.defaultPool(), for: routed(100), caller: caller, now: test.now).sender == two)
            }
            let named = try await test.gateway.routing.decide(.sender(one), for: routed(100), caller: caller, now: test.now)
            #expect(named.failure == .noSender)
            // The engine sees the same, and another account's rows make nobody warm.
            #expect(try await test.gateway.routing.decideAgain(.defaultPool(), for: routed(0), caller: caller, now: test.now).sender == one)
            #expect(try await test.gateway.routing.decideAgain(.defaultPool(), for: routed(101), caller: caller, now: test.now).isWarm == false)
        }
    }

    @Test func `explain says what the next message will get, and takes no turn`() async throws {
        try await withTestGateway { test in
            let (account, _, _) = try await test.makeReadySender()
            _ = try await test.makeReadySender(account: account, label: "CS 2")
            _ = try await test.makeReadySender(account: account, label: "CS 3")
            let caller = Caller(account: account, isTest: true)
            for policy in RoutingPolicy.ofPools {
                for number in 0..<5 {
                    let request = RouteRequest.defaultPool(policy: policy)
                    let first = try await test.gateway.routing.explain(request, for: routed(number), caller: caller, now: test.now)
                    let again = try await test.gateway.routing.explain(request, for: routed(number), caller: caller, now: test.now)
                    let real = try await test.gateway.routing.decide(request, for: routed(number), caller: caller, now: test.now)
                    #expect(first.sender == real.sender && again.sender == real.sender && first.reason == real.reason)
                    #expect(first.considered.count == 3 && first.considered.filter(\.isChosen).map(\.sender) == [real.sender])
                    #expect(first.considered.map(\.label).sorted() == ["CS 1", "CS 2", "CS 3"])
                }
            }
        }
    }

    @Test func `many at once cause one read`() async throws {
        let reads = Reads()
        let routes = AccountRoutes(seed: 1)
        let snapshot = RouterSamples.snapshot([RouterSamples.candidate(0)], .sticky)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<100 {
                group.addTask {
                    try await routes.refresh(at: RouterSamples.now) { remembered in
                        await reads.count()
                        return (snapshot, remembered)
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(await reads.number == 1)

        // From 0.7 seconds on one reads; the others go on with what they have until it is a second old.
        let gate = Gate()
        let reader = Task {
            try await routes.refresh(at: RouterSamples.now.addingTimeInterval(0.8)) { remembered in
                await gate.begin()
                return (snapshot, remembered)
            }
        }
        await gate.waitUntilBegun()
        try await routes.refresh(at: RouterSamples.now.addingTimeInterval(0.9)) { remembered in
            await reads.count()
            return (snapshot, remembered)
        }
        #expect(routes.look { $0.takenAt } == RouterSamples.now)
        #expect(await reads.number == 1)
        await gate.open()
        try await reader.value
    }
}

private actor Reads {
    private(set) var number = 0
    func count() { number += 1 }
}

/// Holds one caller until it is opened, and tells others that it has come.
private actor Gate {
    private var hasBegun = false
    private var isOpen = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    func begin() async {
        hasBegun = true
        resume()
        while !isOpen { await withCheckedContinuation { waiting.append($0) } }
    }

    func waitUntilBegun() async {
        while !hasBegun { await withCheckedContinuation { waiting.append($0) } }
    }

    func open() {
        isOpen = true
        resume()
    }

    private func resume() {
        let all = waiting
        waiting = []
        for continuation in all { continuation.resume() }
    }
}
