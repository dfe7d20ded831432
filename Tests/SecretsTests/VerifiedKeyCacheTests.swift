import Foundation
import Primitives
import Testing

@testable import Secrets

@Suite struct VerifiedKeyCacheTests {
    let start = Date(timeIntervalSince1970: 1_700_000_000)
    let key = APIKeySecret.generate(.live)

    /// The same public id with another secret.
    private func forged(_ key: APIKeySecret) throws -> APIKeySecret {
        let body = key.mode.prefix + key.publicID + APIKeySecret.generate(key.mode).reveal().dropFirst(20).prefix(43)
        let checksum = Base62.encode(withUnsafeBytes(of: CRC32.checksum(body.utf8).bigEndian) { [UInt8]($0) }, digits: 6)
        return try APIKeySecret.parse(body + String(decoding: checksum, as: UTF8.self))
    }

    @Test func `a verified key is remembered for 60 seconds`() {
        let cache = VerifiedKeyCache<String>()
        #expect(cache.find(key, now: start) == nil)

        cache.remember(key, as: "account", ticket: cache.ticket(), now: start)

        #expect(cache.find(key, now: start) == "account")
        #expect(cache.find(key, now: start + 59.9) == "account")
        #expect(cache.find(key, now: start + 60) == nil)
        #expect(cache.count == 0)
    }

    @Test func `a clock that was set back forgets`() {
        let cache = VerifiedKeyCache<Int>()
        cache.remember(key, as: 1, ticket: cache.ticket(), now: start)

        #expect(cache.find(key, now: start - 1) == nil)
    }

    @Test func `another secret under the same id is not found and does not push out the right one`() throws {
        let cache = VerifiedKeyCache<Int>()
        cache.remember(key, as: 1, ticket: cache.ticket(), now: start)

        let wrong = try forged(key)

        #expect(wrong.publicID == key.publicID)
        #expect(cache.find(wrong, now: start) == nil)
        #expect(cache.find(key, now: start) == 1)
    }

    @Test func `a removed key is forgotten, also when its verification ends after the removal`() {
        let cache = VerifiedKeyCache<Int>()
        cache.remember(key, as: 1, ticket: cache.ticket(), now: start)
        let ticket = cache.ticket()

        cache.remove(publicID: key.publicID)
        cache.remember(key, as: 1, ticket: ticket, now: start)

        #expect(cache.find(key, now: start) == nil)
        cache.remember(key, as: 2, ticket: cache.ticket(), now: start)
        #expect(cache.find(key, now: start) == 2)
        cache.removeAll()
        #expect(cache.find(key, now: start) == nil)
    }

    @Test func `a full cache puts out its oldest entries only`() {
        let cache = VerifiedKeyCache<Int>(capacity: 10)
        let keys = (0..<100).map { _ in APIKeySecret.generate(.test) }

        for (index, key) in keys.enumerated() {
            cache.remember(key, as: index, ticket: cache.ticket(), now: start + Double(index) / 10)
            #expect(cache.count <= 10)
        }

        #expect(keys.prefix(90).allSatisfy { cache.find($0, now: start + 10) == nil })
        #expect(keys.suffix(10).map { cache.find($0, now: start + 10) } == Array(90..<100))
    }

    @Test func `remembering again renews an entry`() {
        let cache = VerifiedKeyCache<Int>(capacity: 2)
        let (one, two, three) = (APIKeySecret.generate(.live), APIKeySecret.generate(.live), APIKeySecret.generate(.live))
        cache.remember(one, as: 1, ticket: cache.ticket(), now: start)
        cache.remember(two, as: 2, ticket: cache.ticket(), now: start)
        for second in 0..<100 { cache.remember(one, as: 1, ticket: cache.ticket(), now: start + Double(second)) }

        cache.remember(three, as: 3, ticket: cache.ticket(), now: start + 100)

        #expect(cache.find(one, now: start + 100) == 1)
        #expect(cache.find(two, now: start) == nil)
        #expect(cache.find(three, now: start + 100) == 3)
    }
}
