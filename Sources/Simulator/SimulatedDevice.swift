import Primitives
import SignalProtocol

/// One device of one user, as the server numbers them: a place in the list of accounts, and the device number.
struct DeviceReference: Hashable, Sendable {
    var account: Int
    var device: UInt16
}

/// A phone or companion that the simulator plays, with its own real Signal store.
struct SimulatedDevice: Sendable {
    let keyIndex: UInt32
    let identity: SignalIdentity
    let signedPreKey: SignedPreKeyPair
    private(set) var preKeys: [UInt32: PreKeyPair] = [:]
    private var nextPreKeyID: UInt32 = 1
    var sessions: [SignalAddress: SessionRecord] = [:]
    /// Account records that were verified, so that a sender's every prekey message does not cost two signature checks.
    var verifiedRecords: [DeviceReference: VerifiedRecord] = [:]

    struct VerifiedRecord: Equatable, Sendable {
        var record: [UInt8]
        var identity: PublicKey
    }

    init(keyIndex: UInt32, identity: SignalIdentity, signedPreKey: SignedPreKeyPair) {
        self.keyIndex = keyIndex
        self.identity = identity
        self.signedPreKey = signedPreKey
    }

    /// What the server hands out about this device; the one-time prekey is made for the occasion, so they never run out.
    mutating func bundle(withOneTimePreKey: Bool, random: any RandomSource) -> PreKeyBundle {
        var bundle = PreKeyBundle(
            registrationID: identity.registrationID, identityKey: identity.keyPair.publicKey, signedPreKeyID: signedPreKey.id,
            signedPreKey: signedPreKey.publicKey, signature: signedPreKey.signature)
        if withOneTimePreKey {
            let key = PreKeyPair.make(id: nextPreKeyID, random: random)
            nextPreKeyID = nextPreKeyID == 0xFF_FFFF ? 1 : nextPreKeyID + 1
            preKeys[key.id] = key
            bundle.preKeyID = key.id
            bundle.preKey = key.publicKey
        }
        return bundle
    }

    /// Decrypts an `enc` of either type; the padding stays on. A consumed one-time prekey is gone afterwards.
    mutating func decrypt(_ ciphertext: [UInt8], kind: CipherKind, from address: SignalAddress, random: any RandomSource) throws(SignalError)
        -> [UInt8]
    {
        var record = sessions[address] ?? SessionRecord()
        let plaintext: [UInt8]
        switch kind {
        case .message:
            plaintext = try SessionCipher.decrypt(message: ciphertext, own: identity, record: &record, random: random)
        case .preKey:
            let signed = signedPreKey
            let offered = try PreKeyMessageHeader.parse(ciphertext).preKeyID.flatMap { preKeys[$0] }
            let result = try SessionCipher.decrypt(
                preKeyMessage: ciphertext, own: identity, signedPreKeys: { $0 == signed.id ? signed : nil },
                preKeys: { $0 == offered?.id ? offered : nil }, record: &record, random: random)
            if let consumed = result.consumedPreKeyID { preKeys[consumed] = nil }
            plaintext = result.plaintext
        }
        sessions[address] = record
        return plaintext
    }

    /// Encrypts for a device whose session exists.
    mutating func encrypt(_ plaintext: [UInt8], to address: SignalAddress) throws(SignalError) -> Ciphertext {
        var record = sessions[address] ?? SessionRecord()
        let ciphertext = try SessionCipher.encrypt(plaintext, own: identity, record: &record)
        sessions[address] = record
        return ciphertext
    }

    func hasSession(with address: SignalAddress) -> Bool { sessions[address].map { !$0.isEmpty } ?? false }

    mutating func begin(_ bundle: PreKeyBundle, with address: SignalAddress, random: any RandomSource) throws(SignalError) {
        var record = sessions[address] ?? SessionRecord()
        try SessionCipher.begin(bundle, own: identity, record: &record, random: random)
        sessions[address] = record
    }
}
