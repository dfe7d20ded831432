import Primitives

/// One Signal session with one device: the Double Ratchet's state of one side (protocol.md 9.6).
///
/// Its steps change it even when they throw halfway. `SessionCipher` therefore works on a copy and keeps that only on success.
struct SessionState: Sendable {
    /// Beyond this many the receiving chain begun first is dropped.
    static let maximumReceivingChains = 5

    /// Which keys of the peer an unanswered session was begun with. While it is there, every message is a prekey message.
    struct PendingPreKey: Sendable {
        var preKeyID: UInt32?
        var signedPreKeyID: UInt32
    }

    /// The chain we send on, under our newest ratchet key. Raw bytes, so that encrypting needs no key to be rebuilt.
    struct SendingChain: Sendable {
        var ratchetPrivateKey: [UInt8]
        var ratchetKey: PublicKey
        var key: [UInt8]
        var index: UInt32 = 0
    }

    /// A chain we receive on, under one ratchet key of the peer.
    struct ReceivingChain: Sendable {
        var ratchetKey: PublicKey
        var chain: MessageChain
    }

    /// The initiator's, on both sides. Names the session.
    let baseKey: PublicKey
    let localIdentity: PublicKey
    let remoteIdentity: PublicKey
    let localRegistrationID: UInt32
    let remoteRegistrationID: UInt32
    var rootKey: [UInt8]
    var sending: SendingChain
    var previousCounter: UInt32 = 0
    var pendingPreKey: PendingPreKey?
    /// Oldest first.
    var receiving: [ReceivingChain]
}

extension SessionState {
    /// The initiator's state. Draws the base key, then the ratchet key, from `random`. The bundle's signature is already checked.
    init(initiating bundle: PreKeyBundle, own: SignalIdentity, random: any RandomSource) throws(SignalError) {
        let baseKey = PrivateKey(random: random)
        let ratchetKey = PrivateKey(random: random)
        let preKey: (id: UInt32, key: PublicKey)? =
            if let id = bundle.preKeyID, let key = bundle.preKey { (id, key) } else { nil }
        let first = try X3DH.initiator(
            identity: own.keyPair, baseKey: baseKey, theirIdentity: bundle.identityKey, theirSignedPreKey: bundle.signedPreKey,
            theirPreKey: preKey?.key)
        let step = try KeyDerivation.ratchet(root: first.root, own: ratchetKey, theirs: bundle.signedPreKey)
        self.init(
            baseKey: baseKey.publicKey, localIdentity: own.keyPair.publicKey, remoteIdentity: bundle.identityKey,
            localRegistrationID: own.registrationID, remoteRegistrationID: bundle.registrationID, rootKey: step.root,
            sending: SendingChain(ratchetPrivateKey: ratchetKey.copyBytes(), ratchetKey: ratchetKey.publicKey, key: step.chain),
            pendingPreKey: PendingPreKey(preKeyID: preKey?.id, signedPreKeyID: bundle.signedPreKeyID),
            receiving: [ReceivingChain(ratchetKey: bundle.signedPreKey, chain: MessageChain(key: first.chain, index: 0))])
    }

    /// The responder's state, before the message in the prekey message is decrypted with it.
    init(answering header: PreKeyMessageHeader, own: SignalIdentity, signedPreKey: PrivateKey, preKey: PrivateKey?) throws(SignalError) {
        let first = try X3DH.responder(
            identity: own.keyPair, signedPreKey: signedPreKey, preKey: preKey, theirIdentity: header.identityKey, theirBaseKey: header.baseKey)
        self.init(
            baseKey: header.baseKey, localIdentity: own.keyPair.publicKey, remoteIdentity: header.identityKey,
            localRegistrationID: own.registrationID, remoteRegistrationID: header.registrationID, rootKey: first.root,
            sending: SendingChain(ratchetPrivateKey: signedPreKey.copyBytes(), ratchetKey: signedPreKey.publicKey, key: first.chain),
            receiving: [])
    }
}

extension SessionState {
    /// The next message on the sending chain.
    mutating func encrypt(_ plaintext: [UInt8]) throws(SignalError) -> [UInt8] {
        guard sending.index < UInt32.max else { throw SignalError(.chainExhausted) }
        let keys = try MessageKeys(seed: ChainKey.seed(sending.key))
        let ciphertext: [UInt8]
        do { ciphertext = try AESCBC.encrypt(plaintext, key: keys.cipherKey, iv: keys.iv) } catch { throw SignalError(.cryptoFailure) }
        let message = SignalMessage.encode(
            ratchetKey: sending.ratchetKey, counter: sending.index, previousCounter: previousCounter, ciphertext: ciphertext, macKey: keys.macKey,
            sender: localIdentity, receiver: remoteIdentity)
        sending.key = ChainKey.next(sending.key)
        sending.index += 1
        return message
    }

    /// Decrypts on the chain of the message's ratchet key. An unknown one begins a new chain, and our own next ratchet key, the only thing drawn from
    /// `random`, and only once the message has proved authentic.
    mutating func decrypt(_ message: SignalMessage, random: any RandomSource) throws(SignalError) -> [UInt8] {
        let plaintext: [UInt8]
        if let known = receiving.firstIndex(where: { $0.ratchetKey == message.ratchetKey }) {
            plaintext = try open(message, with: try receiving[known].chain.takeSeed(of: message.counter))
        } else {
            let ownKey: PrivateKey
            do { ownKey = try PrivateKey(sending.ratchetPrivateKey) } catch { throw SignalError(.invalidRecord) }
            let step = try KeyDerivation.ratchet(root: rootKey, own: ownKey, theirs: message.ratchetKey)
            var chain = MessageChain(key: step.chain, index: 0)
            plaintext = try open(message, with: try chain.takeSeed(of: message.counter))
            try begin(chain, theirs: message.ratchetKey, root: step.root, random: random)
        }
        pendingPreKey = nil
        return plaintext
    }

    /// Takes up the peer's new chain, and a new one of our own under a fresh ratchet key.
    private mutating func begin(_ chain: MessageChain, theirs: PublicKey, root: [UInt8], random: any RandomSource) throws(SignalError) {
        let next = PrivateKey(random: random)
        let step = try KeyDerivation.ratchet(root: root, own: next, theirs: theirs)
        rootKey = step.root
        previousCounter = sending.index == 0 ? 0 : sending.index - 1
        sending = SendingChain(ratchetPrivateKey: next.copyBytes(), ratchetKey: next.publicKey, key: step.chain)
        receiving.append(ReceivingChain(ratchetKey: theirs, chain: chain))
        if receiving.count > Self.maximumReceivingChains { receiving.removeFirst() }
    }

    private func open(_ message: SignalMessage, with seed: [UInt8]) throws(SignalError) -> [UInt8] {
        let keys = try MessageKeys(seed: seed)
        guard message.isAuthentic(macKey: keys.macKey, sender: remoteIdentity, receiver: localIdentity) else { throw SignalError(.badMAC) }
        do { return try AESCBC.decrypt(message.ciphertext, key: keys.cipherKey, iv: keys.iv) } catch { throw SignalError(.undecryptable) }
    }
}
