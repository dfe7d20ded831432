@testable import Domain
import Foundation
import Postgres
import TestSupport
import Testing

@Suite struct BatchTests {
    @Test func `items are accepted each by itself, in order, with what is wrong told apart`() async throws {
        try await withTestGateway { test in
            let (account, sender, _) = try await test.makeReadySender()
            let caller = Caller(account: account, isTest: true)
            let invalid = InvalidMessage([.init("/to", .required, "say whom to write to")])
            let stranger = try SendMessage(to: "+628123456789", body: "x", sender: "snd_01m7ymjsse0e5szefpc4bcw4b7", now: test.now)
            let late = try SendMessage(to: "+628123456789", body: "x", expiresAt: test.now.addingTimeInterval(-5), now: test.now)

            let outcomes = try await test.gateway.messages.acceptBatch(
                [.success(test.message("one")), .failure(invalid), .success(stranger), .success(late), .success(test.message("five"))],
                caller: caller, idempotencyKey: nil, now: test.now)

            #expect(outcomes.map(Self.code) == ["accepted", "invalid /to required", "sender_not_found", "invalid /expires_at too_early", "accepted"])
            guard case .accepted(let first) = outcomes[0], case .accepted(let last) = outcomes[4] else { throw TestFailure("not accepted") }
            #expect(first.message.sender?.id == sender && first.message.status == .queued)
            let found = try await test.gateway.messages.find(last.message.id, account: account)
            #expect(found?.status == .queued && found?.wireID == last.message.wireID && found?.route.reason == last.message.route.reason)
            #expect(try await test.count("SELECT 1 AS one FROM messages") == 2)
        }
    }

    @Test func `a message that the database refuses harms none of its piece`() async throws {
        try await withTestGateway { test in
            let (account, _, _) = try await test.makeReadySender()
            try await test.owner.execute("test.poison", "ALTER TABLE outbox ADD CONSTRAINT poison CHECK (NOT preview_url)")
            let items = try (0..<40).map {
                try SendMessage(to: "+628123456789", body: "\($0)", previewURL: $0 == 17, now: test.now)
            }

            let outcomes = try await test.gateway.messages.acceptBatch(
                items.map { .success($0) }, caller: Caller(account: account, isTest: true), idempotencyKey: nil, now: test.now)

            #expect(outcomes.map(Self.code).enumerated().filter { $0.element != "accepted" }.map(\.offset) == [17])
            #expect(try await test.count("SELECT 1 AS one FROM messages") == 39)
        }
    }

    @Test func `the same batch twice makes its messages once, and another item under its key is refused`() async throws {
        try await withTestGateway { test in
            let (account, _, _) = try await test.makeReadySender()
            let caller = Caller(account: account, isTest: true)
            let key = try IdempotencyKey(String(repeating: "k", count: 255))
            // Two items that say the same are two messages: their keys differ.
            let items = [try test.message("one"), try test.message("one"), try test.message("three")]

            let first = try await test.gateway.messages.acceptBatch(
                items.map { .success($0) }, caller: caller, idempotencyKey: key, now: test.now)
            let again = try await test.gateway.messages.acceptBatch(
                items.map { .success($0) }, caller: caller, idempotencyKey: key, now: test.now)
            let changed = try await test.gateway.messages.acceptBatch(
                [.success(items[0]), .success(test.message("other"))], caller: caller, idempotencyKey: key, now: test.now)

            #expect(first.map(Self.code) == ["accepted", "accepted", "accepted"])
            #expect(again.map(Self.code) == ["replayed", "replayed", "replayed"])
            #expect(again.map(Self.id) == first.map(Self.id) && Set(first.map(Self.id)).count == 3)
            #expect(changed.map(Self.code) == ["replayed", "idempotency_key_reused"])
            #expect(try await test.count("SELECT 1 AS one FROM messages") == 3)
        }
    }

    @Test func `a hundred parallel batches with one key make every message once`() async throws {
        try await withTestGateway { test in
            let (account, _, _) = try await test.makeReadySender()
            let caller = Caller(account: account, isTest: true)
            let key = try IdempotencyKey("same")
            let items = try (0..<5).map { try test.message("\($0)") }

            let answers = try await withThrowingTaskGroup(of: [BatchOutcome].self) { group in
                for _ in 0..<100 {
                    group.addTask {
                        try await test.gateway.messages.acceptBatch(
                            items.map { .success($0) }, caller: caller, idempotencyKey: key, now: test.now)
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }

            #expect(Set(answers.flatMap { $0.map(Self.id) }).count == 5)
            #expect(answers.flatMap { $0.map(Self.code) }.count { $0 == "accepted" } == 5)
            #expect(try await test.count("SELECT 1 AS one FROM messages") == 5)
            #expect(try await test.count("SELECT 1 AS one FROM outbox") == 5)
        }
    }

    @Test func `a thousand items share a few commits, and one more or none is refused as a whole`() async throws {
        try await withTestGateway { test in
            let (account, _, _) = try await test.makeReadySender()
            let caller = Caller(account: account, isTest: true)
            let message = try test.message()
            let before = try await Self.commits(test)

            let outcomes = try await test.gateway.messages.acceptBatch(
                Array(repeating: .success(message), count: 1_000), caller: caller, idempotencyKey: nil, now: test.now)
            let after = try await Self.commits(test)

            #expect(outcomes.allSatisfy { Self.code($0) == "accepted" } && Set(outcomes.map(Self.id)).count == 1_000)
            #expect(try await test.count("SELECT 1 AS one FROM messages") == 1_000)
            #expect((1...4).contains(after - before))
            for count in [0, 1_001] {
                await #expect(throws: InvalidMessage.self) {
                    _ = try await test.gateway.messages.acceptBatch(
                        Array(repeating: .success(message), count: count), caller: caller, idempotencyKey: nil, now: test.now)
                }
            }
            #expect(try await test.count("SELECT 1 AS one FROM messages") == 1_000)
        }
    }

    @Test func `an account with too much waiting is held, a repetition is still answered, and room comes back`() async throws {
        try await withTestGateway { test in
            let (account, _, _) = try await test.makeReadySender()
            let caller = Caller(account: account, isTest: true)
            let gateway = Gateway(
                databases: test.gateway.databases, keyRing: test.keyRing, pendingLimit: 3, logger: .silent, now: { test.clock.now })
            let key = try IdempotencyKey("first")
            let first = try await gateway.messages.accept(test.message(), caller: caller, idempotencyKey: key, now: test.now)
            for _ in 0..<2 { _ = try await gateway.messages.accept(test.message(), caller: caller, idempotencyKey: nil, now: test.now) }

            test.clock.advance(by: 2)
            let refusal = await #expect(throws: AcceptFailure.self) {
                _ = try await gateway.messages.accept(test.message(), caller: caller, idempotencyKey: nil, now: test.now)
            }
            let batch = try await gateway.messages.acceptBatch([.success(test.message())], caller: caller, idempotencyKey: nil, now: test.now)
            let replay = try await gateway.messages.accept(
                SendMessage(to: "+628123456789", body: "Kode Anda 123456", metadata: ["k": "v"], now: test.now), caller: caller,
                idempotencyKey: key, now: test.now)
            _ = try await gateway.messages.cancel(first.message.id, account: account, now: test.now)
            test.clock.advance(by: 2)
            let later = try await gateway.messages.accept(test.message(), caller: caller, idempotencyKey: nil, now: test.now)

            #expect(refusal?.code == .tooManyPending && batch.map(Self.code) == ["too_many_pending"])
            #expect(replay.replayed && replay.message.id == first.message.id && !later.replayed)
        }
    }

    private static func code(_ outcome: BatchOutcome) -> String {
        switch outcome {
        case .accepted(let accepted): accepted.replayed ? "replayed" : "accepted"
        case .invalid(let invalid): "invalid " + invalid.problems.map { "\($0.pointer) \($0.code.rawValue)" }.joined(separator: ", ")
        case .refused(let failure): failure.code.rawValue
        }
    }

    private static func id(_ outcome: BatchOutcome) -> Message.ID? {
        if case .accepted(let accepted) = outcome { accepted.message.id } else { nil }
    }

    /// Transactions that have written messages: each leaves its number in the rows.
    private static func commits(_ test: TestGateway) async throws -> Int {
        try await test.count("SELECT DISTINCT xmin::text FROM messages")
    }
}
