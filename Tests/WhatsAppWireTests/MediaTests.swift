import Primitives
import Testing

@testable import WhatsAppWire

@Suite struct MediaTests {
    private let mediaKey = [UInt8](0..<32)

    @Test func `keys and file are those of protocol appendix C4`() throws {
        let keys = try MediaCipher.Keys(mediaKey, kind: .image)
        let file = try MediaCipher.encrypt(Array("hello".utf8), kind: .image, mediaKey: mediaKey)

        #expect(Hex.encode(keys.iv) == "aa6a127218397cbd2383e4ccf7176a79")
        #expect(Hex.encode(keys.cipherKey) == "008c9aea9b7c5d81eb56b3f530f87d42dcc92d27b11ad6b5bd66f0560d0d8c46")
        #expect(Hex.encode(keys.macKey) == "91d09ffec108833c1699574c52657923fb6e3e161d9698bc6b3a05fbc508a515")
        #expect(Hex.encode(file.encrypted) == "d6dae84a388d36554b4babc2ea10204a9971f756a2561f9b8f20")
        #expect(Hex.encode(file.encryptedSHA256) == "755309ed03c3bc72136d1579994db3072ff8bbcb06adb365a40cd0ac0bbd35bd")
    }

    @Test(arguments: MediaKind.allCases)
    func `every kind decrypts with its own key only`(_ kind: MediaKind) throws {
        // given
        let plaintext = [UInt8](repeating: 0x61, count: 1000)
        let file = try MediaCipher.encrypt(plaintext, kind: kind, random: SystemRandom())
        // then
        func decrypt(as kind: MediaKind, _ key: [UInt8]) throws -> [UInt8] {
            try MediaCipher.decrypt(file.encrypted, kind: kind, mediaKey: key, sha256: file.sha256, encryptedSHA256: file.encryptedSHA256)
        }
        #expect(try decrypt(as: kind, file.mediaKey) == plaintext)
        for other in MediaKind.allCases where other.info != kind.info {
            #expect(throws: WireError(.media, "MAC")) { try decrypt(as: other, file.mediaKey) }
        }
        #expect(throws: WireError(.media, "MAC")) { try decrypt(as: kind, mediaKey) }
        #expect(throws: WireError(.media, "media key length")) { try decrypt(as: kind, []) }
    }

    @Test func `a damaged file is refused, also when its hash was adjusted`() throws {
        // given
        let file = try MediaCipher.encrypt([UInt8](repeating: 5, count: 100), kind: .video, mediaKey: mediaKey)
        func decrypt(_ bytes: [UInt8], hash: [UInt8]) throws -> [UInt8] {
            try MediaCipher.decrypt(bytes, kind: .video, mediaKey: mediaKey, sha256: file.sha256, encryptedSHA256: hash)
        }
        // then
        forEachDamaged(file.encrypted) { bytes in
            #expect(throws: WireError(.media, "hash of the encrypted file")) { try decrypt(bytes, hash: file.encryptedSHA256) }
            #expect(throws: WireError.self) { try decrypt(bytes, hash: Digest.sha256(bytes)) }
        }
        #expect(throws: WireError(.media, "hash of the file")) {
            try MediaCipher.decrypt(
                file.encrypted, kind: .video, mediaKey: mediaKey, sha256: file.encryptedSHA256, encryptedSHA256: file.encryptedSHA256)
        }
    }
}
