import Testing

@testable import Primitives

@Suite struct AESTests {
    static let zeros = [UInt8](repeating: 0, count: 32)
    // NIST SP 800-38A, appendix F
    static let key = hex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    static let block = hex("6bc1bee22e409f96e93d7e117393172a")

    @Test func `GCM gives the answers of its specification`() throws {
        // test cases 13 and 14 of the GCM specification
        let nonce = [UInt8](repeating: 0, count: 12)

        #expect(try AESGCM.seal([], key: Self.zeros, nonce: nonce, aad: []) == hex("530f8afbc74536b9a963b4f1c4cb738b"))
        #expect(
            try AESGCM.seal(Array(Self.zeros.prefix(16)), key: Self.zeros, nonce: nonce, aad: [])
                == hex("cea7403d4d606b6e074ec5d3baf39d18 d0d1c8a799996bf0265b98b5d48ab919"))
    }

    @Test func `GCM opens what it sealed and nothing that was changed`() throws {
        let (nonce, aad, text) = (counting(12), Array("ad".utf8), Array("plaintext".utf8))
        let sealed = try AESGCM.seal(text, key: Self.key, nonce: nonce, aad: aad)

        #expect(try AESGCM.open(sealed, key: Self.key, nonce: nonce, aad: aad) == text)
        for bit in 0..<sealed.count * 8 {
            var changed = sealed
            changed[bit / 8] ^= 1 << (bit % 8)
            #expect(throws: CryptoFailure(.authenticationFailed)) { try AESGCM.open(changed, key: Self.key, nonce: nonce, aad: aad) }
        }
        for count in 0..<sealed.count {
            #expect(throws: CryptoFailure.self) { try AESGCM.open(Array(sealed.prefix(count)), key: Self.key, nonce: nonce, aad: aad) }
        }
        #expect(throws: CryptoFailure(.authenticationFailed)) { try AESGCM.open(sealed, key: Self.key, nonce: nonce, aad: []) }
        #expect(throws: CryptoFailure(.authenticationFailed)) { try AESGCM.open(sealed, key: Self.key, nonce: counting(12, from: 1), aad: aad) }
        #expect(throws: CryptoFailure(.authenticationFailed)) { try AESGCM.open(sealed, key: Self.zeros, nonce: nonce, aad: aad) }
    }

    @Test func `GCM is the same with and without the processor's instructions`() throws {
        for count in 0...80 {
            let (text, aad) = (counting(count), counting(count % 7, from: 9))
            let sealed = try AESGCM.seal(text, key: Self.key, nonce: counting(12), aad: aad)
            #expect(try AESGCM.sealPortably(text, key: Self.key, nonce: counting(12), aad: aad) == sealed)
            #expect(try AESGCM.openPortably(sealed, key: Self.key, nonce: counting(12), aad: aad) == text)
        }
        let sealed = try AESGCM.seal([1, 2, 3], key: Self.key, nonce: counting(12), aad: [])
        #expect(throws: CryptoFailure(.authenticationFailed)) {
            try AESGCM.openPortably(sealed.dropLast() + [sealed[18] ^ 1], key: Self.key, nonce: counting(12), aad: [])
        }
    }

    @Test func `CBC gives the answer of its specification and pads`() throws {
        let sealed = try AESCBC.encrypt(Self.block, key: Self.key, iv: counting(16))

        #expect(Array(sealed.prefix(16)) == hex("f58c4c04d6e5f1ba779eabfb5f7bfbd6"))
        #expect(sealed.count == 32)
        for count in 0...33 {
            let text = counting(count)
            let sealed = try AESCBC.encrypt(text, key: Self.key, iv: counting(16))
            #expect(sealed.count == (count / 16 + 1) * 16)
            #expect(try AESCBC.decrypt(sealed, key: Self.key, iv: counting(16)) == text)
        }
    }

    @Test func `CBC refuses every padding but PKCS 7`() throws {
        // given: a block whose plaintext end is chosen through the iv, which is xored onto it
        let iv = counting(16)
        let sealed = try AESCBC.encrypt([UInt8](repeating: 1, count: 15), key: Self.key, iv: iv)
        func decrypted(lastBytes: [UInt8]) throws -> [UInt8] {
            var plain = [UInt8](repeating: 1, count: 16)
            plain.replaceSubrange((16 - lastBytes.count)..., with: lastBytes)
            return try AESCBC.decrypt(sealed, key: Self.key, iv: (0..<16).map { iv[$0] ^ 1 ^ plain[$0] })
        }

        #expect(try decrypted(lastBytes: [1]).count == 15)
        #expect(try decrypted(lastBytes: [2, 2]).count == 14)
        #expect(try decrypted(lastBytes: [UInt8](repeating: 16, count: 16)) == [])
        for end: [UInt8] in [[0], [17], [255], [3, 2], [2, 3, 3]] {
            #expect(throws: CryptoFailure(.invalidPadding)) { try decrypted(lastBytes: end) }
        }
    }

    @Test func `CTR gives the answer of its specification and counts over all 16 bytes`() throws {
        #expect(try AESCTR.apply(Self.block, key: Self.key, iv: counting(16, from: 0xF0)) == hex("601ec313775789a5b7a7f504bbf3d228"))
        let wrapped = try AESCTR.apply([UInt8](repeating: 0, count: 32), key: Self.key, iv: [UInt8](repeating: 0xFF, count: 16))
        #expect(Array(wrapped.suffix(16)) == (try AESCTR.apply(Array(Self.zeros.prefix(16)), key: Self.key, iv: Array(Self.zeros.prefix(16)))))
    }

    @Test func `keys, nonces and texts of a wrong length are refused`() throws {
        for count in [0, 16, 24, 31, 33] {
            let key = counting(count)
            #expect(throws: CryptoFailure(.invalidLength)) { try AESGCM.seal([], key: key, nonce: counting(12), aad: []) }
            #expect(throws: CryptoFailure(.invalidLength)) { try AESCBC.encrypt([], key: key, iv: counting(16)) }
            #expect(throws: CryptoFailure(.invalidLength)) { try AESCBC.decrypt(counting(16), key: key, iv: counting(16)) }
            #expect(throws: CryptoFailure(.invalidLength)) { try AESCTR.apply([1], key: key, iv: counting(16)) }
        }
        for count in [0, 11, 13, 17] {
            #expect(throws: CryptoFailure(.invalidLength)) { try AESGCM.seal([], key: Self.key, nonce: counting(count), aad: []) }
            #expect(throws: CryptoFailure(.invalidLength)) { try AESCBC.encrypt([], key: Self.key, iv: counting(count)) }
            #expect(throws: CryptoFailure(.invalidLength)) { try AESCTR.apply([], key: Self.key, iv: counting(count)) }
        }
        for count in [0, 1, 15, 17] {
            #expect(throws: CryptoFailure(.invalidLength)) { try AESCBC.decrypt(counting(count), key: Self.key, iv: counting(16)) }
        }
    }
}
