import Primitives
import TestSupport
import Testing

@testable import SignalProtocol

/// protocol.md, appendix C.9.
@Suite struct KnownAnswerTests {
    private static func key(_ byte: UInt8) throws -> PrivateKey { try PrivateKey([UInt8](repeating: byte, count: 32)) }
    private static let plaintext = [UInt8]("hi".utf8) + [UInt8](repeating: 14, count: 14)
    private static let signalMessage =
        "330a2105261cd9cd2e935f9c2455876a80f02a4d6786b8ab877f07227737ca0b577bf161100018002220ee363759e2b7610cc78aad9d353e6f1eb83545468dcf3013106b18b49b96"
        + "9c3ba6ea757c19c1683b"
    private static let preKeyMessage =
        "330807122105f68b05ba03f7185e1ba88878682f8dd0b15158f6050889c9481d79c2d7d2fa071a2105ad908a8a708aca07588cda7c4ed3e44d4966a80a9abb2f1e4bbac53c67414e"
        + "342252" + signalMessage + "28d2093001"

    private static func initiated() throws -> SessionRecord {
        let bobIdentity = try key(0x61)
        let signedPreKey = try key(0x62)
        let bundle = PreKeyBundle(
            registrationID: 1, identityKey: bobIdentity.publicKey, signedPreKeyID: 1, signedPreKey: signedPreKey.publicKey,
            signature: bobIdentity.signature(for: signedPreKey.publicKey.typed, nonce: [UInt8](repeating: 0, count: 64)), preKeyID: 7,
            preKey: try key(0x63).publicKey)
        var record = SessionRecord()
        let random = ScriptedRandom([[UInt8](repeating: 0x52, count: 32), [UInt8](repeating: 0x53, count: 32)])
        try SessionCipher.begin(bundle, own: SignalIdentity(keyPair: try key(0x51), registrationID: 1234), record: &record, random: random)
        return record
    }

    @Test func `setting up a session gives the known root and chain keys`() throws {
        // given
        let first = try X3DH.initiator(
            identity: try Self.key(0x51), baseKey: try Self.key(0x52), theirIdentity: try Self.key(0x61).publicKey,
            theirSignedPreKey: try Self.key(0x62).publicKey, theirPreKey: try Self.key(0x63).publicKey)
        // when
        let state = try #require(try Self.initiated().current)
        // then
        #expect(Hex.encode(first.root) == "208a89bf34c5c57edce577283629f18967eda92c2913d6b3e0265087ee40621d")
        #expect(Hex.encode(first.chain) == "ea74361f270ceb543182dcdcb955adda8eb64362cc4d023a5cf99a1e1bcafb7c")
        #expect(Hex.encode(state.rootKey) == "36db8a9addbfa29aad1dc22e5f319a5aad4dac5e047de69bd362a240383000ab")
        #expect(Hex.encode(state.sending.key) == "c5c3f1ae9357ef58ae5c3070f5625570bc275359f71905ae87f2baf691e76211")
    }

    @Test func `the first message's keys are the known ones`() throws {
        // given
        let state = try #require(try Self.initiated().current)
        // when
        let keys = try MessageKeys(seed: ChainKey.seed(state.sending.key))
        // then
        #expect(Hex.encode(keys.cipherKey) == "aeb6206c28b4bc26f8a46655811bf66c2e4e99eadb4401bbf294a85d60bb858a")
        #expect(Hex.encode(keys.macKey) == "20f048d7de88503de4240f908caf247e10fdb1dd3abd27647ee5ec7ab233d011")
        #expect(Hex.encode(keys.iv) == "7b5902b6eb76090f25931722668b802f")
    }

    @Test func `the first message has the known bytes and the responder reads it`() throws {
        // given
        var record = try Self.initiated()
        let alice = SignalIdentity(keyPair: try Self.key(0x51), registrationID: 1234)
        let bob = SignalIdentity(keyPair: try Self.key(0x61), registrationID: 1)
        let signedPreKey = SignedPreKeyPair(id: 1, privateKey: try Self.key(0x62), signature: [])
        let preKey = PreKeyPair(id: 7, privateKey: try Self.key(0x63))
        // when
        let message = try SessionCipher.encrypt(Self.plaintext, own: alice, record: &record)
        var answering = SessionRecord()
        let decryption = try SessionCipher.decrypt(
            preKeyMessage: message.bytes, own: bob, signedPreKeys: { $0 == 1 ? signedPreKey : nil }, preKeys: { $0 == 7 ? preKey : nil },
            record: &answering, random: SeededRandom(1))
        // then
        #expect(message.kind == .preKey)
        #expect(Hex.encode(message.bytes) == Self.preKeyMessage)
        #expect(Hex.encode(try PreKeyMessageHeader.parse(message.bytes).message) == Self.signalMessage)
        #expect(decryption.plaintext == Self.plaintext)
        #expect(decryption.consumedPreKeyID == 7)
        #expect(decryption.identityKey == alice.keyPair.publicKey)
        #expect(answering.remoteRegistrationID == 1234)
    }
}
