import CSodium
import Testing

@testable import Primitives

@Suite struct XEdDSATests {
    /// protocol.md C.8: message `hello`, Z = 64 zero bytes.
    static let answers: [(seed: UInt8, publicKey: String, signature: String)] = [
        (
            0x22, "0faa684ed28867b97f4a6a2dee5df8ce974e76b7018e3f22a1c4cf2678570f20",
            """
            dd70f9bc768526d61021e8cd8ef14236259d896170f73dc1b27daa19a981dab4
            4b29bc273be54d9400d41a62760e4edc4bdd71e85092d3d5a24320ac5eb46e0a
            """
        ),
        (
            0x44, "ff2ee45601ec1b67310c7790404585ae697331eee1c1f8cf2419731c1fff3e6b",
            """
            7187d182fe25bdd833317626f6934ce64b69e580eac9cef8307fefbf51605da2
            41e221650b96d4ef884a6e163fcc0b0ed5473bc02932ba2d1f5ac8ed15440982
            """
        ),
    ]
    static let hello = Array("hello".utf8)

    @Test(arguments: [0, 1]) func `signing gives the known signature, with and without the sign bit`(index: Int) throws {
        let (seed, publicKey, signature) = Self.answers[index]
        let key = try PrivateKey([UInt8](repeating: seed, count: 32))

        let ours = key.signature(for: Self.hello, nonce: [UInt8](repeating: 0, count: 64))

        #expect(key.publicKey.bytes == hex(publicKey))
        #expect(ours == hex(signature))
        #expect(key.publicKey.isValidSignature(ours, for: Self.hello))
    }

    @Test func `every changed bit of a signature, key or message is refused`() throws {
        let key = try PrivateKey([UInt8](repeating: 0x44, count: 32)).publicKey
        let signature = hex(Self.answers[1].signature)

        for bit in 0..<512 {
            var changed = signature
            changed[bit / 8] ^= 1 << (bit % 8)
            #expect(!key.isValidSignature(changed, for: Self.hello), "signature bit \(bit)")
        }
        // Bit 255 of a public key means nothing (RFC 7748 §5).
        for bit in 0..<255 {
            var changed = key.bytes
            changed[bit / 8] ^= 1 << (bit % 8)
            #expect(try !PublicKey(changed).isValidSignature(signature, for: Self.hello), "key bit \(bit)")
        }
        for bit in 0..<40 {
            var changed = Self.hello
            changed[bit / 8] ^= 1 << (bit % 8)
            #expect(!key.isValidSignature(signature, for: changed), "message bit \(bit)")
        }
    }

    @Test func `a signature of any other length is refused`() throws {
        let key = try PrivateKey([UInt8](repeating: 0x22, count: 32)).publicKey
        let signature = hex(Self.answers[0].signature)

        for count in 0..<64 { #expect(!key.isValidSignature(Array(signature.prefix(count)), for: Self.hello)) }
        #expect(!key.isValidSignature(signature + [0], for: Self.hello))
    }

    @Test func `a scalar that is not reduced is refused`() throws {
        // given: s + L says the same modulo L and still fits below bit 255
        let key = try PrivateKey([UInt8](repeating: 0x22, count: 32)).publicKey
        var signature = hex(Self.answers[0].signature)
        let order = hex("edd3f55c1a631258d69cf7a2def9de14 00000000000000000000000000000010")
        var carry = 0
        for index in 0..<32 {
            carry += Int(signature[32 + index]) + Int(order[index])
            signature[32 + index] = UInt8(truncatingIfNeeded: carry)
            carry >>= 8
        }

        #expect(!key.isValidSignature(signature, for: Self.hello))
    }

    @Test func `keys without a useful Edwards form are refused`() throws {
        let minusOne = hex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")
        let zero = [UInt8](repeating: 0, count: 32)

        #expect(XEdDSA.edwardsY(ofMontgomery: minusOne) == nil)
        for bytes in [minusOne, zero, [1] + zero.dropLast()] {
            let key = try PublicKey(bytes)
            #expect(!key.isValidSignature([UInt8](repeating: 0, count: 64), for: Self.hello))
            #expect(!key.isValidSignature(hex(Self.answers[0].signature), for: Self.hello))
        }
    }

    @Test func `random keys sign and verify, and the Edwards form agrees with libsodium's way back`() throws {
        for round in 0..<200 {
            let key = PrivateKey(random: SystemRandom())
            let message = SystemRandom().bytes(round)
            let signature = key.signature(for: message, random: SystemRandom())
            #expect(key.publicKey.isValidSignature(signature, for: message))
            #expect(!key.publicKey.isValidSignature(signature, for: message + [0]))

            var back = [UInt8](repeating: 0, count: 32)
            let edwards = try #require(XEdDSA.edwardsY(ofMontgomery: key.publicKey.bytes))
            #expect(crypto_sign_ed25519_pk_to_curve25519(&back, edwards) == 0)
            #expect(back == key.publicKey.bytes)
        }
    }
}

@Suite struct FieldElementTests {
    static let p = hex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")

    static func element(_ bytes: [UInt8]) throws -> FieldElement { try #require(FieldElement(bytes)) }

    @Test func `values from p to 2^255 are reduced and the top bit is ignored`() throws {
        for offset in 0..<19 {
            var bytes = Self.p
            bytes[0] += UInt8(offset)
            var expected = [UInt8](repeating: 0, count: 32)
            expected[0] = UInt8(offset)
            #expect(try Self.element(bytes).bytes == expected)
            bytes[31] |= 0x80
            #expect(try Self.element(bytes).bytes == expected)
        }
        #expect(FieldElement([1, 2, 3]) == nil)
    }

    @Test func `a number times its inverse is one, and sums undo differences`() throws {
        let edges: [[UInt8]] = [
            [1] + [UInt8](repeating: 0, count: 31), [2] + [UInt8](repeating: 0, count: 31), [UInt8](repeating: 0, count: 31) + [0x40],
            hex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"), [UInt8](repeating: 0xFF, count: 32),
        ]
        for bytes in edges + (0..<200).map({ _ in SystemRandom().bytes(32) }) {
            let a = try Self.element(bytes)
            let b = try Self.element(SystemRandom().bytes(32))
            #expect((a * a.inverse).bytes == FieldElement.one.bytes)
            #expect(((a - b) + b).bytes == a.bytes)
            #expect(((a + b) * b).bytes == (a * b + b * b).bytes)
            #expect(((a - b) * (a + b)).bytes == (a * a - b * b).bytes)
        }
        #expect((FieldElement.one - .one).isZero)
        #expect((FieldElement.one - .one).inverse.isZero)
    }
}
