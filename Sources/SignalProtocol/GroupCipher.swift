package import Primitives

/// Group messages with sender keys (protocol.md 11). As in `SessionCipher`, `record` changes only when a verb returns.
///
/// Draw order: a new sender key takes its id (4 bytes, big endian), its chain key (32) and its signing key (32); encrypting takes the signature's 64 bytes.
package enum GroupCipher {
    private static let info = [UInt8]("WhisperGroup".utf8)

    /// What to send to members that do not have our key yet; it begins at the next message. Makes a key if the record has none of ours.
    package static func makeDistribution(record: inout SenderKeyRecord, random: any RandomSource) -> [UInt8] {
        let present = record.states.first.flatMap { $0.signingPrivateKey == nil ? nil : $0 }
        let state = present ?? begin(record: &record, random: random)
        let distribution = SenderKeyDistribution(
            keyID: state.keyID, iteration: state.chain.index, chainKey: state.chain.key, signingKey: state.signingKey)
        return distribution.encoded()
    }

    /// Makes a new key of ours, for when someone has left. Members need a new distribution message.
    package static func rotate(record: inout SenderKeyRecord, random: any RandomSource) {
        _ = begin(record: &record, random: random)
    }

    private static func begin(record: inout SenderKeyRecord, random: any RandomSource) -> SenderKeyRecord.State {
        let id = random.bytes(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        let chainKey = random.bytes(32)
        let signingKey = PrivateKey(random: random)
        let state = SenderKeyRecord.State(
            keyID: id, signingKey: signingKey.publicKey, signingPrivateKey: signingKey.copyBytes(), chain: MessageChain(key: chainKey, index: 0))
        record.add(state)
        return state
    }

    /// Takes another member's key. The same key again changes nothing: its chain may have moved on, and going back would accept replays.
    ///
    /// - Throws: `malformedMessage`, `unsupportedVersion`, `invalidKey`.
    package static func process(distribution bytes: [UInt8], record: inout SenderKeyRecord) throws(SignalError) {
        let distribution = try SenderKeyDistribution(parsing: bytes)
        guard !record.states.contains(where: { $0.keyID == distribution.keyID && $0.signingKey == distribution.signingKey }) else { return }
        record.add(
            SenderKeyRecord.State(
                keyID: distribution.keyID, signingKey: distribution.signingKey, signingPrivateKey: nil,
                chain: MessageChain(key: distribution.chainKey, index: distribution.iteration)))
    }

    /// The next group message under our newest key. `plaintext` is used as it is.
    ///
    /// - Throws: `noSession` without a key of ours; `chainExhausted`.
    package static func encrypt(_ plaintext: [UInt8], record: inout SenderKeyRecord, random: any RandomSource) throws(SignalError) -> [UInt8] {
        guard let state = record.states.first, let privateBytes = state.signingPrivateKey else { throw SignalError(.noSession) }
        let signingKey: PrivateKey
        do { signingKey = try PrivateKey(privateBytes) } catch { throw SignalError(.invalidRecord) }
        var chain = state.chain
        let iteration = chain.index
        let keys = try keys(seed: try chain.takeSeed(of: iteration))
        let ciphertext: [UInt8]
        do { ciphertext = try AESCBC.encrypt(plaintext, key: keys.cipherKey, iv: keys.iv) } catch { throw SignalError(.cryptoFailure) }
        record.advance(0, to: chain)
        return SenderKeyMessage.encode(keyID: state.keyID, iteration: iteration, ciphertext: ciphertext, signingKey: signingKey, random: random)
    }

    /// Decrypts another member's message; its signature is checked before anything is derived.
    ///
    /// - Throws: `unknownSenderKey`, `invalidSignature`, `duplicateMessage`, `tooFarAhead`, `undecryptable`, what parsing throws.
    package static func decrypt(_ bytes: [UInt8], record: inout SenderKeyRecord) throws(SignalError) -> [UInt8] {
        let message = try SenderKeyMessage(parsing: bytes)
        guard let index = record.states.firstIndex(where: { $0.keyID == message.keyID }) else { throw SignalError(.unknownSenderKey) }
        let state = record.states[index]
        guard message.isSigned(by: state.signingKey) else { throw SignalError(.invalidSignature) }
        var chain = state.chain
        let keys = try keys(seed: try chain.takeSeed(of: message.iteration))
        let plaintext: [UInt8]
        do { plaintext = try AESCBC.decrypt(message.ciphertext, key: keys.cipherKey, iv: keys.iv) } catch { throw SignalError(.undecryptable) }
        record.advance(index, to: chain)
        return plaintext
    }

    private static func keys(seed: [UInt8]) throws(SignalError) -> (iv: [UInt8], cipherKey: [UInt8]) {
        let bytes = try KeyDerivation.expand(seed, salt: [], info: info, count: 48)
        return (Array(bytes[0..<16]), Array(bytes[16..<48]))
    }
}
