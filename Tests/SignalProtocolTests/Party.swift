import Primitives
import TestSupport

@testable import SignalProtocol

/// One side of a conversation: its keys, its record of the other.
struct Party {
    let own: SignalIdentity
    var signedPreKey: SignedPreKeyPair
    var preKeys: [UInt32: PreKeyPair] = [:]
    var record = SessionRecord()
    let random: SeededRandom

    init(seed: UInt64, preKeys count: UInt32 = 4) {
        random = SeededRandom(seed)
        own = SignalIdentity(keyPair: PrivateKey(random: random), registrationID: UInt32(random.below(16380)))
        signedPreKey = SignedPreKeyPair.make(id: 1, identity: own.keyPair, random: random)
        for id in 0..<count { preKeys[id + 1] = PreKeyPair.make(id: id + 1, random: random) }
    }

    func bundle(preKey id: UInt32? = nil) -> PreKeyBundle {
        PreKeyBundle(
            registrationID: own.registrationID, identityKey: own.keyPair.publicKey, signedPreKeyID: signedPreKey.id,
            signedPreKey: signedPreKey.publicKey, signature: signedPreKey.signature, preKeyID: id, preKey: id.flatMap { preKeys[$0]?.publicKey })
    }

    mutating func begin(with bundle: PreKeyBundle) throws {
        try SessionCipher.begin(bundle, own: own, record: &record, random: random)
    }

    mutating func encrypt(_ plaintext: [UInt8]) throws -> Ciphertext {
        try SessionCipher.encrypt(plaintext, own: own, record: &record)
    }

    mutating func decrypt(_ message: Ciphertext) throws -> [UInt8] {
        switch message.kind {
        case .message: return try SessionCipher.decrypt(message: message.bytes, own: own, record: &record, random: random)
        case .preKey:
            let decryption = try SessionCipher.decrypt(
                preKeyMessage: message.bytes, own: own, signedPreKeys: { $0 == signedPreKey.id ? signedPreKey : nil }, preKeys: { preKeys[$0] },
                record: &record, random: random)
            if let id = decryption.consumedPreKeyID { preKeys[id] = nil }
            return decryption.plaintext
        }
    }

    /// As if the process had ended here and come back.
    mutating func storeAndLoad() throws {
        record = try SessionRecord(serialized: record.serialized())
    }

    /// What a call threw, nil if nothing.
    mutating func refusal(of message: Ciphertext) -> SignalError.Code? {
        do { _ = try decrypt(message) } catch { return (error as? SignalError)?.code }
        return nil
    }
}

/// Two parties who have heard from each other: both sides have left the prekey messages behind.
func acquaintedPair(seed: UInt64) throws -> (alice: Party, bob: Party) {
    var alice = Party(seed: seed)
    var bob = Party(seed: seed &+ 1)
    try alice.begin(with: bob.bundle(preKey: 1))
    _ = try bob.decrypt(try alice.encrypt([1]))
    _ = try alice.decrypt(try bob.encrypt([2]))
    return (alice, bob)
}
