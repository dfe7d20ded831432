import Primitives
import Testing

@Suite struct KeyAgreementTests {
    @Test func `agreement gives the answers of RFC 7748 sections 5_2 and 6_1`() throws {
        let scalar = try PrivateKey(hex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"))
        let point = try PublicKey(hex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"))
        let bob = try PrivateKey(hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"))
        let alice = try PublicKey(hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"))

        #expect(try scalar.sharedSecret(with: point) == hex("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"))
        #expect(bob.publicKey.bytes == hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"))
        #expect(try bob.sharedSecret(with: alice) == hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"))
    }

    @Test(arguments: [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ]) func `a public key of small order is refused`(key: String) throws {
        let own = PrivateKey(random: SystemRandom())

        #expect(throws: CryptoFailure(.weakSharedSecret)) { try own.sharedSecret(with: PublicKey(hex(key))) }
    }

    @Test func `both sides agree, whatever the keys`() throws {
        let (a, b) = (PrivateKey(random: SystemRandom()), PrivateKey(random: SystemRandom()))

        #expect(try a.sharedSecret(with: b.publicKey) == b.sharedSecret(with: a.publicKey))
    }

    @Test func `a private key is clamped on entry and survives a round trip`() throws {
        let key = try PrivateKey([UInt8](repeating: 0xFF, count: 32))
        let bytes = key.copyBytes()

        #expect(bytes[0] == 0xF8 && bytes[31] == 0x7F)
        #expect(try PrivateKey(bytes).publicKey == key.publicKey)
        #expect(try PrivateKey(bytes, trusting: key.publicKey).publicKey == key.publicKey)
    }

    @Test func `keys of a wrong length or type are refused`() throws {
        for count in [0, 31, 33, 64] {
            #expect(throws: CryptoFailure(.invalidLength)) { try PrivateKey(counting(count)) }
            #expect(throws: CryptoFailure(.invalidLength)) { try PublicKey(counting(count)) }
        }
        #expect(throws: CryptoFailure(.invalidLength)) { try PublicKey(typed: counting(32)) }
        #expect(throws: CryptoFailure(.invalidKey)) { try PublicKey(typed: [6] + counting(32)) }
        #expect(try PublicKey(typed: [5] + counting(32)).typed == [5] + counting(32))
    }

    @Test func `a private key is never printed`() throws {
        let key = try PrivateKey(counting(32))
        var dumped = ""
        dump(key, to: &dumped)

        for text in ["\(key)", String(reflecting: key), dumped] { #expect(!text.contains("31") && !text.contains("1f")) }
    }
}

@Suite struct SecretBytesTests {
    @Test func `secret bytes compare in constant time, copy, and print nothing`() {
        let secret = SecretBytes(copying: counting(32))
        var dumped = ""
        dump(secret, to: &dumped)

        #expect(secret.matches(counting(32)))
        #expect(secret.matches(SecretBytes(copying: counting(32))))
        #expect(!secret.matches(counting(31)))
        #expect(!secret.matches(counting(32, from: 1)))
        #expect(secret.copyBytes() == counting(32))
        #expect(secret.withBytes { $0.count } == 32)
        #expect("\(secret)" == "SecretBytes(redacted)")
        #expect(!dumped.contains("31"))
        #expect(SecretBytes(copying: []).matches([]))
    }

    @Test func `wiping overwrites an array`() {
        var bytes = counting(40, from: 1)
        Sodium.wipe(&bytes)
        #expect(bytes == [UInt8](repeating: 0, count: 40))
    }

    @Test func `random bytes have the wished length and do not repeat`() {
        #expect(SystemRandom().bytes(0) == [] && SystemRandom().bytes(-1) == [])
        #expect(SystemRandom().bytes(33).count == 33)
        #expect(SystemRandom().bytes(32) != SystemRandom().bytes(32))
    }

    @Test func `comparing looks at every byte and at the length`() {
        #expect(constantTimeEqual([], []))
        #expect(constantTimeEqual(counting(9), counting(9)))
        #expect(!constantTimeEqual(counting(9), counting(10)))
        for index in 0..<9 {
            var changed = counting(9)
            changed[index] ^= 0x80
            #expect(!constantTimeEqual(counting(9), changed))
        }
    }

    @Test func `hexadecimal text is read in both cases and refused when it is none`() {
        #expect(Hex.encode([0x00, 0x9F, 0xFF]) == "009fff")
        #expect(Hex.decode("009fFF") == [0x00, 0x9F, 0xFF])
        #expect(Hex.decode("") == [] && Hex.encode([]) == "")
        for text in ["0", "0g", " 00", "0x00", "é", "00 0"] { #expect(Hex.decode(text) == nil) }
    }
}
