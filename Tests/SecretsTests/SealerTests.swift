import Foundation
import Primitives
import Testing

@testable import Secrets

@Suite struct SealerTests {
    static let context = SealContext(table: "messages", column: "body", rowID: [1, 2, 3])
    let account = UUID()
    let dataKey = DataKey(random: SystemRandom())
    var sealer: Sealer { Sealer(dataKey: dataKey, account: account) }

    @Test func `what was sealed opens in its place`() throws {
        for count in [0, 1, 1000] {
            let plaintext = SystemRandom().bytes(count)
            let sealed = sealer.seal(plaintext, purpose: .bodies, context: Self.context)
            #expect(sealed.count == count + Sealer.overhead)
            #expect(sealed.starts(with: [1, 1]))
            #expect(try sealer.open(sealed, purpose: .bodies, context: Self.context) == plaintext)
        }
    }

    @Test func `it opens in no other table, column, row, account, purpose or key`() throws {
        let sealed = sealer.seal(Array("hello".utf8), purpose: .bodies, context: Self.context)
        let wrong = [
            SealContext(table: "outbox", column: "body", rowID: [1, 2, 3]), SealContext(table: "messages", column: "recipient", rowID: [1, 2, 3]),
            SealContext(table: "messages", column: "body", rowID: [1, 2, 4]), SealContext(table: "messages", column: "body", rowID: [1, 2]),
            SealContext(table: "messagesb", column: "ody", rowID: [1, 2, 3]), SealContext(table: "messages", column: "body\u{1}", rowID: [2, 3]),
        ]

        for context in wrong {
            #expect(throws: SecretsFailure(.authenticationFailed)) { try sealer.open(sealed, purpose: .bodies, context: context) }
        }
        for purpose in Purpose.allCases where purpose != .bodies {
            #expect(throws: SecretsFailure(.authenticationFailed)) { try sealer.open(sealed, purpose: purpose, context: Self.context) }
        }
        #expect(throws: SecretsFailure(.authenticationFailed)) {
            try Sealer(dataKey: dataKey, account: UUID()).open(sealed, purpose: .bodies, context: Self.context)
        }
        #expect(throws: SecretsFailure(.authenticationFailed)) {
            try Sealer(dataKey: DataKey(random: SystemRandom()), account: account).open(sealed, purpose: .bodies, context: Self.context)
        }
        #expect(throws: SecretsFailure(.unknownKey)) {
            try Sealer(dataKey: DataKey(version: 2, random: SystemRandom()), account: account).open(sealed, purpose: .bodies, context: Self.context)
        }
    }

    @Test func `every changed byte and every truncation is refused`() throws {
        let sealed = sealer.seal(Array("hello".utf8), purpose: .signal, context: Self.context)

        for index in sealed.indices {
            var changed = sealed
            changed[index] ^= 0x40
            #expect(throws: SecretsFailure.self) { try sealer.open(changed, purpose: .signal, context: Self.context) }
        }
        for count in 0..<sealed.count {
            #expect(throws: SecretsFailure.self) { try sealer.open(Array(sealed.prefix(count)), purpose: .signal, context: Self.context) }
        }
    }

    @Test func `sealing twice gives different bytes`() {
        #expect(sealer.seal([1], purpose: .bodies, context: Self.context) != sealer.seal([1], purpose: .bodies, context: Self.context))
    }

    @Test func `a blind index is the same for the same value, and for nothing else`() {
        let value = Array("628123456789".utf8)
        let index = sealer.blindIndex(value, purpose: .recipients)

        #expect(index.count == 16)
        #expect(sealer.blindIndex(value, purpose: .recipients) == index)
        #expect(sealer.blindIndex(value + [48], purpose: .recipients) != index)
        #expect(sealer.blindIndex(value, purpose: .references) != index)
        #expect(Sealer(dataKey: DataKey(random: SystemRandom()), account: account).blindIndex(value, purpose: .recipients) != index)
    }

    @Test func `a subkey is derived once and serves every copy of its data key`() {
        let copy = dataKey
        #expect(copy.subkey(.bodies) === dataKey.subkey(.bodies) && copy.indexKey(.bodies) === dataKey.indexKey(.bodies))
    }

    @Test func `no two subkeys are the same`() {
        let keys = Purpose.allCases.flatMap { [dataKey.subkey($0), dataKey.indexKey($0)] }.map { $0.copyBytes() }

        #expect(Set(keys).count == 2 * Purpose.allCases.count)
    }
}
