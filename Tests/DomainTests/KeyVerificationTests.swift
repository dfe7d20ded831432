import Foundation
import Primitives
import Secrets
import TestSupport
import Testing

@testable import Domain

@Suite struct KeyVerificationTests {
    /// The same public id with another secret, well-formed.
    private func forged(_ text: String) throws -> String {
        let body = text.prefix(20) + APIKeySecret.generate(.test).reveal().dropFirst(20).prefix(43)
        let alphabet = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
        // CRC-32 of all before, as six base62 digits.
        var crc: UInt32 = 0xFFFF_FFFF
        for byte in body.utf8 {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
        }
        var (value, digits) = (~crc, "")
        for _ in 0..<6 {
            digits = String(alphabet[Int(value % 62)]) + digits
            value /= 62
        }
        return try APIKeySecret.parse(body + digits).reveal()
    }

    /// How each of `count` parallel requests with this key ended; nil: let in.
    private func authenticate(_ text: String, _ count: Int, _ test: TestGateway) async throws -> [AuthenticationFailure?] {
        try await withThrowingTaskGroup(of: AuthenticationFailure?.self) { group in
            for _ in 0..<count {
                group.addTask {
                    do {
                        _ = try await test.gateway.apiKeys.authenticate(text, now: test.now)
                        return nil
                    } catch let failure as AuthenticationFailure { return failure }
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
    }

    @Test func `a hundred parallel requests with a cold key cost one hash, and one more when its minute is over`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let key = try await test.gateway.apiKeys.create(account: account, label: "shop", test: true, now: test.now)
            let hasher = test.gateway.apiKeys.hasher

            let cold = try await authenticate(key.secret, 100, test)
            #expect(cold.count == 100 && cold.allSatisfy { $0 == nil })
            #expect(hasher.checkCount == 1)

            test.clock.advance(by: 59)
            #expect(try await authenticate(key.secret, 10, test).allSatisfy { $0 == nil })
            #expect(hasher.checkCount == 1)

            test.clock.advance(by: 1)
            #expect(try await authenticate(key.secret, 100, test).allSatisfy { $0 == nil })
            #expect(hasher.checkCount == 2)
        }
    }

    @Test func `a wrong secret under the same key id fails beside the right one`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let key = try await test.gateway.apiKeys.create(account: account, label: "shop", test: true, now: test.now)
            let wrong = try forged(key.secret)

            async let right = authenticate(key.secret, 50, test)
            async let refused = authenticate(wrong, 50, test)

            #expect(try await right.allSatisfy { $0 == nil })
            #expect(try await refused.allSatisfy { $0 == .unknown })
            #expect(try await authenticate(wrong, 1, test) == [.unknown])
        }
    }

    @Test func `a cancelled request takes nothing from those that wait for the same hash`() async throws {
        let cache = VerifiedKeyCache<Int>()
        let secret = APIKeySecret.generate(.test)
        let gate = Gate()
        let now = Date(timeIntervalSince1970: 1_780_000_000)
        @Sendable func verify() async throws(Argon2Failure) -> Bool {
            try await cache.verify(secret, as: 1, against: "verifier", ticket: cache.ticket(), now: now) { () async throws(Argon2Failure) in
                await gate.pass()
                return true
            }
        }

        let first = Task { try await verify() }
        await gate.reached(1)
        let others = (0..<100).map { _ in Task { try await verify() } }
        while cache.waiting < 100 { await Task.yield() }
        first.cancel()
        others[0].cancel()
        await gate.open()

        for task in others { #expect(try await task.value) }
        #expect(try await first.value)
        #expect(await gate.count == 1)
        #expect(cache.find(secret, now: now) == 1)
    }

    @Test func `a hash that failed goes to all who waited and is not remembered, and nobody waits for another secret's`() async throws {
        let cache = VerifiedKeyCache<Int>()
        let (secret, other) = (APIKeySecret.generate(.test), APIKeySecret.generate(.test))
        let gate = Gate()
        let now = Date(timeIntervalSince1970: 1_780_000_000)
        @Sendable func fail() async throws(Argon2Failure) -> Bool {
            try await cache.verify(secret, as: 1, against: "verifier", ticket: cache.ticket(), now: now) { () async throws(Argon2Failure) in
                await gate.pass()
                throw .overloaded
            }
        }

        let waiting = (0..<10).map { _ in Task { try await fail() } }
        while cache.waiting < 9 { await Task.yield() }
        let isOther = try await cache.verify(other, as: 2, against: "verifier", ticket: cache.ticket(), now: now) { () async throws(Argon2Failure) in
            true
        }
        await gate.open()

        #expect(isOther)
        for task in waiting { await #expect(throws: Argon2Failure.overloaded) { try await task.value } }
        let again = try await cache.verify(secret, as: 1, against: "verifier", ticket: cache.ticket(), now: now) { () async throws(Argon2Failure) in
            true
        }
        #expect(again)
        #expect(await gate.count == 1)
    }
}

/// Holds back whoever passes until it is opened.
private actor Gate {
    private(set) var count = 0
    private var isOpen = false
    private var held: [CheckedContinuation<Void, Never>] = []
    private var watchers: [(count: Int, CheckedContinuation<Void, Never>)] = []

    func pass() async {
        count += 1
        for watcher in watchers where watcher.count <= count { watcher.1.resume() }
        watchers.removeAll { $0.count <= count }
        if !isOpen { await withCheckedContinuation { held.append($0) } }
    }

    func reached(_ expected: Int) async {
        if count < expected { await withCheckedContinuation { watchers.append((expected, $0)) } }
    }

    func open() {
        isOpen = true
        for waiter in held { waiter.resume() }
        held = []
    }
}
